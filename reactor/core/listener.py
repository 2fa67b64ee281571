"""Listening sockets: the accept loop, and what it does when there is no room.

Over the connection limit it accepts, sends a short refusal and ends it: a client that is told beats one that waits in
the backlog. Out of descriptors (EMFILE) is the classic way to spin: the socket stays readable and `accept` keeps
failing. So a listener holds one in reserve: it lets go of it, accepts, refuses, and takes it again. Where not even that
works, it looks away for a second. It is said once a minute.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from reactor.core.address import Address
from reactor.core.inherited import where
from reactor.core.last_words import LastWords
from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.core.timers import NEVER
from reactor.core.transport import Transport
from reactor.core.unix_socket import bind_unix
from reactor.errors import StartError

# Accept this many in one turn, then let the connections that are there have theirs.
ACCEPTS_A_TURN = 64
PAUSE = 1.0
TELL_EVERY = 60.0
# So many that are refused have time to read it; of more, those go that had the longest. They take descriptors that are
# kept for the process's own needs.
MOST_REFUSED = 8

_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_NO_RESOURCES = (*_NO_DESCRIPTORS, errno.ENOBUFS, errno.ENOMEM)
# Of the file of a Unix socket: its owner and group, which a proxy in front is made a member of.
UNIX_MODE = 0o660


class PortTaken(StartError):
    """Another program listens there."""


def bind(address: Address, *, mode: int = UNIX_MODE, shares_port: bool = False) -> socket.socket:
    """A bound socket, for a Listener. StartError, in words, if the system does not give it. `mode` is for the file of a
    Unix socket; `shares_port` for a port that another socket of ours shares (`share_port`).
    """
    if address.path:
        return bind_unix(address, mode)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # a machine without IPv6
        raise StartError(f"cannot listen on {address}: {_why(error)}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            share_port(sock, True)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except (OSError, OverflowError) as error:
        sock.close()
        kind = PortTaken if getattr(error, "errno", None) == errno.EADDRINUSE else StartError
        raise kind(f"cannot listen on {address}: {_why(error)}") from None
    return sock


def share_port(sock: socket.socket, shared: bool) -> None:
    """Let another socket of this user have the port too, though one of both is bound to all addresses (SO_REUSEPORT).
    Only for as long as one takes the place of the other: else a second server would start on it and nobody would know.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return "another program has this port. Stop it (`ss -ltnp` names it) or choose another port"
    if number == errno.EACCES:
        return "ports below 1024 need privileges. Choose another port, or give this program CAP_NET_BIND_SERVICE"
    if number == errno.EADDRNOTAVAIL:
        return "this machine has no such address (`ip address` lists them)"
    if isinstance(error, socket.gaierror):
        return "this machine knows no address of that name. Correct it, or write an address, such as 127.0.0.1"
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
        make_room: Callable[[], object] = lambda: None,
        refusal: Callable[[], bytes] = lambda: b"",
        on_trouble: Callable[[str], object] = lambda text: None,
    ) -> None:
        """`has_room()` is asked before each connection is let in; others get `refusal()` and are closed. `make_room()`
        is asked to close some that can be spared when there are no descriptors left.
        """
        self._reactor = reactor
        self._sock = sock
        self._on_accept = on_accept
        self._has_room = has_room
        self._make_room = make_room
        self._refusal = refusal
        self._on_trouble = on_trouble
        self._told_at = -NEVER
        self._is_paused = False
        self._open = True
        self._registered = False
        self.refused = 0
        self.address = where(sock)
        self._reserve: int | None = None
        self._being_refused: dict[LastWords, None] = {}  # in the order they came

    def start(self, backlog: int) -> None:
        """Listen and accept. StartError if somebody else got the port meanwhile."""
        self.listen(backlog)
        self._reserve = _take_reserve()
        self._resume()

    def listen(self, backlog: int) -> None:
        """Let so many connections wait; also for one that listens already."""
        try:
            self._sock.listen(backlog)
        except (OSError, OverflowError) as error:
            raise StartError(f"cannot listen on {self.address}: {_why(error)}") from None

    @property
    def sock(self) -> socket.socket:
        """The listening socket; it stays the listener's."""
        return self._sock

    def pause(self) -> None:
        """Accept nobody until `resume`. Who comes meanwhile waits, or is accepted by another process."""
        self._is_paused = True
        self._unregister()

    def resume(self) -> None:
        """The end of a `pause`."""
        self._is_paused = False
        self._resume()

    def _resume(self) -> None:
        if self._open and not self._registered and not self._is_paused:
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
                if error.errno not in _NO_RESOURCES:
                    continue  # this one connection died in the backlog (ECONNABORTED and its kin)
                self._tell(error)
                if not self._cope(error):
                    break
                continue
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
        self._refuse(sock, peer)

    def _refuse(self, sock: socket.socket, peer: object) -> None:
        self.refused += 1
        words = self._refusal()
        if self._reserve is None or not words:
            _dismiss(sock, words)
            return
        self._forget_refused(MOST_REFUSED - 1)
        Transport(self._reactor, sock, peer, LastWords(words, self._being_refused))

    def _forget_refused(self, but: int = 0) -> bool:
        """Let those go that had longest to read why, `but` for so many; whether there were any."""
        longest = list(self._being_refused)[: max(0, len(self._being_refused) - but)]
        for refused in longest:
            refused.abort()
        return bool(longest)

    def _cope(self, error: OSError) -> bool:
        """The system has nothing left for another connection. Whether to go on accepting in this turn."""
        if error.errno in _NO_DESCRIPTORS:
            return self._forget_refused() or self._accept_with_reserve()
        self._look_away()
        return False

    def _accept_with_reserve(self) -> bool:
        """Let one in if another can make room, or tell it that there is none. False if there is nobody, which `accept`
        cannot say before it has a descriptor, or if not even that can be done.
        """
        self._release_reserve()
        try:
            sock, peer = self._sock.accept()
        except OSError as error:
            self._reserve = _take_reserve()
            if not isinstance(error, BlockingIOError):
                self._look_away()
            return False
        self._make_room()
        self._reserve = _take_reserve()
        if self._reserve is not None:
            self._admit(sock, peer)
        else:
            sock.setblocking(False)
            self._refuse(sock, peer)
            self._reserve = _take_reserve()
        return True

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _tell(self, error: OSError) -> None:
        if self._reactor.now - self._told_at > TELL_EVERY:
            self._told_at = self._reactor.now
            why = os.strerror(error.errno or 0)
            self._on_trouble(f"no room for connections on {self.address}: {why}; idle ones go, others are refused")

    def _look_away(self) -> None:
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
            self._release_reserve()
            self._forget_refused()


def _dismiss(sock: socket.socket, words: bytes) -> None:
    """At once, with what it has sent so far read: unread it would turn the close into a reset."""
    try:
        sock.send(words)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(65_536)
    except OSError:
        pass  # it did not wait for the answer
    sock.close()


def _take_reserve() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
