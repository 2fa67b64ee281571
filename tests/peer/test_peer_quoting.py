"""Ids and names of others in lines: nobody can be shown as somebody else."""

from __future__ import annotations

import pytest
from mesh import PORT, TIMESTAMP, Mesh, Raw

from peer.quoting import show_id, show_name
from peer.storage.store import Entry
from peer.terminal.lines import Lines
from reactor.core.address import Address


@pytest.mark.parametrize(
    "peer_id", ["65113e1d", "aaaa1111", "An_n.B+c@home-1", "10.0.0.3:9101", "[::1]:9101", "[fe80::1]", "YOUR", "7"]
)
def test_a_plain_id_stands_as_it_is(peer_id: str) -> None:
    assert show_id(peer_id) == peer_id


@pytest.mark.parametrize(
    ("peer_id", "shown"),
    [
        ("65113e1d: hi", '"65113e1d: hi"'),
        ("65113e1d:", '"65113e1d:"'),
        ("a:b", '"a:b"'),
        ("65113\u04351d", r'"65113\u04351d"'),  # a Cyrillic letter that looks like an e
        ("you", '"you"'),
        ("You", '"You"'),
        ("a b", '"a b"'),
        ("(you)", '"(you)"'),
        ("[Peer]", '"[Peer]"'),
        ('a"b', r'"a\"b"'),
        ("a\\", r'"a\\"'),
        ("", '""'),
    ],
)
def test_an_id_that_could_be_something_else_is_quoted(peer_id: str, shown: str) -> None:
    assert show_id(peer_id) == shown


@pytest.mark.parametrize(
    "name", ["Ann", "Nguyễn Văn An", "Nguye\u0302\u0303n", "お早う", "हिन्दी", "O'Neill", "Ann-Marie", "c++", "#dev"]
)
def test_a_plain_name_is_one_of_any_script(name: str) -> None:
    assert show_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["you", "YOU", "Ann: hi", "Ann (65113e1d)", "a, b", "A] (you)", " A", "Ann ", "A  n", "", "a\u00a0b", "✓✓",
     "Ann\ufe0f", "\u3164", "yo\u034fu", "Ann\U000e0100"],
)  # fmt: skip
def test_a_name_that_could_be_something_else_is_quoted(name: str) -> None:
    assert show_name(name) == f'"{name}"'


class Page:
    """An Output."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def test_no_line_of_a_message_begins_with_another_author() -> None:
    page = Page()
    lines = Lines(page)
    for channel in ("direct", "broadcast", "dev"):
        lines.message(Entry("i", "ann: hi", "Ann", channel, "", "text", 1, 1, TIMESTAMP))
    assert page.lines == [
        '[Peer] Message from "ann: hi": text', '[Peer] Broadcast from "ann: hi": text',
        '[Peer] Message in dev from "ann: hi": text',
    ]  # fmt: skip


def test_who_is_met_under_another_id_than_was_meant_cannot_write_the_reason() -> None:
    mesh = Mesh()
    ann = mesh.start("ann")
    mesh.start("x) [Peer] Message from bob: hi", host="bob")
    outcome = ann.connect("bob", Address("bob", PORT))
    mesh.advance(2)
    assert str(outcome.error) == 'the peer there is "x) [Peer] Message from bob: hi"'


def test_links_of_a_forged_id_are_told_with_it_in_quotes() -> None:
    mesh, page = Mesh(), Page()
    ann = mesh.start("ann")
    lines = Lines(page)
    lines.node = ann
    ann._audience = lines
    raw = Raw(mesh, ann, "you")
    raw.greet()
    raw.transport.abort()
    mesh.advance(0)
    assert page.lines[0] == '[Peer] Handshake from peer: "you"'
    assert page.lines[1].startswith('[Peer] Disconnected from peer: "you" (')
