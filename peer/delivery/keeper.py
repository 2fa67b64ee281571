"""Saving to a store, whose trouble is told once, and its end: a full disk is one line, and not one for each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from peer.storage.store import Change, Store
from reactor.core.loop import Reactor
from reactor.core.task import Future

# What works again only now and then is not over: for so many seconds nothing must have failed.
CALM_SECONDS: Final = 5.0


class Keeper:
    """`tell` gets the first error of its kind, and later that it is over; each before those hear of it who have saved
    the change.
    """

    def __init__(self, store: Store, reactor: Reactor, tell: Callable[[str], object]) -> None:
        self._store = store
        self._reactor = reactor
        self._tell = tell
        self._told: set[str] = set()  # errors, since it worked last
        self._failures = 0
        self._failed_at = 0.0

    def save(self, change: Change) -> Future[None]:
        """As `Store.save`."""
        saving = self._store.save(change)
        if saving.done:  # in memory, where a turn of the loop would be the dearest part of it
            self._saved(saving)
        else:
            saving.on_done(self._saved)
        return saving

    def _saved(self, saving: Future[None]) -> None:
        if saving.error is not None:
            self._failed(str(saving.error))
        elif self._told and self._reactor.now - self._failed_at >= CALM_SECONDS:
            self._tell(f"What is said can be kept again. It could not be kept {self._failures} times")
            self._told.clear()
            self._failures = 0

    def _failed(self, words: str) -> None:
        self._failures += 1
        self._failed_at = self._reactor.now
        if words not in self._told:
            self._told.add(words)
            self._tell(words)
