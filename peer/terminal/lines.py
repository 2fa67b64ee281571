"""What happens, as the lines that people read and scripts wait for.

`[Peer] Delivered to n of m in channel X: text` comes when nobody who is linked is awaited any more, and again when
somebody who was not has it too; so a channel of thirty is one line and not thirty.
"""

from __future__ import annotations

from peer.contact import Contact
from peer.delivery.audience import Deaf
from peer.delivery.letters import DELIVERED, FAILED, QUEUED, SENT, Letter
from peer.link import Link
from peer.messages import BROADCAST, DIRECT
from peer.node import Node
from peer.protocol import DIALLER
from peer.quoting import show_id
from peer.storage.store import Entry
from peer.terminal.output import Output


class Lines(Deaf):
    """An Audience. `node` is set once there is one."""

    node: Node

    def __init__(self, output: Output) -> None:
        self._line = output.line

    # -- links -------------------------------------------------------------------------------------------------------

    def accepted(self, address: tuple[str, int]) -> None:
        self._line(f"[Peer] New P2P connection from ({address[0]}, {address[1]})")

    def connected(self, contact: Contact, link: Link) -> None:
        if link.role is DIALLER:
            self._line(f"[Peer] Connected to peer: {show_id(contact.peer_id)}")
        else:
            self._line(f"[Peer] Handshake from peer: {show_id(contact.peer_id)}")

    def disconnected(self, contact: Contact, why: str) -> None:
        self._line(f"[Peer] Disconnected from peer: {show_id(contact.peer_id)} ({why})")

    def away(self, contact: Contact) -> None:
        self._line(f"[Peer] Nothing heard of {show_id(contact.peer_id)} for a while; still trying")

    def trouble(self, text: str) -> None:
        self._line(f"[Peer] {text}")

    # -- messages ----------------------------------------------------------------------------------------------------

    def message(self, entry: Entry) -> None:
        if entry.channel == DIRECT:
            self._line(f"[Peer] Message from {show_id(entry.author)}: {entry.text}")
        elif entry.channel == BROADCAST:
            self._line(f"[Peer] Broadcast from {show_id(entry.author)}: {entry.text}")
        else:
            self._line(f"[Peer] Message in {entry.channel} from {show_id(entry.author)}: {entry.text}")

    def posted(self, letter: Letter) -> None:
        """A message was accepted: say what is known of it at once."""
        if letter.is_direct:
            (peer_id,) = letter.states
            if letter.states[peer_id] is QUEUED and not self._is_linked(peer_id):
                self._line(f"[Peer] Not connected to peer: {show_id(peer_id)} (queued)")
        elif letter.entry.channel == BROADCAST:
            self._line(f"[Peer] Broadcasted to {len(letter.states)} peers: {letter.entry.text}")
        elif not any(self._is_linked(peer_id) for peer_id in letter.states):
            waiting = f" (queued for {len(letter.states)})" if letter.states else ""
            self._line(f"[Peer] Nobody else is connected in channel {letter.entry.channel}{waiting}")

    def progress(self, letter: Letter, peer_id: str) -> None:
        state, text = letter.states[peer_id], letter.entry.text
        if state is FAILED:
            where = "" if letter.is_direct else f" in {_where(letter)}"
            self._line(f"[Peer] Failed to deliver to {show_id(peer_id)}{where} ({letter.reasons[peer_id]}): {text}")
        if letter.is_direct:
            self._direct(letter, peer_id)
        else:
            self._to_many(letter)

    def _direct(self, letter: Letter, peer_id: str) -> None:
        state, text = letter.states[peer_id], letter.entry.text
        if state is SENT and not letter.was_sent:
            letter.was_sent = True
            self._line(f"[Peer] Sent message to {show_id(peer_id)}: {text}")
        elif state is DELIVERED:
            self._line(f"[Peer] Delivered to {show_id(peer_id)}: {text}")

    def _to_many(self, letter: Letter) -> None:
        text = letter.entry.text
        if letter.count(SENT) and not letter.was_sent:
            letter.was_sent = True
            if letter.entry.channel != BROADCAST:
                self._line(f"[Peer] Sent message to {_where(letter)}: {text}")
        delivered = letter.count(DELIVERED)
        if delivered and not any(self._is_awaited(letter, peer_id) for peer_id in letter.states):
            where = "" if letter.entry.channel == BROADCAST else f" in {_where(letter)}"
            self._line(f"[Peer] Delivered to {delivered} of {len(letter.states)}{where}: {text}")

    def _is_awaited(self, letter: Letter, peer_id: str) -> bool:
        """Whether something of this recipient may come soon. Original peers never acknowledge."""
        state = letter.states[peer_id]
        if state in (DELIVERED, FAILED) or not self._is_linked(peer_id):
            return False
        link = self.node.contacts[peer_id].link
        return state is QUEUED or (link is not None and not link.is_original)

    def _is_linked(self, peer_id: str) -> bool:
        contact = self.node.contacts.get(peer_id)
        return contact is not None and contact.link is not None


def _where(letter: Letter) -> str:
    return "the broadcast" if letter.entry.channel == BROADCAST else f"channel {letter.entry.channel}"
