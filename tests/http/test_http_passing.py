"""What a proxy is made of, each alone: answers in callbacks (Deferred), requests in callbacks (UpstreamConnection)."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from reactor import AnswerMemo, Deferred, Headers, HTTPError, Plugin, Reply, Request, Response, ResponseHead
from reactor.errors import ConnectionLost, ReactorError, RemoteProtocolError
from reactor.http.upstream import UpstreamConnection
from reactor.sansio.head import Limits, parse_request_head
from reactor.sansio.http1 import CLIENT, Connection
from reactor.testing import FakeReactor, MemoryTransport, TestApp

HEAD = ResponseHead(200, Headers([("Date", "then")]), length=None)


class Producing:
    """Notes what it is told, and lets the test answer."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.told: list[str] = []
        self.reply: Reply

    def start(self, reply: Reply) -> None:
        self.reply = reply
        if self.request.path == "/fails":
            raise HTTPError(503, "not now")
        if self.request.path == "/at-once":
            reply.respond(Response("now"))

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")

    def client_ended(self) -> None:
        self.told.append("ended")


class Deferring:
    """A plugin whose host "d.test" is answered by what the test says."""

    def __init__(self) -> None:
        self.made: list[Producing] = []

    def setup(self, plugin: Plugin, options: None) -> None:
        def handle(request: Request) -> Response:
            self.made.append(Producing(request))
            return Deferred(self.made[-1])

        plugin.host("d.test", handle)


@pytest.fixture(params=[False, True], ids=["plain", "in a task"])
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With middleware the answer goes through the task of an Exchange, and must be the same."""
    import types

    module = types.ModuleType("deferring_for_tests")
    deferring = Deferring()

    def setup(plugin: Plugin, options: None) -> None:
        deferring.setup(plugin, options)
        if request.param:

            async def through(asked: Request, handler: Any) -> Response:
                response: Response = await handler(asked)
                return response

            plugin.middleware(through)

    module.setup = setup  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "deferring_for_tests", module)
    with TestApp({"plugin:d": {"use": "deferring_for_tests"}}, state_dir=tmp_path) as made:
        made.deferring = deferring  # type: ignore[attr-defined]
        yield made


def ask(app: Any, wire: bytes = b"GET /later HTTP/1.1\r\nHost: d.test\r\n\r\n") -> tuple[MemoryTransport, Any]:
    client = app.connect()
    client.feed(wire)
    app.reactor.settle()
    return client, app.deferring.made[-1] if app.deferring.made else None


def test_an_answer_is_given_later_and_the_next_request_waits_for_it(app: Any) -> None:
    client, producing = ask(app, b"GET /later HTTP/1.1\r\nHost: d.test\r\n\r\n" * 2)
    assert not client.sent and len(app.deferring.made) == 1
    producing.reply.respond(Response("one"))
    app.reactor.settle()
    app.deferring.made[1].reply.respond(Response("two"))
    app.reactor.settle()
    text = bytes(client.sent)
    assert text.index(b"one") < text.index(b"two") and text.count(b"200 OK") == 2


def test_an_answer_may_come_in_pieces_and_keeps_its_date(app: Any) -> None:
    client, producing = ask(app)
    producing.reply.begin(HEAD)
    producing.reply.send(b"abc")
    producing.reply.finish(Headers([("X-Sum", "1")]))
    app.reactor.settle()
    assert bytes(client.sent).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert bytes(client.sent).count(b"Date: ") == 1 and b"Date: then" in client.sent


def test_an_answer_may_come_at_once_or_fail(app: Any) -> None:
    assert app.get("/at-once", headers={"Host": "d.test"}).text == "now"
    assert app.get("/fails", headers={"Host": "d.test"}).status == 503


def test_a_client_that_leaves_cancels(app: Any) -> None:
    client, producing = ask(app)
    client.abort()
    app.reactor.settle()
    assert producing.told == ["cancel"]
    producing.reply.respond(Response("too late"))
    assert app.app.generation.site.active == 0


def test_a_client_that_ends_its_side_is_told_of(app: Any) -> None:
    client, producing = ask(app)
    client.feed_eof()
    app.reactor.settle()
    assert producing.told == ["ended"]
    producing.reply.respond(Response("still"))
    app.reactor.settle()
    assert bytes(client.sent).endswith(b"still")


def test_what_fails_in_the_middle_is_cut(app: Any) -> None:
    client, producing = ask(app)
    producing.reply.begin(HEAD)
    producing.reply.fail(HTTPError(502, "gone"))
    app.reactor.settle()
    assert client.lost and b"502" not in client.sent


def test_a_mistake_in_the_middle_is_cut_and_logged(app: Any) -> None:
    client, producing = ask(app)
    producing.reply.begin(HEAD)
    producing.reply.fail(ZeroDivisionError())
    app.reactor.settle()
    assert client.lost and any("ZeroDivisionError" in line for line in app.log_lines)


def test_who_does_not_read_is_waited_for(app: Any) -> None:
    client, producing = ask(app)
    client.stall = True
    producing.reply.begin(HEAD)
    for _ in range(10):
        producing.reply.send(b"x" * 65536)
    app.reactor.settle()
    assert producing.reply.is_full
    client.release()
    app.reactor.settle()
    assert not producing.reply.is_full and producing.told == ["resume"]


def test_a_body_is_taken_as_it_comes(app: Any) -> None:
    client, producing = ask(app, b"PUT / HTTP/1.1\r\nHost: d.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    stream = producing.request.stream
    changes: list[bytes] = []
    stream.on_change = lambda: changes.append(stream.read_nowait())
    assert not client.sent
    stream.want()
    assert bytes(client.sent) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.feed(b"ab")
    client.feed(b"cd")
    assert b"".join(changes) == b"abcd" and stream.is_complete


# -- UpstreamConnection ------------------------------------------------------------------------------------------------


class Asking:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def interim(self, head: ResponseHead) -> None:
        self.told.append(head.status)

    def answered(self, head: ResponseHead) -> None:
        self.told.append(("head", head.status))

    def piece(self, data: bytes) -> None:
        self.told.append(data)

    def complete(self, trailers: Headers) -> None:
        self.told.append(list(trailers))

    def answer(self, head: ResponseHead, body: bytes) -> None:
        self.told += [("head", head.status), *([body] if body else []), []]

    def switched(self, head: ResponseHead) -> None:
        self.told.append("switched")

    def failed(self, error: ReactorError) -> None:
        self.told.append(type(error))

    def broken(self, error: Exception) -> None:
        self.told.append(error)

    def writable(self) -> None:
        self.told.append("writable")

    def expired(self) -> None:
        self.told.append("expired")


class Upward:
    """A connection to a server that the test plays."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.heard: list[str] = []
        self.connection = UpstreamConnection(
            self.reactor, AnswerMemo(), lambda _: self.heard.append("free"), lambda _: self.heard.append("lost")
        )
        self.wire = MemoryTransport(self.reactor, self.connection, ("127.0.0.1", 80))

    def ask(self, text: str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> Asking:
        asking = Asking()
        head = parse_request_head(text.encode(), Limits())
        self.connection.ask(asking, head, text.encode())
        return asking

    def feed(self, data: bytes) -> None:
        self.wire.feed(data)
        self.reactor.settle()


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", [("head", 200), b"ok", []], True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", [("head", 204), []], True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", [("head", 200), []], False),
    (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n",
     [103, ("head", 200), b"x", [("a", "b")]], True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", [("head", 200), b"ok", []], False),
    (b"nonsense\r\n\r\n", [RemoteProtocolError], False),
    (b"HTTP/1.1 101 Up\r\n\r\n", [RemoteProtocolError], False),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "told", "stays"), ANSWERS)
@pytest.mark.parametrize("cut", [None, 1, 20, 30])
def test_an_answer_is_told_however_it_came(wire: bytes, told: list[Any], stays: bool, cut: int | None) -> None:
    up = Upward()
    for _ in range(2 if stays else 1):  # the second time it is remembered
        asking = up.ask()
        for piece in [wire] if cut is None else [wire[:cut], wire[cut:]]:
            if piece:
                up.feed(piece)
        merged: list[Any] = []
        for item in asking.told:  # pieces of a body may be cut anywhere
            if isinstance(item, bytes) and merged and isinstance(merged[-1], bytes):
                merged[-1] += item
            else:
                merged.append(item)
        assert merged == told
    assert up.connection.is_idle is stays
    assert ("lost" in up.heard) is not stays


def test_the_end_in_the_middle_is_a_lost_connection() -> None:
    up = Upward()
    asking = up.ask()
    up.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
    up.wire.feed_eof()
    up.reactor.settle()
    assert asking.told == [("head", 200), b"hal", ConnectionLost] and up.heard == ["lost"]


def test_a_body_that_ends_with_the_connection_is_complete_at_its_end() -> None:
    up = Upward()
    asking = up.ask()
    up.feed(b"HTTP/1.0 200 OK\r\n\r\nall")
    up.wire.feed_eof()
    up.reactor.settle()
    assert asking.told == [("head", 200), b"all", []] and not up.connection.is_idle


def test_a_body_goes_out_in_its_own_framing() -> None:
    up = Upward()
    up.ask("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    up.connection.send(b"abc")
    up.connection.finish(Headers([("X-Sum", "1")]))
    assert bytes(up.wire.sent).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")


def test_an_answer_before_the_request_is_complete_costs_the_connection() -> None:
    up = Upward()
    asking = up.ask("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    up.connection.send(b"ab")
    up.feed(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
    assert asking.told == [("head", 413), []] and up.heard == ["lost"]


def test_after_an_upgrade_the_connection_is_anothers() -> None:
    up = Upward()
    asking = up.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    up.feed(b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
    assert asking.told == ["switched"] and not up.connection.is_idle


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        ("answer", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("complete", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("switched", b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\n\r\n"),
    ],
)
def test_who_fails_at_the_last_event_hears_of_that(event: str, wire: bytes) -> None:
    up = Upward()
    asking = up.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    error = ZeroDivisionError()

    def fail(*given: object) -> None:
        raise error

    setattr(asking, event, fail)
    up.feed(wire)
    assert asking.told[-1] is error


RESET = ConnectionResetError(errno.ECONNRESET, "reset")
REFUSED = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize(
    ("length", "told"),
    [(5, [("head", 413), b"no", []]), (0, [ConnectionLost])],  # without a body it may be older than the request
)
def test_what_came_before_a_reset_is_the_answer_to_a_body(length: int, told: list[Any]) -> None:
    up = Upward()
    asking = up.ask(f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    up.wire.unread = REFUSED
    up.wire.abort(RESET)
    up.reactor.settle()
    assert asking.told == told and up.heard == ["lost"] and up.connection.asked


def test_what_never_went_out_was_not_asked() -> None:
    up = Upward()
    up.wire.write = lambda data: up.wire.abort(RESET)  # type: ignore[method-assign]
    asking = up.ask()
    up.reactor.settle()
    assert asking.told == [ConnectionLost] and not up.connection.asked


def test_what_came_before_anything_was_asked_is_no_answer() -> None:
    up = Upward()
    up.wire.write = lambda data: up.wire.abort(RESET)  # type: ignore[method-assign]
    up.wire.unread = REFUSED
    asking = up.ask("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    up.reactor.settle()
    assert asking.told == [ConnectionLost] and not up.connection.asked


def test_whatever_comes_unasked_ends_the_connection() -> None:
    up = Upward()
    up.feed(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
    assert up.heard == ["lost"]


def test_who_has_given_up_hears_nothing_more() -> None:
    up = Upward()
    asking = up.ask()
    up.connection.abort()
    up.reactor.settle()
    assert asking.told == [] and up.heard == ["lost"]


def test_an_idle_connection_ends_at_its_deadline() -> None:
    up = Upward()
    up.connection.deadline.move(up.reactor.now + 5)
    up.reactor.advance(6)
    assert up.heard == ["lost"]


def test_remembered_heads_of_answers_hold_no_cookies_and_are_bounded() -> None:
    memo = AnswerMemo(entries=3)
    plain = b"HTTP/1.1 200 OK\r\nX: %d\r\n\r\n"
    for number in range(10):
        assert memo.parse(plain % number) is not memo.parse(plain % number)
        assert memo.parse(plain % number) is memo.parse(plain % number)
        assert len(memo._heads) <= 3
    secret = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n\r\n"
    assert len({id(head) for head in [memo.parse(secret) for _ in range(4)]}) == 4


def test_the_short_way_of_an_answer_needs_a_complete_request() -> None:
    connection = Connection(CLIENT)
    connection.pass_on(parse_request_head(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", Limits()))
    assert connection.receive_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") is None
