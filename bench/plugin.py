"""What the reactor serves for a comparison beside its own plugins: `/ok`, `/body` and `/count`.

`/count` says how many requests the server has begun before this one; what a load generator claims is checked with it.
"""

from __future__ import annotations

import gc
from functools import cache

from bench.answers import OK
from reactor import Plugin, Request, Response
from reactor.http.server import HTTPServer

_OK = Response(OK.decode())


def setup(plugin: Plugin, options: None) -> None:
    plugin.route("GET", "/ok", lambda request: _OK)
    plugin.route("POST", "/body", count_body, max_body=0)
    plugin.route("GET", "/count", lambda request: Response(str(server().requests - 1)))


async def count_body(request: Request) -> Response:
    size = 0
    async for piece in request.chunks():
        size += len(piece)
    return Response(str(size))


@cache
def server() -> HTTPServer:
    """Plugins are given no server, and counting here would cost what is to be measured: so we look for the one."""
    return next(thing for thing in gc.get_objects() if isinstance(thing, HTTPServer))
