"""Registering, renewing, leaving and expiring; and whose registration it is."""

from __future__ import annotations

import pytest
from tracker_desk import Desk

from plugins.tracker.endpoints import Endpoints
from reactor.http.router import is_async


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_registration_is_answered_with_all_that_the_interface_owes(desk: Desk) -> None:
    answer = desk.submit("65113e1d", 9101, "192.168.1.3", channels=["lobby"], username="Ann")
    assert answer.status == 200
    assert answer.json["status"] == "success"
    assert answer.json["peer_id"] == "65113e1d"
    assert answer.json["observed_ip"] == "192.168.1.3"
    assert answer.json["ttl"] == 90
    assert 24 <= answer.json["interval"] <= 36
    assert len(answer.json["lease"]) == 32
    assert answer.json["total_peers"] == 1
    assert desk.get().json == {
        "status": "success",
        "peers": [{"peer_id": "65113e1d", "username": "Ann", "ip": "192.168.1.3", "port": 9101, "channels": ["lobby"]}],
        "channels": ["lobby"],
        "total_peers": 1,
    }


def test_a_new_registration_prints_its_line_and_a_renewal_prints_none(desk: Desk) -> None:
    desk.submit("other")
    lease = desk.lease("65113e1d", client="192.168.1.3")
    desk.submit("65113e1d", client="192.168.1.3", lease=lease)
    assert desk.lines[1:] == ["[ChatApp] Peer registered: 65113e1d at 192.168.1.3:9101 (total peers: 2)"]


def test_intervals_are_spread(desk: Desk) -> None:
    spread = {desk.submit(f"p{i}").json["interval"] for i in range(50)}
    assert len(spread) > 20
    assert min(spread) >= 24 and max(spread) <= 36


@pytest.mark.parametrize("ip", [None, "", "0.0.0.0", "::", "::ffff:0.0.0.0"])
def test_an_unspecified_address_is_replaced_by_the_clients(desk: Desk, ip: str | None) -> None:
    desk.submit("a", client="192.168.1.3", ip=ip)
    assert desk.get().json["peers"][0]["ip"] == "192.168.1.3"


def test_a_claimed_address_is_listed_and_the_observed_one_told(desk: Desk) -> None:
    answer = desk.submit("a", client="127.0.0.1", ip="192.168.1.3")
    assert answer.json["observed_ip"] == "127.0.0.1"
    assert desk.get().json["peers"][0]["ip"] == "192.168.1.3"


@pytest.mark.parametrize(
    ("ip", "shown"),
    [("2001:DB8:0:0::1", "2001:db8::1"), ("::ffff:10.1.2.3", "10.1.2.3"), ("fe80::1%eth0", "fe80::1")],
)
def test_addresses_are_listed_in_their_shortest_form(desk: Desk, ip: str, shown: str) -> None:
    desk.submit("a", ip=ip)
    assert desk.get().json["peers"][0]["ip"] == shown


def test_an_ipv6_peer_is_printed_with_brackets(desk: Desk) -> None:
    desk.submit("a", client="2001:db8::1")
    assert desk.lines == ["[ChatApp] Peer registered: a at [2001:db8::1]:9101 (total peers: 1)"]


NO_HOST = ["example.org", "10.0.0", "10.0.0.1:80", "224.0.0.1", "255.255.255.255", "ff02::1", "010.0.0.1", "10.0.0.1\n"]


@pytest.mark.parametrize("ip", NO_HOST)
def test_what_is_not_one_hosts_address_is_refused(desk: Desk, ip: str) -> None:
    answer = desk.submit("a", ip=ip)
    assert (answer.status, answer.path) == (400, "$.ip")


def test_without_any_address_the_field_is_needed(desk: Desk) -> None:
    assert desk.submit("a", client="").path == "$.ip"
    assert desk.submit("a", client="", ip="10.0.0.9").status == 200


@pytest.mark.parametrize("field", ["peer_id", "username", "peer_address"])
def test_ids_are_understood_under_three_names(desk: Desk, field: str) -> None:
    answer = desk.ask("/submit_info", {field: "10.0.0.1:9101", "port": 9101})
    assert answer.json["peer_id"] == "10.0.0.1:9101"
    assert desk.ask("/add-list", {field: "10.0.0.1:9101", "channel": "x"}).status == 200
    assert desk.ask("/connect-peer", {field: "10.0.0.1:9101"}).json["port"] == 9101
    assert desk.ask("/leave", {field: "10.0.0.1:9101"}).status == 200


def test_a_peer_is_found_by_its_address_where_no_id_reads_like_it(desk: Desk) -> None:
    desk.submit("ann", v=None)
    assert desk.ask("/add-list", {"peer_address": "10.0.0.1:9101", "channel": "x"}).json["members"] == ["ann"]
    assert desk.ask("/connect-peer", {"peer_id": "10.0.0.1:9101"}).json["peer_id"] == "ann"
    assert desk.ask("/submit-info", {"peer_address": "10.0.0.1:9101", "port": 9101}).json["peer_id"] == "ann"


def test_without_an_id_the_entry_of_the_same_address_and_port_is_renewed(desk: Desk) -> None:
    first = desk.submit(None, v=None).json["peer_id"]
    assert len(first) == 8
    assert desk.submit(None, v=None).json["peer_id"] == first
    assert desk.submit(None, 9102, v=None).json["peer_id"] != first
    assert desk.get().json["total_peers"] == 2


def test_who_claims_an_address_keeps_nobody_from_it(desk: Desk) -> None:
    desk.submit("evil", client="10.6.6.6", ip="10.0.0.5")
    first = desk.submit(None, client="10.0.0.5", ip="10.0.0.5", v=None)
    assert first.status == 200 and first.json["peer_id"] != "evil"
    again = desk.submit(None, client="10.0.0.5", ip="10.0.0.5", v=None)
    assert again.json["peer_id"] == first.json["peer_id"]
    renewed = desk.submit(None, client="10.7.7.7", ip="10.0.0.5", lease=first.json["lease"])
    assert renewed.json["peer_id"] == first.json["peer_id"]
    assert desk.ids() == ["evil", first.json["peer_id"]]


def test_without_an_id_an_entry_of_somebody_else_is_not_taken(desk: Desk) -> None:
    desk.submit("ann", ip="10.0.0.1", username="Ann")
    answer = desk.submit(None, client="10.0.0.2", ip="10.0.0.1", username="Bob", v=None)
    assert answer.status == 200
    assert desk.ids() == ["ann", answer.json["peer_id"]]
    assert desk.get().json["peers"][0]["username"] == "Ann"


@pytest.mark.parametrize("peer_id", ["é" * 64, "名前", "a b", "10.0.0.1:9101", "😀", "<script>", "0"])
def test_any_printable_id_up_to_64_characters_is_taken(desk: Desk, peer_id: str) -> None:
    assert desk.submit(peer_id).json["peer_id"] == peer_id
    assert desk.ids() == [peer_id]


HIDDEN = ["", "a\x00", "a\nb", "\x1b[31m", "a\u202eb", "a\u200bb", "\u2028", "a\x7f", "a\x85"]


@pytest.mark.parametrize("text", HIDDEN)
def test_names_that_cannot_be_shown_are_refused_everywhere(desk: Desk, text: str) -> None:
    lease = desk.lease("ok")
    before = desk.get().body
    for answer, path in [
        (desk.submit(text), "$.peer_id"),
        (desk.submit("new", channels=["fine", text]), "$.channels[1]"),
        (desk.ask("/add-list", {"peer_id": "ok", "lease": lease, "channel": text}), "$.channel"),
        (desk.ask("/channel", {"peer_id": "ok", "lease": lease, "channel": text}), "$.channel"),
        (desk.ask("/leave", {"peer_id": "ok", "lease": lease, "channel": text}), "$.channel"),
    ]:
        assert (answer.status, answer.path) == (400, path)
    if text:
        assert desk.submit("new", username=text).path == "$.username"
        assert desk.ask("/submit-info", {"username": text, "port": 1}).path == "$.username"
    assert desk.get().body is before
    assert desk.lines == ["[ChatApp] Peer registered: ok at 10.0.0.1:9101 (total peers: 1)"]


def test_names_over_64_characters_are_413(desk: Desk) -> None:
    long = "x" * 65
    for answer in (
        desk.submit(long), desk.submit("a", username=long), desk.submit("a", channels=[long]),
        desk.get("/get-list?channel=" + long), desk.ask("/get-list", {"channel": long}),
    ):  # fmt: skip
        assert (answer.status, answer.code) == (413, "too_long")
    assert desk.get().json["total_peers"] == 0


# -- whose it is -----------------------------------------------------------------------------------------------------


def test_leases_are_secret_and_different_for_everybody(desk: Desk) -> None:
    leases = {desk.lease(f"p{i}") for i in range(100)}
    assert len(leases) == 100
    listed = desk.get().body
    assert not any(lease.encode() in listed for lease in leases)


@pytest.mark.parametrize("lease", [None, "wrong", "0" * 32, "ü" * 16])
@pytest.mark.parametrize("client", ["10.0.0.1", "10.9.9.9"])
def test_naming_an_id_does_not_make_it_yours(desk: Desk, lease: str | None, client: str) -> None:
    mine = desk.lease("ann", channels=["x"])
    desk.ask("/channel", {"peer_id": "ann", "lease": mine, "channel": "x", "policy": "invited"})
    before = desk.get().body
    claim = {"peer_id": "ann"} if lease is None else {"peer_id": "ann", "lease": lease}
    for path, payload in [
        ("/submit-info", {"port": 6666, "v": 1}),
        ("/submit-info", {"port": 6666}),
        ("/submit-info", {"port": 9101, "channels": []}),
        ("/add-list", {"channel": "x"}),
        ("/add-list", {"channel": "y"}),
        ("/channel", {"channel": "x", "policy": "open"}),
        ("/leave", {}),
        ("/leave", {"channel": "x"}),
    ]:
        answer = desk.ask(path, {**claim, **payload}, client=client)
        assert (answer.status, answer.code) == (403, "not_yours"), path
        assert mine.encode() not in answer.body
    assert desk.get().body is before
    assert desk.registry.channels["x"].policy == "invited"


def test_the_lease_renews_from_anywhere(desk: Desk) -> None:
    lease = desk.lease("ann")
    answer = desk.submit("ann", client="10.9.9.9", lease=lease)
    assert (answer.status, answer.json["lease"], answer.json["observed_ip"]) == (200, lease, "10.9.9.9")
    assert desk.registry.count_from("10.0.0.1") == 0


def test_an_original_client_is_known_by_its_address(desk: Desk) -> None:
    assert desk.submit("old", v=None).status == 200
    assert desk.submit("old", v=None, channels=["x"]).status == 200
    assert desk.submit("old", v=None, client="10.0.0.2").status == 403
    assert desk.ask("/leave", {"peer_id": "old"}, client="10.0.0.2").status == 403
    assert desk.ask("/leave", {"peer_id": "old"}).status == 200


def test_an_address_that_a_proxy_may_have_hidden_proves_nothing(desk: Desk) -> None:
    desk.submit("old", v=None)
    assert desk.ask("/leave", {"peer_id": "old"}, forwarded=True).status == 403
    through = desk.ask("/submit-info", {"peer_id": "far", "port": 1}, forwarded=True)
    assert desk.ask("/leave", {"peer_id": "far"}).status == 403
    assert desk.ask("/leave", {"peer_id": "far", "lease": through.json["lease"]}, forwarded=True).status == 200


def test_an_original_registration_renewed_with_its_lease_and_a_version_needs_the_lease_from_then_on(desk: Desk) -> None:
    lease = desk.lease("old", v=None)
    assert desk.submit("old", v=1).status == 200  # by its address: stays an original
    assert desk.submit("old", v=None).status == 200
    desk.submit("old", lease=lease)
    assert desk.submit("old", v=None).status == 403


def test_a_lease_for_an_id_that_is_not_registered_registers_it_anew(desk: Desk) -> None:
    lease = desk.lease("ann", channels=["x"])
    restarted = Desk()
    answer = restarted.submit("ann", lease=lease, channels=["x"])
    assert (answer.status, answer.json["lease"]) == (200, lease)
    assert restarted.submit("ann", lease="0" * 32).status == 403


@pytest.mark.parametrize("lease", ["short", "x" * 129, "spaces are not fine", "ü" * 20])
def test_a_presented_lease_must_be_as_good_as_ours(desk: Desk, lease: str) -> None:
    answer = desk.submit("ann", lease=lease)
    assert (answer.status, answer.path) == (400, "$.lease")
    assert desk.ids() == []


def test_the_port_may_change_and_an_absent_username_stays(desk: Desk) -> None:
    lease = desk.lease("ann", username="Ann")
    desk.submit("ann", 9200, lease=lease)
    assert desk.get().json["peers"][0] == {
        "peer_id": "ann", "username": "Ann", "ip": "10.0.0.1", "port": 9200, "channels": []
    }  # fmt: skip
    assert desk.ask("/connect-peer", {"peer_id": "10.0.0.1:9200"}).status == 200
    assert desk.ask("/connect-peer", {"peer_id": "10.0.0.1:9101"}).status == 404


# -- time ------------------------------------------------------------------------------------------------------------


def test_dead_peers_do_not_stay_listed(desk: Desk) -> None:
    lease = desk.lease("alive", channels=["x"])
    desk.submit("dead", channels=["x", "gone"])
    for _ in range(3):
        desk.advance(30)
        desk.submit("alive", lease=lease)
    assert desk.get().json["channels"] == ["x"]
    assert desk.ids() == desk.ids("x") == ["alive"]
    assert desk.submit("dead").status == 200  # the id is free again


def test_reads_never_renew(desk: Desk) -> None:
    lease = desk.lease("ann")
    for _ in range(8):
        desk.advance(10)
        desk.get()
        desk.ask("/connect-peer", {"peer_id": "ann"})
    desk.ask("/add-list", {"peer_id": "ann", "lease": lease, "channel": "x"})
    assert desk.ids() == ["ann"]
    desk.advance(10)
    assert desk.ids() == []


def test_ids_keep_their_meaning_when_others_leave(desk: Desk) -> None:
    leases = {name: desk.lease(name, port=9000 + i) for i, name in enumerate(["a", "b", "c"])}
    desk.ask("/leave", {"peer_id": "a", "lease": leases["a"]})
    assert desk.ask("/connect-peer", {"peer_id": "b"}).json["port"] == 9001
    assert desk.ids() == ["b", "c"]
    desk.submit("a")
    assert desk.ids() == ["b", "c", "a"]


# -- finding ---------------------------------------------------------------------------------------------------------


def test_connect_peer_says_where_somebody_is(desk: Desk) -> None:
    desk.submit("ann", client="10.0.0.7", username="Ann")
    for payload in ({"peer_id": "ann"}, {"from": "bob", "to": "ann"}, {"from": None, "to": "ann", "peer_id": "bob"}):
        answer = desk.ask("/connect-peer", payload)
        assert answer.json == {
            "status": "success", "peer_id": "ann", "username": "Ann", "ip": "10.0.0.7", "port": 9101
        }  # fmt: skip
    assert desk.ask("/connect-peer", {"from": "ann", "to": "bob"}).status == 404
    assert desk.ask("/connect-peer", {"from": "ann"}).path == "$.peer_id"


def test_the_list_is_answered_at_once_and_with_one_object_until_something_changes(desk: Desk) -> None:
    lease = desk.lease("ann", channels=["x"])
    first, of_channel = desk.begin("/get-list", method="GET"), desk.begin("/get-list?channel=x", method="GET")
    desk.now += 5
    desk.submit("ann", lease=lease)
    desk.submit("ann", lease=lease, channels=["x"])
    assert desk.begin("/get-list", method="GET") is first
    assert desk.begin("/get-list?channel=x", method="GET") is of_channel
    desk.submit("bob")
    assert desk.begin("/get-list", method="GET") is not first
    assert desk.begin("/get-list?channel=x", method="GET") is of_channel
    assert not is_async(Endpoints.get_list)


def test_an_empty_body_asks_for_the_whole_list(desk: Desk) -> None:
    desk.submit("ann", channels=["x"])
    desk.submit("bob")
    for body in (b"", b" \r\n", b"{}", b'{"channel":null}', b'{"channel":""}'):
        assert desk.ask("/get-list", body=body).json["total_peers"] == 2
    for answer in (desk.ask("/get-list", {"channel": "x"}), desk.get("/get-list/?channel=x")):
        assert [peer["peer_id"] for peer in answer.json["peers"]] == ["ann"]
        assert (answer.json["channels"], answer.json["total_peers"]) == (["x"], 1)
    assert desk.get("/get-list?channel=none").json["peers"] == []
