"""The console on everything that standard input can be, and standard output when nobody reads it."""

from __future__ import annotations

import fcntl
import io
import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import Loop, loop

from peer.terminal.console import Console
from peer.terminal.output import PlainOutput
from reactor import Log

__all__ = ["loop"]

END = "<end>"


class Listener:
    """A console, and what it has told."""

    def __init__(self, loop: Loop, fd: int) -> None:
        self.told: list[str] = []
        self._loop = loop
        self.console = Console(
            loop.reactor, fd, self.told.append, lambda: self.told.append(END), on_too_long=lambda: None
        )
        self.console.start()

    def wait_for(self, *wanted: str) -> None:
        self._loop.until(lambda: len(self.told) >= len(wanted))
        assert self.told == list(wanted)


@contextmanager
def descriptors_of(*fds: int) -> Iterator[None]:
    """Closed at the end, as far as they are not."""
    try:
        yield
    finally:
        for fd in fds:
            try:
                os.close(fd)
            except OSError:
                pass


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    """The keyboard and screen, and the terminal as a program has it."""
    screen, terminal = os.openpty()
    with descriptors_of(screen, terminal):
        yield screen, terminal


def test_a_pipe(loop: Loop) -> None:
    reading, writing = os.pipe()
    with descriptors_of(reading, writing):
        listener = Listener(loop, reading)
        os.write(writing, b"list\njo")
        listener.wait_for("list")
        os.write(writing, b"in dev\nquit")
        listener.wait_for("list", "join dev")
        os.close(writing)
        listener.wait_for("list", "join dev", "quit", END)
        assert os.get_blocking(reading)


def test_a_file_whose_reading_leaves_everybody_else_their_turns(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "commands"
    path.write_bytes(b"say dev hello\r\n" * 100_000)
    fd = os.open(path, os.O_RDONLY)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        if listener.told[-1:] != [END]:  # and not a search through all of them in each turn
            loop.reactor.call_soon(count)

    with descriptors_of(fd):
        listener = Listener(loop, fd)
        count()
        loop.until(lambda: listener.told[-1:] == [END])
    assert listener.told == ["say dev hello"] * 100_000 + [END]
    assert turns >= 1000


@pytest.mark.parametrize("path", ["/dev/null", "/"])
def test_what_is_at_its_end_at_once(loop: Loop, path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    with descriptors_of(fd):
        Listener(loop, fd).wait_for(END)


def test_a_terminal_and_its_ctrl_d(loop: Loop, pty: tuple[int, int]) -> None:
    screen, terminal = pty
    before = fcntl.fcntl(terminal, fcntl.F_GETFL), termios.tcgetattr(terminal)
    listener = Listener(loop, terminal)
    os.write(screen, b"list\nsay dev gr\xc3\xbc\xc3\x9f\n")
    listener.wait_for("list", "say dev grüß")
    os.write(screen, b"quit\x04\x04")  # the first one ends the line, the second the input
    listener.wait_for("list", "say dev grüß", "quit", END)
    assert (fcntl.fcntl(terminal, fcntl.F_GETFL), termios.tcgetattr(terminal)) == before
    assert os.read(screen, 1000).startswith(b"list\r\nsay dev ")  # the terminal's own echo, and no prompt


@pytest.mark.parametrize("ours", [0, 1], ids=["the master", "the terminal"])
def test_a_terminal_that_goes_away_is_the_end(loop: Loop, pty: tuple[int, int], ours: int) -> None:
    listener = Listener(loop, pty[ours])
    loop.turn()
    os.close(pty[1 - ours])
    listener.wait_for(END)


def test_close_leaves_the_terminal_to_its_next_reader(loop: Loop, pty: tuple[int, int]) -> None:
    screen, terminal = pty
    listener = Listener(loop, terminal)
    loop.turn()
    listener.console.close()
    os.write(screen, b"for the shell\n")
    loop.wait(0.05)
    assert listener.told == []
    assert os.read(terminal, 100) == b"for the shell\n"


def say_while_nobody_reads(loop: Loop, monkeypatch: pytest.MonkeyPatch, fd: int) -> Log:
    """Far more than any buffer of the system holds, with the loop turning all the time."""
    log = Log()
    output = PlainOutput(log)
    # As the interpreter has it, but for the descriptor, which the test closes.
    stream = io.TextIOWrapper(open(fd, "wb", closefd=False), encoding="utf-8", line_buffering=True)  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", stream)
    for number in range(2000):
        output.line(f"[Peer] Message from 65113e1d: {number} {'x' * 100}")
        if number % 100 == 0:
            loop.turn()
    loop.wait(0.1)
    return log


def read_lines(loop: Loop, fd: int, count: int) -> list[bytes]:
    """As the loop turns."""
    data = bytearray()
    os.set_blocking(fd, False)

    def complete() -> bool:
        try:
            data.extend(os.read(fd, 65536))
        except BlockingIOError:
            pass
        return data.count(b"\n") >= count

    loop.until(complete)
    return bytes(data).splitlines()


def check(lines: list[bytes]) -> None:
    assert [line.split()[4] for line in lines] == [b"%d" % number for number in range(2000)]


def test_a_full_pipe_at_standard_output_stops_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with descriptors_of(reading, writing):
        log = say_while_nobody_reads(loop, monkeypatch, writing)
        check(read_lines(loop, reading, 2000))
        log.close()
        monkeypatch.undo()


def test_a_stopped_terminal_stops_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch, pty: tuple[int, int]) -> None:
    screen, terminal = pty
    termios.tcflow(terminal, termios.TCOOFF)  # what Ctrl-S does
    log = say_while_nobody_reads(loop, monkeypatch, terminal)
    os.set_blocking(screen, False)
    with pytest.raises(BlockingIOError):
        os.read(screen, 1)
    termios.tcflow(terminal, termios.TCOON)
    check(read_lines(loop, screen, 2000))
    log.close()
    monkeypatch.undo()
