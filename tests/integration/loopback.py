"""One real reactor with real sockets on loopback, all in the thread of the test, turned until something is true."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from tls_client import TLSClient, loopback_tls

from reactor.core.address import Address
from reactor.core.listener import Listener, bind
from reactor.core.loop import Reactor
from reactor.core.tls import Handshake, TLSTransport
from reactor.core.transport import Transport

T = TypeVar("T")
SECONDS = 10.0


class Loop:
    """`run` and `until` turn the reactor; errors that nobody took end up in `errors`."""

    def __init__(self, secure: bool = False) -> None:
        self.secure = secure  # whether `connected` makes TLS connections
        self.reactor = Reactor()
        self.errors: list[BaseException] = []
        self.reactor.on_error = lambda error, where: self.errors.append(error)
        self.listeners: list[Listener] = []

    def until(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come true in time"
            self.reactor.call_later(0.005, lambda: None)
            self.turn()

    def turn(self) -> None:
        self.reactor.call_soon(self.reactor.stop)
        self.reactor.run()

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.turn()  # once at least, though the machine may have been away all that time
        self.until(lambda: time.monotonic() >= end)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = self.reactor.spawn(coroutine)
        self.until(lambda: task.done)
        return task.result()

    def listen(
        self, on_accept: Callable[[socket.socket, tuple[str, int]], object], host: str = "127.0.0.1", **options: Any
    ) -> Listener:
        listener = Listener(self.reactor, bind(Address(host, 0)), on_accept, **options)
        listener.start(128)
        self.listeners.append(listener)
        return listener

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.reactor.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()
    assert loop.errors == []


class Recorder:
    """A protocol that notes what it hears, and can be told what to do with data."""

    def __init__(self, on_data: Callable[[Recorder, bytes], object] = lambda protocol, data: None) -> None:
        self.transport: Transport
        self.heard: list[str] = []
        self.data = bytearray()
        self.error: OSError | None = None
        self._on_data = on_data

    @property
    def lost(self) -> bool:
        return "lost" in self.heard

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._on_data(self, data)

    def eof_received(self) -> None:
        self.heard.append("eof")

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")

    def connection_lost(self, error: OSError | None) -> None:
        self.heard.append("lost")
        self.error = error


@pytest.fixture(params=["plain", "tls"])
def either_loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """What is tested holds with TLS as it does without."""
    loop = Loop(secure=request.param == "tls")
    yield loop
    loop.close()
    assert loop.errors == []


def put_on_transport(loop: Loop, sock: socket.socket, peer: object, client: socket.socket, protocol: Recorder) -> Any:
    """What the client is spoken to through: its socket, or TLS over that."""
    if not loop.secure:
        Transport(loop.reactor, sock, peer, protocol)
        return client
    server, context = loopback_tls()

    def ended(handshake: Handshake) -> None:
        assert handshake.socket is not None, handshake.failure
        TLSTransport(loop.reactor, handshake.socket, peer, protocol)

    Handshake(loop.reactor, sock, peer, server, SECONDS, ended)
    tls = TLSClient(client, context)
    loop.until(lambda: tls.step() and protocol.heard)
    return tls


@contextmanager
def connected(loop: Loop, protocol: Recorder, *, buffer: int = 0) -> Iterator[Any]:
    """The other end of a connection that `protocol` sits on; small kernel buffers if asked for."""
    server = socket.create_server(("127.0.0.1", 0))
    if buffer:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(server.getsockname())
    accepted, peer = server.accept()
    server.close()
    accepted.setblocking(False)
    client.setblocking(False)
    try:
        yield put_on_transport(loop, accepted, peer, client, protocol)
    finally:
        client.close()
        protocol.transport.abort()
        loop.until(lambda: protocol.lost)


def receive(client: Any, size: int = 1 << 20) -> bytes | None:
    """What is there now: None for nothing yet, b"" for the end."""
    try:
        return client.recv(size)
    except BlockingIOError:
        return None


def receive_all(loop: Loop, client: Any) -> bytes:
    """To the end."""
    data = bytearray()

    def ended() -> bool:
        piece = receive(client)
        data.extend(piece or b"")
        return piece == b""

    loop.until(ended)
    return bytes(data)


def reset(sock: Any) -> None:
    """Close with a reset instead of an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


HOSTS = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")),
]
