"""A line between two processes of this program, one of which has started the other: short messages with descriptors.

A message is a JSON object and arrives whole or not at all. What is large travels as a descriptor of a file in memory,
so neither side ever waits for the other to read. The end of the line is told like a message: the other process is gone.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.core.task import Future

# Of one message; names of listeners are what takes room.
_LARGEST: Final = 64 * 1024
# What the system lets travel with one message (SCM_MAX_FD).
MOST_DESCRIPTORS: Final = 253

Message = dict[str, Any]


class Line:
    """One end. `await receive()` gives the next message and its descriptors, or None for the end."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self._reactor = reactor
        self._sock = sock
        self._arrived: deque[tuple[Message, list[int]] | None] = deque()
        self._waiter: Future[None] | None = None
        self._open = True
        sock.setblocking(False)
        reactor.register(sock.fileno(), READ, self._ready)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Descriptors stay the caller's too. Nothing if the other side is gone, which `receive` tells."""
        try:
            socket.send_fds(self._sock, [json.dumps(message).encode()], list(descriptors))
        except OSError:
            pass

    async def receive(self) -> tuple[Message, list[int]] | None:
        """The descriptors are the caller's to close."""
        while not self._arrived:
            self._waiter = self._reactor.future()
            await self._waiter
        return self._arrived.popleft()

    def _ready(self, _: int) -> None:
        try:
            data, descriptors, *_rest = socket.recv_fds(self._sock, _LARGEST, MOST_DESCRIPTORS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, descriptors = b"", []
        if data:
            self._arrived.append((json.loads(data), descriptors))
        else:
            self._arrived.append(None)
            self.close()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)

    def close(self) -> None:
        """The other side hears of the end."""
        if self._open:
            self._open = False
            self._reactor.unregister(self._sock.fileno())
            self._sock.close()


def make_line(reactor: Reactor, start: Callable[[int], object]) -> Line:
    """Start a process: `start(fd)` gives it `fd` to inherit, which is its end. Ours is what is returned. OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            start(theirs.fileno())
        except BaseException:
            ours.close()
            raise
    return Line(reactor, ours)


def line_from(reactor: Reactor, fd: int) -> Line:
    """The end that this process was started with."""
    os.set_inheritable(fd, False)
    return Line(reactor, socket.socket(fileno=fd))


def as_descriptor(data: bytes) -> int:
    """A file in memory, at its beginning, with `data` in it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("handover")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    with os.fdopen(os.dup(fd), "wb") as out:
        out.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def from_descriptor(fd: int) -> bytes:
    """What `as_descriptor` was given; `fd` is closed."""
    with os.fdopen(fd, "rb") as file:
        return file.read()
