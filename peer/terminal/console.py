"""The terminal of a peer in plain mode: standard input, line by line, as one more source of the loop's `select()`.

It may be a terminal, a pipe, a file or nothing at all. O_NONBLOCK is never set on it: the flag sits on what we share
with the shell, and would still be there when we are gone. It is not needed either: one read of a descriptor that the
selector reports gives what there is and does not block. Files and /dev/null, which epoll refuses (EPERM), never block:
they are read a piece in each turn of the loop, up to their end.

No prompt is printed, on a terminal neither: scripts wait for lines, and a prompt would stand in front of what a friend
says just then. Output is not this file's business, see `peer.terminal.output`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from enum import Enum
from typing import Final

from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.sansio.buffer import ReceiveBuffer

READ_SIZE: Final = 64 * 1024
# In bytes, without its line feed. Longer than any message may be (4,000 code points), and no more than one read.
LONGEST_LINE: Final = 64 * 1024
# What one turn hands over: a script of a million commands leaves the links their turns.
MOST_LINES: Final = 100


class Special(Enum):
    """What may come in place of a line."""

    TOO_LONG = "a line over LONGEST_LINE"
    END = "the end"


class Lines:
    """Bytes in, lines out. A line ends at a line feed, with or without a CR before it, the last one at the end at the
    latest. What is no UTF-8 becomes U+FFFD. A line that is too long is TOO_LONG once and skipped to its end.
    """

    __slots__ = ("_buffer", "_ended", "_next", "_searched", "_skipping")

    def __init__(self) -> None:
        self._buffer = ReceiveBuffer()
        self._searched = 0  # bytes of the buffer that hold no line feed
        self._skipping = False
        self._ended = False
        self._next: str | Special | None = None

    def receive_data(self, data: bytes) -> None:
        self._buffer.feed(data)
        self._prepare()

    def receive_eof(self) -> None:
        self._ended = True
        self._prepare()

    @property
    def is_dry(self) -> bool:
        """Whether `take` has nothing until more bytes, or the end, have come."""
        return self._next is None

    def take(self) -> str | Special:
        """The next line, TOO_LONG, or at last END; not to be called when dry."""
        taken, self._next = self._next, None
        assert taken is not None
        self._prepare()
        return taken

    def _prepare(self) -> None:
        if self._next is None:
            self._next = self._parse()

    def _parse(self) -> str | Special | None:
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            self._searched = 0
            line = self._buffer.take(end + 1)
            if not self._skipping:
                return _decode(line) if end <= LONGEST_LINE else Special.TOO_LONG
            self._skipping = False
        return self._parse_rest()

    def _parse_rest(self) -> str | Special | None:
        """What there is has no line feed."""
        if self._skipping:
            self._buffer.clear()
        elif len(self._buffer) > LONGEST_LINE:
            self._buffer.clear()
            self._searched, self._skipping = 0, True
            return Special.TOO_LONG
        elif self._ended and self._buffer:
            self._searched = 0
            return _decode(self._buffer.take(len(self._buffer)))
        self._searched = len(self._buffer)
        return Special.END if self._ended else None


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")


class Console:
    """Tells `on_line` each line of a descriptor, in order, `on_too_long` of each that is over LONGEST_LINE, and once
    and last `on_end`: behind its end, or an error of it, which is one (the terminal is gone). All from the loop, and
    none while it is paused, so the commands of a script can run one after the other. What `on_line` raises is
    reported; the lines behind it come all the same.
    """

    def __init__(
        self,
        reactor: Reactor,
        fd: int | None,
        on_line: Callable[[str], object],
        on_end: Callable[[], object],
        *,
        on_too_long: Callable[[], object],
    ) -> None:
        """`fd` stays the caller's; None (`sys.stdin` is None, as in a daemon) is at its end at once."""
        self._reactor = reactor
        self._fd = -1 if fd is None else fd
        self._on_line = on_line
        self._on_end = on_end
        self._on_too_long = on_too_long
        self._lines = Lines()
        self._running = False
        self._paused = False
        self._watched = False  # the loop waits for bytes
        self._queued = False  # a turn of our own is to come
        self._in_turns = False  # the descriptor never blocks, and cannot be waited for

    def start(self) -> None:
        """Begin to read. Raises the system's error if the loop cannot wait for the descriptor."""
        self._running = True
        self._in_turns = _never_blocks(self._fd)
        self._update()

    def pause(self) -> None:
        """Hand over and read nothing, the end included, until `resume`. Twice is once."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        """Go on, from the loop's next turn."""
        self._paused = False
        self._update()

    def close(self) -> None:
        """Tell nobody anything any more. The descriptor is open as it was."""
        self._running = False
        self._update()

    @property
    def _active(self) -> bool:
        return self._running and not self._paused

    def _update(self) -> None:
        """See to it that what the state asks for comes: bytes, a turn of our own, or nothing."""
        self._watch(self._active and self._lines.is_dry and not self._in_turns)
        if self._active and not self._watched and not self._queued:
            self._queued = True
            self._reactor.call_soon(self._turn)

    def _watch(self, wanted: bool) -> None:
        if wanted == self._watched:
            return
        if wanted:
            try:
                self._reactor.register(self._fd, READ, self._ready)
            except PermissionError:  # epoll's EPERM
                self._in_turns = True
                return
        else:
            self._reactor.unregister(self._fd)
        self._watched = wanted

    def _ready(self, _: int) -> None:
        if self._watched:  # another source of this turn may have paused or closed us
            self._read()
            self._update()

    def _turn(self) -> None:
        self._queued = False
        try:
            self._hand_over()
        finally:
            self._update()

    def _hand_over(self) -> None:
        if self._in_turns and self._lines.is_dry and self._active:
            self._read()
        for _ in range(MOST_LINES):
            if self._lines.is_dry or not self._active:
                return
            self._tell(self._lines.take())

    def _tell(self, what: str | Special) -> None:
        if what is Special.END:
            self._running = False
            self._on_end()
        elif what is Special.TOO_LONG:
            self._on_too_long()
        else:
            self._on_line(what)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:  # somebody who shares it has set O_NONBLOCK, and somebody else was faster
            return
        except OSError:  # EIO: the terminal is gone; EISDIR: a directory; EBADF: it is closed
            data = b""
        if data:
            self._lines.receive_data(data)
        else:
            self._lines.receive_eof()


def _never_blocks(fd: int) -> bool:
    """Of a file, and of a closed descriptor, whose first read says so. What else epoll refuses it says itself; other
    selectors take a file, and wait at its end for ever.
    """
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return True
