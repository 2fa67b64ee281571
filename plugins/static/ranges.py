"""Parts of a file: what `Range` asks for, and how several parts are sent as one answer.

Ranges that overlap, or lie closer together than the head of a part is long, are sent as one (RFC 9110 15.3.7.2): so the
parts of an answer are never longer than the file, however often a request names the same bytes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from typing import IO, Final, NamedTuple

from reactor import HTTPError

# Ranges of one request. Readers of PDF and video ask for a handful; more is somebody who wants us to work.
MOST: Final = 16
# Bytes between two ranges that are sent along rather than left out.
GAP: Final = 80
PIECE: Final = 64 * 1024

# RFC 9110 14.1.1. 18 digits keep every number below 2**63, and no file is an exabyte long.
_ranges = re.compile(r"bytes=(.*)", re.IGNORECASE).fullmatch
_range = re.compile(r"[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*").fullmatch


class Span(NamedTuple):
    """`size` bytes from `start`."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size


def parse_ranges(value: str, size: int) -> list[Span] | None:
    """What `Range: value` asks of `size` bytes; None: send the whole file.

    That is what 14.2 allows for a malformed Range, an unknown unit and too many ranges. Raises HTTPError 416 if it is
    well-formed but no byte of the file lies in it.
    """
    match = _ranges(value)
    texts = match[1].split(",", 4 * MOST) if match else []
    asked = [_parse(text, size) for text in texts if text.strip(" \t")]
    if not 0 < len(asked) <= MOST or None in asked:
        return None
    spans = [span for span in asked if span is not None and span.size > 0]
    if spans:
        return _coalesced(spans)
    if any(span is not None and span.start == 0 == size for span in asked):
        return None  # the last bytes of an empty file are all of it, which Content-Range has no way to say
    raise HTTPError(416, f"the file has {size} bytes", [("Content-Range", f"bytes */{size}")])


def _parse(text: str, size: int) -> Span | None:
    """None if it is none. One that lies outside has the size 0, and a start beyond the end."""
    match = _range(text)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        return Span(size - length, length) if int(last) else Span(size + 1, 0)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        return Span(start + 1, 0)
    return Span(start, (min(int(last) + 1, size) if last else size) - start)


def _coalesced(spans: list[Span]) -> list[Span]:
    """Each group of those that touch as one, at the place where the request first names one of them."""
    groups: list[tuple[int, Span]] = []
    for span, at in sorted((span, at) for at, span in enumerate(spans)):
        if groups and span.start <= groups[-1][1].stop + GAP:
            first, before = groups[-1]
            groups[-1] = min(first, at), Span(before.start, max(before.stop, span.stop) - before.start)
        else:
            groups.append((at, span))
    return [span for _, span in sorted(groups)]


def content_range(span: Span, total: int) -> str:
    """RFC 9110 14.4."""
    return f"bytes {span.start}-{span.stop - 1}/{total}"


class Parts:
    """Several parts as one body, `multipart/byteranges` (RFC 9110 14.6)."""

    def __init__(self, spans: Iterable[Span], total: int, media_type: str) -> None:
        """Of a file of `total` bytes, which has this type when it is sent whole."""
        boundary = secrets.token_hex(12)
        self.content_type = f"multipart/byteranges; boundary={boundary}"
        self._parts = [(_part_head(boundary, media_type, span, total), span) for span in spans]
        self._end = f"\r\n--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        return sum(len(head) + span.size for head, span in self._parts) + len(self._end)

    def of(self, body: bytes) -> bytes:
        pieces = [piece for head, span in self._parts for piece in (head, body[span.start : span.stop])]
        return b"".join((*pieces, self._end))

    def read(self, file: IO[bytes]) -> FileParts:
        return FileParts(self._pieces(file), file)

    def _pieces(self, file: IO[bytes]) -> Iterator[bytes]:
        for head, span in self._parts:
            yield head
            file.seek(span.start)
            left = span.size
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise EOFError("the file has become shorter while it was sent")
                left -= len(piece)
                yield piece
        yield self._end


class FileParts:
    """Parts of an open file, read as they are sent. It owns the file: `aclose` closes it, whatever was read."""

    def __init__(self, pieces: Iterator[bytes], file: IO[bytes]) -> None:
        self._pieces = pieces
        self._file = file

    def __aiter__(self) -> FileParts:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._file.close()


def _part_head(boundary: str, media_type: str, span: Span, total: int) -> bytes:
    return (
        f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {content_range(span, total)}\r\n\r\n"
    ).encode()
