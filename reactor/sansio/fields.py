"""The header lines of a head, and the trailers of a chunked body: text in, `Headers` out, strictly.

A line is `name ":" OWS value OWS` (RFC 9112 5). What is no such line is refused whole: no folded lines (5.2), no space
before the colon (5.1), no control characters in a value (RFC 9110 5.5). The splitting has left no CR LF, so a CR or LF
that is still there is a bare one.
"""

from __future__ import annotations

import re

from reactor.errors import RemoteProtocolError
from reactor.sansio.headers import TOKEN, Headers

_is_token = re.compile(TOKEN).fullmatch
_illegal_in_value = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search

# A second line of these is an attack or a bug, never a list (RFC 9112 3.2, 6.3; RFC 9110 5.3).
_SINGLE = frozenset({"host", "content-length", "transfer-encoding"})

# Names that were found good, with their lower case: the same few come again and again. Bounded, because a client may
# invent any number of them.
_names: dict[str, str] = {}
MOST_NAMES = 1_000
LONGEST_NAME = 64


def parse_fields(block: str, most: int) -> Headers:
    """`block` has the lines without the last CRLF. More than `most` of them are 431, anything malformed is 400."""
    lines = block.split("\r\n") if block else []
    if len(lines) > most:
        raise RemoteProtocolError(f"more than {most} header fields", 431)
    index: dict[str, str] = {}
    known = _names
    for line in lines:
        raw_name, colon, value = line.partition(":")
        name = known[raw_name] if raw_name in known else _good_name(raw_name, line)
        if not colon:
            raise _malformed(line)
        # What is printable holds no control character, and that is told quickly; a tab or an odd byte takes a look.
        if not value.isprintable() and _illegal_in_value(value):
            raise _malformed(line)
        value = value.strip(" \t")
        if name not in index:
            index[name] = value
        elif name in _SINGLE:
            raise RemoteProtocolError(f"more than one {name} header")
        else:
            index[name] = index[name] + ", " + value
    return Headers.parsed(lines, index)


def _good_name(name: str, line: str) -> str:
    if not _is_token(name):
        raise _malformed(line)
    lower = name.lower()
    if len(_names) < MOST_NAMES and len(name) <= LONGEST_NAME:
        _names[name] = lower
    return lower


def _malformed(line: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"malformed header line: {line[:60]!r}")
