"""The registry as bytes, for a process that takes the place of this one: all of it, secrets included.

Times travel as ages, because the clock of another process may begin elsewhere. Members of a channel are in the order in
which they joined, which is what makes the first of them its owner.
"""

from __future__ import annotations

import msgspec

from .channels import Channel, Invite, Policy
from .registry import Entry, Peer, Registry


class _Peer(msgspec.Struct):
    entry: Entry
    client: str
    lease: str
    original: bool
    silent: float  # seconds


class _Channel(msgspec.Struct):
    name: str
    members: list[str]
    policy: Policy
    password: str | None
    key: str | None
    invites: list[tuple[bytes, int, float]]  # digest, uses, seconds left


class _Registry(msgspec.Struct):
    peers: list[_Peer]
    channels: list[_Channel]


def dump(registry: Registry, now: float) -> bytes:
    """What `load` makes the same registry of. `now` is on the clock that the registry was told."""
    peers = [
        _Peer(peer.entry, peer.client, peer.lease, peer.original, now - registry.renewed_at(peer))
        for peer in registry.peers.values()
    ]
    channels = [
        _Channel(
            channel.name, list(channel.members), channel.policy, channel.password, channel.key,
            [(digest, invite.uses, invite.until - now) for digest, invite in channel.invites.items()],
        )
        for channel in registry.channels.values()
    ]  # fmt: skip
    return msgspec.msgpack.encode(_Registry(peers, channels))


def load(registry: Registry, data: bytes, now: float) -> None:
    """Into a registry that is empty. msgspec.ValidationError if it is another version's."""
    found = msgspec.msgpack.decode(data, type=_Registry)
    for peer in found.peers:
        registry.add(Peer(peer.entry, peer.client, peer.lease, peer.original), now)
    for peer in sorted(found.peers, key=lambda peer: -peer.silent):  # the longest silent first, as it keeps them
        registry.renew(registry.peers[peer.entry.peer_id], now - peer.silent)
    for channel in found.channels:
        restored = registry.channels.pop(channel.name)  # and back, in the old order
        _restore(restored, channel, now)
        registry.channels[channel.name] = restored


def _restore(channel: Channel, found: _Channel, now: float) -> None:
    channel.members = dict.fromkeys(found.members)
    channel.policy, channel.password, channel.key = found.policy, found.password, found.key
    channel.invites = {digest: Invite(uses, now + left) for digest, uses, left in found.invites}
