"""Payloads that are wrong, and clients that want too much: refused with the reason, and nothing has changed."""

from __future__ import annotations

import json
import time

import pytest
from tracker_desk import Desk

PATHS = ["/submit-info", "/add-list", "/channel", "/leave", "/connect-peer"]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.submit("ann", channels=["x"], v=None)
    return desk


@pytest.mark.parametrize("path", [*PATHS, "/get-list"])
@pytest.mark.parametrize(
    "body",
    [
        b"x", b"{", b"[]", b"null", b"1", b'"a"', b"\xff\xfe{}", b'{"peer_id":"\xff","channel":"\xff"}', b"{}{}",
        b"[" * 60_000, b'{"a":' * 10_000, b'{"peer_id":' + b"[" * 50_000, b'{"channel":"\\ud800"}',
        b'{"peer_id":7,"channel":7,"port":1}', b'{"peer_id":NaN}', b"username=ann&password=x",
    ],
)  # fmt: skip
def test_what_is_not_the_payload_is_400_with_a_path(desk: Desk, path: str, body: bytes) -> None:
    before = desk.get().body
    answer = desk.ask(path, body=body)
    assert (answer.status, answer.json["status"], answer.code) == (400, "error", "invalid")
    assert answer.path.startswith("$")
    assert answer.json["error"]["message"].startswith(answer.path)
    assert desk.get().body is before


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/submit-info"])
def test_an_empty_payload_says_what_is_needed(desk: Desk, path: str) -> None:
    for body in (b"", b"{}", b'{"channel":"x"}', b'{"peer_id":null,"channel":"x"}'):
        answer = desk.ask(path, body=body)
        assert answer.status == 400
        assert answer.path in ("$", "$.channel", "$.peer_id")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "$.port"),
        ({"port": 0}, "$.port"),
        ({"port": 65536}, "$.port"),
        ({"port": -1}, "$.port"),
        ({"port": 9101.5}, "$.port"),
        ({"port": "9101"}, "$.port"),
        ({"port": True}, "$.port"),
        ({"port": 10**400}, "$.port"),
        ({"port": 1, "peer_id": 7}, "$.peer_id"),
        ({"port": 1, "ip": 7}, "$.ip"),
        ({"port": 1, "ip": "localhost"}, "$.ip"),
        ({"port": 1, "username": ["a"]}, "$.username"),
        ({"port": 1, "channels": "x"}, "$.channels"),
        ({"port": 1, "channels": ["x", 1]}, "$.channels[1]"),
        ({"port": 1, "channels": {"x": 1}}, "$.channels"),
        ({"port": 1, "lease": 1}, "$.lease"),
        ({"port": 1, "v": "1"}, "$.v"),
        ({"port": 1, "v": 0}, "$.v"),
        ({"port": 1, "v": True}, "$.v"),
    ],
)
def test_a_wrong_field_is_named(desk: Desk, fields: dict[str, object], path: str) -> None:
    before = desk.get().body
    answer = desk.ask("/submit-info", {"peer_id": "new", **fields})
    assert (answer.status, answer.path) == (400, path)
    assert desk.get().body is before


def test_unknown_fields_and_nulls_are_no_mistake(desk: Desk) -> None:
    payload = {"peer_id": "new", "port": 1, "ip": None, "channels": None, "lease": None, "status": {"a": [1]}}
    assert desk.ask("/submit-info", payload).status == 200


def test_a_large_payload_is_judged_quickly(desk: Desk) -> None:
    body = json.dumps({"peer_id": "new", "port": 1, "channels": [f"c{i}" for i in range(8000)]}).encode()
    start = time.process_time()
    answer = desk.ask("/submit-info", body=body)
    assert (answer.status, answer.code) == (409, "too_many_channels")
    assert time.process_time() - start < 0.5


def test_names_are_escaped_as_json_in_every_answer(desk: Desk) -> None:
    name = 'a"\\/<é😀'
    desk.submit(name, username=name, channels=[name])
    assert desk.get().json["peers"][1] == {
        "peer_id": name, "username": name, "ip": "10.0.0.1", "port": 9101, "channels": [name]
    }  # fmt: skip
    assert desk.get("/get-list?channel=a%22%5C%2F%3C%C3%A9%F0%9F%98%80").json["channels"] == [name]


def test_a_thousand_registrations_from_one_address_are_the_limit() -> None:
    desk = Desk()
    lease = desk.lease("p0")
    for i in range(1, 1000):
        desk.submit(f"p{i}")
    answer = desk.submit("one more")
    assert (answer.status, answer.code) == (429, "too_many_registrations")
    assert desk.submit("p0", lease=lease).status == 200  # who is there may renew
    assert desk.submit("one more", client="10.0.0.2").status == 200
    desk.ask("/leave", {"peer_id": "p0", "lease": lease})
    assert desk.submit("one more yet").status == 200


def test_the_ways_to_write_an_address_are_one_address() -> None:
    desk = Desk(max_per_address=1)
    assert desk.submit("a", client="10.0.0.1").status == 200
    assert desk.submit("b", client="::ffff:10.0.0.1").status == 429
    assert desk.submit("c", client="2001:db8::1").status == 200
    assert desk.submit("d", client="2001:db8:0:0::1").status == 429


def test_who_has_a_network_of_addresses_has_one() -> None:
    desk = Desk(max_per_address=2)
    lease = desk.lease("a", client="2001:db8:1:2::1")
    assert desk.submit("b", client="2001:db8:1:2::2").status == 200
    answer = desk.submit("c", client="2001:db8:1:2:ffff::3")
    assert (answer.status, answer.code) == (429, "too_many_registrations")
    assert desk.submit("c", client="2001:db8:1:3::1").status == 200
    moved = desk.submit("a", client="2001:db8:1:2::9", lease=lease)  # a new address of the same network, as IPv6 has it
    assert (moved.status, moved.json["observed_ip"]) == (200, "2001:db8:1:2::9")


def test_a_registration_does_not_move_to_a_full_address() -> None:
    desk = Desk(max_per_address=1)
    lease = desk.lease("a", client="10.0.0.1")
    desk.submit("b", client="10.0.0.2")
    assert desk.submit("a", client="10.0.0.2", lease=lease).status == 429
    assert desk.registry.peers["a"].client == "10.0.0.1"


def test_0_is_no_limit_for_an_address_and_all_peers_have_one() -> None:
    desk = Desk(max_per_address=0, max_peers=1500)
    for i in range(1500):
        assert desk.submit(f"p{i}").status == 200
    answer = desk.submit("one more")
    assert (answer.status, answer.code) == (429, "too_many_peers")
