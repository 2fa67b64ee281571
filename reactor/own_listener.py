"""A listener of a plugin's own: HTTP on an address apart from those of the server, with routes and a bound of its own.

Whoever comes to it meets no guard, middleware or limit that is meant for the clients of the server; so it answers when
the server is full, while it starts, and until the end of its drain. The socket is kept over reloads (`Entrance`); its
routes are those of the generation that serves (`OwnListener`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reactor.core.address import Address
from reactor.errors import ConfigError
from reactor.http.message import Handler
from reactor.http.router import Route, RouteError, Router
from reactor.http.server import HTTPServer, Settings, Site

if TYPE_CHECKING:
    from reactor.app import App

MOST_CONNECTIONS: Final = 32
# Seconds that its last answers have.
DRAIN: Final = 1.0


class Entrance:
    """The socket and its connections, for as long as some generation keeps them. `address` is where it is: once it is
    open with the port that the system chose for 0.
    """

    def __init__(self, app: App, address: Address, site: Site) -> None:
        self.address = address
        self._sockets = app.sockets
        self.server = HTTPServer(app.reactor, site, wall_clock=app.unix_time)
        self.server.on_error = app.on_server_error
        self.server.on_trouble = app.log.warning

    def open(self) -> None:
        """StartError, in words, if the address cannot be had."""
        sock = self._sockets.bind_one(self.address)
        try:
            self.address = self.server.listen(self.address, sock).address
        except BaseException:
            sock.close()
            raise

    async def close(self) -> None:
        """Stop listening, and let the last answers go out."""
        await self.server.close()


class OwnListener:
    """What one generation has behind an Entrance."""

    def __init__(self, settings: Settings, owner: str) -> None:
        """Bounds of heads, bodies and times are as for everybody; the number of connections is not."""
        self._router = Router()
        self._owner = owner
        self.site = Site(self._router, replace(settings, max_connections=MOST_CONNECTIONS, drain=DRAIN))
        self.entrance: Entrance

    @property
    def address(self) -> Address:
        """Where it is; from the first start hook on with the port that the system chose for 0."""
        return self.entrance.address

    def route(self, methods: str, pattern: str, handler: Handler) -> None:
        """As `Plugin.route`, for this listener alone. No guard is asked."""
        try:
            self._router.add(Route(tuple(methods.upper().split()), pattern, handler, owner=self._owner))
        except RouteError as error:
            raise ConfigError(str(error)) from None
