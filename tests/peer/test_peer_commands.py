"""What a person gets wrong at the prompt: each is a line that says what, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from mesh import TIMESTAMP, Mesh

from peer.chat import Chat
from peer.errors import PeerError
from peer.messages import DIRECT
from peer.storage.store import Entry
from peer.terminal.commands import LONGEST_WORD, USAGE, Commands, counted, looks_meant
from peer.terminal.lines import Lines


class Trackers:
    """They refuse whatever is asked."""

    names = ("tracker",)
    merged: Sequence[Any] = ()

    async def configure(self, channel: str, **change: Any) -> Any:
        raise PeerError("no")


class Ann:
    """In the channel dev, linked with bob, who is called Bob."""

    def __init__(self) -> None:
        self.mesh = Mesh()
        self.node = self.mesh.start("ann", "dev")
        self.mesh.start("bob", "dev", username="Bob")
        self.mesh.link("ann", "bob")
        self.printed: list[str] = []
        self.quits = 0
        self.past: Callable[[str, str], list[Entry]] = lambda channel, peer: []
        chat, lines = Chat(self.node, Trackers()), Lines(self)  # type: ignore[arg-type]
        lines.node = self.node
        self._commands = Commands(chat, lines, self, self, self._quit)  # type: ignore[arg-type]

    def _quit(self) -> None:
        self.quits += 1

    def line(self, text: str) -> None:
        self.printed.append(text)

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Any:
        """It is its own store."""
        future = self.mesh.reactor.future()
        future.set_result(self.past(channel, peer))
        return future

    def ask(self, command: str) -> list[str]:
        """What it prints."""
        self.printed.clear()
        task = self.mesh.reactor.spawn(self._commands.run(command))
        self.mesh.advance(1)
        assert task.done and task.error is None
        return self.printed


@pytest.fixture
def ann() -> Ann:
    return Ann()


def past_with(who: str, count: int) -> Callable[[str, str], list[Entry]]:
    """What was said with somebody who is long gone."""
    entry = Entry("1", who, who, DIRECT, "ann", "hi", 1, 1, TIMESTAMP)
    return lambda channel, peer: [entry] * count if peer == who else []


@pytest.mark.parametrize(
    "line",
    ["join", "join a b", "join a password", "leave", "say", "say dev", "connect", "connect bob 127.0.0.1", "send",
     "send bob", "broadcast", "mute", "unmute", "policy", "policy dev", "policy dev shut", "policy dev password",
     "policy dev open x", "policy dev password a b", "invite", "invite a b", "remove", "remove dev", "list x",
     "peers x", "channels x"],
)  # fmt: skip
def test_too_much_or_too_little_is_answered_with_the_usage_of_that_command(ann: Ann, line: str) -> None:
    assert ann.ask(line) == [f"[Peer] Usage: {USAGE[line.split()[0]][0]}"]


@pytest.mark.parametrize("line", ["quit now?", "exit, please"])
def test_a_sentence_does_not_end_the_program(ann: Ann, line: str) -> None:
    ann.ask(line)
    assert ann.quits == 0


@pytest.mark.parametrize("line", ["connect zz", "mute zz", "unmute zz", "remove dev zz", "history zz"])
def test_who_is_not_known_is_said_and_where_to_look(ann: Ann, line: str) -> None:
    assert ann.ask(line) == ["[Peer] Nobody is known as zz: `list` shows who is there"]


def test_to_send_a_link_is_needed(ann: Ann) -> None:
    assert ann.ask("send zz hello") == ["[Peer] Not connected to peer: zz"]


@pytest.mark.parametrize("line", ["connect ann", "mute ann", "remove dev ann"])
def test_oneself_is_nobody_else(ann: Ann, line: str) -> None:
    assert ann.ask(line) == ["[Peer] That is this peer itself"]


@pytest.mark.parametrize("line", ["policy art open", "invite art", "remove art bob", "say art hello"])
def test_a_channel_that_we_are_not_in_is_named(ann: Ann, line: str) -> None:
    assert ann.ask(line) == ["[Peer] Not in channel art: join it first"]


def test_why_somebody_could_not_be_removed_names_them_and_the_channel(ann: Ann) -> None:
    assert ann.ask("remove dev Bob") == ["[Peer] Failed to remove bob from channel dev: no"]


@pytest.mark.parametrize("line", ["/channels", "CHANNELS", "\tchannels \t", "/Channels"])
def test_a_command_is_known_with_a_slash_in_capitals_and_between_tabs(ann: Ann, line: str) -> None:
    assert ann.ask(line) == ["[Peer] In 1 channel", "- dev (2 members, 1 connected)"]


def test_words_may_be_separated_by_any_white_space(ann: Ann) -> None:
    assert ann.ask("send\tbob \t two  words ") == ann.ask("say\u3000dev\u3000hi") == []
    assert ann.mesh.ears["bob"].texts == ["two  words", "hi"]


def test_a_command_that_is_none_is_shown_in_part_below_the_help(ann: Ann) -> None:
    first, *usages, last = ann.ask("x" * 3000)
    assert (first, last) == ("Commands:", "[Peer] Unknown command: " + "x" * LONGEST_WORD)
    assert [line.split()[0] for line in usages] == list(USAGE)


@pytest.mark.parametrize("count", [1, 2])
def test_the_history_of_somebody_who_is_not_known_any_more_is_there(ann: Ann, count: int) -> None:
    ann.past = past_with("gone1234", count)
    first, *rest = ann.ask("history gone1234")
    assert first == ("[Peer] 1 message with gone1234" if count == 1 else "[Peer] 2 messages with gone1234")
    assert len(rest) == count


def test_a_history_is_that_of_a_channel_a_peer_or_all(ann: Ann) -> None:
    assert ann.ask("history dev") == ["[Peer] 0 messages in channel dev"]
    assert ann.ask("history Bob") == ["[Peer] 0 messages with Bob"]
    assert ann.ask("history") == ["[Peer] 0 messages"]


def test_one_is_not_many() -> None:
    assert [counted(number, "peer") for number in (0, 1, 2)] == ["0 peers", "1 peer", "2 peers"]


@pytest.mark.parametrize(
    ("text", "is_meant"),
    [
        ("join lobby password hunter2", True), ("JOIN x", True), ("policy dev open", True), ("quit", True),
        ("peers", True), ("connect bob", True), ("say dev hi", True), ("send Bob hi", True), ("leave dev", True),
        ("say hi to everybody", False), ("leave it", False), ("send help", False), ("help me", False),
        ("list them all", False), ("hello", False), ("", False), ("quit it, Bob", False), ("joining", False),
    ],
)  # fmt: skip
def test_what_was_rather_meant_as_a_command_is_told_from_sentences(text: str, is_meant: bool) -> None:
    assert looks_meant(text, {"dev", "Bob"}) == is_meant
