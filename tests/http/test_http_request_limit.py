"""The limit of a whole request, on the fake clock: whose fault it is decides the answer. Off unless it is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from http_wire import Wire, get, request

from reactor.core.task import Cancelled, sleep
from reactor.http.deferred import Deferred, Reply
from reactor.http.message import Request, Response
from reactor.sansio.head import ResponseHead
from reactor.sansio.headers import Headers


class Silent:
    """A producer that says nothing, or a head and then nothing."""

    def __init__(self, begins: bool = False) -> None:
        self.begins = begins
        self.cancelled = 0

    def start(self, reply: Reply) -> None:
        if self.begins:
            reply.begin(ResponseHead(200, Headers(), length=5))

    def resume(self) -> None: ...
    def client_ended(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def wire() -> Wire:
    wire = Wire(request_timeout=20.0, max_body=0)
    wire.log = []  # type: ignore[attr-defined]

    async def slow(request: Request) -> Response:
        try:
            await sleep(1000)
        except Cancelled:
            wire.log.append("cancelled")  # type: ignore[attr-defined]
            raise
        return Response("late")

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await sleep(1)

    wire.route("GET", "/", lambda request: Response("hello"))
    wire.route("GET", "/slow", slow)
    wire.route("POST", "/echo", lambda request: Response(request.body))
    wire.route("GET", "/stream", lambda request: Response.streaming(pieces()))
    return wire


def test_a_handler_that_takes_too_long_is_ended_and_its_client_told(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/slow"))
    client.advance(19.9)
    assert client.raw == b""
    client.advance(0.2)
    answer = client.answer()
    assert (answer.status, answer.keeps) == (503, True)
    assert wire.log == ["cancelled"]  # type: ignore[attr-defined]
    assert wire.server.reached["request_timeout"] == 1
    assert wire.server.reached["overloaded"] == 0
    client.send(get("/"))
    assert client.answer().status == 200
    assert wire.errors == []


def test_a_body_that_comes_fast_enough_and_never_ends_is_408(wire: Wire) -> None:
    client = wire.connect()
    client.send(request("POST", "/echo", "Content-Length: 1000000"))
    for _ in range(19):
        client.advance(1)
        client.send(b"x" * 1000)
    assert not client.is_closed
    client.advance(1.1)
    answer = client.answer()
    assert (answer.status, answer.keeps, client.is_closed) == (408, False, True)
    assert wire.errors == []


def test_an_answer_that_has_begun_is_cut(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/stream"))
    client.advance(19.5)
    assert not client.is_closed
    client.advance(1)
    assert client.transport.lost
    assert client.raw.startswith(b"HTTP/1.1 200 ") and not client.raw.endswith(b"0\r\n\r\n")
    assert wire.errors == []


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("in_a_task", [False, True])
def test_an_answer_in_callbacks_has_the_same_limit(wire: Wire, begins: bool, in_a_task: bool) -> None:
    producer = Silent(begins)

    async def later(request: Request) -> Response:
        await sleep(1)
        return Deferred(producer)

    wire.route("GET", "/deferred", later if in_a_task else lambda request: Deferred(producer))
    client = wire.connect()
    client.send(get("/deferred"))
    client.advance(20.1)
    assert producer.cancelled == 1
    if begins:
        assert client.transport.lost
    else:
        assert client.answer().status == 503
        client.send(get("/"))
        assert client.answer().status == 200
    assert wire.server.reached["request_timeout"] == 1
    assert wire.errors == []


def test_a_request_that_ends_in_time_leaves_no_timer(wire: Wire) -> None:
    async def quick(request: Request) -> Response:
        await sleep(1)
        return Response("quick")

    wire.route("GET", "/quick", quick)
    client = wire.connect()
    for _ in range(50):
        client.send(get("/quick"))
        client.advance(1)
        assert client.answer().status == 200
    assert wire.server.reached["request_timeout"] == 0
    client.end()
    client.advance(100)
    assert len(wire.reactor.timers) == 0


def test_it_is_off_unless_it_is_asked_for() -> None:
    wire = Wire()

    async def slow(request: Request) -> Response:
        await sleep(10_000)
        return Response("at last")

    wire.route("GET", "/slow", slow)
    client = wire.connect()
    client.send(get("/slow"))
    client.advance(10_001)
    assert client.answer().body == b"at last"
