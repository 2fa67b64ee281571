"""aiohttp on uvloop: `python -m bench.competitors.aiohttp_app PORT`."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

from bench.answers import JSON, LIST, OK, TEXT


async def ok(request: web.Request) -> web.Response:
    return web.Response(body=OK, headers={"Content-Type": TEXT})


async def get_list(request: web.Request) -> web.Response:
    return web.Response(body=LIST, headers={"Content-Type": JSON})


def main(port: int) -> None:
    application = web.Application()
    application.router.add_get("/ok", ok)
    application.router.add_get("/get-list", get_list)
    web.run_app(
        application, host="127.0.0.1", port=port, access_log=None, print=None, keepalive_timeout=3600, backlog=4096,
        loop=uvloop.new_event_loop(),
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]))
