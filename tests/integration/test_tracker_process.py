"""The tracker with curl, word for word as docs/tracker-api.md has it, and the defects that the originals had."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server import Answer, Server, connected, curl, write_config

LEASE = "0123456789abcdef-made-by-a-peer"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = write_config(tmp_path_factory.mktemp("tracker") / "config.ini", {"auth": "", "static": ""})
    with Server(config) as server:
        yield server


@pytest.fixture(autouse=True)
def nobody_is_registered(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves the shared tracker as empty as it found it."""
    yield
    if "shared" in request.fixturenames:
        server: Server = request.getfixturevalue("shared")
        for peer in curl(server.url + "/get-list").json["peers"]:
            post(server, "/leave", peer_id=peer["peer_id"], lease=LEASE)


def post(server: Server, path: str, **fields: Any) -> Answer:
    return curl("-X", "POST", server.url + path, "-d", json.dumps(fields))


def register(server: Server, peer_id: str, **fields: Any) -> Answer:
    body = {"peer_id": peer_id, "ip": "192.168.1.3", "port": 9101, "lease": LEASE, "v": 1, **fields}
    return curl("-X", "PUT", server.url + "/submit-info", "-d", json.dumps(body))


def ids(server: Server, channel: str = "") -> list[str]:
    answer = curl(server.url + "/get-list" + (f"?channel={channel}" if channel else ""))
    return [peer["peer_id"] for peer in answer.json["peers"]]


# -- as the documentation has it -------------------------------------------------------------------------------------


def test_a_peer_registers_is_listed_joins_is_found_and_leaves(shared: Server) -> None:
    url = shared.url
    sent = '{"peer_id":"65113e1d","ip":"192.168.1.3","port":9101,"username":"Ann","v":1}'
    registered = curl("-X", "PUT", url + "/submit-info", "-d", sent).json
    lease = registered.pop("lease")
    assert 24 <= registered.pop("interval") <= 36
    assert registered == {
        "status": "success", "peer_id": "65113e1d", "observed_ip": "127.0.0.1", "ttl": 90.0, "total_peers": 1,
        "channels": [],
    }  # fmt: skip
    shared.wait_for("[ChatApp] Peer registered: 65113e1d at 192.168.1.3:9101 (total peers: 1)")
    ann = {"peer_id": "65113e1d", "username": "Ann", "ip": "192.168.1.3", "port": 9101, "channels": []}
    assert curl(url + "/get-list").json == {"status": "success", "peers": [ann], "channels": [], "total_peers": 1}

    joined = post(shared, "/add-list", peer_id="65113e1d", lease=lease, channel="lobby").json
    assert (joined["members"], joined["member_count"]) == (["65113e1d"], 1)
    lobby = curl(url + "/get-list?channel=lobby").json
    assert lobby["peers"] == [{**ann, "channels": ["lobby"]}]
    found = post(shared, "/connect-peer", peer_id="65113e1d").json
    assert (found["ip"], found["port"]) == ("192.168.1.3", 9101)
    left = post(shared, "/leave", peer_id="65113e1d", lease=lease).json
    assert left == {"status": "success", "peer_id": "65113e1d", "channels": [], "total_peers": 0}
    assert ids(shared) == []


def test_every_path_works_with_a_slash_and_the_old_spelling(shared: Server) -> None:
    for path in ("/submit-info/", "/submit_info", "/submit_info/"):
        assert post(shared, path, peer_id="a", port=9101, lease=LEASE, v=1).status == 200
    assert curl(shared.url + "/get-list/").json["total_peers"] == 1
    assert post(shared, "/get-list/").json["total_peers"] == 1
    assert curl("-X", "POST", shared.url + "/get-list").json["total_peers"] == 1


def test_an_original_client_needs_no_id_no_lease_and_no_content_type(shared: Server) -> None:
    text = ("-H", "Content-Type: text/plain")
    first = curl("-X", "PUT", *text, "-d", '{"ip": "192.168.1.4", "port": 9102}', shared.url + "/submit-info").json
    assert re.fullmatch("[0-9a-f]{8}", first["peer_id"])
    again = curl("-X", "PUT", *text, "-d", '{"ip": "192.168.1.4", "port": 9102}', shared.url + "/submit-info").json
    assert again["peer_id"] == first["peer_id"]
    assert curl(*text, "-d", '{"peer_address": "192.168.1.4:9102"}', shared.url + "/leave").json["total_peers"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/submit-info", '{"peer_id": "a", "port": "9101"}', 400, "invalid"),
        ("PUT", "/submit-info", '{"peer_id": "a"', 400, "invalid"),
        ("PUT", "/submit-info", '{"peer_id": "%s", "port": 1}' % ("x" * 65), 413, "too_long"),
        ("POST", "/add-list", '{"peer_id": "nobody", "channel": "lobby"}', 404, "unknown_peer"),
        ("POST", "/connect-peer", '{"peer_id": "nobody"}', 404, "unknown_peer"),
        ("POST", "/leave", '{"peer_id": "nobody"}', 404, "unknown_peer"),
    ],
)
def test_a_failure_has_a_real_status_and_says_why(
    shared: Server, method: str, path: str, body: str, status: int, code: str
) -> None:
    answer = curl("-X", method, shared.url + path, "-d", body)
    assert (answer.status, answer.json["status"], answer.json["error"]["code"]) == (status, "error", code)
    assert ids(shared) == []


def test_what_a_peer_calls_itself_cannot_fake_a_line_of_the_output(shared: Server) -> None:
    assert register(shared, "evil\nDemo login: root").status == 400
    assert "Demo login" not in shared.stdout


# -- the defects of the originals ------------------------------------------------------------------------------------

LIST = b"GET /get-list HTTP/1.1\r\nHost: test\r\n\r\n"


def test_defect_1_a_request_in_many_packets_is_one_request(shared: Server) -> None:
    body = json.dumps({"peer_id": "slow", "port": 9101, "lease": LEASE, "v": 1}).encode()
    request = b"PUT /submit-info HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with connected(shared) as wire:
        for at in range(len(request)):
            wire.send(request[at : at + 1])
            time.sleep(0.001)  # each byte is a packet of its own, and its own `recv`
        assert json.loads(wire.read().body)["peer_id"] == "slow"


def test_defect_1_ten_requests_in_one_packet_are_ten_requests(shared: Server) -> None:
    requests = []
    for number in range(10):
        body = json.dumps({"peer_id": f"p{number}", "port": 9101 + number, "lease": LEASE, "v": 1}).encode()
        requests.append(b"PUT /submit-info HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with connected(shared) as wire:
        wire.send(b"".join(requests))
        assert [wire.read().json["total_peers"] for _ in requests] == list(range(1, 11))
    assert ids(shared) == [f"p{number}" for number in range(10)]


def test_defect_1_a_request_longer_than_a_kilobyte_arrives_whole(shared: Server) -> None:
    channels = [f"{number:02}" + "x" * 60 for number in range(32)]
    assert register(shared, "long", channels=channels).json["channels"] == channels


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "", None])
def test_defect_2_an_address_that_nobody_can_dial_becomes_the_observed_one(shared: Server, address: str | None) -> None:
    register(shared, "a", ip=address)
    assert post(shared, "/connect-peer", peer_id="a").json["ip"] == "127.0.0.1"


def test_defect_3_a_registration_cannot_be_taken_over_by_naming_it(shared: Server) -> None:
    register(shared, "ann")
    for path, fields in (
        ("/submit-info", {"port": 6666}), ("/add-list", {"channel": "lobby"}), ("/leave", {}),
    ):  # fmt: skip
        assert post(shared, path, peer_id="ann", **fields).json["error"]["code"] == "not_yours"
        assert post(shared, path, peer_id="ann", lease="x" * 20, **fields).json["error"]["code"] == "not_yours"
    assert post(shared, "/connect-peer", peer_id="ann").json["port"] == 9101


def test_defect_4_a_peer_that_stops_renewing_is_gone(tmp_path: Path) -> None:
    tracker = "ttl = 3s\ninterval = 1s"
    with Server(write_config(tmp_path / "config.ini", {"auth": "", "static": "", "tracker": tracker})) as server:
        register(server, "dead", channels=["lobby"])
        register(server, "alive", channels=["lobby"])
        deadline = time.monotonic() + 20.0
        while "dead" in ids(server):
            assert time.monotonic() < deadline
            register(server, "alive")
            time.sleep(0.1)  # reads never renew: the list above keeps nobody alive
        assert ids(server) == ids(server, "lobby") == ["alive"]


def test_defect_4_an_id_means_the_same_peer_after_a_restart(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", {"auth": "", "static": ""})
    with Server(config) as server:
        register(server, "ann", port=9101)
        lease = post(server, "/submit-info", peer_id="bob", port=9102, v=1).json["lease"]
        server.kill()
    with Server(config) as server:
        assert post(server, "/connect-peer", peer_id="bob").status == 404
        assert post(server, "/submit-info", peer_id="bob", port=9102, v=1, lease=lease).status == 200
        register(server, "ann", port=9101)
        assert post(server, "/connect-peer", peer_id="bob").json["port"] == 9102
        assert post(server, "/leave", peer_id="bob", lease=lease).status == 200


@pytest.mark.alone
def test_defect_6_the_list_and_the_lookup_dial_nobody(shared: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as peer:
        peer.settimeout(0.2)
        register(shared, "listening", ip="127.0.0.1", port=peer.getsockname()[1])
        for number in range(20):
            register(shared, f"dead-{number}", ip=f"192.0.2.{number + 1}")  # TEST-NET-1: a dial would hang
        started = time.monotonic()
        assert len(ids(shared)) == 21
        assert post(shared, "/connect-peer", peer_id="dead-3").status == 200
        assert post(shared, "/connect-peer", peer_id="listening").status == 200
        assert time.monotonic() - started < 5.0
        with pytest.raises(TimeoutError):
            peer.accept()


def test_defect_8_nobody_is_in_a_closed_channel_who_was_not_let_in(shared: Server) -> None:
    register(shared, "owner", channels=["class"])
    register(shared, "other", port=9102)
    closed = post(shared, "/channel", peer_id="owner", lease=LEASE, channel="class", policy="password", password="S")
    assert closed.status == 200
    assert re.fullmatch("[0-9a-f]{64}", closed.json["channel_key"])
    join = post(shared, "/add-list", peer_id="other", lease=LEASE, channel="class", password="wrong")
    assert (join.status, join.json["error"]["code"]) == (403, "wrong_password")
    renewal = register(shared, "other", port=9102, channels=["class"])
    assert (renewal.status, renewal.json["error"]["path"]) == (403, "$.channels[0]")
    assert ids(shared, "class") == ["owner"]
    assert post(shared, "/add-list", peer_id="other", lease=LEASE, channel="class", password="S").status == 200
    assert ids(shared, "class") == ["owner", "other"]
