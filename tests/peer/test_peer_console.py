"""The console on a selector that never waits: bytes in, lines out, and never more of either than asked for."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peer.terminal.console import LONGEST_LINE, MOST_LINES, READ_SIZE, Console, Lines, Special
from reactor.core.loop import Reactor
from reactor.testing import FakeClock

TOO_LONG, END = Special.TOO_LONG, Special.END


# -- bytes to lines --------------------------------------------------------------------------------------------------


def taken(lines: Lines) -> list[str | Special]:
    found: list[str | Special] = []
    while not lines.is_dry and (not found or found[-1] is not END):
        found.append(lines.take())
    return found


def read_in(pieces: list[bytes], *, late: bool = False) -> list[str | Special]:
    """`late`: nothing is taken before all is there."""
    lines, found = Lines(), []
    for piece in pieces:
        lines.receive_data(piece)
        found += [] if late else taken(lines)
    lines.receive_eof()
    return found + taken(lines)


CASES: list[tuple[bytes, list[str]]] = [
    (b"", []),
    (b"list\n", ["list"]),
    (b"list\nquit\n", ["list", "quit"]),
    (b"list\r\nquit\r\n", ["list", "quit"]),
    (b"a\n\n\nb\n", ["a", "", "", "b"]),
    (b"list\nquit", ["list", "quit"]),
    (b"list\nquit\r", ["list", "quit"]),
    (b"a\rb\r\r\n", ["a\rb\r"]),
    (b"a\x0bb\x0cc\x1cd\x85e\n", ["a\x0bb\x0cc\x1cd\ufffde"]),
    ("say x grüß 🦊\nsay y 漢字\n".encode(), ["say x grüß 🦊", "say y 漢字"]),
    ("one\u2028line\u0085only\n".encode(), ["one\u2028line\u0085only"]),
    (b"half \xf0\x9f\x98\nnext\n", ["half \ufffd", "next"]),
    (b"\xff\xfe\n", ["\ufffd\ufffd"]),
    (b"nul\0 and \x1b[2J\n", ["nul\0 and \x1b[2J"]),
    (b"half at the end \xc3", ["half at the end \ufffd"]),
]


@pytest.mark.parametrize(("data", "wanted"), CASES)
def test_lines_are_the_same_however_the_bytes_are_cut(data: bytes, wanted: list[str]) -> None:
    assert read_in([data] if data else []) == [*wanted, END]
    assert read_in([data[at : at + 1] for at in range(len(data))]) == [*wanted, END]
    for at in range(1, len(data)):
        assert read_in([data[:at], data[at:]]) == [*wanted, END]


LENGTHS: list[tuple[bytes, list[str | Special]]] = [
    (b"x" * LONGEST_LINE + b"\nnext\n", ["x" * LONGEST_LINE, "next"]),
    (b"x" * LONGEST_LINE, ["x" * LONGEST_LINE]),
    (b"x" * (LONGEST_LINE + 1) + b"\nnext\n", [TOO_LONG, "next"]),
    (b"x" * (LONGEST_LINE + 1), [TOO_LONG]),
    (b"x" * (5 * LONGEST_LINE) + b"\nnext", [TOO_LONG, "next"]),
    ((b"x" * (2 * LONGEST_LINE) + b"\n") * 2 + b"\n", [TOO_LONG, TOO_LONG, ""]),
]


@pytest.mark.parametrize(("data", "wanted"), LENGTHS, ids=range(len(LENGTHS)))
def test_a_line_that_is_too_long_is_said_once_and_skipped_to_its_end(data: bytes, wanted: list[str | Special]) -> None:
    for size in (len(data), LONGEST_LINE, LONGEST_LINE + 1, LONGEST_LINE + 2, 4093, 17):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert read_in(pieces) == read_in(pieces, late=True) == [*wanted, END]


def test_a_line_that_never_ends_is_not_kept() -> None:
    lines = Lines()
    for _ in range(100):
        lines.receive_data(b"x" * READ_SIZE)
        taken(lines)
        assert len(lines._buffer) <= LONGEST_LINE


# -- the console in the loop -----------------------------------------------------------------------------------------


class Impatient(selectors.SelectSelector):
    """Never waits, and refuses what is in `refused`, as epoll does files."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[int] = set()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if fileobj in self.refused:
            raise PermissionError(1, "Operation not permitted")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return sorted(super().select(0), reverse=True)  # the newest descriptor first


class Terminal:
    """A pipe, a console at its end, and what that has told. `on_line` may be replaced."""

    def __init__(self) -> None:
        self.selector = Impatient()
        self.reactor = Reactor(FakeClock(), self.selector)
        self.errors: list[str] = []
        self.reactor.on_error = lambda error, where: self.errors.append(str(error))
        self.fd, self._typing = os.pipe()
        self._open = [self.fd, self._typing]
        self.told: list[str | Special] = []
        self.on_line: Callable[[str], object] = lambda line: None
        self.console = self.console_on(self.fd)

    def console_on(self, fd: int | None) -> Console:
        return Console(
            self.reactor, fd, self._line, lambda: self.told.append(END), on_too_long=lambda: self.told.append(TOO_LONG)
        )

    def _line(self, line: str) -> None:
        self.told.append(line)
        self.on_line(line)

    def type(self, data: bytes) -> None:
        assert os.write(self._typing, data) == len(data)

    def end(self) -> None:
        """Of what is typed."""
        self._open.remove(self._typing)
        os.close(self._typing)

    def turn(self, times: int = 5) -> None:
        for _ in range(times):
            self.reactor.turn()

    def open(self, path: Path | str) -> int:
        fd = os.open(path, os.O_RDONLY)
        self._open.append(fd)
        return fd

    @property
    def is_watched(self) -> bool:
        return bool(self.selector.get_map())

    @property
    def unread(self) -> bool:
        with selectors.SelectSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            return bool(selector.select(0))

    def close(self) -> None:
        self.console.close()
        for fd in self._open:
            os.close(fd)
        self.reactor.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def test_lines_are_told_as_they_come_and_the_end_once_and_last(terminal: Terminal) -> None:
    terminal.console.start()
    terminal.turn()
    assert terminal.told == []
    terminal.type(b"list\njoin dev\nqu")
    terminal.turn()
    assert terminal.told == ["list", "join dev"]
    terminal.type(b"it")
    terminal.end()
    terminal.turn()
    assert terminal.told == ["list", "join dev", "quit", END]
    terminal.turn()
    assert terminal.told.count(END) == 1
    assert not terminal.is_watched


def test_nothing_is_told_before_the_start_and_nothing_from_inside_it(terminal: Terminal) -> None:
    terminal.end()
    terminal.turn()
    assert not terminal.is_watched
    terminal.console.start()
    assert terminal.told == []
    terminal.turn()
    assert terminal.told == [END]


def test_one_turn_hands_over_so_many_lines_and_reads_no_more_until_they_are_gone(terminal: Terminal) -> None:
    terminal.type(b"x\n" * (MOST_LINES * 5 // 2))
    terminal.console.start()
    terminal.turn(1)
    assert len(terminal.told) == MOST_LINES
    terminal.type(b"last\n")
    terminal.turn(1)
    assert len(terminal.told) == 2 * MOST_LINES
    assert terminal.unread and not terminal.is_watched
    terminal.turn()
    assert len(terminal.told) == MOST_LINES * 5 // 2 + 1
    assert terminal.told[-1] == "last"


def test_a_pause_holds_the_next_line_until_the_command_is_done(terminal: Terminal) -> None:
    def do(line: str) -> None:
        if line.startswith("join"):
            terminal.console.pause()

    terminal.on_line = do
    terminal.type(b"list\njoin dev\nsay dev hello\njoin ops\nquit\n")
    terminal.console.start()
    terminal.turn()
    assert terminal.told == ["list", "join dev"]
    terminal.console.resume()
    terminal.turn()
    assert terminal.told[2:] == ["say dev hello", "join ops"]
    terminal.console.resume()
    terminal.console.resume()
    terminal.turn()
    assert terminal.told[4:] == ["quit"]


def test_many_pauses_make_no_more_turns(terminal: Terminal) -> None:
    terminal.type(b"x\n" * 5 * MOST_LINES)
    terminal.console.start()
    for turn in range(1, 5):
        terminal.turn(1)
        assert len(terminal.told) == turn * MOST_LINES
        for _ in range(3):
            terminal.console.pause()
            terminal.console.resume()


def test_the_end_waits_for_the_last_command_too(terminal: Terminal) -> None:
    terminal.on_line = lambda line: terminal.console.pause()
    terminal.type(b"join dev")
    terminal.end()
    terminal.console.start()
    terminal.turn()
    assert terminal.told == ["join dev"]
    terminal.console.resume()
    terminal.turn()
    assert terminal.told == ["join dev", END]


def test_nothing_is_read_and_no_turn_is_spent_while_paused(terminal: Terminal) -> None:
    terminal.console.start()
    terminal.turn()
    terminal.console.pause()
    terminal.type(b"list\n")
    terminal.turn()
    assert terminal.told == [] and terminal.unread and not terminal.is_watched
    assert not terminal.reactor._ready
    terminal.console.resume()
    terminal.turn()
    assert terminal.told == ["list"]


def test_a_command_that_is_done_at_once_may_pause_and_resume_inside(terminal: Terminal) -> None:
    """The turn that `resume` asks for finds nothing left: it must not read what is not there, which would block."""

    def do(line: str) -> None:
        terminal.console.pause()
        terminal.console.resume()

    terminal.on_line = do
    terminal.type(b"a\nb\nc\n")
    terminal.console.start()
    terminal.turn()
    assert terminal.told == ["a", "b", "c"]
    assert terminal.is_watched


def test_a_pause_before_the_start_counts(terminal: Terminal) -> None:
    terminal.type(b"list\n")
    terminal.console.pause()
    terminal.console.start()
    terminal.turn()
    assert terminal.told == []
    terminal.console.resume()
    terminal.turn()
    assert terminal.told == ["list"]


def test_after_close_nothing_is_told_and_the_descriptor_is_open(terminal: Terminal) -> None:
    terminal.on_line = lambda line: terminal.console.close()
    terminal.type(b"quit\nlist\n")
    terminal.console.start()
    terminal.turn()
    terminal.console.close()
    terminal.console.resume()
    terminal.type(b"list\n")
    terminal.end()
    terminal.turn()
    assert terminal.told == ["quit"]
    assert not terminal.is_watched
    assert os.read(terminal.fd, 100) == b"list\n"


def test_another_source_of_the_same_turn_may_close_it(terminal: Terminal) -> None:
    newer = os.dup(terminal.fd)
    terminal.console.start()
    terminal.reactor.register(newer, selectors.EVENT_READ, lambda mask: terminal.console.close())
    terminal.type(b"list\n")
    terminal.turn(1)
    terminal.reactor.unregister(newer)
    os.close(newer)
    assert terminal.told == [] and terminal.unread


def test_a_command_that_fails_is_reported_and_costs_none_behind_it(terminal: Terminal) -> None:
    def do(line: str) -> None:
        if line == "b":
            raise ValueError("b is wrong")

    terminal.on_line = do
    terminal.type(b"a\nb\nc\n")
    terminal.end()
    terminal.console.start()
    terminal.turn()
    assert terminal.told == ["a", "b", "c", END]
    assert terminal.errors == ["b is wrong"]


def test_a_line_that_is_too_long_is_told_in_its_place(terminal: Terminal) -> None:
    terminal.console.start()
    terminal.type(b"list\nsend x ")
    for _ in range(3):
        terminal.turn()
        terminal.type(b"y" * 60_000)
    terminal.turn()
    assert terminal.told == ["list", TOO_LONG]
    terminal.type(b"\nquit\n")
    terminal.turn()
    assert terminal.told == ["list", TOO_LONG, "quit"]


def test_a_file_is_read_in_turns_and_never_ahead_of_its_lines(terminal: Terminal, tmp_path: Path) -> None:
    commands = [f"say dev number {number}" for number in range(20_000)]
    path = tmp_path / "commands"
    path.write_text("\n".join(commands))
    fd = terminal.open(path)
    console = terminal.console_on(fd)
    console.start()
    for turn in range(1, 100):
        terminal.turn(1)
        assert len(terminal.told) <= turn * MOST_LINES
        assert os.lseek(fd, 0, os.SEEK_CUR) <= (1 + turn // 20) * READ_SIZE
    assert len(terminal.told) > 90 * MOST_LINES
    console.pause()
    before = len(terminal.told), os.lseek(fd, 0, os.SEEK_CUR)
    terminal.turn(50)
    assert (len(terminal.told), os.lseek(fd, 0, os.SEEK_CUR)) == before
    console.resume()
    terminal.turn(200)
    assert terminal.told == [*commands, END]
    assert not terminal.is_watched


def test_what_the_selector_refuses_is_read_in_turns(terminal: Terminal) -> None:
    terminal.selector.refused.add(terminal.fd)
    terminal.type(b"list\nquit\n")
    terminal.end()
    terminal.console.start()
    terminal.turn()
    assert terminal.told == ["list", "quit", END]
    assert not terminal.is_watched


def test_no_descriptor_a_closed_one_and_a_directory_are_at_their_end(terminal: Terminal, tmp_path: Path) -> None:
    directory = terminal.open(tmp_path)
    terminal.selector.refused.add(directory)
    closed = os.dup(terminal.fd)
    os.close(closed)
    for fd in (None, directory, closed):
        terminal.told.clear()
        terminal.console_on(fd).start()
        terminal.turn()
        assert terminal.told == [END]


def test_bytes_that_another_reader_of_the_terminal_took_are_waited_for(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has set O_NONBLOCK on what we share."""
    os.set_blocking(terminal.fd, False)
    really_read = os.read

    def read_too_late(fd: int, size: int) -> bytes:
        really_read(fd, size)
        return really_read(fd, size)

    terminal.console.start()
    terminal.type(b"list\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read_too_late)
        terminal.turn(1)
    terminal.type(b"quit\n")
    terminal.turn()
    assert terminal.told == ["quit"]
    assert not terminal.errors
