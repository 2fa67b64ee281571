"""What a full-screen terminal shows, without the screen: a window for the log, each channel and each person.

`Windows` is told what happens as an Audience is, and prints what it is told to print into the log. Everything that
others have written is escaped on its way into a line, so what comes out of here may be put on a screen as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from weakref import WeakValueDictionary

from peer.clock import label, minutes
from peer.delivery.letters import DELIVERED, FAILED, QUEUED, SENT, Letter
from peer.messages import BROADCAST, DIRECT
from peer.quoting import show_id, show_name
from peer.storage.store import Entry, Store, order
from peer.terminal.lines import Lines
from peer.terminal.output import Output
from peer.terminal.window import LOG, Kind, Line, Place, Window
from reactor import escape
from reactor.core.task import Future

# With people: anybody may write to us, under as many ids as they like. What a closed window had is in the history.
MOST_WINDOWS: Final = 200
HISTORY_LINES: Final = 50


class Windows(Lines):
    """An Audience and an Output. `node` and `store` are set once there are some; `on_change` is called after each
    change. `rings` is set when somebody should look here, and is the screen's to clear.
    """

    store: Store

    def __init__(self, unix_time: Callable[[], float]) -> None:
        super().__init__(self)
        self.on_change: Callable[[], object] = lambda: None
        self.rings = False
        self.instead: Output | None = None  # takes the lines once there is no screen any more
        self._unix_time = unix_time
        self.log = self.active = Window(LOG)
        self._windows = {LOG: self.log}
        self._own: WeakValueDictionary[str, Line] = WeakValueDictionary()

    # -- which windows there are -------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """The log, channels, people: those we have a window with, and those who are connected. A channel that we have
        left stays as long as something in it may be unread.
        """
        channels = [Place(Kind.CHANNEL, name) for name in self.node.channels]
        left = [place for place in self._of(Kind.CHANNEL) if place not in channels and self._is_in_use(place)]
        people = {place.name for place in self._of(Kind.PERSON)}
        people |= {contact.peer_id for contact in self.node.contacts if contact.link is not None}
        taken = self._taken()
        by_name = sorted(people, key=lambda peer_id: (self.name_of(peer_id, taken=taken).casefold(), peer_id))
        return [
            LOG, *self._of(Kind.BROADCAST), *channels, *left, *(Place(Kind.PERSON, peer_id) for peer_id in by_name),
        ]  # fmt: skip

    def _of(self, kind: Kind) -> list[Place]:
        return [place for place in self._windows if place.kind is kind]

    def _is_in_use(self, place: Place) -> bool:
        return place == self.active.place or self.unread(place) > 0

    def window(self, place: Place) -> Window:
        """Made if it is not there."""
        window = self._windows.get(place)
        if window is None:
            window = self._windows[place] = Window(place)
            self._close_one(but_for=place)
        return window

    def _close_one(self, but_for: Place) -> None:
        """The oldest with a person, if there are too many."""
        people = [place for place in self._of(Kind.PERSON) if place not in (but_for, self.active.place)]
        if len(people) >= MOST_WINDOWS:
            del self._windows[people[0]]

    def unread(self, place: Place) -> int:
        return self._windows[place].unread if place in self._windows else 0

    @property
    def all_unread(self) -> int:
        return sum(window.unread for window in self._windows.values())

    @property
    def title(self) -> str:
        """Of all this, for whoever looks at something else."""
        unread = f"({self.all_unread}) " if self.all_unread else ""
        return f"{unread}peer {escape(self.node.username)}"

    # -- which one is shown ------------------------------------------------------------------------------------------

    def activate(self, place: Place) -> None:
        """Show this one, with what the history has of it."""
        self.active = self.window(place)
        self.active.unread = 0
        if not self.active.is_loaded and place.kind is not Kind.LOG:
            self.active.is_loaded = True
            self._load(self.active)
        self.on_change()

    def turn(self, step: int) -> None:
        """Show the next one, or the one before (-1)."""
        places = self.places()
        self.activate(places[(places.index(self.active.place) + step) % len(places)])

    def turn_to(self, number: int) -> None:
        """Show the one with this number, from 0; nothing if there is none."""
        places = self.places()
        if number < len(places):
            self.activate(places[number])

    def turn_to_unread(self) -> None:
        """Show the next one with something unread; people first, who wait for an answer."""
        unread = [place for place in self.places() if self.unread(place)]
        if unread:
            self.activate(next((place for place in unread if place.kind is Kind.PERSON), unread[0]))

    def _load(self, window: Window) -> None:
        kind, name = window.place
        if kind is Kind.PERSON:
            found = self.store.history(peer=name, limit=HISTORY_LINES)
        else:
            found = self.store.history(channel=name or BROADCAST, limit=HISTORY_LINES)
        found.on_done(lambda _: self._loaded(window, found))

    def _loaded(self, window: Window, found: Future[Sequence[Entry]]) -> None:
        if found.error is not None:
            self.line(f"[Peer] {found.error}")
            return
        there = {line.id for line in window.lines}
        for entry in found.result():
            if entry.id not in there:
                letter = self.node.mail.letters.get(entry.id)  # still on its way
                self._add(window, entry, mark(letter) if letter else "", is_new=False)
        self.on_change()

    # -- what happens ------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        if self.instead is not None:
            self.instead.line(text)
        else:
            self.log.add(self._said(text))
            self.on_change()

    def tell(self, place: Place, text: str) -> None:
        """Say something in a window, and in the log."""
        if place != LOG:
            self.window(place).add(self._said(text))
        self.line(text)

    def _said(self, text: str) -> Line:
        return Line(minutes(self._unix_time()), escape(_encodable(text)))

    def trouble(self, text: str) -> None:
        self.tell(self.active.place, f"[Peer] {text}")

    def message(self, entry: Entry) -> None:
        super().message(entry)
        window = self.window(place_of(entry))
        self._add(window, entry)
        if window is not self.active:
            window.unread += 1
            self.rings = self.rings or entry.channel == DIRECT or self._is_named(entry.text)
        self.on_change()

    def _is_named(self, text: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(self.node.username)}(?!\w)", text, re.IGNORECASE) is not None

    def posted(self, letter: Letter) -> None:
        super().posted(letter)
        self._show(letter)
        self.window(place_of(letter.entry)).go_to_end()
        self.on_change()

    def progress(self, letter: Letter, peer_id: str) -> None:
        super().progress(letter, peer_id)
        self._show(letter)
        self.on_change()

    def _show(self, letter: Letter) -> None:
        """What was not typed here (another program sent it, or the run before this one) is shown too."""
        line = self._own.get(letter.entry.id)
        if line is None:
            self._add(self.window(place_of(letter.entry)), letter.entry, mark(letter))
        else:
            line.mark = escape(mark(letter))

    def _add(self, window: Window, entry: Entry, mark: str = "", *, is_new: bool = True) -> None:
        is_own = entry.author == self.node.peer_id
        line = Line(
            label(entry.timestamp, self._unix_time()), escape(_encodable(entry.text)),
            self.name_of(entry.author, entry.username), is_own, escape(mark), entry.id, order(entry),
        )  # fmt: skip
        if is_own:
            self._own[entry.id] = line
        window.add(line, is_new=is_new)

    # -- who ---------------------------------------------------------------------------------------------------------

    def name_of(self, peer_id: str, known_as: str = "", taken: Counter[str] | None = None) -> str:
        """Safe to be shown; with the beginning of the id, if somebody else is called so too, by name or id. `taken`
        saves counting the names again.
        """
        node, contact = self.node, self.node.contacts.get(peer_id)
        name = node.username if peer_id == node.peer_id else (contact and contact.username) or known_as or peer_id
        is_counted = contact is not None or peer_id == node.peer_id
        taken = self._taken() if taken is None else taken
        if name == peer_id:
            return escape(show_id(peer_id))
        is_shared = taken[name.casefold()] > is_counted or name in node.contacts or name == node.peer_id
        return escape(_encodable(show_name(name)) + (f" ({show_id(peer_id[:8])})" if is_shared else ""))

    def _taken(self) -> Counter[str]:
        """How many have each name, we included."""
        names = [contact.username.casefold() for contact in self.node.contacts]
        return Counter([*names, self.node.username.casefold()])

    def names(self) -> list[tuple[str, str]]:
        """What can be completed: what it begins with, and the word that a command takes for it."""
        names = [(escape(channel), escape(channel)) for channel in self.node.channels]
        taken = self._taken()
        for contact in self.node.contacts:
            name, peer_id = self.name_of(contact.peer_id, taken=taken), escape(contact.peer_id)
            is_one_word = name == contact.username and " " not in name  # and so a command can take it
            names += [(name, name if is_one_word else peer_id), (peer_id, peer_id)]
        return names


def place_of(entry: Entry) -> Place:
    if entry.channel == DIRECT:
        return Place(Kind.PERSON, entry.peer)
    return Place(Kind.BROADCAST) if entry.channel == BROADCAST else Place(Kind.CHANNEL, entry.channel)


def mark(letter: Letter) -> str:
    """What became of a message, in a few characters."""
    if not letter.states:
        return "(nobody else is there)"
    total, delivered, failed = len(letter.states), letter.count(DELIVERED), letter.count(FAILED)
    parts = []
    if delivered:
        parts.append("✓✓" if letter.is_direct else f"✓✓ {delivered}/{total}")
    elif letter.count(SENT):
        parts.append("✓")
    elif letter.count(QUEUED):
        parts.append("…")
    if failed:
        count = "" if total == 1 else f"{failed}/{total} "
        parts.append(f"✗ {count}failed: {_joined(letter.reasons.values())}")
    return " ".join(parts)


def _joined(reasons: Iterable[str]) -> str:
    return "; ".join(sorted(set(reasons)))


def _encodable(text: str) -> str:
    """A lone surrogate, which no terminal can be sent, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
