"""Fields that every answer has unless it brings its own: what a browser shall not do with it.

They go out with the Date line, which is made once a second, so that an answer costs nothing but their bytes. An answer
that has one of them keeps its own, and gets the others. Answers of other servers that are passed on are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reactor.sansio.headers import Headers

Pair = tuple[str, str]

SECURITY: Final[tuple[Pair, ...]] = (
    ("X-Content-Type-Options", "nosniff"),  # nothing is a script that does not say so
    ("X-Frame-Options", "SAMEORIGIN"),  # no other site puts it into a frame and lets people click there
    ("Referrer-Policy", "same-origin"),  # addresses of this site are not told to others
    ("Cross-Origin-Opener-Policy", "same-origin"),  # who opened it, or was opened by it, has no hold of its window
)
STRICT_TRANSPORT: Final = "Strict-Transport-Security"
_NAMES: Final = frozenset(name.lower() for name, _ in SECURITY) | {STRICT_TRANSPORT.lower()}


def brought(headers: Headers) -> frozenset[str] | None:
    """Which of these fields an answer has; None for none, which is the common case."""
    return frozenset(_NAMES.intersection(headers.index)) or None


class DefaultFields:
    """`secure_only` are for connections that are encrypted (RFC 6797 7.2 forbids them on others)."""

    def __init__(self, pairs: Sequence[Pair] = (), secure_only: Sequence[Pair] = ()) -> None:
        self._pairs = {False: tuple(pairs), True: (*pairs, *secure_only)}

    def lines(self, own: frozenset[str] | None, secure: bool) -> bytes:
        """Those that are missing where `own` are there already."""
        pairs = (pair for pair in self._pairs[secure] if not own or pair[0].lower() not in own)
        return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode("latin-1")


NO_DEFAULTS: Final = DefaultFields()


def security_fields(wanted: bool, hsts: float) -> DefaultFields:
    """Of a site; `hsts` is for how many seconds browsers shall come by TLS only, 0: as they like."""
    strict = [(STRICT_TRANSPORT, f"max-age={hsts:.0f}")] if hsts else []
    return DefaultFields(SECURITY if wanted else (), strict)
