"""What a full-screen terminal shows, without the screen: a window for the log, each channel and each person.

A window holds lines and knows where in them somebody is reading: a new line never moves that place. `Windows` is told
what happens as an Audience is, and prints what it is told to print into the log. Everything that others have written is
escaped on its way into a line, so what comes out of here may be put on a screen as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from peer.clock import label, minutes
from peer.letters import DELIVERED, FAILED, QUEUED, SENT, Letter
from peer.lines import Lines
from peer.messages import BROADCAST, DIRECT
from peer.output import Output
from peer.store import Entry, Store, order
from reactor import escape
from reactor.core.task import Future

# A window keeps so many lines, and not more than so many characters: somebody might send only long ones.
MOST_LINES: Final = 2000
MOST_CHARACTERS: Final = 500_000
# With people: anybody may write to us, under as many ids as they like. What a closed window had is in the history.
MOST_WINDOWS: Final = 200
HISTORY_LINES: Final = 50


class Kind(Enum):
    LOG = "log"
    BROADCAST = "broadcast"
    CHANNEL = "channel"
    PERSON = "person"


class Place(NamedTuple):
    """What a window is for. `name` is the channel's name or the peer's id."""

    kind: Kind
    name: str = ""


LOG: Final = Place(Kind.LOG)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Line:
    """Safe to be shown. `who` is "" for what the program says; `mark` is what became of a message of ours."""

    time: str
    text: str
    who: str = ""
    is_own: bool = False
    mark: str = ""
    id: str = ""  # of the message
    order: tuple[int, str, int] = (0, "", 0)


Height = Callable[[Line], int]  # how many rows a line has, at least one


class Window:
    """`unread` counts the messages that came while another window was shown. `draft` is what was being typed in this
    one, and where the cursor stood. `below` counts what came below the rows that somebody has scrolled up to.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lines: list[Line] = []
        self.unread = 0
        self.draft = ("", 0)
        self.below = 0
        self.is_loaded = False  # the history was asked for
        self._characters = 0
        # The lowest line in view, and how many of its rows are below the view; None: the last one, whatever comes.
        self._bottom: Line | None = None
        self._hidden = 0

    def add(self, line: Line, *, is_new: bool = True) -> None:
        """Messages stand in their order; what the program says stays behind what it was said after."""
        at = len(self.lines)
        if line.id:
            while at and self.lines[at - 1].order > line.order:
                at -= 1
        elif at:
            line.order = self.lines[-1].order
        self.lines.insert(at, line)
        self._characters += len(line.text)
        if is_new and self._bottom is not None:
            self.below += 1
        self._trim()

    def _trim(self) -> None:
        while len(self.lines) > MOST_LINES or (self._characters > MOST_CHARACTERS and len(self.lines) > 1):
            self._characters -= len(self.lines.pop(0).text)

    # -- where somebody reads ----------------------------------------------------------------------------------------

    @property
    def is_at_end(self) -> bool:
        """Whether the view follows what comes."""
        return self._bottom is None

    def go_to_end(self) -> None:
        self._bottom, self._hidden, self.below = None, 0, 0

    def scroll(self, up: int, rows: int, height: Height) -> None:
        """Move a view of `rows` rows by `up` rows towards the older lines; down if it is negative."""
        if self.lines:
            at, hidden = self._position()
            self._settle(at, hidden + up, rows, height)

    def view(self, rows: int, height: Height) -> tuple[list[Line], int, int]:
        """The lines in a view of `rows` rows, and how many rows of the first and of the last one are outside of it."""
        if not self.lines or rows < 1:
            return [], 0, 0
        if self._bottom is not None:  # the size may have changed
            self._settle(*self._position(), rows, height)
        at, hidden = self._position()
        first, above = self._fill(at, hidden, rows, height)
        return self.lines[first : at + 1], max(above - rows, 0), hidden

    def _position(self) -> tuple[int, int]:
        """The lowest line in view, and how many of its rows are not."""
        if self._bottom is None:
            return len(self.lines) - 1, 0
        try:
            return self.lines.index(self._bottom), self._hidden
        except ValueError:  # it is gone: too old
            return 0, 0

    def _fill(self, at: int, hidden: int, rows: int, height: Height) -> tuple[int, int]:
        """The first line that a view of `rows` rows needs, and how many rows there are from its beginning on."""
        above = height(self.lines[at]) - hidden
        while above < rows and at > 0:
            at -= 1
            above += height(self.lines[at])
        return at, above

    def _settle(self, at: int, hidden: int, rows: int, height: Height) -> None:
        """Go to a position that may be beyond either end, or have too many rows hidden."""
        at, hidden = self._normal(at, hidden, height)
        above = self._fill(at, hidden, rows, height)[1]
        if above < rows:  # too high
            at, hidden = self._normal(at, hidden - (rows - above), height)
        if at == len(self.lines) - 1 and hidden <= 0:
            self.go_to_end()
        else:
            self._bottom, self._hidden = self.lines[at], hidden

    def _normal(self, at: int, hidden: int, height: Height) -> tuple[int, int]:
        """The same position by the line that it is in; what is above the first line is in that."""
        while hidden < 0 and at < len(self.lines) - 1:
            at += 1
            hidden += height(self.lines[at])
        while hidden >= height(self.lines[at]):
            if at == 0:
                return 0, height(self.lines[0]) - 1
            hidden -= height(self.lines[at])
            at -= 1
        return at, hidden


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
        """Safe to be shown; with the beginning of the id, if somebody else has the same name. `taken` saves counting
        the names again.
        """
        node, contact = self.node, self.node.contacts.get(peer_id)
        name = node.username if peer_id == node.peer_id else (contact and contact.username) or known_as or peer_id
        is_counted = contact is not None or peer_id == node.peer_id
        taken = self._taken() if taken is None else taken
        is_shared = name != peer_id and taken[name.casefold()] > is_counted
        return escape(_encodable(f"{name} {peer_id[:8]}" if is_shared else name))

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
            names += [(name, peer_id if " " in name else name), (peer_id, peer_id)]
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
