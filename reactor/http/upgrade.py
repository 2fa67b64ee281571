"""The opening handshake of a WebSocket (RFC 6455 4.2): an HTTP request that asks to leave HTTP, and its answer.

    Route(("GET",), "/ws", WebSocketHandler(echo))

Guards have seen the request by then, and a refusal of theirs or of ours is an ordinary answer. A browser tells by
Origin whose page it is that opens a socket, and sends cookies along whatever page that is: so only pages of this very
host may (RFC 6455 10.2), and those that are named.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha1
from typing import TYPE_CHECKING

from reactor.errors import HTTPError, LocalProtocolError
from reactor.http.message import Request, Response, Switching
from reactor.http.websocket import WebSocket
from reactor.http.wsconnection import SocketHandler, SocketSettings, WebSocketConnection
from reactor.sansio.headers import TOKEN

if TYPE_CHECKING:
    from websockets.extensions import Extension

    from reactor.http.server import HTTPServer, Site

_is_token = re.compile(TOKEN).fullmatch
_DEFAULTS = SocketSettings()
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# RFC 9110 15.5.22 and RFC 6455 4.4: what the client should have asked for.
_WANTED = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class WebSocketHandler:
    """A Handler in the sense of `http.message` that opens a WebSocket and gives it to `handler`."""

    def __init__(
        self,
        handler: SocketHandler,
        *,
        protocols: Sequence[str] = (),
        origins: Sequence[str] = (),
        settings: SocketSettings = _DEFAULTS,
    ) -> None:
        """`protocols` are subprotocols, the best first. LocalProtocolError for one that no header can hold."""
        for protocol in protocols:
            if not _is_token(protocol):
                raise LocalProtocolError(f"not a name of a subprotocol: {protocol!r}")
        # Imported here: who serves no WebSocket pays nothing for them, and who does pays before the first client.
        from reactor.http import frames

        self._frames = frames
        self._handler = handler
        self._protocols = tuple(protocols)
        self._origins = frozenset(origin.lower() for origin in origins)
        self._settings = settings

    def __call__(self, request: Request) -> Response:
        """Raises HTTPError 405, 426, 403 or 400 for what opens no WebSocket."""
        _check_upgrade(request)
        self._check_origin(request)
        accepted = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", _accept(request))]
        protocol = self._agree_on_protocol(request)
        if protocol:
            accepted.append(("Sec-WebSocket-Protocol", protocol))
        answer, extensions = self._agree_on_extensions(request)
        if answer:
            accepted.append(("Sec-WebSocket-Extensions", answer))
        socket = WebSocket(request, protocol, self._settings.max_queue)

        def take_over(server: HTTPServer, site: Site) -> WebSocketConnection:
            frames = self._frames.Frames(self._settings.max_message, extensions)
            return WebSocketConnection(server, site, socket, frames, self._handler, self._settings)

        return Switching(accepted, take_over)

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin").lower()
        if "origin" not in request.headers or origin in self._origins:
            return
        scheme = "https" if request.secure else "http"
        own = f"{scheme}://{request.head.host.removesuffix(_DEFAULT_PORTS[scheme])}"
        if origin != own:
            raise HTTPError(403, "pages of another site may not open this WebSocket")

    def _agree_on_protocol(self, request: Request) -> str:
        """The first of ours that the client offers; "" for none, and it is the client who may then leave (4.1)."""
        offered = {name.strip(" \t") for name in request.headers.get("sec-websocket-protocol").split(",")}
        return next((name for name in self._protocols if name in offered), "")

    def _agree_on_extensions(self, request: Request) -> tuple[str, list[Extension]]:
        if not self._settings.deflate:
            return "", []
        return self._frames.agree_on_deflate(request.headers.get("sec-websocket-extensions"))


def _check_upgrade(request: Request) -> None:
    """HTTPError unless it asks for version 13 of the WebSocket protocol (RFC 6455 4.2.1)."""
    if request.method != "GET":
        raise HTTPError(405, f"{request.method} opens no WebSocket", [("Allow", "GET")])
    asked = [name.strip(" \t").lower() for name in request.head.upgrade.split(",")]
    if "websocket" not in asked:
        raise HTTPError(426, "this is the address of a WebSocket", _WANTED)
    if request.headers.get("sec-websocket-version") != "13":
        raise HTTPError(426, "version 13 of the WebSocket protocol is spoken here", _WANTED)
    if request.head.length:
        raise HTTPError(400, "a request that opens a WebSocket has no body")


def _accept(request: Request) -> str:
    """Sec-WebSocket-Accept (4.2.2); HTTPError 400 unless there is one key, of 16 bytes."""
    key = request.headers.get("sec-websocket-key")
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise HTTPError(400, "Sec-WebSocket-Key is 16 bytes in base64, once")
    return base64.b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
