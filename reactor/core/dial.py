"""Connecting: several addresses, one deadline, and a reason a person can act on.

A name may have many addresses and some of them may be dead. Attempts start 250 ms apart, or as soon as the one before
has failed, and the first that connects wins (RFC 8305, without its sorting). Names are looked up in a helper thread,
because the system's resolver blocks; a literal address never leaves this one.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from reactor.core.address import Address
from reactor.core.loop import Reactor
from reactor.core.selector import WRITE
from reactor.core.task import Future, timeout
from reactor.core.timers import Timer
from reactor.core.transport import ConnectionProtocol, Transport
from reactor.errors import DialError, DialTimeout

P = TypeVar("P", bound=ConnectionProtocol)

STAGGER = 0.25


class Names(Protocol):
    """Whatever runs `getaddrinfo` without blocking this thread: an offload Pool."""

    def run(self, function: Callable[..., Any], *args: Any) -> Future[Any]: ...


SockAddr = tuple[int, tuple[Any, ...]]  # address family, and what `connect` takes


async def dial(
    reactor: Reactor, names: Names, address: Address, factory: Callable[[], P], *, seconds: float = 10.0
) -> P:
    """Connect and return the protocol that `factory` made, on its transport. DialError says why not."""
    race: _Race | None = None
    try:
        async with timeout(seconds):
            race = _Race(reactor, address, await resolve(names, address))
            sock = await race.take()
    except TimeoutError:
        raise DialTimeout(
            f"no answer from {address} within {seconds:g} s: a firewall, the wrong network, or a machine that is off"
        ) from None
    finally:
        if race is not None:
            race.end()
    try:
        peer = sock.getpeername()[:2]
    except OSError:  # reset before we looked
        sock.close()
        raise DialError(_why(errno.ECONNRESET, address)) from None
    protocol = factory()
    Transport(reactor, sock, peer, protocol)
    return protocol


async def resolve(names: Names, address: Address) -> list[SockAddr]:
    """All addresses of a name, in the system's order of preference."""
    literal = _literal(address)
    if literal is not None:
        return [literal]
    try:
        found = await names.run(socket.getaddrinfo, address.host, address.port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DialError(f"the name {address.host} is not known here ({reason})") from None
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


def _literal(address: Address) -> SockAddr | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address.host)
        except OSError:
            continue
        return family, tuple(address)
    return None


class _Race:
    """The attempts for one dial. `winner` is the first connected socket; `end` closes all others."""

    def __init__(self, reactor: Reactor, address: Address, targets: list[SockAddr]) -> None:
        self.winner: Future[socket.socket] = Future(reactor)
        self._reactor = reactor
        self._address = address
        self._targets = targets
        self._running: set[socket.socket] = set()
        self._stagger: Timer | None = None
        self._last_error = errno.EADDRNOTAVAIL
        self._taken = False
        self._next()

    async def take(self) -> socket.socket:
        """The winner, which is the caller's to close from now on."""
        sock = await self.winner
        self._taken = True
        return sock

    def _next(self) -> None:
        """Start the next attempt; when none is left and none runs, the race is lost."""
        if self._stagger is not None:
            self._stagger.cancel()
        if self.winner.done:
            return
        if self._targets:
            self._attempt(*self._targets.pop(0))
        elif not self._running:
            self.winner.set_error(DialError(_why(self._last_error, self._address)))

    def _attempt(self, family: int, sockaddr: tuple[Any, ...]) -> None:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            self._failed(error.errno or errno.EIO)
            return
        sock.setblocking(False)
        number = sock.connect_ex(sockaddr)
        if number not in (0, errno.EINPROGRESS):
            sock.close()
            self._failed(number)
            return
        self._running.add(sock)
        self._reactor.register(sock.fileno(), WRITE, lambda mask: self._ready(sock))
        self._stagger = self._reactor.call_later(STAGGER, self._next)

    def _failed(self, number: int) -> None:
        self._last_error = number
        self._reactor.call_soon(self._next)

    def _ready(self, sock: socket.socket) -> None:
        if sock not in self._running:  # another one has won in this very turn
            return
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._running.discard(sock)
        self._reactor.unregister(sock.fileno())
        if number:
            sock.close()
            self._failed(number)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stop_others()
        self.winner.set_result(sock)

    def end(self) -> None:
        """Close all that nobody took."""
        self._stop_others()
        if not self.winner.done:
            self.winner.cancel()
        elif not self._taken and self.winner.error is None:
            self.winner.result().close()

    def _stop_others(self) -> None:
        if self._stagger is not None:
            self._stagger.cancel()
        for sock in self._running:
            self._reactor.unregister(sock.fileno())
            sock.close()
        self._running.clear()


def _why(number: int, address: Address) -> str:
    if number == errno.ECONNREFUSED:
        return f"nobody listens at {address} (connection refused)"
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return f"there is no way to {address} from here ({os.strerror(number).lower()}): is it on this network?"
    if number in (errno.EMFILE, errno.ENFILE):
        return f"cannot dial {address}: this program has no descriptors left"
    return f"cannot connect to {address}: {os.strerror(number).lower()}"
