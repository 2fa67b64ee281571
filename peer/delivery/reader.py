"""Messages in: judged, kept, shown, acknowledged; in that order.

    frame -> seen already? -> may it be taken? -> safe in the store -> the audience -> ack

The sender is the peer at the other end of the link, whatever the frame says. What is not taken is refused with a code
and counts as processed. An acknowledgement never overtakes a refusal, or the sender would take the refused for
delivered.
"""

from __future__ import annotations

import random
from typing import Final

from peer.contact import Contact
from peer.delivery.audience import Audience
from peer.delivery.author import Author
from peer.delivery.keeper import Keeper
from peer.errors import FrameError
from peer.flood import Bucket
from peer.link import Link
from peer.messages import BROADCAST, DIRECT, MAX_TEXT, Ack, Broadcast, Chat, Refuse, Text, plain_text
from peer.rooms import Rooms
from peer.storage.store import Entry, Mark, Received
from reactor.core.loop import Reactor
from reactor.core.task import Future

# Who is refused so often without a pause does not listen.
MOST_REFUSALS: Final = 200


class Reader:
    def __init__(
        self,
        reactor: Reactor,
        author: Author,
        rooms: Rooms,
        store: Keeper,
        audience: Audience,
        chance: random.Random,
    ) -> None:
        self._reactor = reactor
        self._author = author
        self._rooms = rooms
        self._store = store
        self._audience = audience
        self._chance = chance

    def take(self, contact: Contact, link: Link, text: Text, resumed: bool) -> None:
        """A message has come on a link. FrameError for one that is none."""
        if link.is_original:
            self._take_original(contact, link, text)
            return
        n = _number_of(text.id, f"{link.peer_id}:{link.hello.epoch}:")
        if not text.seq or not n:
            raise FrameError("bad_frame", "a message needs a seq from 1, and an id of peer_id:epoch:n")
        if link.hello.epoch != contact.inbox.safe.epoch:
            return  # of a stream that has been replaced by another
        if not contact.inbox.is_new(text.seq):
            contact.told = (None, 0)  # the other side does not know that we have it
            self._acknowledge_soon(contact)
            return
        bucket = contact.resumable if resumed else contact.flood
        code = self._judge(contact, link, text, bucket)
        self._check_flooding(contact, code)
        mark = contact.inbox.take(text.seq, code)
        entry = None if code else self._entry(contact, text, text.id, n)
        saving = self._store.save(Received(link.peer_id, mark, entry))
        saving.on_done(lambda _: self._stored(contact, bucket, mark, entry, saving))

    def _judge(self, contact: Contact, link: Link, text: Text, bucket: Bucket) -> str:
        """Why a message is not taken; "" if it is. The pace comes first: a refusal costs us as much as a message."""
        if not bucket.take(self._reactor.now):
            return "flood"
        if contact.is_muted:
            return "muted"
        if len(text.message) > MAX_TEXT:
            return "too_long"
        to_channel = isinstance(text, Chat) and text.channel not in (DIRECT, "")
        if to_channel and not self._are_members(contact, link, text.channel):
            return "not_member"
        return ""

    def _are_members(self, contact: Contact, link: Link, channel: str) -> bool:
        """Both of us, by what was said on this very link: on a newer one the proofs may not have come yet. Of a closed
        channel only who has proved it, which an original peer never can.
        """
        by_word = link.is_original and not self._rooms.is_closed(channel)
        members = contact.channels if by_word else self._rooms.believed(link)
        return channel in self._rooms and channel in members

    @staticmethod
    def _check_flooding(contact: Contact, code: str) -> None:
        contact.refusals = contact.refusals + 1 if code == "flood" else 0
        if contact.refusals > MOST_REFUSALS:
            contact.refusals = 0
            raise FrameError("flood", f"{MOST_REFUSALS} messages one after the other came too fast")

    def _entry(self, contact: Contact, text: Text, id_: str, n: int) -> Entry:
        lamport = self._author.witness(text.lamport)
        channel = BROADCAST if isinstance(text, Broadcast) else text.channel or DIRECT
        return Entry(
            id_, contact.peer_id, contact.username, channel, contact.peer_id if channel == DIRECT else "",
            plain_text(text.message), lamport, n, text.timestamp or self._author.timestamp(), self._author.count(),
        )  # fmt: skip

    def _stored(
        self, contact: Contact, bucket: Bucket, mark: Mark, entry: Entry | None, saving: Future[None]
    ) -> None:
        error = saving.error
        if error is not None:  # not shown, and not acknowledged: it has to come again
            contact.inbox.give_back()
            bucket.put_back()
            for one in contact.links:  # a copy may have come on another one too, and was taken for seen there
                one.close("storage", f"its message could not be kept: {error}")
            return
        contact.inbox.saved(mark)
        if entry is not None:
            self._audience.message(entry)
        self._acknowledge_soon(contact)

    # -- telling the sender ------------------------------------------------------------------------------------------

    def tell_again(self, contact: Contact) -> None:
        """There is another link to it: what it was told on the one before may be lost with that one."""
        if contact.inbox.safe.upto:
            self._acknowledge_soon(contact)

    def _acknowledge_soon(self, contact: Contact) -> None:
        """Once for all messages of a turn."""
        if not contact.ack_is_due:
            contact.ack_is_due = True
            self._reactor.call_soon(self._acknowledge, contact)

    def _acknowledge(self, contact: Contact) -> None:
        """Refusals first, also when they go by another link than the one on which they were told before."""
        contact.ack_is_due = False
        link, safe = contact.link, contact.inbox.safe
        if link is None or not link.is_open or link.is_original or safe.epoch != link.hello.epoch:
            return
        before = contact.told[1] if contact.told[0] is link else 0
        for seq, code in safe.refused:
            if seq > before:
                link.send(Refuse(seq=seq, code=code))
        link.send(Ack(upto=safe.upto))
        contact.told = (link, safe.upto)

    # -- original peers ----------------------------------------------------------------------------------------------

    def _take_original(self, contact: Contact, link: Link, text: Text) -> None:
        """Without numbers nothing can be acknowledged, nor told from a repetition."""
        if self._judge(contact, link, text, contact.flood):
            return
        id_ = f"{contact.peer_id}:{self._author.epoch}:{self._chance.randbytes(8).hex()}"
        entry = self._entry(contact, text, id_, 0)
        saving = self._store.save(Received(contact.peer_id, Mark("", 0), entry))
        saving.on_done(lambda _: self._audience.message(entry))  # kept or not: it will not come again


def _number_of(id_: str, prefix: str) -> int:
    """The n of `peer_id:epoch:n`; 0 if the id is not of this author and epoch."""
    number = id_.removeprefix(prefix)
    if number == id_ or not (number.isascii() and number.isdigit()) or len(number) > 15:
        return 0
    return int(number)
