"""What other plugins may know of the proxy: `plugin.service("proxy")`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from .group import Group
from .upstream import Counts, Upstream


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
