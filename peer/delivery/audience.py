"""Who is told what happens to a node: a terminal, a window, the browser's end of a WebSocket, a test."""

from __future__ import annotations

from typing import Protocol

from peer.contact import Contact
from peer.delivery.letters import Letter
from peer.link import Link
from peer.storage.store import Entry


class Audience(Protocol):
    """Who is told what happens. Nothing here may raise."""

    def accepted(self, address: tuple[str, int]) -> None:
        """Somebody has connected; who, is not known yet."""

    def connected(self, contact: Contact, link: Link) -> None:
        """The first link to a peer is open."""

    def disconnected(self, contact: Contact, why: str) -> None:
        """The last link to a peer is gone."""

    def away(self, contact: Contact) -> None:
        """Nothing was heard of a peer for a while."""

    def changed(self, contact: Contact) -> None:
        """What is known of a peer may be something else: where or what it is in, its name, whether it is there."""

    def moved(self, channel: str) -> None:
        """We are in a channel now, or are not any more."""

    def message(self, entry: Entry) -> None:
        """A message of somebody else, safe in the history."""

    def kept(self, letter: Letter) -> None:
        """A message of ours, safe in the history. Messages come by their numbers, these and those of others."""

    def progress(self, letter: Letter, peer_id: str) -> None:
        """A message of ours has reached another state with this recipient."""

    def trouble(self, text: str) -> None:
        """Something is wrong on our side, in words."""


class Deaf:
    """For audiences of a few things only, to inherit from: hears nothing."""

    def accepted(self, address: tuple[str, int]) -> None: ...
    def connected(self, contact: Contact, link: Link) -> None: ...
    def disconnected(self, contact: Contact, why: str) -> None: ...
    def away(self, contact: Contact) -> None: ...
    def changed(self, contact: Contact) -> None: ...
    def moved(self, channel: str) -> None: ...
    def message(self, entry: Entry) -> None: ...
    def kept(self, letter: Letter) -> None: ...
    def progress(self, letter: Letter, peer_id: str) -> None: ...
    def trouble(self, text: str) -> None: ...


class Fan:
    """Several audiences as one: each is told, in their order."""

    def __init__(self, *audiences: Audience) -> None:
        self._audiences = audiences

    def accepted(self, address: tuple[str, int]) -> None:
        for audience in self._audiences:
            audience.accepted(address)

    def connected(self, contact: Contact, link: Link) -> None:
        for audience in self._audiences:
            audience.connected(contact, link)

    def disconnected(self, contact: Contact, why: str) -> None:
        for audience in self._audiences:
            audience.disconnected(contact, why)

    def away(self, contact: Contact) -> None:
        for audience in self._audiences:
            audience.away(contact)

    def changed(self, contact: Contact) -> None:
        for audience in self._audiences:
            audience.changed(contact)

    def moved(self, channel: str) -> None:
        for audience in self._audiences:
            audience.moved(channel)

    def kept(self, letter: Letter) -> None:
        for audience in self._audiences:
            audience.kept(letter)

    def message(self, entry: Entry) -> None:
        for audience in self._audiences:
            audience.message(entry)

    def progress(self, letter: Letter, peer_id: str) -> None:
        for audience in self._audiences:
            audience.progress(letter, peer_id)

    def trouble(self, text: str) -> None:
        for audience in self._audiences:
            audience.trouble(text)
