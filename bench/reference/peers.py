"""Who is registered. One lock around all of it; the list is encoded once per change."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from random import uniform
from typing import Annotated, Any, Final

import msgspec

INTERVAL: Final = 30.0
LEAST_WAIT: Final = 1.0  # seconds between two searches for peers that have expired


class Submission(msgspec.Struct):
    """The body of `/submit-info`."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    peer_id: str | None = None
    peer_address: str | None = None
    username: str | None = None
    ip: str | None = None
    channels: list[str] | None = None
    lease: str | None = None
    v: int | None = None


class Entry(msgspec.Struct):
    """One item of `/get-list`."""

    peer_id: str
    username: str
    ip: str
    port: int
    channels: list[str]


class Registered(msgspec.Struct):
    """The answer of `/submit-info`."""

    status: str
    peer_id: str
    observed_ip: str
    interval: float
    ttl: float
    lease: str
    total_peers: int
    channels: list[str]


class NotYoursError(Exception):
    """The registration belongs to somebody else."""


class _Peer:
    __slots__ = ("client", "entry", "lease", "original", "renewed")

    def __init__(self, entry: Entry, client: str, lease: str, original: bool, now: float) -> None:
        self.entry, self.client, self.lease, self.original, self.renewed = entry, client, lease, original, now


_decoder = msgspec.json.Decoder(Submission)
_encode: Any = msgspec.json.Encoder().encode


class Peers:
    def __init__(self, ttl: float = 90.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._peers: dict[str, _Peer] = {}
        self._encoded = b""  # the list; empty when it has to be made anew
        self._looked = clock()

    def submit(self, body: bytes, client: str) -> bytes:
        """Register or renew; the answer as JSON. Raises msgspec.DecodeError for a bad body, and NotYoursError."""
        asked = _decoder.decode(body)
        peer_id = asked.peer_id or asked.peer_address or asked.username or secrets.token_hex(4)
        with self._lock:
            peer = self._peers.get(peer_id)
            if peer is None:
                peer = self._add(peer_id, asked, client)
            else:
                self._renew(peer, asked, client)
            total = len(self._peers)
        interval = round(INTERVAL * uniform(0.8, 1.2), 1)
        answer = Registered("success", peer_id, client, interval, self._ttl, peer.lease, total, peer.entry.channels)
        return bytes(_encode(answer))

    def _add(self, peer_id: str, asked: Submission, client: str) -> _Peer:
        ip = asked.ip if asked.ip not in (None, "", "0.0.0.0", "::") else client
        entry = Entry(peer_id, asked.username or peer_id, ip or client, asked.port, asked.channels or [])
        lease = asked.lease or secrets.token_hex(16)
        peer = self._peers[peer_id] = _Peer(entry, client, lease, asked.v is None, self._clock())
        self._encoded = b""
        return peer

    def _renew(self, peer: _Peer, asked: Submission, client: str) -> None:
        known = secrets.compare_digest(asked.lease.encode(), peer.lease.encode()) if asked.lease else None
        if known is False or (known is None and not (peer.original and peer.client == client)):
            raise NotYoursError(peer.entry.peer_id)
        old = peer.entry
        channels = old.channels if asked.channels is None else asked.channels
        ip = asked.ip if asked.ip not in (None, "", "0.0.0.0", "::") else client
        entry = Entry(old.peer_id, asked.username or old.username, ip or client, asked.port, channels)
        peer.renewed = self._clock()
        if entry != old:
            peer.entry = entry
            self._encoded = b""

    def listing(self, channel: str = "") -> bytes:
        """The answer of `/get-list`."""
        now = self._clock()
        encoded = self._encoded
        if encoded and not channel and now - self._looked < LEAST_WAIT:
            return encoded
        with self._lock:
            self._expire(now)
            entries = [peer.entry for peer in self._peers.values()]
            if channel:
                members = [entry for entry in entries if channel in entry.channels]
                return _listing(members, [channel] if members else [])
            if not self._encoded:
                names = dict.fromkeys(name for entry in entries for name in entry.channels)
                self._encoded = _listing(entries, list(names))
            return self._encoded

    def _expire(self, now: float) -> None:
        if now - self._looked < LEAST_WAIT:
            return
        self._looked = now
        silent = [peer_id for peer_id, peer in self._peers.items() if now - peer.renewed >= self._ttl]
        for peer_id in silent:
            del self._peers[peer_id]
            self._encoded = b""


def _listing(entries: list[Entry], channels: list[str]) -> bytes:
    answer = {"status": "success", "peers": entries, "channels": channels, "total_peers": len(entries)}
    return bytes(_encode(answer))
