"""The least of a network: connections between hosts on one false clock, each direction in order and with its delays."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from reactor.core.address import Address
from reactor.core.task import sleep
from reactor.core.timers import NEVER
from reactor.errors import DialError
from reactor.testing import FakeReactor


class End:
    """What a protocol has in the place of a `Transport`. It always takes everything at once."""

    unsent = 0

    def __init__(self, wires: Wires, host: str, peer: tuple[str, int], protocol: Any) -> None:
        self.host, self.peer = host, peer
        self.other: End
        self.stall_limit = NEVER
        self.on_drained: Callable[[], object] | None = None
        self.is_closing = False
        self.is_lost = False
        self.is_silent = False  # what it sends gets lost
        self._wires = wires
        self._protocol = protocol
        self._last = 0.0  # when what was sent last arrives

    def begin(self) -> None:
        self._protocol.connection_made(self)

    def write(self, data: bytes) -> None:
        if not self.is_closing and data:
            self._send(self.other._receive, bytes(data))

    def close(self, linger: float = 0.0) -> None:
        if not self.is_closing:
            self.is_closing = True
            self._send(self.other._receive_eof)
            self._wires.reactor.call_later(linger, self.lose)

    def abort(self, error: OSError | None = None) -> None:
        self._send(self.other.lose, reset())
        self.lose(error)

    def keep_alive(self, idle: int, interval: int, probes: int) -> None: ...
    def pause_reading(self) -> None: ...  # nobody sends that much here
    def resume_reading(self) -> None: ...

    def _send(self, callback: Callable[..., object], *args: Any) -> None:
        reactor = self._wires.reactor
        self._last = max(self._last, reactor.clock.now + self._wires.delay())
        if not self.is_silent:
            reactor.call_later(self._last - reactor.clock.now, self._arrive, callback, args)

    def _arrive(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.is_silent:
            callback(*args)

    def _receive(self, data: bytes) -> None:
        cut = self._wires.chance.randrange(len(data) + 1)
        for piece in (data[:cut], data[cut:]):
            if piece and not self.is_closing:
                self._protocol.data_received(piece)

    def _receive_eof(self) -> None:
        if self.is_closing:
            self.lose()
        else:
            self._protocol.eof_received()

    def lose(self, error: OSError | None = None) -> None:
        if not self.is_lost:
            self.is_lost = self.is_closing = True
            self._wires.ends.remove(self)
            self._wires.reactor.call_soon(self._protocol.connection_lost, error)


class Wires:
    """`listeners` has, by address, what makes the protocol of an accepted connection; `dead` hosts do not answer."""

    def __init__(self, reactor: FakeReactor, chance: Random, slowest: float) -> None:
        self.reactor = reactor
        self.chance = chance
        self.slowest = slowest
        self.listeners: dict[Address, Callable[[], Any]] = {}
        self.dead: set[str] = set()
        self.dials: list[tuple[float, str, str]] = []  # when, who, whom
        self.ends: list[End] = []

    def delay(self) -> float:
        return self.chance.random() * self.slowest

    def connect_from(self, host: str) -> Callable[[Address, Callable[[], Any]], Awaitable[Any]]:
        async def connect(address: Address, factory: Callable[[], Any]) -> Any:
            self.dials.append((self.reactor.now, host, address.host))
            await sleep(10.0 if address.host in self.dead else self.delay())
            if address.host in self.dead:
                raise DialError(f"no answer from {address} within 10 s")
            if address not in self.listeners:
                raise DialError(f"nobody listens at {address} (connection refused)")
            return self._join(factory(), host, address)

        return connect

    def _join(self, dialler: Any, host: str, address: Address) -> Any:
        near = End(self, host, address, dialler)
        far = End(self, address.host, (host, self.chance.randrange(40_000, 60_000)), self.listeners[address]())
        near.other, far.other = far, near
        self.ends += [near, far]
        far.begin()
        near.begin()
        return dialler

    def cut(self, host: str, *, silently: bool = False) -> None:
        """Break all connections of a host: both ends hear of it, or none does."""
        for end in [end for end in self.ends if host in (end.host, end.other.host)]:
            end.is_silent = True
            if not silently:
                end.lose(reset())


def reset() -> OSError:
    return OSError(errno.ECONNRESET, "Connection reset by peer")
