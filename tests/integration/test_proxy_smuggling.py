"""Request smuggling: what a client writes so that two parsers disagree, through the proxy to a lenient and to a strict
server. Neither ever sees two requests where the client has sent one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.integration.backends import Puppet, Strings, proxying
from tests.integration.server import Server, connected

END = b"\r\n\r\n"
INNER = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"


class Case(NamedTuple):
    """`most` requests may arrive behind; where the client was refused none does."""

    name: str
    wire: bytes
    most: int


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: test\r\n" + fields + END + body


LENGTH = b"Content-Length: %d" % len(INNER)
CHUNKED = b"Transfer-Encoding: chunked"
EMPTY = b"0\r\n\r\n"
CASES = [
    # two framings
    Case("CL.TE", post(b"Content-Length: 4\r\n" + CHUNKED, EMPTY + INNER), 0),
    Case("TE.CL", post(CHUNKED + b"\r\nContent-Length: 4", EMPTY + INNER), 0),
    Case("CL.CL", post(b"Content-Length: 0\r\n" + LENGTH, INNER), 0),
    Case("CL.CL the same", post(LENGTH + b"\r\n" + LENGTH, INNER), 0),
    Case("CL list", post(b"Content-Length: 0, %d" % len(INNER), INNER), 0),
    Case("TE.TE", post(CHUNKED + b"\r\nTransfer-Encoding: identity", EMPTY + INNER), 0),
    Case("TE list", post(b"Transfer-Encoding: chunked, chunked", EMPTY + INNER), 0),
    Case("TE gzip", post(b"Transfer-Encoding: gzip, chunked", EMPTY + INNER), 0),
    Case("TE in HTTP/1.0", post(CHUNKED, EMPTY + INNER).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 0),
    # names and values that somebody reads otherwise
    *(Case(f"TE {line!r}", post(line, EMPTY + INNER), 0) for line in (
        b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding: \"chunked\"",
        b"Transfer-Encoding\x00: chunked", b"X: y\n" + CHUNKED, b"X: y\r" + CHUNKED,
        b"X: y\r\n folded: z\r\n" + CHUNKED,
    )),
    *(Case(f"CL {line!r}", post(line, INNER), 0) for line in (
        b"Content-Length: +%d" % len(INNER), b"Content-Length: 0x24", b"Content-Length: 3_6",
        b"Content-Length : %d" % len(INNER), b"Content-Length: \xb2", b"Content-Length: 36 0", b"Content-Length: -1",
        b"Content-Length:", b"Content-Length: 99999999999999999999",
    )),
    # what CGI and WSGI take for the same name: here the body is a second request, and known as such
    Case("TE with _", post(b"Transfer_Encoding: chunked", INNER), 2),
    Case("CL with _", post(b"Content_Length: %d" % len(INNER), INNER), 2),
    # chunks
    *(Case(f"chunk {body!r}", post(CHUNKED, body + INNER), 1) for body in (
        b"0\n\r\n", b"0\r\n\n", b"00000000000000000\r\n\r\n", b"0x0\r\n\r\n", b"+0\r\n\r\n", b"0 \r\n\r\n",
        b"0;\n\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n", b"2\r\nab\n0\r\n\r\n", b"2\nab\r\n0\r\n\r\n", b"-1\r\n\r\n", b"f" * 17 + b"\r\n\r\n",
        b"0;a=\"\n\r\n\r\n", b"0\r\nX: y\n\r\n",
    )),
    # the start line
    *(Case(f"line {line!r}", line + b"\r\nHost: test" + END + INNER, 0) for line in (
        b"GET / HTTP/1.1 HTTP/1.1", b"GET /\tx HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.2\x00",
        b"GET / HTTP/1.1\x0b",
        b"GET /\rX: y HTTP/1.1", b"GET /%0d%0aX HTTP/9.9", b"GET /#frag HTTP/1.1", b"GE T / HTTP/1.1", b"GET /",
    )),
    Case("host twice", b"GET / HTTP/1.1\r\nHost: test\r\nHost: other" + END + INNER, 0),
    Case("host with a path", b"GET / HTTP/1.1\r\nHost: test/evil" + END + INNER, 0),
    Case("no host", b"GET / HTTP/1.1\r\nX: y" + END + INNER, 0),
    Case("another host in the target", b"GET http://elsewhere/ HTTP/1.1\r\nHost: test" + END, 0),
    # bodies where few expect one, and what follows them
    Case("GET with a body", b"GET / HTTP/1.1\r\nHost: test\r\n" + LENGTH + END + INNER, 1),
    Case("HEAD with a body", b"HEAD / HTTP/1.1\r\nHost: test\r\n" + LENGTH + END + INNER, 1),
    Case("GET with chunks", b"GET / HTTP/1.1\r\nHost: test\r\n" + CHUNKED + END + b"%x\r\n%b\r\n" % (len(INNER), INNER)
         + EMPTY, 1),
    Case("OPTIONS with a body", b"OPTIONS * HTTP/1.1\r\nHost: test\r\n" + LENGTH + END + INNER, 1),
    Case("a body of a request", post(LENGTH, INNER), 1),
    Case("a body in chunks of a request", post(CHUNKED, b"%x\r\n%b\r\n" % (len(INNER), INNER) + EMPTY), 1),
    Case("trailers that frame", post(CHUNKED, b"0\r\nContent-Length: 36\r\nTransfer-Encoding: chunked\r\n\r\n"), 1),
    # fields of the connection
    Case("Connection: Content-Length", post(b"Connection: Content-Length\r\n" + LENGTH, INNER), 1),
    Case("Connection: Transfer-Encoding", post(b"Connection: Transfer-Encoding\r\n" + CHUNKED, EMPTY), 1),
    Case("Connection: Host", b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Host" + END, 1),
    Case("h2c", b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA" + END, 1),
    Case("an upgrade with a body", b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         + LENGTH + END + INNER, 1),
    Case("HTTP/1.0 with a body", b"POST / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n"
         + LENGTH + END + INNER, 1),
    Case("Expect", post(b"Expect: 100-continue\r\n" + LENGTH, INNER), 1),
    Case("Expect something", post(b"Expect: the-unexpected\r\n" + LENGTH, INNER), 0),
    # two honest requests are two
    Case("a pipeline", b"GET /1 HTTP/1.1\r\nHost: test" + END + b"GET /2 HTTP/1.1\r\nHost: test" + END, 2),
]


def lenient_requests(data: bytes) -> list[bytes]:
    """The start lines that a careless server finds: any line end, the last length it sees, `chunked` anywhere in any
    field that looks like a transfer encoding.
    """
    found = []
    while match := re.match(rb"\s*([^\r\n]*?)\r?\n(.*?)\r?\n\r?\n", data, re.DOTALL):
        found.append(match.group(1))
        data = data[match.end() :]
        fields = match.group(2).lower().replace(b"_", b"-")
        if re.search(rb"transfer-encoding\W*:[^\n]*chunked", fields):
            data = lenient_chunks(data)
        elif lengths := re.findall(rb"content-length\W*:\D*(\d+)", fields):
            data = data[int(lengths[-1]) :]
    return found


def lenient_chunks(data: bytes) -> bytes:
    """What is behind a chunked body."""
    while match := re.match(rb"\s*([0-9a-fA-F]+)[^\n]*\n", data):
        size = int(match.group(1), 16)
        data = data[match.end() + size :].removeprefix(b"\r\n") if size else data[match.end() :]
        if not size:
            return data[data.find(b"\r\n\r\n") + 4 :] if not data.startswith(b"\r\n") else data[2:]
    return data


def strict_requests(data: bytes) -> list[bytes]:
    """The start lines that a server finds which reads by the letter of RFC 9112, and cuts at the first doubt."""
    found = []
    while data:
        head, end, data = data.partition(END)
        lines = head.split(b"\r\n")
        assert end and re.fullmatch(rb"[A-Z]+ [!-~]+ HTTP/1\.1", lines[0]), f"not a request: {head!r}"
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        assert len(fields) == len(lines) - 1 or b"via" in fields, f"fields twice: {lines}"
        assert not {b"content-length", b"transfer-encoding"} <= fields.keys()
        assert b"\n" not in head.replace(b"\r\n", b"") and b"host" in fields
        assert not any(b"_" in name for name in fields), fields
        found.append(lines[0])
        if fields.get(b"transfer-encoding"):
            data = strict_chunks(data)
        else:
            data = data[int(fields.get(b"content-length", 0)) :]
    return found


def strict_chunks(data: bytes) -> bytes:
    while match := re.match(rb"([0-9a-f]+)\r\n", data):
        size = int(match.group(1), 16)
        data = data[match.end() :]
        if not size:
            trailers, _, rest = data.partition(END) if not data.startswith(b"\r\n") else (b"", b"", data[2:])
            assert b"content-length" not in trailers.lower() and b"transfer" not in trailers.lower()
            return rest
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
    return b""  # it was cut off


def answering(connection: Strings, number: int) -> None:
    """Whatever comes, in one go or two, is answered once a head is there; the proxy is judged by what it sent."""
    while True:
        head = connection.read_head()
        if b"100-continue" in head:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.read_body(head)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (0 if head[:4] == b"HEAD" else 2))
        connection.send(b"" if head[:4] == b"HEAD" else b"ok")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Puppet, Server]]:
    folder = tmp_path_factory.mktemp("smuggling")
    options = "keep = 0\nhalf_closed = yes"
    with Puppet(answering) as puppet, proxying(folder, puppet.port, options=options, host="host = test") as server:
        yield puppet, server


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("pieces", [1, 2])
def test_nobody_behind_sees_more_requests_than_were_sent(
    behind: tuple[Puppet, Server], case: Case, pieces: int
) -> None:
    puppet, server = behind
    before = len(puppet.connections)
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        half = len(case.wire) // pieces
        client.sendall(case.wire[:half])
        client.sendall(case.wire[half:])
        client.shutdown(socket.SHUT_WR)
        statuses = answers(client)
    seen = heard_since(before, puppet, server)
    for parse in (lenient_requests, strict_requests):
        requests = [line for data in seen for line in parse(bytes(data))]
        assert len(requests) <= case.most, (case.wire, seen)
        if case.most < 2:
            assert not any(b"/smuggled" in line for line in requests)
    assert statuses and (case.most or all(status >= 400 for status in statuses[:1]))


def heard_since(before: int, puppet: Puppet, server: Server) -> list[bytes]:
    """What has come on connections since then. One more request is the last to arrive there."""
    with connected(server) as wire:
        assert wire.get("/last").status == 200
    connections = puppet.connections[before:]
    last = next(connection for connection in connections if connection.heard.startswith(b"GET /last "))
    others = [connection for connection in connections if connection is not last]
    assert all(connection.ended.wait(5) for connection in others)
    return [bytes(connection.heard) for connection in others]


def answers(client: socket.socket) -> list[int]:
    """Statuses of all answers."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data) if status != b"100"]
