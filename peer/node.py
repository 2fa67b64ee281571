"""A peer among peers: which links it has, and who is at the other end.

    Node: links and whom to dial    Rooms: channels    Mail: messages out    Reader: messages in

What is asked of a node (connect, send, say, broadcast, join, leave) is answered at once; what becomes of it later is
told to its `Audience`. It does no I/O of its own: links are made by a `Connect`, changes are kept by a `Store`, and
who is where comes from whoever asks the trackers. So the same node runs behind a terminal, inside a server, and in a
simulation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from peer.contact import Contact
from peer.contacts import Contacts
from peer.delivery.audience import Audience
from peer.delivery.author import Author
from peer.delivery.keeper import Keeper
from peer.delivery.letters import Letter
from peer.delivery.mail import Mail
from peer.delivery.reader import Reader
from peer.dialling import STEPS, Connect, Dialling
from peer.errors import PeerError
from peer.link import Goodbye, Limits, Link
from peer.messages import (
    BROADCAST,
    DIRECT,
    VERSION,
    Ack,
    Broadcast,
    Channels,
    Chat,
    Handshake,
    HandshakeAck,
    Have,
    Hello,
    Message,
    Refuse,
)
from peer.protocol import DIALLER
from peer.quoting import show_id
from peer.rivals import Rivals
from peer.rooms import Rooms
from peer.storage.store import Change, Inside, Muted, Store
from reactor.core.address import Address
from reactor.core.loop import Reactor
from reactor.core.task import Future

# The winner, a newcomer that is being judged, and one that is just going.
LINKS_A_PEER: Final = 3
REVIEW_SECONDS: Final = 5.0
ASK_AGAIN: Final = 2.0  # seconds: anybody can send proofs that are wrong
# A link that lived no longer is no success: the next dial comes later, as after a failure.
FLAP_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Settings:
    """Bounds. `burst` messages at once and `rate` a second are what one peer may send another; rate 0: no limit."""

    burst: int = 5
    rate: float = 2.0
    max_links: int = 256
    max_contacts: int = 4096
    idle: float = 60.0  # a link that nothing asks for is closed after so many seconds without a message
    seeks: bool = False  # messages may wait for whom there was no link to yet, and who has some waiting is dialled
    link: Limits = field(default_factory=Limits)


class Listed(NamedTuple):
    """A peer as a tracker lists it."""

    peer_id: str
    username: str
    address: Address
    channels: tuple[str, ...]


class Node:
    """An Owner in the sense of `peer.link`."""

    def __init__(
        self,
        reactor: Reactor,
        peer_id: str,
        username: str,
        store: Store,
        connect: Connect,
        audience: Audience,
        *,
        settings: Settings | None = None,
        unix_time: Callable[[], float],
        timestamp: Callable[[], str],
        chance: random.Random,
        listen_port: int = 0,
    ) -> None:
        """`timestamp` is now as the wire has it. `chance` makes nonces and jitter: a SystemRandom, but for tests."""
        self.reactor = reactor
        self.peer_id = peer_id
        self.username = username
        self.settings = settings or Settings()
        self.listen_port = listen_port
        self.instance = _hex(chance, 16)
        self.links: set[Link] = set()  # open or not
        self.is_away = False
        self.wants_keys: Callable[[], object] = lambda: None  # called when trackers may have new ones
        self._asked_at, self._is_asking = -ASK_AGAIN, False
        self._audience = audience
        self._chance = chance
        self._closing: Future[None] | None = None
        saved = store.load()
        burst = self.settings.burst
        leap = chance.randrange(1, 2**30) if saved.n else 0
        self.author = Author(peer_id, username, saved, unix_time, timestamp, leap=leap)
        self.contacts = Contacts(reactor, saved, burst, self.settings.rate)
        self.channels = Rooms(peer_id)
        keeper = Keeper(store, reactor, audience.trouble)
        self.mail = Mail(reactor, self.author, self.contacts, self.channels, keeper, audience, burst)
        self._reader = Reader(reactor, self.author, self.channels, keeper, audience, chance)
        self._keeper = keeper
        self._dialling = Dialling(reactor, connect, self._link_to, self._is_wanted, chance, audience.changed)
        self._rivals = Rivals(reactor, peer_id, self._link_in_use, self._use)
        self.was_in = saved.channels  # when it ended; whoever made it decides what to join again
        self.reads = saved.reads
        self.mail.restore(saved.copies, saved.outcomes)
        self._reviews = reactor.call_later(REVIEW_SECONDS, self._review_again)

    # -- messages ----------------------------------------------------------------------------------------------------

    def send(self, peer_id: str, text: str, key: str = "") -> Letter:
        """To one peer. PeerError if there was no link to it in this run, and we do not seek those that we know."""
        self._check_open()
        contact = self.contacts.get(peer_id)
        if contact is None or not (contact.was_linked or self.settings.seeks):
            raise PeerError(f"Not connected to peer: {show_id(peer_id)}")
        letter = self.mail.post(DIRECT, [contact], text, key)
        self.review()
        return letter

    def say(self, channel: str, text: str, key: str = "") -> Letter:
        """To the members of a channel that are linked, or that it can wait for. PeerError if we are no member."""
        self._check_open()
        if channel not in self.channels:
            raise PeerError(f"Not in channel {channel}: join it first")
        return self.mail.post(channel, self.members(channel), text, key)

    def broadcast(self, text: str, key: str = "") -> Letter:
        """To every peer that is linked now."""
        self._check_open()
        linked = [contact for contact in self.contacts if contact.link is not None]
        return self.mail.post(BROADCAST, linked, text, key)

    def _check_open(self) -> None:
        """Nothing is written after `close`: the history may be closed as well."""
        if self._closing is not None:
            raise PeerError("This peer has ended: the message was not sent")

    def mute(self, peer_id: str, muted: bool) -> None:
        """Refuse its messages, and tell it so, or take them again."""
        contact = self.contacts.know(peer_id)
        contact.is_muted = muted
        self._save(Muted(peer_id, muted))
        self._audience.changed(contact)

    def _save(self, change: Change) -> None:
        saving = self._keeper.save(change)
        _ = saving.error  # its audience hears of it

    # -- channels, and who is where ----------------------------------------------------------------------------------

    def join(self, channel: str, key: str = "") -> None:
        """We are a member from now on. The tracker has said so, with the key of a closed channel."""
        is_new = channel not in self.channels
        if self.channels.enter(channel, key, self.reactor.now):
            if is_new:
                self._save(Inside(channel, True))
            self._audience.moved(channel)
            self._announce()
            for contact in self.contacts:
                self._believe(contact)
            self.review()

    def leave(self, channel: str) -> None:
        """Nothing if we are not in it. What waits for others there is given up."""
        if self.channels.exit(channel):
            self._save(Inside(channel, False))
            self._audience.moved(channel)
            self.mail.left(channel)
            self._announce()

    def keys(self, keys: Mapping[str, str]) -> None:
        """The present keys of all closed channels that we are in. One changes when a member is removed, and is gone
        when the channel has become open.
        """
        for channel in self.channels:
            self.join(channel, keys.get(channel, ""))

    def members(self, channel: str) -> list[Contact]:
        """Who else is in it, linked or not."""
        return [one for one in self.contacts if channel in one.channels and self.mail.may_wait(one, channel)]

    def go_away(self, is_away: bool) -> None:
        """Tell everybody that nobody reads here just now, or somebody again."""
        if is_away is not self.is_away:
            self.is_away = is_away
            self._announce()

    def _announce(self) -> None:
        for contact in self.contacts:
            for link in contact.links:
                self._announce_on(link)

    def _announce_on(self, link: Link) -> None:
        if link.is_open and not link.is_original:
            link.send(self.channels.announcement(link, away=self.is_away))

    def listed(self, peers: Iterable[Listed], *, all_of_them: bool = True) -> None:
        """What the trackers list now; while none can be reached, the last list counts."""
        known = {peer.peer_id: peer for peer in peers if peer.peer_id != self.peer_id}
        if all_of_them:
            for contact in self.contacts:
                if contact.peer_id not in known:
                    contact.list(None, ())
                    self._audience.changed(contact)
        for peer in known.values():
            if peer.peer_id in self.contacts or any(channel in self.channels for channel in peer.channels):
                contact = self.contacts.know(peer.peer_id)
                before = contact.address
                contact.list(peer.address, peer.channels)
                self.mail.listed(contact)
                if contact.address != before and self._dialling.is_dialling(contact):
                    self._dialling.dial(contact)  # it is somewhere else: do not wait for the next try
                contact.username = contact.username or peer.username
                self._audience.changed(contact)
        self.review()
        if len(self.contacts) > self.settings.max_contacts:  # trackers have listed others each time
            self._forget_idle()

    def _forget_idle(self) -> None:
        for contact in self.contacts.forget_idle():
            self._dialling.stop(contact)

    # -- which links should be ---------------------------------------------------------------------------------------

    def connect(self, peer_id: str, address: Address) -> Future[Link]:
        """Dial, and keep the link from then on. The outcome: the link, or the DialError, and that was all then."""
        contact = self.contacts.know(peer_id)
        contact.pinned_at = address
        if contact.link is not None and contact.link.is_open:
            done: Future[Link] = self.reactor.future()
            done.set_result(contact.link)
            return done
        outcome = self._dialling.dial(contact)
        outcome.on_done(lambda _: self._unpin_if_failed(contact, address, outcome))
        return outcome

    def seek(self, peer_id: str) -> None:
        """Have a link with a peer from now on, wherever trackers say that it is."""
        self.contacts.know(peer_id).is_sought = True
        self.review()

    def _unpin_if_failed(self, contact: Contact, address: Address, outcome: Future[Link]) -> None:
        """Nothing if it was pinned somewhere else meanwhile."""
        if outcome.error is not None and not contact.was_linked and contact.pinned_at == address:
            contact.pinned_at = None
            self.review()

    def dial_members(self, channel: str) -> list[tuple[Contact, Future[Link]]]:
        """Dial the members that are not linked; the outcome of each."""
        return [
            (contact, self._dialling.dial(contact))
            for contact in self.members(channel)
            if not contact.links and contact.address is not None
        ]

    def is_dialling(self, contact: Contact) -> bool:
        """Whether a link to it is being made, or tried again soon."""
        return self._dialling.is_dialling(contact)

    def _is_wanted(self, contact: Contact) -> bool:
        if self._closing is not None:
            return False
        waits = self.settings.seeks and not contact.outbox.is_empty
        is_sought = contact.is_sought and contact.listed_at is not None
        is_asked_for = contact.pinned_at is not None or is_sought
        return waits or is_asked_for or contact.shares(self.channels)

    def review(self) -> None:
        """Dial what should be linked and is not; let go what is linked and of no use."""
        for contact in self.contacts:
            if self._is_wanted(contact):
                if not contact.links and contact.address is not None and not self._dialling.is_dialling(contact):
                    self._dialling.dial(contact)
            elif contact.links:
                self._let_go_idle(contact)
            else:
                self._dialling.stop(contact)

    def _let_go_idle(self, contact: Contact) -> None:
        """Who dialled ends it: if it is the other side that wants the link, it would dial again at once."""
        for link in list(contact.links):
            if link.role is DIALLER and not link.is_original and self.reactor.now - link.talked_at > self.settings.idle:
                link.close("idle")

    def _review_again(self) -> None:
        self._reviews = self.reactor.call_later(REVIEW_SECONDS, self._review_again)
        for contact in self.contacts:
            self.mail.expire(contact)
        self.review()

    # -- greeting ----------------------------------------------------------------------------------------------------

    def accept(self) -> Link:
        """The protocol for a connection that somebody has made to us, to be put on a transport at once."""
        link = Link(self.reactor, self, self.settings.link)
        self.links.add(link)
        return link

    def make_room(self) -> bool:
        """Whether another connection may be let in. Where there is no room left, one that has not said who it is, or
        who is no friend and has been silent longest, makes some; or anybody could fill the port with saying nothing.
        """
        if len(self.links) < self.settings.max_links:
            return True
        spare = [link for link in self.links if not link.is_closing and not self._is_friend(link)]
        if spare:
            min(spare, key=lambda link: (bool(link.peer_id), link.talked_at)).abort("made room for another one")
        return bool(spare)

    def _is_friend(self, link: Link) -> bool:
        contact = self.contacts.get(link.peer_id)
        return contact is not None and link in contact.links and self._is_wanted(contact)

    def _link_to(self, contact: Contact) -> Link:
        have, backlog = contact.inbox.have, contact.outbox.backlog
        handshake = Handshake(**self._hello(), to=contact.peer_id, have=have, backlog=backlog)
        link = Link(self.reactor, self, self.settings.link, handshake)
        link.offered = backlog
        self.links.add(link)
        return link

    def _hello(self) -> dict[str, Any]:
        return {
            "peer_id": self.peer_id, "v": VERSION, "username": self.username, "instance": self.instance,
            "epoch": self.author.epoch, "listen_port": self.listen_port, "channels": tuple(self.channels),
            "nonce": _hex(self._chance, 16), "lamport": self.author.lamport, "timestamp": self.author.timestamp(),
        }  # fmt: skip

    def greet(self, link: Link, hello: Hello) -> HandshakeAck | None:
        self._check_welcome(link, hello)
        contact = self.contacts.know(hello.who)
        if link.role is DIALLER:
            return None
        link.offered = contact.outbox.backlog
        if link.is_original:
            return HandshakeAck(peer_id=self.peer_id, username=self.username, timestamp=self.author.timestamp())
        return HandshakeAck(**self._hello(), have=contact.inbox.have, backlog=contact.outbox.backlog)

    def _check_welcome(self, link: Link, hello: Hello) -> None:
        if self._closing is not None:
            raise Goodbye("quit")
        if hello.who == self.peer_id:
            link.why = "that is this peer itself" if hello.instance == self.instance else "a peer there has our own id"
            raise Goodbye("own_id")
        if link.handshake is not None and hello.who != link.handshake.to:
            link.why = f"the peer there is {show_id(hello.who)}"
            raise Goodbye("wrong_peer")
        contact = self.contacts.get(hello.who)
        if contact is not None and len(contact.links) >= LINKS_A_PEER:
            raise Goodbye("duplicate")
        if contact is None and len(self.contacts) >= self.settings.max_contacts:
            self._forget_idle()
            if len(self.contacts) >= self.settings.max_contacts:
                raise Goodbye("busy")

    def _they_have(self, contact: Contact, have: Have | None) -> None:
        if have is None or have.epoch != self.author.epoch:
            have = Have(self.author.epoch, 0)
        if have.upto <= contact.outbox.last_seq:
            for refusal in have.refused:
                self.mail.refused(contact, refusal.seq, refusal.code)
        self.mail.resume(contact, have.upto)

    # -- coming and going --------------------------------------------------------------------------------------------

    def opened(self, link: Link) -> None:
        contact = self.contacts.know(link.peer_id)
        is_first = not contact.links
        contact.links.append(link)
        contact.was_linked = True
        self._dialling.stop(contact, link)
        self._announce_on(link)
        if is_first:
            self._audience.connected(contact, link)
        if contact.link is not None and contact.link.is_open:
            self._rivals.settle(link, contact.link)
        else:
            self._use(link)

    def _link_in_use(self, peer_id: str) -> Link | None:
        contact = self.contacts.get(peer_id)
        return contact.link if contact is not None else None

    def _use(self, link: Link) -> None:
        """Send on this one, and believe its greeting. Not before: it may be of somebody who only takes the name."""
        contact, hello = self.contacts[link.peer_id], link.hello
        link.release()
        if contact.link is link:
            return
        if not contact.is_muted:
            self.author.greet(hello.lamport or 0)
        if not link.is_original:
            contact.inbox.begin(hello.epoch)
            self._they_have(contact, hello.have)
        contact.username = hello.username or contact.username
        port = link.address[1] if link.role is DIALLER else hello.listen_port
        contact.seen_at = Address(link.address[0], port) if port else contact.seen_at
        contact.link = link
        contact.declared = self.channels.believed(link)
        contact.why = ""
        self.mail.use(contact)
        self._reader.tell_again(contact)
        self._audience.changed(contact)

    def _believe(self, contact: Contact) -> None:
        """Judge anew what the other side says it is in."""
        if contact.link is not None:
            contact.declared = self.channels.believed(contact.link)
            self.mail.pump(contact)
            self._audience.changed(contact)

    def _check_keys(self, link: Link) -> None:
        """Trackers tell of new keys when they are asked; do not wait for the next time."""
        if self.channels.is_behind(link) and not self._is_asking:
            self._is_asking = True
            self.reactor.call_later(max(0.0, self._asked_at + ASK_AGAIN - self.reactor.now), self._ask_for_keys)

    def _ask_for_keys(self) -> None:
        self._is_asking, self._asked_at = False, self.reactor.now
        if self._closing is None:
            self.wants_keys()

    def received(self, link: Link, message: Message, resumed: bool) -> None:
        contact = self.contacts[link.peer_id]
        if isinstance(message, Chat | Broadcast):
            self._reader.take(contact, link, message, resumed)
        elif isinstance(message, Ack):
            self.mail.acknowledged(contact, message.upto)
        elif isinstance(message, Refuse):
            self.mail.refused(contact, message.seq, message.code)
        elif isinstance(message, Channels):
            self._believe(contact)
            self._check_keys(link)

    def drained(self, link: Link) -> None:
        self.mail.drained(self.contacts[link.peer_id], link)

    def away(self, link: Link) -> None:
        contact = self.contacts[link.peer_id]
        if contact.link is link:
            if link.is_away:
                self._audience.away(contact)
            self._audience.changed(contact)

    def lost(self, link: Link) -> None:
        self.links.discard(link)
        contact = self.contacts.get(link.peer_id)
        if contact is not None and link in contact.links:
            self._remove(contact, link)
        if self._closing is not None and not self.links:
            self._closing.set_result(None)

    def _remove(self, contact: Contact, link: Link) -> None:
        contact.links.remove(link)
        if contact.link is link:
            contact.link = None
            if left := [other for other in contact.links if other.is_open]:  # one that ends may carry an older stream
                self._use(left[-1])
        if contact.links:
            return
        contact.why = link.why
        self.mail.unlinked(contact)
        self._audience.disconnected(contact, link.why)
        self._audience.changed(contact)
        contact.flaps = contact.flaps + 1 if self.reactor.now - link.opened_at < FLAP_SECONDS else 0
        if self._is_wanted(contact):
            self._dialling.dial(contact, STEPS[min(contact.flaps, len(STEPS) - 1)])

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> Future[None]:
        """Say goodbye on every link. Done when none is left."""
        if self._closing is None:
            self._closing = self.reactor.future()
            self._reviews.cancel()
            self._dialling.close()
            for link in list(self.links):
                link.close("quit")
            if not self.links:
                self._closing.set_result(None)
        return self._closing


def _hex(chance: random.Random, size: int) -> str:
    return chance.randbytes(size).hex()
