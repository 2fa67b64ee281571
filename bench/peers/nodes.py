"""Nodes as `python -m peer --no-history` has them, less terminal and trackers, any number of them on one reactor.

A Speaker is told what becomes of its node's messages. It keeps a number of broadcasts under way, or writes them at fixed
times, and notes how long each took until the last recipient had acknowledged it.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from bench.peers.results import Figures, figures
from peer.contact import Contact
from peer.letters import Letter
from peer.link import Link
from peer.node import Listed, Node, Settings
from peer.program import timestamp
from peer.store import Entry, MemoryStore
from reactor.core.address import Address
from reactor.core.dial import dial
from reactor.core.listener import Listener, bind
from reactor.core.loop import Reactor
from reactor.core.transport import Transport

LOOPBACK: Final = "127.0.0.1"
# A sentence as people write it: a frame of about 250 bytes.
TEXT: Final = "Shall we meet at seven at the usual place? I can bring the maps."
BACKLOG: Final = 2048
CHANNEL: Final = "all"
PATIENCE: Final = 20.0  # seconds; what takes longer will not come


class Deaf:
    """An audience that nothing interests."""

    def accepted(self, address: tuple[str, int]) -> None: ...
    def connected(self, contact: Contact, link: Link) -> None: ...
    def disconnected(self, contact: Contact, why: str) -> None: ...
    def away(self, contact: Contact) -> None: ...
    def message(self, entry: Entry) -> None: ...
    def progress(self, letter: Letter, peer_id: str) -> None: ...
    def trouble(self, text: str) -> None: ...


class _NoNames:
    def run(self, function: Callable[..., Any], *args: Any) -> NoReturn:
        raise AssertionError("there are no names on loopback")


class House:
    """A node and the port where it is at home."""

    def __init__(self, reactor: Reactor, name: str, audience: Deaf) -> None:
        self.reactor = reactor
        self.listener = Listener(reactor, bind(Address(LOOPBACK, 0)), self._accepted)
        self.node = Node(
            reactor, name, name, MemoryStore(reactor, random.randbytes(8).hex()), self._dial, audience,
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

    @property
    def open_links(self) -> int:
        return sum(link.is_open for link in self.node.links)


class Speaker(Deaf):
    """The audience of the house that it is given as `house`."""

    house: House

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._due: dict[str, float] = {}  # the id of a broadcast that is under way -> when it was due
        self._taken: list[float] = []
        self._failed = 0
        self._next: Callable[[], object] = lambda: None

    def progress(self, letter: Letter, peer_id: str) -> None:
        self._failed += peer_id in letter.reasons
        if not letter.copies and (due := self._due.pop(letter.entry.id, None)) is not None:
            self._taken.append(time.perf_counter() - due)
            self._next()

    def _post(self, due: float) -> None:
        letter = self.house.node.broadcast(TEXT)
        self._due[letter.entry.id] = due

    def full(self, seconds: float, window: int) -> Figures:
        """As many as it can, with `window` broadcasts under way."""
        self._next = lambda: self._reactor.call_soon(again)

        def again() -> None:
            if (now := time.perf_counter()) < end:
                self._post(now)

        def begin() -> None:
            for _ in range(window):
                self._post(time.perf_counter())

        end = time.perf_counter() + seconds
        return self._measure(begin, lambda: time.perf_counter() >= end)

    def paced(self, seconds: float, rate: float) -> Figures:
        """`rate` broadcasts a second, whatever becomes of them."""
        self._next = lambda: None
        begun = time.perf_counter()
        times = iter([begun + number / rate for number in range(max(1, int(seconds * rate)))])
        left = [next(times)]

        def post() -> None:
            now = time.perf_counter()
            while left and left[0] <= now:
                self._post(left.pop())
                left.extend(next(times, None) or ())
            if left:
                self._reactor.call_later(left[0] - now, post)

        return self._measure(post, lambda: not left)

    def _measure(self, begin: Callable[[], object], ended: Callable[[], bool]) -> Figures:
        """Run until it has ended and nothing is under way."""
        self._taken.clear()
        self._failed = 0
        links = self.house.open_links
        clock, cpu = time.perf_counter(), time.process_time()
        begin()
        until(self._reactor, lambda: ended() and not self._due)
        return figures(
            self._taken, links, time.perf_counter() - clock, time.process_time() - cpu, self._failed
        )


def until(reactor: Reactor, condition: Callable[[], bool], *, every: float = 0.001) -> None:
    """Run until it is true, which is looked at every so many seconds. RuntimeError if it does not come."""
    end = time.perf_counter() + PATIENCE

    def look() -> None:
        if condition() or time.perf_counter() > end:
            reactor.stop()
        else:
            reactor.call_later(every, look)

    look()
    reactor.run()
    if not condition():
        raise RuntimeError(f"it did not come about within {PATIENCE:g} s")
