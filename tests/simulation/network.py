"""A network in memory: connections with delays that a seed decides, and that can be cut, on a fake clock.

Each direction keeps its order, as TCP does; directions and connections overtake each other. A cut takes what is under
way with it, and each end hears of it in its own time, or not at all until it writes (a silent cut: a cable is pulled).
"""

from __future__ import annotations

import errno
import random
from collections.abc import Awaitable, Callable
from typing import Any

from machine import Machine

from reactor.core.address import Address
from reactor.core.task import sleep
from reactor.core.timers import NEVER
from reactor.core.transport import HIGH_WATER
from reactor.errors import DialError
from reactor.testing import FakeReactor

# How long a dial waits for an answer.
PATIENCE = 10.0


def reset() -> OSError:
    return OSError(errno.ECONNRESET, "Connection reset by peer")


class End:
    """One end of a connection, with what `Transport` promises to a protocol."""

    def __init__(self, network: Network, number: int, machine: Machine, host: str, peer: tuple[str, int]) -> None:
        self.number = number  # in the order of making
        self.peer = peer
        self.host = host
        self.machine = machine
        self.stall_limit = NEVER
        self.on_drained: Callable[[], object] | None = None
        self.other: End
        self.lost = False
        self.closing = False
        self.reading = True
        self.is_silent = False  # what it sends gets lost
        self._network = network
        self._chance = random.Random(network.chance.random())  # its own: the order among connections changes nothing
        self._protocol: Any = None
        self._arrived: list[bytes] = []
        self._at = 0.0  # when what was written last arrives
        self._ended = False
        self._stalled = False
        self._held: list[bytes] = []
        self._linger = 0.0
        self._paused = False
        self._stall = machine.deadline(lambda: self.abort(OSError(errno.ETIMEDOUT, "took nothing")))

    def begin(self, protocol: Any) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def accept(self, address: Address) -> None:
        """The other end has connected; by now nobody may be listening any more."""
        make = self._network.listeners.get(address)
        if self.lost:
            return
        if make is None:
            self._leave()
            self._send(self.other._lose, reset())
        else:
            self.begin(make())

    # -- what the protocol may do ------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        return sum(map(len, self._held))

    @property
    def is_closing(self) -> bool:
        return self.closing or self.lost

    def keep_alive(self, idle: int, interval: int, probes: int) -> None: ...

    def write(self, data: bytes) -> None:
        if self.is_closing or not data:
            return
        if not self._stalled:
            self._send(self.other._receive, bytes(data))
            return
        if not self._held:
            self._stall.move(self.machine.now + self.stall_limit)
        self._held.append(bytes(data))
        if self.unsent > HIGH_WATER and not self._paused:
            self._paused = True
            self.machine.call_soon(self._protocol.pause_writing)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self.machine.call_soon(self._deliver)

    def close(self, linger: float = 0.0) -> None:
        if not self.is_closing:
            self.closing = True
            self._linger = linger
            if not self._held:
                self._finish_close()

    def abort(self, error: OSError | None = None) -> None:
        if not self.lost:
            self._send(self.other._lose, reset())
            self._lose(error)

    # -- what the network does ---------------------------------------------------------------------------------------

    def _send(self, callback: Callable[..., object], *args: Any) -> None:
        """To the other end, in the order of the calls, each after a delay of its own."""
        network = self._network
        delay = network.delay(self._chance, self.host, self.other.host)
        self._at = max(self._at, network.now + delay)
        if not self.is_silent:
            network.reactor.call_later(self._at - network.now, self._arrive, callback, args)

    def _arrive(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.is_silent:
            self.other.machine.hand(self.other, callback, *args)

    def _receive(self, data: bytes) -> None:
        if not self.lost:
            self._arrived.append(data)
            self._deliver()

    def _deliver(self) -> None:
        while self._arrived and self.reading and not self.lost:
            data = self._arrived.pop(0)
            for piece in self._cut_up(data):
                if not self.is_closing:
                    self._protocol.data_received(piece)
        if self._ended and not self._arrived and self.reading and not self.is_closing:
            self._ended = False
            self._protocol.eof_received()

    def _cut_up(self, data: bytes) -> list[bytes]:
        """As TCP might hand it over."""
        if self._chance.random() < 0.8:
            return [data]
        at = self._chance.randrange(len(data) + 1)
        return [piece for piece in (data[:at], data[at:]) if piece]

    def _receive_eof(self) -> None:
        self._ended = True
        if self.closing and not self._held:
            self._lose(None)
        else:
            self._deliver()

    def _finish_close(self) -> None:
        self._send(self.other._receive_eof)
        if self._linger and not self._ended:
            self.machine.call_later(self._linger, self._lose, None)
        else:
            self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if not self.lost:
            self._leave()
            if self._protocol is not None:
                self.machine.call_soon(self._protocol.connection_lost, error)

    def _leave(self) -> None:
        self.lost = True
        self._held.clear()
        self._stall.close()
        self._network.ends.discard(self)

    # -- a reader that stops for a while -----------------------------------------------------------------------------

    def stall(self) -> None:
        """What is written waits here until `release`."""
        self._stalled = True

    def release(self) -> None:
        if self.lost or not self._stalled:
            return
        self._stalled = False
        held, self._held = self._held, []
        for data in held:
            self._send(self.other._receive, data)
        self._stall.move(NEVER)
        if held and self.on_drained is not None:
            self.machine.call_soon(self.on_drained)
        if self._paused:
            self._paused = False
            self.machine.call_soon(self._protocol.resume_writing)
        if self.closing:
            self._finish_close()


class Network:
    """`listeners` has, by address, what makes the protocol of an accepted connection; `machines` who runs there."""

    def __init__(self, reactor: FakeReactor, chance: random.Random, *, slowest: float = 0.2) -> None:
        """`reactor` is the network's own: it carries what is under way."""
        self.reactor = reactor
        self.chance = chance
        self.slowest = slowest
        self.machines: dict[str, Machine] = {}
        self.listeners: dict[Address, Callable[[], Any]] = {}
        self.ends: set[End] = set()
        self.off: set[str] = set()  # hosts without power: they do not even refuse
        self._parted: set[frozenset[str]] = set()  # pairs of hosts between which nothing gets through
        self._slow_until: dict[frozenset[str], float] = {}
        self._made = 0

    @property
    def now(self) -> float:
        return self.reactor.clock.now

    def delay(self, chance: random.Random, one: str, other: str) -> float:
        """Mostly quick, sometimes not; and what is sent on a path that is stuck arrives when it is free again."""
        stuck = self._slow_until.get(frozenset((one, other)), 0.0) - self.now
        return max(stuck, 0.0) + chance.random() ** 3 * self.slowest

    def connect_from(self, host: str) -> Callable[[Address, Callable[[], Any]], Awaitable[Any]]:
        async def connect(address: Address, factory: Callable[[], Any]) -> Any:
            delay = self.delay(self.chance, host, address.host)
            if delay > PATIENCE or address.host in self.off or frozenset((host, address.host)) in self._parted:
                await sleep(PATIENCE)
                raise DialError(f"no answer from {address} within {PATIENCE:g} s")
            await sleep(delay)
            if address not in self.listeners:
                raise DialError(f"nobody listens at {address} (connection refused)")
            return self.join(factory(), host, address)

        return connect

    def join(self, dialler: Any, host: str, address: Address) -> Any:
        self._made += 2
        port = self.chance.randrange(40_000, 60_000)
        near = End(self, self._made, self.machines[host], host, (address.host, address.port))
        far = End(self, self._made + 1, self.machines[address.host], address.host, (host, port))
        near.other, far.other = far, near
        self.ends |= {near, far}
        far.machine.hand(far, far.accept, address)
        near.begin(dialler)
        return dialler

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def some_ends(self, host: str = "") -> list[End]:
        """All, or those of a host, in an order that does not depend on the run."""
        ends = [end for end in self.ends if not host or end.host == host]
        return sorted(ends, key=lambda end: end.number)

    def between(self, one: str, other: str) -> list[End]:
        return [end for end in self.some_ends(one) if end.other.host == other]

    def cut(self, end: End) -> None:
        """Break the connection: each end hears of it, in its own time."""
        for one in (end, end.other):
            one.is_silent = True
            wait = self.delay(self.chance, one.host, one.other.host)
            self.reactor.call_later(wait, one.machine.hand, one, one._lose, reset())

    def die(self, end: End, heard_after: float) -> None:
        """The process at this end is gone; the other end hears of it after so many seconds, or never (NEVER)."""
        end._leave()
        end.is_silent = end.other.is_silent = True
        if heard_after < NEVER:
            self.reactor.call_later(heard_after, end.other.machine.hand, end.other, end.other._lose, reset())

    def part(self, one: str, other: str) -> None:
        """Nothing gets through between two hosts until `heal`."""
        self._parted.add(frozenset((one, other)))
        for end in self.between(one, other):
            end.is_silent = end.other.is_silent = True

    def slow_down(self, one: str, other: str, seconds: float) -> None:
        """What is sent between two hosts arrives after that: a path that loses packets, which TCP sends again."""
        self._slow_until[frozenset((one, other))] = self.now + seconds

    def heal(self) -> None:
        self._parted.clear()
        self._slow_until.clear()
