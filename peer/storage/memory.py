"""A store in memory: what a node remembers as long as the program runs (`--no-history`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from peer.storage.store import (
    UNACKNOWLEDGED,
    Change,
    Entry,
    Outcome,
    Received,
    Saved,
    Sent,
    Settled,
    Shelf,
    conversation_of,
    order,
)
from reactor.core.loop import Reactor
from reactor.core.task import Future

T = TypeVar("T")


class MemoryStore:
    """A `Store` of the last entries."""

    MOST: Final = 1000

    def __init__(self, reactor: Reactor, epoch: str, most: int = MOST) -> None:
        """`epoch` is new at each start, as nothing is left of the old numbers."""
        self._most = most
        self._reactor = reactor
        self._epoch = epoch
        self._entries: list[Entry] = []
        self._number = 0
        self._fates: dict[str, dict[str, str | None]] = {}  # of our messages: recipient -> fate, None while it waits
        self._ids: dict[tuple[str, int], str] = {}  # of the copies that wait

    def load(self) -> Saved:
        return Saved(self._epoch)

    def save(self, change: Change) -> Future[None]:
        if isinstance(change, Received) and change.entry is not None:
            self._add(change.entry)
        elif isinstance(change, Sent):
            self._sent(change)
        elif isinstance(change, Settled):
            self._settled(change)
        return self._done(None)

    def _add(self, entry: Entry) -> None:
        if not entry.number:
            entry = entry._replace(number=self._number + 1)
        self._number = entry.number
        self._entries.append(entry)
        if len(self._entries) > 2 * self._most:
            for old in self._entries[: -self._most]:
                self._fates.pop(old.id, None)
            del self._entries[: -self._most]

    def _sent(self, change: Sent) -> None:
        id_ = change.entry.id
        if id_ not in self._fates:
            self._fates[id_] = dict(change.failed)
            self._add(change.entry)
        for copy in change.copies:
            self._fates[id_][copy.recipient] = None
            self._ids[copy.recipient, copy.seq] = id_

    def _settled(self, change: Settled) -> None:
        for seq in change.seqs:
            id_ = self._ids.pop((change.recipient, seq), "")
            if id_ in self._fates:
                self._fates[id_][change.recipient] = change.fate

    # -- questions ---------------------------------------------------------------------------------------------------

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        found = sorted(self._of(channel, peer), key=order)
        return self._done(found[-limit:] if limit else [])

    def arrived(self, after: int, limit: int) -> Future[Sequence[Entry]]:
        return self._done([entry for entry in self._entries if entry.number > after][:limit])

    def before(self, channel: str, peer: str, number: int, limit: int) -> Future[Sequence[Entry]]:
        found = [entry for entry in self._of(channel, peer) if entry.number < number]
        return self._done(found[-limit:] if limit else [])

    def shelves(self, own_id: str, reads: Mapping[str, int]) -> Future[Sequence[Shelf]]:
        places = dict.fromkeys((entry.channel, entry.peer) for entry in self._entries)
        return self._done([self._shelf(*place, own_id, reads) for place in places])

    def _shelf(self, channel: str, peer: str, own_id: str, reads: Mapping[str, int]) -> Shelf:
        found = self._of(channel, peer)
        read = reads.get(conversation_of(channel, peer), 0)
        unread = tuple(entry.number for entry in found if entry.number > read and entry.author != own_id)
        return Shelf(channel, peer, found[-1].number, unread[-1000:])

    def outcomes(self, ids: Sequence[str]) -> Future[dict[str, Outcome]]:
        return self._done({id_: _outcome(self._fates[id_]) for id_ in ids if id_ in self._fates})

    def keyed(self, key: str) -> Future[Entry | None]:
        return self._done(next((entry for entry in self._entries if key and entry.key == key), None))

    def _of(self, channel: str, peer: str) -> list[Entry]:
        return [
            entry
            for entry in self._entries
            if (not channel or entry.channel == channel) and (not peer or entry.peer == peer)
        ]

    def _done(self, result: T) -> Future[T]:
        future: Future[T] = self._reactor.future()
        future.set_result(result)
        return future

    def close(self) -> None: ...


def _outcome(fates: Mapping[str, str | None]) -> Outcome:
    words = list(fates.values())
    reasons = tuple((peer, fate) for peer, fate in fates.items() if fate and fate != UNACKNOWLEDGED)
    return Outcome(len(words), words.count(None), words.count(UNACKNOWLEDGED), reasons)
