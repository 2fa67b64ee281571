"""What has arrived and is not yet parsed, without copying what arrives whole.

The common case is one `recv` that holds exactly what the parser wants next: then the very bytes object goes through
untouched. Only when a message arrives in pieces does a bytearray collect it (amortised appends, no quadratic joins).
"""

from __future__ import annotations

import re
from typing import TypeVar

T = TypeVar("T")
_CR = 13


class ReceiveBuffer:
    __slots__ = ("_data", "_pos")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self._pos = 0

    def __len__(self) -> int:
        return len(self._data) - self._pos

    def __bool__(self) -> bool:
        return self._pos < len(self._data)

    def feed(self, data: bytes) -> None:
        if self._pos == len(self._data):
            self._data, self._pos = data, 0
        elif isinstance(self._data, bytearray):
            self._data += data
        else:
            self._data = bytearray(memoryview(self._data)[self._pos :])
            self._data += data
            self._pos = 0

    def take_head(self, longest: int) -> bytes | None:
        """The bytes up to and with the next empty line, consumed; None, and nothing consumed, if that is not within
        `longest` bytes or if a CR comes first, which is an empty line in front.
        """
        data, pos = self._data, self._pos
        end = data.find(b"\r\n\r\n", pos, pos + longest) + 4
        if end < 4 or data[pos] == _CR:
            return None
        if end == len(data):
            self._data, self._pos = b"", 0
            return data if not pos and isinstance(data, bytes) else bytes(data[pos:end])
        head = bytes(data[pos:end])
        self.skip(end - pos)
        return head

    def known_head(self, known: dict[bytes, T], longest: int) -> tuple[T, bool] | None:
        """What `known` has for the bytes up to and with the next empty line, which are consumed then, and whether more
        follows. None, and nothing consumed, if it has nothing, or if the bytes came in pieces.
        """
        data, pos = self._data, self._pos
        if not isinstance(data, bytes):
            return None
        end = data.find(b"\r\n\r\n", pos, pos + longest) + 4
        found = known.get(data[pos:end]) if end > 3 else None
        if found is None:
            return None
        if end < len(data):
            self._pos = end
            return found, True
        self._data, self._pos = b"", 0
        return found, False

    def clear(self) -> None:
        self._data, self._pos = b"", 0

    def find(self, what: bytes, start: int = 0, stop: int | None = None) -> int:
        """Offset of `what` from the first unread byte, or -1; the search stays within `start` and `stop`."""
        pos = self._pos
        end = len(self._data) if stop is None else pos + stop
        found = self._data.find(what, pos + start, end)
        return found - pos if found >= 0 else -1

    def search(self, pattern: re.Pattern[bytes], start: int = 0) -> int:
        """Offset of the first match from `start` on, counted from the first unread byte, or -1."""
        found = pattern.search(self._data, self._pos + start)
        return found.start() - self._pos if found else -1

    def peek_byte(self, offset: int) -> int:
        """The byte at `offset` from the first unread one; IndexError if it is not there."""
        return self._data[self._pos + offset]

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes, not consumed."""
        return bytes(self._data[self._pos : self._pos + size])

    def take(self, size: int) -> bytes:
        """Up to `size` bytes, consumed."""
        data, pos = self._data, self._pos
        if pos == 0 and len(data) <= size:
            self.clear()
            return data if isinstance(data, bytes) else bytes(data)
        piece = bytes(data[pos : pos + size])
        self.skip(len(piece))
        return piece

    def skip(self, size: int) -> None:
        self._pos += size
        if self._pos >= len(self._data):
            self.clear()
        elif self._pos > 65_536 and isinstance(self._data, bytearray):
            del self._data[: self._pos]
            self._pos = 0
