from __future__ import annotations

import getpass
import io
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.auth.__main__ import main
from plugins.auth.passwords import Passwords
from plugins.auth.store import Store, Where

Run = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on an empty state directory; gives status, output and errors."""

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            status = main([*arguments, "--state-dir", str(tmp_path / "var")])
        except SystemExit as stop:
            status = int(str(stop.code))
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "var" / "auth.db")


def can_log_in(store: Store, name: str, password: str) -> bool:
    store.open()
    try:
        return Passwords().verify(store.password(name), password.encode())
    finally:
        store.close()


def test_an_account_is_added_listed_changed_and_removed(run: Run, store: Store) -> None:
    assert run("add", "ann", stdin="first\n") == (0, "added ann\n", "")
    assert can_log_in(store, "ann", "first")
    status, output, _ = run("passwd", "ann", stdin="second\r\n")
    assert status == 0 and "ann is set" in output
    assert can_log_in(store, "ann", "second") and not can_log_in(store, "ann", "first")
    run("add", "bob", stdin="x")
    assert run("list") == (0, "ann\nbob\n", "")
    assert run("remove", "ann") == (0, "removed ann\n", "")
    assert run("list") == (0, "bob\n", "")


def test_a_password_may_hold_spaces_and_any_letters(run: Run, store: Store) -> None:
    run("add", "ann", stdin=" pässword with spaces \n")
    assert can_log_in(store, "ann", " pässword with spaces ")


@pytest.mark.parametrize("arguments", [["add", "bob"], ["passwd", "ann"]])
def test_a_refusal_is_one_line_and_status_1(run: Run, arguments: list[str]) -> None:
    run("add", "bob", stdin="x\n")
    status, output, error = run(*arguments, stdin="y\n")
    assert status == 1 and output == "" and error.count("\n") == 1


def test_removing_nobody_is_refused(run: Run) -> None:
    assert run("remove", "ann")[0] == 1
    run("add", "bob", stdin="x\n")
    assert run("remove", "ann") == (1, "", "there is no account ann\n")


def test_before_there_are_accounts_listing_them_makes_no_file(run: Run, store: Store) -> None:
    status, _, error = run("list")
    assert status == 1 and "no accounts yet" in error and not store.path.exists()


def test_the_demo_accounts_password_can_be_set_before_the_first_start(run: Run, store: Store) -> None:
    assert run("passwd", "admin", stdin="better\n")[0] == 0
    assert can_log_in(store, "admin", "better")


@pytest.mark.parametrize("password", ["", "\n", "x" * 2000 + "\n"])
def test_an_impossible_password_is_refused(run: Run, password: str) -> None:
    status, _, error = run("add", "ann", stdin=password)
    assert status == 1 and "1 to 1024 bytes" in error


@pytest.mark.parametrize(
    "arguments",
    [[], ["add"], ["add", ""], ["add", "a:b"], ["add", "a\nb"], ["add", "x" * 65], ["rename", "ann"],
     ["add", "ann", "password"], ["list", "ann"], ["sessions"],
     ["revoke", "a", "b", "c"], ["add", "ann", "--password", "x"]],
)  # fmt: skip
def test_what_is_not_understood_is_status_2(run: Run, store: Store, arguments: list[str]) -> None:
    status, _, error = run(*arguments, stdin="x\n")
    assert status == 2 and "Traceback" not in error
    assert not store.path.exists()


def test_on_a_terminal_the_password_is_asked_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["one", "two", "three", "three"])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))
    arguments = ["--state-dir", str(tmp_path), "add", "ann"]
    assert main(arguments) == 1
    assert "not the same" in capsys.readouterr().err
    assert main(arguments) == 0


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, EOFError])
def test_giving_up_at_the_prompt_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    interruption: type[BaseException],
) -> None:  # fmt: skip
    def give_up(prompt: str) -> str:
        raise interruption

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", give_up)
    assert main(["--state-dir", str(tmp_path), "add", "ann"]) == 1
    assert capsys.readouterr().err == "nothing changed\n"


def test_the_state_directory_is_found_through_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.ini").write_text("[server]\nstate_dir = data\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    assert main(["add", "ann", "-c", str(tmp_path / "other.ini")]) == 0
    assert (tmp_path / "data" / "auth.db").exists()
    assert main(["-c", str(tmp_path / "other.ini"), "list"]) == 0
    assert capsys.readouterr().out == "added ann\nann\n"


def test_a_missing_config_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "-c", str(tmp_path / "none.ini")]) == 1
    error = capsys.readouterr().err
    assert "none.ini" in error and error.count("\n") == 1


def test_a_damaged_file_is_one_line(run: Run, store: Store) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"x" * 5000)
    status, _, error = run("list")
    assert status == 1 and "damaged" in error and error.count("\n") == 1


def test_a_new_password_ends_the_sessions(run: Run, store: Store) -> None:
    run("add", "ann", stdin="x\n")
    store.open()
    stored = store.password("ann")
    assert stored and store.add_session(b"1", "ann", stored, 1.0)
    run("passwd", "ann", stdin="y\n")
    assert store.session(b"1") is None
    changes = store.changes()
    assert changes and [ended.why for ended in changes.ended] == ["password"]
    store.close()


def add_sessions(store: Store, *digests: bytes) -> None:
    store.open()
    stored = store.password("ann")
    assert stored
    for number, digest in enumerate(digests):
        where = Where(f"192.0.2.{number}", "Firefox on Linux")
        assert store.add_session(digest, "ann", stored, 60.0 * number, where=where)
    store.close()


def test_sessions_are_listed_with_where_they_are_from(run: Run, store: Store) -> None:
    run("add", "ann", stdin="x\n")
    assert run("sessions", "ann") == (0, "ann is not logged in anywhere\n", "")
    add_sessions(store, b"\x01" * 32, b"\x02" * 32)
    status, output, _ = run("sessions", "ann")
    first, second = output.splitlines()
    assert status == 0 and first.startswith("020202020202  since ") and second.startswith("010101010101  since ")
    assert first.endswith("  192.0.2.1  Firefox on Linux")
    assert run("sessions", "bob") == (1, "", "there is no account bob\n")


def test_sessions_are_revoked_one_or_all(run: Run, store: Store) -> None:
    run("add", "ann", stdin="x\n")
    add_sessions(store, b"\x01" * 32, b"\x02" * 32, b"\x02" + b"\x03" * 31)
    assert run("revoke", "ann", "02") == (1, "", "ann has several such sessions: 02\n")
    assert run("revoke", "ann", "ff") == (1, "", "ann has no such session: ff\n")
    assert run("revoke", "ann", "0101") == (0, "ended 1 session of ann\n", "")
    assert run("revoke", "ann") == (0, "ended 2 sessions of ann\n", "")
    assert run("revoke", "ann") == (0, "ended 0 sessions of ann\n", "")
    assert run("sessions", "ann")[1] == "ann is not logged in anywhere\n"


def test_no_password_is_in_the_file_in_plain(run: Run, store: Store) -> None:
    run("add", "ann", stdin="very-secret\n")
    with sqlite3.connect(store.path) as db:
        assert b"very-secret" not in db.serialize()
    db.close()
