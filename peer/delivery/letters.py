"""What became of a message of ours: queued, sent, delivered, or failed and why; for each recipient."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from peer.messages import BROADCAST, DIRECT, Broadcast, Chat, encode_tail
from peer.storage.store import Entry, Outcome
from reactor.core.task import Future


class State(Enum):
    """In the order in which they are reached. FAILED is "not known to have arrived"."""

    QUEUED = "queued"
    SENT = "sent"  # the system has taken its last byte
    DELIVERED = "delivered"  # the other side has acknowledged it
    FAILED = "failed"


QUEUED = State.QUEUED
SENT = State.SENT
DELIVERED = State.DELIVERED
FAILED = State.FAILED


class Letter:
    """`states` has each recipient of when it was written; `reasons` those of failures. `tail` are the bytes that all of
    its copies share, and `copies` counts those that are not settled. `saved` is done when it is safe, or could not be
    kept. `before` is what had become of it in earlier runs; its recipients of then are in no other count.
    """

    __slots__ = ("before", "copies", "entry", "reasons", "saved", "states", "tail", "was_sent")

    def __init__(self, entry: Entry, recipients: Iterable[str]) -> None:
        self.entry = entry
        self.states = dict.fromkeys(recipients, QUEUED)
        self.reasons: dict[str, str] = {}
        self.copies = 0
        self.saved: Future[None] | None = None
        self.before: Outcome | None = None
        self.was_sent = False  # somebody was told that it is on its way
        kind = Broadcast if entry.channel == BROADCAST else Chat
        self.tail = encode_tail(
            kind(
                message=entry.text, id=entry.id, peer_id=entry.author, username=entry.username, channel=entry.channel,
                lamport=entry.lamport, timestamp=entry.timestamp,
            )
        )  # fmt: skip

    def count(self, state: State) -> int:
        return sum(1 for one in self.states.values() if one is state)

    @property
    def outcome(self) -> Outcome:
        """In all runs."""
        waiting, unacknowledged = self.count(QUEUED) + self.count(SENT), 0
        if self.is_settled:  # what stays sent went to original peers
            waiting, unacknowledged = 0, waiting
        before = self.before or Outcome(len(self.states))
        reasons = (*before.reasons, *self.reasons.items())
        return Outcome(before.of, waiting, before.unacknowledged + unacknowledged, reasons)

    @property
    def is_settled(self) -> bool:
        """Whether nothing more can become of it."""
        return not self.copies

    @property
    def is_direct(self) -> bool:
        return self.entry.channel == DIRECT
