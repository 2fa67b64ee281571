"""Nodes as `python -m peer --no-history` has them, less terminal and trackers, any number of them on one reactor.

A Speaker is told what becomes of its node's messages. It keeps a number of broadcasts under way, or writes one whenever
it is told to, and notes how long each took until the last recipient had acknowledged it.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from bench.peers.results import Figures, figures
from peer.delivery.audience import Deaf
from peer.delivery.letters import Letter
from peer.link import Link
from peer.messages import with_seq
from peer.node import Listed, Node, Settings
from peer.storage.memory import MemoryStore
from reactor.core.address import Address
from reactor.core.dial import dial
from reactor.core.listener import Listener, bind
from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.core.task import Future
from reactor.core.transport import Transport

LOOPBACK: Final = "127.0.0.1"
# A sentence as people write it: a frame of about 250 bytes.
TEXT: Final = "Shall we meet at seven at the usual place? I can bring the maps."
BACKLOG: Final = 2048
A_NUMBER: Final = 1000  # of as many digits as most numbers have
CHANNEL: Final = "all"
# Entries that a node remembers, and up to twice as many. A program has 1,000 for its one node; a hundred nodes with so
# many in one process would be a benchmark of its memory.
HISTORY: Final = 50
PATIENCE: Final = 20.0  # seconds; what takes longer will not come


class _NoNames:
    def run(self, function: Callable[..., Any], *args: Any) -> NoReturn:
        raise AssertionError("there are no names on loopback")


def timestamp() -> str:
    """Now, as the wire has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class House:
    """A node and the port where it is at home."""

    def __init__(self, reactor: Reactor, name: str, audience: Deaf) -> None:
        self.reactor = reactor
        self.listener = Listener(reactor, bind(Address(LOOPBACK, 0)), self._accepted)
        self.node = Node(
            reactor, name, name, MemoryStore(reactor, random.randbytes(8).hex(), HISTORY), self._dial, audience,
            settings=Settings(rate=0, max_links=5000), unix_time=time.time, timestamp=timestamp,
            chance=random.SystemRandom(), listen_port=self.listener.address.port,
        )  # fmt: skip
        self.listener.start(BACKLOG)

    async def _dial(self, address: Address, factory: Callable[[], Link]) -> Link:
        return await dial(self.reactor, _NoNames(), address, factory)

    def _accepted(self, sock: socket.socket, address: tuple[str, int]) -> None:
        Transport(self.reactor, sock, address[:2], self.node.accept())

    @property
    def listed(self) -> Listed:
        return Listed(self.node.peer_id, self.node.username, self.listener.address, tuple(self.node.channels))


class Speaker(Deaf):
    """The audience of the house that it is given as `house`."""

    house: House

    def __init__(self, reactor: Reactor) -> None:
        self.frame = b""  # a broadcast as it is on the wire
        self._reactor = reactor
        self._due: dict[str, float] = {}  # the id of a broadcast that is under way -> when it was due
        self._took: list[float] = []
        self._failed = 0
        self._over: Future[None] = reactor.future()
        self._go_on: Callable[[], object] = lambda: None

    def progress(self, letter: Letter, peer_id: str) -> None:
        self._failed += peer_id in letter.reasons
        if not letter.copies and (due := self._due.pop(letter.entry.id, None)) is not None:
            self._took.append(time.perf_counter() - due)
            self._reactor.call_soon(self._go_on)

    @property
    def links(self) -> int:
        """That are open."""
        return sum(link.is_open for link in self.house.node.links)

    def wait_for(self, predicate: Callable[[], bool]) -> None:
        until(self._reactor, predicate)

    def full(self, seconds: float, window: int) -> Figures:
        """As many as it can, with `window` broadcasts under way."""

        def go_on() -> None:
            if (now := time.perf_counter()) < end:
                self._post(now)
            else:
                self._end()

        def begin() -> None:
            for _ in range(window):
                go_on()

        now = time.perf_counter()
        end = now + seconds
        self._go_on = go_on
        return self._measure(begin, now, end)

    def paced(self, dues: Sequence[float]) -> Figures:
        """One for each byte of standard input, which comes when the broadcast is due."""
        left = deque(dues)

        def post(_: int) -> None:
            for _ in os.read(0, len(left)):
                self._post(left.popleft())
            if not left:
                self._reactor.unregister(0)

        self._go_on = lambda: None if left else self._end()
        return self._measure(lambda: self._reactor.register(0, READ, post), dues[0], dues[-1])

    def _post(self, due: float) -> None:
        letter = self.house.node.broadcast(TEXT)
        self._due[letter.entry.id] = due
        self.frame = with_seq(letter.tail, A_NUMBER)

    def _end(self) -> None:
        if not self._due:
            self._over.set_result(None)

    def _measure(self, begin: Callable[[], object], start: float, end: float) -> Figures:
        """From `start`, until what is posted up to `end` has come or will not."""
        self._took, self._failed = [], 0
        self._over = self._reactor.future()
        patience = self._reactor.call_later(end - time.perf_counter() + PATIENCE, self._over.set_result, None)
        links, cpu = self.links, time.process_time()
        begin()
        self._reactor.run_until(self._over)
        patience.cancel()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        return figures(self._took, links, seconds, cpu, self._failed + len(self._due) * links)


def until(reactor: Reactor, condition: Callable[[], bool]) -> None:
    """Run until it is true, which is looked at each millisecond. RuntimeError if it does not come."""
    end = time.perf_counter() + PATIENCE

    def look() -> None:
        if condition() or time.perf_counter() > end:
            reactor.stop()
        else:
            reactor.call_later(0.001, look)

    look()
    reactor.run()
    if not condition():
        raise RuntimeError(f"it did not come about within {PATIENCE:g} s")
