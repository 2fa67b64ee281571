"""All the peers that this server holds: one for each user who has used the chat and is logged in.

A user is held from the first look at the page until the last login has ended, also over a restart. What a guest has
written is deleted then: nobody can come back as the same guest.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from plugins.chat.held import Ground, Held, User, hold
from reactor import Future, HTTPError, Reactor, ReactorError, Request, Task, sleep

GUEST: Final = "guest-"
ACCOUNT: Final = "user-"
BETWEEN: Final = 0.01  # seconds


class House:
    """It outlives a reload; `settle` brings what the new generation has for it. `requests` are those of open pages."""

    def __init__(self, reactor: Reactor) -> None:
        self.requests: set[Request] = set()
        self._reactor = reactor
        self._ground: Ground
        self._directory: Path
        self._most = 0
        self._opening: dict[str, Task[Held]] = {}
        self._held: dict[str, Held] = {}
        self._leaving: dict[str, Future[None]] = {}

    def settle(self, ground: Ground, directory: Path, most: int) -> None:
        """Hold at most so many from now on, each with a directory below this one."""
        self._ground, self._directory, self._most = ground, directory, most

    def __len__(self) -> int:
        return len(self._held) + len(self._opening)

    async def of(self, user: User) -> Held:
        """The peer of a user, from now on. HTTPError 503 if it cannot be had."""
        if (leaving := self._leaving.get(user.id)) is not None:
            await leaving  # who comes again at once
        if user.id in self._held:
            return self._held[user.id]
        opening = self._opening.get(user.id)
        if opening is None:
            if len(self) >= self._most:
                words = f"{self._most} people are in the chat, which is the limit"
                raise HTTPError(503, words, [("Retry-After", "60")])
            opening = self._reactor.spawn(self._open(user))
            if not opening.done:
                self._opening[user.id] = opening
        try:
            return await opening
        except ReactorError as error:
            raise HTTPError(503, f"your messages cannot be reached just now: {error}") from error

    async def _open(self, user: User) -> Held:
        """In the same turn it is no longer being opened, and held: whoever lets go then finds it."""
        try:
            held = self._held[user.id] = await hold(self._ground, user, self._place(user))
        finally:
            self._opening.pop(user.id, None)
        return held

    def now_of(self, user: User) -> Held | None:
        """The peer of a user, if it is held already."""
        return self._held.get(user.id)

    def _place(self, user: User) -> Path:
        """A name may have any characters; its digest has none that a file system minds."""
        digest = hashlib.sha256(user.id.encode()).hexdigest()[:32]
        return self._directory / ((GUEST if user.is_guest else ACCOUNT) + digest)

    # -- after a start -------------------------------------------------------------------------------------------------

    async def hold_again(self, users: Iterable[User]) -> list[str]:
        """Those of them who have used the chat before; why it does not work for some. What guests have left who are
        gone is deleted.
        """
        await self._ground.store.run(self._directory.mkdir, 0o700, True, True)
        troubles = []
        places = {self._place(user): user for user in users}
        in_use = {self._place(held.user) for held in self._held.values()}  # who leaves takes theirs along
        for place in await self._ground.store.run(_places, self._directory):
            user = places.get(place)
            if user is not None:
                try:
                    await self.of(user)
                except HTTPError as error:
                    troubles.append(f"{user.name}: {_in_full(error)}")
            elif place.name.startswith(GUEST) and place not in in_use:
                await self._ground.store.run(shutil.rmtree, place, True)
        return troubles

    async def look_around(self) -> None:
        """The tracker's list has changed; everybody sees it, one after the other, so that nothing else has to wait."""
        for user in list(self._held):
            if user in self._held:
                await self._held[user].look_around()
                await sleep(BETWEEN)

    # -- the end -----------------------------------------------------------------------------------------------------

    async def let_go(self, user: User) -> None:
        """Their last login has ended."""
        if (opening := self._opening.get(user.id)) is not None:
            with suppress(ReactorError):  # who waits for it hears of that
                await opening
        held = self._held.pop(user.id, None)
        if held is None:
            return
        left = self._leaving[user.id] = self._reactor.future()
        try:
            await held.close(4401, "logged out", erase=user.is_guest)
        finally:
            del self._leaving[user.id]
            left.set_result(None)

    async def close(self) -> None:
        """The server ends; everybody is held again after the next start."""
        self._most = 0
        for opening in list(self._opening.values()):
            opening.cancel()
        closing = [self._reactor.spawn(held.close(1001, "the server stops")) for held in self._held.values()]
        self._held.clear()
        for one in closing:
            await one


def _in_full(error: HTTPError) -> object:
    """The reason with all that only whoever runs the server is to know."""
    trouble = error.__cause__
    return error.message if trouble is None else trouble.__cause__ or trouble


def _places(directory: Path) -> list[Path]:
    return sorted(place for place in directory.iterdir() if place.is_dir())
