"""The PROXY protocol in front of plain connections, of TLS and of Unix sockets: a server in the test's own loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Loop, loop, receive, receive_all
from test_http_sockets import GET, Served
from test_tls_limits import SecureServed

from reactor.core.address import UNIX, Address
from reactor.core.listener import bind
from reactor.http.forwarding import Trust, parse_networks
from reactor.http.message import Request, Response
from reactor.sansio.proxy_header import SIGNATURE

__all__ = ["loop"]
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
BINARY = SIGNATURE + b"\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
ALONE = GET[:-2] % b"/who" + b"Connection: close\r\n\r\n"


def who(request: Request) -> Response:
    return Response(f"<{request.client}>{' securely' if request.secure else ''}")


def announce(served: Served, *networks: str) -> None:
    served.server.site.announcers = Trust(parse_networks(networks))
    served.route("GET", "/who", who)


@pytest.fixture
def served(loop: Loop, request: pytest.FixtureRequest) -> Iterator[Served]:
    """With a `handshake_timeout` that a test may give."""
    served = Served(loop, handshake_timeout=getattr(request, "param", 10.0))
    announce(served, "127.0.0.0/8")
    yield served
    served.close()
    assert served.errors == []
    assert not served.server.prefaces.under_way


def ask(served: Served, data: bytes, byte_by_byte: bool = False) -> bytes:
    with served.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [data[at : at + 1] for at in range(len(data))] if byte_by_byte else [data]:
            sock.send(piece)
            served.loop.turn()
        return receive_all(served.loop, sock)


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(
    ("header", "client"),
    [(LINE, b"<192.0.2.7>"), (BINARY, b"<192.0.2.7>"), (LOCAL, b"<127.0.0.1>"), (b"PROXY UNKNOWN\r\n", b"<127.0.0.1>")],
)
def test_the_client_is_whom_the_proxy_names(served: Served, header: bytes, client: bytes, byte_by_byte: bool) -> None:
    assert ask(served, header + ALONE, byte_by_byte).endswith(client)


def test_it_is_said_once_for_a_connection_with_many_requests(served: Served) -> None:
    answers = ask(served, LINE + GET % b"/who" + GET % b"/who" + ALONE)
    assert answers.count(b"<192.0.2.7>") == 3
    assert b"HTTP/1.1 400 " in ask(served, LINE + LINE + ALONE)


@pytest.mark.parametrize("data", [ALONE, b"PROXY TCP4 nonsense\r\n" + ALONE, b"\x16\x03\x01" + bytes(99), b"\r\n\r\nX"])
def test_who_has_to_say_it_and_does_not_gets_nothing(served: Served, data: bytes) -> None:
    with served.connect() as sock:
        sock.send(data)
        served.loop.until(lambda: served.server.reached["proxy_header"] == 1)
        try:
            assert receive_all(served.loop, sock) == b""
        except ConnectionResetError:
            pass
    assert served.server.requests == 0


@pytest.mark.parametrize("served", [0.3], indirect=True)
def test_who_says_it_too_slowly_or_not_at_all_is_let_go_and_costs_no_turns(served: Served) -> None:
    with served.connect() as silent, served.connect() as slow:
        slow.send(LINE[:20])
        served.loop.until(lambda: len(served.server.prefaces.under_way) == 2)
        assert served.server.states()["handshake"] == 2
        served.loop.turn()
        turns = 0
        real = served.loop.reactor._selector.select

        def select(timeout: float | None = None) -> list[Any]:
            nonlocal turns
            events = real(timeout)
            turns += bool(events)
            return events

        served.loop.reactor._selector.select = select  # type: ignore[method-assign,assignment]
        assert receive_all(served.loop, silent) == receive_all(served.loop, slow) == b""
        assert turns < 10  # half a header that lies there is no reason to look again and again
    assert served.server.reached["proxy_header"] == 2


def test_one_that_leaves_in_the_middle_is_forgotten(served: Served) -> None:
    with served.connect() as sock:
        sock.send(LINE[:20])
        served.loop.until(lambda: served.server.prefaces.under_way)
    served.loop.until(lambda: not served.server.prefaces.under_way)
    assert served.server.reached["proxy_header"] == 1


def test_nobody_else_can_choose_an_address(loop: Loop) -> None:
    served = Served(loop)
    announce(served, "192.0.2.0/24")
    assert ask(served, ALONE).endswith(b"<127.0.0.1>")
    assert ask(served, LINE + ALONE).startswith(b"HTTP/1.1 400 ")
    assert ask(served, BINARY + ALONE).startswith(b"HTTP/1.1 400 ")
    served.close()


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_in_front_of_tls(loop: Loop, header: bytes) -> None:
    served = SecureServed(loop)
    announce(served, "127.0.0.1")
    with served.connect() as sock:
        sock.send(header)
        client = served.shake_hands(sock)
        client.send(ALONE)
        data = bytearray()
        loop.until(lambda: (data.extend(receive(client) or b""), b"<192.0.2.7> securely" in data)[1])
    served.close()
    assert served.errors == []


def test_over_a_unix_socket(loop: Loop, tmp_path: Path) -> None:
    served = Served(loop)
    announce(served, "unix")
    address = Address(f"{UNIX}{tmp_path}/x.sock", 0)
    served.server.listen(address, bind(address))
    for header, client in ((LINE, b"<192.0.2.7>"), (LOCAL, b"<>")):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(address.path)
            sock.setblocking(False)
            sock.send(header + ALONE)
            assert receive_all(loop, sock).endswith(client)
    assert ask(served, ALONE).endswith(b"<127.0.0.1>")
    served.close()


def test_one_that_makes_room_as_its_bytes_come_takes_nothing_of_who_gets_its_descriptor(loop: Loop) -> None:
    served = Served(loop, max_connections=2)
    announce(served, "127.0.0.1")
    with served.connect() as one, served.connect() as two:
        loop.until(lambda: len(served.server.prefaces.under_way) == 2)
        with served.connect() as three, served.connect() as four:
            one.send(LINE[:5])
            two.send(LINE[:5])
            loop.until(lambda: served.server.reached["evicted"] == 2)
            for sock in (three, four):
                sock.send(LINE + ALONE)
                assert receive_all(loop, sock).endswith(b"<192.0.2.7>")
    served.close()


def test_those_that_have_not_said_it_take_places_and_are_the_first_to_go(loop: Loop) -> None:
    served = Served(loop, max_connections=2)
    announce(served, "127.0.0.1")
    with served.connect() as first, served.connect() as second:
        loop.until(lambda: len(served.server.prefaces.under_way) == 2)
        assert ask(served, LINE + ALONE).endswith(b"<192.0.2.7>")
        assert (receive_all(loop, first), receive(second)) == (b"", None)
    assert served.server.reached["evicted"] == 1
    served.close()
