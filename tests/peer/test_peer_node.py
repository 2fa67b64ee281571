"""Nodes among each other and with strangers: which links there are, which of two stays, and who gets in. "Links" and
"Peers of the original system" of docs/peer-protocol.md sentence by sentence, and the originals' defects by number.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from mesh import EPOCH, OTHER_EPOCH, OTHER_INSTANCE, PORT, Disk, Mesh, Raw, Stub, frame, hello

from peer.errors import PeerError
from peer.node import Listed, Node, Settings
from peer.protocol import ACCEPTOR, DIALLER
from peer.rooms import prove
from reactor.core.address import Address
from reactor.errors import DialError

OLD = b'{"type":"handshake","peer_id":"old","timestamp":"noon"}'


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def raw(mesh: Mesh, name: str = "raw", *channels: str, node: str = "ann", **fields: Any) -> Raw:
    """A peer that has greeted ann."""
    peer = Raw(mesh, mesh.nodes[node], name, epoch=fields.get("epoch", EPOCH))
    peer.greet(*channels, **fields)
    peer.frames()
    return peer


def answers(name: str, *channels: str) -> Any:
    """What a stub says that greets as a peer of version 1, and nothing else."""
    return lambda line: frame("handshake_ack", **hello(name, channels=channels)) if b'"handshake"' in line else b""


def dial_times(mesh: Mesh, one: str, other: str) -> list[float]:
    return [when - 1000 for when, who, whom in mesh.wires.dials if (who, whom) == (one, other)]


# -- the originals' defects --------------------------------------------------------------------------------------------


def test_defect_1_messages_that_come_together_or_in_pieces_are_all_taken(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    data = b"".join(peer.text(f"m{n}") for n in range(10))
    peer.feed(data[:7])
    peer.feed(data[7:300])
    peer.feed(data[300:])
    assert mesh.ears["ann"].texts == [f"m{n}" for n in range(10)]


def test_defect_5_the_cleanup_of_an_old_link_leaves_the_newer_one_alone(mesh: Mesh) -> None:
    """zoe has the larger id and decides; her old link dies, and its end comes long after the new one's start."""
    zoe = mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    new = raw(mesh, "ann", node="zoe")
    mesh.advance(3.5)
    assert old.is_closed and mesh.links("zoe", "ann") == [new.link]
    old.transport.abort()
    mesh.advance(20)
    assert mesh.links("zoe", "ann") == [new.link] and zoe.contacts["ann"].link is new.link
    zoe.send("ann", "hi")
    mesh.advance(0)
    assert [text["message"] for text in new.frames("chat")] == ["hi"]
    assert mesh.ears["zoe"].linked == ["ann"]


def test_defect_8_nobody_is_put_into_a_channel_by_somebody_who_names_it(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh, "raw", "secrets")
    peer.say("channels", channels=[{"name": "secrets"}])
    peer.send("hi", "secrets")
    assert peer.frames("refuse") == [{"type": "refuse", "seq": 1, "code": "not_member"}]
    assert list(ann.channels) == [] and not mesh.ears["ann"].texts and peer.link.is_open


def test_defect_9_the_sender_of_a_message_is_who_is_at_the_other_end(mesh: Mesh) -> None:
    mesh.start("ann")
    raw(mesh, "bob")
    raw(mesh, "mallory").send("hi", peer_id="bob", username="Bob")
    assert [entry.author for entry in mesh.ears["ann"].entries] == ["mallory"]
    old = Raw(mesh, mesh.nodes["ann"], "old")
    old.feed(OLD)
    old.feed(b'{"type":"chat","message":"hi","peer_id":"bob","from":"bob","username":"Bob"}')
    assert [entry.author for entry in mesh.ears["ann"].entries] == ["mallory", "old"]


@pytest.mark.parametrize("seed", range(30))
def test_defect_10_of_two_that_dial_each_other_at_once_exactly_one_link_stays(seed: int) -> None:
    mesh = Mesh(seed, slowest=0.5)
    mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(15)
    [one], [other] = mesh.links("ann", "bob"), mesh.links("bob", "ann")
    assert {one.role, other.role} == {DIALLER, ACCEPTOR} and set(one.nonces) == set(other.nonces)
    assert mesh.ears["ann"].linked == ["bob"] and mesh.ears["bob"].linked == ["ann"]
    letter = mesh.nodes["ann"].say("x", "hi")
    mesh.advance(1)
    assert letter.states["bob"].value == "delivered" and mesh.ears["bob"].texts == ["hi"]


# -- which links there are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_peers_that_share_a_channel_are_linked_each_pair_once(seed: int) -> None:
    mesh = Mesh(seed, slowest=0.3)
    for name in ("ann", "bob", "cay", "dan", "eve"):
        mesh.start(name, "x" if name != "eve" else "y")
    mesh.list_all()
    mesh.advance(20)
    others = ("ann", "bob", "cay", "dan")
    assert {len(mesh.links(one, other)) for one in others for other in others if one != other} == {1}
    assert all(not mesh.links(one, "eve") for one in others) and not mesh.nodes["eve"].links


def test_a_newcomer_is_linked_from_both_sides_and_one_link_stays(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(5)
    mesh.start("cay", "x")
    mesh.list_all()
    mesh.advance(15)
    assert mesh.link_counts() == {1}


def test_whom_the_user_has_connected_to_stays_linked_without_a_channel(mesh: Mesh) -> None:
    mesh.start("ann")
    mesh.start("bob")
    mesh.link("ann", "bob")
    mesh.advance(300)
    assert mesh.link_counts() == {1} and len(dial_times(mesh, "ann", "bob")) == 1


def test_a_link_that_nothing_asks_for_any_more_is_closed_after_a_minute_without_traffic(mesh: Mesh) -> None:
    ann, bob = mesh.start("ann", "x"), mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(10)
    ann.leave("x")
    bob.leave("x")
    mesh.advance(50)
    assert mesh.link_counts() == {1}
    mesh.advance(20)
    assert mesh.link_counts() == {0} and not ann.links and not bob.links
    assert {what for what in mesh.ears["ann"].said + mesh.ears["bob"].said if what[0] == "disconnected"} == {
        ("disconnected", "idle"), ("disconnected", "it said goodbye (idle)"),
    }  # fmt: skip
    mesh.advance(100)
    assert mesh.link_counts() == {0}


def test_traffic_keeps_a_link_that_nothing_asks_for(mesh: Mesh) -> None:
    ann, bob = mesh.start("ann", "x"), mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(10)
    ann.leave("x")
    bob.leave("x")
    for _ in range(5):
        mesh.advance(40)
        bob.send("ann", "still here")
    assert mesh.link_counts() == {1}


def test_while_the_tracker_says_nothing_its_last_list_counts(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(5)
    mesh.cut("bob")
    mesh.advance(10)
    assert mesh.link_counts() == {1}


def test_who_has_left_the_tracker_is_dialled_no_more(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    bob = mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(5)
    bob.close()
    mesh.wires.listeners.pop(Address("bob", PORT))
    mesh.advance(5)
    mesh.list_all(but_for=["bob"])
    dials = len(mesh.wires.dials)
    mesh.advance(300)
    assert len(mesh.wires.dials) == dials
    assert not ann.say("x", "anybody?").states, "it is no member any more"


def test_a_peer_that_has_no_port_is_not_dialled(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peer = raw(mesh, "raw", "x")
    peer.transport.abort()
    mesh.advance(60)
    assert not mesh.wires.dials and not ann.links


def test_a_peer_that_has_a_port_is_dialled_where_it_was_seen(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    stub = Stub(mesh, "raw", answers("raw", "x"))
    raw(mesh, "raw", "x", listen_port=PORT).transport.abort()
    mesh.advance(3)
    assert dial_times(mesh, "ann", "raw") and stub.read and mesh.links("ann", "raw")


def test_a_node_does_not_link_with_itself(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    mesh.list_all()
    mesh.advance(10)
    assert not mesh.wires.dials
    outcome = ann.connect("bob", Address("ann", PORT))
    mesh.advance(3)
    with pytest.raises(DialError, match="own_id"):
        outcome.result()
    peer = Raw(mesh, ann, "ann")
    peer.say("handshake", **hello("ann"))
    assert peer.frames() == [{"type": "bye", "reason": "own_id"}] and not mesh.ears["ann"].linked


# -- dialling ----------------------------------------------------------------------------------------------------------


def test_lost_links_come_back_after_1_2_5_15_and_30_seconds_with_jitter(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(20)
    before = len(dial_times(mesh, "ann", "bob"))
    mesh.kill("bob")
    lost = mesh.reactor.now - 1000
    mesh.advance(150)
    times = [lost, *dial_times(mesh, "ann", "bob")[before:]]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, step in zip(gaps, (1, 2, 5, 15, 30, 30), strict=False):
        assert 0.8 * step <= gap <= 1.2 * step + 0.1, times
    assert len({round(gap % 1, 3) for gap in gaps}) == len(gaps), "without jitter"
    mesh.start("bob", "x")
    mesh.advance(40)
    assert mesh.link_counts() == {1}


def test_a_link_that_is_lost_again_and_again_is_not_dialled_every_second(mesh: Mesh) -> None:
    """bob lets ann in and throws her out at once: a second ann, or a full disk."""
    mesh.start("ann")
    Stub(mesh, "bob", lambda line: frame("handshake_ack", **hello("bob")) + frame("bye", reason="in_use"))
    mesh.nodes["ann"].connect("bob", Address("bob", PORT))
    mesh.advance(120)
    assert 4 <= len(dial_times(mesh, "ann", "bob")) <= 10


@pytest.mark.parametrize(
    ("prepare", "seconds", "words"),
    [(lambda mesh: None, 1, "nobody listens at bob:9101"),
     (lambda mesh: mesh.wires.dead.add("bob"), 11, "no answer from bob:9101 within 10 s"),
     (lambda mesh: Stub(mesh, "bob", lambda line: b""), 11, "no handshake within 10 s"),
     (lambda mesh: Stub(mesh, "bob", answers("carl")), 1, "the peer there is carl"),
     (lambda mesh: Stub(mesh, "bob", lambda line: frame("bye", reason="busy")), 1, "busy"),
     (lambda mesh: Stub(mesh, "bob", lambda line: b"HTTP/1.1 400 Bad Request\r\n\r\n"), 1, "begins with"),
     (lambda mesh: Stub(mesh, "bob", lambda line: frame("error", code="which_peer", message="say who")), 1, "say who"),
     (lambda mesh: Stub(mesh, "bob", lambda line: frame("handshake_ack", **hello("bob", min_v=2) | {"v": 3})), 1,
      "2 to 3")],
)  # fmt: skip
def test_why_a_dial_failed_is_said_in_words(mesh: Mesh, prepare: Any, seconds: float, words: str) -> None:
    ann = mesh.start("ann")
    prepare(mesh)
    outcome = ann.connect("bob", Address("bob", PORT))
    mesh.advance(seconds)
    with pytest.raises(DialError, match=words):
        outcome.result()
    assert not mesh.ears["ann"].linked
    mesh.advance(100)
    assert not ann.links


def test_a_dialler_that_finds_another_peer_says_so_and_learns_nothing_about_the_one_it_meant(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    stub = Stub(mesh, "bob", answers("carl"))
    ann.connect("bob", Address("bob", PORT))
    mesh.advance(2)
    assert [json.loads(line)["type"] for line in stub.read] == ["handshake", "bye"]
    assert json.loads(stub.read[1])["reason"] == "wrong_peer"
    assert json.loads(stub.read[0])["to"] == "bob"
    assert ann.contacts.get("carl") is None and not mesh.ears["ann"].said


def test_whoever_is_dialled_twice_is_dialled_once(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    [(contact, outcome)] = ann.dial_members("x")
    assert contact.peer_id == "bob" and ann.connect("bob", Address("bob", PORT)) is outcome
    mesh.advance(15)
    assert outcome.result().peer_id == "bob" and not ann.dial_members("x")
    assert ann.connect("bob", Address("bob", PORT)).result() is mesh.links("ann", "bob")[0]


def test_who_waits_for_the_next_try_is_dialled_now_if_the_user_asks(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    ann.listed([Listed("bob", "Bob", Address("bob", PORT), ("x",))])
    mesh.advance(20)
    assert not ann.links
    mesh.start("bob", "x")
    outcome = ann.connect("bob", Address("bob", PORT))
    mesh.advance(1)
    assert outcome.done and outcome.error is None and mesh.link_counts() == {1}


def test_another_address_takes_the_place_of_the_one_that_is_dialled(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    mesh.start("bob")
    mesh.wires.dead.add("wrong")
    first = ann.connect("bob", Address("wrong", PORT))
    second = ann.connect("bob", Address("bob", PORT))
    mesh.advance(1)
    assert isinstance(first.error, DialError) and second.result().is_open


def test_who_is_not_wanted_any_more_when_a_dial_fails_is_not_dialled_again(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    mesh.wires.dead.add("bob")
    ann.listed([Listed("bob", "", Address("bob", PORT), ("x",))])
    mesh.advance(8)
    ann.leave("x")
    mesh.advance(100)
    assert len(mesh.wires.dials) == 1


def test_a_large_channel_is_not_dialled_all_at_once(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    for n in range(40):
        mesh.wires.dead.add(f"p{n}")
    ann.listed(Listed(f"p{n}", "", Address(f"p{n}", PORT), ("x",)) for n in range(40))
    mesh.advance(9)
    assert len(mesh.wires.dials) == 8
    mesh.advance(10)
    assert len(mesh.wires.dials) >= 16


# -- two links to the same peer ----------------------------------------------------------------------------------------


def test_of_two_fresh_links_from_the_same_dialler_the_newer_stays_if_the_older_is_dead(mesh: Mesh) -> None:
    mesh.start("zoe")
    old, new = raw(mesh, "ann", node="zoe"), raw(mesh, "ann", node="zoe")
    assert len(mesh.links("zoe", "ann")) == 2
    mesh.advance(3.5)
    assert old.frames("bye") == [{"type": "bye", "reason": "duplicate"}]
    assert mesh.links("zoe", "ann") == [new.link]


@pytest.mark.parametrize("node", ["ann", "zoe"])  # one of them decides, and the other does not
@pytest.mark.parametrize("is_used", [False, True])
def test_who_knows_all_that_a_peer_says_of_itself_cannot_take_its_place(mesh: Mesh, node: str, is_used: bool) -> None:
    """Epoch and instance are told to everybody who links with a peer."""
    mesh.start(node)
    bob = raw(mesh, "bob", node=node)
    if is_used:
        bob.send("hi")
    thief = raw(mesh, "bob", node=node)
    thief.send("stolen", seq=2)
    for _ in range(20):
        for ping in bob.frames("ping"):
            bob.say("pong", n=ping["n"])
        mesh.advance(1)
    assert mesh.links(node, "bob") == [bob.link] and thief.is_closed
    assert "stolen" not in mesh.ears[node].texts


def test_of_a_race_the_decider_keeps_the_link_it_has_dialled_itself(mesh: Mesh) -> None:
    zoe = mesh.start("zoe")
    Stub(mesh, "ann", answers("ann"))
    zoe.connect("ann", Address("ann", PORT))
    mesh.advance(0.01)
    accepted = raw(mesh, "ann", node="zoe")
    assert not accepted.is_closed
    mesh.advance(1)
    [link] = mesh.links("zoe", "ann")
    assert link.role is DIALLER and accepted.frames("bye") == [{"type": "bye", "reason": "duplicate"}]
    late = raw(mesh, "ann", node="zoe")
    assert late.is_closed and mesh.links("zoe", "ann") == [link]


def test_an_old_link_that_is_used_and_answers_stays(mesh: Mesh) -> None:
    mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    old.send("hi")
    old.frames()
    new = raw(mesh, "ann", node="zoe")
    [ping] = old.frames("ping")
    assert not new.is_closed
    mesh.advance(1)
    old.say("pong", n=ping["n"])
    assert mesh.links("zoe", "ann") == [old.link]
    assert new.frames("bye") == [{"type": "bye", "reason": "duplicate"}]


def test_a_newcomer_that_is_somebody_else_hears_that_the_id_is_in_use(mesh: Mesh) -> None:
    mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    old.send("hi")
    new = raw(mesh, "ann", node="zoe", instance=OTHER_INSTANCE)
    old.say("pong", n=1)
    assert new.frames("bye") == [{"type": "bye", "reason": "in_use"}] and mesh.links("zoe", "ann") == [old.link]


def test_an_old_link_that_is_used_and_does_not_answer_gives_way_after_three_seconds(mesh: Mesh) -> None:
    zoe = mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    old.send("hi")
    old.frames()
    new = raw(mesh, "ann", node="zoe", instance=OTHER_INSTANCE)
    mesh.advance(2.9)
    assert len(mesh.links("zoe", "ann")) == 2
    mesh.advance(0.2)
    assert mesh.links("zoe", "ann") == [new.link] and zoe.contacts["ann"].link is new.link
    assert mesh.ears["zoe"].said[-1] != ("disconnected", "duplicate"), "it never was without a link"


def test_until_it_is_decided_the_decider_goes_on_with_the_old_link(mesh: Mesh) -> None:
    zoe = mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    old.send("hi")
    new = raw(mesh, "ann", node="zoe")
    zoe.send("ann", "which way?")
    mesh.advance(0)
    assert old.frames("chat") and not new.frames("chat")
    mesh.advance(4)
    assert [text["message"] for text in new.frames("chat")] == ["which way?"], "what was unacknowledged goes out again"


def test_the_other_side_sends_on_the_older_until_told(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    old, new = raw(mesh, "zoe"), raw(mesh, "zoe")
    ann.send("zoe", "a")
    mesh.advance(0)
    assert old.frames("chat") and not new.frames("chat")
    old.feed(frame("bye", reason="duplicate"))
    ann.send("zoe", "b")
    mesh.advance(0)
    assert [text["message"] for text in new.frames("chat")] == ["a", "b"]
    assert mesh.links("ann", "zoe") == [new.link]


@pytest.mark.parametrize("is_alive", [False, True])
def test_of_a_race_the_other_side_asks_the_older_after_ten_seconds_without_a_decision(
    mesh: Mesh, is_alive: bool
) -> None:
    ann = mesh.start("ann")
    Stub(mesh, "zoe", answers("zoe"))
    ann.connect("zoe", Address("zoe", PORT))
    mesh.advance(1)
    [old] = mesh.links("ann", "zoe")
    new = raw(mesh, "zoe")
    mesh.advance(9.5)
    assert len(mesh.links("ann", "zoe")) == 2
    mesh.advance(0.6)
    if is_alive:
        old.data_received(frame("pong", n=1))
    mesh.advance(3.1)
    assert mesh.links("ann", "zoe") == [old if is_alive else new.link]


def test_a_newcomer_that_is_gone_before_it_is_decided_leaves_the_old_one(mesh: Mesh) -> None:
    mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    old.send("hi")
    new = raw(mesh, "ann", node="zoe")
    new.transport.abort()
    mesh.advance(5)
    assert mesh.links("zoe", "ann") == [old.link]


@pytest.mark.parametrize("alive", [False, True])
def test_of_three_links_one_stays_too(mesh: Mesh, alive: bool) -> None:
    """Two newcomers, one after the other, while the old one is still being asked."""
    mesh.start("zoe")
    old = raw(mesh, "ann", node="zoe")
    old.send("hi")
    old.frames()
    news = [raw(mesh, "ann", node="zoe"), raw(mesh, "ann", node="zoe")]
    if alive:
        for ping in old.frames("ping"):
            old.say("pong", n=ping["n"])
    mesh.advance(7)
    assert mesh.links("zoe", "ann") == ([old.link] if alive else [news[1].link])


def test_nobody_has_more_than_a_few_links_of_one_id(mesh: Mesh) -> None:
    mesh.start("ann")
    peers = [raw(mesh, "zoe") for _ in range(10)]
    assert sum(not peer.is_closed for peer in peers) == 3
    assert all(b'"duplicate"' in peer.transport.sent for peer in peers[3:])


def test_a_peer_that_restarts_takes_the_place_of_its_old_self(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(10)
    mesh.nodes["bob"].say("x", "before")
    mesh.advance(1)
    mesh.cut("bob", silently=True)  # ann does not hear of it
    mesh.kill("bob")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(8)
    assert mesh.link_counts() == {1} and mesh.ears["ann"].linked == ["bob"]
    letter = mesh.nodes["ann"].say("x", "after")
    mesh.advance(1)
    assert letter.states["bob"].value == "delivered" and mesh.ears["bob"].texts == ["after"]


# -- an impostor -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["zoe", "abe"])
def host(request: pytest.FixtureRequest, mesh: Mesh) -> Node:
    """Whose id is larger than ann's, or smaller."""
    return mesh.start(request.param)


def true_ann(mesh: Mesh, node: Node, *channels: str) -> Raw:
    peer = raw(mesh, "ann", *channels, node=node.peer_id)
    peer.say("channels", channels=[{"name": name} for name in channels])
    peer.send("hello")
    peer.frames()
    return peer


def impostor(mesh: Mesh, node: Node, *channels: str, **fields: Any) -> Raw:
    """Somebody else with the id of ann, who speaks at once."""
    peer = Raw(mesh, node, "ann", epoch=OTHER_EPOCH)
    peer.greet(*channels, **{"instance": OTHER_INSTANCE, "username": "Mallory", **fields})
    peer.send("I am ann")
    return peer


def test_an_impostor_does_not_get_the_place_of_a_peer_that_is_there(mesh: Mesh, host: Node) -> None:
    ann = true_ann(mesh, host)
    mallory = impostor(mesh, host, listen_port=PORT)
    host.send("ann", "whose?")
    mesh.advance(0)
    assert ann.frames("chat") and not mallory.frames("chat")
    ann.say("pong", n=1)
    assert mallory.frames("bye") == [{"type": "bye", "reason": "in_use"}] and mallory.is_closed
    assert mesh.links(host.peer_id, "ann") == [ann.link]
    assert mesh.ears[host.peer_id].texts == ["hello"]
    assert host.contacts["ann"].username == "Ann" and host.contacts["ann"].seen_at is None


def test_an_impostor_does_not_disturb_the_stream_of_the_peer_that_is_there(mesh: Mesh, host: Node) -> None:
    ann = true_ann(mesh, host)
    mallory = impostor(mesh, host)
    ann.send("still me")
    assert ann.frames("ack")[-1:] == [{"type": "ack", "upto": 2}]
    ann.send("hello", seq=1)  # again: it is known
    mesh.advance(5)
    assert mallory.is_closed and mesh.ears[host.peer_id].texts == ["hello", "still me"]
    ann.transport.abort()
    mesh.advance(1)
    assert Raw(mesh, host, "ann").greet()["have"] == {"epoch": EPOCH, "upto": 2}


def test_an_impostor_does_not_settle_what_is_meant_for_the_peer_that_is_there(mesh: Mesh, host: Node) -> None:
    ann = true_ann(mesh, host)
    letter = host.send("ann", "hi")
    mesh.advance(0)
    impostor(mesh, host, have={"epoch": host.author.epoch, "upto": 1})
    assert letter.states["ann"].value == "sent"
    ann.say("ack", upto=1)
    assert letter.states["ann"].value == "delivered"


def test_an_impostor_does_not_take_the_peer_that_is_there_out_of_its_channels(mesh: Mesh, host: Node) -> None:
    host.join("x")
    ann = true_ann(mesh, host, "x")
    mallory = impostor(mesh, host)
    mallory.say("channels", channels=[])
    ann.send("in x", "x")
    mesh.advance(5)
    assert not ann.frames("refuse") and mesh.ears[host.peer_id].texts == ["hello", "in x"]
    assert [contact.peer_id for contact in host.members("x")] == ["ann"]


def test_an_impostor_speaks_in_no_closed_channel_that_the_peer_that_is_there_has_proved(
    mesh: Mesh, host: Node
) -> None:
    host.join("club", "key")
    ann = true_ann(mesh, host)
    ann.say("channels", channels=[{"name": "club", "proof": prove("key", ann.link, "ann", "club")}])
    ann.send("in the club", "club")
    mallory = impostor(mesh, host, "club")
    mallory.say("channels", channels=[{"name": "club", "proof": prove("wrong", mallory.link, "ann", "club")}])
    mallory.send("let me in", "club")
    ann.transport.abort()  # now mallory has the name, and the name alone
    mesh.advance(5)
    mallory.frames()
    host.say("club", "secret")
    mallory.send("and now?", "club")
    assert mesh.ears[host.peer_id].texts == ["hello", "in the club", "I am ann"]
    assert not mallory.frames("chat")


def test_what_a_peer_says_that_was_restarted_is_taken_as_soon_as_its_old_link_has_not_answered(
    mesh: Mesh, host: Node
) -> None:
    true_ann(mesh, host)
    again = impostor(mesh, host)
    again.send("once more")
    mesh.advance(2.9)
    assert mesh.ears[host.peer_id].texts == ["hello"]
    mesh.advance(0.2)
    again.send("and on")
    assert mesh.ears[host.peer_id].texts == ["hello", "I am ann", "once more", "and on"]
    assert again.frames("ack")[-1] == {"type": "ack", "upto": 3}
    assert mesh.links(host.peer_id, "ann") == [again.link] and mesh.ears[host.peer_id].linked == ["ann"]


# -- signs of life -----------------------------------------------------------------------------------------------------


def test_a_peer_that_says_nothing_is_away_after_20_seconds_and_gone_after_30(mesh: Mesh) -> None:
    mesh.start("ann")
    raw(mesh)
    mesh.advance(21)
    assert mesh.ears["ann"].said == [("connected", "raw"), ("away", "raw")]
    mesh.advance(10)
    [(what, why)] = mesh.ears["ann"].said[2:]
    assert what == "disconnected" and "30 s" in why and not mesh.ears["ann"].linked


def test_nodes_keep_their_links_alive(mesh: Mesh) -> None:
    mesh.start("ann")
    mesh.start("bob")
    mesh.link("ann", "bob")
    mesh.advance(1000)
    assert mesh.link_counts() == {1}
    assert all("away" not in what for name in ("ann", "bob") for what in mesh.ears[name].said)


def test_a_cable_that_is_pulled_and_put_back_costs_nothing_but_time(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.advance(5)
    mesh.cut("bob", silently=True)
    letter = mesh.nodes["ann"].say("x", "hi")
    mesh.advance(15)
    assert letter.states["bob"].value == "sent"
    mesh.advance(30)
    assert letter.states["bob"].value == "delivered" and mesh.ears["bob"].texts == ["hi"]
    assert mesh.link_counts() == {1}


# -- strangers that behave badly ---------------------------------------------------------------------------------------


def test_a_slow_friend_does_not_hurt_the_others_and_loses_nothing(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    slow, good = raw(mesh, "slow"), raw(mesh, "good")
    slow.transport.stall = True
    for n in range(12):
        ann.broadcast(f"m{n}")
        mesh.advance(1)
        for text in good.frames("broadcast"):
            good.say("ack", upto=text["seq"])
        slow.say("ping", n=1)
    assert slow.is_closed and not good.is_closed
    waiting = len(ann.contacts["slow"].outbox)
    assert ann.contacts["good"].outbox.is_empty and waiting >= 9
    again = Raw(mesh, ann, "slow")
    again.greet()
    mesh.advance(0)
    assert [text["message"] for text in again.frames("broadcast")] == [f"m{n}" for n in range(waiting)]


def test_ten_megabytes_on_one_link_disturb_no_other(mesh: Mesh) -> None:
    mesh.start("ann")
    bad, good = raw(mesh, "bad"), raw(mesh, "good")
    for _ in range(160):
        if not bad.is_closed:
            bad.feed(65_536 * b"x")
        good.send("hi")
        mesh.advance(1)
    assert bad.is_closed and [one["code"] for one in bad.frames("error")] == ["too_long"]
    assert len(mesh.ears["ann"].texts) == 160 and good.link.is_open


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"rubbish\n", "bad_json"), (b"\xff\xfe\n", "bad_json"), (b'{"type":"chat","message":"\xff"}\n', "bad_json"),
     (b'{"type":"chat"}\n', "bad_frame"), (b"[]\n", "bad_frame"), (b'{"type":"ack","upto":"x"}\n', "bad_frame"),
     (frame("handshake", **hello("raw")), "bad_state")],
)  # fmt: skip
def test_a_bad_frame_gets_its_error_and_ends_its_link_and_no_other(mesh: Mesh, data: bytes, code: str) -> None:
    ann = mesh.start("ann")
    bad, good = raw(mesh), raw(mesh, "good")
    bad.feed(data)
    assert [one["code"] for one in bad.frames("error")] == [code] and bad.is_closed
    assert good.link.is_open and len(ann.links) == 1


def test_connections_that_say_nothing_are_let_go_after_ten_seconds(mesh: Mesh) -> None:
    ann = mesh.start("ann", settings=Settings(max_links=50))
    peers = [Raw(mesh, ann) for _ in range(50)]
    mesh.advance(10.1)
    assert ann.make_room() and not ann.links and all(peer.is_closed for peer in peers)
    assert not mesh.ears["ann"].said


def test_friends_keep_their_room_and_strangers_make_some_for_the_next(mesh: Mesh) -> None:
    ann = mesh.start("ann", settings=Settings(max_links=4))
    ann.join("room")
    friends = [raw(mesh, f"friend{n}", channels=["room"]) for n in range(2)]
    talker = raw(mesh, "talker")
    nobody = Raw(mesh, ann)
    mesh.advance(1)
    talker.send("hi")
    assert ann.make_room()
    mesh.advance(0)
    assert nobody.is_closed and not talker.is_closed
    raw(mesh, "friend2", channels=["room"])
    assert ann.make_room()
    mesh.advance(0)
    assert talker.is_closed and not any(friend.is_closed for friend in friends)
    raw(mesh, "friend3", channels=["room"])
    assert not ann.make_room()


def test_a_thousand_strangers_are_forgotten_when_there_is_no_room_for_more(mesh: Mesh) -> None:
    ann = mesh.start("ann", settings=Settings(max_contacts=100))
    friend = raw(mesh, "friend")
    for n in range(1000):
        raw(mesh, f"p{n}").transport.abort()
        mesh.advance(0)
    assert len(ann.contacts) <= 100 and friend.link.is_open
    friend.send("hi")
    assert mesh.ears["ann"].texts == ["hi"]


def test_strangers_that_claim_our_channel_and_go_are_not_dialled_for_ever(mesh: Mesh) -> None:
    ann = mesh.start("ann", "class", settings=Settings(max_contacts=50))
    for n in range(200):
        raw(mesh, f"p{n}", channels=["class"], listen_port=PORT).transport.abort()
        mesh.advance(0)
    assert len(ann._dialling._attempts) <= 50
    ann.listed([])
    assert not ann._dialling._attempts


def test_a_friend_does_not_wait_behind_strangers_that_cannot_be_reached(mesh: Mesh) -> None:
    ann = mesh.start("ann", "class")
    for n in range(100):
        Stub(mesh, f"p{n}", lambda line: b"")
        raw(mesh, f"p{n}", channels=["class"], listen_port=PORT).transport.abort()
    mesh.advance(3)
    mesh.start("bob", "class")
    ann.listed([Listed("bob", "Bob", Address("bob", PORT), ("class",))], all_of_them=False)
    mesh.advance(15)
    assert mesh.ears["ann"].linked == ["bob"]


def test_a_stream_goes_on_after_its_peer_was_forgotten(mesh: Mesh) -> None:
    ann = mesh.start("ann", settings=Settings(max_contacts=2))
    peer = raw(mesh)
    peer.send("hi")
    ann.send("raw", "hello")
    mesh.advance(0)
    peer.say("ack", upto=1)
    peer.transport.abort()
    mesh.advance(0)
    for n in range(5):
        raw(mesh, f"p{n}").transport.abort()
        mesh.advance(0)
    assert ann.contacts.get("raw") is None
    again = Raw(mesh, ann)
    assert again.greet()["have"] == {"epoch": EPOCH, "upto": 1}
    again.frames()
    ann.send("raw", "again")
    mesh.advance(0)
    assert [text["seq"] for text in again.frames("chat")] == [2]


def test_when_everybody_is_needed_a_stranger_hears_that_there_is_no_room(mesh: Mesh) -> None:
    ann = mesh.start("ann", settings=Settings(max_contacts=3))
    for n in range(3):
        raw(mesh, f"p{n}")
    stranger = Raw(mesh, ann, "stranger")
    stranger.say("handshake", **hello("stranger"))
    assert stranger.frames() == [{"type": "bye", "reason": "busy"}] and len(ann.contacts) == 3


# -- original peers ----------------------------------------------------------------------------------------------------


def original(mesh: Mesh, node: str = "ann") -> Raw:
    peer = Raw(mesh, mesh.nodes[node], "old")
    peer.feed(OLD)
    return peer


def test_an_original_peer_is_answered_in_kind(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    [answer] = original(mesh).frames()
    assert answer == {
        "type": "handshake_ack", "peer_id": "ann", "username": "Ann", "timestamp": "2024-05-01T12:00:00.000Z",
    }  # fmt: skip
    assert mesh.ears["ann"].linked == ["old"]


@pytest.mark.parametrize(
    ("data", "channel"),
    [(b'{"type":"chat","message":"hi"}', "direct"),
     (b'{"type":"chat","message":"hi","channel":"direct"}', "direct"),
     (b'{"type":"chat","message":"hi","peer_id":"old","username":"O","channel":"direct","timestamp":"noon"}', "direct"),
     (b'{"type":"chat","message":"hi","from":"old","channel":"x"}', "x"),
     (b'{"type":"broadcast","message":"hi"}', "broadcast"),
     (b'{"type":"broadcast","message":"hi","channel":"x"}', "broadcast")],
)  # fmt: skip
def test_an_original_peer_is_understood(mesh: Mesh, data: bytes, channel: str) -> None:
    ann = mesh.start("ann", "x")
    ann.listed([Listed("old", "Old One", Address("old", PORT), ("x",))])
    peer = original(mesh)
    peer.feed(data)
    [entry] = mesh.ears["ann"].entries
    assert (entry.text, entry.author, entry.channel) == ("hi", "old", channel)
    assert entry.timestamp and entry.id.startswith("old:")
    assert entry.peer == ("old" if channel == "direct" else "")


def test_messages_of_an_original_peer_may_come_together_or_in_pieces(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = original(mesh)
    data = b"".join(b'{"type":"chat","message":"m%d }"}' % n for n in range(4))
    for at in range(0, len(data), 3):
        peer.feed(data[at : at + 3])
    assert mesh.ears["ann"].texts == [f"m{n} }}" for n in range(4)]
    assert len({entry.id for entry in mesh.ears["ann"].entries}) == 4


def test_an_original_peer_is_sent_only_what_it_understands_and_the_state_ends_at_sent(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", "x", store=disk)
    ann.listed([Listed("old", "Old One", Address("old", PORT), ("x",))])
    peer = original(mesh)
    peer.frames()
    letters = [ann.send("old", "a"), ann.say("x", "b"), ann.broadcast("c")]
    ann.join("y")
    peer.feed(b'{"type":"chat","message":"hi"}{"type":"dance"}')
    mesh.advance(5)
    assert peer.frames() == [
        {"type": type_, "message": text, "peer_id": "ann", "username": "Ann", "channel": channel,
         "timestamp": "2024-05-01T12:00:00.000Z"}
        for type_, text, channel in (("chat", "a", "direct"), ("chat", "b", "x"), ("broadcast", "c", "broadcast"))
    ]  # fmt: skip
    assert [letter.states["old"].value for letter in letters] == 3 * ["sent"]
    assert not ann.mail.letters and not disk.saved.copies and ann.contacts["old"].outbox.is_empty


def test_an_original_peer_is_kept_without_pings(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = original(mesh)
    peer.frames()
    mesh.advance(3600)
    assert peer.link.is_open and not peer.frames()


def test_an_original_peer_can_be_dialled(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    stub = Stub(mesh, "old", lambda line: b'{"type":"handshake_ack","from":"old"}' if b'"handshake"' in line else b"")
    outcome = ann.connect("old", Address("old", PORT))
    mesh.advance(1)
    assert outcome.result().is_original
    ann.send("old", "hi")
    mesh.advance(1)
    assert json.loads(stub.read[-1])["message"] == "hi" and mesh.ears["ann"].states_of("hi", "old") == ["sent"]


def test_what_waits_for_an_original_peer_is_sent_when_it_is_back(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    original(mesh).transport.abort()
    mesh.advance(1)
    letter = ann.send("old", "hi")
    mesh.advance(1)
    peer = original(mesh)
    assert [one["message"] for one in peer.frames("chat")] == ["hi"] and letter.states["old"].value == "sent"


def test_an_original_peer_that_floods_or_is_muted_or_is_no_member_is_not_shown(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peer = original(mesh)
    peer.feed(b'{"type":"chat","message":"hi","channel":"x"}')
    assert not mesh.ears["ann"].texts
    peer.feed(50 * b'{"type":"chat","message":"flood"}')
    assert 5 <= len(mesh.ears["ann"].texts) <= 10
    mesh.ears["ann"].entries.clear()
    mesh.advance(60)
    ann.mute("old", True)
    peer.feed(b'{"type":"chat","message":"muted"}')
    assert not mesh.ears["ann"].texts and peer.link.is_open


def test_a_message_of_an_original_peer_that_cannot_be_kept_is_shown_all_the_same(mesh: Mesh) -> None:
    """It would not come again."""
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk)
    peer = original(mesh)
    disk.error = OSError("disk full")
    peer.feed(b'{"type":"chat","message":"hi"}')
    assert mesh.ears["ann"].texts == ["hi"] and mesh.ears["ann"].troubles == ["disk full"]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_who_quits_says_goodbye_to_everybody_and_is_not_linked_again(mesh: Mesh) -> None:
    for name in ("ann", "bob", "cay"):
        mesh.start(name, "x")
    mesh.list_all()
    mesh.advance(10)
    closed = mesh.nodes["ann"].close()
    mesh.advance(3)
    assert closed.done and not mesh.nodes["ann"].links
    assert mesh.ears["bob"].said[-1] == ("disconnected", "it said goodbye (quit)")
    mesh.advance(60)
    assert not mesh.links("bob", "ann") and len(mesh.links("bob", "cay")) == 1
    peer = Raw(mesh, mesh.nodes["ann"])
    peer.say("handshake", **hello("raw"))
    assert peer.frames() == [{"type": "bye", "reason": "quit"}]


def test_a_node_without_links_is_closed_at_once_and_twice_is_once(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    closed = ann.close()
    assert closed.done and ann.close() is closed


def test_a_node_that_is_closed_while_it_dials_leaves_nothing_behind(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    Stub(mesh, "bob", lambda line: b"")
    mesh.wires.dead.add("cay")
    outcomes = [ann.connect(name, Address(name, PORT)) for name in ("bob", "cay", "dan")]
    mesh.advance(0.5)
    closed = ann.close()
    mesh.advance(3)
    assert closed.done and not ann.links and all(isinstance(outcome.error, DialError) for outcome in outcomes)
    mesh.advance(100)
    assert len(mesh.wires.dials) == 3


def test_memory_is_back_to_its_base_when_everybody_has_gone(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    for _ in range(20):
        peers = [raw(mesh, f"p{n}") for n in range(5)]
        for peer in peers:
            peer.send("hi")
            ann.send(peer.peer_id, "hello")
        mesh.advance(1)
        for peer in peers:
            for text in peer.frames("chat"):
                peer.say("ack", upto=text["seq"])
            peer.feed(frame("bye", reason="quit"))
        mesh.advance(1)
    assert not ann.links and not ann.mail.letters and len(ann.contacts) == 5
    assert len(mesh.reactor.timers) < 20


def test_a_node_that_has_ended_takes_no_messages() -> None:
    mesh = Mesh()
    ann = mesh.start("ann", "dev")
    mesh.start("bob")
    mesh.link("ann", "bob")
    ann.close()
    for write in (lambda: ann.send("bob", "hi"), lambda: ann.say("dev", "hi"), lambda: ann.broadcast("hi")):
        with pytest.raises(PeerError, match="has ended"):
            write()
