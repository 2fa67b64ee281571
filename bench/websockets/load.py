"""The far ends: clients that cost the same whoever serves them. They know what comes back, and only count.

A message is so short that it comes whole in a frame with a header of two bytes; what a client sends is masked with
zeros, which is a mask like any other.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Final

HANDSHAKE: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE: Final = 20.0  # seconds until a message that has not come is lost


def open_socket(port: int, path: str) -> socket.socket:
    """An open WebSocket. RuntimeError if the server does not want it."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(HANDSHAKE.format(path=path, port=port).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(1)
        if not piece:
            raise RuntimeError(f"{path} on port {port} does not open")
        head += piece
    if not head.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"{path} on port {port} answers {head[:40]!r}")
    return sock


def client_frame(message: bytes) -> bytes:
    return bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message


class Crowd:
    """Open sockets on one path, read together."""

    def __init__(self, port: int, path: str, number: int) -> None:
        self.socks = [open_socket(port, path) for _ in range(number)]
        self._by_fd = {sock.fileno(): sock for sock in self.socks}
        self._poll = select.epoll()
        for sock in self.socks:
            self._poll.register(sock, select.EPOLLIN)

    def take(self, size: int) -> None:
        """Read until `size` bytes have come to every socket. RuntimeError if they do not."""
        left = len(self.socks) * size
        by_fd = self._by_fd
        while left > 0:
            ready = self._poll.poll(PATIENCE)
            if not ready:
                raise RuntimeError(f"{left} bytes never came")
            for fd, _ in ready:
                left -= len(by_fd[fd].recv(65536))

    def pass_back(self, frame: bytes, size: int, until: float) -> list[float]:
        """Every socket sends `frame`, and again when its answer of `size` bytes is there. Seconds of each, until a time
        by the monotonic clock.
        """
        began: dict[int, float] = {}
        took: list[float] = []
        now = time.perf_counter()
        for fd, sock in self._by_fd.items():
            began[fd] = now
            sock.send(frame)
        waiting = len(began)
        while waiting:
            for fd, _ in self._poll.poll(PATIENCE):
                if len(self._by_fd[fd].recv(65536)) != size:
                    raise RuntimeError("an answer that is none")
                now = time.perf_counter()
                took.append(now - began[fd])
                if now < until:
                    began[fd] = now
                    self._by_fd[fd].send(frame)
                else:
                    waiting -= 1
        return took

    def close(self) -> None:
        self._poll.close()
        for sock in self.socks:
            sock.close()


def fan_out(
    speaker: socket.socket, room: Crowd, frame: bytes, size: int, until: float, *, awake: bool, under_way: int
) -> list[float]:
    """So many messages at once to the whole room, then the next: seconds until they have gone out to all, which the
    speaker hears.

    Those who are `awake` wait for them, and the kernel wakes this process from inside the server's `send`, on the
    server's time. The others look when all of it has been sent, as clients on other machines would.
    """
    took: list[float] = []
    frames, each = frame * under_way, size * under_way
    while (began := time.perf_counter()) < until:
        speaker.sendall(frames)
        if awake:
            room.take(each)
        left = each
        while left > 0:
            left -= len(speaker.recv(65536)) or each + 1
        if left:
            raise RuntimeError("the server has not said back what it was told")
        took.append(time.perf_counter() - began)
        if not awake:
            room.take(each)
    return took
