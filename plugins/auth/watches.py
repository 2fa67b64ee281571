"""Who wants to hear when a login is over: an open WebSocket has shown its cookie once, and then asks no more.

A login is a session, or, with Basic, an account and the password that opened it. A watched session has a deadline of
its own, so that its expiry is told in time and costs nothing while it is used: moving on is seen when the time comes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from reactor import Deadline, Reactor

OnLoginEnd = Callable[[str], object]


class Verified(NamedTuple):
    """Somebody whose password was right; `password` is the stored hash that said so."""

    name: str
    password: str


class Watch:
    """One callback; calling it takes the callback off."""

    __slots__ = ("_callback", "_on_close")

    def __init__(self, callback: OnLoginEnd, on_close: Callable[[Watch], object]) -> None:
        self._callback: OnLoginEnd | None = callback
        self._on_close = on_close

    def __call__(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._on_close(self)

    def tell(self, why: str) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(why)


class _Session(NamedTuple):
    deadline: Deadline
    watches: dict[Watch, None]


class Watches:
    """All watches of this process; they outlive a reload, as sockets do."""

    def __init__(self) -> None:
        self.on_due: Callable[[bytes], object] = lambda digest: None  # of the generation that serves
        self.sessions: dict[bytes, _Session] = {}
        self.accounts: dict[Verified, dict[Watch, None]] = {}

    def add(self, reactor: Reactor, digest: bytes, due: float, callback: OnLoginEnd) -> Watch:
        """Tell `callback` when the session ends; `on_due` is asked for it from `due` on."""
        session = self.sessions.get(digest)
        if session is None:
            session = self.sessions[digest] = _Session(reactor.deadline(partial(self._expired, digest)), {})
            session.deadline.move(due)
        watch = Watch(callback, partial(self._forget, digest))
        session.watches[watch] = None
        return watch

    def add_account(self, who: Verified, callback: OnLoginEnd) -> Watch:
        """Tell `callback` when the account is gone or has another password."""
        watch = Watch(callback, partial(self._forget_account, who))
        self.accounts.setdefault(who, {})[watch] = None
        return watch

    def move(self, digest: bytes, due: float) -> None:
        if digest in self.sessions:
            self.sessions[digest].deadline.move(due)

    def end(self, reactor: Reactor, digest: bytes, why: str) -> None:
        session = self.sessions.pop(digest, None)
        if session is not None:
            session.deadline.close()
            for watch in session.watches:
                reactor.call_soon(watch.tell, why)

    def end_account(self, reactor: Reactor, who: Verified, why: str) -> None:
        for watch in self.accounts.pop(who, ()):
            reactor.call_soon(watch.tell, why)

    def close(self) -> None:
        for session in self.sessions.values():
            session.deadline.close()
        self.sessions.clear()
        self.accounts.clear()

    def _expired(self, digest: bytes) -> None:
        self.on_due(digest)

    def _forget(self, digest: bytes, watch: Watch) -> None:
        session = self.sessions.get(digest)
        if session is not None:
            session.watches.pop(watch, None)
            if not session.watches:
                self.sessions.pop(digest).deadline.close()

    def _forget_account(self, who: Verified, watch: Watch) -> None:
        watches = self.accounts.get(who, {})
        watches.pop(watch, None)
        if not watches:
            self.accounts.pop(who, None)
