"""Who is registered and who is in which channel: plain data that keeps its own books.

Nothing here knows a rule, a limit or a clock; times are passed in. What it promises is that its tables agree: a peer
is a member of exactly the channels its entry names, a channel has at least one member, the counts per network are
exact, and `encoded` holds the JSON of every entry in the order of registration. So the list of 10,000 peers is
one `join` away, and a change costs the encoding of one entry.

`version` grows with every change that `/get-list` would show, and with no other: a renewal that says nothing new
leaves it alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from reactor import network_of

from .channels import Channel

_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True):
    """What everybody may know of a peer: one item of `/get-list`."""

    peer_id: str
    username: str
    ip: str
    port: int
    channels: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Peer:
    """An entry with what only the tracker knows: whose it is."""

    entry: Entry
    client: str  # the address it was registered from; "" if from inside this process
    lease: str
    original: bool  # registered without a protocol version: may be changed from `client` without its lease

    @property
    def peer_id(self) -> str:
        return self.entry.peer_id


class Registry:
    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.channels: dict[str, Channel] = {}
        self.encoded: dict[str, bytes] = {}
        self.version = 0
        self._per_network: dict[str, int] = {}
        self._by_address: dict[tuple[str, int], dict[str, None]] = {}
        self._renewed: OrderedDict[str, float] = OrderedDict()  # the longest silent first

    # -- questions ---------------------------------------------------------------------------------------------------

    def at(self, ip: str, port: int) -> list[Peer]:
        """Those who say that they listen there, the first to say so first."""
        return [self.peers[peer_id] for peer_id in self._by_address.get((ip, port), ())]

    def count_from(self, network: str) -> int:
        return self._per_network.get(network, 0)

    def renewed_at(self, peer: Peer) -> float:
        return self._renewed[peer.peer_id]

    def silent_since(self, time: float) -> list[str]:
        """The ids last renewed at `time` or before. Looks at those and at one more."""
        silent = []
        for peer_id, renewed in self._renewed.items():
            if renewed > time:
                break
            silent.append(peer_id)
        return silent

    # -- changes -----------------------------------------------------------------------------------------------------

    def add(self, peer: Peer, now: float) -> None:
        """The id must be free."""
        entry = peer.entry
        self.peers[entry.peer_id] = peer
        self._renewed[entry.peer_id] = now
        self._count(peer.client, 1)
        self._index(entry)
        self.encoded[entry.peer_id] = _encode(entry)
        self._enter(entry.peer_id, entry.channels)
        self._changed(entry.channels)

    def renew(self, peer: Peer, now: float) -> None:
        self._renewed[peer.peer_id] = now
        self._renewed.move_to_end(peer.peer_id)

    def move(self, peer: Peer, client: str) -> None:
        """From now on the registration comes from, and counts for, another address."""
        if client != peer.client:
            self._count(peer.client, -1)
            self._count(client, 1)
            peer.client = client

    def change(self, peer: Peer, entry: Entry) -> None:
        """Show `entry`, which has the same id, instead. Enters and leaves channels accordingly."""
        old = peer.entry
        if entry == old:
            return
        peer.entry = entry
        if (old.ip, old.port) != (entry.ip, entry.port):
            self._unindex(old)
            self._index(entry)
        self.encoded[entry.peer_id] = _encode(entry)
        left = [name for name in old.channels if name not in entry.channels]
        self._exit(entry.peer_id, left)
        self._enter(entry.peer_id, [name for name in entry.channels if name not in old.channels])
        self._changed([*left, *entry.channels])

    def remove(self, peer: Peer) -> None:
        entry = peer.entry
        del self.peers[entry.peer_id], self._renewed[entry.peer_id], self.encoded[entry.peer_id]
        self._count(peer.client, -1)
        self._unindex(entry)
        self._exit(entry.peer_id, entry.channels)
        self._changed(entry.channels)

    # -- the books ---------------------------------------------------------------------------------------------------

    def _changed(self, names: Iterable[str]) -> None:
        self.version += 1
        for name in names:
            if name in self.channels:
                self.channels[name].version = self.version

    def _enter(self, peer_id: str, names: Iterable[str]) -> None:
        for name in names:
            channel = self.channels.get(name)
            if channel is None:
                channel = self.channels[name] = Channel(name)
            channel.members[peer_id] = None

    def _exit(self, peer_id: str, names: Iterable[str]) -> None:
        for name in names:
            members = self.channels[name].members
            del members[peer_id]
            if not members:
                del self.channels[name]

    def _index(self, entry: Entry) -> None:
        self._by_address.setdefault((entry.ip, entry.port), {})[entry.peer_id] = None

    def _unindex(self, entry: Entry) -> None:
        there = self._by_address[entry.ip, entry.port]
        del there[entry.peer_id]
        if not there:
            del self._by_address[entry.ip, entry.port]

    def _count(self, client: str, step: int) -> None:
        network = network_of(client)
        count = self._per_network.get(network, 0) + step
        if count:
            self._per_network[network] = count
        else:
            del self._per_network[network]
