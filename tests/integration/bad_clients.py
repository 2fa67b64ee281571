"""Clients that cost a server something and give it nothing: what each does first, and then again every TICK."""

from __future__ import annotations

import resource
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

TICK = 0.25
RESET = struct.pack("ii", 1, 0)
HEAD = b"GET /word HTTP/1.1\r\nHost: test\r\nX: "
POST = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n"


def nothing(sock: socket.socket) -> None:
    pass


def send(data: bytes) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(data)


def ask_and_end(sock: socket.socket) -> None:
    sock.sendall(HEAD)
    sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    sock.sendall(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def sip(sock: socket.socket) -> None:
    sock.recv(50)


class Kind(NamedTuple):
    """`answer` is what it is told in the end, if it is told anything: the first bytes."""

    name: str
    first: Callable[[socket.socket], None]
    then: Callable[[socket.socket], None] = nothing
    answer: bytes = b""
    secure: bool = False


KINDS = (
    Kind("says nothing", nothing),
    Kind("trickles its head", send(HEAD), send(b"x"), b"HTTP/1.1 408 "),
    Kind("stops in its head", send(HEAD), answer=b"HTTP/1.1 408 "),
    Kind("trickles its body", send(POST), send(b"x" * 20), b"HTTP/1.1 408 "),
    Kind("stops in its body", send(POST), answer=b"HTTP/1.1 408 "),
    Kind("never reads a stream", send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")),
    Kind("never reads a file", send(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")),
    Kind("sips", send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n"), sip),
    Kind("half-closes", ask_and_end, answer=b"HTTP/1.1 400 "),
    Kind("resets", reset),
    Kind("is silent in its handshake", nothing, secure=True),
    Kind("stops in its handshake", send(b"\x16\x03\x01\x02\x00\x01"), secure=True),
)


class BadClient:
    """`end` is how it ended: what the server has said, or None as long as it has not."""

    def __init__(self, kind: Kind, port: int) -> None:
        self.kind = kind
        self.end: bytes | None = None
        self._said = b""
        self._sock = socket.socket()
        if kind.then is sip or "never reads" in kind.name:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._sock.settimeout(5.0)
        try:
            self._sock.connect(("127.0.0.2" if kind.secure else "127.0.0.1", port))
            kind.first(self._sock)
        except BaseException:
            self.close()
            raise
        if self._sock.fileno() < 0:
            self.end = b""
        else:
            self._sock.setblocking(False)

    def act(self) -> None:
        if self.end is not None:
            return
        try:
            self.kind.then(self._sock)
            if "stream" not in self.kind.name and "file" not in self.kind.name and self.kind.then is not sip:
                self._listen()
        except BlockingIOError:
            pass
        except OSError:
            self.end = self._said

    def _listen(self) -> None:
        piece = self._sock.recv(65536)
        self._said += piece
        if not piece:
            self.end = self._said
            self._sock.close()

    def close(self) -> None:
        self._sock.close()


def allow_descriptors(count: int) -> None:
    """Raise this process's own limit, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def act_until(clients: list[BadClient], is_over: Callable[[], bool], seconds: float) -> float:
    """Let them do what they do until `is_over`; how long that was. AssertionError after `seconds`."""
    began = time.monotonic()
    while not is_over():
        assert time.monotonic() - began < seconds, "they are still there"
        for client in clients:
            client.act()
        time.sleep(TICK)
    return time.monotonic() - began
