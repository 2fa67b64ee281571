"""Bytes in, one JSON text at a time out.

Version 1 ends each text with a line feed. The original peers do not frame at all: what they send ends at its closing
brace. Who speaks is known from the first text only, so that one is always taken by its braces. The scan goes on where
it stopped, whatever the pieces: looking again from the start at each `recv` would be quadratic.
"""

from __future__ import annotations

import re
from typing import Final

from peer.errors import FrameError
from reactor.sansio.buffer import ReceiveBuffer

# The longest text, with its line feed.
LONGEST: Final = 65_536

_outside = re.compile(rb'["{}]')
_inside = re.compile(rb'["\\]')
_not_space = re.compile(rb"[^ \t\r\n]")


class Framer:
    """`by_lines` may be set between two texts."""

    __slots__ = ("_buffer", "_depth", "_in_string", "_scanned", "by_lines")

    def __init__(self) -> None:
        self.by_lines = False
        self._buffer = ReceiveBuffer()
        self._scanned = 0  # bytes of the buffer that are known not to end the text
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> None:
        self._buffer.feed(data)

    def next(self) -> bytes | None:
        """The next text; None if it is not all there yet. FrameError for one that is too long or is none."""
        return self._next_line() if self.by_lines else self._next_object()

    def _next_line(self) -> bytes | None:
        if not self._scanned and not self._skip_space():
            return None
        buffer = self._buffer
        end = buffer.find(b"\n", self._scanned, LONGEST)
        if end < 0:
            self._scanned = len(buffer)
            self._check_length(self._scanned + 1)
            return None
        self._scanned = 0
        return buffer.take(end + 1)

    def _next_object(self) -> bytes | None:
        buffer = self._buffer
        if not self._scanned:
            if not self._skip_space():
                return None
            if buffer.peek(1) != b"{":
                raise FrameError("bad_json", "a message begins with {")
        end = self._find_end()
        self._check_length(end or len(buffer))
        if not end:
            return None
        self._scanned = 0
        return buffer.take(end)

    def _skip_space(self) -> bool:
        """All that there is before a text, at once; whether there is more than that."""
        start = self._buffer.search(_not_space)
        self._buffer.skip(len(self._buffer) if start < 0 else start)
        return start >= 0

    def _find_end(self) -> int:
        """Where the object ends; 0, and the place is kept, if that has not come yet."""
        buffer, at = self._buffer, self._scanned
        while True:
            found = buffer.search(_inside if self._in_string else _outside, at)
            if found < 0:
                self._scanned = max(at, len(buffer))
                return 0
            byte = buffer.peek_byte(found)
            at = found + 1
            if byte == 0x5C:  # a backslash and what it escapes, which may not be here yet
                at += 1
            elif byte == 0x22:
                self._in_string = not self._in_string
            else:
                self._depth += 1 if byte == 0x7B else -1
                if not self._depth:
                    return at

    @staticmethod
    def _check_length(length: int) -> None:
        if length > LONGEST:
            raise FrameError("too_long", f"a message is longer than {LONGEST} bytes")
