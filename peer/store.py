"""What a node remembers: the types, and a store that keeps them in memory only.

A node hands changes to its store in the order they happen and goes on when they are safe: a message of ours leaves
only when its number is kept (or a restart would give the number to another message, which the other side takes for
seen), and a message of theirs is acknowledged only when it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from reactor.core.loop import Reactor
from reactor.core.task import Future

T = TypeVar("T")


class Entry(NamedTuple):
    """One message as the history has it.

    `channel` is `direct`, `broadcast` or a channel's name; `peer` is the other side of a direct one, and "" otherwise.
    `author` is who the message is from, our own id included. Entries are in order by (lamport, author, n).
    """

    id: str
    author: str
    username: str
    channel: str
    peer: str
    text: str
    lamport: int
    n: int
    timestamp: str


class Copy(NamedTuple):
    """One message of ours on its way to one recipient, under the number it has in the stream to them."""

    entry: Entry
    recipient: str
    seq: int
    made_at: float  # unix time: it expires


class Mark(NamedTuple):
    """How far we have the stream of one sender: all of `epoch` up to `upto` is processed. `refused` are the last of
    these that we did not take, as (seq, code).
    """

    epoch: str
    upto: int
    refused: tuple[tuple[int, str], ...] = ()


class Received(NamedTuple):
    """Their message (None: it was refused) and the mark behind it."""

    sender: str
    mark: Mark
    entry: Entry | None


class Sent(NamedTuple):
    """A new message of ours, with a copy for each recipient."""

    entry: Entry
    copies: tuple[Copy, ...]


class Settled(NamedTuple):
    """Copies to one recipient that need not be kept any longer: delivered, or failed."""

    recipient: str
    seqs: tuple[int, ...]


Change = Received | Sent | Settled


@dataclass
class Saved:
    """What a store has at the start of a node."""

    epoch: str
    lamport: int = 0
    n: int = 0  # the number of our last message
    seqs: dict[str, int] = field(default_factory=dict)  # recipient -> the last number used
    marks: dict[str, Mark] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)  # not settled, by recipient and seq in order
    names: dict[str, str] = field(default_factory=dict)  # peer_id -> the last name we know


class Store(Protocol):
    """What a node needs of a store. Changes are kept in the order of the calls."""

    def load(self) -> Saved:
        """Called once, before everything else."""

    def save(self, change: Change) -> Future[None]:
        """Done when the change is safe. An error means that it could not be kept, and none behind it either."""

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        """The last `limit` entries in order: of a channel, with a peer, or all."""

    def close(self) -> None:
        """Everything that was saved is safe when this returns."""


class MemoryStore:
    """Keeps the last entries as long as the program runs: `--no-history`."""

    MOST = 1000

    def __init__(self, reactor: Reactor, epoch: str) -> None:
        """`epoch` is new at each start, as nothing is left of the old numbers."""
        self._reactor = reactor
        self._epoch = epoch
        self._entries: list[Entry] = []

    def load(self) -> Saved:
        return Saved(self._epoch)

    def save(self, change: Change) -> Future[None]:
        if not isinstance(change, Settled) and change.entry is not None:
            self._entries.append(change.entry)
            if len(self._entries) > 2 * self.MOST:
                del self._entries[: -self.MOST]
        return self._done(None)

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        found = [
            entry
            for entry in self._entries
            if (not channel or entry.channel == channel) and (not peer or entry.peer == peer)
        ]
        found.sort(key=order)
        return self._done(found[-limit:] if limit else [])

    def _done(self, result: T) -> Future[T]:
        future: Future[T] = self._reactor.future()
        future.set_result(result)
        return future

    def close(self) -> None: ...


def order(entry: Entry) -> tuple[int, str, int]:
    """The order of display: clocks only label."""
    return entry.lamport, entry.author, entry.n
