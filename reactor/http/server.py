"""The HTTP server: listeners, the connections they made, and what is common to all of these.

What is served is a `Site`: a routing table with the guards and handlers of one generation of the configuration.
`server.site = other` is a reload: connections stay, each request uses the site it began with, and a site that was
replaced says when its last request has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from reactor.core.address import Address
from reactor.core.listener import Listener
from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.core.timers import Timer
from reactor.core.transport import Transport
from reactor.http.connection import ServerConnection
from reactor.http.router import Router
from reactor.sansio.head import Limits, RequestHead
from reactor.sansio.memo import HeadMemo

if TYPE_CHECKING:
    import socket


@dataclass(frozen=True)
class Settings:
    """Bounds for every client, in bytes and seconds. Why these numbers: docs/configuration.md."""

    max_line: int = 8 * 1024
    max_head: int = 32 * 1024
    max_fields: int = 100
    max_body: int = 1024 * 1024  # 0: no limit
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    body_rate: int = 500  # bytes a second, asked for after `body_grace`
    body_grace: float = 10.0
    write_timeout: float = 30.0
    keep_alive: float = 15.0
    pipeline: int = 32
    max_connections: int = 0  # 0: from the descriptors the system allows
    backlog: int = 1024
    drain: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 1 if field.name in ("pipeline", "backlog", "max_line", "max_head", "max_fields") else 0
            if getattr(self, field.name) < least:
                raise ValueError(f"`{field.name}` must be at least {least}")
            if field.name in ("head_timeout", "body_timeout", "write_timeout") and not getattr(self, field.name):
                raise ValueError(f"`{field.name}` must be more than 0: nobody could be as fast")


class Site:
    """One generation as the connections see it. `active` counts requests that have begun to wait."""

    __slots__ = ("_idle", "active", "router", "settings")

    def __init__(self, router: Router, settings: Settings) -> None:
        self.router = router
        self.settings = settings
        self.active = 0
        self._idle: Future[None] | None = None

    def leave(self) -> None:
        """A request that had begun to wait is over."""
        self.active -= 1
        if not self.active and self._idle is not None:
            self._idle.set_result(None)

    def retire(self, reactor: Reactor) -> Future[None]:
        """No new requests come any more. Done when the last active one has ended; the same future each time."""
        if self._idle is None:
            self._idle = reactor.future()
            if not self.active:
                self._idle.set_result(None)
        return self._idle


AccessHook = Callable[[RequestHead | None, str, str | None, int, int], object]


class HTTPServer:
    """`on_access(head, client, user, status, sent)` is called for each answer, complete or cut: the head is None for a
    request that could not be read, `sent` are bytes of the body. None costs nothing.
    """

    # At the connection limit so many idle ones are closed at once, so that the search for them is amortised.
    EVICT = 32
    REFUSAL = (
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )

    def __init__(self, reactor: Reactor, site: Site, *, wall_clock: Callable[[], float] = time.time) -> None:
        self.reactor = reactor
        self.connections: dict[ServerConnection, None] = {}  # in the order they came
        self.listeners: dict[Address, Listener] = {}
        self.draining = False
        self.requests = 0
        self.on_access: AccessHook | None = None
        self.on_error: Callable[[BaseException, str], object] = reactor.unhandled
        self.on_trouble: Callable[[str], object] = lambda text: None
        self._wall_clock = wall_clock
        self._drained: Future[None] | None = None
        self._drain_timer: Timer | None = None
        self.date = b""
        self.date_until = -1.0
        self._max_connections = 1
        self._evict_at = -1.0  # no search for idle connections before
        self.site = site

    @property
    def site(self) -> Site:
        """What new requests are served from; another one is a reload. Its bounds of heads are for new connections."""
        return self._site

    @site.setter
    def site(self, site: Site) -> None:
        self._site = site
        settings = self.settings = site.settings
        self.memo = HeadMemo(Limits(line=settings.max_line, head=settings.max_head, fields=settings.max_fields))
        self._max_connections = settings.max_connections

    def refresh_date(self) -> None:
        """Build the Date line of this second (RFC 9110 6.6.1)."""
        now = self._wall_clock()
        self.date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        self.date_until = self.reactor.now + 1.0 - now % 1.0

    # -- connections -------------------------------------------------------------------------------------------------

    def listen(self, address: Address, sock: socket.socket) -> Listener:
        """Serve a bound socket, under the address that it was asked for."""
        listener = Listener(
            self.reactor, sock, self._accepted, has_room=self._has_room, refusal=self.REFUSAL,
            on_trouble=self.on_trouble,
        )  # fmt: skip
        listener.start(self.settings.backlog)
        self.listeners[address] = listener
        return listener

    def unlisten(self, address: Address) -> None:
        """Close a listener, whose port is free again; its connections stay."""
        self.listeners.pop(address).close()

    def _accepted(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        Transport(self.reactor, sock, peer, self.new_connection())

    def new_connection(self) -> ServerConnection:
        """The protocol for one more client, to be put on a transport."""
        return ServerConnection(self)

    def _has_room(self) -> bool:
        if not self._max_connections or len(self.connections) < self._max_connections:
            return True
        if self.reactor.now < self._evict_at:
            return False
        idle = [connection for connection in self.connections if connection.is_idle][: self.EVICT]
        if not idle:  # the search is dear, and who comes next would find the same
            self._evict_at = self.reactor.now + 0.1
        for connection in idle:
            if connection.close_idle():
                self.closed(connection)
        return len(self.connections) < self._max_connections

    def opened(self, connection: ServerConnection) -> None:
        """A connection has its transport."""
        self.connections[connection] = None

    def closed(self, connection: ServerConnection) -> None:
        """A connection is gone; nothing if that is known."""
        self.connections.pop(connection, None)
        if self._drained is not None and not self.connections:
            self._drained.set_result(None)

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> Future[Any]:
        """Stop accepting, end idle connections, let requests finish, and after `drain` seconds cut the rest. The
        future is done when no connection is left.
        """
        self.draining = True
        for address in list(self.listeners):
            self.unlisten(address)
        self._drained = self.reactor.future()
        for connection in list(self.connections):
            if connection.is_idle:
                connection.close_idle()
        self._drain_timer = self.reactor.call_later(self.settings.drain, self.abort)
        if not self.connections:
            self._drained.set_result(None)
        return self._drained

    def abort(self) -> None:
        """Cut every connection now."""
        for connection in list(self.connections):
            connection.abort()
