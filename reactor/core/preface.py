"""What comes before the first byte that is meant for us: read from the socket itself, and not one byte too many.

A proxy may say in front of a connection whom it is for (`sansio/proxy_header.py`). What follows, TLS perhaps, belongs
to whoever comes next, so the bytes are looked at first and taken only as far as the reader wants them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.errors import RemoteProtocolError

_PEEK: Final = 4096


class PrefaceReader(Protocol):
    """`feed` says how many of the bytes are its own: all, until it `is_complete`. It raises RemoteProtocolError."""

    @property
    def is_complete(self) -> bool: ...
    def feed(self, data: bytes) -> int: ...


R = TypeVar("R", bound=PrefaceReader)


class Preface(Generic[R]):
    """An accepted socket until its preface is read. `on_end(preface)` comes once, from the loop, unless it was aborted:
    with the `reader` complete, and the socket is whose it was told; or with a `failure` in words, and it is closed.
    """

    __slots__ = ("_fd", "_is_over", "_on_end", "_reactor", "_timer", "failure", "has_expired", "peer", "reader", "sock")

    def __init__(
        self, reactor: Reactor, sock: socket.socket, peer: object, reader: R, seconds: float,
        on_end: Callable[[Preface[R]], object],
    ) -> None:  # fmt: skip
        self.sock = sock
        self.peer = peer
        self.reader = reader
        self.failure = ""
        self.has_expired = False
        self._reactor = reactor
        self._fd = sock.fileno()
        self._is_over = False
        self._on_end = on_end
        self._timer = reactor.call_later(seconds, self._expired)
        reactor.register(self._fd, READ, self._ready)

    def abort(self) -> None:
        """Drop the connection; nobody is told."""
        self._leave()
        self.sock.close()

    def _ready(self, _: int) -> None:
        if self._is_over:  # dropped in this very turn; the number of its descriptor may be another's by now
            return
        try:
            data = self.sock.recv(_PEEK, socket.MSG_PEEK)
            taken = self.reader.feed(data)
            self.sock.recv(taken or 1)
        except (BlockingIOError, InterruptedError):
            return
        except RemoteProtocolError as error:
            self._failed(str(error))
        except OSError as error:
            self._failed(error.strerror or str(error))
        else:
            if self.reader.is_complete:
                self._leave()
                self._on_end(self)
            elif not data:
                self._failed("it left")

    def _expired(self) -> None:
        self.has_expired = True
        self._failed("it took too long")

    def _failed(self, reason: str) -> None:
        self.failure = reason
        self._leave()
        self.sock.close()
        self._on_end(self)

    def _leave(self) -> None:
        self._is_over = True
        self._timer.cancel()
        self._reactor.unregister(self._fd)
