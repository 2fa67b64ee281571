"""A proxy as one writes it with aiohttp: its server in front, its client behind, bodies streamed, on uvloop."""

from __future__ import annotations

import sys

import aiohttp
import uvloop
from aiohttp import web

_DROPPED = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "host"}


def make_app(behind: int) -> web.Application:
    async def session(app: web.Application):  # type: ignore[no-untyped-def]
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        app["session"] = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        yield
        await app["session"].close()

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        headers["X-Forwarded-For"] = request.remote or ""
        headers["Host"] = request.host
        url = f"http://127.0.0.1:{behind}{request.path_qs}"
        body = request.content if request.body_exists else None
        async with request.app["session"].request(request.method, url, headers=headers, data=body) as answer:
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            if answer.content_length is not None and answer.content_length <= 65536:
                return web.Response(status=answer.status, headers=passed, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=passed)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    app = web.Application(client_max_size=0)
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(make_app(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
