"""What a person asks for: who is meant by a word, what is believed of a tracker, and what a command prints."""

from __future__ import annotations

from typing import Any

import pytest
from mesh import EPOCH, PORT, Mesh, Raw

from peer.chat import MOST_CHANNELS, MOST_MEMBERS, Chat
from peer.errors import Ambiguous, PeerError
from peer.framing import LONGEST
from peer.messages import MAX_NAME, decode, encode
from peer.node import Settings
from peer.storage.store import Entry
from peer.terminal.commands import LONGEST_LIST, MOST_SHOWN, Commands
from peer.terminal.lines import Lines
from peer.trackers.answers import Listed


def listed(peer_id: str, username: str = "", *channels: str) -> Listed:
    return Listed(peer_id, username or peer_id, "10.0.0.1", PORT, channels)


class Trackers:
    """They list what the test wants."""

    names = ("tracker",)

    def __init__(self) -> None:
        self.merged: list[Listed] = []

    async def join(self, channel: str, password: str | None, invite: str | None) -> Any:
        return type("Joined", (), {"channel_key": None})

    async def fetch(self, channel: str = "") -> list[Listed]:
        return self.merged


class Past:
    """A store of some messages."""

    def __init__(self, mesh: Mesh) -> None:
        self.entries: list[Entry] = []
        self._mesh = mesh

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Any:
        future = self._mesh.reactor.future()
        future.set_result(self.entries)
        return future


class Ann:
    def __init__(self, *channels: str) -> None:
        self.mesh = Mesh()
        self.node = self.mesh.start("ann", *channels)
        self.trackers = Trackers()
        self.chat = Chat(self.node, self.trackers)  # type: ignore[arg-type]
        self.past = Past(self.mesh)
        self.printed: list[str] = []
        lines = Lines(self)
        lines.node = self.node
        self._commands = Commands(self.chat, lines, self.past, self, lambda: None)  # type: ignore[arg-type]

    def line(self, text: str) -> None:
        self.printed.append(text)

    def ask(self, command: str, seconds: float = 1.0) -> list[str]:
        """What it prints."""
        self.printed.clear()
        task = self.mesh.reactor.spawn(self._commands.run(command))
        self.mesh.advance(seconds)
        assert task.done and task.error is None
        return self.printed


@pytest.fixture
def ann() -> Ann:
    return Ann("x")


# -- who is meant ------------------------------------------------------------------------------------------------------


def test_a_name_or_the_beginning_of_an_id_is_enough(ann: Ann) -> None:
    ann.trackers.merged = [listed("65113e1d", "Bob"), listed("65a00b12", "Eve")]
    assert [ann.chat.find(who) for who in ("65113e1d", "Bob", "651", "Eve")] == [
        "65113e1d", "65113e1d", "65113e1d", "65a00b12",
    ]  # fmt: skip


def test_a_name_that_is_the_beginning_of_anothers_id_is_ambiguous(ann: Ann) -> None:
    ann.trackers.merged = [listed("65113e1d", "Bob"), listed("eeee5555", "6511")]
    with pytest.raises(Ambiguous, match=r"65113e1d \(Bob\), eeee5555 \(6511\)"):
        ann.chat.find("6511")


def test_a_whole_id_is_meant_whatever_others_call_themselves(ann: Ann) -> None:
    ann.trackers.merged = [listed("eeee5555", "65113e1d"), listed("65113e1d", "Bob")]
    assert ann.chat.find("65113e1d") == "65113e1d"


def test_who_is_called_as_its_id_begins_is_one(ann: Ann) -> None:
    ann.trackers.merged = [listed("bob", "bo"), listed("cay")]
    assert ann.chat.find("bo") == "bob"


def test_ids_that_may_be_meant_are_shown_so_that_they_fake_nothing(ann: Ann) -> None:
    ann.trackers.merged = [listed("65a (Bob), 65b", "x) ("), listed("65c")]
    with pytest.raises(PeerError, match=r'"65a \(Bob\), 65b" \("x\) \("\), 65c \(65c\)'):
        ann.chat.find("65")


# -- what a tracker lists ----------------------------------------------------------------------------------------------


def test_of_a_tracker_that_makes_members_up_a_mesh_is_taken_and_no_more(ann: Ann) -> None:
    ann.trackers.merged = [listed(f"p{number}", "", "x", "y") for number in range(10_000)]
    ann.chat.learn(ann.trackers.merged)
    assert len(ann.node.members("x")) == len(ann.node.contacts) == MOST_MEMBERS


def test_who_is_known_already_is_not_displaced_by_those_who_are_made_up(ann: Ann) -> None:
    ann.chat.learn([listed("bob", "", "x")])
    ann.chat.learn([*(listed(f"p{number}", "", "x") for number in range(500)), listed("bob", "", "x")])
    assert "bob" in [contact.peer_id for contact in ann.node.members("x")]


def test_each_channel_has_its_own_room(ann: Ann) -> None:
    ann.node.join("y")
    peers = [listed(f"x{number}", "", "x") for number in range(200)]
    ann.chat.learn([*peers, *(listed(f"y{number}", "", "y") for number in range(3))])
    assert len(ann.node.members("x")) == MOST_MEMBERS and len(ann.node.members("y")) == 3


def test_who_was_listed_in_a_channel_before_we_joined_it_is_a_member_then(ann: Ann) -> None:
    ann.trackers.merged = [listed("bob", "", "later")]
    ann.chat.learn(ann.trackers.merged)
    assert not ann.node.contacts.get("bob")
    ann.mesh.reactor.spawn(ann.chat.join("later"))
    ann.mesh.advance(0)
    ann.chat.learn(ann.trackers.merged, all_of_them=False)  # every join is followed by a look at the list
    assert [contact.peer_id for contact in ann.node.members("later")] == ["bob"]


# -- what a command prints ---------------------------------------------------------------------------------------------


def test_of_a_tracker_that_lists_others_each_time_those_are_forgotten_who_are_not_listed_any_more(ann: Ann) -> None:
    node = ann.mesh.start("ann", "class", settings=Settings(max_contacts=200))
    chat = Chat(node, Trackers())  # type: ignore[arg-type]
    for at in range(20):
        chat.learn([listed(f"p{at}-{n}", "", "class") for n in range(MOST_MEMBERS)])
        ann.mesh.reactor.advance(1)
    assert len(node.contacts) <= 200 + MOST_MEMBERS
    assert all(contact.listed_at for contact in node.contacts), "and nobody else is dialled"


def test_as_many_channels_as_one_may_be_in_fit_into_a_line(ann: Ann) -> None:
    for n in range(1, MOST_CHANNELS):
        ann.node.join(f"{n:😀>{MAX_NAME}}", "ab" * 32)
    raw = Raw(ann.mesh, ann.node)
    raw.greet()
    lines = [encode(raw.link.answer), encode(ann.node.channels.announcement(raw.link))]
    assert all(len(line) < LONGEST and decode(line) for line in lines)
    [line] = ann.ask("join another")
    assert line.endswith("leave one first") and len(ann.node.channels) == MOST_CHANNELS
    again = next(iter(ann.node.channels))
    assert f"[Peer] Joined channel: {again}" in ann.ask(f"join {again}")


def test_a_list_that_nobody_could_read_is_cut_and_counted(ann: Ann) -> None:
    ann.trackers.merged = [listed(f"p{number}") for number in range(10_000)]
    printed = ann.ask("list")
    assert printed[0] == "[Peer] Retrieved 10000 peers from tracker"
    assert len(printed) == LONGEST_LIST + 3 and printed[-1] == f"- and {10_000 - LONGEST_LIST} more"


def test_joining_a_channel_of_10000_dials_and_prints_those_of_a_mesh(ann: Ann) -> None:
    ann.trackers.merged = [listed(f"p{number}", "", "new") for number in range(10_000)]
    printed = ann.ask("join new", 60)
    assert sum("Connecting to" in line for line in printed) == MOST_MEMBERS
    assert len(printed) <= 2 * MOST_MEMBERS + 4


def test_the_channels_of_one_peer_are_cut_too(ann: Ann) -> None:
    ann.trackers.merged = [listed("bob", "Bob", *(f"c{number}" for number in range(50)))]
    assert ann.ask("list")[-1].endswith(f"c{MOST_SHOWN - 1}, and {50 - MOST_SHOWN} more]")


def test_a_list_says_who_is_who_and_nobody_else_can(ann: Ann) -> None:
    ann.trackers.merged = [
        listed("ann", "Ann", "x"), listed("eve", "x) Ann [x] (you)"), listed("b (you)", "Bob Lee", "a] (you)"),
    ]  # fmt: skip
    assert ann.ask("list")[2:] == [
        f"- ann (10.0.0.1:{PORT}) Ann [x] (you)", f'- eve (10.0.0.1:{PORT}) "x) Ann [x] (you)"',
        f'- "b (you)" (10.0.0.1:{PORT}) Bob Lee ["a] (you)"]',
    ]  # fmt: skip


def test_in_a_history_nobody_else_is_you(ann: Ann) -> None:
    ann.past.entries = [
        Entry(f"{author}:{EPOCH}:1", author, "", "x", "", "hi", 1, 1, "") for author in ("ann", "you", "ann: a")
    ]
    assert ann.ask("history")[1:] == [
        "--:-- you in x: hi", '--:-- "you" in x: hi', '--:-- "ann: a" in x: hi',
    ]  # fmt: skip


def test_those_we_are_connected_to_are_shown_as_they_are(ann: Ann) -> None:
    Raw(ann.mesh, ann.node, "bob: connected").greet(username="B: muted")
    assert ann.ask("peers", 2)[1].startswith('- "bob: connected" "B: muted": connected')


@pytest.mark.parametrize("command", ["mute you", "unmute you"])
def test_what_is_done_to_a_peer_called_you_is_said_of_it(ann: Ann, command: str) -> None:
    Raw(ann.mesh, ann.node, "you").greet()
    assert '"you"' in ann.ask(command)[0]


