"""The full-screen terminal without a terminal: the windows, what is drawn of them, and what keys do."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import urwid
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mesh import TIMESTAMP, Mesh, Raw

from peer.__main__ import _has_urwid
from peer.chat import Chat
from peer.clock import label
from peer.delivery.letters import DELIVERED, FAILED, SENT, Letter
from peer.messages import MAX_TEXT
from peer.node import Node
from peer.storage.memory import MemoryStore
from peer.storage.store import Entry
from peer.terminal.editing import MOST_RECALLED, Recall, complete
from peer.terminal.screen import FRAME_SECONDS, ReactorLoop, Terminal
from peer.terminal.tui import Typed
from peer.terminal.view import MOST_TYPED, SIDE, View
from peer.terminal.window import LOG, MOST_CHARACTERS, MOST_LINES, Kind, Line, Place, Window
from peer.terminal.windows import HISTORY_LINES, MOST_WINDOWS, Windows, mark, place_of
from reactor.core.address import Address
from reactor.errors import ReactorError
from reactor.testing import FakeReactor, InlinePool

NOON = 1_714_564_800.0  # TIMESTAMP
DEV = Place(Kind.CHANNEL, "dev")
BOB = Place(Kind.PERSON, "bob")
SIZE = (80, 24)

urwid.set_encoding("utf-8")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Seat:
    """Ann, in the channel dev, at a screen. `do` is told what the prompt submits."""

    def __init__(self, *channels: str) -> None:
        self.mesh = Mesh()
        self.windows = Windows(lambda: NOON)
        self.store = MemoryStore(self.mesh.reactor, "e0" * 8)
        self.node = self.mesh.nodes["ann"] = Node(
            self.mesh.reactor, "ann", "Ann", self.store, self.mesh.wires.connect_from("ann"), self.windows,
            unix_time=self.mesh.unix_time, timestamp=lambda: TIMESTAMP, chance=Random(7), listen_port=9101,
        )  # fmt: skip
        self.mesh.wires.listeners[Address("ann", 9101)] = self.node.accept
        self.windows.node, self.windows.store = self.node, self.store
        self.submitted: list[tuple[Place, str]] = []
        self.accepts = True
        self.ended = 0
        self.view = View(self.windows, self._submit, self._end)
        for channel in channels:
            self.node.join(channel)

    def _submit(self, place: Place, text: str) -> bool:
        self.submitted.append((place, text))
        return self.accepts

    def _end(self) -> None:
        self.ended += 1

    def meet(self, name: str, *channels: str, username: str = "") -> Node:
        """Somebody else, linked."""
        node = self.mesh.start(name, *channels, username=username)
        self.mesh.link("ann", name)
        return node

    def say(self, text: str, place: Place = DEV) -> Letter:
        letter = self.node.say(place.name, text) if place.kind is Kind.CHANNEL else self.node.send(place.name, text)
        self.windows.posted(letter)
        self.mesh.advance(1)
        return letter

    def hear(self, text: str, channel: str = "dev", author: str = "bob") -> None:
        """From somebody who is linked."""
        node = self.mesh.nodes[author]
        if channel == "direct":
            node.send("ann", text)
        elif channel == "broadcast":
            node.broadcast(text)
        else:
            node.say(channel, text)
        self.mesh.advance(1)

    def press(self, *keys: str, size: tuple[int, int] = SIZE) -> None:
        for key in keys:
            self.view.keypress(size, key)

    def type(self, text: str) -> None:
        self.press(*text)

    def paste(self, text: str) -> None:
        keys = {"\n": "enter", "\r": "enter", "\t": "tab"}
        self.press("begin paste", *(keys.get(one, one) for one in text), "end paste")

    def screen(self, size: tuple[int, int] = SIZE) -> list[str]:
        canvas = self.view.render(size, focus=True)
        assert (canvas.cols(), canvas.rows()) == size
        return [row.decode() for row in canvas.text]

    @property
    def side(self) -> list[str]:
        return [row[:SIDE].split("│")[0].rstrip() for row in self.screen()[1:-2] if row[: SIDE - 1].strip()]

    @property
    def lines(self) -> list[str]:
        return [row.split("│", 1)[1].rstrip() for row in self.screen()[1:-2] if row.split("│", 1)[1].strip()]

    @property
    def log(self) -> list[str]:
        return [line.text for line in self.windows.log.lines]


@pytest.fixture
def seat() -> Seat:
    seat = Seat("dev")
    seat.meet("bob", "dev")
    seat.windows.activate(DEV)
    return seat


# -- what helps with typing --------------------------------------------------------------------------------------------


def test_lines_are_recalled_and_what_was_being_typed_is_behind_them() -> None:
    recall = Recall()
    assert recall.back("draft") == "draft" and recall.forward("draft") == "draft"
    for line in ("one", "two", "two"):
        recall.add(line)
    assert [recall.back("draft"), recall.back("two"), recall.back("one")] == ["two", "one", "one"]
    assert [recall.forward("one"), recall.forward("two"), recall.forward("draft")] == ["two", "draft", "draft"]
    recall.back("draft")
    recall.add("three")
    assert recall.back("") == "three"


def test_the_oldest_lines_are_not_recalled_for_ever() -> None:
    recall = Recall()
    for number in range(MOST_RECALLED + 5):
        recall.add(str(number))
    line = ""
    for _ in range(MOST_RECALLED + 20):
        line = recall.back(line)
    assert line == "5"


NAMES = [("dev", "dev"), ("Bob", "Bob"), ("bobby", "bobby"), ("Eve Ill", "e5e5"), ("e5e5", "e5e5")]


@pytest.mark.parametrize(
    ("text", "is_command", "found"),
    [
        ("", False, []),
        ("bo", False, ["Bob: ", "bobby: "]),
        ("hi BO", False, ["hi Bob ", "hi bobby "]),
        ("x", False, []),
        ("ev", False, ["Eve Ill: "]),
        ("/jo", False, ["/join "]),
        ("jo", True, ["join "]),
        ("jo", False, []),
        ("/send ev", False, ["/send e5e5 "]),
        ("send e", True, ["send e5e5 "]),
        ("join d", True, ["join dev "]),
        ("hi bo there", False, ["hi Bob  there", "hi bobby  there"]),
    ],
)
def test_words_are_completed(text: str, is_command: bool, found: list[str]) -> None:
    position = text.index(" there") if "there" in text else len(text)
    completed = complete(text, position, ["join", "send", "quit"], NAMES, is_command=is_command)
    assert [text for text, _ in completed] == found
    assert all(text[:at].endswith(" ") for text, at in completed)


# -- a window ----------------------------------------------------------------------------------------------------------


def message(n: int, lamport: int | None = None, text: str = "") -> Line:
    return Line("12:00", text or f"m{n}", "Bob", id=f"bob:{n}", order=(lamport or n, "bob", n))


def filled(count: int) -> Window:
    window = Window(DEV)
    for n in range(1, count + 1):
        window.add(message(n))
    return window


def texts(window: Window, rows: int, height: Callable[[Line], int] = lambda line: 1) -> list[str]:
    return [line.text for line in window.view(rows, height)[0]]


def test_messages_stand_in_their_order_and_what_the_program_says_stays_where_it_was_said() -> None:
    window = Window(DEV)
    window.add(message(2, 2))
    window.add(Line("12:00", "[Peer] said"))
    window.add(message(4, 4))
    window.add(message(3, 3))
    window.add(message(1, 1))
    assert [line.text for line in window.lines] == ["m1", "m2", "[Peer] said", "m3", "m4"]


def test_a_window_is_bounded_in_lines_and_in_characters() -> None:
    window = filled(MOST_LINES + 10)
    assert len(window.lines) == MOST_LINES and window.lines[0].text == "m11"
    for n in range(5000, 5200):
        window.add(message(n, text="x" * 4000))
    assert sum(len(line.text) for line in window.lines) <= MOST_CHARACTERS


def test_what_comes_does_not_move_the_rows_that_somebody_reads() -> None:
    window = filled(100)
    assert texts(window, 3) == ["m98", "m99", "m100"] and window.is_at_end
    window.scroll(10, 3, lambda line: 1)
    assert texts(window, 3) == ["m88", "m89", "m90"]
    window.add(message(101))
    window.add(message(102))
    assert texts(window, 3) == ["m88", "m89", "m90"] and window.below == 2
    window.scroll(-100, 3, lambda line: 1)
    assert texts(window, 3) == ["m100", "m101", "m102"] and window.below == 0 and window.is_at_end


def test_when_the_line_that_somebody_reads_is_gone_the_oldest_are_shown() -> None:
    window = filled(MOST_LINES)
    window.scroll(MOST_LINES, 3, lambda line: 1)
    assert texts(window, 3) == ["m1", "m2", "m3"]
    for n in range(1, 11):
        window.add(message(MOST_LINES + n))
    assert texts(window, 3) == ["m11", "m12", "m13"]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 12)), max_size=8),
)
@example([5, 1], [(3, 2)])
def test_a_view_is_full_whenever_there_is_enough_to_fill_it(heights: list[int], moves: list[tuple[int, int]]) -> None:
    window = filled(len(heights))
    tall = dict(zip(window.lines, heights, strict=True))
    rows_of = [(line, row) for line in window.lines for row in range(tall[line])]
    for up, rows in [*moves, (0, 4)]:
        window.scroll(up, rows, tall.__getitem__)
        lines, above, below = window.view(rows, tall.__getitem__)
        shown = [(line, row) for line in lines for row in range(tall[line])]
        shown = shown[above : len(shown) - below]
        assert len(shown) == min(rows, len(rows_of))
        at = rows_of.index(shown[0])
        assert rows_of[at : at + len(shown)] == shown
        assert window.is_at_end == (shown[-1] == rows_of[-1])


def test_an_empty_window_can_be_scrolled() -> None:
    window = Window(DEV)
    window.scroll(5, 10, lambda line: 1)
    assert window.view(10, lambda line: 1) == ([], 0, 0)


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        ("2024-05-01T09:30:00.000Z", "09:30"), ("2024-05-01T09:30:00+02:00", "07:30"),
        ("2024-04-30T23:59:59Z", "04-30"), ("", "--:--"), ("yesterday", "--:--"), ("\x1b[2J", "--:--"),
        ("9999-12-31T23:59:59-23:00", "--:--"), ("0001-01-01T00:00:00+23:00", "--:--"),
    ],
)  # fmt: skip
def test_clocks_only_label(timestamp: str, shown: str) -> None:
    assert label(timestamp, NOON) == shown


def letter(channel: str, *states: Any) -> Letter:
    entry = Entry("ann:e0:1", "ann", "Ann", channel, "", "hi", 1, 1, TIMESTAMP)
    letter = Letter(entry, [f"p{number}" for number in range(len(states))])
    for peer_id, state in zip(letter.states, states, strict=True):
        letter.states[peer_id] = state
        if state is FAILED:
            letter.reasons[peer_id] = "refused: muted"
    return letter


def test_the_mark_of_a_message_says_what_became_of_it() -> None:
    queued = Letter(letter("direct").entry, ["bob"])
    assert mark(queued) == "…"
    assert mark(letter("direct", SENT)) == "✓"
    assert mark(letter("direct", DELIVERED)) == "✓✓"
    assert mark(letter("direct", FAILED)) == "✗ failed: refused: muted"
    assert mark(letter("dev", SENT, SENT)) == "✓"
    assert mark(letter("dev", SENT, DELIVERED)) == "✓✓ 1/2"
    assert mark(letter("dev", DELIVERED, DELIVERED, FAILED)) == "✓✓ 2/3 ✗ 1/3 failed: refused: muted"
    assert mark(letter("dev")) == "(nobody else is there)"


# -- the windows -------------------------------------------------------------------------------------------------------


def test_there_is_a_place_for_the_log_each_channel_and_everybody_who_is_connected(seat: Seat) -> None:
    seat.node.join("art")
    seat.meet("cara")
    assert seat.windows.places() == [LOG, DEV, Place(Kind.CHANNEL, "art"), BOB, Place(Kind.PERSON, "cara")]
    assert seat.side == [" Log", " #dev", " #art", "● Bob", "● Cara"]


def test_what_others_say_is_counted_where_nobody_looks_and_opening_it_is_having_read_it(seat: Seat) -> None:
    seat.hear("one")
    assert seat.windows.all_unread == 0 and not seat.windows.rings
    assert seat.windows.title == "peer Ann"
    seat.windows.activate(LOG)
    seat.hear("two")
    seat.hear("three")
    assert seat.windows.unread(DEV) == 2 and not seat.windows.rings
    assert seat.windows.title == "(2) peer Ann"
    assert seat.side[1].split() == ["#dev", "2"]
    seat.windows.activate(DEV)
    assert seat.windows.all_unread == 0
    assert seat.lines == ["12:00 Bob: one", "12:00 Bob: two", "12:00 Bob: three"]


@pytest.mark.parametrize(
    ("text", "channel", "rings"),
    [
        ("hello", "direct", True), ("hello", "dev", False), ("ANN: lunch?", "dev", True), ("(Ann)", "dev", True),
        ("Annabel", "dev", False), ("planning", "dev", False), ("hello", "broadcast", False),
    ],
)  # fmt: skip
def test_the_bell_rings_for_what_is_meant_for_us(seat: Seat, text: str, channel: str, rings: bool) -> None:
    seat.windows.activate(LOG)
    seat.hear(text, channel)
    assert seat.windows.rings == rings
    assert seat.windows.all_unread == 1


def test_nobody_is_rung_for_what_is_in_view(seat: Seat) -> None:
    seat.windows.activate(BOB)
    seat.hear("hello", "direct")
    assert not seat.windows.rings and seat.windows.all_unread == 0


def test_a_broadcast_has_a_window_of_its_own(seat: Seat) -> None:
    seat.hear("fire!", "broadcast")
    place = Place(Kind.BROADCAST)
    assert seat.windows.places() == [LOG, place, DEV, BOB]
    seat.windows.activate(place)
    assert seat.lines == ["12:00 Bob: fire!"]


def test_all_lines_are_in_the_log(seat: Seat) -> None:
    seat.hear("hello")
    seat.say("hi")
    assert "[Peer] Connected to peer: bob" in seat.log
    assert "[Peer] Message in dev from bob: hello" in seat.log
    assert seat.log[-2:] == ["[Peer] Sent message to channel dev: hi", "[Peer] Delivered to 1 of 1 in channel dev: hi"]


def test_our_own_messages_change_their_mark_where_they_stand(seat: Seat) -> None:
    letter = seat.node.say("dev", "hello")
    seat.windows.posted(letter)
    assert seat.lines == ["12:00 Ann: hello …"]
    seat.mesh.advance(1)
    assert seat.lines == ["12:00 Ann: hello ✓✓ 1/1"]
    seat.mesh.kill("bob")
    seat.mesh.advance(1)
    seat.say("again", BOB)
    seat.windows.activate(BOB)
    assert seat.lines[-1:] == ["12:00 Ann: again …"]
    seat.mesh.days = 2
    seat.mesh.advance(10)
    assert seat.windows.active.lines[-1].mark.startswith("✗ failed: expired")


def test_a_message_that_another_program_sent_in_our_name_is_shown_too(seat: Seat) -> None:
    seat.node.say("dev", "from a script")
    seat.mesh.advance(1)
    assert seat.lines == ["12:00 Ann: from a script ✓✓ 1/1"]


def test_the_history_is_there_when_a_window_is_opened_once_and_in_order(seat: Seat) -> None:
    for number in range(5):
        seat.hear(f"old {number}")
        seat.say(f"own {number}")
    windows = Windows(lambda: NOON)
    windows.node, windows.store = seat.node, seat.store
    new = Entry("bob:e9:99", "bob", "Bob", "dev", "", "new", 1000, 99, TIMESTAMP)
    windows.message(new)
    windows.activate(DEV)
    windows.activate(LOG)
    windows.activate(DEV)
    seat.mesh.advance(1)
    shown = [line.text for line in windows.active.lines]
    assert shown == [text for number in range(5) for text in (f"old {number}", f"own {number}")] + ["new"]
    assert windows.active.unread == 0 and len(shown) <= HISTORY_LINES


def test_what_waits_since_the_run_before_says_so_in_the_history(seat: Seat) -> None:
    seat.mesh.kill("bob")
    letter = seat.node.say("dev", "later")
    seat.mesh.advance(1)
    assert letter.entry.id in seat.node.mail.letters
    windows = Windows(lambda: NOON)
    windows.node, windows.store = seat.node, seat.store
    windows.activate(DEV)
    seat.mesh.advance(1)
    assert [line.mark for line in windows.active.lines] == ["…"]


def test_a_history_that_cannot_be_read_is_a_line(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = seat.mesh.reactor.future()
    failed.set_error(ReactorError("the disk is gone"))
    monkeypatch.setattr(seat.store, "history", lambda **_: failed)
    seat.windows.activate(BOB)
    seat.mesh.advance(1)
    assert "[Peer] the disk is gone" in seat.log


def test_a_channel_that_we_have_left_stays_until_it_is_read(seat: Seat) -> None:
    seat.hear("last words")
    seat.node.leave("dev")
    assert DEV in seat.windows.places()
    assert seat.screen()[0].strip() == "dev  left"
    seat.windows.activate(LOG)
    assert DEV not in seat.windows.places()
    seat.node.join("dev")
    seat.windows.activate(DEV)
    assert seat.lines == ["12:00 Bob: last words"]


def test_two_with_one_name_are_both_shown_with_their_ids() -> None:
    seat = Seat("dev")
    seat.meet("b1b1b1b1", "dev", username="Bob")
    assert seat.side == [" Log", " #dev", "● Bob"]
    seat.meet("b2b2b2b2", "dev", username="bob")
    seat.meet("e0e0e0e0", "dev", username="Ann")
    assert seat.side[2:] == ["● Ann (e0e0e0e0)", "● Bob (b1b1b1b1)", "● bob (b2b2b2b2)"]
    seat.windows.activate(DEV)
    seat.hear("it is me", author="e0e0e0e0")
    assert seat.lines == ["12:00 Ann (e0e0e0e0): it is me"]


@pytest.mark.parametrize(
    ("username", "shown"),
    [("b1b1b1b1", "b1b1b1b1 (e0e0e0e0)"), ("ann", "ann (e0e0e0e0)"), ("B: hi", '"B: hi"'), ("Bob (b1)", '"Bob (b1)"')],
)
def test_nobody_is_shown_as_somebody_else_whatever_they_call_themselves(username: str, shown: str) -> None:
    seat = Seat("dev")
    seat.meet("b1b1b1b1", "dev", username="Bob")
    seat.meet("e0e0e0e0", "dev", username=username)
    seat.windows.activate(DEV)
    seat.hear("it is me", author="e0e0e0e0")
    assert seat.lines == [f"12:00 {shown}: it is me"]
    assert dict(seat.windows.names())[shown] == "e0e0e0e0"


def test_a_peer_that_calls_itself_a_strange_id_is_shown_with_it_in_quotes(seat: Seat) -> None:
    Raw(seat.mesh, seat.node, "ann: hi").greet("dev", username="")
    assert '"ann: hi"' in seat.windows.name_of("ann: hi")
    seat.windows.activate(Place(Kind.PERSON, "ann: hi"))
    assert seat.screen()[0].strip() == '"ann: hi"  "ann: hi"  connected'


def test_somebody_with_many_ids_does_not_open_windows_without_end(seat: Seat) -> None:
    seat.hear("hello")
    for number in range(2 * MOST_WINDOWS):
        peer_id = f"p{number}"
        seat.windows.message(Entry(f"{peer_id}:e:1", peer_id, "x", "direct", peer_id, "spam", number, 1, TIMESTAMP))
    places = seat.windows.places()
    assert len(places) == 3 + MOST_WINDOWS
    assert places[:2] == [LOG, DEV] and seat.lines == ["12:00 Bob: hello"]


def test_troubles_are_said_where_somebody_looks(seat: Seat) -> None:
    seat.windows.trouble("the disk is full")
    assert seat.log[-1] == "[Peer] the disk is full"
    assert seat.lines[-1] == "12:00 [Peer] the disk is full"
    seat.windows.activate(LOG)
    seat.windows.trouble("again")
    assert seat.log[-1] == "[Peer] again" and seat.log.count("[Peer] again") == 1


def test_what_is_said_after_the_screen_is_gone_goes_elsewhere(seat: Seat) -> None:
    said: list[str] = []

    class Elsewhere:
        def line(self, text: str) -> None:
            said.append(text)

    seat.windows.instead = Elsewhere()
    seat.windows.line("[Peer] Left. Goodbye!")
    assert said == ["[Peer] Left. Goodbye!"] and "[Peer] Left. Goodbye!" not in seat.log


def test_the_place_of_a_message() -> None:
    entry = Entry("bob:e:1", "bob", "Bob", "direct", "bob", "", 1, 1, "")
    assert place_of(entry) == BOB
    assert place_of(entry._replace(channel="dev", peer="")) == DEV
    assert place_of(entry._replace(channel="broadcast", peer="")) == Place(Kind.BROADCAST)


# -- what others write -------------------------------------------------------------------------------------------------


NASTY = "\x1b[2J\x1b[H\r\n\a\x9b31m\u202egnihton\u2066 \x00\x7f\u2028"
PLAIN = "[2JH31m gnihton"


def test_nobody_moves_our_cursor(seat: Seat) -> None:
    raw = Raw(seat.mesh, seat.node, "eve")
    raw.greet("dev")
    raw.send(NASTY, "dev", timestamp=NASTY)
    raw.send(NASTY)
    seat.windows.trouble(NASTY)
    seat.windows.message(Entry("ed:e:1", "ed", NASTY, "dev", "", NASTY, 9, 1, NASTY))
    seat.windows.message(Entry(f"{NASTY}:e:1", NASTY, "", "direct", NASTY, NASTY, 9, 1, NASTY))
    assert all(one not in seat.windows.title for one in NASTY if one not in PLAIN)
    for place in seat.windows.places():
        seat.windows.activate(place)
        seat.mesh.advance(1)
        shown = "".join(seat.screen())
        assert "\\x1b[2J" in shown
        assert all(one not in shown for one in NASTY if one not in PLAIN)


def test_rows_of_wide_characters_and_of_marks_fit(seat: Seat) -> None:
    family = "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
    for text in ("漢字", "e\u0301", family, "\U0001f1e9\U0001f1ea", "ｶﾞ", "ไทย", "a\u0300\u0301\u0302"):
        seat.hear(text * 99)
        for size in (SIZE, (61, 10), (20, 5), (79, 24)):
            seat.screen(size)
        assert any(text[:1] in row for row in seat.screen())


ANY_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ANY_TEXT, ANY_TEXT, st.integers(1, 90), st.integers(1, 12))
def test_whatever_is_said_by_whomever_can_be_drawn_at_any_size(text: str, name: str, cols: int, rows: int) -> None:
    seat = Seat("dev")
    seat.windows.message(Entry("eve:e:1", "eve", name, "dev", "", text, 1, 1, name))
    seat.windows.message(Entry("eve:e:2", "eve", name, "direct", "eve", text, 1, 2, ""))
    for place in seat.windows.places():
        seat.windows.activate(place)
        seat.paste(text)
        canvas = seat.view.render((cols, rows), focus=True)
        assert (canvas.cols(), canvas.rows()) == (cols, rows)
        assert canvas.cursor is not None and 0 <= canvas.cursor[0] < cols and canvas.cursor[1] == rows - 1
        assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for row in canvas.text for one in row.decode())


def test_a_text_cannot_look_like_a_line_of_somebody_else(seat: Seat) -> None:
    seat.hear("x " * 24 + "12:00 Ann: I owe you 100")
    rows = [row.split("│", 1)[1] for row in seat.screen() if "x x" in row or "owe" in row]
    assert len(rows) == 2
    assert rows[1].startswith(" " * 6) and not rows[1].startswith("12:00")


# -- the screen --------------------------------------------------------------------------------------------------------


def test_the_screen() -> None:
    seat = Seat("dev", "lunch")
    seat.meet("bob", "dev", "lunch")
    seat.meet("cara", "dev")
    seat.windows.activate(DEV)
    seat.hear("good morning")
    seat.say("hello")
    seat.hear("soup?", "lunch")
    seat.type("what is t")
    assert [row.rstrip() for row in seat.screen((70, 10))] == [
        " dev  3 members, 2 connected",
        " Log                   │",
        " #dev                  │",
        " #lunch              1 │",
        "● Bob                  │",
        "● Cara                 │12:00 Bob: good morning",
        "                       │12:00 Ann: hello ✓✓ 2/2",
        "                       │",
        " Alt-← → windows · PgUp older · Tab names · /help · /quit",
        "dev> what is t",
    ] or seat.screen((70, 10))


def test_titles(seat: Seat) -> None:
    assert seat.screen()[0].strip() == "dev  2 members, 1 connected"
    seat.windows.activate(BOB)
    assert seat.screen()[0].strip() == "Bob  bob  connected"
    seat.mesh.kill("bob")
    seat.mesh.advance(1)
    assert seat.screen()[0].strip() == "Bob  bob  not connected"
    assert "○ Bob" in seat.side
    seat.windows.activate(LOG)
    assert seat.screen()[0].strip() == "Ann  ann  port 9101, 0 connected"


def test_who_is_silent_is_away(seat: Seat) -> None:
    seat.mesh.cut("bob", silently=True)
    seat.mesh.advance(22)
    assert "◐ Bob" in seat.side


def test_a_long_list_of_places_shows_the_active_one(seat: Seat) -> None:
    for number in range(40):
        seat.node.join(f"c{number:02}")
    for place in seat.windows.places():
        seat.windows.activate(place)
        canvas = seat.view.render(SIZE, focus=True)
        rows = [[part for _, _, part in row] for row in canvas.content()]
        marked = [row for row in canvas.content() if any(style == "here" for style, _, _ in row)]
        assert len(marked) == 1 and len(rows) == 24


def test_a_narrow_screen_shows_lines_and_a_low_one_what_is_typed(seat: Seat) -> None:
    seat.hear("hello")
    seat.type("hi")
    narrow = seat.screen((30, 6))
    assert narrow[4].startswith(" Alt") and narrow[5].startswith("dev> hi")
    assert narrow[3].startswith("12:00 Bob: hello")
    assert seat.screen((30, 2)) == ["12:00 Bob: hello".ljust(30), "dev> hi".ljust(30)]
    assert seat.screen((30, 1)) == ["dev> hi".ljust(30)]


def test_below_the_rows_that_are_read_it_is_said_how_many_are_new(seat: Seat) -> None:
    for number in range(60):
        seat.windows.active.add(message(number + 1, number - 100))
    before = seat.lines
    seat.press("page up")
    read = seat.lines
    assert read[-1] == before[0]
    for number in range(2):
        seat.hear(f"new {number}")
    assert seat.lines == read
    assert seat.screen()[-2].strip().startswith("2 new below")
    assert seat.windows.unread(DEV) == 0
    seat.press("page down", "page down")
    assert seat.lines[-1] == "12:00 Bob: new 1"
    assert "new below" not in seat.screen()[-2]
    seat.press("page up", "ctrl end")
    assert seat.windows.active.is_at_end


def test_who_sends_sees_what_was_sent(seat: Seat) -> None:
    for number in range(60):
        seat.windows.active.add(message(number + 1, number - 100))
    seat.press("page up", "page up")
    seat.say("hello")
    assert seat.lines[-1] == "12:00 Ann: hello ✓✓ 1/1"


# -- keys --------------------------------------------------------------------------------------------------------------


def test_enter_submits_what_was_typed_to_the_window_it_was_typed_in(seat: Seat) -> None:
    seat.type("hello ")
    seat.press("enter", "enter")
    assert seat.submitted == [(DEV, "hello")]
    assert seat.view.prompt.edit_text == ""
    seat.press("up")
    assert seat.view.prompt.edit_text == "hello"


def test_what_is_not_taken_stays_to_be_mended(seat: Seat) -> None:
    seat.accepts = False
    seat.type("hello")
    seat.press("enter")
    assert seat.view.prompt.edit_text == "hello"


def test_what_is_being_typed_stays_with_its_window_and_nobody_disturbs_it(seat: Seat) -> None:
    seat.type("hello wor")
    seat.press("left", "left")
    for channel in ("dev", "direct", "broadcast"):
        seat.hear("interrupting", channel)
    assert seat.screen()[-1].strip() == "dev> hello wor"
    assert seat.view.render(SIZE, focus=True).cursor == (len("dev> hello w"), 23)
    seat.press("meta right")
    assert seat.windows.active.place == BOB
    assert seat.screen()[-1].strip() == "Bob>"
    seat.type("psst")
    seat.press("meta left")
    assert seat.screen()[-1].strip() == "dev> hello wor"
    seat.type("x")
    assert seat.view.prompt.edit_text == "hello wxor"
    seat.press("ctrl n")
    assert seat.screen()[-1].strip() == "Bob> psst"


def test_windows_are_turned_by_steps_and_by_numbers(seat: Seat) -> None:
    shown = []
    for key in ("meta right", "meta right", "ctrl p", "f1", "f2", "f3", "f12", "meta 1", "meta down", "meta up"):
        seat.press(key)
        shown.append(seat.windows.active.place)
    assert shown == [BOB, LOG, BOB, LOG, DEV, BOB, BOB, LOG, DEV, LOG]


def test_the_next_unread_window_is_one_key_away(seat: Seat) -> None:
    seat.windows.activate(LOG)
    seat.press("meta a")
    assert seat.windows.active.place == LOG
    seat.hear("hello")
    seat.hear("psst", "direct")
    seat.press("meta a")
    assert seat.windows.active.place == BOB
    seat.press("meta a")
    assert seat.windows.active.place == DEV


def test_a_click_on_a_place_opens_it_and_the_wheel_scrolls(seat: Seat) -> None:
    seat.screen()
    seat.view.mouse_event(SIZE, "mouse press", 1, 3, 3, True)
    assert seat.windows.active.place == BOB
    seat.screen()
    seat.view.mouse_event(SIZE, "mouse press", 1, 3, 2, True)
    for number in range(60):
        seat.windows.active.add(message(number + 1, number - 100))
    seat.view.mouse_event(SIZE, "mouse press", 4, 40, 5, True)
    assert seat.lines[-1] == "12:00 Bob: m57"
    seat.view.mouse_event(SIZE, "mouse press", 5, 40, 5, True)
    assert seat.windows.active.is_at_end
    seat.type("hello")
    seat.view.mouse_event(SIZE, "mouse press", 1, 6, 23, True)
    seat.type("x")
    assert seat.view.prompt.edit_text == "hxello"
    assert not seat.view.mouse_event(SIZE, "mouse release", 0, 3, 3, True)


def test_tab_completes_names_and_commands(seat: Seat) -> None:
    seat.type("bo")
    seat.press("tab")
    assert seat.view.prompt.edit_text in ("Bob: ", "bob: ")
    seat.press("ctrl u")
    seat.type("/le")
    seat.press("tab")
    seat.type("de")
    seat.press("tab")
    assert seat.view.prompt.edit_text == "/leave dev "


def test_there_is_no_completing_beyond_what_may_be_typed(seat: Seat) -> None:
    seat.paste("x" * (MOST_TYPED - 4) + " Bo")
    seat.press("tab")
    assert len(seat.view.prompt.edit_text) == MOST_TYPED - 1


def test_what_is_pasted_is_one_line_and_not_sent(seat: Seat) -> None:
    seat.type("look: ")
    seat.paste("one\ntwo\tthree\n\x1b\x07\u202e")
    assert seat.view.prompt.edit_text == "look: one two three "
    assert seat.submitted == []
    seat.press("enter")
    assert seat.submitted == [(DEV, "look: one two three")]


def test_keys_in_a_paste_do_nothing(seat: Seat) -> None:
    seat.press("begin paste", "up", "f1", "ctrl d", "page up", "a", "end paste")
    assert seat.view.prompt.edit_text == "a" and seat.windows.active.place == DEV and not seat.ended


def test_a_paste_that_is_too_long_is_cut_and_said_to_be(seat: Seat) -> None:
    seat.paste("x" * (MOST_TYPED + 500))
    assert seat.view.prompt.edit_text == "x" * MOST_TYPED
    assert seat.windows.active.lines[-1].text.startswith("[Peer] Only ")
    seat.type("yy")
    assert len(seat.view.prompt.edit_text) == MOST_TYPED > MAX_TEXT
    seat.screen()


def test_a_paste_in_the_middle_of_what_is_typed(seat: Seat) -> None:
    seat.type("ad")
    seat.press("left")
    seat.paste("bc")
    assert seat.view.prompt.edit_text == "abcd"


def test_ctrl_d_on_an_empty_line_is_the_end_of_the_input(seat: Seat) -> None:
    seat.type("ab")
    seat.press("left", "ctrl d")
    assert seat.view.prompt.edit_text == "a" and not seat.ended
    seat.press("backspace", "ctrl d")
    assert seat.ended == 1


def test_a_line_longer_than_the_screen_shows_the_cursor(seat: Seat) -> None:
    seat.type("漢" * 100)
    canvas = seat.view.render(SIZE, focus=True)
    assert canvas.cursor is not None and canvas.cursor[1] == 23 and canvas.cursor[0] >= 77
    seat.press("home")
    assert seat.screen()[-1].startswith("dev> 漢")


def test_unknown_keys_are_left_to_others(seat: Seat) -> None:
    assert seat.view.keypress(SIZE, "ctrl l") == "ctrl l"
    assert seat.view.keypress(SIZE, "meta z") == "meta z"
    assert seat.view.prompt.edit_text == ""


# -- what is typed -----------------------------------------------------------------------------------------------------


class NoTrackers:
    """Lets everybody in everywhere, at once or when it is told to."""

    def __init__(self, seat: Seat) -> None:
        self.merged: list[Any] = []
        self.answer = seat.mesh.reactor.future()

    async def join(self, channel: str, password: str | None, invite: str | None) -> Any:
        await self.answer
        return SimpleNamespace(channel_key="")

    async def fetch(self, channel: str) -> list[Any]:
        return []


class Desk:
    """What is typed, behind a seat."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.quits = 0
        self.trackers = NoTrackers(seat)
        program = SimpleNamespace(
            node=seat.node, store=seat.store, reactor=seat.mesh.reactor, quit=self._quit,
            chat=Chat(seat.node, self.trackers),  # type: ignore[arg-type]
        )  # fmt: skip
        self.typed = Typed(program, seat.windows, lambda: bool(seat.view.prompt.edit_text))  # type: ignore[arg-type]

    def _quit(self) -> None:
        self.quits += 1

    def submit(self, text: str, place: Place = DEV) -> bool:
        taken = self.typed.submit(place, text)
        self.seat.mesh.advance(1)
        return taken


@pytest.fixture
def desk(seat: Seat) -> Desk:
    return Desk(seat)


def test_what_is_typed_in_a_channel_or_to_a_person_is_said_there(desk: Desk) -> None:
    assert desk.submit("hello") and desk.submit("psst", BOB) and desk.submit("fire!", Place(Kind.BROADCAST))
    assert [(entry.channel, entry.text) for entry in desk.seat.mesh.ears["bob"].entries] == [
        ("dev", "hello"), ("direct", "psst"), ("broadcast", "fire!"),
    ]  # fmt: skip
    assert desk.seat.lines == ["12:00 Ann: hello ✓✓ 1/1"]


def test_two_slashes_begin_a_message_with_one(desk: Desk) -> None:
    assert desk.submit("//etc/hosts")
    assert desk.seat.mesh.ears["bob"].texts == ["/etc/hosts"]


def test_what_looks_like_a_command_is_held_back_once(desk: Desk) -> None:
    """A password that was meant for `/join` cannot be taken back."""
    for line in ("join lobby password hunter2", "send bob psst", "leave dev", "peers"):
        assert not desk.submit(line)
        assert desk.seat.windows.active.lines[-1].text.startswith("[Peer] Not sent: a command begins with a slash")
    assert desk.seat.mesh.ears["bob"].texts == []
    assert desk.submit("peers") and desk.submit("leave it") and desk.submit("//join lobby")
    assert not desk.submit("join lobby password hunter2")
    assert desk.seat.mesh.ears["bob"].texts == ["peers", "leave it", "/join lobby"]


def test_what_is_held_back_in_one_window_is_so_in_another(desk: Desk) -> None:
    assert not desk.submit("peers") and not desk.submit("peers", BOB) and desk.submit("peers", BOB)


def test_what_cannot_be_sent_is_not_taken_and_why_is_said_there(desk: Desk) -> None:
    assert not desk.submit("hello", Place(Kind.PERSON, "nobody"))
    assert not desk.submit("x" * (MAX_TEXT + 1))
    assert desk.seat.windows.active.lines[-1].text.startswith(f"[Peer] The message has {MAX_TEXT + 1} characters")
    desk.seat.windows.activate(Place(Kind.PERSON, "nobody"))
    assert desk.seat.lines == ["12:00 [Peer] Not connected to peer: nobody"]


def test_commands_answer_where_they_were_typed_and_in_the_log(desk: Desk) -> None:
    assert desk.submit("/channels")
    answer = ["[Peer] In 1 channel", "- dev (2 members, 1 connected)"]
    assert [line.text for line in desk.seat.windows.active.lines] == answer
    assert desk.seat.log[-2:] == answer
    assert desk.submit("channels", LOG) and desk.submit("/channels", LOG)
    assert desk.seat.log[-6:] == answer * 3
    assert desk.submit("/quit") and desk.quits == 1
    assert desk.submit("/nonsense")
    assert "[Peer] Unknown command: nonsense" in desk.seat.log


def test_who_joins_a_channel_is_shown_it_but_not_while_typing(desk: Desk) -> None:
    art = Place(Kind.CHANNEL, "art")
    desk.trackers.answer.set_result(None)
    desk.submit("/join art")
    assert desk.seat.windows.active.place == art
    desk.seat.windows.activate(DEV)
    desk.submit("/join art")
    assert desk.seat.windows.active.place == DEV
    desk.seat.type("half a thou")
    desk.submit("/join music")
    assert desk.seat.windows.active.place == DEV and Place(Kind.CHANNEL, "music") in desk.seat.windows.places()


# -- urwid on a reactor ------------------------------------------------------------------------------------------------


class Sources:
    """A selector whose descriptors are ready when a test says so."""

    def __init__(self) -> None:
        self.ready: dict[int, Callable[[int], object]] = {}

    def register(self, fileobj: int, events: int, data: Any = None) -> None:
        assert fileobj not in self.ready
        self.ready[fileobj] = data

    def modify(self, fileobj: int, events: int, data: Any = None) -> None: ...

    def unregister(self, fileobj: int) -> None:
        del self.ready[fileobj]

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        return []

    def close(self) -> None: ...


@pytest.fixture
def reactor() -> FakeReactor:
    reactor = FakeReactor()
    reactor._selector = Sources()
    return reactor


@pytest.mark.parametrize(("version", "does"), [("2.1.2", False), ("5.0.1", False), ("5.1.0", True), ("6.0rc1", True)])
def test_an_urwid_that_is_too_old_is_none(monkeypatch: pytest.MonkeyPatch, version: str, does: bool) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert _has_urwid() == does


def test_alarms_sources_and_wakes_are_followed_by_one_idle_call(reactor: FakeReactor) -> None:
    happened: list[str] = []
    loop = ReactorLoop(reactor, lambda error: happened.append(repr(error)))
    idle = loop.enter_idle(lambda: happened.append("idle"))
    loop.alarm(1, lambda: happened.append("alarm"))
    cancelled = loop.alarm(1, lambda: happened.append("never"))
    assert loop.remove_alarm(cancelled) and not loop.remove_alarm(cancelled)
    reactor.advance(2)
    assert happened == ["alarm", "idle"]
    happened.clear()
    source = loop.watch_file(7, lambda: happened.append("ready"))
    reactor._selector.ready[7](1)  # type: ignore[attr-defined]
    loop.wake()
    loop.wake()
    reactor.settle()
    assert happened == ["ready", "idle"]
    assert loop.remove_watch_file(source) and not loop.remove_watch_file(source)
    assert loop.remove_enter_idle(idle) and not loop.remove_enter_idle(idle)
    loop.wake()
    reactor.settle()
    assert happened == ["ready", "idle"]


def test_what_a_callback_raises_is_told_and_leaving_stops_the_reactor(reactor: FakeReactor) -> None:
    errors: list[Exception] = []
    loop = ReactorLoop(reactor, errors.append)
    error = ValueError("drawn badly")

    def fail() -> None:
        raise error

    def leave() -> None:
        raise urwid.ExitMainLoop

    loop.enter_idle(fail)
    loop.wake()
    reactor.settle()
    assert errors == [error]
    loop.alarm(0, leave)
    loop.run()
    assert errors[0] is error and all(one is error for one in errors)


def test_what_is_written_in_a_turn_goes_out_together_and_then_the_terminal_is_busy_for_a_frame(
    reactor: FakeReactor,
) -> None:
    reading, writing = os.pipe()
    freed: list[float] = []
    terminal = Terminal(reactor, writing, lambda: freed.append(reactor.now), InlinePool(reactor))
    try:
        terminal.flush()
        reactor.settle()
        assert not terminal.is_busy
        terminal.write("a")
        terminal.flush()
        terminal.write("ü\ud800")
        terminal.flush()
        assert not terminal.is_busy
        reactor.settle()
        assert os.read(reading, 100) == "aü?".encode()
        assert terminal.is_busy and not freed
        reactor.advance(FRAME_SECONDS * 1.01)
        assert not terminal.is_busy and len(freed) == 1
        assert terminal.fileno() == writing and os.get_blocking(writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_terminal_that_is_gone_takes_everything(reactor: FakeReactor) -> None:
    reading, writing = os.pipe()
    terminal = Terminal(reactor, writing, lambda: None, InlinePool(reactor))
    os.close(reading)
    terminal.write("x" * 100_000)
    terminal.flush()
    reactor.advance(1)
    os.close(writing)
    terminal.write("y")
    terminal.flush()
    terminal._go_on()
    reactor.advance(1)
    assert not terminal.is_busy
