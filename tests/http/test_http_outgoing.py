"""The client side of a connection in memory: what it sends, what it makes of each answer, and when it can be reused."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from reactor.core.task import Cancelled, Future, Task
from reactor.errors import ConnectionLost, LocalProtocolError, ReactorError, RemoteProtocolError
from reactor.http.body import BodyStream
from reactor.http.client import split_url
from reactor.http.outgoing import OutgoingConnection
from reactor.sansio.head import CHUNKED, RequestHead, ResponseHead
from reactor.sansio.headers import Headers
from reactor.testing import FakeReactor, MemoryTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Pair:
    """A connection, and the bytes a server would see and send."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.unheard: list[BaseException] = []
        self.reactor.on_error = lambda error, where: self.unheard.append(error)
        self.freed: list[tuple[bool, bool]] = []
        self.connection = OutgoingConnection(
            self.reactor, lambda connection: self.freed.append((connection.is_idle, connection.is_lost))
        )
        self.transport = MemoryTransport(self.reactor, self.connection)

    def ask(self, method: str = "GET", body: Any = b"", *fields: tuple[str, str]) -> Task[Any]:
        length = len(body) if isinstance(body, bytes) else CHUNKED
        head = RequestHead(method, "/", Headers([("Host", "a"), *fields]), length=length)
        return self.reactor.spawn(self.connection.ask(head, body))

    def say(self, data: bytes) -> None:
        self.transport.feed(data)
        self.reactor.settle()

    def end(self) -> None:
        self.transport.feed_eof()
        self.reactor.settle()

    def read(self, stream: BodyStream) -> bytes:
        task = self.reactor.spawn(stream.read())
        self.reactor.settle()
        return task.result()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def result(task: Task[Any]) -> tuple[ResponseHead, BodyStream]:
    assert task.done
    head, stream = task.result()
    return head, stream


def test_a_request_goes_out_whole_and_its_answer_comes_back(pair: Pair) -> None:
    task = pair.ask("POST", b"abc", ("X", "1"))
    assert bytes(pair.transport.sent) == b"POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\nContent-Length: 3\r\n\r\nabc"
    pair.say(OK)
    head, stream = result(task)
    assert (head.status, pair.read(stream)) == (200, b"hi")
    assert pair.freed == [(True, False)]
    assert pair.connection.is_idle


def test_a_connection_is_used_again_and_again(pair: Pair) -> None:
    for number in range(1, 4):
        task = pair.ask()
        pair.say(OK)
        assert pair.read(result(task)[1]) == b"hi"
        assert pair.connection.used == number
    assert pair.connection.is_idle


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", b"hi!"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_answers_of_each_framing_leave_the_connection_idle(pair: Pair, answer: bytes, body: bytes) -> None:
    task = pair.ask()
    for number in range(len(answer)):
        pair.say(answer[number : number + 1])
    assert pair.read(result(task)[1]) == body
    assert pair.connection.is_idle


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
def test_a_server_that_wants_to_close_is_closed(pair: Pair, answer: bytes) -> None:
    task = pair.ask()
    pair.say(answer)
    assert pair.read(result(task)[1]) == b"hi"
    assert not pair.connection.is_idle
    assert pair.transport.lost
    assert pair.freed[-1] == (False, True)


def test_a_body_until_the_end_ends_with_the_connection(pair: Pair) -> None:
    task = pair.ask()
    pair.say(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    _, stream = result(task)
    pair.end()
    assert pair.read(stream) == b"all of it"
    assert pair.connection.is_lost


def test_head_has_no_body_whatever_it_says(pair: Pair) -> None:
    task = pair.ask("HEAD")
    pair.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    assert pair.read(result(task)[1]) == b""
    assert pair.connection.is_idle


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_server_that_leaves_before_its_head_is_a_lost_connection(pair: Pair, said: bytes, reset: bool) -> None:
    task = pair.ask()
    pair.say(said) if said else None
    pair.transport.abort(ConnectionResetError(104, "reset")) if reset else pair.end()
    pair.reactor.settle()
    assert isinstance(task.error, ConnectionLost)
    assert pair.connection.answered is bool(said)
    assert pair.connection.is_lost


def test_a_body_that_is_cut_is_a_lost_connection(pair: Pair) -> None:
    task = pair.ask()
    pair.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    _, stream = result(task)
    pair.end()
    with pytest.raises(ConnectionLost):
        pair.read(stream)


@pytest.mark.parametrize("answer", [b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", b"HTTP/3 200 OK\r\n\r\n"])
def test_an_answer_that_is_none_is_the_servers_fault(pair: Pair, answer: bytes) -> None:
    task = pair.ask()
    pair.say(answer)
    assert isinstance(task.error, RemoteProtocolError)
    assert pair.transport.lost


def test_bytes_that_nobody_asked_for_end_the_connection(pair: Pair) -> None:
    pair.say(OK)
    assert pair.transport.lost
    assert not pair.connection.is_idle


def test_a_server_that_closes_an_idle_connection_makes_it_unusable(pair: Pair) -> None:
    task = pair.ask()
    pair.say(OK)
    result(task)
    pair.end()
    assert not pair.connection.is_idle
    assert pair.freed[-1] == (False, True)


def test_a_header_that_must_not_go_out_is_our_error(pair: Pair) -> None:
    task = pair.ask("GET", b"", ("X", "a\r\nb: c"))
    assert isinstance(task.error, LocalProtocolError)
    assert b"b: c" not in pair.transport.sent


@pytest.mark.parametrize("hosts", [0, 2])
def test_a_request_without_exactly_one_host_is_our_error(pair: Pair, hosts: int) -> None:
    head = RequestHead("GET", "/", Headers([("host", "a"), ("Host", "b")][:hosts]))
    task = pair.reactor.spawn(pair.connection.ask(head, b""))
    assert isinstance(task.error, LocalProtocolError)
    assert not pair.transport.sent


def test_a_streamed_body_goes_out_in_chunks_no_faster_than_the_server_reads(pair: Pair) -> None:
    made: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(50):
            made.append(number)
            yield b"x" * 65536

    pair.transport.stall = True
    task = pair.ask("POST", pieces())
    pair.reactor.settle()
    assert len(made) < 10
    pair.transport.release()
    pair.reactor.settle()
    assert len(made) == 50
    assert pair.transport.sent.endswith(b"0\r\n\r\n")
    pair.say(OK)
    assert pair.read(result(task)[1]) == b"hi"
    assert pair.connection.is_idle


class Pieces:
    """A body that is made when the test says so, and notes that it was closed."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.next: Future[bytes] = Future(pair.reactor)
        self.closed = False

    def give(self, piece: bytes) -> None:
        """An empty piece is the end."""
        self.next.set_result(piece)
        self.pair.reactor.settle()

    def fail(self, error: BaseException) -> None:
        self.next.set_error(error)
        self.pair.reactor.settle()

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            while piece := await self.next:
                self.next = Future(self.pair.reactor)
                yield piece
        finally:
            self.closed = True


@pytest.fixture
def pieces(pair: Pair) -> Pieces:
    return Pieces(pair)


@pytest.mark.parametrize("status", [b"200 OK", b"303 See Other"])
@pytest.mark.parametrize("whole", [True, False])
def test_an_early_answer_is_there_at_once_and_the_body_goes_on(
    pair: Pair, pieces: Pieces, status: bytes, whole: bool
) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    pair.say(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n" % status + (b"hi" if whole else b"h"))
    _, stream = result(task)
    assert pair.freed == []
    pieces.give(b"two")
    assert not pieces.closed
    pieces.give(b"")
    assert pair.transport.sent.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert pair.connection.is_idle is whole
    pair.say(b"" if whole else b"i")
    assert pair.read(stream) == b"hi"
    assert pair.connection.is_idle
    assert pair.freed == [(True, False)]
    assert pieces.closed


def test_an_early_answer_that_closes_lets_the_body_go_out_first(pair: Pair, pieces: Pieces) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    pair.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
    assert pair.read(result(task)[1]) == b"hi"
    assert not pair.transport.is_closing
    pieces.give(b"")
    assert pair.transport.sent.endswith(b"one\r\n0\r\n\r\n")
    assert pair.transport.lost


def test_a_server_that_ends_behind_an_early_answer_ends_the_sending(pair: Pair, pieces: Pieces) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    pair.say(OK)
    pair.end()
    assert pair.read(result(task)[1]) == b"hi"
    assert pair.transport.lost
    assert pieces.closed


def test_what_follows_an_early_answer_is_not_the_answer_to_the_next_request(pair: Pair, pieces: Pieces) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    pair.say(OK + OK)
    result(task)
    pieces.give(b"")
    assert pair.transport.lost
    assert not any(idle for idle, _ in pair.freed)


@pytest.mark.parametrize("stalled", [True, False])
def test_a_refusal_ends_the_sending_and_the_connection_behind_it(pair: Pair, pieces: Pieces, stalled: bool) -> None:
    pair.transport.stall = stalled
    task = pair.ask("POST", pieces())
    pieces.give(b"x" * 1_000_000)
    pair.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbi")
    head, stream = result(task)
    assert pieces.closed
    pair.say(b"g")
    assert (head.status, pair.read(stream)) == (413, b"big")
    assert pair.transport.lost
    assert not pair.transport.sent.endswith(b"0\r\n\r\n")
    assert pair.freed[-1] == (False, True)


def test_a_body_that_takes_its_end_for_the_end_of_the_upload_is_still_cut(pair: Pair) -> None:
    async def stubborn() -> AsyncIterator[bytes]:
        yield b"one"
        try:
            await Future(pair.reactor)
        except Cancelled:
            return

    task = pair.ask("POST", stubborn())
    pair.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert pair.read(result(task)[1]) == b"no"
    assert not pair.transport.sent.endswith(b"0\r\n\r\n")
    assert pair.transport.lost


def test_a_body_without_end_stops_when_the_server_has_gone(pair: Pair) -> None:
    made = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        while made < 1000:
            made += 1
            if made == 10:
                pair.transport.abort()
            yield b"x"

    task = pair.ask("POST", endless())
    pair.reactor.settle()
    assert isinstance(task.error, ConnectionLost)
    assert made < 20


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", OK])
def test_the_error_of_a_body_reaches_whoever_asked(pair: Pair, pieces: Pieces, answer: bytes) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    pair.say(answer)
    pieces.fail(KeyError("ours"))
    assert pair.transport.lost
    if not answer:
        assert isinstance(task.error, KeyError)
        return
    _, stream = result(task)
    if answer is OK:
        assert pair.read(stream) == b"hi"
    else:
        with pytest.raises(KeyError):
            pair.read(stream)
    sent = pair.reactor.spawn(pair.connection.sent(stream))
    pair.reactor.settle()
    assert isinstance(sent.error, KeyError)
    gc.collect()
    assert pair.unheard == []


def test_a_body_that_is_cancelled_by_somebody_else_ends_the_asking(pair: Pair, pieces: Pieces) -> None:
    task = pair.ask("POST", pieces())
    pieces.fail(Cancelled())
    assert isinstance(task.error, Cancelled)
    assert pair.transport.lost


def test_a_body_that_fails_when_it_is_closed_spoils_no_answer_and_is_logged(pair: Pair) -> None:
    async def bad() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await Future(pair.reactor)
        finally:
            raise KeyError("ours")

    task = pair.ask("POST", bad())
    pair.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert pair.read(result(task)[1]) == b"no"
    assert [type(error) for error in pair.unheard] == [KeyError]


def test_who_leaves_an_answer_gives_up_what_is_still_under_way(pair: Pair, pieces: Pieces) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    pair.say(OK)
    _, stream = result(task)
    left = pair.reactor.spawn(pair.connection.leave(stream))
    pair.reactor.settle()
    assert left.done
    assert pieces.closed
    assert pair.transport.lost
    assert pair.freed == [(False, True)]


def test_who_leaves_late_leaves_the_next_request_alone(pair: Pair) -> None:
    first = pair.ask()
    pair.say(OK)
    second = pair.ask()
    pair.reactor.spawn(pair.connection.leave(result(first)[1]))
    pair.say(OK)
    assert pair.read(result(second)[1]) == b"hi"
    assert pair.connection.is_idle


def test_a_cancelled_request_closes_its_body_before_it_is_over(pair: Pair, pieces: Pieces) -> None:
    task = pair.ask("POST", pieces())
    pieces.give(b"one")
    task.on_done(lambda _: closed.append(pieces.closed))
    closed: list[bool] = []
    task.cancel()
    pair.reactor.settle()
    assert isinstance(task.error, Cancelled)
    assert closed == [True]
    assert pair.transport.lost


@pytest.mark.parametrize("fields", [(), (("Connection", "Upgrade"), ("Upgrade", "websocket"))])
def test_a_switch_to_another_protocol_ends_the_asking(pair: Pair, fields: tuple[tuple[str, str], ...]) -> None:
    task = pair.ask("GET", b"", *fields)
    pair.say(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00")
    assert isinstance(task.error, RemoteProtocolError)
    assert task.error.status == 502
    assert pair.transport.lost


def test_an_answer_over_the_readers_limit_is_the_servers_doing(pair: Pair) -> None:
    task = pair.ask()
    pair.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    _, stream = result(task)
    for _ in range(2):
        reading = pair.reactor.spawn(stream.read(3))
        pair.reactor.settle()
        assert isinstance(reading.error, RemoteProtocolError)
        assert reading.error.status == 502
    pair.say(b"56789")
    assert pair.transport.lost


def test_a_body_that_fails_while_it_is_sent_aborts_and_is_told_once(pair: Pair) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("ours")

    task = pair.ask("POST", pieces())
    pair.reactor.settle()
    assert isinstance(task.error, KeyError)
    assert pair.transport.lost
    gc.collect()
    assert pair.unheard == []


def test_a_cancelled_request_aborts_its_connection_and_says_nothing(pair: Pair) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    pair.transport.stall = True
    task = pair.ask("POST", pieces())
    task.cancel()
    pair.reactor.settle()
    assert isinstance(task.error, Cancelled)
    assert pair.transport.lost
    assert pair.freed == [(False, True)]
    del task
    gc.collect()
    assert pair.unheard == []


def test_an_answer_that_is_not_read_stops_the_reading(pair: Pair) -> None:
    task = pair.ask()
    pair.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
    _, stream = result(task)
    assert not pair.transport.reading
    assert len(pair.read(stream)) == 1_000_000
    assert pair.connection.is_idle


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://a", ("a:80", "/", "a")),
        ("http://A.example:8000/x?y=1#z", ("a.example:8000", "/x?y=1", "A.example:8000")),
        ("http://[::1]:9000?q", ("[::1]:9000", "/?q", "[::1]:9000")),
        ("http://user:pass@a/", ("a:80", "/", "a")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[str, str, str]) -> None:
    address, target, host = split_url(url)
    assert (str(address), target, host) == parts


@pytest.mark.parametrize("url", ["", "a", "/x", "https://a/", "ftp://a", "http://", "http://a:99999/", "http://[::1/"])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        split_url(url)


def test_the_errors_of_a_client_have_one_root() -> None:
    assert issubclass(ConnectionLost, ReactorError)
    assert issubclass(RemoteProtocolError, ReactorError)
