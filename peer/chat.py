"""What a person does: the node and the trackers together, whatever it is asked through (commands, HTTP, windows)."""

from __future__ import annotations

from collections.abc import Callable

from peer.contact import Contact
from peer.errors import Ambiguous, PeerError
from peer.link import Link
from peer.node import Listed, Node
from peer.quoting import show_id, show_name
from peer.trackers.answers import Joined
from peer.trackers.answers import Listed as Answer
from peer.trackers.several import Trackers
from reactor.core.address import Address
from reactor.core.task import Future, sleep
from reactor.core.timers import Timer
from reactor.errors import DialError

# How long the end waits for what is on its way, and then for the links to close.
FLUSH_SECONDS = 5.0
CLOSE_SECONDS = 2.0
# Of one channel, ourselves not included: no tracker of ours lets more in (`channel_full`).
MOST_MEMBERS = 127
# That we are in: whatever their names are, with their proofs they fit the line in which others are told of them.
MOST_CHANNELS = 128


class Chat:
    def __init__(self, node: Node, trackers: Trackers) -> None:
        self.node = node
        self.trackers = trackers

    # -- who ---------------------------------------------------------------------------------------------------------

    def _names(self) -> dict[str, str]:
        """The name of everybody else that a tracker or a link has told of, by id."""
        names = {peer.peer_id: peer.username for peer in self.trackers.merged}
        names.update((contact.peer_id, contact.username or contact.peer_id) for contact in self.node.contacts)
        names.pop(self.node.peer_id, None)
        return names

    def find(self, who: str) -> str:
        """The id that is meant by an id, or by a name or the beginning of an id that only one has: nobody's name may
        stand in the way of somebody's id. PeerError.
        """
        names = self._names()
        if who in names:
            return who
        found = [peer_id for peer_id, name in names.items() if name == who or peer_id.startswith(who)]
        if not found:
            raise PeerError(f"Not connected to peer: {who}")
        if len(found) > 1:
            several = ", ".join(f"{show_id(peer_id)} ({show_name(names[peer_id])})" for peer_id in found[:5])
            raise Ambiguous(f"{who} is ambiguous: {several}. Give more of the id")
        return found[0]

    # -- links -------------------------------------------------------------------------------------------------------

    def connect(self, peer_id: str, address: Address | None = None) -> tuple[Address, Future[Link]]:
        """Dial, and where; without an address, where a tracker or the peer itself has said. PeerError if nobody has."""
        if address is None:
            contact = self.node.contacts.get(peer_id)
            listed = next((peer for peer in self.trackers.merged if peer.peer_id == peer_id), None)
            address = Address(listed.ip, listed.port) if listed else contact.address if contact else None
        if address is None:
            known_as = show_id(peer_id)
            raise PeerError(f"The address of {known_as} is not known: give it, as in `connect {known_as} IP PORT`")
        if peer_id == self.node.peer_id:
            raise PeerError("That is this peer itself")
        return address, self.node.connect(peer_id, address)

    async def measure(self, seconds: float = 1.0) -> None:
        """Ask every link for its round trip, and wait for the answers, but no longer than that."""
        asked = []
        for contact in self.node.contacts:
            if contact.link is not None and contact.link.is_open and not contact.link.is_original:
                asked.append(self.node.reactor.future())
                contact.link.probe(seconds, asked[-1].set_result)
        for future in asked:
            await future

    # -- channels ----------------------------------------------------------------------------------------------------

    async def fetch(self, channel: str = "") -> list[Answer]:
        """What the trackers list now, ourselves included. TrackerError."""
        peers = await self.trackers.fetch(channel)
        self.learn(peers, all_of_them=not channel)
        return peers

    def learn(self, peers: list[Answer], *, all_of_them: bool = True) -> None:
        """What a tracker lists; of the members of a channel those that a mesh has room for. First come those we know
        already: who makes up members displaces nobody.
        """
        contacts, room = self.node.contacts, dict.fromkeys(self.node.channels, MOST_MEMBERS)
        listed = []
        for peer in sorted(peers, key=lambda peer: peer.peer_id not in contacts):
            channels = tuple(name for name in dict.fromkeys(peer.channels) if room.get(name))
            if peer.peer_id != self.node.peer_id and (channels or peer.peer_id in contacts):
                listed.append(Listed(peer.peer_id, peer.username, Address(peer.ip, peer.port), channels))
                room |= {name: room[name] - 1 for name in channels}
        self.node.listed(listed, all_of_them=all_of_them)

    async def join(self, channel: str, password: str | None = None, invite: str | None = None) -> Joined:
        """The channel as a tracker has it. TrackerError if no tracker lets us in, PeerError if we are in too many."""
        if channel not in self.node.channels and len(self.node.channels) >= MOST_CHANNELS:
            raise PeerError(f"This peer is in {MOST_CHANNELS} channels, and these are the most: leave one first")
        joined = await self.trackers.join(channel, password, invite)
        self.node.join(channel, joined.channel_key or "")
        return joined

    async def leave(self, channel: str) -> None:
        """TrackerError if no tracker could be told; we have left all the same."""
        self.node.leave(channel)
        await self.trackers.leave(channel)

    async def meet(self, channel: str, tell: Callable[[Contact, Future[Link]], object]) -> int:
        """Dial the members of a channel that are not linked, `tell` of each dial, and wait for all; how many worked."""
        dials = self.node.dial_members(channel)
        for contact, outcome in dials:
            tell(contact, outcome)
        return sum([await _worked(outcome) for _, outcome in dials])

    # -- the end -----------------------------------------------------------------------------------------------------

    async def flush(self) -> bool:
        """Wait for what present links can still deliver; False if it took too long."""
        reactor, end = self.node.reactor, self.node.reactor.now + FLUSH_SECONDS
        while not self.node.mail.is_flushed and reactor.now < end:
            await sleep(0.05)
        return self.node.mail.is_flushed

    async def close(self) -> bool:
        """Leave the trackers, say goodbye to everybody, and close. Whether the trackers were told."""
        told = await self.trackers.leave_all() if self.trackers.names else True
        self.trackers.close()
        closed = self.node.close()
        timer: Timer = self.node.reactor.call_later(CLOSE_SECONDS, closed.set_result, None)
        await closed
        timer.cancel()
        for link in list(self.node.links):
            link.abort()
        return told


async def _worked(outcome: Future[Link]) -> bool:
    try:
        await outcome
    except DialError:
        return False
    return True
