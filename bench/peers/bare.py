"""The least that a loop in Python can do for a delivery: a message is sent and received, and so is an answer.

One thread, one epoll, all sockets in one process. The bytes are constants, as many as those of a node; nobody looks
into them, and nothing is limited, timed, numbered or kept.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Final

from bench.peers.results import Figures, figures

RECEIVE: Final = 64 * 1024  # as the transport does


class Bare:
    """A sender with a connection to each of `links` receivers."""

    def __init__(self, links: int, frame: bytes, ack: bytes) -> None:
        self._frame, self._ack = frame, ack
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._sockets: list[socket.socket] = []
        self._senders: list[socket.socket] = []
        self._awaited = 0
        with socket.create_server(("127.0.0.1", 0), backlog=links) as listener:
            for _ in range(links):
                self._connect(listener)

    def _connect(self, listener: socket.socket) -> None:
        sender = socket.create_connection(listener.getsockname())
        receiver = listener.accept()[0]

        def received() -> None:
            receiver.recv(RECEIVE)
            receiver.send(self._ack)

        def acknowledged() -> None:
            sender.recv(RECEIVE)
            self._awaited -= 1

        self._senders.append(sender)
        for sock, ready in ((sender, acknowledged), (receiver, received)):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
            self._ready[sock.fileno()] = ready

    def full(self, seconds: float) -> Figures:
        """One broadcast after the other."""
        took = []
        clock, cpu = time.perf_counter(), time.process_time()
        begun = now = clock
        while now < clock + seconds:
            self._broadcast()
            begun, now = now, time.perf_counter()
            took.append(now - begun)
        return figures(took, len(self._senders), now - clock, time.process_time() - cpu)

    def _broadcast(self) -> None:
        for sender in self._senders:
            sender.send(self._frame)
        self._awaited += len(self._senders)
        while self._awaited:
            for descriptor, _ in self._epoll.poll():
                self._ready[descriptor]()

    def close(self) -> None:
        self._epoll.close()
        for sock in self._sockets:
            sock.close()
