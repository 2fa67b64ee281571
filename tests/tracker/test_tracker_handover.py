"""The registry as bytes: another process has the same one afterwards, and its clock begins elsewhere."""

from __future__ import annotations

import msgspec
import pytest

from plugins.tracker import handover
from plugins.tracker.channels import Invite
from plugins.tracker.registry import Entry, Peer, Registry


def entry(peer_id: str, *channels: str) -> Entry:
    return Entry(peer_id, peer_id.upper(), "10.0.0.1", 9101, channels)


def full() -> Registry:
    registry = Registry()
    registry.add(Peer(entry("a", "open", "closed"), "10.0.0.1", "lease-of-a", original=False), 100.0)
    registry.add(Peer(entry("b", "closed"), "10.0.0.2", "lease-of-b", original=True), 101.0)
    registry.add(Peer(entry("c"), "", "lease-of-c", original=False), 102.0)
    registry.change(registry.peers["b"], entry("b", "closed", "open"))
    registry.change(registry.peers["a"], entry("a", "open"))
    registry.change(registry.peers["a"], entry("a", "open", "closed"))  # joined last: no longer the owner
    registry.renew(registry.peers["a"], 103.0)
    registry.channels["closed"].set_policy("password", "$argon2id$...")
    registry.channels["closed"].invites[b"digest"] = Invite(2, 160.0)
    return registry


def passed_on(registry: Registry, now: float, then: float) -> Registry:
    new = Registry()
    handover.load(new, handover.dump(registry, now), then)
    return new


def test_everything_of_a_registry_is_there_again() -> None:
    old = full()
    new = passed_on(old, 110.0, 110.0)
    assert new.encoded == old.encoded
    assert list(new.encoded) == list(old.encoded)
    assert list(new.channels) == list(old.channels)
    for name, channel in old.channels.items():
        restored = new.channels[name]
        assert list(restored.members) == list(channel.members)
        assert restored.owner == channel.owner
        assert (restored.policy, restored.password, restored.key) == (channel.policy, channel.password, channel.key)
        assert restored.invites == channel.invites
    for peer_id, peer in old.peers.items():
        other = new.peers[peer_id]
        assert (other.client, other.lease, other.original) == (peer.client, peer.lease, peer.original)
        assert new.count_from(peer.client) == old.count_from(peer.client)
    assert [peer.peer_id for peer in new.at("10.0.0.1", 9101)] == [peer.peer_id for peer in old.at("10.0.0.1", 9101)]


def test_silence_goes_on_from_where_it_was_on_another_clock() -> None:
    new = passed_on(full(), 110.0, 5.0)
    assert new.silent_since(-4.0) == ["b"]  # silent for 9 s
    assert new.silent_since(-2.0) == ["b", "c", "a"]
    assert new.channels["closed"].invites[b"digest"].until == 55.0


def test_a_registry_that_was_handed_on_keeps_its_books() -> None:
    new = passed_on(full(), 110.0, 110.0)
    for peer in list(new.peers.values()):
        new.remove(peer)
    assert (new.peers, new.channels, new.encoded, new._per_network, new._by_address) == ({}, {}, {}, {}, {})
    assert not new._renewed


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x81\xa5peers\x01", b"\x93garbage"])
def test_what_is_no_registry_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        handover.load(Registry(), data, 0.0)
