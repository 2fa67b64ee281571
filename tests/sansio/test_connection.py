"""Both roles of a connection, alone and as pairs joined in memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from reactor.errors import LocalProtocolError, RemoteProtocolError
from reactor.sansio.framing import LARGEST_DATA
from reactor.sansio.http1 import (
    BODY,
    CHUNKED,
    CLIENT,
    CLOSED,
    DONE,
    ERROR,
    IDLE,
    NEED_DATA,
    PAUSED,
    SERVER,
    SWITCHED,
    UNTIL_CLOSE,
    Connection,
    Data,
    End,
    Event,
    Headers,
    HeadMemo,
    Limits,
    Received,
    RequestHead,
    ResponseHead,
    Signal,
)

from .cases import get, request
from .test_table import SWITCHING, UPGRADE, WIRE_UPGRADE, snapshot

HOST = Headers((("Host", "a"),))


def a_request(method: str = "GET", *, length: int = 0, fields: Headers = HOST) -> RequestHead:
    return RequestHead(method, "/", fields, length=length)


def an_answer(status: int = 200, *fields: tuple[str, str], length: int | None = 2) -> ResponseHead:
    return ResponseHead(status, Headers(fields), length=length)


def server_with(raw: bytes) -> Connection:
    """A server that has taken the head of `raw`."""
    server = Connection(SERVER)
    server.receive_data(raw)
    assert isinstance(server.next_event(), RequestHead)
    return server


def events(connection: Connection) -> list[Received]:
    found: list[Received] = []
    while not isinstance(event := connection.next_event(), Signal):
        found.append(event)
    return [*found, event]


class Pair:
    """A client and a server; what one sends, the other receives and must understand."""

    def __init__(self) -> None:
        self.client, self.server = Connection(CLIENT), Connection(SERVER)

    def ask(self, *sent: Event, close: bool = False) -> list[Received]:
        return self._pass(self.client, self.server, sent, close)

    def answer(self, *sent: Event, close: bool = False) -> list[Received]:
        return self._pass(self.server, self.client, sent, close)

    @staticmethod
    def _pass(source: Connection, sink: Connection, sent: tuple[Event, ...], close: bool) -> list[Received]:
        for event in sent:
            sink.receive_data(source.send(event, close=close and isinstance(event, RequestHead | ResponseHead)))
        return events(sink)

    @property
    def states(self) -> tuple[object, ...]:
        return self.client.ours, self.client.theirs, self.server.theirs, self.server.ours


# -- pairs -------------------------------------------------------------------------------------------------------------


def test_a_pair_exchanges_and_begins_again() -> None:
    pair = Pair()
    for _ in range(3):
        head, signal = pair.ask(a_request(), End())
        assert isinstance(head, RequestHead) and head.path == "/" and signal is PAUSED
        assert pair.states == (DONE, IDLE, DONE, IDLE)
        answer, data, end, signal = pair.answer(an_answer(), Data(b"ok"), End())
        assert isinstance(answer, ResponseHead) and answer.length == 2
        assert (data, end, signal) == (Data(b"ok"), End(), NEED_DATA)
        assert pair.states == (IDLE, IDLE, IDLE, IDLE)


def test_a_pair_carries_bodies_and_trailers_in_chunks() -> None:
    pair = Pair()
    trailers = Headers((("X-Sum", "7"),))
    head, *rest = pair.ask(a_request("POST", length=CHUNKED), Data(b"ab"), Data(b""), Data(b"c"), End(trailers))
    assert isinstance(head, RequestHead) and head.length == CHUNKED
    assert rest == [Data(b"abc"), End(Headers((("x-sum", "7"),))), PAUSED]
    answer, *rest = pair.answer(an_answer(length=None), Data(b"x"), End(trailers))
    assert isinstance(answer, ResponseHead) and answer.length == CHUNKED and "x-sum" not in answer.headers
    assert rest == [Data(b"x"), End(Headers((("x-sum", "7"),))), NEED_DATA]


@pytest.mark.parametrize("who", ["client", "server"])
def test_either_side_can_say_that_this_exchange_is_the_last(who: str) -> None:
    pair = Pair()
    pair.ask(a_request(), End(), close=who == "client")
    assert pair.server.keep_alive is (who == "server")
    pair.answer(an_answer(), Data(b"ok"), End(), close=who == "server")
    assert pair.states == (CLOSED, CLOSED, CLOSED, CLOSED)
    assert pair.client.next_event() is pair.server.next_event() is Signal.CLOSED


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_close_in_the_fields_is_kept_by_who_said_it(who: str) -> None:
    pair = Pair()
    fields = Headers((("Host", "a"), ("Connection", "close")))
    pair.ask(a_request(fields=fields if who == "client" else HOST), End())
    close = [("Connection", "close")] if who == "server" else []
    pair.answer(an_answer(200, *close), Data(b"ok"), End())
    assert pair.states == (CLOSED, CLOSED, CLOSED, CLOSED)


def test_an_answer_may_overtake_the_request_body() -> None:
    pair = Pair()
    pair.ask(a_request("POST", length=3), Data(b"a"))
    pair.answer(an_answer(413), Data(b"no"), End())
    assert pair.states == (BODY, DONE, BODY, DONE)
    assert pair.ask(Data(b"bc"), End()) == [Data(b"bc"), End(), NEED_DATA]
    assert pair.states == (IDLE, IDLE, IDLE, IDLE)


def test_interim_answers_leave_the_server_idle() -> None:
    pair = Pair()
    pair.ask(a_request("POST", length=3, fields=Headers((("Host", "a"), ("Expect", "100-continue")))))
    interim, signal = pair.answer(an_answer(100, length=0))
    assert isinstance(interim, ResponseHead) and interim.status == 100 and signal is NEED_DATA
    assert pair.states == (BODY, IDLE, BODY, IDLE)


@pytest.mark.parametrize(("status", "method", "length"), [(200, "HEAD", 2), (200, "HEAD", None), (204, "GET", 0),
                                                          (304, "GET", 5), (304, "GET", None)])  # fmt: skip
def test_answers_without_a_body_end_with_their_head(status: int, method: str, length: int | None) -> None:
    pair = Pair()
    pair.ask(a_request(method), End())
    answer, signal = pair.answer(an_answer(status, length=length), End())
    assert isinstance(answer, ResponseHead) and answer.length == 0 and signal is NEED_DATA
    assert pair.states == (IDLE, IDLE, IDLE, IDLE)


def test_the_end_ends_an_idle_pair_on_both_sides() -> None:
    pair = Pair()
    for connection in (pair.client, pair.server):
        connection.receive_eof()
        assert connection.next_event() is connection.next_event() is Signal.CLOSED
        assert connection.theirs is CLOSED


def test_a_client_that_has_closed_without_asking_sees_a_proper_end() -> None:
    client = Connection(CLIENT)
    client.close()
    client.receive_eof()
    assert client.next_event() is Signal.CLOSED


def test_a_client_that_half_closes_still_gets_its_answer() -> None:
    pair = Pair()
    pair.ask(a_request(), End())
    pair.client.close()
    pair.server.receive_eof()
    assert pair.server.next_event() is PAUSED
    assert len(pair.answer(an_answer(), Data(b"ok"), End())) == 4
    assert pair.server.next_event() is Signal.CLOSED


def test_another_protocol_takes_over_with_the_bytes_behind_the_head() -> None:
    pair = Pair()
    pair.ask(a_request(fields=UPGRADE), End())
    pair.server.receive_data(b"early")
    assert pair.server.next_event() is PAUSED
    pair.client.receive_data(pair.server.switch(SWITCHING, b"Date: now\r\n") + b"hello")
    head = pair.client.next_event()
    assert isinstance(head, ResponseHead) and head.headers["date"] == "now"
    assert pair.states == (SWITCHED,) * 4
    assert (pair.server.take_rest(), pair.client.take_rest()) == (b"early", b"hello")
    assert pair.server.next_event() is pair.client.next_event() is PAUSED


def test_pipelined_requests_wait_for_the_answer_before_them() -> None:
    server = server_with(get() + request("GET /2 HTTP/1.1", "Host: a"))
    assert server.next_event() is PAUSED and server.buffered
    server.respond(an_answer(), b"ok")
    head = server.next_event()
    assert isinstance(head, RequestHead) and head.path == "/2" and not server.buffered


def test_a_large_body_comes_in_pieces_of_a_bounded_size() -> None:
    size = 3 * LARGEST_DATA + 5
    for raw in (get(f"Content-Length: {size}", body=size * b"x"),
                get("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (size, size * b"x"))):  # fmt: skip
        server = server_with(raw)
        sizes = [len(event.data) for event in events(server) if isinstance(event, Data)]
        assert sum(sizes) == size and max(sizes) == LARGEST_DATA


# -- bytes on the wire -------------------------------------------------------------------------------------------------


def test_a_server_frames_by_length_chunks_or_the_end() -> None:
    assert server_with(get()).send(an_answer()) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert server_with(get()).send(an_answer(length=None)) == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    old = server_with(request("GET / HTTP/1.0", "Connection: keep-alive"))
    assert old.send(an_answer(length=None)) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    assert old.send(Data(b"x")) == b"x" and old.send(End()) == b"" and old.ours is CLOSED


def test_http_1_0_is_told_that_it_is_kept() -> None:
    kept = server_with(request("GET / HTTP/1.0", "Connection: keep-alive"))
    assert b"Connection: keep-alive\r\n" in kept.send(an_answer())
    assert b"Connection: close\r\n" in server_with(request("GET / HTTP/1.0")).send(an_answer())


def test_answers_without_a_body_are_framed_as_the_standard_says() -> None:
    def head(raw: bytes, answer: ResponseHead) -> bytes:
        return server_with(raw).send(answer).partition(b"\r\n")[2]

    asked_head = request("HEAD / HTTP/1.1", "Host: a")
    assert head(asked_head, an_answer(length=9)) == b"Content-Length: 9\r\n\r\n"
    assert head(asked_head, an_answer(length=None)) == b"Transfer-Encoding: chunked\r\n\r\n"
    assert head(get(), an_answer(204, length=0)) == b"\r\n"
    assert head(get(), an_answer(304, length=None)) == b"\r\n"
    assert head(get(), an_answer(304, length=9)) == b"Content-Length: 9\r\n\r\n"


def test_a_client_frames_its_body() -> None:
    def wire(head: RequestHead) -> bytes:
        return Connection(CLIENT).send(head).partition(b"\r\n")[2]

    assert wire(a_request()) == b"Host: a\r\n\r\n"
    assert wire(a_request("POST")) == b"Host: a\r\nContent-Length: 0\r\n\r\n"
    assert wire(a_request("PUT", length=3)) == b"Host: a\r\nContent-Length: 3\r\n\r\n"
    assert wire(a_request("PUT", length=CHUNKED)) == b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"


RESPONSES: list[tuple[ResponseHead, bytes]] = [
    (an_answer(), b"ok"),
    (an_answer(length=0), b""),
    (an_answer(length=None), b"some"),
    (an_answer(length=None), b""),
    (an_answer(204, length=0), b""),
    (an_answer(304, length=7), b""),
    (an_answer(200, ("Connection", "close")), b"ok"),
]
ASKED = [get(), get("Connection: close"), request("HEAD / HTTP/1.1", "Host: a"), request("GET / HTTP/1.0"),
         request("GET / HTTP/1.0", "Connection: keep-alive"), get("Content-Length: 4", body=b"ha")]  # fmt: skip


@pytest.mark.parametrize("raw", ASKED)
@pytest.mark.parametrize(("head", "body"), RESPONSES)
@pytest.mark.parametrize("close", [False, True])
def test_respond_equals_the_three_sends(raw: bytes, head: ResponseHead, body: bytes, close: bool) -> None:
    at_once, step_by_step = server_with(raw), server_with(raw)
    wire = step_by_step.send(head, b"Date: now\r\n", close=close)
    if body and not raw.startswith(b"HEAD"):
        wire += step_by_step.send(Data(body))
    wire += step_by_step.send(End())
    assert at_once.respond(head, body, b"Date: now\r\n", close=close) == wire
    for name in ("ours", "theirs", "keep_alive", "_our_left", "buffered"):
        assert getattr(at_once, name) == getattr(step_by_step, name)


# -- our own bugs ------------------------------------------------------------------------------------------------------

INJECTIONS = ["x\r\nSet-Cookie: a=b", "x\nY: z", "x\ry", "x\x00y", "x\x0by", "x\x7fy", "x\u0142y", " x", "x\t"]


@pytest.mark.parametrize("value", INJECTIONS)
def test_no_field_value_or_reason_can_inject_a_line(value: str) -> None:
    server, client = server_with(get()), Connection(CLIENT)
    for send in (
        lambda: server.send(an_answer(200, ("X", value))),
        lambda: server.respond(an_answer(200, ("X", value)), b"ok"),
        lambda: server.send(ResponseHead(200, Headers(), reason=value)),
        lambda: server.send(an_answer(103, ("X", value), length=0)),
        lambda: client.send(a_request(fields=Headers((("Host", "a"), ("X", value))))),
    ):
        refused(server if send.__code__.co_freevars[0] == "server" else client, send)


@pytest.mark.parametrize("name", ["", "X:", "X Y", "X\r\nY", "X\x00", "X\n", "\xe9", "\u0142", "(x)"])
def test_no_field_name_can_inject_a_line(name: str) -> None:
    server, client = server_with(get()), Connection(CLIENT)
    refused(server, lambda: server.send(an_answer(200, (name, "x"))))
    refused(client, lambda: client.send(a_request(fields=Headers((("Host", "a"), (name, "x"))))))


@pytest.mark.parametrize("method", ["", "GET ", "GET / HTTP/1.1\r\nX:", "G\x00T", "\xe9"])
def test_no_method_can_inject_a_line(method: str) -> None:
    client = Connection(CLIENT)
    refused(client, lambda: client.send(a_request(method)))


@pytest.mark.parametrize("target", ["", "/ x", "/\r\nX: y", "/\x00", "/\xe9", "/#x", "x", "//\n"])
def test_no_target_can_inject_a_line(target: str) -> None:
    with pytest.raises((LocalProtocolError, RemoteProtocolError)):
        RequestHead("GET", target, HOST)


def test_no_trailer_can_inject_a_line() -> None:
    server = server_with(get())
    server.send(an_answer(length=None))
    refused(server, lambda: server.send(End(Headers((("X", "a\r\n\r\nb"),)))))


def refused(connection: Connection, send: Callable[[], object]) -> None:
    before = snapshot(connection)
    with pytest.raises(LocalProtocolError):
        send()
    assert snapshot(connection) == before, "a failed send changes nothing"


BUGS: dict[str, Callable[[Connection], object]] = {
    "a length among the fields": lambda c: c.send(an_answer(200, ("Content-Length", "2"))),
    "a coding among the fields": lambda c: c.send(an_answer(200, ("transfer-ENCODING", "chunked"))),
    "a length below zero": lambda c: c.send(an_answer(length=CHUNKED)),
    "a length until the end": lambda c: c.send(an_answer(length=UNTIL_CLOSE)),
    "a status of one digit": lambda c: c.send(an_answer(7)),
    "a status of four digits": lambda c: c.send(an_answer(2000)),
    "101 by send": lambda c: c.send(SWITCHING),
    "a switch with another status": lambda c: c.switch(an_answer()),
    "a switch with a bad field": lambda c: c.switch(ResponseHead(101, Headers((("X", "\r\n"),)))),
    "a body longer than announced": lambda c: c.respond(an_answer(), b"long"),
    "a body shorter than announced": lambda c: c.respond(an_answer(), b"s"),
    "a body where none was announced": lambda c: c.respond(an_answer(length=0), b"x"),
    "the rest without a switch": lambda c: c.take_rest(),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_of_the_server_is_named_and_changes_nothing(bug: str) -> None:
    server = server_with(WIRE_UPGRADE)
    refused(server, lambda: BUGS[bug](server))
    assert server.respond(an_answer(), b"ok").endswith(b"\r\n\r\nok")


def test_a_body_is_held_to_its_length() -> None:
    server, client = server_with(get()), Connection(CLIENT)
    server.send(an_answer())
    client.send(a_request("POST", length=2))
    for connection in (server, client):
        refused(connection, lambda: connection.send(Data(b"abc")))  # noqa: B023
        refused(connection, lambda: connection.send(End()))  # noqa: B023
        assert connection.send(Data(b"a")) + connection.send(Data(b"")) + connection.send(Data(b"b")) == b"ab"
        refused(connection, lambda: connection.account(1))  # noqa: B023
        assert connection.send(End()) == b""


def test_what_sendfile_sends_is_counted() -> None:
    server = server_with(get())
    server.send(an_answer(length=10))
    server.account(4)
    server.account(6)
    assert server.send(End()) == b"" and server.ours is IDLE


def test_sendfile_cannot_break_into_chunks() -> None:
    server = server_with(get())
    server.send(an_answer(length=None))
    refused(server, lambda: server.account(4))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_no_body_is_sent_where_none_may_be(method: str) -> None:
    server = server_with(request(f"{method} / HTTP/1.1", "Host: a"))
    server.send(an_answer(200 if method == "HEAD" else 304))
    refused(server, lambda: server.send(Data(b"ok")))
    assert server.send(End()) == b""


def test_a_client_must_name_the_host() -> None:
    client = Connection(CLIENT)
    refused(client, lambda: client.send(a_request(fields=Headers())))
    refused(client, lambda: client.send(a_request(length=UNTIL_CLOSE)))


def test_interim_answers_are_not_for_http_1_0_nor_for_nobody() -> None:
    for server in (server_with(request("GET / HTTP/1.0")), Connection(SERVER)):
        refused(server, lambda: server.send(an_answer(100)))  # noqa: B023


def test_a_switch_wants_a_complete_request_that_offers_one() -> None:
    unfinished = WIRE_UPGRADE[:-2] + b"Content-Length: 1\r\n\r\n"
    old = WIRE_UPGRADE.replace(b"1.1", b"1.0")
    for raw in (get(), unfinished, old):
        server = server_with(raw)
        refused(server, lambda: server.switch(SWITCHING))  # noqa: B023
    refused(idle := Connection(SERVER), lambda: idle.switch(SWITCHING))


# -- the other side's faults -------------------------------------------------------------------------------------------


def test_a_refused_peer_can_still_be_answered_and_nothing_of_it_is_kept() -> None:
    server = Connection(SERVER)
    server.receive_data(b"\x00")
    with pytest.raises(RemoteProtocolError):
        server.next_event()
    assert server.respond(an_answer(400), b"no").startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert server.theirs is ERROR and not server.keep_alive
    held = server.buffered
    server.receive_data(1_000_000 * b"x")
    assert server.buffered == held


def test_nothing_is_kept_behind_the_last_exchange() -> None:
    server = server_with(get("Connection: close"))
    server.respond(an_answer(), b"ok")
    server.receive_data(1_000_000 * b"x")
    assert server.next_event() is Signal.CLOSED and not server.buffered


def test_a_request_that_comes_behind_the_last_word_is_not_taken_for_the_one_it_answered() -> None:
    server = Connection(SERVER)
    server.receive_data(get()[:10])
    assert server.next_event() is NEED_DATA
    assert b"Connection: close\r\n" in server.send(an_answer(408))
    server.receive_data(get()[10:])
    assert server.next_event() is Signal.CLOSED
    server.send(Data(b"no"))
    server.send(End())
    assert server.next_event() is Signal.CLOSED and not server.keep_alive


@pytest.mark.parametrize("length", [0, 3])
def test_a_switch_that_nobody_offered_or_too_early_is_refused(length: int) -> None:
    client = Connection(CLIENT)
    client.send(a_request("POST", length=length, fields=UPGRADE if length else HOST))
    if not length:
        client.send(End())
    client.receive_data(b"HTTP/1.1 101 Go\r\n\r\n")
    with pytest.raises(RemoteProtocolError):
        client.next_event()
    assert client.ours is (BODY if length else DONE)


def test_an_error_does_not_hold_its_connection() -> None:
    class Watched(Connection):
        __slots__ = ("__weakref__",)

    gc.disable()
    try:
        server = Watched(SERVER)
        server.receive_data(b"\x00")
        for _ in range(3):
            with pytest.raises(RemoteProtocolError):
                server.next_event()
        watch = weakref.ref(server)
        del server
        assert watch() is None, "no collector needed: thousands of bad requests leave nothing behind"
    finally:
        gc.enable()


def test_the_short_ways_are_the_same_as_receive_data_and_next_event() -> None:
    memo = HeadMemo(Limits())
    heads = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"\r\nGET /c HTTP/1.0\r\n\r\n",
        b"GET /d HTTP/1.1\r\n\r\n", b"GET /half", b"",
    ]  # fmt: skip
    for raw in heads * 3:  # new, seen, remembered
        for more in (b"", b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"):
            long, short, queued = (Connection(SERVER, memo=memo) for _ in range(3))
            long.receive_data(raw + more)
            queued.receive_data(raw + more)
            try:
                expected: object = long.next_event()
            except RemoteProtocolError as error:
                expected = str(error)
            head = short.receive_request(raw + more)
            assert head is None or (head.target, short.theirs) == (getattr(expected, "target", ""), long.theirs)
            if head is None:
                assert short.theirs is short.ours is IDLE and not short.buffered
            known = queued.next_known()
            assert known is None or (known.target, queued.theirs, queued.buffered, queued.has_data) == (
                getattr(expected, "target", ""), long.theirs, long.buffered, long.has_data
            )  # fmt: skip
            if known is None:
                assert queued.theirs is IDLE and queued.buffered == len(raw + more)


# -- the short way for a piece of a body -----------------------------------------------------------------------------


def body_events(server: Connection, pieces: list[bytes]) -> tuple[bytes, Received, list[bool]]:
    """What a server makes of a body in these pieces: its bytes, the event behind them, and which went the short way."""
    body, short = [], []
    event: Received = NEED_DATA
    for piece in pieces:
        short.append(server.receive_piece(piece))
        if short[-1]:
            body.append(piece)
            continue
        server.receive_data(piece)
        while isinstance(event := server.next_event(), Data):
            body.append(event.data)
    return b"".join(body), event, short


def test_a_piece_out_of_the_middle_of_a_body_takes_the_short_way() -> None:
    server = server_with(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
    assert body_events(server, [b"abc", b"def", b"ghi"]) == (b"abcdefghi", End(), [True, True, False])
    assert server.theirs is DONE


def test_the_last_piece_and_what_follows_it_take_the_long_way() -> None:
    server = server_with(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    body, event, short = body_events(server, [b"ab", b"cdeGET / HTTP/1.1\r\n"])
    assert (body, event, short) == (b"abcde", End(), [True, False])
    assert server.buffered == len(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"],
)
def test_without_a_body_of_known_length_there_is_no_short_way(head: bytes) -> None:
    server = server_with(head)
    before = snapshot(server)
    assert not server.receive_piece(b"3\r\nabc\r\n")
    assert snapshot(server) == before


def test_behind_bytes_that_wait_there_is_no_short_way() -> None:
    server = server_with(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    assert not server.receive_piece(b"def")
    assert server.next_event() == Data(b"abc")
    assert server.receive_piece(b"def")


def test_a_piece_larger_than_one_event_may_be_takes_the_long_way() -> None:
    server = server_with(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
    assert not server.receive_piece(bytes(LARGEST_DATA + 1))
    assert server.receive_piece(bytes(LARGEST_DATA))
