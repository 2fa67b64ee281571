"""Compressed forms of a file: which one a client gets, and how a small one is made.

`app.js.br` and `app.js.gz` beside `app.js` are its compressed forms, as long as they are not older than it; where there
is no `.gz`, a small text is compressed once, when it is read. Each form is a representation of its own (RFC 9110
8.8.3.3): with a tag of its own, and `Vary: Accept-Encoding` on all of them.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

# In the order in which they are taken where the client likes both alike: the smaller one first.
ENDINGS: Final = {"br": ".br", "gzip": ".gz"}
IDENTITY: Final = "identity"

# Bytes. Below that a head is most of an answer; above it, compressing would hold up everybody else.
SMALLEST: Final = 1024
LARGEST: Final = 256 * 1024

_TEXTS: Final = frozenset(
    ("application/json", "application/ld+json", "application/geo+json", "application/manifest+json", "application/xml",
     "application/xhtml+xml", "application/rss+xml", "application/atom+xml", "application/wasm", "image/svg+xml",
     "image/bmp", "image/x-icon", "font/ttf", "font/otf")
)  # fmt: skip
# RFC 9110 12.4.2: at most three digits.
_member = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
).fullmatch


def is_compressible(media_type: str) -> bool:
    kind = media_type.partition(";")[0]
    return kind.startswith("text/") or kind in _TEXTS


def compressed(body: bytes) -> bytes | None:
    """With gzip, the same bytes each time; None where that is not worth it."""
    if not SMALLEST <= len(body) <= LARGEST:
        return None
    smaller = gzip.compress(body, compresslevel=6, mtime=0)
    return smaller if len(smaller) < 0.9 * len(body) else None


def choose(accept: str | None, there: Sequence[str]) -> str:
    """The coding out of `there` (in the order of preference) that `Accept-Encoding` likes best; "identity" if none.

    Without the field everything would do (RFC 9110 12.5.3), but a client that does not ask may not be able to unpack.
    Who forbids identity too gets it all the same: better than nothing.
    """
    if not accept or not there:
        return IDENTITY
    weights = _weights(accept)
    best, most = IDENTITY, weights.get(IDENTITY, 0.0)
    for coding in there:
        weight = weights.get(coding, weights.get("*", 0.0))
        if weight > 0 and (weight > most or (best == IDENTITY and weight == most)):
            best, most = coding, weight
    return best


@lru_cache(256)
def _weights(accept: str) -> dict[str, float]:
    """By coding, in lower case. A member that is not well-formed is left out; `x-gzip` is `gzip` (8.4.1.3)."""
    weights: dict[str, float] = {}
    for member in accept.split(",", 32)[:32]:
        match = _member(member)
        if match is not None:
            name = match[1].lower().removeprefix("x-")
            weights.setdefault(name, float(match[2]) if match[2] is not None else 1.0)
    return weights
