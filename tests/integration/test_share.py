"""`python -m share` as people start it: a terminal with somebody at it, or none; and what is there afterwards."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from server import ENVIRONMENT, ROOT, START_SECONDS, Server, curl, wait_until, write_config
from test_peer_tui_pty import UTF8, Seat

from bench.process import free_port

PASSWORD = "correct horse"
SIZE = (110, 60)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path / "config.ini")


def command(config: Path, *options: str) -> list[str]:
    """For this machine only, whatever the test asks; ports from a free one on."""
    ports = ("--port", str(free_port()), "--tls-port", str(free_port()))
    return [sys.executable, "-W", "always::ResourceWarning", "-m", "share", "-c", str(config),
            "--listen", "127.0.0.1", *ports, *options]  # fmt: skip


@contextmanager
def seated(config: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Seat]:
    seat = Seat(config.parent, command(config, *options), SIZE, {**UTF8, **(env or {})})
    try:
        yield seat
    finally:
        seat.close()


def answer(seat: Seat, question: str, text: str) -> None:
    seat.wait_for(question)
    seat.type(text + "\r")


def url_of(seat: Seat, scheme: str = "http") -> str:
    seat.wait_for(f"Listening on {scheme}://")
    match = re.search(rf"Listening on ({scheme}://127\.0\.0\.1:\d+)/", "\n".join(seat.rows))
    assert match is not None
    return match.group(1)


def stop(seat: Seat) -> None:
    seat.type("\x03")
    assert seat.wait_ended() == 0, seat.stderr
    assert [line for line in seat.stderr.splitlines() if " info: " not in line] == []


def log_in(url: str, password: str, *options: str | Path) -> int:
    return curl(*options, "-d", f"username=admin&password={password}", f"{url}/login").status


def test_it_asks_then_shares_and_never_asks_again(config: Path) -> None:
    before = config.read_text()
    with seated(config) as seat:
        answer(seat, "A password for admin, of at least 8 characters:", "short")
        answer(seat, "It has 5 characters", "password")
        answer(seat, "verybody guesses that one first", PASSWORD)
        answer(seat, "The same once more:", "something else")
        seat.wait_for("The two are not the same.")
        seat.type(PASSWORD + "\r")
        seat.until(lambda: "\n".join(seat.rows).count("once more:") == 2, "second try")
        seat.type(PASSWORD + "\r")
        answer(seat, "Make one? [y/N]", "")
        answer(seat, "without a password? [y/N]", "perhaps")
        seat.until(lambda: "\n".join(seat.rows).count("[y/N]") == 3, "question again")
        seat.type("n\r")
        url = url_of(seat)
        assert PASSWORD not in "\n".join(seat.rows)
        assert log_in(url, PASSWORD) == 200
        assert log_in(url, "password") == 401
        stop(seat)
    share = config.with_name("share.ini")
    assert config.read_text() == before
    text = share.read_text()
    assert "Made by `make share` from config.ini" in text and "listen_tls" not in text and "guests" not in text
    with seated(config) as seat:
        seat.wait_for("Sharing as ")
        assert url_of(seat) == url
        assert "?" not in "\n".join(seat.rows)
        stop(seat)
    assert share.read_text() == text


def test_with_a_certificate_and_guests(config: Path) -> None:
    with seated(config, env={"SHARE_PASSWORD": PASSWORD}) as seat:
        answer(seat, "Make one? [y/N]", "y")
        answer(seat, "without a password? [y/N]", "yes")
        seat.wait_for("SHA-256 fingerprint", "comes in by typing a name")
        url = url_of(seat, "https")
        cert, key = config.parent / "var/tls/cert.pem", config.parent / "var/tls/key.pem"
        assert key.stat().st_mode & 0o077 == 0
        assert log_in(url, PASSWORD, "--cacert", cert) == 200
        stop(seat)
    text = config.with_name("share.ini").read_text()
    assert "guests = lan\n" in text
    made = cert.read_bytes()
    with seated(config) as seat:
        url_of(seat, "https")
        stop(seat)
    assert cert.read_bytes() == made


@pytest.mark.parametrize("at", ["A password for admin", "Make one? [y/N]", "without a password? [y/N]"])
@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_who_leaves_during_the_questions_has_changed_nothing(config: Path, at: str, key: str) -> None:
    before = sorted(path.name for path in config.parent.iterdir())
    with seated(config) as seat:
        asked = (("A password for admin", PASSWORD), ("The same once more:", PASSWORD), ("Make one?", ""))
        for question, text in asked:
            seat.wait_for(question)
            if at.startswith(question):
                break
            seat.type(text + "\r")
        seat.wait_for(at)
        seat.type(key)
        assert seat.wait_ended() == (130 if key == "\x03" else 1)
        lines = seat.stderr.strip().splitlines()
        assert len(lines) == 1 and "othing has been changed" in lines[0]
    assert sorted(path.name for path in config.parent.iterdir() if path.name != "stderr") == before


def test_a_port_that_is_taken_is_stepped_over_and_told_later(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with seated(config, "--port", str(port), "--no-tls", "--no-guests", env={"SHARE_PASSWORD": PASSWORD}) as seat:
            url = url_of(seat)
            assert url != f"http://127.0.0.1:{port}"
            stop(seat)
    kept = config.with_name("share.ini").read_text()
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))), seated(config) as seat:
        seat.wait_for("Another program has port", "this time it is")
        assert url_of(seat) != url
        stop(seat)
    assert config.with_name("share.ini").read_text() == kept


@pytest.mark.parametrize("charset", ["C.UTF-8", "C"])
def test_any_terminal_will_do(config: Path, charset: str) -> None:
    env = {"SHARE_PASSWORD": PASSWORD, "LC_ALL": charset, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    seat = Seat(config.parent, command(config, "--no-tls", "--no-guests"), (20, 60), {**UTF8, **env})
    try:
        seat.until(lambda: b"Listening on" in seat.raw, "listener")
        stop(seat)
    finally:
        seat.close()


# -- without a terminal ------------------------------------------------------------------------------------------------


def run(config: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(config, *options), cwd=ROOT, env={**ENVIRONMENT, **env}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip


def test_without_a_terminal_the_password_comes_from_a_file_and_the_answers_are_no(config: Path) -> None:
    (config.parent / "secret").write_text(PASSWORD + "\n")
    server = Server(config, ["env", f"SHARE_PASSWORD_FILE={config.parent}/secret", *command(config), "--tls"])
    try:
        wait_until(lambda: "Listening on https" in server.stdout, START_SECONDS, lambda: server.stderr, server.process)
        url = re.findall(r"Listening on (https://\S+)/ ", server.stdout)[0]
        assert log_in(url, PASSWORD, "--cacert", config.parent / "var/tls/cert.pem") == 200
        assert "\x1b" not in server.stdout
        server.stop(signal.SIGINT)
    finally:
        server.kill()
    assert "guests" not in config.with_name("share.ini").read_text()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({}, "there is no terminal to ask for one: set SHARE_PASSWORD_FILE"),
        ({"SHARE_PASSWORD": "short"}, "it has 5 characters, and 8 are the least"),
        ({"SHARE_PASSWORD": "PassWord"}, "everybody guesses that one first"),
        ({"SHARE_PASSWORD_FILE": "/nowhere/at/all"}, "cannot read /nowhere/at/all: No such file"),
    ],
)
def test_without_a_password_it_does_not_start_and_changes_nothing(config: Path, env: dict[str, str], says: str) -> None:
    ran = run(config, **env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: ") and says in ran.stderr and len(ran.stderr.splitlines()) == 1
    assert not (config.parent / "var").exists() and not config.with_name("share.ini").exists()


def test_a_config_that_is_wrong_is_told_before_anything_is_asked(config: Path) -> None:
    config.write_text("[server]\nlisten = x y\n")
    ran = run(config)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"error: {config}:2: [server] listen: ")


@pytest.mark.parametrize("options", [["--port", "0"], ["--port", "x"], ["--listen", "localhost"], ["--password", "x"]])
def test_arguments_that_make_no_sense_are_refused(config: Path, options: list[str]) -> None:
    ran = run(config, *options)
    assert ran.returncode == 2 and "error: " in ran.stderr and "Traceback" not in ran.stderr


def test_an_account_that_has_a_password_keeps_it(config: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "plugins.auth", "-c", str(config), "passwd", "admin"],
        cwd=ROOT, input="my own one\n", text=True, check=True, capture_output=True, timeout=10,
    )  # fmt: skip
    with seated(config, "--no-tls", "--no-guests", env={"SHARE_PASSWORD": PASSWORD}) as seat:
        assert log_in(url_of(seat), "my own one") == 200
        stop(seat)
