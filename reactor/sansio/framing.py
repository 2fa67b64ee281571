"""Where a body ends: one reader for each way that RFC 9112 6 knows.

A reader takes from the buffer what is there and returns `Data`, `End`, or None for "not enough yet". `at_eof` says
what the end of the connection means to it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from reactor.errors import RemoteProtocolError
from reactor.sansio.buffer import ReceiveBuffer
from reactor.sansio.fields import parse_fields
from reactor.sansio.head import CHUNKED, UNTIL_CLOSE, Limits
from reactor.sansio.headers import TOKEN, Headers

# One event never carries more than this, so that a consumer can count on it.
LARGEST_DATA = 64 * 1024


class Data(NamedTuple):
    """A piece of a body; never empty when received."""

    data: bytes


class End(NamedTuple):
    """The body is complete. Trailers stand apart and are never merged into the headers (RFC 9112 7.1.2)."""

    trailers: Headers = Headers()


class BodyReader(Protocol):
    @property
    def left(self) -> int:
        """Bytes that are announced and have not come."""

    def read(self, buffer: ReceiveBuffer) -> Data | End | None: ...

    def at_eof(self) -> End: ...


def body_reader(length: int, limits: Limits) -> BodyReader:
    if length == CHUNKED:
        return ChunkedReader(limits)
    if length == UNTIL_CLOSE:
        return UntilCloseReader()
    return LengthReader(length)


class LengthReader:
    """Content-Length: count down."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, buffer: ReceiveBuffer) -> Data | End | None:
        if not self.left:
            return End()
        if not buffer:
            return None
        data = buffer.take(min(self.left, LARGEST_DATA))
        self.left -= len(data)
        return Data(data)

    def at_eof(self) -> End:
        if self.left:
            raise RemoteProtocolError(f"the connection ended {self.left} bytes before the body did")
        return End()


class UntilCloseReader:
    """Responses only: the body lasts as long as the connection."""

    __slots__ = ()
    left = 0

    def read(self, buffer: ReceiveBuffer) -> Data | End | None:
        return Data(buffer.take(LARGEST_DATA)) if buffer else None

    def at_eof(self) -> End:
        return End()


# RFC 9112 7.1: chunk-size [ chunk-ext ]. 15 digits stay below 2**60. An extension must be well formed, is ignored,
# and counts against a bound, or a body of one-byte chunks could carry any number of bytes past every limit.
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~\x80-\xff])*"'
_EXTENSION = rf"[ \t]*;[ \t]*{TOKEN}(?:[ \t]*=[ \t]*(?:{TOKEN}|{_QUOTED}))?"
_chunk_line = re.compile(rf"([0-9A-Fa-f]{{1,15}})((?:{_EXTENSION})*)".encode("latin-1")).fullmatch
MAX_CHUNK_LINE = 256
MAX_EXTENSIONS = 16 * 1024


class ChunkedReader:
    """Transfer-Encoding: chunked, with trailers. Chunks that are there together come out as one `Data`."""

    __slots__ = ("_extensions", "_in_trailers", "_limits", "_scanned", "_wants_crlf", "left")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.left = 0  # bytes left in this chunk
        self._wants_crlf = False  # the two bytes behind a chunk's data
        self._in_trailers = False
        self._scanned = 0  # bytes of the trailers already searched for their end
        self._extensions = 0

    def read(self, buffer: ReceiveBuffer) -> Data | End | None:
        pieces: list[bytes] = []
        size = 0
        while size < LARGEST_DATA and not self._in_trailers:
            if self.left:
                piece = buffer.take(min(self.left, LARGEST_DATA - size))
                if not piece:
                    break
                self.left -= len(piece)
                self._wants_crlf = not self.left
                pieces.append(piece)
                size += len(piece)
            else:
                try:
                    if not self._next_chunk(buffer):
                        break
                except RemoteProtocolError:
                    if not pieces:
                        raise
                    break  # what came before it is handed out first, as if it had come alone; the next read raises
        if pieces:
            return Data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return self._read_trailers(buffer) if self._in_trailers else None

    def _next_chunk(self, buffer: ReceiveBuffer) -> bool:
        """Pass the border between two chunks; False if it is not all there yet."""
        if self._wants_crlf:
            start = buffer.peek(2)
            if start != b"\r\n"[: len(start)]:
                raise RemoteProtocolError("no CRLF behind a chunk")
            if len(start) < 2:
                return False
            buffer.skip(2)
            self._wants_crlf = False
        end = buffer.find(b"\r\n", 0, MAX_CHUNK_LINE + 2)
        if end < 0:
            self._check_partial_line(buffer)
            return False
        match = _chunk_line(buffer.peek(end))
        if match is None:
            raise RemoteProtocolError("malformed chunk size")
        self._extensions += len(match.group(2))
        if self._extensions > MAX_EXTENSIONS:
            raise RemoteProtocolError("too many bytes of chunk extensions", 413)
        buffer.skip(end + 2)
        self.left = int(match.group(1), 16)  # the pattern admits hex digits only
        self._in_trailers = not self.left
        return True

    @staticmethod
    def _check_partial_line(buffer: ReceiveBuffer) -> None:
        if len(buffer) > MAX_CHUNK_LINE + 1:
            raise RemoteProtocolError(f"a chunk's size line is longer than {MAX_CHUNK_LINE} bytes")

    def _read_trailers(self, buffer: ReceiveBuffer) -> End | None:
        if buffer.peek(2) == b"\r\n":
            buffer.skip(2)
            return End()
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3), self._limits.head)
        if end < 0:
            self._scanned = len(buffer)
            if self._scanned >= self._limits.head:
                raise RemoteProtocolError(f"trailers over {self._limits.head} bytes", 431)
            return None
        text = buffer.take(end + 4).decode("latin-1")
        return End(parse_fields(text[:-4], self._limits.fields))

    def at_eof(self) -> End:
        raise RemoteProtocolError("the connection ended in the middle of a chunked body")
