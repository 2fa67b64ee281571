"""The servers that are measured, each as `python -m bench.websockets.servers NAME PORT`.

All do the same: who opens `/echo` gets each message back, who opens `/room` is in the room, and each message of who
opens `/say` goes to everybody in the room, and then back to who has said it. None compresses, as the others would by
themselves; and none asks the silent whether they are there, as the far ends answer nothing.
"""

from __future__ import annotations

import asyncio
import base64
import select
import socket
import sys
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final

BACKLOG: Final = 4096


def serve_reactor(port: int) -> None:
    from reactor import Address, Reactor, WebSocket, broadcast
    from reactor.core.listener import bind
    from reactor.http.router import Route, Router
    from reactor.http.server import HTTPServer, Settings, Site
    from reactor.http.upgrade import WebSocketHandler
    from reactor.http.wsconnection import SocketSettings

    room: dict[WebSocket, None] = {}  # in the order they came, which is kinder to caches than a set

    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            ws.send(message)

    async def sit(ws: WebSocket) -> None:
        room[ws] = None
        async for _ in ws:
            pass
        room.pop(ws, None)

    async def say(ws: WebSocket) -> None:
        async for message in ws:
            broadcast(room, message)
            ws.send(message)

    router, reactor, address = Router(), Reactor(), Address("127.0.0.1", port)
    for path, handler in (("/echo", echo), ("/room", sit), ("/say", say)):
        router.add(Route(("GET",), path, WebSocketHandler(handler, settings=SocketSettings(ping_after=0))))
    HTTPServer(reactor, Site(router, Settings(backlog=BACKLOG))).listen(address, bind(address))
    reactor.run()


def serve_websockets(port: int) -> None:
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    room: dict[ServerConnection, None] = {}

    async def handle(ws: ServerConnection) -> None:
        assert ws.request is not None
        path = ws.request.path
        if path == "/room":
            room[ws] = None
        async for message in ws:
            if path == "/say":
                broadcast(room, message)
            await ws.send(message)
        room.pop(ws, None)

    async def run() -> None:
        async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None, backlog=BACKLOG):
            await asyncio.Future()

    asyncio.run(run())


def serve_aiohttp(port: int) -> None:
    from aiohttp import web

    room: dict[web.WebSocketResponse, None] = {}

    async def opened(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        return ws

    async def echo(request: web.Request) -> web.WebSocketResponse:
        ws = await opened(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    async def sit(request: web.Request) -> web.WebSocketResponse:
        ws = await opened(request)
        room[ws] = None
        async for _ in ws:
            pass
        room.pop(ws, None)
        return ws

    async def say(request: web.Request) -> web.WebSocketResponse:
        ws = await opened(request)
        async for message in ws:
            for other in room:
                await other.send_str(message.data)
            await ws.send_str(message.data)
        return ws

    application = web.Application()
    application.add_routes([web.get("/echo", echo), web.get("/room", sit), web.get("/say", say)])
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, print=None, backlog=BACKLOG)


class Bare:
    """As little as can be: frames are taken to be short and to come whole, and each `send` to be taken whole. Every
    message is a loop of `send`.
    """

    def __init__(self, port: int) -> None:
        self._poll = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._poll.register(self._listener, select.EPOLLIN)
        self._paths: dict[int, bytes] = {}
        self._socks: dict[int, socket.socket] = {}
        self._room: dict[int, socket.socket] = {}

    def run(self) -> None:
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._read(fd)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socks[sock.fileno()] = sock
        self._poll.register(sock, select.EPOLLIN)

    def _read(self, fd: int) -> None:
        sock = self._socks[fd]
        data = sock.recv(65536)
        path = self._paths.get(fd)
        if not data:
            del self._socks[fd]
            self._room.pop(fd, None)
            self._paths.pop(fd, None)
            sock.close()
        elif path is None:
            self._open(sock, data)
        else:
            self._serve(sock, data, self._room if path == b"/say" else {})

    def _serve(self, sock: socket.socket, data: bytes, room: dict[int, socket.socket]) -> None:
        while data:
            size = 6 + (data[1] & 0x7F)
            frame = bytes((0x81, size - 6)) + unmasked(data[:size])
            data = data[size:]
            for other in room.values():
                other.send(frame)
            sock.send(frame)

    def _open(self, sock: socket.socket, head: bytes) -> None:
        path = self._paths[sock.fileno()] = head.split(b" ", 2)[1]
        key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        sock.send(b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")  # fmt: skip
        if path == b"/room":
            self._room[sock.fileno()] = sock


def unmasked(frame: bytes) -> bytes:
    """The payload of a short frame of a client's."""
    payload = int.from_bytes(frame[6:], "little")
    mask = int.from_bytes((frame[2:6] * (len(frame) // 4))[: len(frame) - 6], "little")
    return (payload ^ mask).to_bytes(len(frame) - 6, "little")


SERVERS: Final[dict[str, Callable[[int], Any]]] = {
    "reactor": serve_reactor,
    "websockets": serve_websockets,
    "aiohttp": serve_aiohttp,
    "bare": lambda port: Bare(port).run(),
}


if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]))
