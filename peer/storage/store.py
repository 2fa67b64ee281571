"""What a node remembers, as types, and what a store has to do with them.

A node hands changes to its store in the order they happen and goes on when they are safe: a message of ours leaves
only when its number is kept (or a restart would give the number to another message, which the other side takes for
seen), and a message of theirs is acknowledged only when it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from peer.messages import BROADCAST, DIRECT
from reactor.core.task import Future


class Entry(NamedTuple):
    """One message as the history has it.

    `channel` is `direct`, `broadcast` or a channel's name; `peer` is the other side of a direct one, and "" otherwise.
    `author` is who the message is from, our own id included. Entries are in order by (lamport, author, n). `number`
    grows by arrival, our own included; a store gives the next one to an entry that comes with 0. `key` is what a page
    calls a message of ours, so that one that it sends again is known.
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
    number: int = 0
    key: str = ""


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
    """A new message of ours, with a copy for each recipient but those who `failed` at once: (recipient, reason). The
    same message again has copies that got other numbers.
    """

    entry: Entry
    copies: tuple[Copy, ...]
    failed: tuple[tuple[str, str], ...] = ()


class Settled(NamedTuple):
    """Copies to one recipient that need not be kept any longer. `fate` is "" where they were delivered (or have other
    numbers now), UNACKNOWLEDGED where nobody will ever tell, and else why they failed.
    """

    recipient: str
    seqs: tuple[int, ...]
    fate: str = ""


class Read(NamedTuple):
    """The user has read a conversation up to this number."""

    conversation: str
    number: int


class Muted(NamedTuple):
    peer_id: str
    is_muted: bool


class Inside(NamedTuple):
    """We have entered a channel, or left it."""

    channel: str
    is_inside: bool


Change = Received | Sent | Settled | Read | Muted | Inside

UNACKNOWLEDGED: Final = "sent"


class Outcome(NamedTuple):
    """What has become of a message of ours: `of` recipients, `waiting` of them still, `unacknowledged` those of whom
    nothing more will be heard, and (recipient, reason) for those whom it failed to reach.
    """

    of: int
    waiting: int = 0
    unacknowledged: int = 0
    reasons: tuple[tuple[str, str], ...] = ()

    @property
    def delivered(self) -> int:
        return self.of - self.waiting - self.unacknowledged - len(self.reasons)


class Shelf(NamedTuple):
    """The entries of a channel, or direct ones with a peer: the number of the last, and of those of others that are
    not read, the last 1,000 at the most.
    """

    channel: str
    peer: str
    last: int
    unread: tuple[int, ...]


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
    number: int = 0  # of the last entry
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # of the messages that have copies, by id
    muted: frozenset[str] = frozenset()
    channels: tuple[str, ...] = ()  # that we were in
    reads: dict[str, int] = field(default_factory=dict)  # conversation -> number


class Store(Protocol):
    """What a node needs of a store. Changes are kept in the order of the calls."""

    def load(self) -> Saved:
        """Called once, before everything else."""

    def save(self, change: Change) -> Future[None]:
        """Done when the change is safe. An error means that it could not be kept, and none behind it either."""

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        """The last `limit` entries in order: of a channel, with a peer, or all."""

    def arrived(self, after: int, limit: int) -> Future[Sequence[Entry]]:
        """The first `limit` entries with a number above this one, by number."""

    def before(self, channel: str, peer: str, number: int, limit: int) -> Future[Sequence[Entry]]:
        """The last `limit` entries of a channel, or with a peer, that have a number below this one, by number."""

    def shelves(self, own_id: str, reads: Mapping[str, int]) -> Future[Sequence[Shelf]]:
        """All that there are. `reads` has the number up to which each was read, by `conversation_of`."""

    def outcomes(self, ids: Sequence[str]) -> Future[dict[str, Outcome]]:
        """Of those of our messages that are known."""

    def keyed(self, key: str) -> Future[Entry | None]:
        """Our message that a page calls so."""

    def close(self) -> None:
        """Everything that was saved is safe when this returns."""


def order(entry: Entry) -> tuple[int, str, int]:
    """The order of display: clocks only label."""
    return entry.lamport, entry.author, entry.n


def conversation_of(channel: str, peer: str) -> str:
    """What people see as one conversation: `#channel`, `@peer_id`, or `*` for what goes to everybody."""
    if channel == DIRECT:
        return "@" + peer
    return "*" if channel == BROADCAST else "#" + channel
