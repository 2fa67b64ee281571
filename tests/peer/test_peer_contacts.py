"""Whom a node remembers of those who come and go: as many as there is room for."""

from __future__ import annotations

from mesh import EPOCH, Mesh

from peer import contacts as contacts_module
from peer.contacts import MOST_FORGOTTEN, Contacts
from peer.storage.store import Mark, Saved


def make(saved: Saved | None = None) -> Contacts:
    return Contacts(Mesh().reactor, saved or Saved(EPOCH), 5, 2.0)


def test_how_far_the_streams_have_come_is_known_of_those_who_are_forgotten() -> None:
    contacts = make()
    contacts.know("bob").outbox.last_seq = 7
    contacts["bob"].inbox.begin(EPOCH)
    contacts["bob"].inbox.saved(contacts["bob"].inbox.take(9))
    contacts.forget_idle()
    assert "bob" not in contacts
    assert contacts.know("bob").outbox.last_seq == 7 and contacts["bob"].inbox.safe == Mark(EPOCH, 9)


def test_of_strangers_without_end_the_last_are_remembered_and_of_those_who_said_nothing_none() -> None:
    contacts = make()
    for number in range(3 * MOST_FORGOTTEN):
        inbox = contacts.know(f"p{number}").inbox
        if number % 2:
            inbox.begin(EPOCH)
            inbox.saved(inbox.take(1))
        contacts.forget_idle()
    assert len(contacts._marks) == MOST_FORGOTTEN and not contacts._seqs and not len(contacts)
    last = 3 * MOST_FORGOTTEN - 1
    assert contacts.know(f"p{last}").inbox.safe.upto == 1 and contacts.know("p1").inbox.safe.upto == 0


def test_who_comes_again_is_remembered_as_the_latest() -> None:
    known = {str(number): number for number in range(MOST_FORGOTTEN)}
    contacts_module._keep(known, "0", 7)
    contacts_module._keep(known, "new", 8)
    assert known["0"] == 7 and "1" not in known and len(known) == MOST_FORGOTTEN
