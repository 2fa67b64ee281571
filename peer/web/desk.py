"""What one person has before them: one node, and all the pages from which it is used, on whatever devices.

    node -> Desk (an audience) -> every Tab        Tab -> Desk -> Chat -> Node

All tabs see the same: each message under its number, what becomes of our own, who is there, what was read elsewhere.
What changes often (people, members, states) is marked and told once for a moment's changes, and only if it is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from peer.chat import Chat
from peer.contact import Contact
from peer.delivery.audience import Deaf
from peer.delivery.letters import Letter
from peer.errors import PeerError
from peer.storage.store import Entry, Read, Store, conversation_of
from peer.trackers.answers import Joined, Refused, TrackerError
from peer.trackers.answers import Listed as Answer
from peer.web import page
from peer.web.conversations import EVERYONE, Conversation, Conversations, place_of
from peer.web.tries import Tries
from reactor.core.lock import Lock
from reactor.core.loop import Reactor
from reactor.core.task import Future

if TYPE_CHECKING:
    from peer.web.tab import Tab

MOST_TABS: Final = 16
MOST_PEOPLE: Final = 2000
FIRST_LOOK: Final = 50  # messages of each conversation, for a page that has none
MOST_FIRST: Final = 2000  # in all; the conversations where something was said last come first
MOST_MISSED: Final = 1000  # messages; a page that has missed more begins anew
MOMENT: Final = 0.03  # seconds in which changes are told together
NEVER_REACHED: Final = 2**53  # above all numbers
RELOAD: Final = 5.0  # seconds without a page until its user is away: it may only have been loaded again,
SPREAD: Final = 5.0  # and up to so many more: where all lose their pages at once, not all tell all others at once


class Desk(Deaf):
    """An Audience of the node. `open` before anything else."""

    def __init__(self, reactor: Reactor, store: Store, *, is_guest: bool = False, tells_presence: bool = False) -> None:
        """`tells_presence`: while no page is open nobody is there."""
        self.is_guest = is_guest
        self.address: Callable[[], str] = lambda: ""  # where others can dial us
        self.conversations = Conversations()
        self.tries = Tries(reactor)
        self.chat: Chat
        self._reactor = reactor
        self._store = store
        self._tells_presence = tells_presence
        self._tabs: list[Tab] = []
        self._people: dict[str, page.Person] = {}  # as they were told
        self._told: dict[str, tuple[object, ...]] = {}  # what was told of a conversation
        self._stale_people: set[str] = set()
        self._stale_letters: dict[str, Letter] = {}
        self._is_stale = False
        self._is_begun = self._has_looked = False
        self._number = 0  # up to which all messages have been told
        self._keys: dict[str, Letter] = {}  # on their way into the history
        self._keying = Lock(reactor)
        self.ready: Future[None] = reactor.future()

    async def open(self, chat: Chat) -> None:
        """In the turn in which the node is made. ReactorError if the history cannot be read."""
        self.chat = chat
        self._number = chat.node.author.number
        self.conversations.begin(dict(chat.node.reads), chat.node.channels)
        self._is_begun = True
        self.conversations.fill(await self._store.shelves(chat.node.peer_id, chat.node.reads))
        self._stale_people.update(contact.peer_id for contact in chat.node.contacts)
        self._told_later()
        if self._tells_presence:
            chat.node.go_away(not self._tabs)
        self.ready.set_result(None)

    @property
    def run(self) -> str:
        """The name of our numbering."""
        return self.chat.node.author.epoch

    # -- tabs ----------------------------------------------------------------------------------------------------------

    def enter(self, tab: Tab) -> None:
        """The one that is there longest makes room if there are too many."""
        if len(self._tabs) >= MOST_TABS:
            self._tabs[0].close(4409, "too many pages")
            self.leave(self._tabs[0])
        self._tabs.append(tab)
        if self._tells_presence:
            self.chat.node.go_away(False)

    def leave(self, tab: Tab) -> None:
        if tab in self._tabs:
            self._tabs.remove(tab)
            if not self._tabs and self._tells_presence:
                wait = RELOAD + SPREAD * crc32(self.chat.node.peer_id.encode()) / 2**32
                self._reactor.call_later(wait, self._check_presence)

    def _check_presence(self) -> None:
        if not self._tabs:
            self.chat.node.go_away(True)

    def close(self, code: int, reason: str) -> None:
        for tab in list(self._tabs):
            tab.close(code, reason)

    def tell(self, told: page.Told, but_for: Tab | None = None) -> None:
        """Every tab; the text is made once."""
        if self._tabs:
            text = page.encode(told)
            number = told.message.number if isinstance(told, page.Spoken) else 0
            for tab in list(self._tabs):
                if tab is not but_for:
                    tab.hear(text, number)

    # -- what a page sees first ----------------------------------------------------------------------------------------

    async def welcome(self, hello: page.Hello) -> tuple[page.Welcome, int]:
        """And the number up to which the page has all messages then; those behind it are told as they come."""
        await self.ready
        self._tell_changes()
        upto, full = self._number, hello.run != self.run
        entries: Sequence[Entry] = ()
        if not full:
            entries = await self._store.arrived(hello.since, MOST_MISSED + 1)
            full = len(entries) > MOST_MISSED
        if full:
            entries = await self._first_look()
        messages = await self.messages([one for one in entries if one.number <= upto and self._is_shown(one)])
        states = [] if full else await self._states(hello.pending)
        node = self.chat.node
        me = page.Me(node.peer_id, page.plain_name(node.username)[0], self.is_guest, self.address())
        welcome = page.Welcome(
            run=self.run, me=me, now=node.author.timestamp(), full=full, people=list(self._people.values()),
            conversations=[self._conversation(one) for one in self.conversations], messages=messages, states=states,
        )  # fmt: skip
        return welcome, upto

    async def _first_look(self) -> list[Entry]:
        found: list[Entry] = []
        for conversation in sorted(self.conversations, key=lambda one: one.last, reverse=True):
            if len(found) < MOST_FIRST:
                found += await self._store.before(conversation.channel, conversation.peer, NEVER_REACHED, FIRST_LOOK)
        return sorted(found, key=lambda entry: entry.number)

    def _is_shown(self, entry: Entry) -> bool:
        return self.conversations.get(conversation_of(entry.channel, entry.peer)) is not None

    async def older(self, to: str, before: int) -> tuple[list[page.Message], bool]:
        """The 50 before that number, and whether there are more."""
        entries = await self._store.before(*place_of(to), before, FIRST_LOOK + 1)
        return await self.messages(entries[-FIRST_LOOK:]), len(entries) > FIRST_LOOK

    async def messages(self, entries: Sequence[Entry]) -> list[page.Message]:
        own_id = self.chat.node.peer_id
        states = {state.id: state for state in await self._states([one.id for one in entries if one.author == own_id])}
        return [page.message(entry, own_id, states.get(entry.id)) for entry in entries]

    async def _states(self, ids: Sequence[str]) -> list[page.State]:
        letters = self.chat.node.mail.letters
        kept = await self._store.outcomes([id_ for id_ in ids if id_ not in letters])
        found = {id_: page.state_of_outcome(id_, outcome) for id_, outcome in kept.items()}
        found |= {id_: page.state_of_letter(letters[id_]) for id_ in ids if id_ in letters}
        return list(found.values())

    # -- what happens to the node --------------------------------------------------------------------------------------

    def message(self, entry: Entry) -> None:
        self._arrived(entry)
        self.tell(page.Spoken(page.message(entry, self.chat.node.peer_id)))

    def kept(self, letter: Letter) -> None:
        self._arrived(letter.entry)
        state = page.state_of_letter(letter)
        self.tell(page.Spoken(page.message(letter.entry, self.chat.node.peer_id, state)))

    def _arrived(self, entry: Entry) -> None:
        self._number = max(self._number, entry.number)
        id_ = conversation_of(entry.channel, entry.peer)
        is_new = self.conversations.get(id_) is None
        conversation = self.conversations.open(id_)
        conversation.arrived(entry.number, is_own=entry.author == self.chat.node.peer_id)
        if is_new:
            self._tell_conversation(conversation)

    def progress(self, letter: Letter, peer_id: str) -> None:
        if self._tabs and (letter.saved is None or (letter.saved.done and letter.saved.error is None)):
            self._stale_letters[letter.entry.id] = letter
            self._told_later()

    def changed(self, contact: Contact) -> None:
        self._stale_people.add(contact.peer_id)
        self._told_later()

    def listed(self, peers: Sequence[Answer]) -> None:
        """The trackers list these now; the node knows already."""
        if not self._has_looked:
            self._has_looked = True
            self._reactor.spawn(self._look_at(*self.chat.node.channels))
        self._stale_people.update(self._people)
        self._stale_people.update(peer.peer_id for peer in peers)
        self._told_later()

    def moved(self, channel: str) -> None:
        if not self._is_begun:
            return
        id_ = conversation_of(channel, "")
        if channel in self.chat.node.channels:
            self._tell_conversation(self.conversations.open(id_))
            self._reactor.spawn(self._look_at(channel))
        elif self.conversations.close(id_):
            self._told.pop(id_, None)
            self.tell(page.Gone(id_))

    def trouble(self, text: str) -> None:
        self.notice(text, "error")

    def notice(self, text: str, level: str = "info") -> None:
        self.tell(page.Notice(text.removeprefix("[Peer] "), level))

    # -- what has changed since it was told ----------------------------------------------------------------------------

    def _told_later(self) -> None:
        if self._tabs and not self._is_stale:
            self._is_stale = True
            self._reactor.call_later(MOMENT, self._tell_changes)

    def _tell_changes(self) -> None:
        self._is_stale = False
        if not self.ready.done:
            return
        people, self._stale_people = self._stale_people, set()
        letters, self._stale_letters = self._stale_letters, {}
        if people:
            self._tell_people(people)
        for letter in letters.values():
            self.tell(page.Become(page.state_of_letter(letter)))

    def _tell_people(self, ids: set[str]) -> None:
        listed = self._listed()
        for peer_id in ids - {self.chat.node.peer_id}:
            person = self._person(peer_id, listed.get(peer_id))
            if person != self._people.get(peer_id) and (peer_id in self._people or len(self._people) < MOST_PEOPLE):
                self._people[peer_id] = person
                self.tell(page.Seen(person))
        for conversation in self.conversations:
            if self._look(conversation) != self._told.get(conversation.id):
                self._tell_conversation(conversation)

    def _listed(self) -> dict[str, Answer]:
        return {peer.peer_id: peer for peer in self.chat.trackers.merged}

    def _person(self, peer_id: str, listed: Answer | None) -> page.Person:
        contact = self.chat.node.contacts.get(peer_id)
        username = (contact.username if contact else "") or (listed.username if listed else "")
        name, is_guest = page.plain_name(username)
        if not name:  # who has left keeps the name that they had
            before = self._people.get(peer_id)
            name, is_guest = (before.name, before.guest) if before else (peer_id, False)
        state, why = self._presence(contact, listed)
        return page.Person(peer_id, name, state, is_guest, contact is not None and contact.is_muted, why)

    def _presence(self, contact: Contact | None, listed: Answer | None) -> tuple[str, str]:
        if contact is not None and contact.link is not None:
            return ("away" if contact.is_away else "here"), ""
        if contact is not None and self.chat.node.is_dialling(contact):
            return "connecting", contact.why
        if listed is not None and not (contact is not None and contact.why):
            return "listed", ""  # there is no link, as nothing asks for one, so nobody says whether they are away
        return "offline", contact.why if contact is not None else ""

    def _tell_conversation(self, conversation: Conversation) -> None:
        self._told[conversation.id] = self._look(conversation)
        self.tell(page.Opened(self._conversation(conversation)))

    def _look(self, conversation: Conversation) -> tuple[object, ...]:
        return self._title(conversation), self._members(conversation), conversation.policy, conversation.is_ours

    def _conversation(self, one: Conversation) -> page.Conversation:
        return page.Conversation(
            one.id, self._title(one), one.policy, one.is_ours, list(self._members(one)), len(one.unread), one.read,
            one.last,
        )  # fmt: skip

    def _title(self, conversation: Conversation) -> str:
        if conversation.id == EVERYONE:
            return "Everyone"
        if conversation.is_channel:
            return conversation.channel
        contact = self.chat.node.contacts.get(conversation.peer)
        known = self._people.get(conversation.peer)
        return (contact.username if contact else "") or (known.name if known else "") or conversation.peer

    def _members(self, conversation: Conversation) -> tuple[str, ...]:
        if conversation.is_channel:
            node = self.chat.node
            return (node.peer_id, *(contact.peer_id for contact in node.members(conversation.channel)))
        return (conversation.peer,) if conversation.peer else ()

    # -- what a page asks for ------------------------------------------------------------------------------------------

    async def say(self, to: str, text: str, key: str) -> str:
        """The message's id, once it is in the history. PeerError, TrackerError or ReactorError."""
        async with self._keying:
            letter = self._keys.get(key)
            if letter is None:
                if (known := await self._store.keyed(key)) is not None:
                    return known.id
                letter = self._keys[key] = await self._post(to, text, key)
        try:
            assert letter.saved is not None
            await letter.saved
        finally:
            self._keys.pop(key, None)
        return letter.entry.id

    async def _post(self, to: str, text: str, key: str) -> Letter:
        node = self.chat.node
        channel, peer_id = place_of(to)
        if peer_id:
            await self._find(peer_id)
            return node.send(peer_id, text, key)
        return node.broadcast(text, key) if to == EVERYONE else node.say(channel, text, key)

    async def _find(self, peer_id: str) -> None:
        """Make sure that the node knows somebody whom a tracker lists, or with whom we have spoken. PeerError."""
        node = self.chat.node
        if peer_id == node.peer_id:
            raise PeerError("That is you")
        if peer_id in node.contacts:
            return
        if peer_id not in self._listed() and self.conversations.get("@" + peer_id) is None:
            await self.chat.fetch()
            if peer_id not in self._listed():
                raise PeerError(f"Nobody knows a peer {peer_id}")
        node.contacts.know(peer_id)
        self.chat.learn(self.chat.trackers.merged)

    async def talk_to(self, peer_id: str) -> None:
        """Begin a conversation, and dial if there is no link."""
        await self._find(peer_id)
        conversation = self.conversations.open("@" + peer_id)
        self._tell_conversation(conversation)
        self.chat.node.seek(peer_id)

    async def join(self, channel: str, password: str | None, invite: str | None) -> None:
        self._learn(await (self._try(channel, password, invite) if password else self.chat.join(channel, None, invite)))
        await self.chat.fetch(channel)

    async def _try(self, channel: str, password: str, invite: str | None) -> Joined:
        async with self.tries.lock:
            self.tries.check(channel)
            try:
                return await self.chat.join(channel, password, invite)
            except Refused as refusal:
                if refusal.code == "wrong_password":
                    self.tries.was_wrong(channel)
                raise

    async def leave_channel(self, channel: str) -> None:
        if channel not in self.chat.node.channels:
            raise PeerError(f"You are not in {channel}")
        try:
            await self.chat.leave(channel)
        except TrackerError as error:  # it hears of it when it is back
            self.notice(str(error))

    async def configure(self, channel: str, **change: Any) -> str:
        """As the channel's owner; the invite, where one was asked for."""
        joined = await self.chat.trackers.configure(channel, **change)
        self._learn(joined)
        if change.get("remove"):
            await self.chat.fetch()  # or who is removed stays among the members until the next list
        return joined.invite or ""

    def _learn(self, joined: Joined) -> None:
        conversation = self.conversations.get(conversation_of(joined.channel, ""))
        if conversation is not None:
            conversation.policy = joined.policy or None
            conversation.is_ours = joined.owner == self.chat.node.peer_id
            self._tell_conversation(conversation)

    async def _look_at(self, *channels: str) -> None:
        """What the trackers say of channels that we are in: their policies, and whose they are."""
        for channel in channels:
            try:
                self._learn(await self.chat.trackers.join(channel))
            except TrackerError:
                pass  # it is told where it matters

    async def other_channels(self) -> list[str]:
        """Those that the trackers list and we are not in."""
        await self.chat.fetch()
        names = {channel for peer in self.chat.trackers.merged for channel in peer.channels}
        return sorted(names - set(self.chat.node.channels))

    def mute(self, peer_id: str, muted: bool) -> None:
        if peer_id not in self.chat.node.contacts and peer_id not in self._people:
            raise PeerError(f"Nobody knows a peer {peer_id}")
        self.chat.node.mute(peer_id, muted)

    def read(self, to: str, number: int, tab: Tab) -> None:
        conversation = self.conversations.get(to)
        if conversation is None or not conversation.read_up_to(min(number, conversation.last)):
            return
        saving = self._store.save(Read(to, conversation.read))
        _ = saving.error  # it is only a mark
        self.tell(page.ReadUpTo(to, conversation.read), but_for=tab)
