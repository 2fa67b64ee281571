"""Who may use the HTTP interface: whoever knows the token. A web page does not, and gets no second chance.

The interface listens on this machine only, but so does every browser on it, with whatever page is open there:

* a page of another site can send requests here: it has no token, and its browser says in Origin and Sec-Fetch-Site
  where they come from. There are no CORS headers, so it could not read the answer either;
* a page whose name was pointed at 127.0.0.1 after it had loaded (DNS rebinding) is of one origin with us for its
  browser: but the Host is its own name;
* other people on this machine can connect: they have no token. It is in memory and on the terminal only, and never in
  a cookie, which a browser sends to every port of the machine.
"""

from __future__ import annotations

from hmac import compare_digest

from peer.web.payloads import Refused
from reactor import Request, Response
from reactor.core.address import is_loopback, parse_address


class Door:
    """A guard; `port` is the one we are reached at."""

    def __init__(self, token: str, port: int) -> None:
        self._token = token.encode()
        self._port = port

    def __call__(self, request: Request) -> Response | None:
        refusal = self._refusal(request)
        return None if refusal is None else refusal.response()

    def fence(self, request: Request) -> Response | None:
        """A guard for what anybody on this machine may ask, and no page of another site."""
        refusal = self._stray(request)
        return None if refusal is None else refusal.response()

    def is_token(self, text: str) -> bool:
        return compare_digest(text.encode(), self._token)

    def _refusal(self, request: Request) -> Refused | None:
        if (stray := self._stray(request)) is not None:
            return stray
        if not self._has_token(request):
            return Refused("no_token", "`Authorization: Bearer TOKEN` is needed; the peer has printed the token")
        return None

    def _stray(self, request: Request) -> Refused | None:
        host = request.head.host
        if not self._is_ours(host):
            return Refused("foreign_host", f"this is not the server of '{host}': ask for 127.0.0.1:{self._port}")
        if _is_foreign(request, host):
            return Refused("foreign_origin", "this request comes from a page of another site")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            address = parse_address(host, 80)
        except ValueError:
            return False
        return address.port == self._port and is_loopback(address.host)

    def _has_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(token.strip(" "))


def _is_foreign(request: Request, host: str) -> bool:
    """Whether a browser says that another site made it. What is no browser (curl, a script) says nothing."""
    index = request.headers.index
    if index.get("sec-fetch-site", "none") not in ("same-origin", "none"):  # none: typed in or bookmarked
        return True
    return "origin" in index and index["origin"].lower() != f"http://{host}"  # another port is another site
