"""From one node to another: each message is shown once and in order, or told to have failed. docs/peer-protocol.md,
"Delivery" and "Flood", sentence by sentence.
"""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import pytest
from mesh import EPOCH, OTHER_EPOCH, PORT, Disk, Mesh, Raw, Stub, frame, hello

from peer.delivery.letters import DELIVERED, Letter
from peer.delivery.outbox import MOST
from peer.delivery.reader import MOST_REFUSALS
from peer.errors import PeerError
from peer.messages import MAX_TEXT, Have
from peer.node import Listed, Settings
from peer.storage.store import Mark
from reactor.core.address import Address
from reactor.core.transport import LOW_WATER


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def pair(mesh: Mesh, **settings: Settings) -> None:
    """ann and bob, linked."""
    mesh.start("ann", **settings)  # type: ignore[arg-type]
    mesh.start("bob", **settings)  # type: ignore[arg-type]
    mesh.link("ann", "bob")


def raw(mesh: Mesh, name: str = "raw", *channels: str, epoch: str = EPOCH, **fields: object) -> Raw:
    """A peer that has greeted ann."""
    peer = Raw(mesh, mesh.nodes["ann"], name, epoch=epoch)
    peer.greet(*channels, **fields)
    peer.frames()
    return peer


def states(letter: Letter) -> dict[str, str]:
    return {peer_id: state.value for peer_id, state in letter.states.items()}


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_each_recipient_has_numbers_of_its_own_from_one_and_each_author_one_counter(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    one, other = raw(mesh, "one", "x"), raw(mesh, "two")
    ann.send("one", "a")
    ann.send("two", "b")
    ann.say("x", "c")
    ann.broadcast("d")
    mesh.advance(1)
    epoch = ann.author.epoch
    assert [(text["type"], text["seq"], text["id"], text["message"]) for text in one.frames("chat", "broadcast")] == [
        ("chat", 1, f"ann:{epoch}:1", "a"), ("chat", 2, f"ann:{epoch}:3", "c"), ("broadcast", 3, f"ann:{epoch}:4", "d"),
    ]  # fmt: skip
    assert [(text["seq"], text["id"], text["message"]) for text in other.frames("chat", "broadcast")] == [
        (1, f"ann:{epoch}:2", "b"), (2, f"ann:{epoch}:4", "d"),
    ]  # fmt: skip


def test_a_frame_has_all_the_fields_that_the_protocol_names(mesh: Mesh) -> None:
    ann = mesh.start("ann", username="Ann Noname")
    peer = raw(mesh)
    ann.send("raw", "hi")
    mesh.advance(1)
    assert peer.frames("chat") == [
        {"type": "chat", "id": f"ann:{ann.author.epoch}:1", "seq": 1, "peer_id": "ann", "username": "Ann Noname",
         "channel": "direct", "message": "hi", "lamport": 1, "timestamp": "2024-05-01T12:00:00.000Z"},
    ]  # fmt: skip


def test_what_is_above_the_mark_is_taken_and_the_rest_is_dropped_as_seen(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    for seq in (1, 5, 3, 5, 1, 6):
        peer.send(f"m{seq}", seq=seq)
    assert mesh.ears["ann"].texts == ["m1", "m5", "m6"]


def test_numbers_are_counted_within_an_epoch(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.send("old", seq=9)
    peer.feed(frame("bye", reason="quit"))
    peer = raw(mesh, epoch=OTHER_EPOCH)
    peer.send("new")
    assert mesh.ears["ann"].texts == ["old", "new"]


def test_what_comes_late_of_a_stream_that_was_replaced_is_dropped(mesh: Mesh) -> None:
    """The older link says which stream it is until it is known that it is dead."""
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk)
    old = raw(mesh, "zoe")
    old.send("old")
    new = raw(mesh, "zoe", epoch=OTHER_EPOCH)
    new.send("new")
    mesh.advance(3.5)
    assert mesh.ears["ann"].texts == ["old", "new"] and mesh.links("ann", "zoe")[0] is not old.link


def test_the_epoch_survives_a_restart_and_the_instance_does_not(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    before = Raw(mesh, ann).greet()
    mesh.kill("ann")
    after = Raw(mesh, mesh.start("ann", store=disk)).greet()
    assert before["epoch"] == after["epoch"] == EPOCH
    assert before["instance"] != after["instance"]


def test_nonces_are_new_for_each_link(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    assert Raw(mesh, ann, "one").greet()["nonce"] != Raw(mesh, ann, "two").greet()["nonce"]


# -- acknowledging -----------------------------------------------------------------------------------------------------


def test_messages_are_acknowledged_cumulatively_once_a_turn(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.feed(b"".join(peer.text(f"m{n}") for n in range(5)))
    assert peer.frames() == [{"type": "ack", "upto": 5}]


def test_nothing_is_shown_or_acknowledged_before_it_is_safe(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk)
    peer = raw(mesh)
    disk.is_slow = True
    peer.send("hi")
    mesh.advance(3)
    assert not mesh.ears["ann"].texts and not peer.frames()
    disk.go_on()
    mesh.advance(0)
    assert mesh.ears["ann"].texts == ["hi"] and peer.frames() == [{"type": "ack", "upto": 1}]
    assert disk.saved.marks == {"raw": Mark(EPOCH, 1)}


def test_what_was_seen_already_is_acknowledged_again(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.send("hi")
    peer.frames()
    peer.send("hi", seq=1)
    assert peer.frames() == [{"type": "ack", "upto": 1}] and mesh.ears["ann"].texts == ["hi"]


def test_a_handshake_says_what_we_hold_of_the_others_stream(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = Raw(mesh, ann)
    assert peer.greet().get("have") in (None, {"epoch": EPOCH, "upto": 0})
    for n in range(3):
        peer.send(f"m{n}")
    again = Raw(mesh, ann)
    assert again.greet()["have"] == {"epoch": EPOCH, "upto": 3}


def test_a_dialler_says_it_too(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    peer.send("hi")
    peer.feed(frame("bye", reason="quit"))
    stub = Stub(mesh, "raw", lambda line: b"")
    ann.connect("raw", Address("raw", PORT))
    mesh.advance(1)
    assert json.loads(stub.read[0])["have"] == {"epoch": EPOCH, "upto": 1}


def test_what_is_only_taken_and_not_safe_is_not_told(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    peer = raw(mesh)
    disk.is_slow = True
    peer.send("hi")
    assert Raw(mesh, ann).greet().get("have") in (None, {"epoch": EPOCH, "upto": 0})


def test_the_sender_goes_on_from_what_the_other_side_has(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    for n in range(1, 5):
        ann.send("raw", f"m{n}")
    mesh.advance(1)
    assert len(peer.frames("chat")) == 4
    peer.transport.abort()
    mesh.advance(1)
    again = Raw(mesh, ann)
    answer = again.greet(have={"epoch": ann.author.epoch, "upto": 2})
    assert answer["backlog"] >= 2
    mesh.advance(1)
    assert [text["message"] for text in again.frames("chat")] == ["m3", "m4"]
    ears = mesh.ears["ann"]
    assert ears.states_of("m2", "raw") == ["sent", "queued", "delivered"]
    assert ears.states_of("m3", "raw") == ["sent", "queued", "sent"]


def test_what_somebody_has_of_another_epoch_of_ours_means_nothing(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    raw(mesh).transport.abort()
    mesh.advance(1)
    letter = ann.send("raw", "hi")
    mesh.advance(0)
    again = Raw(mesh, ann)
    again.greet(have={"epoch": "77" * 8, "upto": 50})
    assert states(letter) == {"raw": "sent"} and len(again.frames("chat")) == 1


def test_on_a_second_link_sending_goes_on_from_there_too(mesh: Mesh) -> None:
    """ann uses the first as long as it may live."""
    ann = mesh.start("ann")
    first = raw(mesh)
    ann.send("raw", "m1")
    mesh.advance(1)
    assert [text["message"] for text in first.frames("chat")] == ["m1"]
    second = raw(mesh)
    ann.send("raw", "m2")
    mesh.advance(1)
    assert [text["seq"] for text in first.frames("chat")] == [2] and not second.frames("chat")
    mesh.advance(3)
    assert [text["seq"] for text in second.frames("chat")] == [1, 2]


def test_numbers_that_the_other_side_has_and_we_do_not_know_are_not_used_again(mesh: Mesh) -> None:
    """Our directory was put back to an older state; what we said under these numbers would be taken for seen."""
    ann = mesh.start("ann")
    peer = Raw(mesh, ann)
    peer.greet(have={"epoch": ann.author.epoch, "upto": 40})
    peer.frames()
    ann.send("raw", "hi")
    mesh.advance(0)
    assert [text["seq"] for text in peer.frames("chat")] == [41]


def test_nobody_can_use_up_our_numbers(mesh: Mesh) -> None:
    """Numbers end at 2**53, and a sender whose numbers have ended could never say anything again."""
    ann = mesh.start("ann")
    peer = Raw(mesh, ann)
    peer.greet(have={"epoch": ann.author.epoch, "upto": 2**53})
    peer.feed(frame("ack", upto=2**53))
    peer.frames()
    ann.send("raw", "hi")
    mesh.advance(0)
    assert [text["message"] for text in peer.frames("chat")] == ["hi"]
    peer.transport.abort()
    mesh.advance(0)
    peer = Raw(mesh, ann)
    peer.greet(have={"epoch": ann.author.epoch, "upto": 3})
    mesh.advance(0)
    assert [text["seq"] for text in peer.frames("chat")] == [4], "who has taken its name has done no harm"


def test_what_somebody_claimed_once_does_no_harm_after_a_restart(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", "class", store=disk)
    peer = Raw(mesh, ann, "bob")
    peer.greet("class", have={"epoch": ann.author.epoch, "upto": 5_000_000})
    ann.say("class", "to whoever it is")
    mesh.advance(0)
    peer.say("ack", upto=5_000_001)
    mesh.kill("ann")
    ann = mesh.start("ann", "class", store=disk)
    ann.listed([Listed("bob", "Bob", Address("bob", PORT), ("class",))])
    ann.say("class", "one")
    mesh.advance(0)
    assert len(disk.saved.copies) == 1, "it waits, under whatever number"
    bob = Raw(mesh, ann, "bob")
    bob.greet("class", have={"epoch": ann.author.epoch, "upto": 6})
    ann.say("class", "two")
    mesh.advance(0)
    assert [(text["seq"], text["message"]) for text in bob.frames("chat")] == [(7, "one"), (8, "two")]


def test_no_number_silences_a_sender(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.send("far", seq=2**53)
    assert not mesh.ears["ann"].texts and peer.is_closed
    raw(mesh).send("near", seq=1)
    assert mesh.ears["ann"].texts == ["near"]


def test_what_waits_when_an_older_directory_was_put_back_is_sent_under_new_numbers(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    peer = raw(mesh)
    peer.transport.abort()
    mesh.advance(0)
    letter = ann.send("raw", "hi")
    mesh.advance(0)
    peer = Raw(mesh, ann)
    peer.greet(have={"epoch": ann.author.epoch, "upto": 40})
    mesh.advance(0)
    assert [text["seq"] for text in peer.frames("chat")] == [41]
    assert states(letter) == {"raw": "sent"}, "nobody has it yet"
    assert "older" in mesh.ears["ann"].troubles[-1]
    assert [copy.seq for copy in disk.load().copies] == [41]
    peer.say("ack", upto=41)
    assert states(letter) == {"raw": "delivered"} and not disk.load().copies


def test_who_cannot_prove_to_be_a_member_acknowledges_nothing(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    ann.join("x", "key")
    peer = raw(mesh)
    peer.transport.abort()
    mesh.advance(0)
    ann.listed([Listed("raw", "", Address("raw", PORT), ("x",))])
    letter = ann.say("x", "for members")
    peer = Raw(mesh, ann)
    peer.greet(channels=["x"])
    mesh.advance(0)
    peer.say("ack", upto=2**53)
    peer.say("ack", upto=1)
    assert not peer.frames("chat") and states(letter) == {"raw": "queued"}


def test_an_acknowledgement_of_what_was_never_sent_changes_nothing(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    peer.say("ack", upto=1000)
    ann.send("raw", "hi")
    mesh.advance(0)
    assert [text["seq"] for text in peer.frames("chat")] == [1]


# -- the store ---------------------------------------------------------------------------------------------------------


def test_a_message_leaves_only_when_it_is_safe(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    peer = raw(mesh)
    disk.is_slow = True
    letter = ann.send("raw", "hi")
    mesh.advance(3)
    assert not peer.frames() and states(letter) == {"raw": "queued"}
    disk.go_on()
    mesh.advance(0)
    assert len(peer.frames("chat")) == 1 and states(letter) == {"raw": "sent"}


def test_a_message_that_cannot_be_kept_fails_and_never_leaves(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    peer = raw(mesh)
    disk.error = OSError("disk full")
    letter = ann.send("raw", "hi")
    mesh.advance(3)
    assert not peer.frames() and states(letter) == {"raw": "failed"} and "disk full" in letter.reasons["raw"]
    assert mesh.ears["ann"].troubles == ["disk full"] and not ann.mail.letters
    disk.error = None
    ann.send("raw", "again")
    mesh.advance(1)
    assert [(text["seq"], text["message"]) for text in peer.frames("chat")] == [(2, "again")]


def test_a_message_of_theirs_that_cannot_be_kept_is_not_shown_and_comes_again(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk)
    mesh.start("bob")
    mesh.link("bob", "ann")
    disk.error = OSError("disk full")
    letter = mesh.nodes["bob"].send("ann", "hi")
    mesh.advance(4)
    assert not mesh.ears["ann"].texts and "disk full" in mesh.ears["ann"].troubles
    assert states(letter)["ann"] in ("queued", "sent")
    assert ("disconnected", "it said goodbye (storage: it cannot keep messages just now)") in mesh.ears["bob"].said
    disk.error = None
    mesh.advance(60)
    assert mesh.ears["ann"].texts == ["hi"] and states(letter) == {"ann": "delivered"}


def test_nothing_leaves_behind_a_message_that_was_given_up_before_that_is_safe(mesh: Mesh) -> None:
    """Its acknowledgement would stand for the one before it too, and after a crash ann would believe that."""
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", "x", store=disk)
    mesh.start("bob", "x")
    mesh.link("ann", "bob")
    mesh.kill("bob")
    given_up = ann.say("x", "given up")
    ann.send("bob", "later")
    mesh.advance(0)
    disk.error = OSError("disk full")
    ann.leave("x")
    assert given_up.reasons["bob"].startswith("left")
    mesh.start("bob", "x")
    mesh.advance(60)
    assert mesh.links("ann", "bob") and not mesh.ears["bob"].texts
    disk.error = None
    mesh.advance(6)
    assert mesh.ears["bob"].texts == ["later"] and not disk.saved.copies


def test_what_was_shown_is_known_after_a_crash(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk)
    mesh.start("bob")
    mesh.link("bob", "ann")
    for n in range(5):
        mesh.nodes["bob"].send("ann", f"m{n}")
    mesh.advance(0.02)  # some have arrived, and not all are acknowledged
    shown = mesh.ears["ann"].texts
    mesh.kill("ann")
    mesh.start("ann", store=disk)
    mesh.advance(60)
    assert shown + mesh.ears["ann"].texts == [f"m{n}" for n in range(5)]


# -- the outbox --------------------------------------------------------------------------------------------------------


def test_a_hundred_messages_wait_and_the_next_fails(mesh: Mesh) -> None:
    pair(mesh)
    mesh.kill("bob")
    ann = mesh.nodes["ann"]
    letters = [ann.send("bob", f"m{n}") for n in range(MOST + 1)]
    mesh.advance(0)
    assert {states(letter)["bob"] for letter in letters[:-1]} == {"queued"}
    assert states(letters[-1]) == {"bob": "failed"} and "too many" in letters[-1].reasons["bob"]


def test_what_waits_is_delivered_in_order_after_the_link_is_back(mesh: Mesh) -> None:
    mesh.start("ann")
    disk = Disk(mesh.reactor)
    mesh.start("bob", store=disk)
    mesh.link("ann", "bob")
    mesh.kill("bob")
    letters = [mesh.nodes["ann"].send("bob", f"m{n}") for n in range(MOST)]
    mesh.start("bob", store=disk)
    mesh.advance(40)
    assert mesh.ears["bob"].texts == [f"m{n}" for n in range(MOST)]
    assert all(states(letter) == {"bob": "delivered"} for letter in letters)
    assert not mesh.nodes["ann"].mail.letters


def test_what_waits_is_kept_in_the_data_directory(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk)
    mesh.start("bob")
    mesh.link("ann", "bob")
    mesh.cut("ann", silently=True)
    for n in range(7):
        mesh.nodes["ann"].send("bob", f"m{n}")
    mesh.advance(1)
    mesh.kill("ann")
    mesh.start("ann", store=disk)
    mesh.link("ann", "bob")
    mesh.advance(10)
    assert mesh.ears["bob"].texts == [f"m{n}" for n in range(7)]
    assert mesh.ears["ann"].states_of("m6", "bob") == ["sent", "delivered"]
    assert not disk.saved.copies
    mesh.nodes["ann"].send("bob", "next")
    mesh.advance(1)
    assert mesh.ears["bob"].texts[-1] == "next"


def test_after_24_hours_what_waits_fails(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    raw(mesh).transport.abort()
    mesh.advance(1)
    early = ann.send("raw", "early")
    mesh.days = 0.5
    late = ann.send("raw", "late")
    mesh.days = 0.99
    mesh.advance(10)
    assert states(early) == states(late) == {"raw": "queued"}
    mesh.days = 1.0
    mesh.advance(10)
    assert states(early) == {"raw": "failed"} and "24 hours" in early.reasons["raw"]
    assert states(late) == {"raw": "queued"} and [copy.entry.text for copy in disk.saved.copies] == ["late"]
    again = raw(mesh)
    mesh.advance(0)
    assert not again.frames("chat")  # taken by `raw` while it greeted
    assert states(late) == {"raw": "sent"}


def test_what_was_given_up_leaves_a_gap_that_disturbs_nothing(mesh: Mesh) -> None:
    pair(mesh)
    ann = mesh.nodes["ann"]
    mesh.kill("bob")
    ann.send("bob", "lost")
    mesh.days = 1.1
    mesh.advance(10)
    ann.send("bob", "kept")
    mesh.start("bob")
    mesh.advance(40)
    assert mesh.ears["bob"].texts == ["kept"]
    assert ann.contacts["bob"].outbox.last_seq == 2


def test_who_never_acknowledges_is_sent_a_burst_and_nothing_more(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    letters = [ann.send("raw", f"m{n}") for n in range(20)]
    for _ in range(60):
        mesh.advance(5)
        peer.say("ping", n=1)
    assert len(peer.frames("chat")) == 5 and peer.link.is_open
    assert [states(letter)["raw"] for letter in letters] == 5 * ["sent"] + 15 * ["queued"]


def test_what_is_resumed_is_announced_and_exempt_from_flood_limits(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = Raw(mesh, ann)
    peer.greet(backlog=60)
    peer.frames()
    peer.feed(b"".join(peer.text(f"m{n}") for n in range(60)))
    assert not peer.frames("refuse") and len(mesh.ears["ann"].texts) == 60


def test_who_reconnects_all_the_time_does_not_resume_for_ever(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    for _ in range(10):
        peer = Raw(mesh, ann)
        peer.seq = len(mesh.ears["ann"].texts)
        peer.greet(backlog=2**53)
        peer.feed(b"".join(peer.text("x") for _ in range(MOST)))
        peer.transport.abort()
        mesh.advance(0.1)
    assert len(mesh.ears["ann"].texts) <= 2 * MOST + 15


def test_what_is_written_while_a_link_is_being_made_is_announced_too_or_paced(mesh: Mesh) -> None:
    """Or the other side would refuse what it takes for a flood."""
    for delay in (0.0, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2):
        mesh = Mesh(3, slowest=0.2)
        pair(mesh)
        mesh.cut("ann")
        mesh.advance(0)
        mesh.nodes["bob"].contacts["ann"].pinned_at = None
        while not mesh.wires.ends:  # until ann's dial connects
            mesh.advance(0.005)
        mesh.advance(delay)
        letters = [mesh.nodes["ann"].send("bob", f"m{n}") for n in range(60)]
        mesh.advance(60)
        assert {states(letter)["bob"] for letter in letters} == {"delivered"}, delay


def test_what_is_resumed_is_written_only_below_the_low_water_mark(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    raw(mesh).transport.abort()
    mesh.advance(1)
    letters = [ann.send("raw", MAX_TEXT * "x") for _ in range(MOST)]
    peer = Raw(mesh, ann)
    peer.transport.stall = True
    peer.feed(frame("handshake", **hello("raw")))
    most = peer.transport.unsent
    assert LOW_WATER <= most < LOW_WATER + 5000
    for _ in range(20):
        peer.transport.release()
        peer.transport.stall = True
        mesh.advance(0)
        most = max(most, peer.transport.unsent)
    peer.transport.release()
    assert most < LOW_WATER + 5000 and peer.link.is_open
    assert [text["seq"] for text in peer.frames("chat")] == list(range(1, MOST + 1))
    assert {states(letter)["raw"] for letter in letters} == {"sent"}


# -- whose word it is --------------------------------------------------------------------------------------------------


def test_the_author_of_a_frame_is_the_links_peer_whatever_the_frame_says(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    mallory = raw(mesh, "mallory")
    raw(mesh, "bob")
    mallory.send("hi", peer_id="bob", username="Bob")
    [entry] = mesh.ears["ann"].entries
    assert (entry.author, entry.username, entry.peer) == ("mallory", "Mallory", "mallory")
    assert ann.contacts["bob"].inbox.have == Have(EPOCH, 0)


@pytest.mark.parametrize(
    "id_", ["bob:" + EPOCH + ":1", "mallory:" + OTHER_EPOCH + ":1", "mallory:" + EPOCH + ":0", "mallory:" + EPOCH,
            "mallory:" + EPOCH + ":-1", "mallory:" + EPOCH + ":1:2", "mallory:" + EPOCH + ":" + 20 * "9",
            "mallory:" + EPOCH + ":١", "1", ""],
)  # fmt: skip
def test_an_id_that_is_not_the_links_peers_own_is_an_error(mesh: Mesh, id_: str) -> None:
    mesh.start("ann")
    mallory = raw(mesh, "mallory")
    mallory.send("hi", id=id_)
    [error] = mallory.frames()
    assert (error["type"], error["code"]) == ("error", "bad_frame")
    assert mallory.is_closed and not mesh.ears["ann"].texts


def test_a_message_without_a_number_is_an_error(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.send("hi", seq=0)
    assert [one["code"] for one in peer.frames("error")] == ["bad_frame"]


def test_nobody_settles_what_was_sent_to_somebody_else(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    raw(mesh, "bob")
    mallory = raw(mesh, "mallory")
    letter = ann.send("bob", "hi")
    mesh.advance(0)
    mallory.say("ack", upto=1)
    mallory.say("refuse", seq=1, code="no")
    assert states(letter) == {"bob": "sent"}


# -- what the user sees ------------------------------------------------------------------------------------------------


def test_a_message_is_sent_and_then_delivered(mesh: Mesh) -> None:
    pair(mesh)
    letter = mesh.nodes["ann"].send("bob", "hi")
    assert states(letter) == {"bob": "queued"}
    mesh.advance(1)
    assert states(letter) == {"bob": "delivered"} and mesh.ears["bob"].texts == ["hi"]
    assert mesh.ears["ann"].states_of("hi", "bob") == ["sent", "delivered"]


def test_a_message_that_the_system_has_not_taken_yet_is_queued(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    peer.transport.stall = True
    first, second = ann.send("raw", "a"), ann.send("raw", "b")
    mesh.advance(1)
    assert states(first) == states(second) == {"raw": "queued"}
    peer.transport.release()
    mesh.advance(0)
    assert states(first) == states(second) == {"raw": "sent"}


def test_what_was_sent_and_not_acknowledged_is_queued_again_when_the_link_is_lost(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    letter = ann.send("raw", "hi")
    mesh.advance(0)
    peer.transport.abort()
    mesh.advance(0)
    assert states(letter) == {"raw": "queued"}


def test_in_a_channel_those_count_who_are_members_when_it_is_sent(mesh: Mesh) -> None:
    for name in ("ann", "bob", "cay"):
        mesh.start(name, "x")
    mesh.list_all()
    mesh.advance(5)
    mesh.kill("cay")
    mesh.advance(0)
    letter = mesh.nodes["ann"].say("x", "hi")
    mesh.start("dan", "x")
    mesh.list_all()
    mesh.advance(5)
    assert mesh.ears["bob"].texts == ["hi"] and not mesh.ears["dan"].texts
    assert states(letter)["bob"] == "delivered" and "dan" not in letter.states
    assert letter.count(DELIVERED) == 1 and len(letter.states) == 2 and not letter.is_direct


def test_a_newcomer_sees_a_channel_from_its_joining_on(mesh: Mesh) -> None:
    pair(mesh)
    ann, bob = mesh.nodes["ann"], mesh.nodes["bob"]
    ann.join("x")
    mesh.advance(1)
    ann.say("x", "before")
    mesh.advance(1)
    bob.join("x")
    mesh.advance(1)
    ann.say("x", "after")
    mesh.advance(1)
    assert mesh.ears["bob"].texts == ["after"]


def test_a_broadcast_goes_to_everybody_who_is_linked_and_to_nobody_else(mesh: Mesh) -> None:
    for name in ("ann", "bob", "cay", "dan"):
        mesh.start(name)
    for other in ("bob", "cay", "dan"):
        mesh.link("ann", other)
    mesh.kill("dan")
    letter = mesh.nodes["ann"].broadcast("hi")
    mesh.advance(1)
    assert states(letter) == {"bob": "delivered", "cay": "delivered"}
    assert {entry.channel for name in ("bob", "cay") for entry in mesh.ears[name].entries} == {"broadcast"}


def test_nobody_is_written_to_who_was_not_linked_in_this_run(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    mesh.start("bob", "x")
    with pytest.raises(PeerError, match="Not connected to peer: bob"):
        ann.send("bob", "hi")
    ann.listed([Listed("bob", "Bob", Address("nowhere", PORT), ("x",))])
    with pytest.raises(PeerError, match="Not connected to peer: bob"):
        ann.send("bob", "hi")


def test_a_message_is_needed_and_a_channel_is_joined_first(mesh: Mesh) -> None:
    pair(mesh)
    ann = mesh.nodes["ann"]
    with pytest.raises(PeerError, match="empty"):
        ann.send("bob", "")
    with pytest.raises(PeerError, match="Not in channel x: join it first"):
        ann.say("x", "hi")


def test_lone_surrogates_of_a_terminal_arrive_as_something(mesh: Mesh) -> None:
    pair(mesh)
    mesh.nodes["ann"].send("bob", "a\udcffb")
    mesh.advance(1)
    assert mesh.ears["bob"].texts == ["a\ufffdb"]


def test_control_characters_arrive_as_they_are(mesh: Mesh) -> None:
    """They are escaped where they are shown."""
    pair(mesh)
    mesh.nodes["ann"].send("bob", "a\x1b[2J\nb\x00")
    mesh.advance(1)
    assert mesh.ears["bob"].texts == ["a\x1b[2J\nb\x00"]


# -- time --------------------------------------------------------------------------------------------------------------


def test_what_was_written_after_seeing_a_message_stands_behind_it(mesh: Mesh) -> None:
    pair(mesh)
    ann, bob = mesh.nodes["ann"], mesh.nodes["bob"]
    for n in range(5):
        ann.send("bob", f"m{n}")
    mesh.advance(1)
    answer = bob.send("ann", "answer")
    mesh.advance(1)
    assert answer.entry.lamport == 6 and [entry.lamport for entry in mesh.ears["bob"].entries] == [1, 2, 3, 4, 5]
    assert ann.send("bob", "again").entry.lamport == 7


def test_a_message_without_a_time_comes_next(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    peer.send("a")
    peer.send("b", lamport=10)
    peer.send("c")
    assert [entry.lamport for entry in mesh.ears["ann"].entries] == [1, 10, 11]
    assert ann.send("raw", "d").entry.lamport == 12


def test_a_jump_of_more_than_a_million_is_clamped(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    peer.send("far", lamport=2**53)
    peer.send("on the spot", lamport=1_000_000)
    peer.send("past", lamport=3)
    assert [entry.lamport for entry in mesh.ears["ann"].entries] == [1_000_000, 1_000_000, 3]
    assert ann.send("raw", "hi").entry.lamport == 1_000_001


def test_what_a_newcomer_says_first_stands_behind_what_was_said_before(mesh: Mesh) -> None:
    ann = mesh.start("ann", "x")
    raw(mesh).send("old", lamport=40)
    mesh.start("bob", "x")
    mesh.link("bob", "ann")  # who dials hears it in the answer,
    mesh.start("cid", "x")
    mesh.link("ann", "cid")  # and who is dialled in the handshake
    assert [mesh.nodes[name].say("x", "new").entry.lamport for name in ("bob", "cid")] == [41, 41]
    assert ann.author.lamport == 40


def test_the_time_of_a_handshake_may_be_missing_and_is_clamped(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    raw(mesh, "old")
    assert ann.author.lamport == 0
    ann.mute("muted", True)
    raw(mesh, "muted", lamport=2**53)
    assert ann.author.lamport == 0
    for number in range(5):  # as many as somebody likes to be: no further than everybody follows
        raw(mesh, f"liar {number}", lamport=2**53)
    assert ann.author.lamport == 1_000_000


def test_both_counters_go_on_after_a_restart(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    peer = raw(mesh)
    peer.send("hi", lamport=10)
    ann.send("raw", "a")
    mesh.advance(0)
    mesh.kill("ann")
    ann = mesh.start("ann", store=disk)
    raw(mesh)
    entry = ann.send("raw", "b").entry
    assert entry.n > 2 and entry.lamport == 12


# -- flood -------------------------------------------------------------------------------------------------------------


def test_a_text_has_4000_code_points_at_the_most(mesh: Mesh) -> None:
    pair(mesh)
    ann = mesh.nodes["ann"]
    with pytest.raises(PeerError, match="4001 characters; 4000"):
        ann.send("bob", 4001 * "é")
    ann.send("bob", 4000 * "🙂")
    mesh.advance(1)
    assert mesh.ears["bob"].texts == [4000 * "🙂"]


def test_a_longer_text_is_refused_and_the_link_stays(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.send(4000 * "x")
    peer.send(4001 * "x")
    peer.send("hi")
    assert peer.frames() == [
        {"type": "ack", "upto": 1}, {"type": "refuse", "seq": 2, "code": "too_long"}, {"type": "ack", "upto": 2},
        {"type": "ack", "upto": 3},
    ]  # fmt: skip
    assert [len(text) for text in mesh.ears["ann"].texts] == [4000, 2]


class Answering(Raw):
    """Acknowledges whatever comes, and notes when it came."""

    def __init__(self, mesh: Mesh, name: str = "raw") -> None:
        super().__init__(mesh, mesh.nodes["ann"], name)
        self.times: list[float] = []
        self.greet()

    def answer(self) -> None:
        for text in self.frames("chat", "broadcast"):
            self.times.append(round(self.mesh.reactor.now - 1000, 2))
            self.say("ack", upto=text["seq"])


def run(mesh: Mesh, peer: Answering, seconds: float) -> None:
    for _ in range(round(seconds / 0.05)):
        mesh.advance(0.05)
        peer.answer()


def test_five_go_at_once_and_then_two_a_second(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = Answering(mesh)
    for n in range(11):
        ann.send("raw", f"m{n}")
    run(mesh, peer, 5)
    assert peer.times[:5] == 5 * [0.05]
    gaps = [later - earlier for earlier, later in pairwise(peer.times[4:])]
    assert len(peer.times) == 11 and all(0.4 < gap < 0.6 for gap in gaps), peer.times


def test_each_recipient_is_paced_by_itself(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    one, other = Answering(mesh, "one"), Answering(mesh, "two")
    for n in range(20):
        ann.send("one", f"m{n}")
    ann.send("two", "hi")
    mesh.advance(0.1)
    one.answer()
    other.answer()
    assert len(one.times) == 5 and len(other.times) == 1


def test_without_a_rate_there_is_no_limit(mesh: Mesh) -> None:
    pair(mesh, settings=Settings(burst=0, rate=0))
    for n in range(MOST):
        mesh.nodes["ann"].send("bob", f"m{n}")
    mesh.advance(1)
    assert len(mesh.ears["bob"].texts) == MOST


def test_what_we_pace_is_never_refused_by_another_node_however_the_network_delays_it() -> None:
    for seed in range(10):
        mesh = Mesh(seed, slowest=1.5)
        mesh.start("ann")
        mesh.start("bob")
        mesh.nodes["ann"].connect("bob", Address("bob", PORT))
        mesh.advance(5)
        letters = []
        for n in range(80):
            letters.append(mesh.nodes["ann"].send("bob", f"m{n}"))
            mesh.advance(mesh.chance.random() * 0.5)
        mesh.advance(60)
        assert {states(letter)["bob"] for letter in letters} == {"delivered"}
        assert mesh.ears["bob"].texts == [f"m{n}" for n in range(80)]


def test_who_does_not_pace_itself_is_refused(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    peer.feed(b"".join(peer.text(f"m{n}") for n in range(1, 16)))
    assert mesh.ears["ann"].texts == [f"m{n}" for n in range(1, 11)]
    assert peer.frames() == [
        *({"type": "refuse", "seq": seq, "code": "flood"} for seq in range(11, 16)), {"type": "ack", "upto": 15},
    ]  # fmt: skip
    assert peer.link.is_open
    mesh.advance(1.1)
    peer.send("later")
    assert mesh.ears["ann"].texts[-1] == "later"


def test_after_200_refusals_without_a_pause_the_link_ends(mesh: Mesh) -> None:
    mesh.start("ann")
    peer, friend = raw(mesh), raw(mesh, "friend")
    peer.feed(b"".join(peer.text("x") for _ in range(10 + MOST_REFUSALS)))
    assert MOST_REFUSALS == 200 and peer.link.is_open
    assert len(peer.frames("refuse")) == 100 or peer.link.is_open
    peer.send("x")
    [error] = peer.frames("error")
    assert error["code"] == "flood" and peer.is_closed
    friend.send("hi")
    assert mesh.ears["ann"].texts == 10 * ["x"] + ["hi"]


def test_a_message_that_is_taken_ends_the_row_of_refusals(mesh: Mesh) -> None:
    mesh.start("ann")
    peer = raw(mesh)
    for _ in range(5):
        peer.feed(b"".join(peer.text("x") for _ in range(150)))
        mesh.advance(6)
    assert peer.link.is_open


def test_a_refused_message_fails_at_its_sender(mesh: Mesh) -> None:
    pair(mesh)
    mesh.nodes["bob"].mute("ann", True)
    letter = mesh.nodes["ann"].send("bob", "hi")
    mesh.advance(1)
    assert states(letter) == {"bob": "failed"} and letter.reasons == {"bob": "refused: muted"}
    assert not mesh.ears["bob"].texts and not mesh.nodes["ann"].mail.letters
    mesh.nodes["bob"].mute("ann", False)
    letter = mesh.nodes["ann"].send("bob", "again")
    mesh.advance(1)
    assert states(letter) == {"bob": "delivered"} and mesh.ears["bob"].texts == ["again"]


def test_a_muted_peer_that_talks_at_leisure_keeps_its_link(mesh: Mesh) -> None:
    """It is refused for being muted, not for flooding."""
    ann = mesh.start("ann")
    peer = raw(mesh)
    ann.mute("raw", True)
    for _ in range(MOST_REFUSALS + 50):
        peer.send("x")
        mesh.advance(1)
        peer.frames()
    assert peer.link.is_open


def test_who_floods_with_what_would_be_refused_anyway_is_not_listened_to_either(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    for name, settle in (("mute", lambda: ann.mute("mute", True)), ("stranger", lambda: None)):
        peer = raw(mesh, name)
        settle()
        peer.feed(b"".join(peer.text("x", "x") for _ in range(1000)))
        assert peer.is_closed and [one["code"] for one in peer.frames("error")] == ["flood"]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_refusal_that_was_lost_with_its_link_is_told_again_by_have(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    peer.send("a")
    ann.mute("raw", True)
    peer.send("b")
    peer.transport.abort()  # nobody has read it
    ann.mute("raw", False)
    again = Raw(mesh, ann)
    assert again.greet()["have"] == {"epoch": EPOCH, "upto": 2, "refused": [[2, "muted"]]}


def test_a_refusal_survives_a_restart(mesh: Mesh) -> None:
    disk = Disk(mesh.reactor)
    mesh.start("ann", store=disk).mute("raw", True)
    raw(mesh).send("a")
    mesh.kill("ann")
    answer = Raw(mesh, mesh.start("ann", store=disk)).greet()
    assert answer["have"] == {"epoch": EPOCH, "upto": 1, "refused": [[1, "muted"]]}


def test_a_sender_that_is_told_of_a_refusal_by_have_takes_it_as_one(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    letters = [ann.send("raw", f"m{n}") for n in range(3)]
    mesh.advance(0)
    peer.transport.abort()
    mesh.advance(0)
    Raw(mesh, ann).greet(have={"epoch": ann.author.epoch, "upto": 3, "refused": [[2, "flood"]]})
    assert [states(letter)["raw"] for letter in letters] == ["delivered", "failed", "delivered"]
    assert letters[1].reasons == {"raw": "refused: flood"}


@pytest.mark.parametrize("code", ["", "no such code", "\x1b[2J"])
def test_a_refusal_is_one_whatever_its_code_says(mesh: Mesh, code: str) -> None:
    ann = mesh.start("ann")
    peer = raw(mesh)
    first, second = ann.send("raw", "a"), ann.send("raw", "b")
    mesh.advance(0)
    peer.say("refuse", seq=1, code=code)
    peer.transport.abort()
    mesh.advance(0)
    Raw(mesh, ann).greet(have={"epoch": ann.author.epoch, "upto": 2, "refused": [[2, code]]})
    assert states(first) == states(second) == {"raw": "failed"}


@pytest.mark.parametrize("told", [False, True])
def test_no_acknowledgement_overtakes_a_refusal_on_another_link(mesh: Mesh, told: bool) -> None:
    """What ann has said on the link before may never arrive."""
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    first = raw(mesh)
    ann.mute("raw", True)
    disk.is_slow = not told
    first.send("refused")
    ann.mute("raw", False)
    second = Raw(mesh, ann)
    second.greet()
    second.seq = first.seq
    second.send("taken")
    disk.go_on()
    mesh.advance(3.5)
    frames = second.frames("refuse", "ack")
    assert {"type": "refuse", "seq": 1, "code": "muted"} in frames
    acks = [at for at, one in enumerate(frames) if one["type"] == "ack"]
    assert frames.index({"type": "refuse", "seq": 1, "code": "muted"}) < acks[0]


def test_a_hundred_refusals_at_once_are_all_told(mesh: Mesh) -> None:
    ann = mesh.start("ann")
    ann.mute("raw", True)
    peer = raw(mesh)
    peer.feed(b"".join(peer.text("x") for _ in range(MOST)))
    assert [one["seq"] for one in peer.frames("refuse")] == list(range(1, MOST + 1))


# -- all of it ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_messages_are_shown_once_and_in_order_whatever_the_network_does(seed: int) -> None:
    mesh = Mesh(seed, slowest=0.5)
    disks = {name: Disk(mesh.reactor, chr(97 + i) * 16) for i, name in enumerate(("ann", "bob"))}
    for name, disk in disks.items():
        mesh.start(name, "x", store=disk)
    mesh.list_all()
    shown: dict[str, list[str]] = {"ann": [], "bob": []}
    said: dict[str, list[str]] = {"ann": [], "bob": []}
    chance = Random(seed)

    def restart(name: str) -> None:
        shown[name] += mesh.ears[name].texts
        mesh.kill(name)
        mesh.start(name, "x", store=disks[name])
        mesh.list_all()

    for n in range(60):
        name = chance.choice(["ann", "bob"])
        if mesh.nodes[name].members("x"):
            mesh.nodes[name].say("x", f"{name} {n}")
            said[name].append(f"{name} {n}")
        what = chance.random()
        if what < 0.1:
            mesh.cut("ann")
        elif what < 0.15:
            mesh.cut("ann", silently=True)
        elif what < 0.2:
            restart(chance.choice(["ann", "bob"]))
        mesh.advance(chance.random() * 3)
    mesh.advance(120)
    for name, other in (("ann", "bob"), ("bob", "ann")):
        assert shown[name] + mesh.ears[name].texts == said[other]
    assert mesh.link_counts() == {1}
    assert all(not node.mail.letters and node.mail.is_flushed for node in mesh.nodes.values())

