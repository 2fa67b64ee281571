"""The opening handshake: who gets a 101, and what all others get; guards, origins, subprotocols, compression."""

from __future__ import annotations

import pytest
from http_wire import Answer
from ws_wire import SocketWire, echo, handshake, text

from reactor.core.task import sleep
from reactor.errors import HTTPError, LocalProtocolError
from reactor.http.message import Request, Response
from reactor.http.router import Route
from reactor.http.upgrade import WebSocketHandler


def test_the_answer_to_a_good_one_is_that_of_the_rfc() -> None:
    client = SocketWire(echo).open()
    assert client.head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert client.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3
    assert (client.header("Upgrade"), client.header("Connection")) == ("websocket", "Upgrade")
    assert client.header("Date")
    assert not client.header("Sec-WebSocket-Protocol") and not client.header("Sec-WebSocket-Extensions")


@pytest.mark.parametrize(
    "fields",
    [
        {"Upgrade": "WebSocket"}, {"Upgrade": "h2c, websocket"}, {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade"}, {"Origin": "http://chat.test"}, {"Origin": "HTTP://Chat.Test"},
        {"Host": "chat.test:80", "Origin": "http://chat.test"}, {"Host": "[::1]:80", "Origin": "http://[::1]"},
        {"Host": "chat.test:8000", "Origin": "http://chat.test:8000"}, {"Origin": "https://named.test"},
        {"Sec_WebSocket_Protocol": "nobody.speaks.this"}, {"Sec_WebSocket_Extensions": "x-unknown; a=1"},
    ],
)  # fmt: skip
def test_it_opens(fields: dict[str, str]) -> None:
    wire = SocketWire(echo, origins=("https://named.test",))
    client = wire.open(**fields)
    client.send(text("hello"))
    assert client.heard() == [("text", "hello")]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Upgrade": None}, 426), ({"Connection": None}, 426), ({"Connection": "close"}, 426),
        ({"Upgrade": "h2c"}, 426), ({"Sec_WebSocket_Version": None}, 426), ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": "13, 8"}, 426), ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400), ({"Sec_WebSocket_Key": "not base64 of sixteen"}, 400),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"Sec_WebSocket_Key": "ü"}, 400), ({"Content_Length": "1"}, 400),
        ({"Origin": "http://evil.test"}, 403), ({"Origin": "https://chat.test"}, 403), ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403), ({"Origin": "http://chat.test:8000"}, 403), ({"Origin": "http://chat.test.evil"}, 403),
    ],
)  # fmt: skip
def test_it_is_refused_as_any_request_is(fields: dict[str, str | None], status: int) -> None:
    wire = SocketWire(echo)
    client = wire.connect()
    client.send(handshake(**fields).replace("ü".encode(), b"\xfc") + (b"x" if "Content_Length" in fields else b""))
    raw = client.raw
    answer: Answer = client.answer()
    assert answer.status == status
    assert wire.sockets == [] and wire.errors == []
    if status == 426:
        assert answer.headers["upgrade"] == "websocket" and answer.headers["sec-websocket-version"] == "13"
        assert b"\r\nConnection: Upgrade\r\n" in raw


def test_a_page_under_tls_is_an_https_origin() -> None:
    opening = WebSocketHandler(echo)
    head = SocketWire(echo)
    seen: list[Request] = []
    head.route("GET", "/look", lambda request: (seen.append(request), Response())[1])
    head.ask(handshake("/look", Origin="https://chat.test"))
    [request] = seen
    with pytest.raises(HTTPError, match="another site"):
        opening(request)
    request.secure = True
    assert opening(request).status == 101


@pytest.mark.parametrize("line", ["HEAD /ws HTTP/1.1", "POST /ws HTTP/1.1", "PUT /ws HTTP/1.1"])
def test_other_methods_open_nothing(line: str) -> None:
    answer = SocketWire(echo).ask(handshake().replace(b"GET /ws HTTP/1.1", line.encode()))[0]
    assert answer.status == 405 and "GET" in answer.headers["allow"]


def test_http_1_0_opens_nothing() -> None:
    assert SocketWire(echo).ask(handshake().replace(b"HTTP/1.1", b"HTTP/1.0"))[0].status == 426


def test_a_connection_that_was_refused_can_ask_again() -> None:
    wire = SocketWire(echo)
    client = wire.connect()
    client.send(handshake(Origin="http://evil.test") + handshake())
    assert [answer.status for answer in client.answers()][:1] == [403]
    assert len(wire.sockets) == 1


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [("b, a", "a"), ("c,b", "b"), ("c", ""), ("A", ""), (None, ""), ("b\t,  c", "b")],
)
def test_the_subprotocol_is_the_first_of_ours_that_is_offered(offered: str | None, agreed: str) -> None:
    wire = SocketWire(echo, protocols=("a", "b"))
    client = wire.open(Sec_WebSocket_Protocol=offered)
    assert client.header("Sec-WebSocket-Protocol") == agreed == wire.socket.protocol


def test_a_subprotocol_that_no_header_can_hold_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="'a, b'"):
        WebSocketHandler(echo, protocols=["a, b"])


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate; client_max_window_bits", "server_max_window_bits=12; client_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits=10", "server_max_window_bits=12; client_max_window_bits=10"),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits",
            "server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=12",
        ),
        ("permessage-deflate", ""),  # it would have to be given 32 KiB
        ("permessage-deflate; unknown; client_max_window_bits", ""),
        ("permessage-deflate, permessage-deflate; client_max_window_bits",
         "server_max_window_bits=12; client_max_window_bits=12"),
        ("x-other", ""),
    ],
)  # fmt: skip
def test_compression_is_agreed_on_where_it_stays_small(offer: str, answer: str) -> None:
    wire = SocketWire(echo, deflate=True)
    client = wire.open(Sec_WebSocket_Extensions=offer)
    assert client.header("Sec-WebSocket-Extensions") == (f"permessage-deflate; {answer}" if answer else "")


def test_extensions_that_cannot_be_read_are_refused() -> None:
    answer = SocketWire(echo, deflate=True).ask(handshake(Sec_WebSocket_Extensions="; ;"))[0]
    assert answer.status == 400
    assert SocketWire(echo).open(Sec_WebSocket_Extensions="; ;")  # who does not compress does not read them


def test_the_guard_is_asked_before_it_opens_and_its_refusal_is_an_answer() -> None:
    async def guard(request: Request) -> Response | None:
        await sleep(1)
        if "cookie" not in request.headers:
            return Response("who are you?", 401)
        request.user = "ann"
        return None

    wire = SocketWire(echo, guard=guard)
    stranger = wire.connect()
    stranger.send(handshake())
    stranger.advance(1)
    assert stranger.answer().status == 401 and wire.sockets == []
    friend = wire.connect()
    friend.send(handshake(Cookie="session=x") + text("early"))
    assert not friend.take()
    friend.advance(1)
    assert wire.socket.request.user == "ann"
    head, _, frames = friend.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert frames == b"\x81\x05early"  # what was sent behind the handshake is not lost


def test_what_is_pipelined_before_it_is_answered_first() -> None:
    wire = SocketWire(echo)
    wire.route("GET", "/first", lambda request: Response("one"))
    client = wire.connect()
    client.send(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + handshake() + text("two"))
    data = client.take()
    assert data.index(b"one") < data.index(b"HTTP/1.1 101 ") < data.index(b"\x81\x03two")


def test_it_is_in_the_access_log_once() -> None:
    wire = SocketWire(echo)
    client = wire.open()
    client.send(text("x"))
    assert wire.access == [("/ws", 101, 0)]


def test_a_parameter_of_the_pattern_and_the_query_are_there() -> None:
    seen: list[tuple[str, str]] = []

    async def look(ws: object) -> None:
        request: Request = ws.request  # type: ignore[attr-defined]
        seen.append((request.params["room"], request.query["as"]))

    wire = SocketWire(echo)
    wire.router.add(Route(("GET",), "/room/{room}", WebSocketHandler(look)))
    client = wire.connect()
    client.send(handshake("/room/caf%C3%A9?as=ann"))
    assert seen == [("café", "ann")]
