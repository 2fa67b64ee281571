"""The registry's books agree after any sequence of operations; and the service that other plugins use."""

from __future__ import annotations

import json
from collections import Counter
from typing import NoReturn

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracker_desk import Desk

from plugins.tracker.service import Service
from reactor import HTTPError, Overloaded, network_of

NAMES = st.sampled_from(["a", "b", "c"])
CHANNELS = st.sampled_from(["x", "y"])
CLIENTS = st.sampled_from(["10.0.0.1", "10.0.0.2"])
STEPS = st.one_of(
    st.tuples(st.just("submit"), NAMES, CLIENTS, st.none() | st.lists(CHANNELS), st.integers(1, 3)),
    st.tuples(st.just("add"), NAMES, CHANNELS),
    st.tuples(st.just("leave"), NAMES, st.none() | CHANNELS),
    st.tuples(st.just("close"), NAMES, CHANNELS),
    st.tuples(st.just("remove"), NAMES, CHANNELS, NAMES),
    st.tuples(st.just("wait"), st.integers(1, 60)),
)


def check(desk: Desk) -> None:
    registry = desk.registry
    entries = [peer.entry for peer in registry.peers.values()]
    shown = {
        "status": "success",
        "peers": msgspec.to_builtins(entries),
        "channels": list(registry.channels),
        "total_peers": len(entries),
    }
    assert json.loads(desk.get().body) == json.loads(msgspec.json.encode(shown))
    for name, channel in registry.channels.items():
        assert channel.members
        assert set(channel.members) == {entry.peer_id for entry in entries if name in entry.channels}
        assert desk.ids(name) == list(channel.members)
        assert desk.get(f"/get-list?channel={name}").json["peers"] == [
            json.loads(registry.encoded[peer_id]) for peer_id in channel.members
        ]
        assert (channel.key is None) == (channel.policy == "open")
    assert {name for entry in entries for name in entry.channels} == set(registry.channels)
    assert registry._per_network == Counter(network_of(peer.client) for peer in registry.peers.values())
    assert set(registry._renewed) == set(registry.peers)
    assert list(registry._renewed.values()) == sorted(registry._renewed.values())
    for (ip, port), there in registry._by_address.items():
        assert set(there) == {entry.peer_id for entry in entries if (entry.ip, entry.port) == (ip, port)}
    assert all(desk.now - renewed < 90 for renewed in registry._renewed.values())


def act(desk: Desk, leases: dict[str, str], step: tuple[object, ...]) -> None:
    kind, *rest = step
    if kind == "wait":
        desk.advance(float(str(rest[0])))
        return
    name = str(rest[0])
    claim = {"peer_id": name, "lease": leases.get(name, "0" * 32)}
    if kind == "submit":
        payload = {**claim, "channels": rest[2], "port": rest[3], "v": 1}
        answer = desk.ask("/submit-info", payload, client=str(rest[1]))
        if answer.status == 200:
            leases[name] = answer.json["lease"]
    elif kind == "add":
        answer = desk.ask("/add-list", {**claim, "channel": rest[1]})
    elif kind == "leave":
        answer = desk.ask("/leave", {**claim, "channel": rest[1]})
    elif kind == "close":
        answer = desk.ask("/channel", {**claim, "channel": rest[1], "policy": "invited"})
    else:
        answer = desk.ask("/channel", {**claim, "channel": rest[1], "remove": rest[2]})
    assert answer.status in (200, 403, 404, 409, 429)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=20, max_size=50))
def test_the_books_agree_after_every_step(steps: list[tuple[object, ...]]) -> None:
    desk = Desk(max_members=2, max_per_address=2, max_channels_per_peer=2, max_channels=2)
    leases: dict[str, str] = {}
    for step in steps:
        act(desk, leases, step)
        check(desk)


def test_only_the_silent_are_looked_at() -> None:
    desk = Desk()
    for i in range(5):
        desk.submit(f"p{i}")
        desk.now += 10
    assert desk.registry.silent_since(desk.now - 31) == ["p0", "p1"]


def test_a_reload_keeps_the_peers_and_takes_the_new_options() -> None:
    desk = Desk()
    lease = desk.lease("ann", channels=["x"])
    desk.ids()
    after = Desk(desk.registry, ttl=600.0, max_peers=1)
    assert after.ids() == after.ids("x") == ["ann"]
    assert after.submit("ann", lease=lease).json["ttl"] == 600
    assert after.submit("bob").status == 429
    after.advance(300)
    assert after.ids() == ["ann"]


def test_the_service_does_without_http() -> None:
    desk = Desk(max_per_address=1)
    service = Service(desk.tracker)
    ann = service.register("ann", "10.0.0.5", 8000, username="Ann", channels=["x"])
    bob = service.register("bob", "10.0.0.5", 8000)
    assert service.register("ann", "10.0.0.5", 8000, lease=ann.lease).lease == ann.lease
    assert run(service.join("bob", bob.lease, "x")) == ["ann", "bob"]
    assert [entry.peer_id for entry in service.list("x")] == ["ann", "bob"]
    assert len(service.list()) == 2 and service.list("none") == []
    assert run(service.configure("ann", ann.lease, "x", policy="invited", remove="bob")) == ["ann"]
    found = service.find("ann")
    assert found is not None and (found.ip, found.channels) == ("10.0.0.5", ("x",))
    with pytest.raises(HTTPError) as caught:
        service.leave("ann", "wrong")
    assert caught.value.status == 403
    service.leave("ann", ann.lease)
    assert service.find("ann") is None
    assert desk.ask("/leave", {"peer_id": "bob"}, client="").status == 403


def test_more_passwords_than_can_be_hashed_are_a_refusal_like_the_others() -> None:
    def full(function: object, /, *args: object) -> NoReturn:
        raise Overloaded("the hash threads")

    desk = Desk()
    lease = desk.lease("ann", channels=["x"])
    desk.passwords._offload = full
    change = {"channel": "x", "policy": "password", "password": "p"}
    answer = desk.ask("/channel", {"peer_id": "ann", "lease": lease, **change})
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "busy", "1")


def run(coroutine: object) -> list[str]:
    """The members in the answer of a coroutine that does not wait."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as stop:
        return list(stop.value.members)
    raise AssertionError("it waited")
