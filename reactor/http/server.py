"""The HTTP server: listeners, the connections they made, and what is common to all of these.

What is served is a `Site`: a routing table with the guards and handlers of one generation of the configuration.
`server.site = other` is a reload: connections stay, each request uses the site it began with, and a site that was
replaced says when its last request has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from reactor.core.address import Address, peer_text
from reactor.core.listener import Listener
from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.core.timers import Timer
from reactor.core.transport import Pace, Transport
from reactor.http.connection import ServerConnection
from reactor.http.defaults import NO_DEFAULTS, DefaultFields
from reactor.http.forwarding import NO_TRUST, Trust
from reactor.http.handed import NO_CLAIMS, Claims, HandedOver
from reactor.http.handshakes import Handshakes
from reactor.http.hosts import Hosts
from reactor.http.limits import LIMITS, STATES
from reactor.http.message import Request
from reactor.http.prefaces import Prefaces
from reactor.http.redirection import RedirectedConnection, Redirection
from reactor.http.router import Router
from reactor.sansio.head import Limits, RequestHead
from reactor.sansio.memo import HeadMemo

if TYPE_CHECKING:
    import socket


# Seconds that connections which were handed over have for their last bytes when the server ends.
LAST_WORDS = 2.0
# How a socket for both families shows the address of an IPv4 client.
_MAPPED = "::ffff:"
# Clients whose address is kept; see `HTTPServer.client_of`.
_MOST_CLIENTS = 1024


@dataclass(frozen=True)
class Settings:
    """Bounds for every client, in bytes and seconds. Why these numbers: docs/configuration.md."""

    max_line: int = 8 * 1024
    max_head: int = 32 * 1024
    max_fields: int = 100
    max_body: int = 1024 * 1024  # 0: no limit
    handshake_timeout: float = 10.0
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    body_rate: int = 500  # bytes a second, asked for after `body_grace`
    body_grace: float = 10.0
    request_timeout: float = 0.0  # 0: no limit
    write_timeout: float = 30.0
    write_rate: int = 500  # bytes a second, asked for after `write_grace`
    write_grace: float = 10.0
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
            timeouts = ("handshake_timeout", "head_timeout", "body_timeout", "write_timeout")
            if field.name in timeouts and not getattr(self, field.name):
                raise ValueError(f"`{field.name}` must be more than 0: nobody could be as fast")


class Site:
    """One generation as the connections see it. `active` counts requests that have begun to wait; `claims` has who
    wants connections that begin with another byte than HTTP, `hosts` who answers for whole hosts, `trust` whose word on
    where a request is from counts, `defaults` what every answer has, `announcers` who says so before the first request
    (`http.prefaces`).
    """

    __slots__ = ("_idle", "active", "announcers", "claims", "defaults", "hosts", "router", "settings", "trust")

    def __init__(
        self,
        router: Router,
        settings: Settings,
        claims: Claims = NO_CLAIMS,
        hosts: Hosts | None = None,
        trust: Trust = NO_TRUST,
        defaults: DefaultFields = NO_DEFAULTS,
        announcers: Trust = NO_TRUST,
    ) -> None:
        self.router = router
        self.settings = settings
        self.claims = claims
        self.hosts = hosts
        self.trust = trust
        self.defaults = defaults
        self.announcers = announcers
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


class Served(Protocol):
    """What the server needs of a connection, whatever is spoken on it. `close_idle` is for one that `is_idle`, and True
    if it is gone at once.
    """

    @property
    def is_idle(self) -> bool: ...
    def close_idle(self) -> bool: ...
    def drain(self, gently: bool = False) -> None: ...
    def abort(self) -> None: ...
    @property
    def state(self) -> str: ...


# One answer, complete or cut: head and request, None for what could not be read; the address of who has the connection;
# the status; bytes of the body that went out; when the head was there, on the reactor's clock.
Answered: TypeAlias = tuple[RequestHead | None, Request | None, str, int, int, float]
# Called with all answers of a turn. Most are made at once, in the common way: their requests, with the head of the
# answer as `_answer`, whose `length` is what went out of its body; and when the turn of the first of them began. All
# others are behind them.
AnswersHook: TypeAlias = Callable[[Sequence[Request], float, Sequence[Answered]], object]


class HTTPServer:
    """`sends_ids`: answers have the name of their request (X-Request-ID)."""

    # At the connection limit so many idle ones are closed at once, so that the search for them is amortised.
    EVICT = 32
    REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def __init__(self, reactor: Reactor, site: Site, *, wall_clock: Callable[[], float] = time.time) -> None:
        self.reactor = reactor
        self.connections: dict[Served, None] = {}  # in the order they came
        self.handed: dict[HandedOver, None] = {}  # those that are no HTTP
        self.listeners: dict[Address, Listener] = {}
        self.draining = self.ends_gently = False
        self.requests = 0
        self.reached = dict.fromkeys(LIMITS, 0)  # how often a client came to each of its bounds
        self.handshakes = Handshakes(reactor, self.new_connection, self._went)  # those that are not secure yet
        self.prefaces = Prefaces(reactor, self._no_preface)  # those of which nobody has said yet whose they are
        self.redirections: Mapping[Address, Redirection] = {}  # listeners that only lead to HTTPS; changed by a reload
        self.at_once: list[Request] | None = None  # answered in this turn, in the common way; see `observe`
        self.answered: list[Answered] = []  # the others
        self._at_once_began = 0.0
        self._on_answers: AnswersHook | None = None
        self._clients: dict[str, str] = {}
        self.sends_ids = False
        self.on_error: Callable[[BaseException, str], object] = reactor.unhandled
        self.on_trouble: Callable[[str], object] = lambda text: None
        self._wall_clock = wall_clock
        self._drained: Future[None] | None = None
        self._drain_timer: Timer | None = None
        self._left: Future[None] | None = None
        self.date = b""
        self.date_until = -1.0
        self.lines = b""
        self._lines_beside: dict[tuple[frozenset[str] | None, bool], bytes] = {}
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
        self.pace = Pace(settings.write_rate, settings.write_grace) if settings.write_rate else None
        self._max_connections = settings.max_connections
        self.date_until = -1.0  # the lines of this second are another site's

    def refresh_date(self) -> None:
        """Build the Date line of this second (RFC 9110 6.6.1)."""
        now = self._wall_clock()
        self.date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        self.date_until = self.reactor.now + 1.0 - now % 1.0
        self._lines_beside.clear()
        self.lines = self.date + self._site.defaults.lines(None, False)

    def lines_beside(self, own: frozenset[str] | None, secure: bool) -> bytes:
        """The Date line and the site's default fields, for an answer that has `own` of these. The same object for a
        second. `lines` is the common case: none of its own, over a plain connection.
        """
        if self.reactor.now >= self.date_until:
            self.refresh_date()
        known = self._lines_beside.get((own, secure))
        if known is None:
            known = self._lines_beside[own, secure] = self.date + self._site.defaults.lines(own, secure)
        return known

    # -- connections -------------------------------------------------------------------------------------------------

    def listen(self, address: Address, sock: socket.socket) -> Listener:
        """Serve a bound socket, under the address that it was asked for; secure if `handshakes.tls` names that."""
        listener = Listener(
            self.reactor, sock, partial(self._accepted, address), has_room=self._admits, make_room=self._evict,
            refusal=lambda: b"" if address in self.handshakes.tls else self.REFUSAL, on_trouble=self.on_trouble,
        )  # fmt: skip
        listener.start(self.settings.backlog)
        self.listeners[address] = listener
        return listener

    def unlisten(self, address: Address) -> None:
        """Close a listener, whose port is free again; its connections stay."""
        self.listeners.pop(address).close()

    def _accepted(self, address: Address, sock: socket.socket, peer: object) -> None:
        host = peer[0] if isinstance(peer, tuple) else ""
        if host.startswith(_MAPPED):  # an inherited socket may be one for both families
            host = host[len(_MAPPED) :]
            peer = (host, peer[1])  # type: ignore[index]
        if self._site.announcers.covers(host):
            self.prefaces.begin(sock, peer, partial(self._begin, address), self.settings.handshake_timeout)
        else:
            self._begin(address, sock, peer)

    def _no_preface(self, peer: object, reason: str) -> None:
        self.reached["proxy_header"] += 1
        self._went()
        self.handshakes.on_debug(f"no PROXY header from {peer_text(peer)}: {reason}")

    def _begin(self, address: Address, sock: socket.socket, peer: object) -> None:
        """A connection whose client is known by now."""
        tls = self.handshakes.tls.get(address)
        if tls is not None:
            self.handshakes.begin(sock, peer, tls, self.settings.handshake_timeout)
        elif (redirection := self.redirections.get(address)) is not None:
            Transport(self.reactor, sock, peer, RedirectedConnection(self, redirection))
        else:
            Transport(self.reactor, sock, peer, self.new_connection())

    def client_of(self, peer: object) -> str:
        """The address in `peer` as text, "" if it has none. Mostly the same object each time, so that who groups them
        need not compare. `sys.intern` has no bound: Python 3.12.0 to 3.12.5 keep for ever what it is given.
        """
        if not isinstance(peer, tuple):
            return ""
        if len(self._clients) >= _MOST_CLIENTS:
            self._clients.clear()
        host = str(peer[0])
        return self._clients.setdefault(host, host)

    def new_connection(self) -> ServerConnection:
        """The protocol for one more client, to be put on a transport."""
        return ServerConnection(self)

    def _admits(self) -> bool:
        has_room = self._has_room()
        self.reached["max_connections"] += not has_room
        return has_room

    def _has_room(self) -> bool:
        if self._is_below_limit():
            return True
        self._evict()
        return self._is_below_limit()

    def _evict(self) -> None:
        """Close some of those whose end costs least: idle ones, else the oldest that is not ready."""
        idle = self._find_idle()
        for connection in idle:
            if connection.close_idle():
                self.closed(connection)
        self.reached["evicted"] += len(idle) or self.handshakes.abort(1) or self.prefaces.abort(1)

    def _find_idle(self) -> list[Served]:
        """The oldest. The search is dear, and whoever comes next would find as few."""
        if self.reactor.now < self._evict_at:
            return []
        idle = [connection for connection in self.connections if connection.is_idle][: self.EVICT]
        if not idle:
            self._evict_at = self.reactor.now + 0.1
        return idle

    def _is_below_limit(self) -> bool:
        most = self._max_connections
        return not most or len(self.connections) + len(self.handed) + self._unready < most

    @property
    def _unready(self) -> int:
        return len(self.handshakes.under_way) + len(self.prefaces.under_way)

    def observe(self, hook: AnswersHook | None) -> None:
        """Call `hook` with all that was answered in a turn, at its end. None: nobody looks, and it costs nothing."""
        self.tell_answered()
        self._on_answers = hook
        self.at_once = None if hook is None else []

    def begin_answers(self) -> None:
        """Before the first answer of a turn that is to be told of: taken together they cost half of what they do one by
        one.
        """
        self.reactor.call_soon(self.tell_answered)

    def begin_at_once(self) -> None:
        """Before the first of a turn that is made at once. Others may be of the turn before, if a task made them."""
        self._at_once_began = self.reactor.now
        if not self.answered:
            self.begin_answers()

    def tell_answered(self) -> None:
        """Tell of what was answered since the last time."""
        at_once, answered = self.at_once, self.answered
        if at_once is not None and self._on_answers is not None and (at_once or answered):
            try:
                self._on_answers(at_once, self._at_once_began, answered)
            finally:
                at_once.clear()
                answered.clear()

    def states(self) -> dict[str, int]:
        """How many connections are in each of the STATES. It looks at every one: 0.2 us each."""
        found = dict.fromkeys(STATES, 0)
        for connection in self.connections:
            found[connection.state] += 1
        found["handed_over"] = len(self.handed)
        found["handshake"] = self._unready
        return found

    @property
    def most_connections(self) -> int:
        """How many there may be at once; 0 for no bound."""
        return self._max_connections

    def opened(self, connection: Served) -> None:
        """A connection has its transport."""
        self.connections[connection] = None

    def closed(self, connection: Served) -> None:
        """A connection is gone; nothing if that is known."""
        self.connections.pop(connection, None)
        self._went()

    def _went(self) -> None:
        if self._drained is not None and not self.connections and not self._unready:
            self._drained.set_result(None)

    # -- connections that are no HTTP --------------------------------------------------------------------------------

    def hand_over(self, connection: ServerConnection, data: bytes) -> bool:
        """Give a connection to the protocol of who has claimed its first byte. False if that does not want it."""
        transport = connection.transport
        peer = transport.peer
        try:
            protocol = self.site.claims[data[0]](Address(*peer[:2]) if isinstance(peer, tuple) else Address("", 0))
        except Exception as error:
            self.on_error(error, f"in the protocol for connections that begin with {data[:1]!r}")
            protocol = None
        if protocol is None:
            return False
        self.closed(connection)
        return transport.hand_over(HandedOver(self, protocol), data)

    def left(self, handed: HandedOver) -> None:
        """One that was handed over is gone."""
        self.handed.pop(handed, None)
        if self._left is not None and not self.handed:
            self._left.set_result(None)

    def close_handed(self) -> Future[None]:
        """Close what was handed over and is still there, once its plugins have had their say: what waits goes out,
        within LAST_WORDS. Done when none is left.
        """
        self._left = self.reactor.future()
        for handed in list(self.handed):
            handed.transport.close()
        if self.handed:
            self.reactor.call_later(LAST_WORDS, self._abort_handed)
        else:
            self._left.set_result(None)
        return self._left

    def _abort_handed(self) -> None:
        for handed in list(self.handed):
            handed.transport.abort()

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self, *, gently: bool = False) -> Future[Any]:
        """Stop accepting, end idle connections, let requests finish, and after `drain` seconds cut the rest. The
        future is done when no connection is left but those that were handed over, which is for `close_handed`.
        `gently`: idle connections have until `keep_alive` for one more request, whose answer says that it was the last,
        so that nobody asks just as we close.
        """
        self.draining, self.ends_gently = True, gently
        for address in list(self.listeners):
            self.unlisten(address)
        if not gently:
            self.handshakes.abort()
            self.prefaces.abort()
        self._drained = self.reactor.future()
        for connection in list(self.connections):
            connection.drain(gently)
        self._drain_timer = self.reactor.call_later(self.settings.drain, self._abort_requests)
        self._went()
        return self._drained

    def abort(self) -> None:
        """Cut every connection now."""
        self._abort_requests()
        self._abort_handed()

    def _abort_requests(self) -> None:
        for connection in list(self.connections):
            connection.abort()
