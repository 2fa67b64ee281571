"""Messages out: from the moment they are written until nothing more can become of them.

    write -> safe in the store -> the outbox of each recipient -> its link -> acknowledged, refused, or given up

Only what is safe leaves: or after a crash its number would be given to another message, which the other side would take
for seen. We keep the limits that others hold us to, so that nothing of ours is refused for coming too fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from peer.contact import Contact
from peer.contacts import Contacts
from peer.delivery.audience import Audience
from peer.delivery.author import Author
from peer.delivery.keeper import Keeper
from peer.delivery.letters import DELIVERED, FAILED, QUEUED, SENT, Letter
from peer.delivery.outbox import by_recipient
from peer.errors import PeerError
from peer.link import Link
from peer.messages import BROADCAST, DIRECT, MAX_TEXT, Broadcast, Chat, encode, plain_text, with_seq
from peer.quoting import show_id
from peer.rooms import Rooms
from peer.storage.store import UNACKNOWLEDGED, Copy, Entry, Outcome, Sent, Settled
from reactor.core.loop import Reactor
from reactor.core.task import Future

OUTBOX_FULL: Final = "too many messages wait for it already"
# How long a member may take to prove that it is one, on a link; trackers tell of new keys within half a minute.
PROOF_SECONDS: Final = 60.0


class Mail:
    """`letters` are those that something may still become of, by the id of their message."""

    def __init__(
        self,
        reactor: Reactor,
        author: Author,
        contacts: Contacts,
        rooms: Rooms,
        store: Keeper,
        audience: Audience,
        burst: int,
    ) -> None:
        """`burst`: so many messages may be on their way to one peer unacknowledged; at least 1, if there is a rate."""
        self.letters: dict[str, Letter] = {}
        self._reactor = reactor
        self._author = author
        self._contacts = contacts
        self._rooms = rooms
        self._store = store
        self._audience = audience
        self._burst = burst

    def restore(self, copies: Sequence[Copy], outcomes: Mapping[str, Outcome]) -> None:
        """What was not settled when the program ended goes on. `outcomes` are those of the messages, by id."""
        now = self._author.unix_time()
        copies = [copy._replace(made_at=min(copy.made_at, now)) for copy in copies]  # a clock may have been ahead
        for recipient, theirs in by_recipient(copies).items():
            self._contacts.know(recipient, theirs)
            for copy in theirs:
                letter = self.letters.setdefault(copy.entry.id, Letter(copy.entry, ()))
                letter.states[recipient] = QUEUED
                letter.copies += 1
                letter.was_sent = True
                letter.before = outcomes.get(copy.entry.id)

    # -- writing -----------------------------------------------------------------------------------------------------

    def post(self, channel: str, contacts: Sequence[Contact], text: str, key: str = "") -> Letter:
        """Write to these, now. PeerError for a text that no message can have. `key` is what a page calls it."""
        text = plain_text(text)
        if len(text) > MAX_TEXT:
            raise PeerError(f"The message has {len(text)} characters; {MAX_TEXT} are the most")
        if not text:
            raise PeerError("The message is empty")
        entry = self._author.write(text, channel, contacts[0].peer_id if channel == DIRECT else "", key)
        letter = Letter(entry, [contact.peer_id for contact in contacts])
        full = [contact for contact in contacts if contact.outbox.is_full]
        copies = self._copies(entry, [contact for contact in contacts if not contact.outbox.is_full])
        letter.copies = len(copies)
        if copies:
            self.letters[entry.id] = letter
        failed = tuple((contact.peer_id, OUTBOX_FULL) for contact in full)
        letter.saved = self._store.save(Sent(entry, copies, failed))
        letter.saved.on_done(lambda saving: self._kept(letter, copies, saving))
        for contact in full:
            self._tell(letter, contact.peer_id, OUTBOX_FULL)
        return letter

    def _copies(self, entry: Entry, contacts: Sequence[Contact]) -> tuple[Copy, ...]:
        now = self._author.unix_time()
        return tuple(Copy(entry, contact.peer_id, contact.outbox.reserve(), now) for contact in contacts)

    def _kept(self, letter: Letter, copies: Sequence[Copy], saving: Future[None]) -> None:
        if saving.error is None:
            self._audience.kept(letter)
        self._posted(letter, copies, saving)

    def _posted(self, letter: Letter, copies: Sequence[Copy], saving: Future[None]) -> None:
        error = saving.error
        for copy in copies:
            contact = self._contacts.know(copy.recipient)
            if error is None:
                if not contact.outbox.add(copy):
                    self._renumber(contact, [copy])
                self.pump(contact)
            else:
                contact.outbox.drop_reserved()
                self._count_settled([copy])
                self._tell(letter, copy.recipient, f"it could not be kept: {error}")

    # -- sending -----------------------------------------------------------------------------------------------------

    def use(self, contact: Contact) -> None:
        """Its link is another one: begin again with what was not acknowledged on any."""
        contact.outbox.rewind()
        contact.untaken.clear()
        self.pump(contact)

    def unlinked(self, contact: Contact) -> None:
        """What was sent on the last link and not acknowledged waits for the next one."""
        contact.untaken.clear()
        for copy in contact.outbox:
            letter = self.letters[copy.entry.id]
            if letter.states[contact.peer_id] is SENT:
                letter.states[contact.peer_id] = QUEUED
                self._audience.progress(letter, contact.peer_id)

    def pump(self, contact: Contact) -> None:
        """Send what may be sent now."""
        link, outbox = contact.link, contact.outbox
        while link is not None and link.has_room and (copy := outbox.peek()) is not None:
            if not self._may_have(contact, copy):
                return  # until it proves that it is a member, or `expire` has had enough
            if not link.offered and not self._may_send(contact, link):
                return
            outbox.sent()
            link.offered = max(0, link.offered - 1)
            end = link.send_frame(self._frame(copy, link))
            if link.taken >= end:
                self._taken(contact, copy)
            else:
                contact.untaken.append((end, copy))

    def _frame(self, copy: Copy, link: Link) -> bytes:
        if link.is_original:
            return _original(copy.entry)
        return with_seq(self.letters[copy.entry.id].tail, copy.seq)

    def _may_have(self, contact: Contact, copy: Copy) -> bool:
        """Whether the other end may read it. Who has the id of a member is one only if it can prove it."""
        channel = copy.entry.channel
        if channel in (DIRECT, BROADCAST):
            return True
        return channel in self._rooms and (not self._rooms.is_closed(channel) or channel in contact.declared)

    def _is_new(self, channel: str) -> bool:
        """Whether its members may still have to hear of its key."""
        return channel in self._rooms and self._reactor.now - self._rooms.since(channel) < PROOF_SECONDS

    def _may_send(self, contact: Contact, link: Link) -> bool:
        """What is not acknowledged counts too: a link that stalls and recovers would bring all of it at once."""
        if not contact.bucket.is_limited:
            return True
        if contact.outbox.in_flight >= self._burst and not link.is_original:
            return False  # the next acknowledgement goes on
        now = self._reactor.now
        if contact.bucket.take(now):
            return True
        if not contact.wakes:
            contact.wakes = True
            self._reactor.call_later(contact.bucket.wait(now), self._wake, contact)
        return False

    def _wake(self, contact: Contact) -> None:
        contact.wakes = False
        self.pump(contact)

    def drained(self, contact: Contact, link: Link) -> None:
        """The system has taken all that waited on a link."""
        if contact.link is link:
            taken = link.taken
            while contact.untaken and contact.untaken[0][0] <= taken:
                self._taken(contact, contact.untaken.popleft()[1])
            self.pump(contact)

    def _taken(self, contact: Contact, copy: Copy) -> None:
        """The system has the last byte of it."""
        letter = self.letters.get(copy.entry.id)
        if contact.link is not None and contact.link.is_original:  # that is the last we hear of it
            self._save_settled(contact, contact.outbox.give_up(copy.seq), UNACKNOWLEDGED)
        if letter is not None and letter.states.get(contact.peer_id) is QUEUED:
            letter.states[contact.peer_id] = SENT
            self._audience.progress(letter, contact.peer_id)

    # -- settling ----------------------------------------------------------------------------------------------------

    def resume(self, contact: Contact, upto: int) -> None:
        """A link begins; the other side says that it has our stream up to there."""
        outbox = contact.outbox
        has_more = upto > outbox.last_seq
        self._settle(contact, outbox.had(upto))
        if outbox.realign(upto) and has_more:
            self._audience.trouble(
                f"{show_id(contact.peer_id)} has more of us than we know of: our data directory is an older one than "
                "the last, or another program has used our id. What waits for it is sent, and may be there twice"
            )
        self._renumber(contact, outbox.take_misnumbered())

    def _renumber(self, contact: Contact, copies: Sequence[Copy]) -> None:
        """They go behind what the other side has, or they would be taken for seen."""
        if copies:
            saving = self._store.save(Settled(contact.peer_id, tuple(copy.seq for copy in copies)))
            _ = saving.error  # the same as that of what is saved behind it
        for copy in copies:
            self._keep_again(self.letters[copy.entry.id], (copy._replace(seq=contact.outbox.reserve()),))

    def _keep_again(self, letter: Letter, copies: tuple[Copy, ...]) -> None:
        saving = self._store.save(Sent(letter.entry, copies))
        saving.on_done(lambda _: self._posted(letter, copies, saving))

    def acknowledged(self, contact: Contact, upto: int) -> None:
        """The other side has our stream up to there."""
        self._settle(contact, contact.outbox.acknowledge(upto))
        self.pump(contact)

    def refused(self, contact: Contact, seq: int, code: str) -> None:
        """The other side does not take this one."""
        self._settle(contact, contact.outbox.refuse(seq), f"refused: {code}")
        self.pump(contact)

    def expire(self, contact: Contact) -> None:
        """Give up what has waited too long."""
        if contact.outbox.is_empty:
            return
        again = "given up; the disk did not take the reason"
        self._save_failed(contact, tuple(contact.outbox.unsafe), again)  # as far as the disk did not take it before
        expired = contact.outbox.expire(self._author.unix_time())
        self._settle(contact, expired, "expired: it was not reached for 24 hours")
        link, head = contact.link, contact.outbox.peek()
        if link is None or head is None or self._reactor.now - link.opened_at < PROOF_SECONDS:
            return
        if not self._may_have(contact, head) and not self._is_new(head.entry.channel):
            self._settle(contact, contact.outbox.give_up(head.seq), "left: one of us is no member of the channel now")
        self.pump(contact)  # what stood behind one that is given up

    def may_wait(self, contact: Contact, channel: str) -> bool:
        """Whether what is said in a channel may wait for its proof: not for ever, or it holds up what stands behind."""
        link = contact.link
        if link is None or link.is_original or channel in contact.declared or self._is_new(channel):
            return True
        return self._reactor.now - link.opened_at < PROOF_SECONDS

    def listed(self, contact: Contact) -> None:
        """The trackers have said anew what it is in: what waits for its proof in a closed channel that it is not in any
        more must not go out should it be let in again.
        """
        if contact.link is None:
            return
        for copy in list(contact.outbox):
            channel = copy.entry.channel
            is_out = self._rooms.is_closed(channel) and channel not in contact.channels
            if is_out and contact.outbox.is_waiting(copy):
                self._settle(contact, contact.outbox.give_up(copy.seq), "left: it is no member of the channel now")
        self.pump(contact)

    def left(self, channel: str) -> None:
        """We are no member any more: what waits for others there is given up."""
        for contact in self._contacts:
            for copy in list(contact.outbox):
                if copy.entry.channel == channel and contact.outbox.is_waiting(copy):
                    self._settle(contact, contact.outbox.give_up(copy.seq), "left: we are not in the channel any more")
            self.pump(contact)

    def _settle(self, contact: Contact, copies: Sequence[Copy], reason: str = "") -> None:
        """Copies are delivered, or failed for a reason."""
        letters = [self.letters[copy.entry.id] for copy in copies]
        if reason:
            self._save_failed(contact, [copy.seq for copy in copies], reason)
            self._count_settled(copies)
        else:
            self._save_settled(contact, copies)
        for letter in letters:
            self._tell(letter, contact.peer_id, reason)

    def _save_failed(self, contact: Contact, seqs: Sequence[int], reason: str) -> None:
        """No later number leaves before it is safe that these have failed: an acknowledgement of that one would stand
        for these too, and after a crash we would believe it.
        """
        if seqs:
            contact.outbox.unsafe.update(seqs)
            saving = self._store.save(Settled(contact.peer_id, tuple(seqs), reason))
            saving.on_done(lambda _: self._failed_saved(contact, seqs, saving))

    def _failed_saved(self, contact: Contact, seqs: Sequence[int], saving: Future[None]) -> None:
        if saving.error is None:  # else the next review tries again
            contact.outbox.unsafe.difference_update(seqs)
            self.pump(contact)

    def _save_settled(self, contact: Contact, copies: Sequence[Copy], fate: str = "") -> None:
        """That they are settled may be lost: they are sent once more then, and taken for seen."""
        if copies:
            saving = self._store.save(Settled(contact.peer_id, tuple(copy.seq for copy in copies), fate))
            _ = saving.error  # whatever it will be
        self._count_settled(copies)

    def _count_settled(self, copies: Iterable[Copy]) -> None:
        for copy in copies:
            letter = self.letters[copy.entry.id]
            letter.copies -= 1
            if not letter.copies:
                del self.letters[copy.entry.id]

    def _tell(self, letter: Letter, peer_id: str, reason: str) -> None:
        letter.states[peer_id] = FAILED if reason else DELIVERED
        if reason:
            letter.reasons[peer_id] = reason
        self._audience.progress(letter, peer_id)

    @property
    def is_flushed(self) -> bool:
        """Whether nothing waits that a present link could still deliver."""
        return all(contact.outbox.is_empty for contact in self._contacts if contact.link is not None)


def _original(entry: Entry) -> bytes:
    """A message as the original peers have it."""
    kind = Broadcast if entry.channel == BROADCAST else Chat
    return encode(
        kind(
            message=entry.text, peer_id=entry.author, username=entry.username, channel=entry.channel,
            timestamp=entry.timestamp,
        )
    )  # fmt: skip
