"""Requests in, answers out, in memory: framing, order, bodies, guards, errors, and the end of a connection."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from http_wire import Client, Wire, chunked, get, request, unchunk

from reactor.core.task import Cancelled, Future, sleep
from reactor.errors import ConnectionLost, HTTPError, LocalProtocolError, Overloaded
from reactor.http.connection import NEWCOMER
from reactor.http.events import event_stream
from reactor.http.intake import DROP_LIMIT
from reactor.http.message import FilePart, Request, Response
from reactor.http.router import Route, Router
from reactor.http.server import Site

KIB = 1024


def hello(request: Request) -> Response:
    return Response(f"{request.method} {request.path}")


def echo(request: Request) -> Response:
    return Response(request.body)


async def slow(request: Request) -> Response:
    await sleep(5)
    return Response(f"slow {request.path}")


async def echo_stream(request: Request) -> Response:
    return Response.streaming(request.chunks())


async def count(request: Request) -> Response:
    size = 0
    async for piece in request.chunks():
        size += len(piece)
    return Response(str(size))


async def ignore(request: Request) -> Response:
    return Response("ignored")


def numbers(*, length: int | None = None) -> Callable[[Request], Response]:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            await sleep(1)
            yield b"%d," % number

    return lambda request: Response.streaming(pieces(), length=length)


def fail(request: Request) -> Response:
    raise ValueError("our bug")


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    for methods, pattern, handler in (
        ("GET", "/", hello), ("GET", "/hello", hello), ("GET", "/slow/{n}", slow), ("POST PUT", "/echo", echo),
        ("POST", "/stream", echo_stream), ("POST", "/count", count), ("POST", "/ignore", ignore),
        ("GET", "/numbers", numbers()), ("GET", "/six", numbers(length=6)), ("GET POST", "/fail", fail),
    ):  # fmt: skip
        wire.route(methods, pattern, handler)
    return wire


# -- one request ------------------------------------------------------------------------------------------------------


def test_an_answer_has_length_date_and_nothing_about_the_connection(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/hello"))
    head, _, body = client.raw.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert (first, body) == (b"HTTP/1.1 200 OK", b"GET /hello")
    assert sorted(fields) == [
        b"Content-Length: 10", b"Content-Type: text/plain; charset=utf-8", b"Date: Tue, 14 Nov 2023 22:13:20 GMT",
    ]  # fmt: skip
    assert not client.is_closed
    assert wire.access == [("/hello", 200, 10)]


@pytest.mark.parametrize(
    "data",
    [
        get("/hello"),
        request("POST", "/echo", body=b"abc"),
        request("POST", "/echo", "Transfer-Encoding: chunked", body=chunked(b"a", b"bc")),
        request("POST", "/count", body=b"abc"),
        get("/hello") + request("POST", "/echo", body=b"GET / HTTP/1.1\r\n\r\n") + get("/nothing") + get("/fail"),
        request("POST", "/ignore", body=b"x" * 500) + get("/hello"),
        b"\r\n" + get("/hello"),
        get("/hello", method="BREW"),
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        request("POST", "/echo", "Transfer-Encoding: chunked", body=b"zz\r\n"),
    ],
)
def test_the_answers_do_not_depend_on_how_the_bytes_were_cut(data: bytes) -> None:
    raws = []
    for whole in (True, False):
        wire = Wire()
        for methods, pattern, handler in (
            ("GET", "/hello", hello), ("POST", "/echo", echo), ("POST", "/count", count), ("POST", "/ignore", ignore),
            ("GET", "/fail", fail),
        ):  # fmt: skip
            wire.route(methods, pattern, handler)
        client = wire.connect()
        (client.send if whole else client.send_apart)(data)
        client.advance(1)
        raws.append((client.answers(), client.is_closed))
    assert raws[0] == raws[1]
    assert raws[0][0]


@pytest.mark.parametrize(
    ("version", "lines", "keeps", "says"),
    [
        ("1.1", (), True, None),
        ("1.1", ("Connection: close",), False, "close"),
        ("1.1", ("Connection: Keep-Alive, CLOSE",), False, "close"),
        ("1.0", (), False, "close"),
        ("1.0", ("Connection: keep-alive",), True, "keep-alive"),
    ],
)
def test_the_connection_is_kept_or_closed_as_the_client_wants(
    wire: Wire, version: str, lines: tuple[str, ...], keeps: bool, says: str | None
) -> None:
    client = wire.connect()
    client.send(get("/hello", *lines, version=version))
    assert client.answer().headers.get("connection") == says
    assert client.is_closed is not keeps


def test_http_1_0_needs_no_host(wire: Wire) -> None:
    assert wire.ask(b"GET /hello HTTP/1.0\r\n\r\n")[0].status == 200


def test_head_answers_as_get_does_but_without_the_body(wire: Wire) -> None:
    for target in ("/hello", "/nothing"):
        got, head = wire.ask(get(target))[0], wire.ask(get(target, method="HEAD"))[0]
        assert head.body == b""
        assert head.status == got.status
        different = {"GET /hello": 1}  # the handler names the method: one letter longer
        assert int(head.headers["content-length"]) - int(got.headers["content-length"]) in (0, len(different))


def test_head_of_a_streamed_or_sent_file_sends_no_body_and_closes_what_was_opened(wire: Wire) -> None:
    closed: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"never"
        finally:
            closed.append("stream")

    class File(io.BytesIO):
        def close(self) -> None:
            closed.append("file")
            super().close()

    wire.route("GET", "/s", lambda request: Response.streaming(pieces(), length=5))
    wire.route("GET", "/f", lambda request: Response.sending(FilePart(File(b"abc"), 0, 3)))
    client = wire.connect()
    client.send(get("/s", method="HEAD") + get("/f", method="HEAD") + get("/hello"))
    one, two, three = client.answers()
    assert (one.headers["content-length"], two.headers["content-length"], three.body) == ("5", "3", b"GET /hello")
    assert "file" in closed


def test_options_and_405_say_what_is_allowed_and_501_what_nobody_knows(wire: Wire) -> None:
    answers = wire.ask(
        get("/echo", method="OPTIONS") + get("/echo", method="DELETE") + get("*", method="OPTIONS")
        + get("/echo", method="BREW") + get("/hello")
    )  # fmt: skip
    assert [answer.status for answer in answers] == [204, 405, 204, 501, 200]
    assert answers[0].headers["allow"] == answers[1].headers["allow"] == "OPTIONS, POST, PUT"
    assert "content-length" not in answers[0].headers  # RFC 9110 8.6: none with 204


def test_an_absolute_target_is_routed_by_its_path(wire: Wire) -> None:
    assert wire.ask(get("http://elsewhere:80/hello?x=1"))[0].body == b"GET /hello"


# -- several requests -------------------------------------------------------------------------------------------------


def test_pipelined_answers_come_in_order_whatever_takes_how_long(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/slow/1") + get("/hello") + request("POST", "/echo", body=b"x") + get("/slow/2") + get("/"))
    assert client.answers() == []
    client.advance(5)
    assert [answer.body for answer in client.answers()] == [b"slow /slow/1", b"GET /hello", b"x"]
    client.advance(5)
    assert [answer.body for answer in client.answers()] == [b"slow /slow/2", b"GET /"]
    assert not client.is_closed


def test_many_pipelined_requests_take_turns_and_none_is_lost() -> None:
    wire = Wire(pipeline=4)
    wire.route("GET", "/{n}", hello)
    client = wire.connect()
    client.transport.feed(b"".join(get(f"/{number}") for number in range(50)))
    assert bytes(client.transport.sent).count(b"HTTP/1.1 200") == 4  # then the others have theirs
    wire.reactor.settle()
    client.methods = ["GET"] * 50
    assert [answer.body for answer in client.answers()] == [f"GET /{number}".encode() for number in range(50)]


def test_pipelined_answers_go_out_in_one_write(wire: Wire) -> None:
    client = wire.connect()
    writes: list[int] = []
    write = client.transport.write

    def counted(data: bytes) -> None:
        writes.append(len(data))
        write(data)

    client.transport.write = counted  # type: ignore[method-assign]
    client.send(get("/hello") * 16)
    assert len(client.answers()) == 16
    assert len(writes) == 1


def test_pipelined_requests_behind_a_slow_one_are_not_read_without_bound(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/slow/1"))
    client.send(get("/hello") * 2000)
    assert not client.transport.reading
    client.advance(5)
    client.methods = ["GET"] * 2001
    assert len(client.answers()) == 2001
    assert client.transport.reading


def test_nothing_behind_a_bad_request_is_answered(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/hello") + b"GET / HTTP/1.1\r\nBad header\r\n\r\n" + get("/hello"))
    assert [answer.status for answer in client.answers()] == [200, 400]
    assert client.is_closed


def test_nothing_behind_a_close_is_answered(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/hello", "Connection: close") + get("/hello"))
    assert len(client.answers()) == 1
    assert client.is_closed


def test_a_client_that_half_closes_gets_all_its_answers(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/slow/1") + get("/slow/2") + get("/hello"))
    client.end()
    client.advance(10)
    assert [answer.status for answer in client.answers()] == [200, 200, 200]
    assert client.is_closed
    assert wire.server.connections == {}


def test_a_client_that_ends_in_the_middle_of_a_head_is_told(wire: Wire) -> None:
    client = wire.connect()
    client.send(b"GET / HTTP/1.1\r\nHo")
    client.end()
    assert client.answer().status == 400


def test_a_client_that_ends_in_the_middle_of_a_body_is_told(wire: Wire) -> None:
    for target in ("/echo", "/count"):
        client = wire.connect()
        client.send(request("POST", target, "Content-Length: 10", body=b"abc"))
        client.end()
        assert client.answer().status == 400
        assert client.is_closed


def test_a_client_that_says_nothing_and_ends_gets_nothing(wire: Wire) -> None:
    client = wire.connect()
    client.end()
    assert (client.raw, client.is_closed, wire.server.connections) == (b"", True, {})


# -- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (get("/" + "a" * 8 * KIB), 414),
        (get("/", *[f"X-{number}: 1" for number in range(100)]), 431),
        (get("/", "X: " + "a" * 33 * KIB), 431),
        (get("/", "Transfer-Encoding: gzip"), 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (get("/", "Expect: miracles"), 417),
        (request("POST", "/echo", "Content-Length: 1", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),  # TLS
    ],
)
def test_a_request_that_cannot_be_read_is_answered_and_the_connection_closed(
    wire: Wire, data: bytes, status: int
) -> None:
    client = wire.connect()
    client.send(data)
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert client.is_closed


def test_the_limits_of_the_config_are_those_that_hold() -> None:
    wire = Wire(max_line=64, max_head=256, max_fields=3, max_body=10)
    wire.route("GET", "/{path...}", hello)
    wire.route("POST", "/echo", echo)
    wire.route("POST", "/more", echo, max_body=20)
    wire.route("POST", "/any", echo, max_body=0)
    for data, status in (
        (get("/" + "a" * 40), 200), (get("/" + "a" * 64), 414), (get("/", "A: 1", "B: 2"), 200),
        (get("/", "A: 1", "B: 2", "C: 3"), 431), (get("/", "A: " + "x" * 256), 431),
        (request("POST", "/echo", body=b"x" * 10), 200), (request("POST", "/echo", body=b"x" * 11), 413),
        (request("POST", "/more", body=b"x" * 20), 200), (request("POST", "/more", body=b"x" * 21), 413),
        (request("POST", "/any", body=b"x" * 5000), 200),
    ):  # fmt: skip
        assert wire.ask(data)[0].status == status, data


# -- bodies in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/echo", "/stream"])
@pytest.mark.parametrize("size", [1, 63 * KIB, 64 * KIB + 1, 900 * KIB])
def test_bodies_of_any_size_come_through(wire: Wire, target: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    [answer] = wire.ask(request("POST", target, body=body))
    assert answer.body == body
    [answer] = wire.ask(request("POST", target, "Transfer-Encoding: chunked", body=chunked(body[:7], body[7:] or b"x")))
    assert answer.body.startswith(body)


@pytest.mark.parametrize("target", ["/echo", "/count", "/stream"])
def test_a_body_over_the_limit_is_413_whether_it_says_its_length_or_not(target: str) -> None:
    wire = Wire(max_body=1000)
    wire.route("POST", "/echo", echo)
    wire.route("POST", "/count", count)
    wire.route("POST", "/stream", echo)
    [answer] = wire.ask(request("POST", target, body=b"x" * 1001))
    assert answer.status == 413
    [answer] = wire.ask(request("POST", target, "Transfer-Encoding: chunked", body=chunked(b"x" * 600, b"x" * 600)))
    assert (answer.status, answer.keeps) == (413, False)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(wire: Wire) -> None:
    client = wire.connect()
    client.send(request("POST", "/echo", f"Content-Length: {10**12}"))
    assert (client.answer().status, client.is_closed) == (413, True)


@pytest.mark.parametrize("target", ["/echo", "/count"])
def test_a_chunk_that_says_it_is_too_large_is_refused_before_it_comes(target: str) -> None:
    wire = Wire(max_body=1000)
    wire.route("POST", "/echo", echo)
    wire.route("POST", "/count", count)
    client = wire.connect()
    client.send(request("POST", target, "Transfer-Encoding: chunked") + b"258\r\n" + 600 * b"x" + b"\r\n190\r\n")
    assert client.answers() == []  # 600 and 400 are 1000
    fits, over = client, wire.connect()
    over.send(request("POST", target, "Transfer-Encoding: chunked") + b"258\r\n" + 600 * b"x" + b"\r\n191\r\n")
    assert (over.answer().status, over.is_closed) == (413, True)
    fits.send(400 * b"y" + b"\r\n0\r\n\r\n")
    assert fits.answer().status == 200


def test_a_chunk_that_is_too_large_to_be_dropped_ends_the_connection_before_it_comes(wire: Wire) -> None:
    for data in (b"40001\r\n", b"5\r\nhello\r\n40001\r\n"):
        client = wire.connect()
        client.send(request("POST", "/ignore", "Transfer-Encoding: chunked") + data)
        assert (client.answer().body, client.is_closed) == (b"ignored", True)


def test_trailers_stand_apart_from_the_headers(wire: Wire) -> None:
    seen: list[Any] = []

    async def handler(request: Request) -> Response:
        await request.read()
        assert request.stream is not None
        seen.append((dict(request.stream.trailers), "x-sum" in request.headers))
        return Response("")

    wire.route("POST", "/trailers", handler)
    wire.ask(request("POST", "/trailers", "Transfer-Encoding: chunked", body=chunked(b"a", trailers=b"X-Sum: 1\r\n")))
    assert seen == [({"x-sum": "1"}, False)]


def test_a_malformed_chunk_is_400_and_the_end(wire: Wire) -> None:
    for target in ("/echo", "/count"):
        client = wire.connect()
        client.send(request("POST", target, "Transfer-Encoding: chunked", body=b"3\r\nabcXX"))
        assert (client.answer().status, client.is_closed) == (400, True)


def test_a_body_that_nobody_reads_is_dropped_up_to_a_bound(wire: Wire) -> None:
    client = wire.connect()
    client.send(request("POST", "/ignore", body=b"x" * DROP_LIMIT) + get("/hello"))
    assert [answer.body for answer in client.answers()] == [b"ignored", b"GET /hello"]
    big = wire.connect()
    big.send(request("POST", "/ignore", "Content-Length: 900000", body=b"x" * 1000))
    assert (big.answer().keeps, big.is_closed) == (False, True)


def test_a_chunked_body_that_nobody_reads_ends_the_connection_at_the_bound(wire: Wire) -> None:
    client = wire.connect()
    client.send(request("POST", "/ignore", "Transfer-Encoding: chunked"))
    client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert client.answer().body == b"ignored"
    for _ in range(10):
        client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert client.is_closed


def test_a_body_that_nobody_takes_fast_enough_stops_the_reading(wire: Wire) -> None:
    taken: list[int] = []

    async def lazy(request: Request) -> Response:
        async for piece in request.chunks():
            taken.append(len(piece))
            await sleep(1)
        return Response(str(sum(taken)))

    wire.route("POST", "/lazy", lazy, max_body=0)
    client = wire.connect()
    size = 2 * KIB * KIB
    client.send(request("POST", "/lazy", f"Content-Length: {size}"))
    client.transport.feed(b"x" * size)
    wire.reactor.settle()
    assert not client.transport.reading
    waiting = len(client.transport._incoming)
    assert waiting > 1.5 * KIB * KIB  # it is still on the other side
    client.advance(100)
    assert client.answer().body == str(size).encode()


def test_two_tasks_that_read_one_body_are_a_bug_of_ours(wire: Wire) -> None:
    async def greedy(request: Request) -> Response:
        assert request.stream is not None
        other = wire.reactor.spawn(request.stream.read())
        other.on_done(lambda _: None)
        return Response(await request.read())

    wire.route("POST", "/greedy", greedy)
    client = wire.connect()
    client.send(request("POST", "/greedy", "Content-Length: 4", body=b"ab"))
    assert client.answer().status == 500
    assert isinstance(wire.errors[0], LocalProtocolError)


# -- Expect: 100-continue ---------------------------------------------------------------------------------------------


EXPECT = "Expect: 100-continue"


@pytest.mark.parametrize("target", ["/echo", "/count"])
def test_100_continue_goes_out_when_the_handler_reads(wire: Wire, target: str) -> None:
    client = wire.connect()
    client.send(request("POST", target, EXPECT, "Content-Length: 3"))
    assert client.raw == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc" + get("/hello"))
    assert [answer.status for answer in client.answers()] == [100, 200, 200]


def test_100_continue_is_too_late_where_the_answer_has_begun(wire: Wire) -> None:
    """The client may send the body or not, and only it knows which: the connection cannot be used again."""
    client = wire.connect()
    client.send(request("POST", "/stream", EXPECT, "Content-Length: 3"))
    client.send(b"abc" + get("/hello"))
    answer = client.answer()
    assert (answer.status, answer.body, answer.keeps, client.is_closed) == (200, b"abc", False, True)


@pytest.mark.parametrize("target", ["/echo", "/count"])
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_client_that_does_not_wait_for_100_is_served_all_the_same(wire: Wire, target: str, cut: int) -> None:
    client = wire.connect()
    body = b"abc"
    client.send(request("POST", target, EXPECT, "Content-Length: 3", body=body[:cut]))
    client.send(body[cut:] + get("/hello"))
    statuses = [answer.status for answer in client.answers() if answer.status != 100]
    assert statuses == [200, 200]
    assert not client.is_closed


def test_100_continue_is_not_sent_where_the_answer_needs_no_body() -> None:
    wire = Wire(max_body=10)
    wire.route("POST", "/ignore", ignore)
    wire.route("POST", "/echo", echo)
    wire.route("POST", "/guarded", echo, guard=lambda request: Response("no", 403))
    for target, length, status in (
        ("/ignore", 3, 200), ("/echo", 11, 413), ("/guarded", 3, 403), ("/nothing", 3, 404),
    ):  # fmt: skip
        client = wire.connect()
        client.send(request("POST", target, EXPECT, f"Content-Length: {length}"))
        answer = client.answer()
        assert (answer.status, answer.keeps, client.is_closed) == (status, False, True)


def test_100_continue_waits_for_the_guard(wire: Wire) -> None:
    async def guard(request: Request) -> None:
        await sleep(3)

    wire.route("POST", "/guarded", echo, guard=guard)
    client = wire.connect()
    client.send(request("POST", "/guarded", EXPECT, "Content-Length: 3"))
    client.advance(2)
    assert client.raw == b""
    client.advance(1)
    assert client.raw == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_expect_without_a_body_or_from_http_1_0_changes_nothing(wire: Wire) -> None:
    assert [answer.status for answer in wire.ask(get("/hello", EXPECT))] == [200]
    [answer] = wire.ask(request("POST", "/echo", EXPECT, body=b"abc", version="1.0"))
    assert answer.body == b"abc"


# -- bodies out -------------------------------------------------------------------------------------------------------


def test_a_streamed_body_goes_out_piece_by_piece_in_chunks(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/numbers"))
    head, end, body = client.take().partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert end
    assert body == b""
    client.advance(1)
    assert client.take() == b"2\r\n0,\r\n"
    client.advance(2)
    assert unchunk(client.take()) == (b"1,2,", b"")
    client.send(get("/hello"))
    client.methods = ["GET"]
    assert client.answer().body == b"GET /hello"


def test_a_streamed_body_with_a_length_goes_out_as_it_is(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/six") + get("/hello"))
    client.advance(3)
    assert [answer.body for answer in client.answers()] == [b"0,1,2,", b"GET /hello"]


def test_a_streamed_body_for_http_1_0_ends_with_the_connection(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/numbers", "Connection: keep-alive", version="1.0"))
    client.advance(3)
    answer = client.answer()
    assert (answer.body, answer.headers["connection"], client.is_closed) == (b"0,1,2,", "close", True)


@pytest.mark.parametrize("length", [5, 7])
def test_a_stream_that_does_not_keep_its_length_is_cut_and_logged(wire: Wire, length: int) -> None:
    wire.route("GET", "/wrong", numbers(length=length))
    client = wire.connect()
    client.send(get("/wrong"))
    client.advance(3)
    assert client.transport.lost
    assert isinstance(wire.errors[0], LocalProtocolError)


def test_a_stream_that_fails_is_cut_so_that_nobody_takes_it_for_whole(wire: Wire) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("half way")

    wire.route("GET", "/broken", lambda request: Response.streaming(pieces()))
    client = wire.connect()
    client.send(get("/broken"))
    assert client.raw.endswith(b"3\r\none\r\n")
    assert client.transport.lost
    assert [str(error) for error in wire.errors] == ["half way"]


def test_a_stream_is_made_no_faster_than_the_client_reads(wire: Wire) -> None:
    made: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"x" * 64 * KIB

    wire.route("GET", "/much", lambda request: Response.streaming(pieces()))
    client = wire.connect()
    client.transport.stall = True
    client.send(get("/much"))
    assert len(made) < 10
    client.transport.release()
    wire.reactor.settle()
    assert len(made) == 100
    client.methods = ["GET"]
    assert len(client.answer().body) == 100 * 64 * KIB


def test_a_stream_is_closed_when_the_client_leaves(wire: Wire) -> None:
    log: list[str] = []

    async def events() -> AsyncIterator[str]:
        try:
            while True:
                yield "tick"
                await sleep(1)
        except Cancelled:
            log.append("cancelled")
            raise
        finally:
            log.append("closed")

    wire.route("GET", "/events", lambda request: event_stream(events()))
    client = wire.connect()
    client.send(get("/events"))
    client.advance(2)
    head, _, body = client.take().partition(b"\r\n\r\n")
    assert b"text/event-stream" in head
    assert body.count(b"data: tick\n\n") == 3
    client.transport.abort()
    wire.reactor.settle()
    assert log[-1] == "closed"
    assert wire.server.connections == {}
    assert wire.errors == []


def test_a_file_goes_out_from_its_offset_and_is_closed(wire: Wire) -> None:
    files: list[io.BytesIO] = []

    def handler(request: Request) -> Response:
        files.append(io.BytesIO(b"0123456789"))
        return Response.sending(FilePart(files[-1], 2, 5), content_type="text/plain")

    wire.route("GET", "/file", handler)
    answers = wire.ask(get("/file") + get("/hello"))
    assert [answer.body for answer in answers] == [b"23456", b"GET /hello"]
    assert files[0].closed


def test_a_file_is_closed_when_the_client_leaves_half_way(wire: Wire) -> None:
    file = io.BytesIO(b"x" * 500_000)
    wire.route("GET", "/file", lambda request: Response.sending(FilePart(file, 0, 500_000)))
    client = wire.connect()
    client.transport.stall = True
    client.send(get("/file"))
    assert not file.closed
    client.transport.abort()
    wire.reactor.settle()
    assert file.closed
    assert wire.errors == []


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_send_none(wire: Wire, status: int) -> None:
    wire.route("GET", "/none", lambda request: Response(b"text that must not go out", status))
    wire.route("GET", "/empty", lambda request: Response.empty(status, length=7))
    answers = wire.ask(get("/none") + get("/empty") + get("/hello"))
    assert [answer.status for answer in answers] == [status, status, 200]
    assert answers[1].headers.get("content-length") == ("7" if status == 304 else None)


# -- guards, handlers, errors -----------------------------------------------------------------------------------------


async def async_refuse(request: Request) -> Response:
    await sleep(1)
    return Response("no", 403)


async def async_admit(request: Request) -> None:
    await sleep(1)
    request.user = "ann"


def admit(request: Request) -> None:
    request.user = "ann"


def refuse(request: Request) -> Response:
    return Response("no", 403)


def raise_401(request: Request) -> Response:
    raise HTTPError(401, "who are you?", [("WWW-Authenticate", "Basic")])


@pytest.mark.parametrize(
    ("guard", "status"), [(refuse, 403), (async_refuse, 403), (raise_401, 401), (admit, 200), (async_admit, 200)]
)
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("with_body", [False, True])
def test_a_guard_decides_before_the_handler_and_its_body(
    wire: Wire, guard: Any, status: int, waits: bool, with_body: bool
) -> None:
    ran: list[str | None] = []

    def plain(request: Request) -> Response:
        ran.append(request.user)
        return Response(request.body)

    async def waiting(request: Request) -> Response:
        ran.append(request.user)
        return Response(await request.read())

    wire.route("POST GET", "/guarded", waiting if waits else plain, guard=guard)
    client = wire.connect()
    client.send(request("POST", "/guarded", body=b"abc") if with_body else get("/guarded"))
    client.send(get("/hello"))
    client.advance(1)
    answers = client.answers()
    assert [answer.status for answer in answers] == [status, 200]
    assert ran == (["ann"] if status == 200 else [])


def test_a_plain_handler_may_give_an_awaitable_and_an_object_may_be_one(wire: Wire) -> None:
    class Handler:
        async def __call__(self, request: Request) -> Response:
            return Response(await request.read())

    def later(request: Request) -> Awaitable[Response]:
        future: Future[Response] = Future(wire.reactor)
        wire.reactor.call_later(1, future.set_result, Response("later"))
        return future

    wire.route("POST", "/object", Handler())
    wire.route("GET", "/later", later)
    client = wire.connect()
    client.send(request("POST", "/object", body=b"abc") + get("/later"))
    client.advance(1)
    assert [answer.body for answer in client.answers()] == [b"abc", b"later"]


async def fail_later(request: Request) -> Response:
    await sleep(1)
    raise ValueError("our bug")


def give_nothing(request: Request) -> Any:
    return None


async def give_text(request: Request) -> Any:
    return "text"


def split_header(request: Request) -> Response:
    return Response("", headers=[("X", "a\r\nSet-Cookie: session=stolen")])


def split_redirect(request: Request) -> Response:
    return Response.redirect(request.query["to"])


def split_error(request: Request) -> Response:
    raise HTTPError(400, "", [("X", "a\r\nb")])


def strange_error(request: Request) -> Response:
    raise HTTPError(1000)


def bad_body(request: Request) -> Response:
    return Response({"a": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "handler", [fail, fail_later, give_nothing, give_text, split_header, split_redirect, split_error, strange_error,
                bad_body],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"abc"])
def test_a_mistake_of_ours_is_one_500_and_one_line_in_the_log(wire: Wire, handler: Any, body: bytes) -> None:
    wire.route("POST", "/mistake", handler)
    client = wire.connect()
    client.send(request("POST", "/mistake?to=/%0d%0aSet-Cookie:%20a=1", body=body) + get("/hello"))
    client.advance(1)
    answers = client.answers()
    assert [answer.status for answer in answers] == [500, 200]
    assert "set-cookie" not in answers[0].headers
    assert b"our bug" not in answers[0].body  # what went wrong is nobody else's business
    assert len(wire.errors) == 1


def test_a_guard_that_fails_lets_nobody_in(wire: Wire) -> None:
    def guard(request: Request) -> None:
        raise KeyError("x")

    wire.route("GET POST", "/guarded", hello, guard=guard)
    answers = wire.ask(get("/guarded") + request("POST", "/guarded", body=b"abc"))
    assert [answer.status for answer in answers] == [500, 500]
    assert len(wire.errors) == 2


def test_overload_is_a_503_with_retry_after(wire: Wire) -> None:
    def busy(request: Request) -> Response:
        raise Overloaded("full", retry_after=7)

    wire.route("GET", "/busy", busy)
    [answer] = wire.ask(get("/busy"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert wire.errors == []


def test_an_error_comes_as_a_page_or_as_json_and_never_as_markup_of_the_clients(wire: Wire) -> None:
    def refuse(request: Request) -> Response:
        raise HTTPError(400, "no <script>")

    wire.route("GET", "/refuse", refuse)
    page, data = wire.ask(get("/refuse", "Accept: text/html,*/*;q=0.8") + get("/refuse", "Accept: application/json"))
    assert b"<script>" not in page.body
    assert b"no &lt;script&gt;".lower() in page.body.lower()
    assert page.headers["content-type"].startswith("text/html")
    assert data.headers["content-type"].startswith("application/json")


def test_a_handler_is_cancelled_when_its_client_is_gone_and_its_finally_runs(wire: Wire) -> None:
    log: list[str] = []

    async def wait(request: Request) -> Response:
        try:
            await sleep(1000)
        finally:
            log.append("finally")
        return Response("")

    wire.route("GET", "/wait", wait)
    client = wire.connect()
    client.send(get("/wait"))
    client.transport.abort(ConnectionResetError())
    wire.reactor.settle()
    assert log == ["finally"]
    assert (wire.errors, wire.server.connections, wire.server.site.active) == ([], {}, 0)


def test_a_handler_that_reads_a_body_hears_that_its_client_is_gone(wire: Wire) -> None:
    log: list[str] = []

    async def read(request: Request) -> Response:
        try:
            await request.read()
        except ConnectionLost:
            log.append("lost")
        except Cancelled:
            log.append("cancelled")
            raise
        return Response("")

    wire.route("POST", "/read", read)
    client = wire.connect()
    client.send(request("POST", "/read", "Content-Length: 10", body=b"abc"))
    client.transport.abort()
    wire.reactor.settle()
    assert log
    assert wire.errors == []
    assert wire.server.site.active == 0


# -- sites and the end ------------------------------------------------------------------------------------------------


def test_a_request_ends_on_the_site_it_began_with(wire: Wire) -> None:
    other = Router()
    other.add(Route(("GET",), "/hello", lambda request: Response("new")))
    old = wire.server.site
    client = wire.connect()
    client.send(get("/slow/1"))
    wire.server.site = Site(other, wire.settings)
    idle = old.retire(wire.reactor)
    client.send(get("/hello"))
    assert not idle.done
    client.advance(5)
    assert [answer.body for answer in client.answers()] == [b"slow /slow/1", b"new"]
    assert idle.done


def test_a_site_without_requests_retires_at_once(wire: Wire) -> None:
    site = wire.server.site
    assert site.retire(wire.reactor).done


def test_all_who_wait_for_the_end_of_a_site_hear_of_it(wire: Wire) -> None:
    wire.connect().send(get("/slow/1"))
    heard: list[str] = []
    for who in ("a reload", "the end"):
        wire.server.site.retire(wire.reactor).on_done(lambda _, who=who: heard.append(who))  # type: ignore[misc]
    wire.reactor.settle()
    assert heard == []
    wire.reactor.advance(5)
    assert heard == ["a reload", "the end"]


def test_close_ends_idle_connections_at_once_and_lets_the_others_finish(wire: Wire) -> None:
    idle, busy = wire.connect(), wire.connect()
    idle.send(get("/hello"))
    busy.send(get("/slow/1"))
    drained = wire.server.close()
    wire.reactor.settle()
    assert idle.is_closed
    assert not busy.is_closed
    busy.advance(5)
    assert (busy.answer().keeps, busy.is_closed, drained.done) == (False, True, True)


@pytest.mark.parametrize("gently", [False, True])
def test_an_answer_that_had_begun_before_the_end_is_the_last_all_the_same(wire: Wire, gently: bool) -> None:
    client = wire.connect()
    client.send(get("/numbers"))
    client.advance(1)
    drained = wire.server.close(gently=gently)
    client.advance(1.9)
    assert not client.is_closed
    client.advance(0.2)
    assert (client.answer().body, client.is_closed, drained.done) == (b"0,1,2,", not gently, not gently)
    client.advance(wire.settings.keep_alive)
    assert drained.done


def test_who_connects_just_before_the_end_has_a_moment_to_ask(wire: Wire) -> None:
    asks, is_silent = wire.connect(), wire.connect()
    drained = wire.server.close()
    asks.send(get("/hello"))
    assert (asks.answer().keeps, drained.done) == (False, False)
    wire.reactor.advance(NEWCOMER)
    assert is_silent.is_closed and drained.done


def test_what_does_not_finish_in_time_is_cut(wire: Wire) -> None:
    client = wire.connect()
    client.send(get("/slow/1"))
    client.send(b"")
    wire.server.site.settings  # noqa: B018 - the default: 30 s
    wire.route("GET", "/forever", lambda request: Future[Response](wire.reactor))
    forever = wire.connect()
    forever.send(get("/forever"))
    drained = wire.server.close()
    wire.reactor.advance(29.9)
    assert not drained.done
    wire.reactor.advance(0.1)
    assert drained.done
    assert forever.transport.lost


def test_over_the_limit_idle_connections_make_room_and_busy_ones_do_not() -> None:
    wire = Wire(max_connections=3)
    wire.route("GET", "/slow/{n}", slow)
    wire.route("GET", "/hello", hello)
    busy = wire.connect()
    busy.send(get("/slow/1"))
    idle = [wire.connect(), wire.connect()]
    for client in idle:
        client.send(get("/hello"))
    assert wire.server._has_room()
    assert [client.is_closed for client in idle] == [True, True]
    assert not busy.is_closed
    others = [wire.connect(), wire.connect()]
    for client in others:
        client.send(get("/slow/2"))
    assert not wire.server._has_room()


def test_a_client_that_has_just_connected_is_about_to_ask_and_makes_no_room() -> None:
    """A burst of more than there is room for: those that were let in are served, the others are told."""
    wire = Wire(max_connections=2)
    wire.route("GET", "/hello", hello)
    first, second = wire.connect(), wire.connect()
    assert not wire.server._has_room()
    first.send(get("/hello"))
    wire.reactor.advance(NEWCOMER)
    assert wire.server._has_room()
    assert (first.answer().status, second.is_closed, wire.server.reached["evicted"]) == (200, True, 2)


def test_closing_connections_that_still_have_something_to_send_make_no_room_twice() -> None:
    wire = Wire(max_connections=1)
    wire.route("GET", "/much", lambda request: Response(b"x" * 100_000))
    client = wire.connect()
    client.transport.stall = True
    client.send(get("/much"))
    for _ in range(5):
        assert not wire.server._has_room()
        wire.reactor.advance(1)
    client.transport.release()
    wire.reactor.settle()
    wire.reactor.advance(1)
    assert wire.server._has_room()


def test_the_date_is_made_anew_each_second(wire: Wire) -> None:
    now = [1_700_000_000.25]
    wire.server._wall_clock = lambda: now[0]
    dates = []
    client = wire.connect()
    for step in (0.0, 0.5, 0.5):
        client.advance(step)
        now[0] += step
        client.send(get("/hello"))
        dates.append(client.answer().headers["date"][-12:])
    assert dates == ["22:13:20 GMT", "22:13:20 GMT", "22:13:21 GMT"]


def test_nothing_is_left_of_a_connection_that_is_closed(wire: Wire) -> None:
    import gc
    import weakref

    client: Client | None = wire.connect()
    assert client is not None
    client.send(get("/hello") + request("POST", "/count", body=b"abc") + get("/hello", "Connection: close"))
    watch = weakref.ref(client.transport._protocol)
    assert len(client.answers()) == 3
    client = None
    wire.reactor.settle()
    gc.collect()
    assert watch() is None


# -- what is noted of each answer -----------------------------------------------------------------------------------


def test_the_access_log_hears_of_streams_and_of_what_was_cut_or_refused(wire: Wire) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"12345"
        await sleep(60)
        yield b"never sent"

    async def stream(request: Request) -> Response:
        return Response.streaming(pieces())

    wire.route("GET", "/pieces", stream)
    leaver = wire.connect()
    leaver.send(get("/pieces"))
    leaver.transport.abort()
    leaver.advance(1)
    head_only = wire.connect()
    head_only.send(get("/hello").replace(b"GET", b"HEAD"))
    wire.connect().send(b"no request\r\n\r\n")
    assert wire.access == [("/pieces", 200, 5), ("/hello", 200, 0), ("", 400, wire.access[2][2])]


@pytest.mark.parametrize("handler", [echo, fail])
def test_a_body_that_was_answered_is_not_kept_by_a_quiet_connection(
    wire: Wire, handler: Callable[[Request], Response]
) -> None:
    wire.route("POST", "/kept", handler)
    client = wire.connect()
    client.send(request("POST", "/kept", body=b"x" * KIB))
    assert not client.is_closed
    assert client.connection.intake is None
