"""Accounts and sessions as the loop sees them: what is in memory answers at once, the rest asks the store's thread.

`Sessions` and `Accounts` are what this plugin provides to the others, under the names "sessions" and "accounts". The
data they work on is kept over a reload (`State`), they themselves are made anew with the options.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from plugins.auth.passwords import Passwords, clean_name, clean_password
from plugins.auth.sessions import Lifetime, Session, SessionTable, digest_of, new_token
from plugins.auth.store import Store
from reactor import HTTPError, Overloaded, Plugin, ReactorError, Task

T = TypeVar("T")

# Lookups of ids unknown in memory that may be under way. Each takes some 20 µs of the store's thread, so honest clients
# never meet this bound; somebody who sends made-up ids does. It is a 503 and no 401: over it we do not know.
MAX_LOOKUPS: Final = 64

DEMO_NAME: Final = "admin"
DEMO_PASSWORD: Final = "password"


class State:
    """What survives a reload: the database, the sessions in memory, and what is known of the demo account."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.table = SessionTable()
        self.demo = False  # whether DEMO_PASSWORD opens DEMO_NAME
        self.demo_hash: str | None = None  # the hash for which that was found out
        self.demo_unsure = True  # somebody has changed accounts since
        self.failed_after = -1  # how many writes had succeeded when the store last failed


class Desk:
    """Where the loop asks the store."""

    def __init__(self, plugin: Plugin, state: State) -> None:
        self._plugin = plugin
        self._state = state

    async def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Run it in the store's thread. HTTPError 503 if the database fails, which is logged once, not each time: again
        only after a write has succeeded, because reads go on working on a full disk.
        """
        try:
            return await self._plugin.offload(function, *args, pool="store")
        except sqlite3.Error as error:
            self._note_failure(error)
            raise HTTPError(503, "the accounts cannot be used just now", [("Retry-After", "5")]) from error

    def _note_failure(self, error: sqlite3.Error) -> None:
        state = self._state
        if state.failed_after != state.store.writes:
            self._plugin.log.error(f"{state.store.path}: {error}; nobody can log in until this is mended")
        state.failed_after = state.store.writes


class Verified(NamedTuple):
    """Somebody whose password was right; `password` is the stored hash that said so."""

    name: str
    password: str


class Accounts:
    """Who may log in."""

    def __init__(self, plugin: Plugin, state: State, passwords: Passwords) -> None:
        self._plugin = plugin
        self._state = state
        self._passwords = passwords
        self._ask = Desk(plugin, state).ask

    async def verify(self, name: str, password: str) -> Verified | None:
        """Check a login. It takes the same time whether or not the account exists. Overloaded if too many wait.

        This is the place for growing delays and for remembering a recent success: every login passes here.
        """
        known, secret = clean_name(name), clean_password(password)
        if known is None or secret is None:  # decided by the form alone, so the quick answer tells nothing
            return None
        stored = await self._ask(self._state.store.password, known)
        right = await self._plugin.offload(self._passwords.verify, stored, secret, pool="hash")
        return Verified(known, stored) if right and stored is not None else None

    async def names(self) -> list[str]:
        return await self._ask(self._state.store.names)

    async def add_demo(self) -> None:
        """Make the demo account if there is no account at all. Processes that start together make one."""
        if not await self._ask(self._state.store.names):
            stored = await self._plugin.offload(self._passwords.hash, DEMO_PASSWORD.encode(), pool="hash")
            now = self._plugin.unix_time()
            await self._ask(lambda: self._state.store.add_account(DEMO_NAME, stored, now, only_first=True))

    async def check_demo(self) -> bool:
        """Whether the demo login works; found out anew where other processes have changed something."""
        state = self._state
        if not state.demo_unsure:
            return state.demo
        stored = await self._ask(state.store.password, DEMO_NAME)
        if stored != state.demo_hash:
            secret = DEMO_PASSWORD.encode()
            state.demo = await self._plugin.offload(self._passwords.verify, stored, secret, pool="hash")
            state.demo_hash = stored
        state.demo_unsure = False  # only now: a busy moment before this line must not leave us believing the old
        return state.demo

    async def warm(self) -> None:
        """Make the dummy hash now, or the first unknown name would take twice as long."""
        await self._plugin.offload(lambda: self._passwords.dummy, pool="hash")


class Sessions:
    """Who is logged in."""

    def __init__(self, plugin: Plugin, state: State, life: Lifetime) -> None:
        self.life = life
        self.table = state.table
        self.on_end = state.table.on_end
        self._plugin = plugin
        self._state = state
        self._store = state.store
        self._ask = Desk(plugin, state).ask
        self._looking: dict[bytes, Task[Session | ReactorError | None]] = {}

    async def start(self, who: Verified, replaces: str | None = None) -> str | None:
        """A new session on disk and in memory; its id, which is written down nowhere. The one with the id `replaces`
        ends: an id from before the login never works after it. None if the password was changed meanwhile.
        """
        token = new_token()
        digest, old = digest_of(token), digest_of(replaces)
        assert digest is not None
        unix = self._plugin.unix_time()
        if not await self._ask(self._store.add_session, digest, who.name, who.password, unix, old):
            return None
        now = self._plugin.monotonic()
        self.table.add(digest, Session(who.name, now, now))
        if old is not None:
            self.table.end(old)
        return token

    async def find(self, digest: bytes) -> Session | None:
        """The session, from memory or from the store. Overloaded where too many unknown ids are asked for."""
        now = self._plugin.monotonic()
        session = self.table.known.get(digest)
        if session is not None and session.alive(now, self.life):
            return session
        if self.table.is_missing(digest, now):
            return None
        found = await self._shared_lookup(digest)
        if isinstance(found, ReactorError):
            raise found
        return found

    def _shared_lookup(self, digest: bytes) -> Task[Session | ReactorError | None]:
        """One lookup for all who ask for one id: a browser comes with six connections. It is nobody's own, so that a
        client who leaves does not end it for the others.
        """
        task = self._looking.get(digest)
        if task is None:
            if len(self._looking) >= MAX_LOOKUPS:
                raise Overloaded("too many unknown sessions at once, try again")
            task = self._plugin.spawn(self._look_up(digest))
            if not task.done:
                self._looking[digest] = task
        return task

    async def _look_up(self, digest: bytes) -> Session | ReactorError | None:
        try:
            row = await self._ask(self._store.session, digest)
        except ReactorError as error:  # the store fails, or is overloaded: who waits hears of it
            return error
        finally:
            self._looking.pop(digest, None)
        now, unix = self._plugin.monotonic(), self._plugin.unix_time()
        if row is not None:
            session = Session(row.name, now - max(0.0, unix - row.created), now - max(0.0, unix - row.last_used))
            if session.alive(now, self.life):
                self.table.add(digest, session)
                return session
        self.table.note_missing(digest, now)
        return None

    def use(self, digest: bytes, session: Session, now: float) -> None:
        """Each request with this session. (The guard has this inline; change both.)"""
        session.last_used = now
        if now - session.saved >= self.life.save_every:
            self.table.note_use(digest, session)

    async def end(self, digest: bytes) -> None:
        """Log out, everywhere: other processes notice within a second."""
        self.table.end(digest)
        await self._ask(self._store.end_session, digest)
        self.table.known.pop(digest, None)  # a lookup that was under way may have brought it back

    async def follow(self) -> None:
        """Write down uses, and apply what other processes did."""
        await self.save()
        changes = await self._ask(self._store.changes)
        if changes is None:
            return
        self._state.demo_unsure = True
        for digest in changes.ended:
            self.table.end(digest)
        if changes.live is not None:
            self.table.end_all_but(changes.live)

    async def save(self) -> None:
        uses = self.table.take_uses()
        if uses:
            now, unix = self._plugin.monotonic(), self._plugin.unix_time()
            await self._ask(self._store.touch_sessions, [(digest, unix - (now - used)) for digest, used in uses])

    async def save_all(self) -> None:
        self.table.note_all_uses()
        await self.save()

    async def expire(self) -> None:
        """End in the store what has expired. A little late, because the stored last use may be a little old."""
        unix = self._plugin.unix_time()
        unused_since = unix - self.life.idle - 2 * self.life.save_every
        for digest in await self._ask(self._store.prune, unused_since, unix - self.life.absolute):
            self.table.end(digest)
