"""An HTTP server on a fake clock and in memory, and a raw client for it: bytes in, bytes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from reactor.http.message import Guard, Handler, Request
from reactor.http.router import Route, Router
from reactor.http.server import Answered, HTTPServer, Settings, Site
from reactor.testing import EPOCH, FakeReactor, MemoryTransport

HEAD_END = b"\r\n\r\n"


class Wire:
    """A server with the routes of a test. `errors` has what it logged of its own mistakes, `access` its answers."""

    def __init__(self, **settings: Any) -> None:
        self.reactor = FakeReactor()
        self.settings = Settings(**settings)
        self.router = Router()
        self.server = HTTPServer(self.reactor, Site(self.router, self.settings), wall_clock=lambda: EPOCH)
        self.errors: list[BaseException] = []
        self.access: list[tuple[str, int, int]] = []
        self.server.on_error = lambda error, where: self.errors.append(error)
        self.reactor.on_error = lambda error, where: self.errors.append(error)
        self.server.observe(self._note)

    def route(
        self, methods: str, pattern: str, handler: Handler, guard: Guard | None = None, max_body: int | None = None
    ) -> None:
        self.router.add(Route(tuple(methods.split()), pattern, handler, guard=guard, max_body=max_body))

    def _note(self, at_once: Sequence[Request], began: float, others: Sequence[Answered]) -> None:
        assert not at_once or 0 <= self.reactor.clock.now - began < 1
        self.access += [
            (request.head.target, request._answer.status, request._answer.length or 0) for request in at_once
        ]
        self.access += [(head.target if head else "", status, sent) for head, _, _, status, sent, _ in others]

    def connect(self) -> Client:
        return Client(self)

    def ask(self, data: bytes) -> list[Answer]:
        """One connection, these bytes, all the answers."""
        client = self.connect()
        client.send(data)
        return client.answers()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def keeps(self) -> bool:
        return self.headers.get("connection") != "close"


class Client:
    """A connection whose bytes the test writes itself."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.connection = wire.server.new_connection()
        self.transport = MemoryTransport(wire.reactor, self.connection)
        self.methods: list[str] = []

    def send(self, data: bytes) -> None:
        self.methods += [method.decode() for method in re.findall(rb"(?m)^([A-Z]+) \S+ HTTP/", data)]
        self.transport.feed(data)
        self.wire.reactor.settle()

    def send_apart(self, data: bytes) -> None:
        """Byte by byte."""
        self.methods += [method.decode() for method in re.findall(rb"(?m)^([A-Z]+) \S+ HTTP/", data)]
        for number in range(len(data)):
            self.transport.feed(data[number : number + 1])
            self.wire.reactor.settle()

    def end(self) -> None:
        """Half-close: we send no more."""
        self.transport.feed_eof()
        self.wire.reactor.settle()

    def advance(self, seconds: float) -> None:
        self.wire.reactor.advance(seconds)

    @property
    def raw(self) -> bytes:
        return bytes(self.transport.sent)

    @property
    def is_closed(self) -> bool:
        return self.transport.is_closing

    def take(self) -> bytes:
        """What has come since the last call."""
        data = bytes(self.transport.sent)
        self.transport.sent.clear()
        return data

    def answers(self) -> list[Answer]:
        """All answers so far, in order; interim ones too."""
        data, found, methods = self.take(), [], iter(self.methods)
        while data:
            head, end, data = data.partition(HEAD_END)
            assert end, f"a head that is cut: {head!r}"
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            method = next(methods, "GET") if status >= 200 else "HEAD"
            body, data = self._body(method, status, headers, data)
            found.append(Answer(status, headers, body))
        self.methods = list(methods)
        return found

    def answer(self) -> Answer:
        [answer] = self.answers()
        return answer

    @staticmethod
    def _body(method: str, status: int, headers: dict[str, str], data: bytes) -> tuple[bytes, bytes]:
        if method == "HEAD" or status < 200 or status in (204, 304):
            return b"", data
        if headers.get("transfer-encoding") == "chunked":
            return unchunk(data)
        if "content-length" in headers:
            size = int(headers["content-length"])
            assert len(data) >= size, f"{size} bytes announced: {data!r}"
            return data[:size], data[size:]
        return data, b""


def unchunk(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body, which must be all there, and what follows it."""
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        assert end, "a chunked body that is cut"
        size = int(line, 16)
        piece, data = data[:size], data[size:]
        assert data.startswith(b"\r\n")
        data = data[2:]
        body += piece
        if not size:
            return body, data


def get(target: str = "/", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return request(method, target, *lines, version=version)


def request(method: str, target: str, *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """A request with Host, and Content-Length where there is a body."""
    fields = ["Host: test", *lines]
    if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        fields.append(f"Content-Length: {len(body)}")
    head = "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/{version}", *fields))
    return head.encode("latin-1") + b"\r\n" + body


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"

