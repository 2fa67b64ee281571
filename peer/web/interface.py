"""The peer's own HTTP interface: programs and pages of this machine chat through it.

    program  request  -> Door (token, Host, Origin) -> Errands ┐
                                                               ├─> Chat -> Node
    page     WebSocket -> Door.fence -> hello, token -> Desk   ┘

The page itself is for anybody on this machine to see; whoever uses it shows the token first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from peer.chat import Chat
from peer.delivery.receipts import Receipts
from peer.storage.store import Store
from peer.web import page
from peer.web.desk import Desk
from peer.web.door import Door
from peer.web.errands import Errands, handler
from peer.web.tab import Turned, serve
from reactor import Handler, Request, Response, WebSocket
from reactor.core.address import Address, is_loopback
from reactor.core.listener import bind
from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.errors import StartError
from reactor.http.router import Route, Router
from reactor.http.server import HTTPServer, Settings, Site
from reactor.http.upgrade import WebSocketHandler

if TYPE_CHECKING:
    import socket

# A body is one message of 4,000 characters, each escaped as two times \uXXXX at the worst. Programs of one machine need
# few connections, and what they still wait for is no reason not to quit.
SETTINGS = Settings(max_body=64 * 1024, max_connections=64, backlog=64, drain=0.5)


def bind_loopback(address: Address) -> tuple[socket.socket, Address]:
    """A socket, and its address with the port that it has got. StartError if others could reach it."""
    if not is_loopback(address.host):
        raise StartError(f"--http {address}: others could reach that. Give 127.0.0.1:{address.port}")
    sock = bind(address)
    return sock, address._replace(port=sock.getsockname()[1])


class Web:
    """`server` is told to `listen`; `close` ends it."""

    def __init__(
        self, reactor: Reactor, chat: Chat, store: Store, receipts: Receipts, *, address: Address, token: str,
        desk: Desk | None = None, files: Handler | None = None,
    ) -> None:  # fmt: skip
        """`address` is where it is reached, which requests are checked against. `files` answers for the page, whose
        WebSockets use the `desk`.
        """
        self._door = Door(token, address.port)
        self._reactor = reactor
        self._receipts = receipts
        self._desk = desk
        router = Router(lambda handler: Route((), "", handler, guard=self._door))
        self._add_errands(router, Errands(chat, store, receipts))
        if files is not None and desk is not None:
            self._add_page(router, files)
        self.url = f"http://{address}/{'chat/' if files is not None else ''}#token={token}"
        self.server = HTTPServer(reactor, Site(router, SETTINGS))

    def _add_errands(self, router: Router, errands: Errands) -> None:
        for method, path, answering in (
            ("POST", "/connect-peer[/]", errands.connect),
            ("POST", "/send-peer[/]", errands.send),
            ("POST", "/broadcast-peer[/]", errands.broadcast),
            ("GET", "/get-list[/]", errands.list),
            ("GET", "/messages[/]", errands.messages),
        ):
            router.add(Route((method,), path, handler(answering), guard=self._door))

    def _add_page(self, router: Router, files: Handler) -> None:
        socket = WebSocketHandler(self._converse, protocols=(page.SUBPROTOCOL,))
        for path, answer in (
            ("/", _to_page), ("/chat", _to_page), ("/chat/{path...}", files), ("/chat/state", _where), ("/ws", socket)
        ):  # fmt: skip
            router.add(Route(("GET",), path, answer, guard=self._door.fence))

    def close(self) -> Future[Any]:
        """Nothing new any more; who waits is answered with what is known. Done when no connection is left."""
        self._receipts.close()
        return self.server.close()

    # -- the page ------------------------------------------------------------------------------------------------------

    async def _converse(self, ws: WebSocket) -> None:
        await serve(self._reactor, ws, self._admit)

    async def _admit(self, hello: page.Hello) -> Desk:
        if self._desk is None or not self._door.is_token(hello.token):
            raise Turned(4401, "the token is not that of this peer")
        return self._desk


def _to_page(request: Request) -> Response:
    return Response.redirect("/chat/", 302)


def _where(request: Request) -> Response:
    where = msgspec.json.encode(page.Where("peer"))
    return Response(where, 200, [("Cache-Control", "no-store")], content_type="application/json")
