"""Sessions as the loop sees them: what is in memory answers at once, the rest asks the store's thread.

`Sessions` and `Accounts` (accounts.py) are what this plugin provides to the others, under the names "sessions" and
"accounts". The data they work on is kept over a reload (`State`), they themselves are made anew with the options.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar
from weakref import WeakKeyDictionary

from plugins.auth.delays import Delays
from plugins.auth.guests import Guest, Room, counted_network, is_guest, name_of
from plugins.auth.recent import RecentLogins
from plugins.auth.sessions import Lifetime, Session, SessionTable, digest_of, new_token
from plugins.auth.store import NOWHERE, Ended, Expiry, SessionLine, Store, Where
from plugins.auth.watches import OnLoginEnd, Verified, Watch, Watches
from reactor import HTTPError, Overloaded, Plugin, ReactorError, Request, Task

T = TypeVar("T")

# Lookups of ids unknown in memory that may be under way. Each takes some 20 µs of the store's thread, so honest clients
# never meet this bound; somebody who sends made-up ids does. It is a 503 and no 401: over it we do not know.
MAX_LOOKUPS: Final = 64

# With the reference scheme nobody can be told from anybody else.
ANYBODY: Final = "anybody"

DEMO_NAME: Final = "admin"
DEMO_PASSWORD: Final = "password"

NEVER: Final = -1


class State:
    """What survives a reload: the database, the sessions in memory, what is known of logins and of the demo account."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.watches = Watches()
        self.table = SessionTable(pinned=self.watches.sessions)
        self.on_user_end: list[Callable[[str], object]] = []
        self.users: set[str] = set()  # whom we have called live
        self.leaving: set[str] = set()  # who has lost a session, and perhaps the last one
        self.delays = Delays()
        self.recent = RecentLogins()
        self.changes_by_others = 0  # how often other processes have been found to have written
        self.accounts_unsure = False  # somebody has changed accounts since the watched and recent ones were looked at
        self.demo = False  # whether DEMO_PASSWORD opens DEMO_NAME
        self.demo_hash: str | None = None  # the hash for which that was found out
        self.demo_unsure = True  # somebody has changed accounts since
        self.failed_after = NEVER  # how many writes had succeeded when the store last failed


class StoreFailed(HTTPError):
    """503: the database cannot be used; `why` is for its owner."""

    def __init__(self, why: str) -> None:
        super().__init__(503, "the accounts cannot be used just now", [("Retry-After", "5")])
        self.why = why


class Desk:
    """Where the loop asks the store."""

    def __init__(self, plugin: Plugin, state: State) -> None:
        self._plugin = plugin
        self._state = state

    async def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Run it in the store's thread. StoreFailed if the database fails, which is logged once, not each time: again
        only after a write has succeeded, because reads go on working on a full disk.
        """
        try:
            return await self._plugin.offload(function, *args, pool="store")
        except sqlite3.Error as error:
            why = self._state.store.explain(error)
            self._note_failure(why)
            raise StoreFailed(why) from error

    def _note_failure(self, why: str) -> None:
        state = self._state
        if state.failed_after != state.store.writes:
            self._plugin.log.error(f"nobody can log in: {why}")
        state.failed_after = state.store.writes


class Sessions:
    """Who is logged in."""

    is_guest = staticmethod(is_guest)
    name_of = staticmethod(name_of)

    def __init__(self, plugin: Plugin, state: State, life: Lifetime, cookie: str) -> None:
        self.life = life
        self.table = state.table
        self.on_end = state.table.on_end
        self._cookie = cookie
        self.takes_guests = False
        self._has_ended_guests = False
        self.most = 0  # sessions of one account; 0: no bound
        self.lets_in_as_guest: Callable[[Request], bool] = lambda request: False
        self._watches = state.watches
        self._basic: WeakKeyDictionary[Request, Verified] = WeakKeyDictionary()
        self._plugin = plugin
        self._state = state
        self._store = state.store
        self._ask = Desk(plugin, state).ask
        self._looking: dict[bytes, Task[Session | ReactorError | None]] = {}

    async def start(self, who: Verified, replaces: str | None = None, where: Where = NOWHERE) -> str | None:
        """A new session on disk and in memory; its id, which is written down nowhere. The one with the id `replaces`
        ends: an id from before the login never works after it. So does the one that was used least recently, if the
        account has too many. None if the password was changed meanwhile.
        """
        token = new_token()
        digest, old = digest_of(token), digest_of(replaces)
        assert digest is not None
        unix = self._plugin.unix_time()
        if not await self._ask(self._store.add_session, digest, who.name, who.password, unix, old, where, self.most):
            self._state.recent.forget(who.name)
            return None
        await self._started(digest, who.name, old)
        return token

    async def start_guest(
        self, guest: Guest, room: Room, replaces: str | None = None, address: str = ""
    ) -> tuple[Literal["added", "taken", "full", "crowded"], str]:
        """A session for somebody without an account, and its id, as `start`; or why there is none: an account or
        another guest has the name, or there is no room for more guests, or for more from the network of `address`.
        """
        token = new_token()
        digest, old = digest_of(token), digest_of(replaces)
        assert digest is not None
        unix = self._plugin.unix_time()
        network = counted_network(address)
        await self.save()  # it ends what has expired, as `expire`
        answer = await self._ask(self._store.add_guest, digest, guest, unix, self._expiry(), room, old, network)
        if answer == "added":
            await self._started(digest, guest.user, old)
        return answer, token

    async def _started(self, digest: bytes, user: str, replaced: bytes | None) -> None:
        now = self._plugin.monotonic()
        self.table.add(digest, Session(user, now, now))
        if replaced is not None:
            self.table.forget(replaced)
            await self._apply_changes()

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

    async def user_of(self, request: Request) -> str | None:
        """Whose session a request came with, where no guard has asked: for what everybody may see, but not alike. It
        does not count as use.
        """
        digest = digest_of(request.cookies.get(self._cookie))
        session = await self.find(digest) if digest is not None else None
        if session is None or (is_guest(session.name) and not self.takes_guests):
            return None
        return session.name

    def use(self, digest: bytes, session: Session, now: float) -> None:
        """Each request with this session. (The guard has this inline; change both.)"""
        session.last_used = now
        if now - session.saved >= self.life.save_every:
            self.table.note_use(digest, session)

    async def end(self, digest: bytes, why: str = "logout") -> None:
        """Log out, everywhere: other processes notice within a second."""
        self.table.forget(digest)
        await self._ask(self._store.end_session, digest, why)
        await self._apply_changes()

    async def of(self, user: str) -> list[SessionLine]:
        """The sessions of a user, the last used first. What was used here a moment ago is written down first, if it can
        be.
        """
        self.table.note_uses_of(user)
        with suppress(StoreFailed):
            await self.save()
        return await self._ask(self._store.sessions_of, user, self._expiry())

    async def revoke(self, user: str, digests: list[bytes]) -> int:
        """End those of `digests` that are this user's, everywhere; how many were."""
        count = await self._ask(self._store.revoke_sessions, user, digests)
        await self._apply_changes()
        return count

    # -- who wants to hear of it -------------------------------------------------------------------------------------

    def watch(self, request: Request, callback: OnLoginEnd) -> Callable[[], None]:
        """Call `callback(why)` once when the login of a request is over: "logout", "replaced" (by another login of the
        same browser), "revoked", "displaced" (by too many others of that account), "idle", "age", "password",
        "account" (it is gone), "guests" (none are let in any more), or "over" where it was so already. At most a second
        later, never from inside `watch`. Returns what takes the callback off.

        With Basic the account is watched. A login of the reference scheme has no end.
        """
        digest = digest_of(request.cookies.get(self._cookie))
        session = self.table.known.get(digest) if digest is not None else None
        if digest is not None and session is not None and session.name == request.user:
            return self._watches.add(self._plugin.reactor, digest, session.due(self.life), callback)
        who = self._basic.get(request)
        if who is not None:
            return self._watches.add_account(who, callback)
        watch = Watch(callback, lambda watch: None)
        if request.user != ANYBODY:
            self._plugin.reactor.call_soon(watch.tell, "over")
        return watch

    def touch(self, request: Request) -> None:
        """Count this moment as use of the session that a request came with, as long as it is a good one."""
        digest = digest_of(request.cookies.get(self._cookie))
        session = self.table.known.get(digest) if digest is not None else None
        now = self._plugin.monotonic()
        if digest is not None and session is not None and session.alive(now, self.life):
            self.use(digest, session, now)

    def note_basic(self, request: Request, who: Verified) -> None:
        """This request has no session, but a password that was right."""
        self._basic[request] = who

    async def live(self) -> list[str]:
        """The `user`s who have a session, guests too where they are let in; as it is on the disk, so after a restart as
        well.
        """
        names = await self._ask(self._store.live_names, self._expiry())
        if not self.takes_guests:
            names = [name for name in names if not is_guest(name)]
        self._state.users.update(names)
        return names

    def on_user_end(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """Call `callback(user)` when the last session of a user has ended, in whatever process. Returns what takes it
        off again, for a stop hook.
        """
        callbacks = self._state.on_user_end
        callbacks.append(callback)
        return lambda: callbacks.remove(callback)

    def serve(self) -> None:
        """From now on this generation's lifetimes hold for what is watched."""
        self._watches.on_due = lambda digest: self._plugin.spawn(self._check_expiry(digest))
        for digest in self._watches.sessions:
            if digest in self.table.known:
                self._watches.move(digest, self.table.known[digest].due(self.life))

    async def _check_expiry(self, digest: bytes) -> None:
        """A watched session seems to have expired: has it been used meanwhile, here or by another process?"""
        session = self.table.known.get(digest)
        if session is None:
            return
        if self._plugin.monotonic() >= session.due(self.life):
            await self._take_last_use(digest, session)
        now = self._plugin.monotonic()
        if now < session.due(self.life):
            self._watches.move(digest, session.due(self.life))
            return
        why = "age" if now >= session.created + self.life.absolute else "idle"
        try:
            await self.end(digest, why)
        except ReactorError:  # the store is not needed to know that its time is over
            self._ended(Ended(digest, session.name, why))

    async def _take_last_use(self, digest: bytes, session: Session) -> None:
        try:
            row = await self._ask(self._store.session, digest)
        except ReactorError:
            return
        if row is not None:
            used = self._plugin.monotonic() - max(0.0, self._plugin.unix_time() - row.last_used)
            session.last_used = max(session.last_used, used)

    # -- what has changed --------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Write down uses, and apply what other processes did. Guests of a generation before that let them in end."""
        await self.save()
        if not self.takes_guests and not self._has_ended_guests:
            await self._ask(self._store.end_guests)
            self._has_ended_guests = True
        await self._apply_changes()
        await self._check_accounts()
        await self._tell_who_left()

    async def _apply_changes(self) -> None:
        """Every session ends here, whoever ended it in the store."""
        changes = await self._ask(self._store.changes)
        if changes is None:
            return
        if changes.by_others:
            self._state.changes_by_others += 1
            self._state.demo_unsure = self._state.accounts_unsure = True
        for ended in changes.ended:
            self._ended(ended)
        if changes.live is not None:
            self._state.leaving |= self._state.users
            for digest in [digest for digest in self.table.known if digest not in changes.live]:
                self._ended(Ended(digest, self.table.known[digest].name, "logout"))

    def _ended(self, ended: Ended) -> None:
        self._state.leaving.add(ended.name)
        self._watches.end(self._plugin.reactor, ended.digest, ended.why)
        self.table.end(ended.digest, ended.name)

    async def _check_accounts(self) -> None:
        """Whether those that somebody watches, or that have just logged in, still have the same password."""
        if not self._state.accounts_unsure:
            return
        watched, recent = list(self._watches.accounts), self._state.recent.all
        seen = self._state.changes_by_others
        stored = await self._ask(self._store.passwords, {who.name for who in [*watched, *recent]})
        self._state.accounts_unsure = seen != self._state.changes_by_others
        for who in recent:
            if stored.get(who.name) != who.password:
                self._state.recent.forget(who.name)
        for who in watched:
            if stored.get(who.name) != who.password:
                self._watches.end_account(self._plugin.reactor, who, "password" if who.name in stored else "account")

    async def _tell_who_left(self) -> None:
        leaving = self._state.leaving
        if not leaving:
            return
        asked = set(leaving)
        gone = await self._ask(self._store.without_session, asked)
        leaving -= asked
        self._state.users -= set(gone)
        for name in gone:
            for callback in self._state.on_user_end:
                self._plugin.reactor.call_soon(callback, name)

    async def save(self) -> None:
        """Write down uses. What cannot be written waits: else who was there all the time would be taken for idle."""
        uses = self.table.take_uses()
        if not uses:
            return
        ahead = self._plugin.unix_time() - self._plugin.monotonic()
        try:
            await self._ask(
                self._store.touch_sessions, [(digest, session.last_used + ahead) for digest, session in uses.items()]
            )
        except ReactorError:
            self.table.put_back(uses)
            raise

    async def save_all(self) -> None:
        self.table.note_all_uses()
        await self.save()

    async def expire(self) -> None:
        """End in the store what has expired; what was used and not written down yet has not."""
        await self.save()
        await self._ask(self._store.prune, self._expiry())
        await self._apply_changes()

    def _expiry(self) -> Expiry:
        """A little late, because the stored last use may be a little old."""
        unix = self._plugin.unix_time()
        return Expiry(unix - self.life.idle - self.life.slack, unix - self.life.absolute)
