"""A peer's trackers: registering and going on with it, trouble in words, several of them, and the commands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tracker_side import HERE, ME, THERE, Answer, Asked, Net, Peer, Plugin, Script, entry, refusal

import plugins.auth.passwords
from peer.identity import Leases
from peer.trackers.answers import Listed, Refused, TrackerError
from peer.trackers.several import merge
from plugins.auth.passwords import Cost
from reactor import Cancelled, ConnectionLost, Overloaded, ReactorError, RemoteProtocolError
from reactor.testing import FakeReactor, TestApp

REGISTERED = "[Peer] Registered with tracker"
TRACKER: dict[str, dict[str, str]] = {"plugin:tracker": {}}


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[TestApp]:
    with TestApp(TRACKER, state_dir=tmp_path) as app:
        yield app


@pytest.fixture
def ann(app: TestApp) -> Iterator[Peer]:
    """A peer at the real tracker."""
    peer = Peer(app.reactor, {HERE: Plugin(app)}).start()
    yield peer
    peer.trackers.close()


def restart(app: TestApp) -> None:
    """The tracker forgets everybody."""
    app.reload({})
    app.reload(TRACKER)


def listed(app: TestApp, channel: str = "") -> list[str]:
    answer = app.get("/get-list" + (f"?channel={channel}" if channel else ""))
    return [peer["peer_id"] for peer in answer.json()["peers"]]


def other(app: TestApp, peer_id: str, **fields: Any) -> dict[str, str]:
    """Somebody else registers; what proves it."""
    answer = app.put("/submit-info", json={"peer_id": peer_id, "port": 9200, "v": 1, "ip": "10.0.0.9", **fields})
    return {"peer_id": peer_id, "lease": answer.json()["lease"]}


# -- registering -----------------------------------------------------------------------------------------------------


def test_it_registers_at_the_start_says_so_once_and_knows_the_list(app: TestApp) -> None:
    other(app, "bob")
    ann = Peer(app.reactor, {HERE: Plugin(app)}).start()
    assert listed(app) == ["bob", ME]
    assert ann.ids() == ["bob", ME]
    assert ann.lists == [ann.trackers.merged]
    assert ann.trackers.observed_ip == "127.0.0.1"
    assert ann.trackers.is_up
    app.advance(600)
    assert ann.lines == [REGISTERED]
    ann.trackers.close()


def test_what_is_sent(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script()}, channels=["lobby"]).start()
    submit, lists = ann.net.asked
    lease = ann.leases.get("127.0.0.1:8000")
    assert lease is not None
    assert len(lease) == 32
    assert (submit.method, submit.path, lists.method, lists.path) == ("POST", "/submit-info", "GET", "/get-list")
    assert submit.fields == {
        "v": 1, "peer_id": ME, "username": "Ann", "port": 9101, "channels": ["lobby"], "lease": lease,
    }  # fmt: skip
    assert {(asked.seconds, asked.limit) for asked in ann.net.asked} == {(10.0, 4 * 1024 * 1024)}


def test_it_renews_at_the_interval_of_the_answer_with_jitter(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script()}).start()
    reactor.advance(600)
    times = [asked.at for asked in ann.net.of("/submit-info")]
    gaps = {round(after - before, 3) for before, after in pairwise(times)}
    assert len(gaps) > 10
    assert 24 <= min(gaps) < max(gaps) <= 36
    assert len(ann.lists) == len(times)


@pytest.mark.parametrize(
    ("interval", "ttl", "shortest", "longest"),
    [(1e-9, 90.0, 0.4, 0.6), (1e9, 1e9, 480, 720), (36.0, 37.0, 19, 29.7), (30.0, 1e-9, 0.4, 0.6)],
)
def test_an_interval_is_believed_within_reason(
    reactor: FakeReactor, interval: float, ttl: float, shortest: float, longest: float
) -> None:
    script = Script()
    script.set(submit_info=lambda asked: Answer(200, script.registered(asked, interval=interval, ttl=ttl)))
    ann = Peer(reactor, {HERE: script}).start()
    reactor.advance(longest * 1.01)
    first, second, *_ = [asked.at for asked in ann.net.of("/submit-info")]
    assert shortest <= second - first <= longest


def test_a_change_of_the_facts_can_be_told_at_once(app: TestApp, ann: Peer) -> None:
    ann.username = "Anna"
    ann.trackers.renew()
    app.reactor.settle()
    assert app.get("/get-list").json()["peers"][0]["username"] == "Anna"


def test_a_change_told_during_a_renewal_is_not_lost(reactor: FakeReactor) -> None:
    script = Script()
    script.delay = 1.0
    ann = Peer(reactor, {HERE: script}).start()
    reactor.advance(0.5)
    ann.username = "Anna"
    ann.trackers.renew()
    reactor.advance(3.0)
    assert [asked.fields["username"] for asked in ann.net.of("/submit-info")] == ["Ann", "Anna"]


def test_a_restarted_peer_keeps_its_registration(app: TestApp, ann: Peer) -> None:
    ann.trackers.close()
    again = Peer(app.reactor, {HERE: Plugin(app)}, leases=ann.leases).start()
    assert again.lines == [REGISTERED]
    stranger = Peer(app.reactor, {HERE: Plugin(app)}).start()
    assert stranger.lines == [
        "[Peer] Tracker 127.0.0.1:8000 refuses: the lease is not that of this registration; trying again"
    ]
    again.trackers.close()
    app.advance(200)  # until the registration has expired: an id is free then
    assert stranger.lines[1:] == [REGISTERED]
    stranger.trackers.close()


def test_a_lease_that_the_tracker_gives_takes_the_place_of_ours(reactor: FakeReactor) -> None:
    script = Script()
    script.set(submit_info=lambda asked: Answer(200, script.registered(asked, lease="given")))
    ann = Peer(reactor, {HERE: script}).start()
    assert ann.leases.get("127.0.0.1:8000") == "given"
    reactor.advance(40)
    assert ann.net.of("/submit-info")[1].fields["lease"] == "given"


def test_a_lease_that_cannot_be_kept_is_said_and_still_used(reactor: FakeReactor) -> None:
    class FullDisk(Leases):
        def set(self, tracker: str, lease: str) -> None:
            raise ReactorError("the lease cannot be kept: no space left on device")

    ann = Peer(reactor, {HERE: Script()}, leases=FullDisk()).start()
    reactor.advance(100)
    assert ann.lines == ["[Peer] the lease cannot be kept: no space left on device", REGISTERED]
    assert len({asked.fields["lease"] for asked in ann.net.of("/submit-info")}) == 1


# -- where others can dial us ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ip", ["0.0.0.0", "::"])
def test_who_listens_everywhere_claims_its_lan_address_where_the_tracker_sees_loopback(app: TestApp, ip: str) -> None:
    ann = Peer(app.reactor, {HERE: Plugin(app)}, ip=ip).start()
    assert ann.trackers.merged[0].ip == "192.168.1.7"
    assert len(ann.net.of("/submit-info")) == 1  # a tracker on loopback needs no look at the answer first
    ann.lan = "192.168.1.8"  # another network
    app.advance(40)
    assert ann.trackers.merged[0].ip == "192.168.1.8"
    ann.trackers.close()


def test_a_tracker_elsewhere_that_sees_loopback_is_told_the_lan_address_at_once(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {THERE: Script()}, ip="0.0.0.0").start()  # through a tunnel
    assert [asked.fields.get("ip") for asked in ann.net.of("/submit-info")] == [None, "192.168.1.7"]


@pytest.mark.parametrize(
    ("ip", "lan", "observed", "claimed"),
    [
        ("0.0.0.0", None, "127.0.0.1", None),  # no network at all
        ("0.0.0.0", "192.168.1.7", "192.168.1.7", None),
        ("", "192.168.1.7", "127.0.0.1", None),
        ("203.0.113.5", "192.168.1.7", "127.0.0.1", "203.0.113.5"),
        ("203.0.113.5", "192.168.1.7", "10.0.0.1", "203.0.113.5"),
    ],
)
def test_else_the_tracker_takes_what_it_sees_or_what_the_user_advertises(
    reactor: FakeReactor, ip: str, lan: str | None, observed: str, claimed: str | None
) -> None:
    script = Script()
    script.observed_ip = observed
    ann = Peer(reactor, {THERE: script}, ip=ip, lan=lan).start()
    assert [asked.fields.get("ip") for asked in ann.net.of("/submit-info")] == [claimed]
    assert ann.trackers.observed_ip == observed


# -- trouble ---------------------------------------------------------------------------------------------------------

REFUSED = "nobody listens at 127.0.0.1:8000 (connection refused)"
DOWN = f"[Peer] Tracker 127.0.0.1:8000 cannot be reached: {REFUSED}; trying again"


def test_a_tracker_that_is_down_at_the_start_is_one_line_and_tried_less_and_less(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: None}).start()
    reactor.advance(200)
    times = [asked.at for asked in ann.net.asked]
    gaps = [after - before for before, after in pairwise(times)]
    for gap, wait in zip(gaps, [1, 2, 5, 15, 30, 30, 30], strict=False):
        assert 0.8 * wait <= gap <= 1.2 * wait
    assert len(gaps) >= 6
    assert len({gap / wait for gap, wait in zip(gaps, [1, 2, 5, 15, 30], strict=False)}) == 5  # jitter
    assert ann.lines == [DOWN]
    ann.net.sides[HERE] = Script()
    reactor.advance(40)
    assert ann.lines == [DOWN, REGISTERED]


def test_a_tracker_that_goes_and_comes_back_is_a_line_each_and_its_last_list_counts(reactor: FakeReactor) -> None:
    script = Script()
    script.peers = [entry("bob")]
    ann = Peer(reactor, {HERE: script}).start()
    ann.net.sides[HERE] = None
    reactor.advance(300)
    assert ann.lines == [REGISTERED, DOWN]
    assert ann.ids() == ["bob"]
    assert not ann.trackers.is_up
    ann.net.sides[HERE] = script
    reactor.advance(40)
    assert ann.lines == [REGISTERED, DOWN, REGISTERED]
    ann.net.sides[HERE] = None
    while len(ann.lines) == 3:
        reactor.advance(0.5)
    asked = len(ann.net.asked)
    reactor.advance(10)
    assert len(ann.net.asked) > asked + 1  # the waits have begun anew: 1, 2 and 5 s
    assert ann.lines == [REGISTERED, DOWN, REGISTERED, DOWN]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(200, b"<html>hello</html>"), "answers nonsense: it is not JSON"),
        (Answer(200, b""), "answers nonsense: it is not JSON"),
        (Answer(200, b'{"status":' + b"[" * 10_000), "answers nonsense: "),
        (Answer(200, []), "answers nonsense: Expected object, got array"),
        (Answer(200, {"status": "success"}), "answers nonsense: Object missing required field peer_id"),
        (Answer(204), "answers nonsense: status 204 without a reason: is it a tracker, and HTTP"),
        (Answer(302, b"", [("Location", "http://elsewhere/")]), "answers nonsense: status 302 sends us elsewhere"),
        (Answer(404, b"<h1>Not Found</h1>"), "answers nonsense: status 404 without a reason: is it a tracker"),
        (Answer(500, b"oops"), "answers nonsense: status 500 without a reason: is it a tracker, and HTTP (not HTTPS)?"),
        (refusal(500, "internal_server_error", "sorry"), "refuses: sorry"),
        (refusal(429, "too_many_peers", "50000 peers are registered"), "refuses: 50000 peers are registered"),
        (RemoteProtocolError("the server's answer is larger than allowed", 502), "answers nonsense: the server's"),
        (ConnectionLost("the server closed the connection"), "cannot be reached: the server closed the connection"),
        (Overloaded("too much is waiting for the names threads"), "cannot be reached: too much is waiting"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["submit_info", "get_list"])
def test_nonsense_is_one_line_until_it_is_over(
    reactor: FakeReactor, answer: Answer | Exception, says: str, path: str
) -> None:
    script = Script(**{path: answer})
    ann = Peer(reactor, {HERE: script}).start()
    reactor.advance(200)
    assert len(ann.lines) == 1
    says = says.replace("field peer_id", "field peers") if path == "get_list" else says
    assert ann.lines[0].startswith(f"[Peer] Tracker 127.0.0.1:8000 {says}")
    assert ann.lines[0].endswith("; trying again")
    script.set()
    reactor.advance(40)
    assert ann.lines[1:] == [REGISTERED]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"interval": "soon"}, "Expected float, got str - at $.interval"),
        ({"peer_id": "somebody"}, "it has registered somebody else"),
        ({"channels": ["\x1b[2J"]}, "channels must be printable"),
        ({"lease": ""}, "Expected str matching regex"),
    ],
)
def test_a_registration_with_a_wrong_field_is_none(reactor: FakeReactor, wrong: dict[str, Any], says: str) -> None:
    script = Script()
    script.set(submit_info=lambda asked: Answer(200, script.registered(asked, **wrong)))
    ann = Peer(reactor, {HERE: script}).start()
    reactor.advance(100)
    assert len(ann.lines) == 1
    assert ann.lines[0].startswith(f"[Peer] Tracker 127.0.0.1:8000 answers nonsense: {says}")


def test_a_tracker_that_never_answers_is_given_up_after_ten_seconds(reactor: FakeReactor) -> None:
    script = Script()
    script.delay = 1e6
    ann = Peer(reactor, {HERE: script}).start()
    reactor.advance(9.9)
    assert ann.lines == []
    reactor.advance(0.2)
    assert len(ann.lines) == 1
    assert ann.lines[0].startswith("[Peer] Tracker 127.0.0.1:8000 cannot be reached: no answer within 10 s: a firewall")


def test_a_tracker_that_says_no_is_told_apart_from_one_that_is_down(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: None}).start()
    ann.net.sides[HERE] = Script(submit_info=refusal(403, "not_yours", "the lease is not that of this registration"))
    reactor.advance(100)
    assert ann.lines[1:] == [
        "[Peer] Tracker 127.0.0.1:8000 refuses: the lease is not that of this registration; trying again"
    ]


def test_an_error_of_ours_is_reported_and_costs_no_registration(reactor: FakeReactor) -> None:
    errors: list[BaseException] = []
    reactor.on_error = lambda error, where: errors.append(error)
    ann = Peer(reactor, {HERE: Script(get_list=ZeroDivisionError("a bug"))}).start()
    reactor.advance(5)
    assert len(errors) > 1
    ann.net.sides[HERE] = Script()
    reactor.advance(20)
    assert ann.lines == [REGISTERED]


def test_entries_that_make_no_sense_are_counted_in_one_line(reactor: FakeReactor) -> None:
    script = Script()
    script.peers = [entry("bob"), entry("x", ip="example.org"), entry("y", port=0), 7]
    ann = Peer(reactor, {HERE: script}).start()
    reactor.advance(200)
    words = "make no sense, or are too many, and are left out"
    assert ann.lines == [REGISTERED, f"[Peer] 3 of the peers that tracker 127.0.0.1:8000 lists {words}"]
    assert ann.ids() == ["bob"]


# -- a tracker that restarts -----------------------------------------------------------------------------------------


def test_a_restarted_tracker_gets_us_back_with_our_lease_and_channels(app: TestApp, ann: Peer) -> None:
    ann.join("lobby")
    lease = ann.leases.get("127.0.0.1:8000")
    restart(app)
    assert listed(app) == []
    app.advance(40)
    assert listed(app, "lobby") == [ME]
    assert app.post("/leave", json={"peer_id": ME, "lease": lease, "channel": "other"}).status == 200
    assert (ann.lines, ann.removed) == ([REGISTERED], [])


def test_a_channel_that_was_closed_meanwhile_is_told_and_the_others_are_kept(app: TestApp, ann: Peer) -> None:
    for channel in ("lobby", "class", "chess"):
        ann.join(channel)
    restart(app)
    bob = other(app, "bob", channels=["class"])
    assert app.post("/channel", json={**bob, "channel": "class", "policy": "invited"}).status == 200
    app.advance(40)
    assert ann.removed == [("class", "class wants an invite from its owner")]
    assert (listed(app, "lobby"), listed(app, "class"), listed(app, "chess")) == ([ME], ["bob"], [ME])
    app.advance(300)
    assert len(ann.removed) == 1


def test_a_channel_that_was_closed_stays_so_between_its_members(app: TestApp, ann: Peer) -> None:
    """A tracker that was restarted makes it anew, as an open one."""
    ann.join("class")
    ann.run(ann.trackers.configure("class", policy="invited"))
    [key] = ann.keys[-1].values()
    restart(app)
    app.advance(40)
    assert listed(app, "class") == [ME] and ann.keys[-1] == {"class": key}
    [line] = [line for line in ann.lines if "forgotten" in line]
    assert "channel 'class' is closed" in line
    app.advance(300)
    assert ann.keys[-1] == {"class": key} and len([line for line in ann.lines if "forgotten" in line]) == 1
    ann.run(ann.trackers.configure("class", policy="invited"))
    assert ann.keys[-1]["class"] != key
    ann.run(ann.trackers.configure("class", policy="open"))
    assert ann.keys[-1] == {}


def test_more_channels_than_the_tracker_allows_are_put_out_from_the_last(tmp_path: Path) -> None:
    with TestApp({"plugin:tracker": {"max_channels_per_peer": "2"}}, state_dir=tmp_path) as app:
        ann = Peer(app.reactor, {HERE: Plugin(app)}, channels=["a", "b", "c", "d"]).start()
        assert [channel for channel, _ in ann.removed] == ["d", "c"]
        assert app.get("/get-list").json()["channels"] == ["a", "b"]
        assert ann.lines == [REGISTERED]
        ann.trackers.close()


def test_a_tracker_that_refuses_each_channel_gets_us_without_any(reactor: FakeReactor) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.fields.get("channels"):
            return refusal(403, "not_invited", "no", f"$.channels[{len(asked.fields['channels']) - 1}]")
        return Answer(200, Script().registered(asked))

    ann = Peer(reactor, {HERE: Script(submit_info=answer)}, channels=["a", "b"]).start()
    assert ann.removed == [("b", "no"), ("a", "no")]
    assert ann.lines == [REGISTERED]


@pytest.mark.parametrize("path", ["$.channels[9]", "$.channels[99999]", "$.channel", "$.lease", ""])
def test_a_refusal_that_is_about_no_channel_of_ours_is_one_of_us(reactor: FakeReactor, path: str) -> None:
    ann = Peer(reactor, {HERE: Script(submit_info=refusal(403, "x", "no", path))}, channels=["a"]).start()
    reactor.advance(100)
    assert ann.removed == []
    assert ann.lines == ["[Peer] Tracker 127.0.0.1:8000 refuses: no; trying again"]


# -- channels --------------------------------------------------------------------------------------------------------


def test_joining_and_leaving(app: TestApp, ann: Peer) -> None:
    bob = other(app, "bob", channels=["lobby"])
    joined = ann.join("lobby")
    assert (joined.members, joined.channel_key) == (("bob", ME), None)
    members = ann.run(ann.trackers.fetch("lobby"))
    assert [(peer.peer_id, peer.ip, peer.channels) for peer in members] == [
        ("bob", "10.0.0.9", ("lobby",)),
        (ME, "127.0.0.1", ("lobby",)),
    ]
    assert ann.run(ann.trackers.fetch("nowhere")) == []
    app.advance(100)
    app.put("/submit-info", json={**bob, "port": 9200, "v": 1, "channels": ["lobby"]})
    assert listed(app, "lobby") == [ME, "bob"]
    ann.run(ann.trackers.leave("lobby"))
    ann.channels.remove("lobby")
    app.advance(40)
    assert listed(app, "lobby") == ["bob"]
    assert (ann.lines, ann.removed) == ([REGISTERED], [])


def test_who_is_removed_from_an_open_channel_is_told_and_does_not_come_back_by_itself(app: TestApp) -> None:
    bob = other(app, "bob", channels=["lobby"])
    ann = Peer(app.reactor, {HERE: Plugin(app)}, channels=["lobby"]).start()
    assert app.post("/channel", json={**bob, "channel": "lobby", "remove": ME}).status == 200
    app.advance(40)
    assert ann.removed == [("lobby", "tracker 127.0.0.1:8000 says that we are no longer in it")]
    assert listed(app, "lobby") == ["bob"]
    ann.join("lobby")
    app.advance(40)
    assert listed(app, "lobby") == ["bob", ME]
    assert len(ann.removed) == 1
    ann.trackers.close()


def test_a_channel_with_a_password_and_its_key(app: TestApp, ann: Peer) -> None:
    bob = other(app, "bob", channels=["class"])
    change = {**bob, "channel": "class", "policy": "password", "password": "Sesame"}
    key = app.post("/channel", json=change).json()["channel_key"]
    for password in (None, "wrong"):
        with pytest.raises(TrackerError, match=r"^class wants its password$"):
            ann.join("class", password=password)
    assert ann.channels == []
    assert ann.join("class", password="Sesame").channel_key == key
    assert ann.keys == [{"class": key}]
    app.post("/channel", json={**bob, "channel": "class", "policy": "open"})
    app.advance(40)
    assert ann.keys == [{"class": key}, {}]


def test_the_owner_closes_a_channel_invites_and_removes(app: TestApp, ann: Peer) -> None:
    ann.join("class")
    closed = ann.run(ann.trackers.configure("class", policy="invited", invite=True))
    assert closed.policy == "invited"
    assert ann.keys == [{"class": closed.channel_key}]
    bob = other(app, "bob")
    joined = app.post("/add-list", json={**bob, "channel": "class", "invite": closed.invite})
    assert joined.json()["members"] == [ME, "bob"]
    after = ann.run(ann.trackers.configure("class", remove="bob"))
    assert after.members == (ME,)
    assert ann.keys[-1] == {"class": after.channel_key} != ann.keys[0]
    with pytest.raises(Refused, match="is not in this channel"):
        ann.run(ann.trackers.configure("class", remove="bob"))
    with pytest.raises(Refused, match="nobody is in a channel of this name"):
        ann.run(ann.trackers.configure("chess", policy="open"))


def test_joining_at_a_tracker_that_has_just_restarted_registers_first(app: TestApp, ann: Peer) -> None:
    ann.join("chess")
    restart(app)
    assert ann.join("lobby").members == (ME,)
    app.advance(40)
    assert (listed(app, "lobby"), listed(app, "chess")) == ([ME], [ME])
    assert ann.removed == []


def test_joining_with_the_password_where_a_restart_let_another_close_the_channel(app: TestApp, ann: Peer) -> None:
    ann.join("class")
    restart(app)
    bob = other(app, "bob", channels=["class"])
    app.post("/channel", json={**bob, "channel": "class", "policy": "password", "password": "Sesame"})
    assert ann.run(ann.trackers.join("class", password="Sesame")).members == ("bob", ME)
    app.advance(40)
    assert (listed(app, "class"), ann.removed) == (["bob", ME], [])


def test_a_tracker_that_does_not_know_us_whatever_we_do_is_asked_twice(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script(add_list=refusal(404, "unknown_peer", "no peer of this name"))}).start()
    with pytest.raises(Refused, match="no peer of this name"):
        ann.join("lobby")
    assert len(ann.net.of("/add-list")) == 2


@pytest.mark.parametrize("status", [403, 409, 429, 503])
def test_a_refusal_to_let_us_in_has_the_trackers_words(reactor: FakeReactor, status: int) -> None:
    ann = Peer(reactor, {HERE: Script(add_list=refusal(status, "x", "$.channel: lobby is full", "$.channel"))}).start()
    with pytest.raises(TrackerError, match=r"^lobby is full$"):
        ann.join("lobby")


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "\udc80", "direct", "broadcast"])
def test_a_name_that_no_channel_has_is_refused_without_asking(reactor: FakeReactor, name: str) -> None:
    ann = Peer(reactor, {HERE: Script()}).start()
    asked = len(ann.net.asked)
    commands = (ann.trackers.join(name), ann.trackers.leave(name), ann.trackers.configure(name, policy="open"))
    for command in commands:
        with pytest.raises(TrackerError, match="name"):
            ann.run(command)
    assert len(ann.net.asked) == asked


def test_the_name_of_a_channel_may_have_any_printable_characters(app: TestApp, ann: Peer) -> None:
    name = "Phòng & học? #1/2 %41+"
    ann.join(name)
    assert [peer.channels for peer in ann.run(ann.trackers.fetch(name))] == [(name,)]


def test_a_join_waits_for_the_renewal_that_would_undo_it(reactor: FakeReactor) -> None:
    script = Script()
    ann = Peer(reactor, {HERE: script}).start()
    script.delay = 2.0
    ann.trackers.renew()
    reactor.advance(1.0)
    ann.join("lobby")
    times = [asked.at for asked in ann.net.of("/submit-info") + ann.net.of("/add-list")]
    assert times[2] - times[1] >= 2.0


def test_a_channel_left_while_the_tracker_is_away_is_left_when_it_is_back(app: TestApp, ann: Peer) -> None:
    ann.join("lobby")
    side, ann.net.sides[HERE] = ann.net.sides[HERE], None
    with pytest.raises(TrackerError, match=r"^Tracker 127\.0\.0\.1:8000 cannot be reached: nobody listens"):
        ann.run(ann.trackers.leave("lobby"))
    ann.channels.remove("lobby")
    ann.net.sides[HERE] = side
    assert listed(app, "lobby") == [ME]
    app.advance(40)
    assert (listed(app), listed(app, "lobby")) == ([ME], [])


def test_a_tracker_that_quietly_does_not_have_us_in_a_channel_is_noticed(reactor: FakeReactor) -> None:
    script = Script()
    script.set(submit_info=lambda asked: Answer(200, {**script.registered(asked), "channels": []}))
    ann = Peer(reactor, {HERE: script}, channels=["lobby"]).start()
    assert ann.removed == [("lobby", "tracker 127.0.0.1:8000 does not have us in it")]


# -- several ---------------------------------------------------------------------------------------------------------


def test_it_registers_with_all_and_says_which_but_for_the_first(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script(), THERE: Script()}).start()
    assert ann.lines == [REGISTERED, f"{REGISTERED} 192.168.1.2:8000"]
    assert ann.leases.get("127.0.0.1:8000") != ann.leases.get("192.168.1.2:8000")
    assert ann.trackers.names == ["127.0.0.1:8000", "192.168.1.2:8000"]
    side, ann.net.sides[THERE] = ann.net.sides[THERE], None
    reactor.advance(40)
    ann.net.sides[THERE] = side
    reactor.advance(40)
    assert [line.partition(" cannot")[0] for line in ann.lines[2:]] == [
        "[Peer] Tracker 192.168.1.2:8000",
        f"{REGISTERED} 192.168.1.2:8000",
    ]


def test_their_lists_are_merged_and_the_one_that_took_us_last_counts(reactor: FakeReactor) -> None:
    here, there = Script(), Script()
    here.peers = [entry("bob", "10.0.0.2", 1, "lobby"), entry("eve", "10.0.0.3", 2)]
    there.peers = [entry("eve", "10.9.9.9", 3, "chess"), entry("bob", "10.0.0.2", 1, "chess"), entry("dan")]
    ann = Peer(reactor, {HERE: here, THERE: there}).start()
    assert ann.ids() == ["bob", "eve", "dan"]
    bob, eve, _ = ann.trackers.merged
    assert (bob.channels, eve.ip, eve.channels) == (("lobby", "chess"), "10.9.9.9", ("chess",))
    assert ann.lists[-1] == ann.trackers.merged
    ann.net.sides[THERE] = None  # its list still counts, but for less
    reactor.advance(40)
    assert sorted(ann.ids()) == ["bob", "dan", "eve"]
    assert {peer.peer_id: peer.ip for peer in ann.trackers.merged}["eve"] == "10.0.0.3"


def test_merging_keeps_the_order_and_unites_the_channels() -> None:
    def peer(peer_id: str, ip: str, *channels: str) -> Listed:
        return Listed(peer_id, peer_id, ip, 9101, channels)

    here = [peer("a", "10.0.0.1", "x"), peer("b", "10.0.0.2")]
    there = [peer("c", "10.0.0.3"), peer("a", "10.0.0.4", "y", "x")]
    assert merge([here, there]) == [peer("a", "10.0.0.4", "x", "y"), peer("b", "10.0.0.2"), peer("c", "10.0.0.3")]
    assert merge([]) == []


def test_a_list_is_asked_of_all_at_once_and_those_that_answer_count(reactor: FakeReactor) -> None:
    here, there = Script(), Script()
    here.peers, there.peers = [entry("bob")], [entry("dan")]
    ann = Peer(reactor, {HERE: here, THERE: there}).start()
    here.delay = there.delay = 3.0
    started = reactor.clock.now
    assert [peer.peer_id for peer in ann.run(ann.trackers.fetch())] == ["bob", "dan"]
    assert reactor.clock.now - started < 4.0
    ann.net.sides[HERE] = None
    assert [peer.peer_id for peer in ann.run(ann.trackers.fetch())] == ["dan"]
    ann.net.sides[THERE] = None
    with pytest.raises(TrackerError, match=r"127\.0\.0\.1:8000 cannot .*; Tracker 192\.168\.1\.2:8000 cannot"):
        ann.run(ann.trackers.fetch())


def test_without_a_tracker_commands_say_so(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {}).start()
    with pytest.raises(TrackerError, match="there is no tracker to ask"):
        ann.run(ann.trackers.fetch())
    assert not ann.run(ann.trackers.leave_all())


def test_a_tracker_that_answers_a_command_is_registered_with_at_once(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: None}).start()
    reactor.advance(100)
    ann.net.sides[HERE] = Script()
    ann.run(ann.trackers.fetch())
    reactor.settle()
    assert ann.lines[1:] == [REGISTERED]


def test_a_channel_is_joined_where_it_can_be_and_elsewhere_later(reactor: FakeReactor) -> None:
    there = Script()
    ann = Peer(reactor, {HERE: Script(), THERE: there}).start()
    ann.net.sides[THERE] = None
    assert ann.join("lobby").members == (ME, "b")
    ann.net.sides[THERE] = there
    reactor.advance(40)
    assert there.asked[-2].fields["channels"] == ["lobby"]
    assert ann.removed == []


def test_a_door_that_stays_shut_anywhere_is_an_error_and_the_others_are_left(app: TestApp) -> None:
    shut = Script(add_list=refusal(403, "not_invited", "lobby wants an invite"))
    ann = Peer(app.reactor, {HERE: Plugin(app), THERE: shut}).start()
    with pytest.raises(TrackerError, match="lobby wants an invite"):
        ann.join("lobby")
    app.advance(1)
    assert listed(app, "lobby") == []
    ann.trackers.close()


def test_a_channel_that_is_full_at_one_tracker_is_joined_at_the_other(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script(), THERE: Script(add_list=refusal(409, "channel_full"))}).start()
    assert ann.join("lobby").members == (ME, "b")


def test_who_is_put_out_by_one_tracker_and_not_by_the_other_is_not_out(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script(), THERE: Script(submit_info=locked_door)}, channels=["lobby"]).start()
    reactor.advance(200)
    assert ann.removed == []
    why = "does not let us into channel 'lobby': lobby wants an invite"
    assert f"[Peer] Tracker 192.168.1.2:8000 {why}" in ann.lines
    assert len(ann.lines) == 3


def locked_door(asked: Asked) -> Answer:
    """Takes us without channels only."""
    if asked.fields.get("channels"):
        return refusal(403, "not_invited", "lobby wants an invite", "$.channels[0]")
    return Answer(200, Script().registered(asked))


def test_a_tracker_that_barred_us_is_tried_again_after_it_has_forgotten_us(reactor: FakeReactor) -> None:
    there = Script(submit_info=locked_door)
    ann = Peer(reactor, {HERE: Script(), THERE: there}, channels=["lobby"]).start()
    there.set(connect_peer=refusal(404, "unknown_peer"))
    reactor.advance(40)
    assert there.channels == ["lobby"]
    assert (len(ann.lines), ann.removed) == (3, [])


def test_who_joins_where_it_was_barred_stays(reactor: FakeReactor) -> None:
    there = Script(submit_info=locked_door)
    ann = Peer(reactor, {HERE: Script(), THERE: there}, channels=["lobby"]).start()
    there.set()
    ann.run(ann.trackers.join("lobby", password="Sesame"))
    reactor.advance(100)
    assert there.channels == ["lobby"]
    assert (len(ann.lines), ann.removed) == (3, [])


def test_a_renewal_does_not_undo_a_join_that_waits_for_another_tracker(reactor: FakeReactor) -> None:
    here, there = Script(), Script()
    ann = Peer(reactor, {HERE: here, THERE: there}).start()
    there.delay = 5.0
    joining = reactor.spawn(ann.trackers.join("lobby"))
    reactor.advance(1.0)
    ann.trackers.renew()
    reactor.advance(1.0)
    assert (here.channels, joining.done) == (["lobby"], False)


def test_of_two_keys_that_of_the_first_tracker_counts(reactor: FakeReactor) -> None:
    here, there = Script(), Script()
    here.keys, there.keys = {"a": "0" * 64}, {"a": "1" * 64, "b": "2" * 64}
    ann = Peer(reactor, {HERE: here, THERE: there}).start()
    reactor.advance(100)
    assert ann.keys[-1] == {"a": "0" * 64, "b": "2" * 64}
    assert len(ann.keys) <= 2


# -- leaving ---------------------------------------------------------------------------------------------------------


def test_leaving_tells_the_tracker_and_ends_the_renewals(app: TestApp, ann: Peer) -> None:
    assert ann.run(ann.trackers.leave_all())
    asked = len(ann.net.asked)
    app.advance(300)
    assert listed(app) == []
    assert len(ann.net.asked) == asked


def test_leaving_waits_for_a_renewal_under_way_so_that_it_is_not_undone(reactor: FakeReactor) -> None:
    script = Script()
    ann = Peer(reactor, {HERE: script}).start()
    script.delay = 0.5
    ann.trackers.renew()
    reactor.advance(0.2)
    assert ann.run(ann.trackers.leave_all())
    reactor.advance(300)
    (_, submit), (leave,) = ann.net.of("/submit-info"), ann.net.of("/leave")
    assert leave.at - submit.at >= 0.5


def test_leaving_takes_two_seconds_at_most(reactor: FakeReactor) -> None:
    hangs, works = Script(), Script()
    ann = Peer(reactor, {HERE: hangs, THERE: works}).start()
    hangs.delay = 1e6
    started = reactor.clock.now
    assert not ann.run(ann.trackers.leave_all())
    assert reactor.clock.now - started < 2.2
    assert works.asked[-1].path == "/leave"


@pytest.mark.parametrize(
    ("here", "told"),
    [
        (None, False),
        (Script(leave=refusal(404, "unknown_peer")), True),
        (Script(leave=refusal(403, "not_yours")), False),
        (Script(leave=Answer(500)), False),
    ],
)
def test_whether_the_tracker_was_told(reactor: FakeReactor, here: Script | None, told: bool) -> None:
    ann = Peer(reactor, {HERE: Script()}).start()
    ann.net.sides[HERE] = here
    assert ann.run(ann.trackers.leave_all()) is told


def test_a_tracker_that_never_had_us_needs_not_be_told(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {HERE: Script(), THERE: None}).start()
    assert ann.run(ann.trackers.leave_all())


def test_after_closing_nobody_is_asked_and_nobody_waits(reactor: FakeReactor) -> None:
    script = Script()
    ann = Peer(reactor, {HERE: script}).start()
    script.delay = 5.0
    ann.trackers.renew()
    joining = reactor.spawn(ann.trackers.join("lobby"))
    reactor.advance(1.0)
    asked = len(ann.net.asked)
    ann.trackers.close()
    reactor.advance(300)
    assert len(ann.net.asked) == asked
    with pytest.raises(Cancelled):
        joining.result()
    assert reactor.timers.next() > 1e9


# -- login -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestApp]:
    """A tracker that wants a login, with the demo account."""
    monkeypatch.setattr(plugins.auth.passwords, "COST", Cost(time=1, memory=8, lanes=1))
    sections = {"plugin:auth": {}, "plugin:tracker": {"require_login": "yes"}}
    with TestApp(sections, state_dir=tmp_path) as app:
        yield app


def test_a_login_is_given_where_it_is_wanted(guarded: TestApp) -> None:
    ann = Peer(guarded.reactor, {HERE: Plugin(guarded)}, user="admin", password="password").start()
    ann.join("lobby")
    guarded.advance(200)
    assert ann.lines == [REGISTERED]
    assert len(ann.net.of("/login")) == 1
    assert ann.run(ann.trackers.leave_all())


def test_a_session_that_has_expired_is_followed_by_another(guarded: TestApp) -> None:
    ann = Peer(guarded.reactor, {HERE: Plugin(guarded)}, user="admin", password="password").start()
    sent = ann.net.asked[-1].headers["Cookie"]
    assert guarded.post("/logout", headers={"Cookie": sent}).status == 200
    guarded.advance(40)
    assert ann.lines == [REGISTERED]
    assert len(ann.net.of("/login")) == 2
    ann.trackers.close()


def test_a_wrong_password_is_said_and_tried_less_and_less(guarded: TestApp) -> None:
    ann = Peer(guarded.reactor, {HERE: Plugin(guarded)}, user="admin", password="wrong").start()
    guarded.advance(100)
    words = "user or password is wrong for the login as admin"
    assert ann.lines == [f"[Peer] Tracker 127.0.0.1:8000 refuses: {words}; trying again"]
    assert len(ann.net.of("/login")) <= 8
    with pytest.raises(TrackerError, match=words):
        ann.run(ann.trackers.fetch())
    ann.trackers.close()


def test_who_has_no_login_is_told_that_one_is_wanted(guarded: TestApp) -> None:
    ann = Peer(guarded.reactor, {HERE: Plugin(guarded)}).start()
    guarded.advance(100)
    assert ann.lines == [
        "[Peer] Tracker 127.0.0.1:8000 refuses: a login is needed: start with --user NAME; trying again"
    ]
    assert ann.net.of("/login") == []
    ann.trackers.close()


def cookie_door(*cookies: str) -> Script:
    """Opens with the first of the cookies that its login sets."""
    script = Script()
    opens = cookies[0].partition(";")[0]

    def guard(asked: Asked) -> Answer:
        if asked.path == "/login":
            return Answer(200, b"<html>", [("Set-Cookie", cookie) for cookie in cookies])
        if opens not in asked.headers.get("Cookie", ""):
            return Answer(401)
        return script.submit_info(asked) if asked.path == "/submit-info" else script.get_list(asked)

    script.set(all=guard)
    return script


def test_a_login_that_does_not_open_the_door_is_a_wrong_one(reactor: FakeReactor) -> None:
    script = cookie_door("session=1")
    script.answers["/login"] = Answer(200, b"<html>")
    ann = Peer(reactor, {HERE: script}, user="ann", password="x").start()
    reactor.advance(100)
    words = "user or password is wrong for the login as ann"
    assert ann.lines == [f"[Peer] Tracker 127.0.0.1:8000 refuses: {words}; trying again"]


def test_cookies_that_make_no_sense_are_not_sent_back(reactor: FakeReactor) -> None:
    bad = ["", "=x", "a b=c", "x=\x01", "y=ü", "z=1,2", "w=" + "1" * 5000]
    script = cookie_door("session=1; Path=/; HttpOnly", *bad, "auth=true; Path=/index.html")
    ann = Peer(reactor, {HERE: script}, user="ann", password="x").start()
    assert ann.lines == [REGISTERED]
    assert ann.net.asked[-1].headers["Cookie"] == "session=1; auth=true"


def test_the_password_goes_to_nobody_who_does_not_ask(reactor: FakeReactor) -> None:
    ann = Peer(reactor, {THERE: Script()}, user="ann", password="secret").start()
    assert "secret" not in str(ann.net.asked)
    assert ann.lines == [REGISTERED]


def test_a_password_that_leaves_this_machine_is_warned_of_once(reactor: FakeReactor) -> None:
    script = cookie_door("session=1")
    ann = Peer(reactor, {THERE: script}, user="ann", password="x").start()
    warning = "[Peer] Warning: the password for tracker 192.168.1.2:8000 goes over the network unencrypted"
    assert ann.lines == [warning, REGISTERED]
    ann.net.sides[THERE] = cookie_door("session=2")
    reactor.advance(200)
    assert ann.net.asked[-1].headers["Cookie"] == "session=2"
    assert ann.lines == [warning, REGISTERED]


def test_two_that_find_the_session_gone_at_once_do_not_lock_each_other_out(reactor: FakeReactor) -> None:
    script = cookie_door("session=1")
    ann = Peer(reactor, {HERE: script}, user="ann", password="x").start()
    script = cookie_door("session=2")
    script.delay = 1.0
    ann.net.sides[HERE] = script
    tasks = []
    for _ in range(3):
        tasks.append(reactor.spawn(ann.trackers.fetch()))
        reactor.advance(0.75)
    reactor.advance(20)
    assert [task.result() for task in tasks] == [[], [], []]
    assert len(ann.net.of("/login")) == 1 + 2  # the third finds a new session when it hears that the old one is gone


# -- addresses -------------------------------------------------------------------------------------------------------


def test_a_tracker_may_be_given_as_a_url(reactor: FakeReactor) -> None:
    from random import Random

    from peer.trackers.several import Callbacks, Trackers

    def make(*where: str) -> Trackers:
        nothing = Callbacks(print, print, print, print)
        return Trackers(
            reactor, Net(reactor, {}), where, None, nothing,  # type: ignore[arg-type]
            random=Random(), leases=Leases(), lan_address=lambda: None,
        )  # fmt: skip

    assert make("http://example.org:8000/tracker/", "http://[::1]:8000").names == [
        "example.org:8000/tracker",
        "[::1]:8000",
    ]
    with pytest.raises(ValueError, match="is not an http:// URL"):
        make("https://example.org")
