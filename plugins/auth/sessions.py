"""The sessions in memory: plain data, with the time passed in.

A session is found by the SHA-256 of its id, so that neither the database nor a dump of this table opens a door. The
table is a cache of the store: what is not in it may still be a good session, and is looked up there once. `last_used`
moves with every request and is written back now and then (`to_save`), so that idle expiry is right across a restart.

Times here are seconds on the monotonic clock; the store keeps Unix time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Container
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from plugins.auth.guests import is_guest

TOKEN_BYTES: Final = 32
TOKEN_LENGTH: Final = 43  # 256 bits in base64url

# About 300 bytes each. One that falls out is no logout: its next request costs a look into the store.
MAX_SESSIONS: Final = 10_000
# So many of them that cannot fall out are passed over in the search for one that can.
PINNED_STEPS: Final = 100
# Ids that the store does not know: clients with an old cookie ask again and again.
MAX_MISSING: Final = 1_000
MISSING_SECONDS: Final = 10.0
# How often the use of one session is written down; a short idle limit makes it more often.
SAVE_SECONDS: Final = 60.0


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@lru_cache(maxsize=4096)
def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def digest_of(token: str | None) -> bytes | None:
    """What the session with this id is found by; None for what cannot be one of our ids."""
    return _digest(token) if token is not None and len(token) == TOKEN_LENGTH else None


def session_id(digest: bytes) -> str:
    """What a session is called in lists. It opens nothing, and 48 bits do not meet by chance."""
    return digest.hex()[:12]


class Lifetime(NamedTuple):
    """When a session ends by itself, in seconds."""

    idle: float
    absolute: float

    @property
    def save_every(self) -> float:
        return min(SAVE_SECONDS, self.idle / 10)

    @property
    def slack(self) -> float:
        """How much older than the real last use the stored one may be, and some."""
        return 2 * self.save_every


class Session:
    """One login. `saved` is when its use was last on its way to the store."""

    __slots__ = ("created", "is_guest", "last_used", "name", "saved")

    def __init__(self, name: str, created: float, last_used: float) -> None:
        self.name = name
        self.is_guest = is_guest(name)
        self.created = created
        self.last_used = last_used
        self.saved = last_used

    def alive(self, now: float, life: Lifetime) -> bool:
        return now - self.last_used < life.idle and now - self.created < life.absolute

    def due(self, life: Lifetime) -> float:
        """When it expires, if it is not used any more."""
        return min(self.last_used + life.idle, self.created + life.absolute)


OnEnd = Callable[[bytes, str], object]


class SessionTable:
    """Digest -> Session, bounded. What is in `pinned` does not fall out."""

    def __init__(self, limit: int = MAX_SESSIONS, pinned: Container[bytes] = ()) -> None:
        self.limit = limit
        self.pinned = pinned
        self.known: dict[bytes, Session] = {}
        self._missing: dict[bytes, float] = {}
        self._to_save: dict[bytes, Session] = {}
        self._listeners: list[OnEnd] = []

    def add(self, digest: bytes, session: Session) -> None:
        self._missing.pop(digest, None)
        self.known[digest] = session
        if len(self.known) > self.limit:
            self._make_room()

    def _make_room(self) -> None:
        """The oldest falls out; pinned ones on the way go behind the others, so that the way stays short."""
        for digest in list(islice(self.known, PINNED_STEPS)):
            session = self.known.pop(digest)
            if digest not in self.pinned:
                self.note_use(digest, session)
                return
            self.known[digest] = session

    def forget(self, digest: bytes) -> Session | None:
        """As if it had never been seen: whether it is still good, only the store knows."""
        self._to_save.pop(digest, None)
        return self.known.pop(digest, None)

    def end(self, digest: bytes, name: str = "") -> None:
        """Logged out, expired, or the account changed. Listeners are told, even of a session that is not in the table
        just now.
        """
        session = self.forget(digest)
        for listener in tuple(self._listeners):
            listener(digest, session.name if session else name)

    def on_end(self, listener: OnEnd) -> Callable[[], None]:
        """Call `listener(digest, name)` for every session that ends, also in another process (within a second); what
        an open WebSocket closes itself by. Returns what takes it off again, for a stop hook.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # -- ids that nobody has -----------------------------------------------------------------------------------------

    def note_missing(self, digest: bytes, now: float) -> None:
        """The store does not know it. Forgotten soon, and all at once when a flood of made-up ids fills the room."""
        if len(self._missing) >= MAX_MISSING:
            self._missing.clear()
        self._missing[digest] = now

    def is_missing(self, digest: bytes, now: float) -> bool:
        noted = self._missing.get(digest)
        return noted is not None and now - noted < MISSING_SECONDS

    # -- writing back ------------------------------------------------------------------------------------------------

    def note_use(self, digest: bytes, session: Session) -> None:
        session.saved = session.last_used
        self._to_save[digest] = session

    def note_all_uses(self) -> None:
        """Before a stop: whatever was used since it was last saved."""
        for digest, session in self.known.items():
            if session.last_used > session.saved:
                self.note_use(digest, session)

    def note_uses_of(self, user: str) -> None:
        """Whatever sessions of this user were used since they were last saved."""
        for digest, session in self.known.items():
            if session.name == user and session.last_used > session.saved:
                self.note_use(digest, session)

    def take_uses(self) -> dict[bytes, Session]:
        """What waits to be saved; nothing does afterwards."""
        waiting, self._to_save = self._to_save, {}
        return waiting

    def put_back(self, uses: dict[bytes, Session]) -> None:
        """They could not be saved."""
        self._to_save = uses | self._to_save
