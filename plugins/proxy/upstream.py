"""One server behind: its connections, its health, and what has been counted of it.

    idle_connection -> one that is there        make -> a new one while there is room, or a place in the queue

Connections are kept for the next request, the freshest first, so that the others can idle out. An Upstream belongs to
no generation: a reload finds it by its address, with its connections and with what is known of its health.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from reactor import Address, AnswerMemo, ConnectionLost, DialError, Reactor, ReactorError, Task, UpstreamConnection

from .health import Health
from .options import Options


class Taker(Protocol):
    """Who wants a connection: exactly one of the two is called, unless it has gone by then (`leave`)."""

    def taken(self, connection: UpstreamConnection) -> None: ...
    def not_taken(self, error: ReactorError) -> None: ...


class Counts(msgspec.Struct):
    """Since the program began; `seconds` is the sum over `answers` of the time from request to head."""

    requests: int = 0
    answers: int = 0
    server_errors: int = 0  # answers with 5xx
    failures: int = 0  # requests without an answer
    timeouts: int = 0  # those of them that took too long
    retries: int = 0  # requests that were sent again, here or elsewhere, after a connection to it had failed
    sent: int = 0  # bytes of bodies
    received: int = 0
    tunnels: int = 0
    dials: int = 0
    seconds: float = 0.0


Dial = Callable[[Address, Callable[[], UpstreamConnection], float], "Task[UpstreamConnection]"]


class Upstream:
    """`active` requests are at it just now; `open` connections are there, those that are being made included."""

    def __init__(self, reactor: Reactor, clock: Callable[[], float], address: Address, options: Options) -> None:
        self.address = address
        self.options = options
        self.health = Health(clock, options)
        self.counts = Counts()
        self.active = 0
        self.open = 0
        self.holders = 0  # generations that use it
        self.idle: list[UpstreamConnection] = []
        self._reactor = reactor
        self._answers = AnswerMemo()
        self._waiting: deque[Taker] = deque()
        self._dialling: dict[Taker, Task[UpstreamConnection]] = {}

    def follow(self, options: Options) -> None:
        """Other bounds from now on."""
        self.options = options
        self.health.follow(options)

    # -- connections -------------------------------------------------------------------------------------------------

    def idle_connection(self) -> UpstreamConnection | None:
        """The freshest of the idle ones, to be asked at once."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_idle:
                return connection
        return None

    def make(self, taker: Taker, dial: Dial) -> bool:
        """A new connection for `taker`, later. False if there is room for none now, and it waits in the queue."""
        if self.open >= self.options.max_connections:
            self._waiting.append(taker)
            return False
        self._dial(taker, dial)
        return True

    def leave(self, taker: Taker) -> None:
        """`taker` wants none any more."""
        task = self._dialling.pop(taker, None)
        if task is not None:
            task.cancel()
        elif taker in self._waiting:
            self._waiting.remove(taker)

    @property
    def waiting(self) -> int:
        """Who waits for a connection."""
        return len(self._waiting)

    def _dial(self, taker: Taker, dial: Dial) -> None:
        self.open += 1
        self.counts.dials += 1
        task = self._dialling[taker] = dial(self.address, self._new_connection, self.options.connect_timeout)
        task.on_done(lambda _: self._dialled(taker, task))

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self._reactor, self._answers, self._freed, self._lost)

    def _dialled(self, taker: Taker, task: Task[UpstreamConnection]) -> None:
        wanted = self._dialling.pop(taker, None) is task
        error = task.error
        if error is not None:
            self.open -= 1
            if wanted:
                taker.not_taken(error if isinstance(error, ReactorError) else DialError(str(error)))
            self._dial_for_next()
            return
        connection = task.result()
        connection.transport.stall_limit = self.options.idle_timeout
        if not wanted:
            self._freed(connection)
        elif connection.is_idle:
            taker.taken(connection)
        else:
            taker.not_taken(ConnectionLost("the server closed the connection before it was asked anything"))

    def _dial_for_next(self) -> None:
        """One that waits has room now; but a dial needs its generation, so it takes its turn again."""
        if self._waiting and self.open < self.options.max_connections:
            self._waiting.popleft().not_taken(RoomAgain())

    def _freed(self, connection: UpstreamConnection) -> None:
        if not connection.is_idle:
            return
        if self._waiting:
            self._waiting.popleft().taken(connection)
        elif len(self.idle) >= self.options.keep or not self.holders:
            connection.close()
        else:
            connection.deadline.move(self._reactor.now + self.options.keep_alive)
            self.idle.append(connection)

    def _lost(self, connection: UpstreamConnection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        self.gone()

    def gone(self) -> None:
        """A connection is no more; said from outside of one that was handed over."""
        self.open -= 1
        self._dial_for_next()

    # -- life --------------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """One more generation uses it."""
        self.holders += 1

    def release(self) -> None:
        """One less. Without any, what is idle is closed, and what is not will be."""
        self.holders -= 1
        if not self.holders:
            for connection in self.idle:
                connection.close()


class RoomAgain(ReactorError):
    """A connection has ended while this one waited: it may make one of its own."""


class Upstreams:
    """All servers by their addresses, over all generations. `changes` counts those of anybody's health."""

    def __init__(self) -> None:
        self.known: dict[Address, Upstream] = {}
        self.changes = 0

    def find(self, reactor: Reactor, clock: Callable[[], float], address: Address, options: Options) -> Upstream:
        """The one at `address`, made if it is new."""
        upstream = self.known.get(address)
        if upstream is None:
            upstream = self.known[address] = Upstream(reactor, clock, address, options)
            upstream.health.on_change = self._changed
        return upstream

    def _changed(self) -> None:
        self.changes += 1

    def forget(self) -> None:
        """Those that no generation uses."""
        for address in [address for address, upstream in self.known.items() if not upstream.holders]:
            del self.known[address]
