"""A peer whose surroundings fail it: what it runs does not answer, its output, descriptors or disk are gone."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backends import wait_for_port
from peers import Peer
from server import ENVIRONMENT, ROOT, Server, command, wait_until, write_config

from bench.process import free_port

A, B = "aaaa1111", "bbbb2222"
SECONDS = 15.0


@contextmanager
def silence() -> Iterator[int]:
    """The port of somebody who lets everybody in and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


class Seat:
    """A terminal with a peer in it, in lines."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.master, terminal = os.openpty()
        os.set_blocking(self.master, False)
        self.data = b""
        command = [sys.executable, "-m", "peer", "0", "--plain", "--listen", "127.0.0.1", "--data", str(folder / "d")]
        self.process = subprocess.Popen(
            [*command, *options], cwd=ROOT, env=ENVIRONMENT, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True,
        )  # fmt: skip
        os.close(terminal)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def _read(self) -> None:
        try:
            self.data += os.read(self.master, 65536)
        except OSError:
            pass

    def wait_for(self, text: str) -> None:
        def look() -> bool:
            self._read()
            return text.encode() in self.data

        wait_until(look, SECONDS, lambda: f"no {text!r}: {self.data.decode()}", self.process)

    def seconds_to_end(self) -> float:
        start = time.monotonic()

        def look() -> bool:
            self._read()  # the kernel hands on what was written in its own time, also behind the end of the process
            return self.process.poll() is not None and b"Left. Goodbye!" in self.data

        wait_until(look, SECONDS, lambda: f"no end: {self.data.decode()}")
        assert self.process.returncode == 0 and b"Traceback" not in self.data, self.data.decode()
        return time.monotonic() - start

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Callable[..., Seat]]:
    seats: list[Seat] = []

    def sit(*options: str) -> Seat:
        seats.append(Seat(tmp_path, *options))
        seats[-1].wait_for("`help` lists")
        return seats[-1]

    yield sit
    for one in seats:
        one.close()


# -- what is typed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("farewell", ["quit\n", " Exit \n", "/quit\n", "\x04"], ids=["quit", "exit", "slash", "Ctrl-D"])
def test_the_end_does_not_wait_for_a_peer_that_does_not_answer(seat: Callable[..., Seat], farewell: str) -> None:
    with silence() as port:
        person = seat("--no-tracker")
        person.type(f"connect {B} 127.0.0.1 {port}\nchannels\n")
        person.wait_for("Connecting to peer")
        person.type(farewell)
        assert person.seconds_to_end() < 5
    assert b"Left. Goodbye!" in person.data and b"In 0 channels" not in person.data


@pytest.mark.parametrize("by", ["quit", "Ctrl-C"])
def test_the_end_does_not_wait_for_a_tracker_that_does_not_answer(seat: Callable[..., Seat], by: str) -> None:
    with silence() as port:
        person = seat("--tracker", f"127.0.0.1:{port}")
        person.type("join lobby\n")
        time.sleep(0.2)
        if by == "quit":
            person.type("quit\n")
        else:
            person.process.send_signal(signal.SIGINT)
        assert person.seconds_to_end() < 5
    assert b"The tracker could not be told" in person.data


def test_what_is_typed_ahead_waits_its_turn(seat: Callable[..., Seat]) -> None:
    with silence() as port:
        person = seat("--no-tracker")
        person.type(f"connect {B} 127.0.0.1 {port}\nchannels\n")
        person.wait_for("Connecting to peer")
        time.sleep(0.2)
        assert b"In 0 channels" not in person.data
    person.wait_for("Failed to connect")
    person.wait_for("In 0 channels")
    person.type("quit\n")
    person.seconds_to_end()


def test_in_a_script_the_end_is_the_last_command(tmp_path: Path) -> None:
    with Peer(tmp_path, A, None) as ann, Peer(tmp_path, B, None) as bob:
        bob.type(f"connect {A} 127.0.0.1 {ann.port}", "peers", "quit")
        bob.wait_for("[Peer] 1 peers connected")
        bob.wait_for("Left. Goodbye!")
        assert bob.process.wait(SECONDS) == 0


# -- how it is called --------------------------------------------------------------------------------------------------


def test_the_usage_has_the_interpreter_as_it_was_called(tmp_path: Path) -> None:
    (tmp_path / "my python").symlink_to(sys.executable)
    with_site = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ran = subprocess.run(
        [tmp_path / "my python", "-m", "peer"], cwd=ROOT, env=with_site, capture_output=True, text=True, timeout=SECONDS
    )
    assert ran.returncode == 2
    said = " ".join(ran.stderr.split())  # where the lines end depends on the length of the path
    assert said.startswith(f"usage: '{tmp_path}/my python' -m peer [-h]")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing", "No such file or directory. Give a --password-file that you may read"),
        (".", "Is a directory. Give a --password-file that you may read"),
        ("latin-1", "it is no text in UTF-8"),
    ],
)
def test_a_password_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "latin-1").write_bytes(b"caf\xe9\n")
    ran = subprocess.run(
        [sys.executable, "-m", "peer", "0", "--user", "ann", "--password-file", tmp_path / name], cwd=ROOT,
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"error: cannot read the password from {tmp_path / name}: {why}\n"


# -- no standard output ------------------------------------------------------------------------------------------------


def test_a_peer_without_standard_output_runs_and_complains_of_nothing(tmp_path: Path) -> None:
    command = ["peer", "0", "--no-tracker", "--listen", "127.0.0.1", "--data", str(tmp_path / "d")]
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=ENVIRONMENT, input=b"channels\nquit\n", stderr=subprocess.PIPE,
        preexec_fn=lambda: os.close(1), timeout=SECONDS,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_server_without_standard_output_logs_on(tmp_path: Path) -> None:
    port = free_port()
    config = write_config(tmp_path / "config.ini", listen=f"127.0.0.1:{port}")
    server = Server(config, ["sh", "-c", 'exec "$@" >&-', "sh", *command(config)])
    try:
        wait_for_port(port, server.process)
        server.reload()
        server.stop()
    finally:
        server.kill()


# -- descriptors and disks that are gone -------------------------------------------------------------------------------


def test_no_descriptors_left_is_one_line(tmp_path: Path) -> None:
    with Peer(tmp_path, A, None) as ann:
        _, most = resource.prlimit(ann.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(ann.process.pid, resource.RLIMIT_NOFILE, (16, most))
        strangers = [socket.create_connection(("127.0.0.1", ann.port)) for _ in range(30)]
        try:
            ann.wait_for("no room for connections")
            time.sleep(1.5)
            assert sum("no room for connections" in line for line in ann.lines) == 1
        finally:
            resource.prlimit(ann.process.pid, resource.RLIMIT_NOFILE, (most, most))
            for one in strangers:
                one.close()


def test_a_directory_that_is_removed_is_told_once_and_nothing_is_said_to_be_delivered(tmp_path: Path) -> None:
    with Peer(tmp_path, A, None) as ann, Peer(tmp_path, B, None) as bob:
        bob.ask(f"connect {A} 127.0.0.1 {ann.port}", f"Connected to peer: {A}")
        bob.ask(f"send {A} before", f"Delivered to {A}: before")
        shutil.rmtree(tmp_path / A)
        bob.ask(f"send {A} after", f"Sent message to {A}: after")
        ann.wait_for("was moved or removed: end this peer, and start it anew")
        ann.ask(f"send {B} lost", "Failed to deliver")
        time.sleep(0.5)
        assert not any("Delivered" in line and "after" in line for line in bob.lines)
        assert not any("Message from" in line and "after" in line for line in ann.lines)
        assert sum(line.endswith("and start it anew") for line in ann.lines) == 1


def test_links_are_bounded_by_the_files_that_the_system_allows(tmp_path: Path) -> None:
    options = f"0 --no-tracker --plain --listen 127.0.0.1 --data {tmp_path}/x"
    line = f"ulimit -n 100; exec {sys.executable} -m peer {options}"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, input="quit\n", text=True, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "This system lets us open 100 files: 36 links at the most, not 256 (`ulimit -n`)" in done.stdout
