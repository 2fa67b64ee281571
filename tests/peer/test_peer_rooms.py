"""Who may speak in a channel, and who is spoken to: "Membership" of docs/peer-protocol.md sentence by sentence."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from mesh import NONCE, PORT, Json, Mesh, Raw, frame

from peer.node import Listed
from reactor.core.address import Address

KEY, NEW_KEY = "5ecret", "n3w"


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


class Member(Raw):
    """A peer that has greeted ann, and keeps what it needs for proofs."""

    def __init__(self, mesh: Mesh, name: str = "raw", *channels: str, **fields: Any) -> None:
        super().__init__(mesh, mesh.nodes["ann"], name)
        self.answer = self.greet(*channels, **fields)

    def proof(self, channel: str, key: str = KEY, *, peer_id: str = "", nonces: tuple[str, str] | None = None) -> str:
        """As the protocol says: over the dialler's nonce, the acceptor's, the own id and the channel's name."""
        parts = (*(nonces or (NONCE, self.answer["nonce"])), peer_id or self.peer_id, channel)
        return hmac.new(key.encode(), "\0".join(parts).encode(), hashlib.sha256).hexdigest()

    def declare(self, *names: str, **proofs: str) -> None:
        memberships: list[Json] = [{"name": name} for name in names]
        self.say("channels", channels=[*memberships, *({"name": name, "proof": it} for name, it in proofs.items())])

    def speaks_in(self, channel: str) -> bool:
        """Whether ann takes what it says there."""
        self.frames()
        heard = len(self.mesh.ears["ann"].texts)
        self.send("hi", channel)
        self.mesh.advance(1)
        [last] = [one for one in self.frames("refuse", "ack") if one["type"] == "refuse"] or [{}]
        taken = len(self.mesh.ears["ann"].texts) > heard
        assert last == ({} if taken else {"type": "refuse", "seq": self.seq, "code": "not_member"})
        assert self.link.is_open
        return taken


# -- open channels -----------------------------------------------------------------------------------------------------


def test_messages_in_a_channel_are_taken_from_members_only(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    peer = Member(mesh)
    assert not peer.speaks_in("x")
    peer.declare("x")
    assert peer.speaks_in("x")
    peer.declare("y")
    assert not peer.speaks_in("x")


def test_what_the_handshake_says_counts_for_open_channels(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    assert Member(mesh, "raw", "x").speaks_in("x")


def test_nothing_is_taken_in_a_channel_that_we_are_not_in(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peer = Member(mesh, "raw", "x", "y")
    peer.declare("x", "y")
    assert not peer.speaks_in("y")
    ann.leave("x")
    assert not peer.speaks_in("x")
    assert list(ann.channels) == []


def test_names_of_channels_are_exact(mesh: Mesh) -> None:
    mesh.start("ann", "x")
    peer = Member(mesh, "raw", "X", "x ")
    assert not peer.speaks_in("x") and not peer.speaks_in("X")


@pytest.mark.parametrize("name", ["direct", "broadcast"])
def test_a_membership_in_what_is_no_channel_means_nothing(mesh: Mesh, name: str) -> None:
    mesh.start("ann")
    peer = Member(mesh, "raw", name)
    peer.declare(name)
    peer.feed(frame("chat", id=f"raw:{peer.epoch}:1", seq=1, channel=name, message="hi"))
    assert [entry.channel for entry in mesh.ears["ann"].entries] == (["direct"] if name == "direct" else [])


def test_our_memberships_are_announced_after_the_handshake_and_after_each_change(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x", "y")
    peer = Member(mesh)
    assert peer.answer["channels"] == ["x", "y"]
    assert peer.frames() == [{"type": "channels", "channels": [{"name": "x"}, {"name": "y"}]}]
    ann.join("z")
    ann.join("z")
    ann.leave("x")
    ann.leave("x")
    assert [[one["name"] for one in told["channels"]] for told in peer.frames("channels")] == [
        ["x", "y", "z"], ["y", "z"],
    ]  # fmt: skip


def test_a_message_in_a_channel_goes_to_its_members(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peers = {name: Member(mesh, name) for name in ("in x", "in y", "in none")}
    peers["in x"].declare("x", "y")
    peers["in y"].declare("y")
    letter = ann.say("x", "hi")
    mesh.advance(0)
    assert {name for name, peer in peers.items() if peer.frames("chat")} == {"in x"} == set(letter.states)


def test_a_members_own_word_counts_more_than_a_trackers_while_it_is_linked(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peer = Member(mesh)
    ann.listed([Listed("raw", "", Address("raw", PORT), ("x",)), Listed("cay", "", Address("cay", PORT), ("x",))])
    assert [contact.peer_id for contact in ann.members("x")] == ["cay"]
    peer.transport.abort()
    mesh.advance(0)
    assert [contact.peer_id for contact in ann.members("x")] == ["raw", "cay"]


def test_what_waits_in_a_channel_that_we_leave_is_given_up(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    Member(mesh, "raw", "x").transport.abort()
    mesh.advance(0)
    in_x, direct = ann.say("x", "in x"), ann.send("raw", "direct")
    mesh.advance(0)
    ann.leave("x")
    assert in_x.states["raw"].value == "failed" and in_x.reasons["raw"].startswith("left")
    again = Member(mesh, "raw", "x")
    assert [text["message"] for text in again.frames("chat")] == ["direct"] and direct.states["raw"].value == "sent"


def test_a_channel_joined_again_is_spoken_in_again(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peer = Member(mesh, "raw", "x")
    ann.leave("x")
    ann.join("x")
    assert peer.speaks_in("x") and set(ann.say("x", "hi").states) == {"raw"}


def test_claims_of_channels_that_are_not_ours_are_not_kept_with_a_contact_and_count_when_we_join(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    peer = Member(mesh, "raw", "x", *(f"foreign {number}" for number in range(200)))
    assert ann.contacts["raw"].declared == {"x"}
    peer.declare(*(f"other {number}" for number in range(200)))
    assert ann.contacts["raw"].declared == set()
    ann.join("other 7")
    assert ann.contacts["raw"].declared == {"other 7"} and peer.speaks_in("other 7")


def test_who_claims_more_channels_than_anybody_is_in_breaks_the_protocol(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = Member(mesh)
    peer.declare(*(f"c{number}" for number in range(257)))
    assert peer.frames("error")[0]["code"] == "bad_frame" and peer.is_closed


# -- closed channels ---------------------------------------------------------------------------------------------------


def closed(mesh: Mesh) -> None:
    mesh.start("ann").join("club", KEY)


def test_in_a_closed_channel_membership_is_proved(mesh: Mesh) -> None:
    closed(mesh)
    peer = Member(mesh)
    peer.declare(club=peer.proof("club"))
    assert peer.speaks_in("club")


def test_a_proof_is_no_prefix_of_one_and_nothing_around_it(mesh: Mesh) -> None:
    closed(mesh)
    peer = Member(mesh)
    proof = peer.proof("club")
    for wrong in ("", proof[:-1], proof.upper(), "0" * 64, "é" * 64):
        peer.declare(club=wrong)
        assert not peer.speaks_in("club"), wrong


@pytest.mark.parametrize(
    "wrong", [{"key": "other"}, {"key": ""}, {"peer_id": "ann"}, {"nonces": (NONCE, NONCE)}, {"channel": "pub"}],
    ids=str,
)  # fmt: skip
def test_a_proof_is_good_for_one_key_peer_link_and_channel(mesh: Mesh, wrong: dict[str, Any]) -> None:
    closed(mesh)
    peer = Member(mesh)
    peer.declare(club=peer.proof(**{"channel": "club", **wrong}))
    assert not peer.speaks_in("club")


def test_a_name_alone_is_no_proof(mesh: Mesh) -> None:
    closed(mesh)
    peer = Member(mesh, "raw", "club")
    assert not peer.speaks_in("club")
    peer.declare("club")
    assert not peer.speaks_in("club")


def test_a_channel_that_is_claimed_many_times_is_proved_once(mesh: Mesh) -> None:
    """Or a few lines would keep us busy for everybody else."""
    ann = mesh.start("ann")
    ann.join("class", KEY)
    peer = Member(mesh)
    wrong, good = {"name": "class", "proof": "0" * 64}, {"name": "class", "proof": peer.proof("class")}
    peer.say("channels", channels=[*[wrong] * 255, good])
    assert len(peer.link.claims) == 1 and peer.speaks_in("class"), "the last one counts"


def test_a_proof_that_was_overheard_is_of_no_use_on_another_link(mesh: Mesh) -> None:
    closed(mesh)
    peer = Member(mesh)
    proof = peer.proof("club")
    peer.declare(club=proof)
    assert peer.speaks_in("club")
    peer.transport.abort()
    mesh.advance(0)
    thief = Member(mesh)  # the same id, and the same nonce of its own
    thief.seq = peer.seq
    thief.declare(club=proof)
    assert not thief.speaks_in("club")


def test_our_own_proof_is_what_the_protocol_says(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    ann.join("club", KEY)
    peer = Member(mesh)
    [told] = peer.frames("channels")
    assert told["channels"] == [{"name": "x"}, {"name": "club", "proof": peer.proof("club", peer_id="ann")}]
    ann.keys({"club": NEW_KEY})
    [told] = peer.frames("channels")
    assert told["channels"][1]["proof"] == peer.proof("club", NEW_KEY, peer_id="ann")


def test_members_of_a_closed_channel_understand_each_other_whoever_dials(mesh: Mesh) -> None:
    for name in ("ann", "bob", "cay"):
        mesh.start(name).join("club", KEY)
    mesh.start("eve").join("club", "guessed")
    mesh.list_all()
    mesh.advance(20)
    for name in ("ann", "bob", "cay"):
        mesh.nodes[name].say("club", f"from {name}")
    mesh.nodes["eve"].say("club", "let me in")
    mesh.advance(10)
    for name in ("ann", "bob", "cay"):
        assert {*mesh.ears[name].texts, f"from {name}"} == {"from ann", "from bob", "from cay"}
    assert not mesh.ears["eve"].texts, "what is said in a closed channel is for members"


def test_who_claimed_a_channel_before_we_were_in_it_has_to_prove_it_all_the_same(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = Member(mesh, "raw", "club")
    peer.declare("club")
    ann.join("club", KEY)
    assert not peer.speaks_in("club")
    assert not ann.say("club", "hi").states
    peer.declare(club=peer.proof("club"))
    assert peer.speaks_in("club")


def test_a_proof_that_comes_before_we_have_the_key_counts_when_we_have_it(mesh: Mesh) -> None:
    """Trackers tell a new key to one member after the other."""
    closed(mesh)
    peer = Member(mesh)
    peer.declare(club=peer.proof("club", NEW_KEY))
    assert not peer.speaks_in("club")
    mesh.nodes["ann"].keys({"club": NEW_KEY})
    assert peer.speaks_in("club")


def test_a_removed_member_is_none_as_soon_as_the_key_has_changed(mesh: Mesh) -> None:
    closed(mesh)
    peer = Member(mesh)
    peer.declare(club=peer.proof("club"))
    assert peer.speaks_in("club")
    mesh.nodes["ann"].keys({"club": NEW_KEY})
    assert not peer.speaks_in("club") and not mesh.nodes["ann"].say("club", "hi").states


def test_an_open_channel_that_is_closed_asks_for_proofs_from_then_on(mesh: Mesh) -> None:
    ann = mesh.start("ann", "club")
    peer = Member(mesh, "raw", "club")
    assert peer.speaks_in("club")
    ann.keys({"club": KEY})
    assert not peer.speaks_in("club")


def listed_in_club(mesh: Mesh) -> None:
    mesh.nodes["ann"].listed([Listed("raw", "", Address("raw", PORT), ("club",))])


def test_who_is_listed_stays_a_member_while_the_new_key_goes_round_and_gets_nothing_before(mesh: Mesh) -> None:
    ann = mesh.start("ann", "club")
    peer = Member(mesh, "raw", "club")
    listed_in_club(mesh)
    mesh.advance(9)
    ann.keys({"club": KEY})
    assert [contact.peer_id for contact in ann.members("club")] == ["raw"]
    letter = ann.say("club", "hi")
    for _ in range(10):  # the link is older than a proof may take
        mesh.advance(5)
        peer.say("ping", n=1)
    assert not peer.frames("chat") and letter.states["raw"].value == "queued"
    assert not peer.speaks_in("club")
    peer.declare(club=peer.proof("club"))
    assert [text["message"] for text in peer.frames("chat")] == ["hi"]


def test_who_says_on_the_link_that_it_has_left_is_no_member_whatever_is_listed(mesh: Mesh) -> None:
    closed(mesh)
    peer = Member(mesh, "raw", "club")
    listed_in_club(mesh)
    peer.declare()
    assert not mesh.nodes["ann"].members("club")


def test_who_may_have_missed_a_key_asks_for_it_but_not_all_the_time(mesh: Mesh) -> None:
    ann = mesh.start("ann", "club")
    asked: list[float] = []
    ann.wants_keys = lambda: asked.append(mesh.reactor.now)
    peer = Member(mesh, "raw", "club")
    peer.declare("club", "other")
    assert not asked
    for _ in range(3):
        peer.declare(club=peer.proof("club"))  # it has one, and we have none
        mesh.advance(0)
    mesh.advance(1)
    assert len(asked) == 1
    mesh.advance(1)
    assert len(asked) == 2
    ann.keys({"club": KEY})
    peer.declare(club=peer.proof("club"))
    mesh.advance(5)
    assert len(asked) == 2
    peer.declare("club")  # we have one, and it has none
    mesh.advance(0)
    assert len(asked) == 3


def test_keys_of_channels_that_we_are_not_in_put_us_into_none(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    ann.keys({"club": KEY})
    assert list(ann.channels) == []


def test_what_waits_for_a_member_of_a_closed_channel_waits_for_its_proof(mesh: Mesh) -> None:
    closed(mesh)
    ann = mesh.nodes["ann"]
    peer = Member(mesh)
    peer.declare(club=peer.proof("club"))
    peer.transport.abort()
    mesh.advance(0)
    letter = ann.say("club", "hi")
    mesh.advance(0)
    again = Member(mesh)
    assert not again.frames("chat"), "anybody can claim an id"
    again.declare(club=again.proof("club"))
    assert [text["message"] for text in again.frames("chat")] == ["hi"] and letter.states["raw"].value == "sent"


def test_who_is_no_member_any_more_does_not_hold_up_what_is_meant_for_it_alone(mesh: Mesh) -> None:
    closed(mesh)
    ann = mesh.nodes["ann"]
    peer = Member(mesh)
    peer.declare(club=peer.proof("club"))
    peer.transport.abort()
    mesh.advance(0)
    in_club, direct = ann.say("club", "hi"), ann.send("raw", "direct")
    mesh.advance(0)
    again = Member(mesh)
    for _ in range(14):
        mesh.advance(5)
        again.say("ping", n=1)
    assert [text["message"] for text in again.frames("chat")] == ["direct"]
    assert direct.states["raw"].value == "sent" and in_club.states["raw"].value == "failed"


def test_an_original_peer_is_in_no_closed_channel(mesh: Mesh) -> None:
    closed(mesh)
    mesh.nodes["ann"].listed([Listed("old", "", Address("old", PORT), ("club",))])
    old = Raw(mesh, mesh.nodes["ann"], "old")
    old.feed(b'{"type":"handshake","peer_id":"old"}{"type":"chat","message":"hi","channel":"club"}')
    old.frames()
    mesh.nodes["ann"].say("club", "secret")
    mesh.advance(30)
    assert not mesh.ears["ann"].texts and not old.frames("chat")


# -- what waits for a proof ------------------------------------------------------------------------------------------


def both(*channels: str) -> list[Listed]:
    """Ann in the club, and the other one where it is said to be."""
    return [Listed("ann", "Ann", Address("ann", PORT), ("club",)), Listed("raw", "Raw", Address("raw", PORT), channels)]


def test_who_never_proves_anything_is_written_to_without_delay(mesh: Mesh) -> None:
    """The tracker has restarted, ann has the key still, and a newcomer takes the channel for an open one."""
    ann = mesh.start("ann")
    ann.join("club", KEY)
    newcomer = Member(mesh, "raw", "club")
    ann.listed(both("club"))
    newcomer.declare("club")
    for _ in range(7):
        mesh.advance(10)
        newcomer.say("pong", n=1)
    for number in range(20):
        ann.say("club", f"for members {number}")
    ann.send("raw", "direct")
    mesh.advance(1)
    assert [found["message"] for found in newcomer.frames("chat")] == ["direct"]


@pytest.mark.parametrize("how", ["opened", "let in again"])
def test_what_was_said_after_a_removal_never_goes_out(mesh: Mesh, how: str) -> None:
    ann = mesh.start("ann")
    ann.join("club", KEY)
    removed = Member(mesh, "raw", "club")
    ann.listed(both("club"))
    removed.declare(club=removed.proof("club"))
    ann.keys({"club": NEW_KEY})
    mesh.advance(1)
    letter = ann.say("club", "secret")
    mesh.advance(10)
    ann.listed(both())
    assert letter.reasons == {"raw": "left: it is no member of the channel now"}
    if how == "opened":
        ann.keys({})
    else:
        ann.listed(both("club"))
        removed.declare(club=removed.proof("club", NEW_KEY))
    mesh.advance(1)
    assert [found["message"] for found in removed.frames("chat")] == []
