"""The windows on a screen: the places at the left, the lines of one of them, and below them what is typed.

     dev  3 members, 2 connected
     Log                 │12:01 Ann: hello ✓✓ 2/2
    #dev               2 │12:02 Bob: hi Ann
    ● Bob                │
     Alt-←→ windows · PgUp older · Tab names · /help
    dev> what is typed

It is one widget, which draws what `Windows` holds each time it is asked to, and so is never out of date. Others' texts
are plain text to it: they were escaped, and widths are those of urwid's tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Final

import urwid

from peer.messages import MAX_TEXT
from peer.quoting import show_id
from peer.terminal.commands import USAGE, counted
from peer.terminal.editing import Recall, complete
from peer.terminal.window import LOG, Kind, Line, Place, Window
from peer.terminal.windows import Windows
from reactor import escape

SIDE: Final = 22  # columns of the places
NARROW: Final = 60  # a screen with fewer columns shows none
TIME: Final = 6  # columns before each text. Wrapped rows begin behind them too, so that no text can look like a line
MOST_TYPED: Final = MAX_TEXT + 200  # a message, and a command before it

HINTS: Final = "Alt-← → windows · PgUp older · Tab names · /help · /quit"

# name, foreground, background, and what a screen without colours has in their place
PALETTE: Final = [
    ("bar", "white", "dark blue", "standout"),
    ("here", "black", "light gray", "standout"),
    ("unread", "yellow,bold", "default", "bold"),
    ("dim", "dark gray", "default", "default"),
    ("own", "default,bold", "default", "bold"),
    ("mark", "dark green", "default", "default"),
    ("failed", "light red", "default", "bold"),
    *((f"name{number}", colour, "default", "default") for number, colour in enumerate(
        ("dark cyan", "dark magenta", "brown", "light blue", "dark green", "light red"))),
]  # fmt: skip
NAME_COLOURS: Final = 6

STEPS: Final = {
    "meta left": -1, "meta up": -1, "ctrl p": -1,
    "meta right": 1, "meta down": 1, "ctrl n": 1,
}  # fmt: skip
NUMBERS: Final = {f"f{number}": number - 1 for number in range(1, 13)} | {
    f"meta {number}": number - 1 for number in range(1, 10)
}
WHEEL: Final = {4: 3, 5: -3}  # rows

Markup = tuple[tuple[str, str], ...]


class Prompt(urwid.Edit):
    """The line that is typed. It knows nothing of windows; Enter is left to whoever has it.

    What is pasted becomes one line of text, whatever it holds: line feeds and tabs are spaces, and nothing is sent.
    """

    _command_map = urwid.CommandMap()
    _command_map.bind_readline()

    def __init__(self, completer: Callable[[str, int], Any]) -> None:
        super().__init__(
            wrap="clip", max_length=MOST_TYPED, text_completer=completer, undo_limit=100, kill_buffer=[]
        )
        self.recall = Recall()
        self.was_cut = False  # there was no room for all that was pasted
        self._pasted: list[str] | None = None

    @property
    def is_pasting(self) -> bool:
        return self._pasted is not None

    def valid_char(self, ch: str) -> bool:
        """What is safe to be shown: our own terminal is not to be upset by what we paste either."""
        return len(ch) == 1 and escape(ch) == ch

    def keypress(self, size: Any, key: str) -> str | None:
        if self.is_pasting or key == "begin paste":
            self._paste(key)
        elif key in ("up", "down"):
            self.put(self.recall.back(self.edit_text) if key == "up" else self.recall.forward(self.edit_text))
        else:
            return super().keypress(size, key)
        return None

    def _paste(self, key: str) -> None:
        if self._pasted is None or key == "begin paste":
            self._pasted, self.was_cut = [], False
        elif key == "end paste":
            pasted, self._pasted = self._pasted, None
            self.insert_text("".join(pasted))
        elif len(self.edit_text) + len(self._pasted) >= MOST_TYPED:
            self.was_cut = True
        elif key in ("enter", "tab", "ctrl i"):
            self._pasted.append(" ")
        elif self.valid_char(key):
            self._pasted.append(key)

    def put(self, text: str, position: int | None = None) -> None:
        """In the place of what is there; the cursor behind it."""
        self.set_edit_text(text)
        self.set_edit_pos(len(text) if position is None else position)


class View(urwid.Widget):
    _selectable = True
    _sizing = frozenset([urwid.BOX])
    no_cache: ClassVar = ["render"]

    def __init__(
        self, windows: Windows, submit: Callable[[Place, str], bool], end: Callable[[], object]
    ) -> None:
        """`submit` gets what was typed, and says whether it was taken: if not, it can be mended and sent again."""
        super().__init__()
        self._windows = windows
        self._submit = submit
        self._end = end
        self._shown = windows.active
        self._side: list[Place] = []  # the places on the screen, from the top
        self.prompt = Prompt(self._complete)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        cols, rows = size
        self._follow_active()
        room, has_bars = _room_below(rows)
        parts: list[tuple[urwid.Canvas, None, bool]] = [(self.prompt.render((cols,), focus=True), None, True)]
        if has_bars:
            parts.insert(0, (_bar(self._status(), cols), None, False))
        if room:
            parts.insert(0, (self._middle(cols, room), None, False))
        if has_bars:
            parts.insert(0, (_bar(self._title(), cols), None, False))
        return urwid.CanvasCombine(parts)

    def _follow_active(self) -> None:
        """Another window has become the active one: what was typed in this one stays with it."""
        active = self._windows.active
        if active is not self._shown:
            self._shown.draft = self.prompt.edit_text, self.prompt.edit_pos
            self.prompt.put(*active.draft)
            self.prompt.recall.forget_place()
            self._shown = active
        caption = f"{self._short(active.place)}> "
        if caption != self.prompt.caption:
            self.prompt.set_caption(caption)

    def _middle(self, cols: int, rows: int) -> urwid.Canvas:
        side = _side_of(cols)
        lines = self._lines(self._shown, cols - side, rows)
        if not side:
            return lines
        return urwid.CanvasJoin([(self._places(rows), None, False, side), (lines, None, False, cols - side)])

    def _lines(self, window: Window, cols: int, rows: int) -> urwid.Canvas:
        lines, above, below = window.view(rows, lambda line: _text_of(line).rows((_room(cols),)))
        if not lines:
            return urwid.SolidCanvas(" ", cols, rows)
        canvas = urwid.CanvasCombine([(_draw(line, cols), None, False) for line in lines])
        canvas.trim(above, canvas.rows() - above - below)
        canvas.pad_trim_top_bottom(rows - canvas.rows(), 0)
        return canvas

    def _places(self, rows: int) -> urwid.Canvas:
        """A column with a border at its right; as much of it as there is room for, the active one included."""
        places = self._windows.places()
        at = places.index(self._shown.place)
        first = max(0, min(at - rows // 2, len(places) - rows))
        self._side = places[first : first + rows]
        text = _text(tuple(part for place in self._side for part in self._place(place))).render((SIDE - 1,))
        canvas = urwid.CompositeCanvas(text)
        canvas.pad_trim_top_bottom(0, rows - canvas.rows())
        border = urwid.SolidCanvas("│", 1, rows)
        return urwid.CanvasJoin([(canvas, None, False, SIDE - 1), (border, None, False, 1)])

    def _place(self, place: Place) -> Markup:
        unread = self._windows.unread(place)
        count = f" {min(unread, 999)} " if unread else " "
        name = _fit(f"{self._sign(place)}{self._short(place)}", SIDE - 1 - len(count))
        style = "here" if place == self._shown.place else "unread" if unread else ""
        return (style, name + count), ("", "\n" if place != self._side[-1] else "")

    def _sign(self, place: Place) -> str:
        if place.kind is not Kind.PERSON:
            return " #" if place.kind is Kind.CHANNEL else " "
        contact = self._windows.node.contacts.get(place.name)
        if contact is None or contact.link is None:
            return "○ "
        return "◐ " if contact.is_away else "● "

    def _short(self, place: Place) -> str:
        if place.kind is Kind.PERSON:
            return self._windows.name_of(place.name)
        return escape(place.name) if place.name else place.kind.value.capitalize()

    def _title(self) -> str:
        kind, name = self._shown.place
        node = self._windows.node
        if kind is Kind.CHANNEL:
            if name not in node.channels:
                return f"{escape(name)}  left"
            members = node.members(name)
            linked = sum(1 for contact in members if contact.link is not None)
            closed = ", closed" if node.channels.is_closed(name) else ""
            return f"{escape(name)}  {counted(len(members) + 1, 'member')}, {linked} connected{closed}"
        if kind is Kind.PERSON:
            return f"{self._short(self._shown.place)}  {escape(show_id(name))}  {self._state(name)}"
        linked = sum(1 for contact in node.contacts if contact.link is not None)
        if kind is Kind.BROADCAST:
            return f"Broadcast  to everybody who is connected: {linked}"
        return f"{escape(node.username)}  {escape(node.peer_id)}  port {node.listen_port}, {linked} connected"

    def _state(self, peer_id: str) -> str:
        contact = self._windows.node.contacts.get(peer_id)
        if contact is None or contact.link is None:
            return "not connected"
        return "away" if contact.is_away else "connected"

    def _status(self) -> str:
        if self._shown.is_at_end:
            return HINTS
        return f"{self._shown.below} new below · PgDn" if self._shown.below else "older messages · PgDn"

    # -- keys and clicks ---------------------------------------------------------------------------------------------

    def keypress(self, size: Any, key: str) -> str | None:
        self._follow_active()
        cols, rows = size
        left = self.prompt.keypress((cols,), key) if not self._is_ours(key) else key
        if self.prompt.was_cut:
            self.prompt.was_cut = False
            self._windows.tell(self._shown.place, f"[Peer] Only {MOST_TYPED} characters of the paste were taken")
        return left and self._press(left, cols, rows)

    def _is_ours(self, key: str) -> bool:
        if self.prompt.is_pasting:
            return False
        return key in STEPS or key in NUMBERS or (key == "ctrl d" and not self.prompt.edit_text)

    def _press(self, key: str, cols: int, rows: int) -> str | None:
        windows, page = self._windows, max(_room_below(rows)[0] - 1, 1)
        if key == "enter":
            self._enter()
        elif key in STEPS:
            windows.turn(STEPS[key])
        elif key in NUMBERS:
            windows.turn_to(NUMBERS[key])
        elif key == "meta a":
            windows.turn_to_unread()
        elif key in ("page up", "page down"):
            self._scroll(page if key == "page up" else -page, cols, rows)
        elif key == "ctrl end":
            self._shown.go_to_end()
        elif key == "ctrl d":
            self._end()
        else:
            return key
        return None

    def _enter(self) -> None:
        text = self.prompt.edit_text
        if text.strip() and self._submit(self._shown.place, text.strip()):
            self.prompt.recall.add(text.strip())
            self.prompt.put("")

    def _scroll(self, up: int, cols: int, rows: int) -> None:
        room = _room(cols - _side_of(cols))
        self._shown.scroll(up, _room_below(rows)[0], lambda line: _text_of(line).rows((room,)))

    def mouse_event(
        self, size: Any, event: str, button: int, col: int, row: int, focus: bool
    ) -> bool | None:
        cols, rows = size
        if event != "mouse press":
            return False
        self._follow_active()
        if button in WHEEL:
            self._scroll(WHEEL[button], cols, rows)
        elif col < _side_of(cols) and 0 < row <= len(self._side):
            self._windows.activate(self._side[row - 1])
        elif row == rows - 1:
            return self.prompt.mouse_event((cols,), event, button, col, 0, focus)
        return True

    def _complete(self, text: str, position: int) -> Any:
        is_command = self._shown.place == LOG
        found = complete(text, position, USAGE, self._windows.names(), is_command=is_command)
        return [(text, position) for text, position in found if len(text) <= MOST_TYPED]


# -- where things are --------------------------------------------------------------------------------------------------


def _side_of(cols: int) -> int:
    return SIDE if cols >= NARROW else 0


def _room_below(rows: int) -> tuple[int, bool]:
    """The rows for lines and places, and whether there are bars above and below them."""
    return (rows - 3, True) if rows >= 4 else (max(rows - 1, 0), False)


# -- lines as rows -----------------------------------------------------------------------------------------------------


def _room(cols: int) -> int:
    """The columns of a text; on a very narrow screen there is no time beside it."""
    return cols - TIME if cols >= 3 * TIME else cols


def _text_of(line: Line) -> urwid.Text:
    if not line.who:
        return _text((("", line.text),), "space")
    style = "own" if line.is_own else f"name{sum(line.who.encode()) % NAME_COLOURS}"
    mark = f" {line.mark}" if line.mark else ""
    return _text(((style, line.who), ("", f": {line.text}"), ("failed" if "✗" in mark else "mark", mark)), "space")


def _draw(line: Line, cols: int) -> urwid.Canvas:
    text = _text_of(line).render((_room(cols),))
    if _room(cols) == cols:
        return text
    time = _text((("dim", line.time),)).render((TIME,))
    return urwid.CanvasJoin([(time, None, False, TIME), (text, None, False, _room(cols))])


def _bar(text: str, cols: int) -> urwid.Canvas:
    return _text((("bar", _fit(f" {text}", cols)),)).render((cols,))


@lru_cache(maxsize=1024)
def _text(markup: Markup, wrap: Any = "clip") -> urwid.Text:
    """The same text is the same widget, whose rows urwid keeps for as long as they are on the screen."""
    return urwid.Text([part for part in markup if part[1]] or "", wrap=wrap)


def _fit(text: str, cols: int) -> str:
    """Cut or filled up to so many columns."""
    end, taken = urwid.calc_text_pos(text, 0, len(text), max(cols, 0))
    return text[:end] + " " * (cols - taken)
