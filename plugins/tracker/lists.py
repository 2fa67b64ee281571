"""The answers of `/get-list`, encoded once per change.

A Response is immutable, so the same object answers everybody until the registry's version moves; then it is one `join`
of what the registry has encoded already. Each channel has its own version: what happens elsewhere leaves its answer
alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from reactor import Response

from .channels import Channel
from .messages import encode
from .registry import Registry

JSON: Final = "application/json"
FRESH: Final = (("Cache-Control", "no-store"),)

# A channel's answer is at most 128 entries, some 15 KB; the oldest ones go first.
MAX_REMEMBERED: Final = 512


class Lists:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._version = -1
        self._all = _answer((), (), 0)
        self._nobody = self._all
        self._channels: dict[str, tuple[int, Response]] = {}

    def everybody(self) -> Response:
        registry = self._registry
        if self._version != registry.version:
            self._all = _answer(registry.encoded.values(), registry.channels, len(registry.peers))
            self._version = registry.version
        return self._all

    def channel(self, name: str) -> Response:
        """Its members in the order they joined; nobody if there is no such channel."""
        channel = self._registry.channels.get(name)
        if channel is None:
            return self._nobody
        version, response = self._channels.get(name, (-1, self._nobody))
        if version != channel.version:
            response = self._encoded(channel)
            self._remember(channel, response)
        return response

    def _encoded(self, channel: Channel) -> Response:
        encoded = self._registry.encoded
        return _answer([encoded[peer_id] for peer_id in channel.members], (channel.name,), len(channel.members))

    def _remember(self, channel: Channel, response: Response) -> None:
        if channel.name not in self._channels and len(self._channels) >= MAX_REMEMBERED:
            del self._channels[next(iter(self._channels))]
        self._channels[channel.name] = channel.version, response


def _answer(entries: Iterable[bytes], channels: Collection[str], total: int) -> Response:
    # Joined and not formatted: `%b` is several times slower at a megabyte.
    tail = b'],"channels":%b,"total_peers":%d}' % (encode(list(channels)), total)
    body = b"".join((b'{"status":"success","peers":[', b",".join(entries), tail))
    return Response(body, headers=FRESH, content_type=JSON)
