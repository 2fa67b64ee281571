"""What is fuzzed: everything that reads bytes of somebody else. Each target says in code what must always hold."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from random import Random

import websockets.frames
import websockets.protocol
from fuzzer import Target

import peer.framing
import peer.messages
import peer.protocol
import plugins.proxy.conf
import plugins.static.codings
import plugins.static.conditional
import plugins.static.ranges
import reactor.http.frames
import reactor.sansio.buffer
import reactor.sansio.cookies
import reactor.sansio.fields
import reactor.sansio.forms
import reactor.sansio.framing
import reactor.sansio.head
import reactor.sansio.headers
import reactor.sansio.http1
import reactor.sansio.memo
import reactor.sansio.proxy_header
import reactor.sansio.target
from peer.errors import FrameError
from peer.framing import Framer
from peer.messages import Unknown, decode, encode
from reactor.errors import ConfigError, HTTPError, RemoteProtocolError
from reactor.sansio.http1 import (
    CLIENT,
    IDLE,
    PAUSED,
    SERVER,
    Connection,
    Data,
    End,
    Headers,
    HeadMemo,
    Limits,
    RequestHead,
    ResponseHead,
)

CONFORMANCE = Path(__file__).resolve().parents[1] / "conformance"
HTTP1 = (
    reactor.sansio.http1, reactor.sansio.head, reactor.sansio.headers, reactor.sansio.framing, reactor.sansio.fields,
    reactor.sansio.buffer, reactor.sansio.target, reactor.sansio.memo,
)  # fmt: skip
HTTP_TOKENS = (
    b"\r\n", b"\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST ", b"HEAD ", b"CONNECT a:1 ", b"OPTIONS * ",
    b" HTTP/1.0\r\n", b"http://b/", b"Host: ", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"gzip",
    b"Connection: ", b"close", b"keep-alive", b"upgrade", b"Upgrade: ", b"Expect: 100-continue\r\n", b"Cookie: ",
    b"0\r\n\r\n", b"5\r\nhello\r\n", b";a=\"b\"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 304 \r\n", b"[::1]",
    b"%2f", b"%00", b"X: y\r\n", b" ", b"\t", b"\x0b",
)  # fmt: skip
LIMITS = Limits(line=512, head=1024, fields=16)
OK = ResponseHead(200, Headers(), length=2)


def rows() -> list[bytes]:
    """The requests of the conformance tables, as far as they are short."""
    cases = [case for table in sorted(CONFORMANCE.glob("*.toml")) for case in tomllib.loads(table.read_text())["case"]]
    return [case["request"].encode("latin-1") for case in cases if isinstance(case["request"], str)]


# -- HTTP --------------------------------------------------------------------------------------------------------------


def _cut(data: bytes) -> list[bytes]:
    """In pieces, the same ones each time."""
    chance = Random(len(data))
    marks = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(4))})
    return [data[start:stop] for start, stop in pairwise(marks)]


def _read(connection: Connection, pieces: Iterable[bytes]) -> list[object]:
    """All that the connection makes of it: heads, bodies as a whole, and how it ended."""
    seen: list[object] = []
    for piece in pieces:
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except RemoteProtocolError as error:
                assert 400 <= error.status < 600, error.status
                return [*seen, error.status]
            if isinstance(event, RequestHead):
                seen.append((event.method, event.path, event.query, event.host, event.length, tuple(event.headers)))
            elif isinstance(event, ResponseHead):
                seen.append((event.status, event.length, tuple(event.headers)))
            elif isinstance(event, Data):
                body = seen.pop() if isinstance(seen[-1], bytes) else b""
                assert isinstance(body, bytes)
                seen.append(body + event.data)
            elif isinstance(event, End):
                seen.append(("end", tuple(event.trailers)))
            elif event is PAUSED and connection.ours is IDLE:
                connection.respond(OK, b"ok")
            else:
                break
    return seen


MEMO = HeadMemo(LIMITS)


def http_server(data: bytes) -> None:
    """What a request is does not depend on how it was cut, nor on what was read before; no field can smuggle a line."""
    whole = _read(Connection(SERVER, LIMITS), [data])
    assert whole == _read(Connection(SERVER, LIMITS), _cut(data)), "it depends on the cut"
    assert whole == _read(Connection(SERVER, memo=MEMO), [data]), "it depends on the memo"
    for event in whole:
        if isinstance(event, tuple) and len(event) == 6:
            _, path, *_, fields = event
            assert isinstance(path, str) and (not path or path[0] in "/*") and "/../" not in path
            assert all("\n" not in text and "\r" not in text and "\0" not in text for pair in fields for text in pair)


def http_client(data: bytes) -> None:
    assert _read(_asked(), [data]) == _read(_asked(), _cut(data)), "it depends on the cut"


def _asked() -> Connection:
    connection = Connection(CLIENT, LIMITS)
    connection.send(RequestHead("GET", "/", Headers((("Host", "a"),))))
    connection.send(End())
    return connection


def target(data: bytes) -> None:
    """The normal form of a target is its own normal form."""
    text = data.decode("latin-1")
    try:
        found = reactor.sansio.target.parse_target("GET", text)
    except RemoteProtocolError:
        return
    assert reactor.sansio.target.normal_path(found.path) == found.path
    for segment in found.path.split("/"):
        try:
            reactor.sansio.target.decode_segment(segment)
        except RemoteProtocolError as error:
            assert error.status == 400


def cookies(data: bytes) -> None:
    found = reactor.sansio.cookies.parse_cookies(data.decode("latin-1"))
    assert all(name and ";" not in value for name, value in found.items())


def forms(data: bytes) -> None:
    try:
        pairs = reactor.sansio.forms.parse_pairs(data.decode("utf-8", "replace"))
    except RemoteProtocolError as error:
        assert error.status == 400 and data.count(b"&") > 100
        return
    assert len(pairs) <= data.count(b"&") + 1


def ranges(data: bytes) -> None:
    try:
        spans = plugins.static.ranges.parse_ranges("bytes=" + data.decode("latin-1"), 1000) or []
    except HTTPError as error:
        assert error.status == 416
        return
    assert sum(span.size for span in spans) <= 1000
    assert all(span.size > 0 and span.start >= 0 and span.stop <= 1000 for span in spans)


def conditions(data: bytes) -> None:
    field, _, rest = data.decode("latin-1").partition("\n")
    validators = plugins.static.conditional.Validators('"v1"', 784111777)
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"):
        try:
            plugins.static.conditional.judge("GET", {name: field, "range": rest}, validators, 1000)
        except HTTPError as error:
            assert error.status in (412, 416)


def codings(data: bytes) -> None:
    assert plugins.static.codings.choose(data.decode("latin-1"), ("br", "gzip")) in ("br", "gzip", "identity")


def proxy_conf(data: bytes) -> None:
    try:
        plugins.proxy.conf.parse(data.decode("utf-8", "replace"), "proxy.conf")
    except ConfigError as error:
        assert str(error)


# -- WebSocket ---------------------------------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """What a client has said, and what it is answered, does not depend on how it was cut; nothing is over the limit."""
    whole = _said([data])
    assert whole == _said(_cut(data)), "it depends on the cut"
    assert all(len(message) <= LARGEST for message in whole[0])


def _said(pieces: Iterable[bytes]) -> tuple[list[str | bytes], list[bytes], bytes, bool]:
    connection = reactor.http.frames.Frames(LARGEST)
    for piece in pieces:
        if piece and not connection.is_over:
            connection.receive(piece)
    return connection.messages, connection.pongs, b"".join(connection.data_to_send()), connection.is_over


def _frame(first: int, payload: bytes) -> bytes:
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + size + b"\0\0\0\0" + payload


LARGEST = 1000
FRAMES = (
    _frame(0x81, b"hello"), _frame(0x82, bytes(200)),
    _frame(0x01, b"\xc3") + _frame(0x89, b"") + _frame(0x80, b"\xa9"),
    _frame(0x88, b"\x03\xe8bye"), _frame(0x8A, b"pong") + _frame(0x81, b"x" * 1001),
    _frame(0x02, b"a") + _frame(0x00, b"b"), b"\x81\xff" + bytes(12 + 119), b"\x81\xfe\0\x05\0\0\0\0hello",
)  # fmt: skip
FRAME_TOKENS = (
    b"\x81\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x01\x81\0\0\0\0a", b"\x89\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8",
    b"\xff", b"\x81\x05hello", b"\xfe\0\x7e", b"\xff\0\0\0\0\0\0\0\x01", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def proxy_header(data: bytes) -> None:
    """Whom it names, and how many bytes it takes, does not depend on the cut; it takes no more than its bound."""
    whole = _proxied([data])
    assert whole == _proxied(_cut(data)), "it depends on the cut"
    assert whole == _proxied(data[at : at + 1] for at in range(len(data))), "it depends on the cut"
    if isinstance(whole, tuple):
        taken, _, is_complete = whole
        assert taken <= reactor.sansio.proxy_header.LONGEST_BINARY
        assert is_complete or taken == len(data)


def _proxied(pieces: Iterable[bytes]) -> tuple[int, str, bool] | str:
    header, taken = reactor.sansio.proxy_header.ProxyHeader(), 0
    try:
        for piece in pieces:
            taken += header.feed(piece)
    except RemoteProtocolError as error:
        return str(error)
    if header.client is not None:
        assert str(ip_address(header.client.host)) == header.client.host and 0 <= header.client.port < 65536
    return taken, str(header.client), header.is_complete


# -- peers -------------------------------------------------------------------------------------------------------------


def peer_frames(data: bytes) -> None:
    """Texts do not depend on how they were cut, and what can be read can be said again."""
    for by_lines in (False, True):
        whole = _texts([data], by_lines)
        assert whole == _texts(_cut(data), by_lines), "it depends on the cut"
        for text in whole:
            if isinstance(text, bytes):
                _decode(text)


def _texts(pieces: Iterable[bytes], by_lines: bool) -> list[bytes | str]:
    framer = Framer()
    framer.by_lines = by_lines
    found: list[bytes | str] = []
    for piece in pieces:
        framer.feed(piece)
        try:
            while (text := framer.next()) is not None:
                found.append(text)
        except FrameError as error:
            return [*found, error.code]
    return found


def _decode(text: bytes) -> None:
    try:
        message = decode(text)
    except FrameError:
        return
    if not isinstance(message, Unknown):
        assert decode(encode(message)) == message


MESSAGES = (
    b'{"type":"handshake","peer_id":"a","v":1,"instance":"00000000000000000000000000000001",'
    b'"epoch":"0000000000000001","nonce":"00000000000000000000000000000002","have":{"epoch":"x","upto":1,"refused":[[1,"f"]]}}\n',
    b'{"type":"handshake","peer_id":"old","port":1}',
    b'{"type":"chat","seq":1,"id":"a:0000000000000001:1","channel":"direct","message":"hi","lamport":3}\n',
    b'{"type":"broadcast","message":"\\u00e9\\ud83d\\ude00 }{"}\n{"type":"ping","n":1}\n',
    b'{"type":"channels","channels":[{"name":"x","proof":"00"}]}\n{"type":"ack","upto":9}\n',
    b'{"type":"refuse","seq":1,"code":"flood"}\n{"type":"bye","reason":"quit"}\n{"type":"wave"}\n',
)  # fmt: skip
JSON_TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"1e999", b"-0",
    b"9007199254740993", b'"type":"', b'"peer_id":"', b'"v":1', b'"message":"', b"\n", b"\xff", b"\xc3\xa9",
)  # fmt: skip

TARGETS = (
    Target("http-server", http_server, HTTP1, rows(), HTTP_TOKENS),
    Target("http-client", http_client, HTTP1, (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    ), HTTP_TOKENS),
    Target("target", target, (reactor.sansio.target,), (b"/a/../b?c", b"http://a:80/b", b"//a/b", b"/%6C%2f%c3%a9"),
           (b"/", b"..", b"%2e", b"%2F", b"?", b"#", b"http://", b"@", b"[::1]", b":", b"%")),
    Target("cookies", cookies, (reactor.sansio.cookies,), (b'a=1; b="2"; c', b"=; ;a=b=c"), (b"; ", b"=", b'"', b",")),
    Target("forms", forms, (reactor.sansio.forms,), (b"a=1&b=%C3%A9+x", b"&&=&a"), (b"&", b"=", b"%", b"+", b";")),
    Target("ranges", ranges, (plugins.static.ranges,), (b"0-1,5-,-3", b"900-", b"0-0,0-0,0-0"), (b",", b"-", b"999")),
    Target("conditions", conditions, (plugins.static.conditional, plugins.static.ranges),
           (b'"v1"\nbytes=0-1', b'W/"v1", "x"\nbytes=-5', b"Sun, 06 Nov 1994 08:49:37 GMT\nbytes=5-"),
           (b'"', b"W/", b",", b" GMT")),
    Target("codings", codings, (plugins.static.codings,), (b"gzip;q=0.5, br, *;q=0", b"identity"),
           (b";q=", b",", b"0.", b"*")),
    Target("frames", frames, (reactor.http.frames, websockets.protocol, websockets.frames), FRAMES, FRAME_TOKENS),
    Target("proxy-conf", proxy_conf, (plugins.proxy.conf,), (
        b'host "a:80" {\n  proxy_pass http://b:1;\n  dist_policy random\n}\n# c\nhost b { proxy_set_header X "}"; }',
    ), (b"host ", b"{", b"}", b";", b'"', b"#", b"\n", b"proxy_pass http://a;", b"dist_policy ", b"\\", b"$host")),
    Target("proxy-header", proxy_header, (reactor.sansio.proxy_header,), (
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET /", b"PROXY TCP6 ::1 ::2 1 2\r\n", b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbb\4\0\0\x16\3",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes(36),
    ), (b"\r\n", b" ", b"PROXY ", b"TCP4 ", b"::ffff:1.2.3.4", b"65535", b"\x21\x31\0\xd8", b"\3\0\4", b"\xff")),
    Target("peer", peer_frames, (peer.framing, peer.messages, peer.protocol, reactor.sansio.buffer), MESSAGES,
           JSON_TOKENS),
)  # fmt: skip
