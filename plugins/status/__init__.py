"""How the server is: `/healthz` (alive), `/readyz` (send requests here?), `/metrics` (numbers for Prometheus).

    [plugin:status]
    listen = 127.0.0.1:9100
    allow = 127.0.0.1, ::1, 10.0.0.0/8

With `listen` it has an address of its own, where it answers even when the server is full, while it starts and while it
stops. What each number means: docs/status.md.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import msgspec

from reactor import ConfigError, HTTPError, OwnListener, Plugin, Request, Response

# Nobody is to remember how it was.
_FRESH: Final = (("Cache-Control", "no-store"),)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    listen: str = ""  # an address of its own, such as 127.0.0.1:9100; empty: at the addresses of the server
    allow: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1"])  # networks that see /metrics


class Allowed:
    """Who may see what is nobody's business."""

    def __init__(self, networks: list[IPv4Network | IPv6Network]) -> None:
        self._networks = networks
        self._covers = lru_cache(1024)(self._look_up)

    def __call__(self, request: Request) -> bool:
        """Whoever the request claims to be from has to be allowed as well: a proxy on this machine that nobody has
        declared (`trusted_proxies`) would let everybody in.
        """
        claimed = request.claimed_clients if request.forwarded else []
        return all(self._covers(address) for address in (request.client, *claimed))

    def _look_up(self, address: str) -> bool:
        try:
            number = ip_address(address)
        except ValueError:
            return False
        if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
            number = number.ipv4_mapped
        return any(number in network for network in self._networks if network.version == number.version)


class Status:
    """The three answers."""

    def __init__(self, plugin: Plugin, allowed: Allowed) -> None:
        self._plugin = plugin
        self._allowed = allowed
        self._metrics = plugin.metrics
        self._alive = Response("ok\n", headers=_FRESH)
        self._ready = Response("ready\n", headers=_FRESH)

    def healthz(self, request: Request) -> Response:
        """200: the loop turns, or nobody would have answered."""
        return self._alive

    def readyz(self, request: Request) -> Response:
        """200, or 503 and, for who is allowed to know, why."""
        troubles = self._plugin.server_troubles
        if not troubles:
            return self._ready
        words = troubles if self._allowed(request) else []
        return Response("".join(f"{line}\n" for line in ["not ready", *words]), 503, _FRESH)

    def metrics(self, request: Request) -> Response:
        """Everything that is counted."""
        if not self._allowed(request):
            raise HTTPError(403, "the numbers are shown to the networks in `allow` only")
        return Response(self._metrics.text().encode(), headers=_FRESH, content_type=self._metrics.content_type)


def setup(plugin: Plugin, options: Options) -> None:
    status = Status(plugin, Allowed(_networks(options.allow)))
    plugin.metrics.count_requests()
    where: Plugin | OwnListener = plugin
    if options.listen:
        where = listener = _own_listener(plugin, options.listen)
        plugin.on_start(lambda: plugin.log.say(f"Status on http://{listener.address}/readyz and /metrics"))
    where.route("GET", "/healthz", status.healthz)
    where.route("GET", "/readyz", status.readyz)
    where.route("GET", "/metrics", status.metrics)


def _own_listener(plugin: Plugin, address: str) -> OwnListener:
    try:
        return plugin.own_listener(address)
    except ConfigError as error:
        raise ConfigError(error.message, key="listen") from None


def _networks(texts: list[str]) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"is a list of networks, such as 10.0.0.0/8: {error}", key="allow") from None
