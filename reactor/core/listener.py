"""Listening sockets: the accept loop, and what it does when there is no room.

Out of descriptors (EMFILE) is the classic way to spin: the socket stays readable and `accept` keeps failing. So the
listener looks away for a second, and says so once. Over the connection limit it accepts, sends a short refusal and
closes: a client that is told beats one that waits in the backlog.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from reactor.core.address import Address
from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.errors import StartError

# Accept this many in one turn, then let the connections that are there have theirs.
ACCEPTS_A_TURN = 64
PAUSE = 1.0

_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def bind(address: Address) -> socket.socket:
    """A bound socket, not listening yet. StartError, in words, if the system does not give it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # a machine without IPv6
        raise StartError(f"cannot listen on {address}: {_why(error)}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except (OSError, OverflowError) as error:
        sock.close()
        raise StartError(f"cannot listen on {address}: {_why(error)}") from None
    return sock


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return "another program has this port. Stop it (`ss -ltnp` names it) or choose another port"
    if number == errno.EACCES:
        return "ports below 1024 need privileges. Choose another port, or give this program CAP_NET_BIND_SERVICE"
    if number == errno.EADDRNOTAVAIL:
        return "this machine has no such address (`ip address` lists them)"
    if isinstance(error, socket.gaierror):
        return "this is no IP address; write one, such as 127.0.0.1 or ::1"
    return getattr(error, "strerror", None) or str(error)


class Listener:
    """Hands every accepted socket (non-blocking) with its peer's address to `on_accept`."""

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        on_accept: Callable[[socket.socket, tuple[str, int]], object],
        *,
        has_room: Callable[[], bool] = lambda: True,
        refusal: bytes = b"",
        on_trouble: Callable[[str], object] = lambda text: None,
    ) -> None:
        """`has_room()` is asked before each connection is let in; others get `refusal` and are closed."""
        self._reactor = reactor
        self._sock = sock
        self._on_accept = on_accept
        self._has_room = has_room
        self._refusal = refusal
        self._on_trouble = on_trouble
        self._in_trouble = False
        self._open = True
        self._registered = False
        self.refused = 0
        self.address = Address(*sock.getsockname()[:2])

    def start(self, backlog: int) -> None:
        """Listen and accept. StartError if somebody else got the port meanwhile."""
        try:
            self._sock.listen(backlog)
        except (OSError, OverflowError) as error:
            raise StartError(f"cannot listen on {self.address}: {_why(error)}") from None
        self._resume()

    def _resume(self) -> None:
        if self._open and not self._registered:
            self._registered = True
            self._reactor.register(self._sock.fileno(), READ, self._ready)

    def _ready(self, _: int) -> None:
        for _ in range(ACCEPTS_A_TURN):
            if not self._open:  # closed by one that was let in, or by another source of the same turn
                break
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    self._pause(error)
                    break
                continue  # this one connection died in the backlog (ECONNABORTED and its kin)
            self._in_trouble = False
            self._admit(sock, peer)

    def _admit(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        sock.setblocking(False)
        if self._has_room():
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                pass  # gone already, or no TCP
            self._on_accept(sock, peer)
            return
        self.refused += 1
        try:
            sock.send(self._refusal)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(65_536)  # what is unread at the close turns it into a reset
        except OSError:
            pass  # it did not wait for the answer
        sock.close()

    def _pause(self, error: OSError) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            why = os.strerror(error.errno or 0)
            self._on_trouble(f"cannot accept connections on {self.address}: {why}; trying again each second")
        self._unregister()
        self._reactor.call_later(PAUSE, self._resume)

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._reactor.unregister(self._sock.fileno())

    def close(self) -> None:
        """Stop accepting. Connections that are open stay."""
        if self._open:
            self._open = False
            self._unregister()
            self._sock.close()
