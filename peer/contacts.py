"""Whom a node knows: a contact for each peer it has to do with, made when needed, forgotten when of no more use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from peer.contact import Contact
from peer.delivery.inbox import Inbox
from peer.delivery.outbox import MOST, Outbox
from peer.flood import Bucket
from peer.storage.store import Copy, Saved
from reactor.core.loop import Reactor

T = TypeVar("T")
# How far the streams with so many forgotten ones have come is known; of a stranger who comes once, nothing is.
MOST_FORGOTTEN: Final = 4096


class Contacts:
    """Iterating gives the contacts themselves."""

    def __init__(self, reactor: Reactor, saved: Saved, burst: int, rate: float) -> None:
        """`burst` messages at once and `rate` a second are what a peer may send another."""
        self._reactor = reactor
        self._seqs, self._marks, self._names = saved.seqs, saved.marks, saved.names
        self._burst, self._rate = burst, rate
        self._muted = saved.muted
        self._contacts: dict[str, Contact] = {}

    def __iter__(self) -> Iterator[Contact]:
        return iter(list(self._contacts.values()))

    def __len__(self) -> int:
        return len(self._contacts)

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self._contacts

    def __getitem__(self, peer_id: str) -> Contact:
        return self._contacts[peer_id]

    def get(self, peer_id: str) -> Contact | None:
        return self._contacts.get(peer_id)

    def know(self, peer_id: str, copies: Iterable[Copy] = ()) -> Contact:
        """The contact of this id, made if there is none; `copies` are what still has to be delivered to it."""
        contact = self._contacts.get(peer_id)
        if contact is None:
            contact = self._contacts[peer_id] = Contact(
                peer_id,
                Outbox(self._seqs.get(peer_id, 0), copies),
                Inbox(self._marks.get(peer_id)),
                bucket=Bucket(self._burst, self._rate, self._reactor.now),
                # Twice of what a sender allows itself: what was paced when it was sent may come at once.
                flood=Bucket(2 * self._burst, self._rate, self._reactor.now),
                # What an outbox holds, and once more: who reconnects all the time resumes no more than others send.
                resumable=Bucket(2 * MOST, self._rate, self._reactor.now),
            )
            contact.username = self._names.get(peer_id, "")
            contact.is_muted = peer_id in self._muted
        return contact

    def forget_idle(self) -> list[Contact]:
        """Those with whom nothing is going on, who are returned. How far both streams have come is kept, while there
        is room for it.
        """
        idle = [contact for contact in self if contact.is_idle]
        for contact in idle:
            if contact.outbox.last_seq:
                _keep(self._seqs, contact.peer_id, contact.outbox.last_seq)
            if contact.inbox.safe.upto:
                _keep(self._marks, contact.peer_id, contact.inbox.safe)
            del self._contacts[contact.peer_id]
        return idle


def _keep(known: dict[str, T], peer_id: str, value: T) -> None:
    """As the latest; the one that was kept longest makes room."""
    known.pop(peer_id, None)
    known[peer_id] = value
    if len(known) > MOST_FORGOTTEN:
        del known[next(iter(known))]
