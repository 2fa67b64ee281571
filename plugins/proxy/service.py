"""What others may know of the proxy: plugins by `plugin.service("proxy")`, and who watches by its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from reactor import Plugin

from .group import Group
from .health import RETURNING, UP
from .upstream import Counts, Upstream

# The metrics of each server: where the figure is, what it is called, and what that means.
METRICS: Final = (
    ("counts.requests", "requests_total", "Requests that were sent to a server."),
    ("counts.answers", "answers_total", "Answers of a server whose head has come."),
    ("counts.server_errors", "server_errors_total", "Those of them with 5xx."),
    ("counts.seconds", "answer_seconds_total", "Time from the requests to the heads of these answers."),
    ("counts.failures", "failures_total", "Requests without an answer, or with a part of one."),
    ("counts.timeouts", "timeouts_total", "Those of them that took too long."),
    ("counts.retries", "retries_total", "Requests that were sent again after this server had failed."),
    ("counts.dials", "dials_total", "Connections to a server that were tried."),
    ("counts.tunnels", "tunnels_total", "WebSockets."),
    ("counts.sent", "sent_bytes_total", "Bytes of the requests' bodies."),
    ("counts.received", "received_bytes_total", "Bytes of the answers' bodies."),
    ("is_up", "up", "Whether a server is well: 0 while it has failed too often, or its checks fail."),
    ("active", "active", "Requests and WebSockets at a server."),
    ("connections", "connections", "Connections to a server."),
    ("idle", "idle_connections", "Those of them without a request."),
    ("waiting", "waiting", "Requests that wait for a connection."),
)


class Figures(NamedTuple):
    """Of one server. `counts` are since the program began; `state` is up, aside, returning or down."""

    address: str
    hosts: tuple[str, ...]  # that it is behind
    state: str
    active: int  # requests, and tunnels, at it just now
    connections: int
    idle: int
    waiting: int  # requests that wait for a connection
    counts: Counts

    @property
    def is_up(self) -> bool:
        """Whether it is thought well, if perhaps not yet given its full share."""
        return self.state in (UP.value, RETURNING.value)


class Service:
    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def servers(self) -> list[Figures]:
        """Each server once, in the order of the hosts."""
        hosts: dict[str, tuple[Upstream, list[str]]] = {}
        for group in self._groups:
            for member in group.members:
                hosts.setdefault(member.name, (member.upstream, []))[1].append(group.part.host[0])
        return [_figures(name, upstream, tuple(names)) for name, (upstream, names) in hosts.items()]


def _figures(name: str, upstream: Upstream, hosts: tuple[str, ...]) -> Figures:
    return Figures(
        name, hosts, upstream.health.state.value, upstream.active, upstream.open, len(upstream.idle), upstream.waiting,
        msgspec.structs.replace(upstream.counts),
    )  # fmt: skip


def declare_metrics(plugin: Plugin, service: Service) -> None:
    """Those of all servers, by their addresses."""
    for path, name, words in METRICS:
        declare = plugin.metrics.totals if name.endswith("_total") else plugin.metrics.gauges
        declare(name, words, _reader(service, attrgetter(path)), "server")


def _reader(service: Service, figure: Callable[[Figures], float]) -> Callable[[], dict[str, float]]:
    return lambda: {one.address: figure(one) for one in service.servers()}
