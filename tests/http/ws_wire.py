"""WebSockets in memory: a server with one route, and clients whose frames the test writes itself.

What the server says is judged by wsproto, in the role of a client: if it is no good answer, the test fails there.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from http_wire import Client, Wire
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from reactor.http.message import Guard
from reactor.http.router import Route
from reactor.http.upgrade import WebSocketHandler
from reactor.http.websocket import WebSocket
from reactor.http.wsconnection import SocketHandler, SocketSettings

MASK = b"\x37\xfa\x21\x3d"
HEAD = {
    "Host": "chat.test",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
WINDOW = 12


def handshake(path: str = "/ws", **changes: str | None) -> bytes:
    """A good one, with these fields changed; `_` stands for `-`, and None takes a field away."""
    fields: dict[str, str | None] = {**HEAD, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """One frame of a client's, good or not. `rsv` are the three reserved bits."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second, size = (0x80 if mask else 0), len(payload)
    if size < 126:
        head = bytes((first, second | size))
    elif size < 65536:
        head = bytes((first, second | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, second | 127)) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def text(words: str | bytes, **more: Any) -> bytes:
    return frame(1, words.encode() if isinstance(words, str) else words, **more)


def more(words: str | bytes = b"", **kinds: Any) -> bytes:
    """A continuation."""
    return frame(0, words.encode() if isinstance(words, str) else words, **kinds)


def close(code: int | None = 1000, reason: bytes = b"", **kinds: Any) -> bytes:
    return frame(8, b"" if code is None else code.to_bytes(2, "big") + reason, **kinds)


def deflated(data: bytes, level: int = -1) -> bytes:
    """The payload of a compressed message, without context."""
    packer = zlib.compressobj(level, wbits=-WINDOW)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Said(NamedTuple):
    """What the server has said, message by message: ("text", "hello"), ("pong", b"x"), ("close", 1000)."""

    kind: str
    what: Any


class SocketClient(Client):
    """A client behind a handshake that went well."""

    def __init__(self, wire: Wire, *, deflate: bool = False, **fields: str | None) -> None:
        super().__init__(wire)
        self.offer = PerMessageDeflate(client_max_window_bits=WINDOW, server_max_window_bits=WINDOW)
        if deflate:
            fields["Sec_WebSocket_Extensions"] = "permessage-deflate; client_max_window_bits; server_max_window_bits=12"
        self.send(handshake(**fields))
        head, end, rest = self.take().partition(b"\r\n\r\n")
        assert end and head.startswith(b"HTTP/1.1 101 "), head
        self.head = head.decode()
        extensions: list[Extension] = []
        if deflate:
            self.offer.finalize(self.header("Sec-WebSocket-Extensions"))
            extensions = [self.offer]
        self.oracle = Connection(ConnectionType.CLIENT, extensions, rest)
        self.close_reason = ""

    def header(self, name: str) -> str:
        lines = dict(line.split(": ", 1) for line in self.head.split("\r\n")[1:])
        return lines.get(name, "")

    def say(self, event: Event) -> None:
        """Send what wsproto makes of it."""
        self.send(self.oracle.send(event))

    def heard(self) -> list[Said]:
        """What the server has said since the last call, messages whole. The end of the connection is ("end", None)."""
        self.oracle.receive_data(self.take())
        said: list[Said] = []
        parts: list[Any] = []
        for event in self.oracle.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                parts.append(event.data)
                if event.message_finished:
                    kind = "text" if isinstance(event, TextMessage) else "bytes"
                    said.append(Said(kind, type(event.data)().join(parts)))
                    parts = []
            elif isinstance(event, (Ping, Pong)):
                said.append(Said(type(event).__name__.lower(), bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                self.close_reason = event.reason or ""
                said.append(Said("close", int(event.code)))
        if self.is_closed:
            said.append(Said("end", None))
        return said

    def answer_close(self) -> None:
        """Close in return for the server's."""
        self.send(close(1000))


class SocketWire(Wire):
    """A server with a WebSocket at /ws. `sockets` has those that were opened."""

    def __init__(
        self,
        handler: SocketHandler,
        *,
        guard: Guard | None = None,
        protocols: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        server: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**(server or {}))
        self.sockets: list[WebSocket] = []

        async def noted(ws: WebSocket) -> None:
            self.sockets.append(ws)
            await handler(ws)

        opening = WebSocketHandler(noted, protocols=protocols, origins=origins, settings=SocketSettings(**settings))
        self.router.add(Route(("GET",), "/ws", opening, guard=guard))

    def open(self, **fields: Any) -> SocketClient:
        return SocketClient(self, **fields)

    @property
    def socket(self) -> WebSocket:
        """The one that was opened last."""
        return self.sockets[-1]


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        ws.send(message)


__all__ = ["MASK", "CloseReason", "Said", "SocketClient", "SocketWire", "close", "deflated", "echo", "frame",
           "handshake", "more", "text"]  # fmt: skip
