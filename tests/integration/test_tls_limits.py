"""Handshakes take places, have a deadline, and are counted: a server in the test's own loop, on real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from loopback import Loop, loop, receive, receive_all
from test_http_sockets import GET, Served
from tls_client import TLSClient, loopback_tls

from reactor.core.address import Address
from reactor.http.message import Request, Response

__all__ = ["loop"]


class SecureServed(Served):
    """`Served` behind TLS."""

    def __init__(self, loop: Loop, **settings: Any) -> None:
        super().__init__(loop, **settings)
        self.handshakes = self.server.handshakes
        self.debug: list[str] = []
        self.handshakes.on_debug = self.debug.append
        self.switch(True)
        self.route("GET", "/how", lambda request: Response("securely" if request.secure else "plainly"))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Those that took too long, that broke off, and that did not speak TLS."""
        return self.handshakes.expired, self.handshakes.failed, self.handshakes.plain

    def switch(self, secure: bool) -> None:
        """What a reload does."""
        self.handshakes.tls = {Address("127.0.0.1", 0): loopback_tls()[0]} if secure else {}

    def shake_hands(self, sock: socket.socket) -> TLSClient:
        client = TLSClient(sock, loopback_tls()[1])
        self.loop.until(client.step)
        return client

    def get(self, client: Any, path: bytes) -> bytes:
        client.send(GET % path)
        data = bytearray()

        def has_come() -> bool:
            data.extend(receive(client) or b"")
            return b"\r\n\r\n" in data

        self.loop.until(has_come)
        return bytes(data)


def make(loop: Loop, **settings: Any) -> Iterator[SecureServed]:
    served = SecureServed(loop, **settings)
    yield served
    served.close()
    assert served.errors == []
    assert not served.handshakes.under_way


@pytest.fixture
def served(loop: Loop) -> Iterator[SecureServed]:
    yield from make(loop)


@pytest.fixture
def small(loop: Loop) -> Iterator[SecureServed]:
    yield from make(loop, max_connections=3)


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_handler_knows_that_its_request_came_over_tls(served: SecureServed) -> None:
    with served.connect() as sock:
        client = served.shake_hands(sock)
        assert served.get(client, b"/how").endswith(b"securely")


def test_a_listener_may_become_secure_and_plain_again_and_connections_stay_what_they_are(served: SecureServed) -> None:
    with served.connect() as old:
        client = served.shake_hands(old)
        served.switch(False)
        with served.connect() as new:
            assert served.get(new, b"/how").endswith(b"plainly")
            served.switch(True)
            assert served.get(new, b"/how").endswith(b"plainly")
        assert served.get(client, b"/how").endswith(b"securely")


def test_a_handshake_that_takes_too_long_is_dropped_and_counted(loop: Loop) -> None:
    for served in make(loop, handshake_timeout=0.05):
        with served.connect() as silent, served.connect() as slow:
            slow.send(b"\x16\x03")
            loop.until(lambda: ended(silent) and ended(slow))
        assert served.counts == (2, 0, 0)
        assert all("it took too long" in line for line in served.debug)


def test_failures_and_plain_speakers_are_counted_and_told_in_a_line_each(served: SecureServed) -> None:
    with served.connect() as garbage, served.connect() as plain, served.connect() as other:
        garbage.send(b"\x16\x03\x01\x00\x05hello")
        plain.send(GET % b"/how")
        other.send(b"\x00\x01")
        served.connect().close()
        served.loop.until(lambda: len(served.debug) == 4)
        served.loop.until(lambda: ended(garbage) and ended(other))
        assert served.get(plain, b"").startswith(b"HTTP/1.1 400 ")
    assert served.counts == (0, 2, 2)
    assert all(len(line.splitlines()) == 1 for line in served.debug)


def test_handshakes_count_against_the_limit_of_connections(small: SecureServed) -> None:
    """Beyond it the oldest of them goes, so that who stops half-way cannot keep the others out."""
    with ExitStack() as stack:
        silent = [stack.enter_context(small.connect()) for _ in range(3)]
        small.loop.until(lambda: len(small.handshakes.under_way) == 3)
        client = small.shake_hands(stack.enter_context(small.connect()))
        assert small.get(client, b"/how").endswith(b"securely")
        assert [ended(sock) for sock in silent] == [True, False, False]
        assert small.server.reached["evicted"] == 1
        assert len(small.handshakes.under_way) == 2


def test_one_that_makes_room_as_its_bytes_come_takes_nothing_of_who_gets_its_descriptor(small: SecureServed) -> None:
    """All within one turn of the loop, in which the numbers of closed descriptors are given to others."""
    with ExitStack() as stack:
        old = [stack.enter_context(small.connect()) for _ in range(3)]
        small.loop.until(lambda: len(small.handshakes.under_way) == 3)
        new = [stack.enter_context(small.connect()) for _ in range(3)]
        for sock in old:
            sock.send(b"\x16\x03\x01")
        small.loop.until(lambda: small.server.reached["evicted"] == 3)
        for sock in new:
            assert small.get(small.shake_hands(sock), b"/how").endswith(b"securely")


def test_who_finds_no_room_at_a_secure_port_gets_nothing_in_plain(small: SecureServed) -> None:
    answered: list[Any] = []

    async def wait(request: Request) -> Response:
        answered.append(request)
        await small.loop.reactor.future()
        return Response("")

    small.route("GET", "/wait", wait)
    with ExitStack() as stack:
        for _ in range(3):
            small.shake_hands(stack.enter_context(small.connect())).send(GET % b"/wait")
        small.loop.until(lambda: len(answered) == 3)
        late = stack.enter_context(small.connect())
        small.loop.until(lambda: small.server.listeners[Address("127.0.0.1", 0)].refused)
        assert receive_all(small.loop, late) == b""


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_stop_waits_for_no_handshake_and_no_plain_answer(served: SecureServed, said: bytes) -> None:
    with served.connect() as silent:
        silent.send(said)
        served.loop.until(lambda: served.handshakes.plain if said else served.handshakes.under_way)
        assert len(served.handshakes.under_way) == 1
        assert served.server.close().done
        served.loop.until(lambda: ended(silent))


def test_a_request_right_behind_the_handshake_is_answered(served: SecureServed) -> None:
    """The client's last message of the handshake and its request come in one piece."""
    with served.connect() as sock:
        client = TLSClient(sock, loopback_tls()[1])
        client.step()
        while not client.is_secure:  # its Finished is made, and waits
            served.loop.turn()
            client._feed()
            try:
                client.tls.do_handshake()
                client.is_secure = True
            except ssl.SSLWantReadError:
                pass
        client.tls.write(GET % b"/how")
        client.flush()
        data = bytearray()
        served.loop.until(lambda: (data.extend(receive(client) or b""), b"securely" in data)[1])
