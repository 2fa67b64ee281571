"""Logins that were right a moment ago, so that the next one with the same password costs no hash.

What is kept of a password is a digest under a key that this process has made for itself (HMAC-SHA-256), for some
minutes and in memory only. Who can read the memory of the server could test passwords against it quickly; but he could
read them as they come in as well. An entry holds for the stored hash that it was made of, and goes when the account has
another.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final, NamedTuple

from plugins.auth.watches import Verified

# About 400 bytes each. Who falls out pays for a hash.
MAX_RECENT: Final = 1_000


class _Entry(NamedTuple):
    digest: bytes
    who: Verified
    until: float


class RecentLogins:
    """One entry for each account, bounded; times are monotonic seconds."""

    def __init__(self, limit: int = MAX_RECENT) -> None:
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def all(self) -> list[Verified]:
        """Whoever is remembered, with the stored hash that each entry holds for."""
        return [entry.who for entry in self._entries.values()]

    def find(self, name: str, password: bytes, now: float) -> Verified | None:
        """Who this is, if that very password was right for the account a moment ago. None tells nothing."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if now >= entry.until:
            del self._entries[name]
            return None
        return entry.who if hmac.compare_digest(entry.digest, self._digest(name, password)) else None

    def note(self, who: Verified, password: bytes, until: float) -> None:
        """`password` was right, and need not be hashed again before `until`."""
        self._entries.pop(who.name, None)
        self._entries[who.name] = _Entry(self._digest(who.name, password), who, until)
        if len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]

    def forget(self, name: str) -> None:
        self._entries.pop(name, None)

    def _digest(self, name: str, password: bytes) -> bytes:
        return hmac.digest(self._key, b"%b\0%b" % (name.encode(), password), "sha256")  # no name has a NUL in it
