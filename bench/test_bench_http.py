"""What a request costs below the handlers: head, body, route, response. Each is measured as the server calls it."""

from __future__ import annotations

from itertools import count

from pytest_benchmark.fixture import BenchmarkFixture

from reactor.http.message import Request, Response
from reactor.http.router import Route, Router
from reactor.sansio.http1 import (
    SERVER,
    Connection,
    End,
    Headers,
    HeadMemo,
    Limits,
    RequestHead,
    ResponseHead,
)

BROWSER = (
    b"Host: 127.0.0.1:8000\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Cookie: auth=true; session=vtXivLDKCukSn-VODuAWwrlV65RkCVPoWAQ1p3oXQtA\r\n"
    b"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\r\n"
)
DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
NO_BODY = ResponseHead(204, Headers())


def one_cycle(connection: Connection, raw: bytes) -> RequestHead:
    """A request in and its answer out, so that the connection is as new."""
    head = connection.receive_request(raw)
    if head is None:
        connection.receive_data(raw)
        event = connection.next_event()
        assert isinstance(event, RequestHead)
        head = event
    connection.respond(NO_BODY, b"")
    return head


def test_head_repeated(benchmark: BenchmarkFixture) -> None:
    connection = Connection(SERVER, memo=HeadMemo(Limits()))
    raw = b"GET /get-list HTTP/1.1\r\n" + BROWSER
    assert benchmark(one_cycle, connection, raw).path == "/get-list"


def test_head_unique(benchmark: BenchmarkFixture) -> None:
    connection = Connection(SERVER, memo=HeadMemo(Limits()))
    numbers = count()

    def parse() -> RequestHead:
        return one_cycle(connection, b"GET /get-list?n=%d HTTP/1.1\r\n%b" % (next(numbers), BROWSER))

    assert benchmark(parse).path == "/get-list"


def test_head_byte_by_byte(benchmark: BenchmarkFixture) -> None:
    raw = b"GET /get-list HTTP/1.1\r\n" + BROWSER

    def parse() -> object:
        connection = Connection(SERVER)
        for number in range(len(raw)):
            connection.receive_data(raw[number : number + 1])
            event = connection.next_event()
        return event

    assert isinstance(benchmark(parse), RequestHead)


def test_chunked_decode(benchmark: BenchmarkFixture) -> None:
    """64 KiB in chunks of 1 KiB."""
    head = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 64 + b"0\r\n\r\n"

    def decode() -> int:
        connection = Connection(SERVER)
        connection.receive_data(raw)
        size = 0
        while (event := connection.next_event()).__class__ is not End:
            size += 0 if isinstance(event, RequestHead) else len(event.data)  # type: ignore[union-attr]
        return size

    assert benchmark(decode) == 64 * 1024


def router() -> Router:
    table = Router()
    for number in range(50):
        table.add(Route(("GET",), f"/exact/{number}[/]", lambda request: Response("exact")))
    table.add(Route(("GET",), "/user/{name}", lambda request: Response("user")))
    table.add(Route(("GET",), "/files/{path...}", lambda request: Response("files")))
    return table


def test_route_exact(benchmark: BenchmarkFixture) -> None:
    route, _ = benchmark(router().find, "GET", "/exact/31")
    assert route.pattern == "/exact/31[/]"


def test_route_mount(benchmark: BenchmarkFixture) -> None:
    _, params = benchmark(router().find, "GET", "/files/css/style.css")
    assert params == {"path": "css/style.css"}


def test_response_new(benchmark: BenchmarkFixture) -> None:
    """A response that is made for its request, and encoded."""
    body = b"x" * 200
    wire = benchmark(lambda: Response(body, content_type="application/json").wire(DATE))
    assert wire.endswith(body)


def test_response_again(benchmark: BenchmarkFixture) -> None:
    """A response that is there already, as those of a cache are."""
    response = Response(b"x" * 2000, content_type="application/json")
    assert benchmark(response.wire, DATE).endswith(b"x")


def test_request_object(benchmark: BenchmarkFixture) -> None:
    head = RequestHead("GET", "/ok", Headers([("Host", "a")]))
    assert benchmark(Request, head, "127.0.0.1", {}).path == "/ok"


def test_chunked_encode(benchmark: BenchmarkFixture) -> None:
    """The head of an answer whose length nobody knows yet."""
    connection = Connection(SERVER)
    head = ResponseHead(200, Headers([("Content-Type", "text/plain")]), length=None)

    def encode() -> bytes:
        connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.next_event()
        return connection.send(head, DATE) + connection.send(End())

    assert b"chunked" in benchmark(encode)
