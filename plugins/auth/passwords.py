"""Names and passwords: which are accepted, and how a password is kept.

Hashing is argon2id with the parameters that OWASP names first (19 MiB, 2 passes, 1 lane): about 20 ms on a small
machine, which is why it always runs in the "hash" pool. Unknown names are verified against a dummy hash made with the
same parameters, so that the time an answer takes does not tell who has an account.
"""

from __future__ import annotations

import unicodedata
from functools import cached_property
from typing import Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_NAME: Final = 64  # characters, as for peer ids
# argon2 digests its input first, at once for any sane length; a megabyte as a password is somebody buying our time.
MAX_PASSWORD: Final = 1024  # bytes of UTF-8


class Cost(NamedTuple):
    """The parameters of argon2id; `memory` in KiB."""

    time: int
    memory: int
    lanes: int


COST = Cost(time=2, memory=19 * 1024, lanes=1)


def clean_name(text: str) -> str | None:
    """The name in the form in which it is stored and compared (NFC), or None if it can be nobody's.

    1 to 64 printable characters, no space at either end, and no colon: Basic could not carry it (RFC 7617 2).
    """
    name = unicodedata.normalize("NFC", text) if len(text) <= 4 * MAX_NAME else ""
    fits = 0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip() and ":" not in name
    return name if fits else None


def clean_password(text: str) -> bytes | None:
    """The bytes to hash, or None if it can be nobody's password: empty, too long, or no Unicode text.

    NFC, because one keyboard sends é as one character and another as two.
    """
    if not 0 < len(text) <= MAX_PASSWORD:
        return None
    try:
        password = unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError:  # a lone surrogate, from JSON or a terminal
        return None
    return password if len(password) <= MAX_PASSWORD else None


class Passwords:
    """Hashes and verifies. Every call takes its 20 ms: never on the loop."""

    def __init__(self, cost: Cost | None = None) -> None:
        cost = cost or COST
        self._hasher = PasswordHasher(time_cost=cost.time, memory_cost=cost.memory, parallelism=cost.lanes)

    def hash(self, password: bytes) -> str:
        return self._hasher.hash(password)

    def verify(self, stored: str | None, password: bytes) -> bool:
        """Whether `password` is the one that was stored. None (no such account) takes as long and is always False."""
        try:
            return self._hasher.verify(stored or self.dummy, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    @cached_property
    def dummy(self) -> str:
        """A hash nobody has the password of. The start hook asks for it once, so that no login ever pays for it."""
        return self._hasher.hash(b"nobody")
