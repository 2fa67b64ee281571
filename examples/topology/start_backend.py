"""A backend: the site behind the login. Those with one `--state-dir` know each other's accounts and sessions."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the reactor of this clone, installed or not

from collections.abc import Awaitable, Callable

from examples.topology.common import ROOT, parser, run
from reactor import Plugin, Request, Response

SECTIONS = f"""
[plugin:auth]
index = {ROOT}/www/index.html
[plugin:static]
mount =
    /assets  {ROOT}/www/assets
    /        {ROOT}/www  guard=login
[plugin:sign]
"""


class Sign:
    """Says in each answer which backend it is from, for who looks at it through the proxy."""

    def setup(self, plugin: Plugin, options: None) -> None:
        async def sign(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
            return (await handler(request)).with_headers(("X-Backend", str(plugin.addresses[0])))

        plugin.middleware(sign)


if __name__ == "__main__":
    run(parser("A backend: the site behind the login.", 9000).parse_args(), SECTIONS, {"sign": Sign()})
