"""Who may log in: the service "accounts". Every login passes through `Accounts.verify`, however it was sent.

too many wrong ones?   429, before anything is computed     delays.py
right a moment ago?    a keyed digest says so               recent.py
else                   a hash, in its own threads           passwords.py
"""

from __future__ import annotations

import math

from plugins.auth.passwords import Passwords, clean_name, clean_password
from plugins.auth.service import DEMO_NAME, DEMO_PASSWORD, Desk, State
from plugins.auth.watches import Verified
from reactor import HTTPError, Plugin, ReactorError


class TooManyWrong(HTTPError):
    """429: who asks has been wrong too often. It is the same for names that there are and that there are not."""

    def __init__(self, wait: float) -> None:
        seconds = math.ceil(wait)
        words = f"{seconds} seconds" if seconds != 1 else "a second"
        super().__init__(429, f"too many wrong logins: try again in {words}", [("Retry-After", str(seconds))])


class Accounts:
    """See the docstring of this file. `remember` is how many seconds a right password costs no second hash."""

    def __init__(self, plugin: Plugin, state: State, passwords: Passwords, remember: float = 0.0) -> None:
        self._plugin = plugin
        self._state = state
        self._passwords = passwords
        self._remember = remember
        self._ask = Desk(plugin, state).ask

    async def verify(self, name: str, password: str, client: str) -> Verified | None:
        """Check a login that came from the address `client`. It takes the same time whether or not the account exists,
        but for who knows its password. TooManyWrong, at once; Overloaded if too many wait.
        """
        known, secret = clean_name(name), clean_password(password)
        if known is None or secret is None:  # decided by the form alone, so the quick answer tells nothing
            return None
        state, now = self._state, self._plugin.monotonic()
        wait = state.delays.wait(known, client, now)
        if wait:  # asked before all else: the quick way must not be a place to guess quickly
            raise TooManyWrong(wait)
        who = state.recent.find(known, secret, now)
        if who is not None:
            state.delays.welcome(known, client)
            return who
        return await self._hash(known, secret, client)

    async def _hash(self, name: str, secret: bytes, client: str) -> Verified | None:
        state = self._state
        attempt = state.delays.begin(name, client, self._plugin.monotonic())
        seen = state.changes_by_others
        try:
            stored = await self._ask(state.store.password, name)
            right = await self._plugin.offload(self._passwords.verify, stored, secret, pool="hash")
        except ReactorError:  # too busy, or the store fails: nobody has learnt anything
            state.delays.take_back(attempt)
            raise
        if not right or stored is None:
            return None
        state.delays.succeed(attempt)
        who = Verified(name, stored)
        if self._remember and seen == state.changes_by_others:  # else it may be the old password already
            state.recent.note(who, secret, self._plugin.monotonic() + self._remember)
        return who

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
