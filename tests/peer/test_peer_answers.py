"""What a tracker answers: what is taken, what is left out, and what is nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peer.trackers.answers import MAX_PEERS, Done, Joined, Nonsense, Registered, decode, decode_list, decode_refusal

REGISTERED = {
    "status": "success", "peer_id": "a", "observed_ip": "10.0.0.1", "interval": 27.4, "ttl": 90.0, "lease": "x" * 32,
    "total_peers": 1, "channels": ["lobby"], "channel_keys": {"lobby": "0" * 64},
}  # fmt: skip
JOINED = {"status": "success", "channel": "lobby", "members": ["a"], "member_count": 1}
LISTED = {"peer_id": "a", "username": "Ann", "ip": "10.0.0.1", "port": 9101, "channels": ["lobby"]}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_registration_is_read() -> None:
    answer = decode(Registered, encoded(REGISTERED))
    assert (answer.peer_id, answer.observed_ip, answer.interval) == ("a", "10.0.0.1", 27.4)
    assert (answer.channels, answer.channel_keys) == (("lobby",), {"lobby": "0" * 64})
    for ip in ("", "fe80::1", "::ffff:10.0.0.1"):
        assert decode(Registered, encoded({**REGISTERED, "observed_ip": ip})).observed_ip == ip


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "error"}, {"status": None}, {"peer_id": ""}, {"peer_id": "x" * 65}, {"peer_id": 7},
        {"observed_ip": "here"}, {"observed_ip": None}, {"observed_ip": "10.0.0.1:80"}, {"observed_ip": "1" * 10_000},
        {"interval": "30"}, {"interval": 0}, {"interval": -1}, {"interval": None}, {"ttl": 0}, {"ttl": []},
        {"lease": ""}, {"lease": "a b"}, {"lease": "x" * 129}, {"lease": "x\n"}, {"channels": "lobby"},
        {"channels": [7]}, {"channels": ["a\nb"]}, {"channels": ["\x1b[2J"]}, {"channels": ["x" * 65]},
        {"channel_keys": {"lobby": "short"}}, {"channel_keys": {"lobby": "0" * 64 + "\n"}},
        {"channel_keys": {"\x07": "0" * 64}}, {"channel_keys": []},
    ],
)  # fmt: skip
def test_a_registration_with_a_wrong_field_is_nonsense(wrong: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        decode(Registered, encoded({**REGISTERED, **wrong}))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b"7", b'{"status":"success"} {}']
)
def test_what_is_no_answer_is_nonsense(body: bytes) -> None:
    with pytest.raises(Nonsense):
        decode(Registered, body)
    with pytest.raises(Nonsense):
        decode_list(body)


def test_nonsense_names_the_field() -> None:
    with pytest.raises(Nonsense, match=r"Expected float, got str - at \$\.interval"):
        decode(Registered, encoded({**REGISTERED, "interval": "30"}))
    with pytest.raises(Nonsense, match="not JSON"):
        decode(Done, b"<html>")


def test_a_channel_is_read() -> None:
    plain = decode(Joined, encoded(JOINED))
    assert (plain.members, plain.channel_key, plain.invite) == (("a",), None, None)
    closed = decode(Joined, encoded({**JOINED, "policy": "invited", "channel_key": "0" * 64, "invite": "token"}))
    assert (closed.policy, closed.channel_key, closed.invite) == ("invited", "0" * 64, "token")
    for wrong in ({"members": ["\n"]}, {"channel_key": "0"}, {"invite": "x" * 300}, {"owner": "\x1b"}, {"members": 1}):
        with pytest.raises(Nonsense):
            decode(Joined, encoded({**JOINED, **wrong}))


def listing(*entries: object) -> bytes:
    return encoded({"status": "success", "peers": entries, "channels": [], "total_peers": len(entries)})


def test_a_list_is_read() -> None:
    peers, left_out = decode_list(listing(LISTED, {**LISTED, "peer_id": "b", "ip": "fd00::17"}))
    assert [(peer.peer_id, peer.username, peer.ip, peer.port, peer.channels) for peer in peers] == [
        ("a", "Ann", "10.0.0.1", 9101, ("lobby",)),
        ("b", "Ann", "fd00::17", 9101, ("lobby",)),
    ]
    assert left_out == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"peer_id": ""}, {"peer_id": "x" * 65}, {"peer_id": None}, {"peer_id": "a\x1b[2J"}, {"peer_id": "a\u202eb"},
        {"username": "x" * 65}, {"username": "a\nb"}, {"username": 1}, {"ip": "example.org"}, {"ip": ""}, {"ip": None},
        {"ip": "10.0.0.1:9101"}, {"ip": "0.0.0.0"}, {"ip": "::"}, {"ip": "224.0.0.1"}, {"ip": "fe80::1%eth0"},
        {"ip": 167772161}, {"port": 0}, {"port": 65536}, {"port": "9101"}, {"port": None}, {"port": True},
        {"channels": None}, {"channels": "lobby"}, {"channels": ["\n"]},
    ],
)  # fmt: skip
def test_an_entry_that_makes_no_sense_is_left_out_and_hides_nobody(wrong: dict[str, Any]) -> None:
    peers, left_out = decode_list(listing({**LISTED, **wrong}, {**LISTED, "peer_id": "b"}))
    assert ([peer.peer_id for peer in peers], left_out) == (["b"], 1)


def test_entries_that_are_no_objects_are_left_out() -> None:
    peers, left_out = decode_list(listing(7, None, [], "a", {}, LISTED))
    assert ([peer.peer_id for peer in peers], left_out) == (["a"], 5)


def test_of_a_list_so_many_are_taken_and_no_more() -> None:
    peers, left_out = decode_list(listing(*({**LISTED, "peer_id": f"p{n}"} for n in range(MAX_PEERS + 7))))
    assert (len(peers), left_out) == (MAX_PEERS, 7)


def test_a_refusal_has_its_reason_without_the_path() -> None:
    error = {"code": "not_invited", "message": "$.channel: class wants an invite", "path": "$.channel"}
    refused = decode_refusal(403, encoded({"status": "error", "error": error}))
    assert (str(refused), refused.status, refused.code, refused.path) == (
        "class wants an invite", 403, "not_invited", "$.channel",
    )  # fmt: skip
    assert len(str(decode_refusal(403, encoded({"status": "error", "error": {"message": "x" * 9999}})))) == 300
    assert str(decode_refusal(403, encoded({"status": "error", "error": {"message": ""}}))) == "status 403"


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{}", b'{"status":"error","error":"no"}'])
def test_a_refusal_without_a_reason_is_nonsense(body: bytes) -> None:
    with pytest.raises(Nonsense, match="status 500 without a reason: is it a tracker, and HTTP"):
        decode_refusal(500, body)
    with pytest.raises(Nonsense, match="status 302 sends us elsewhere"):
        decode_refusal(302, body)
