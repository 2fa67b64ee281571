"""Accounts lose nothing, with real processes and a real disk: `kill -9` at random moments, no room, a damaged file."""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from server import ENVIRONMENT, ROOT, Server, curl, refused, write_config

from bench.logins import MANY_NAMES, ONE_NAME, PHASES, measure
from plugins.auth.passwords import Passwords
from plugins.auth.store import Store

ROUNDS = 14
SEED = 20261123


def start_command(config: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "plugins.auth", "-c", str(config), *arguments], cwd=ROOT, env=ENVIRONMENT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run_command(config: Path, *arguments: str, password: str = "") -> tuple[int, str]:
    """Status, and all that it said."""
    process = start_command(config, *arguments)
    output, errors = process.communicate(password.encode() + b"\n", timeout=20)
    return process.returncode, (output + errors).decode()


def log_in(server: Server, name: str, password: str) -> int:
    return curl("--data", f"username={name}&password={password}", server.url + "/login").status


def passwords_of(path: Path) -> dict[str, str]:
    """The stored hashes, after a look whether the file is whole."""
    store = Store(path)
    store.open()
    try:
        assert store._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return store.passwords(store.names())
    finally:
        store.close()


def test_what_was_said_to_be_done_is_there_after_kill_9_at_any_moment(tmp_path: Path) -> None:
    """Commands and the server are killed at random moments. An account that was said to be added is there, a password
    that was said to be set opens it, and one that was not said so is either the old or the new one, and whole.
    """
    chance = random.Random(SEED)
    config = write_config(tmp_path / "config.ini", {"static": "", "tracker": ""})
    assert run_command(config, "add", "ann", password="0") == (0, "added ann\n")
    began = time.monotonic()
    assert run_command(config, "passwd", "ann", password="0")[0] == 0
    length = time.monotonic() - began
    possible = {"ann": {"0"}}  # which passwords each account may have
    with ExitStack() as stack:
        server = stack.enter_context(Server(config))
        for number in range(1, ROUNDS + 1):
            name = chance.choice(["ann", f"user{number}"])
            command = start_command(config, "passwd" if name == "ann" else "add", name)
            assert command.stdin is not None
            command.stdin.write(f"{number}\n".encode())
            command.stdin.flush()
            # Mostly near its end, where it writes.
            time.sleep(length * chance.choice([chance.uniform(0, 1.1), chance.uniform(0.7, 1.1)]))
            command.kill()
            output, _ = command.communicate()
            if output:
                possible[name] = {str(number)}
            else:
                possible.setdefault(name, {""}).add(str(number))
            if number == ROUNDS // 2:
                server.kill()
                server = stack.enter_context(Server(config))
        stored = passwords_of(tmp_path / "var" / "auth.db")
        for name, passwords in possible.items():
            if name not in stored:
                assert "" in passwords, f"{name} is lost"
                continue
            assert any(Passwords().verify(stored[name], text.encode()) for text in passwords - {""}), name
        [right] = [text for text in possible["ann"] if Passwords().verify(stored["ann"], text.encode())]
        assert log_in(server, "ann", right) == 200


def test_a_login_that_was_answered_survives_kill_9_of_the_server(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini")
    server = Server(config)
    server.wait_until_listening()
    jar = tmp_path / "jar"
    assert curl("--cookie-jar", jar, "--data", "username=admin&password=password", server.url + "/login").status == 200
    server.kill()
    with Server(config) as again:
        assert curl("--cookie", jar, again.url + "/whoami").json["username"] == "admin"


def test_a_full_disk_is_an_error_and_no_damage(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the disk: a write beyond it fails as one on a full disk does."""
    config = write_config(tmp_path / "config.ini")
    path = tmp_path / "var" / "auth.db"
    with Server(config) as server:
        server.allowed = ["nobody can log in"]
        jar = tmp_path / "jar"
        form = "username=admin&password=password"
        assert curl("--cookie-jar", jar, "--data", form, server.url + "/login").status == 200
        before = passwords_of(path)
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        full = (path.with_name("auth.db-wal").stat().st_size, limits[1])
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, full)
        statuses = [log_in(server, "admin", "password") for _ in range(3)]
        assert statuses[-1] == 503
        assert curl("--cookie", jar, "--request", "POST", server.url + "/logout").status == 503
        for page in ("/whoami", "/sessions"):
            assert curl("--cookie", jar, server.url + page).status == 200
        assert "make room on its disk" in server.wait_for("nobody can log in")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)
        assert log_in(server, "admin", "password") == 200
        assert passwords_of(path) == before


def test_a_stop_with_a_full_disk_loses_no_account_and_complains_in_a_line(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini")
    path = tmp_path / "var" / "auth.db"
    jar = tmp_path / "jar"
    form = "username=admin&password=password"
    with Server(config) as server:
        assert curl("--cookie-jar", jar, "--data", form, server.url + "/login").status == 200
        before = passwords_of(path)
        full = path.with_name("auth.db-wal").stat().st_size
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (full, full))
        time.sleep(1.1)  # the stored time of use counts seconds
        assert curl("--cookie", jar, server.url + "/whoami").status == 200
        server.allowed = ["nobody can log in: cannot write"]
        server.stop()
        server.allowed.clear()
        assert len(server.complaints) == 1, server.stderr
    assert passwords_of(path) == before
    with Server(config) as again:
        assert curl("--cookie", jar, again.url + "/whoami").status == 200


def test_a_command_that_finds_the_disk_full_says_so_in_a_line_and_changes_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini")
    assert run_command(config, "add", "ann", password="secret")[0] == 0
    path = tmp_path / "var" / "auth.db"
    before = passwords_of(path)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * 4096}, {2 * 4096}))"
    program = f"{limit}; import sys; from plugins.auth.__main__ import main; sys.exit(main())"
    for arguments in (["add", "bob"], ["passwd", "ann"], ["remove", "ann"]):
        ran = subprocess.run(
            [sys.executable, "-c", program, "-c", str(config), *arguments], cwd=ROOT, env=ENVIRONMENT, input="other\n",
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert ran.returncode == 1 and ran.stdout == "", ran
        assert ran.stderr.count("\n") == 1 and "Traceback" not in ran.stderr and str(path) in ran.stderr
        assert passwords_of(path) == before


@pytest.mark.parametrize("damage", ["beginning", "middle", "end", "other"])
def test_a_damaged_file_is_one_clear_line_and_is_left_as_it_is(tmp_path: Path, damage: str) -> None:
    config = write_config(tmp_path / "config.ini")
    path = tmp_path / "var" / "auth.db"
    store = Store(path)
    store.open()
    for number in range(60):
        store.add_account(f"user{number}", "x" * 1000, 1.0)
    store.close()
    data = bytearray(path.read_bytes())
    if damage == "beginning":
        data[:100] = b"\0" * 100
    elif damage == "middle":
        data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    elif damage == "end":
        del data[len(data) // 2 :]
    else:
        data = bytearray(b"this was a letter once\n" * 500)
    path.write_bytes(data)
    ran = refused(config)
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1, ran.stderr
    assert "is damaged" in ran.stderr and "put a backup in its place" in ran.stderr and str(path) in ran.stderr
    status, said = run_command(config, "list")
    assert status == 1 and said.count("\n") == 1 and "is damaged" in said
    assert path.read_bytes() == bytes(data)


def test_a_backup_is_taken_while_the_server_runs(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini")
    with Server(config) as server:
        assert log_in(server, "admin", "password") == 200
        source, copy = sqlite3.connect(tmp_path / "var" / "auth.db"), sqlite3.connect(tmp_path / "copy.db")
        source.backup(copy)
        source.close()
        copy.close()
    assert list(passwords_of(tmp_path / "copy.db")) == ["admin"]


# -- guessing --------------------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_hundred_wrong_logins_a_second_are_hardly_noticed_by_others() -> None:
    """The bound is for a machine that does other things too; the figures are those of `python -m bench.logins`."""
    results = measure(1.5)
    assert tuple(phase.name for phase in results.phases) == PHASES
    quiet = max(results.phases[index].p99 for index in (0, 2, 4))
    for index, name in ((1, MANY_NAMES), (3, ONE_NAME)):
        phase = results.phases[index]
        assert phase.name == name and set(phase.guesses) <= {"401", "429", "503"}
        assert sum(phase.guesses.values()) == 250
        assert phase.p99 < max(10 * quiet, 50.0)
    assert results.phases[3].guesses["429"] > 200


def test_the_hash_thread_comes_behind_the_loop(tmp_path: Path) -> None:
    with Server(write_config(tmp_path / "config.ini")) as server:
        log_in(server, "admin", "wrong")
        tasks = Path(f"/proc/{server.process.pid}/task")
        niceness = {
            int(task.name): int((task / "stat").read_text().rpartition(")")[2].split()[16]) for task in tasks.iterdir()
        }
        assert niceness.pop(server.process.pid) == 0
        assert sorted(niceness.values())[-1] == 10 and list(niceness.values()).count(10) == 1
        server.stop(signal.SIGINT)
