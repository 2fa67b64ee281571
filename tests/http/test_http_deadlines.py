"""Time limits on the fake clock: each client that stalls is let go at its own time, and no good one is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from http_wire import Wire, get, request

from reactor.core.task import sleep
from reactor.http.message import Request, Response

SECONDS = {"head_timeout": 10.0, "body_timeout": 30.0, "body_grace": 10.0, "write_timeout": 30.0, "keep_alive": 15.0}
MIB = 1024 * 1024


async def count(request: Request) -> Response:
    size = 0
    async for piece in request.chunks():
        size += len(piece)
    return Response(str(size))


async def much_later(request: Request) -> Response:
    await sleep(1)
    return Response(b"x" * MIB)


@pytest.fixture
def wire() -> Wire:
    wire = Wire(**SECONDS, max_body=0)
    wire.route("GET", "/", lambda request: Response("hello"))
    wire.route("POST", "/echo", lambda request: Response(request.body))
    wire.route("POST", "/count", count)
    wire.route("GET", "/much", lambda request: Response(b"x" * MIB))
    wire.route("GET", "/much-later", much_later)
    return wire


# -- the head ---------------------------------------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed_without_a_word(wire: Wire) -> None:
    client = wire.connect()
    client.advance(9.9)
    assert not client.is_closed
    client.advance(0.1)
    assert (client.is_closed, client.raw) == (True, b"")
    assert wire.server.connections == {}


@pytest.mark.parametrize("gap", [0.5, 3.0])
def test_a_head_has_ten_seconds_however_it_trickles(wire: Wire, gap: float) -> None:
    client = wire.connect()
    client.advance(5)
    waited = 0.0
    for byte in b"GET / HTTP/1.1\r\nHost: test\r\n" * 10:
        client.send(bytes([byte]))
        if waited + gap >= 10:
            break
        client.advance(gap)
        waited += gap
    client.advance(10 - waited - 0.01)
    assert not client.is_closed
    client.advance(0.02)
    answer = client.answer()
    assert (answer.status, answer.keeps, client.is_closed) == (408, False, True)


def test_the_second_head_of_a_connection_has_the_same_limit(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/") + b"GET / HT")
    client.advance(9.9)
    assert client.answer().status == 200
    client.advance(0.1)
    assert client.answer().status == 408


# -- between requests -------------------------------------------------------------------------------------------------


def test_a_kept_connection_is_closed_after_fifteen_quiet_seconds(wire: Wire) -> None:
    client = wire.connect()
    for _ in range(5):
        client.send(get("/"))
        client.advance(14)
    assert not client.is_closed
    client.advance(1.1)
    assert client.is_closed
    assert len(client.answers()) == 5  # and no 408: nobody had asked anything


def test_a_request_that_takes_long_is_no_quiet_connection(wire: Wire) -> None:
    async def slow(request: Request) -> Response:
        await sleep(1000)
        return Response("")

    wire.route("GET", "/slow", slow)
    client = wire.connect()
    client.send(get("/slow"))
    client.advance(999)
    assert not client.is_closed
    client.advance(1)
    assert client.answer().status == 200
    client.advance(14)
    assert not client.is_closed
    client.advance(2)
    assert client.is_closed


# -- bodies in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/echo", "/count"])
@pytest.mark.parametrize("first", [b"", b"abc"])
def test_a_body_that_stops_is_408_after_thirty_seconds(wire: Wire, target: str, first: bytes) -> None:
    client = wire.connect()
    client.send(request("POST", target, "Content-Length: 100000", body=first))
    client.advance(29.9)
    assert client.raw == b""
    client.advance(0.1)
    answer = client.answer()
    assert (answer.status, answer.keeps, client.is_closed) == (408, False, True)


@pytest.mark.parametrize("target", ["/echo", "/count"])
@pytest.mark.parametrize(("size", "gap", "good"), [(1, 1.0, False), (490, 1.0, False), (600, 1.0, True),
                                                   (30_000, 29.0, True), (1, 0.001, True)])  # fmt: skip
def test_a_body_has_to_come_at_500_bytes_a_second(
    wire: Wire, target: str, size: int, gap: float, good: bool
) -> None:
    client = wire.connect()
    pieces = max(3, int(60 / gap)) if gap > 0.1 else 2000
    client.send(request("POST", target, f"Content-Length: {size * pieces}"))
    for _ in range(pieces):
        if client.is_closed:
            break
        client.advance(gap)
        client.send(b"x" * size)
    answer = client.answer()
    assert answer.status == (200 if good else 408)


def test_a_slow_body_is_let_be_for_ten_seconds(wire: Wire) -> None:
    client = wire.connect()
    client.send(request("POST", "/count", "Content-Length: 9"))
    for _ in range(9):
        client.advance(1)
        client.send(b"x")
    assert client.answer().status == 200


def test_a_body_that_the_handler_is_slow_to_read_is_not_the_clients_fault(wire: Wire) -> None:
    async def lazy(request: Request) -> Response:
        size = 0
        async for piece in request.chunks():
            size += len(piece)
            await sleep(20)
        return Response(str(size))

    wire.route("POST", "/lazy", lazy)
    client = wire.connect()
    client.send(request("POST", "/lazy", f"Content-Length: {MIB}"))
    client.transport.feed(b"x" * MIB)  # it sends as fast as it is let
    client.advance(500)
    assert client.answer().body == str(MIB).encode()


def test_an_answer_that_is_made_while_the_body_waits_does_not_break_the_body_off(wire: Wire) -> None:
    """The body is paused by us, and the write deadline of the answer comes meanwhile."""

    async def both(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"tick"
                await sleep(20)
            yield str(len(await request.read())).encode()

        return Response.streaming(pieces(), length=16 + 7)

    wire.route("POST", "/both", both)
    client = wire.connect()
    client.send(request("POST", "/both", f"Content-Length: {MIB}"))
    client.transport.stall = True
    client.transport.feed(b"x" * MIB)
    client.advance(25)
    client.transport.release()
    client.advance(500)
    assert client.answer().body == b"tick" * 4 + str(MIB).encode()


def test_waiting_for_the_guard_does_not_count_against_the_body(wire: Wire) -> None:
    async def guard(request: Request) -> None:
        await sleep(100)

    wire.route("POST", "/guarded", lambda request: Response(request.body), guard=guard)
    client = wire.connect()
    client.send(request("POST", "/guarded", "Expect: 100-continue", "Content-Length: 3"))
    client.advance(100)
    client.advance(9)
    client.send(b"abc")
    assert [answer.status for answer in client.answers()] == [100, 200]


def test_a_body_that_nobody_reads_has_to_end_in_time(wire: Wire) -> None:
    async def ignore(request: Request) -> Response:
        return Response("ignored")

    wire.route("POST", "/ignore", ignore)
    client = wire.connect()
    client.send(request("POST", "/ignore", "Content-Length: 1000"))
    for _ in range(29):
        client.advance(1)
        client.send(b"x")
    assert not client.is_closed
    client.advance(1.1)
    assert client.is_closed


# -- answers out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/much", "/much-later", "/stream"])
@pytest.mark.parametrize("keep_alive", [15.0, 100_000.0])
def test_a_client_that_does_not_read_is_cut_after_thirty_seconds(target: str, keep_alive: float) -> None:
    wire = Wire(**{**SECONDS, "keep_alive": keep_alive})

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    wire.route("GET", "/much", lambda request: Response(b"x" * MIB))
    wire.route("GET", "/much-later", much_later)
    wire.route("GET", "/stream", lambda request: Response.streaming(pieces()))
    client = wire.connect()
    client.transport.stall = True
    client.send(get(target))
    client.advance(29.9)
    assert not client.transport.lost
    client.advance(2)
    assert client.transport.lost
    assert wire.server.connections == {}
    assert wire.errors == []


def test_a_client_that_pipelines_and_does_not_read_is_cut_as_well(wire: Wire) -> None:
    client = wire.connect()
    client.transport.stall = True
    client.send(get("/much") + get("/much-later") + get("/much"))
    client.advance(1)
    client.send(get("/"))
    client.advance(62)
    assert client.transport.lost


def test_a_client_that_reads_slowly_but_does_read_is_served(wire: Wire) -> None:
    client = wire.connect()
    client.transport.stall = True
    client.send(get("/much") + get("/much"))
    for _ in range(3):
        client.advance(29)
        assert not client.transport.lost
        client.transport.progress()  # some of it has gone out
    client.transport.release()
    client.advance(1)
    assert [len(answer.body) for answer in client.answers()] == [MIB, MIB]
    assert not client.is_closed
    client.advance(17)
    assert client.is_closed


def test_a_connection_that_is_closing_and_whose_client_does_not_read_is_cut(wire: Wire) -> None:
    client = wire.connect()
    client.transport.stall = True
    client.send(get("/much", "Connection: close"))
    client.advance(31)
    assert client.transport.lost


def test_no_timer_is_left_of_a_thousand_connections(wire: Wire) -> None:
    for _ in range(1000):
        client = wire.connect()
        client.send(get("/", "Connection: close"))
    wire.reactor.advance(0)
    assert len(wire.reactor.timers) < 600  # cancelled ones are swept
    wire.reactor.advance(100)
    assert len(wire.reactor.timers) == 0


def test_a_client_that_sends_a_body_and_never_reads_the_answer_is_cut_all_the_same(wire: Wire) -> None:
    async def echo(request: Request) -> Response:
        return Response.streaming(request.chunks())

    wire.route("POST", "/mirror", echo, max_body=0)
    for size in (400_000, 2_000_000):  # all of the body arrives; or so much that we have to hold it back
        client = wire.connect()
        client.transport.stall = True
        client.send(b"POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + size * b"x")
        client.advance(29)
        assert not client.transport.lost
        client.advance(2)
        assert client.transport.lost


def test_a_head_that_was_complete_while_the_client_did_not_read_is_answered_when_it_does(wire: Wire) -> None:
    client = wire.connect()
    client.transport.stall = True
    raw = get("/")
    client.send(get("/much") + raw[:10])
    client.send(raw[10:])
    client.advance(5)
    client.transport.release()
    client.advance(1)
    assert [answer.status for answer in client.answers()] == [200, 200]
