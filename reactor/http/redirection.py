"""A plain listener that only says where HTTPS is: each request is led to its own address there, and nothing is served.

    http://example.org/a?b  ->  308, https://example.org:8443/a?b

Where to is never the client's choice alone: a host that none of the certificates is for is not led anywhere, so no
request, however it is written, makes the server name somebody else's. No route, guard or plugin is reached from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reactor.core.certificates import ServerTLS
from reactor.errors import HTTPError
from reactor.http.connection import LINGER, ServerConnection
from reactor.http.message import Response
from reactor.sansio.head import RequestHead
from reactor.sansio.target import parse_authority

if TYPE_CHECKING:
    from reactor.http.server import HTTPServer

HTTPS_PORT: Final = 443


class Redirection:
    """Where such a listener leads to: `port` of the hosts that `tls` has a certificate for."""

    def __init__(self, tls: ServerTLS, port: int) -> None:
        self._tls = tls
        self._port = "" if port == HTTPS_PORT else f":{port}"

    def answer(self, head: RequestHead) -> Response:
        """HTTPError 421 for a host that is not ours, 400 for what has no address (`OPTIONS *`, CONNECT)."""
        if head.path[:1] != "/":
            raise HTTPError(400, "only a path can be asked for here")
        host = parse_authority(head.host)[0] if head.host else ""
        if not self._tls.is_for(host):
            raise HTTPError(421, "this server has no certificate for that host")
        query = f"?{head.query}" if head.query else ""
        # 308 keeps method and body. Browsers would keep it for ever; it is `hsts` that is meant to be remembered.
        headers = [("Cache-Control", "no-cache")]
        return Response.redirect(f"https://{host}{self._port}{head.path}{query}", 308, headers)


class RedirectedConnection(ServerConnection):
    """One request, answered with where to ask it, and the end. Deadlines and bounds are those of every connection."""

    __slots__ = ("_redirection",)

    def __init__(self, server: HTTPServer, redirection: Redirection) -> None:
        super().__init__(server)
        self._redirection = redirection

    def _begin(self, head: RequestHead) -> bool:
        self._server.requests += 1
        request = self._unrouted(head)
        try:
            response = self._redirection.answer(head)
        except HTTPError as error:
            response = self.error_response(error, head, request)
        self._write_answer(self.http.respond(response.head, response.body, self._lines_for(response.head), close=True))
        self.note(head, request, response.status, self.body_size(head, response), self.reactor.now)
        self._close(LINGER)
        return False

    def _hand_over(self, data: bytes) -> None:
        """No plugin's protocol is spoken here."""
        self.http.receive_data(data)
        self._arrived()
