"""One window: the lines of the log, of a channel, or of a talk with somebody, and where in them somebody is reading.

A new line never moves that place. How many rows a line takes is the screen's to say, as it depends on its width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

# A window keeps so many lines, and not more than so many characters: somebody might send only long ones.
MOST_LINES: Final = 2000
MOST_CHARACTERS: Final = 500_000


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
