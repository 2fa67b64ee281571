"""Asking servers now and then whether they are well, for hosts that name a `check_path`."""

from __future__ import annotations

import re

from reactor import Client, Plugin, ReactorError

from .options import Options
from .upstream import Upstream


def parse_statuses(text: str) -> frozenset[int]:
    """`200-299, 401` -> all of these; ValueError for what is no such list."""
    found: set[int] = set()
    for item in text.split(","):
        match = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", item.strip())
        if match is None:
            raise ValueError(f"is a list of statuses, such as 200-299, 401; not {text!r}")
        first, last = match.groups()
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


class Check:
    """Of the servers of one host; a good answer has one of `statuses`."""

    def __init__(
        self, plugin: Plugin, host: str, upstreams: list[Upstream], options: Options, statuses: frozenset[int]
    ) -> None:
        self._plugin = plugin
        self._host = host
        self._upstreams = upstreams
        self._options = options
        self._statuses = statuses

    async def run(self) -> None:
        """Ask each once, all at the same time."""
        for task in [self._plugin.spawn(self._ask(upstream)) for upstream in self._upstreams]:
            await task

    async def _ask(self, upstream: Upstream) -> None:
        before = upstream.health.state
        upstream.health.checked(await self._is_good(self._plugin.http, upstream))
        after = upstream.health.state
        if after is not before:
            self._plugin.log.warning(f"proxy: the server {upstream.address} is {after.value} now, its checks say")

    async def _is_good(self, client: Client, upstream: Upstream) -> bool:
        url, options = f"http://{upstream.address}{self._options.check_path}", self._options
        try:
            answer = await client.request("GET", url, headers=[("Host", self._host)], timeout=options.check_timeout)
        except (ReactorError, TimeoutError):
            return False
        return answer.status in self._statuses
