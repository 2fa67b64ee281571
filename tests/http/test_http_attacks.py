"""Clients and handlers that once hurt everybody else: each has its bound, and the others notice nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from http_wire import Wire, get

from reactor.core.task import Cancelled, Future
from reactor.errors import HTTPError
from reactor.http.message import Request, Response

KIB = 1024


@pytest.fixture
def wire() -> Wire:
    wire = Wire(keep_alive=15.0, head_timeout=10.0, write_timeout=30.0, max_body=0)
    wire.route("GET", "/", lambda request: Response("hello"))
    return wire


@pytest.mark.parametrize("chunk", [b"z", 10 * KIB * b"z"])
def test_a_body_that_never_waits_by_itself_lets_the_others_have_their_turn(wire: Wire, chunk: bytes) -> None:
    closed = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield chunk
        finally:
            closed.append(True)

    async def stream(request: Request) -> Response:
        return Response.streaming(endless())

    wire.route("GET", "/endless", stream)
    greedy = wire.connect()
    greedy.transport.feed(get("/endless"))
    other = wire.connect()
    for _ in range(3):
        wire.reactor.turn()
        other.transport.feed(get("/"))
    assert other.transport.sent.count(b"hello") == 3
    greedy.transport.abort()
    for _ in range(5):
        wire.reactor.turn()
    assert closed == [True]


def test_a_pipelining_client_that_never_reads_costs_little_memory(wire: Wire) -> None:
    wire.route("GET", "/big", lambda request: Response(970 * KIB * b"x"))
    client = wire.connect()
    client.transport.stall = True
    for _ in range(20):
        client.send(50 * get("/big"))
    assert client.transport.unsent < 4 * KIB * KIB


def cancelled_future(wire: Wire) -> Future[Response]:
    future: Future[Response] = Future(wire.reactor)
    future.cancel()
    return future


def test_a_cancelled_future_in_a_handler_is_a_mistake_like_any_other(wire: Wire) -> None:
    async def waits(request: Request) -> Response:
        return await cancelled_future(wire)

    wire.route("GET", "/asks", lambda request: cancelled_future(wire).result())
    wire.route("GET", "/waits", waits)
    client = wire.connect()
    for path in ("/asks", "/waits", "/"):
        client.send(get(path))
    assert [answer.status for answer in client.answers()] == [500, 500, 200]
    assert [type(error) for error in wire.errors] == [Cancelled, Cancelled]


def test_a_handler_that_exits_ends_its_request_and_nothing_else(wire: Wire) -> None:
    def leave(request: Request) -> Response:
        raise SystemExit(3)

    async def leave_later(request: Request) -> Response:
        await wire.reactor.next_turn()
        return leave(request)

    wire.route("GET", "/exit", leave)
    wire.route("GET", "/exit-later", leave_later)
    client = wire.connect()
    for path in ("/exit", "/exit-later", "/"):
        client.send(get(path))
    assert [answer.status for answer in client.answers()] == [500, 500, 200]
    assert [type(error) for error in wire.errors] == [SystemExit, SystemExit]


def test_a_callback_that_raises_cancelled_does_not_end_the_loop(wire: Wire) -> None:
    wire.reactor.call_soon(cancelled_future(wire).result)
    client = wire.connect()
    client.send(get("/"))
    assert [answer.status for answer in client.answers()] == [200]
    assert [type(error) for error in wire.errors] == [Cancelled]


def test_an_error_whose_words_cannot_be_sent_is_answered_all_the_same(wire: Wire) -> None:
    def fail(request: Request) -> Response:
        raise HTTPError(404, "no user \ud800")

    wire.route("GET", "/fail", fail)
    client = wire.connect()
    client.send(get("/fail").replace(b"\r\n\r\n", b"\r\nAccept: text/html\r\n\r\n"))
    assert [answer.status for answer in client.answers()] == [500]


def test_a_short_keep_alive_is_kept_although_the_time_for_a_head_is_longer() -> None:
    wire = Wire(keep_alive=2.0, head_timeout=10.0)
    wire.route("GET", "/", lambda request: Response("hello"))
    client = wire.connect()
    client.send(get("/"))
    client.advance(1.9)
    client.send(get("/"))
    client.advance(1.9)
    assert not client.transport.lost
    client.advance(0.2)
    assert client.transport.lost
