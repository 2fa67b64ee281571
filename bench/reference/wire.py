"""Requests off a blocking socket, and answers back on it.

The time limits are the kernel's (SO_RCVTIMEO): Python's own would cost a `poll` before each `recv`. Heads that come
again and again are parsed once, because a comparison with a server that does so is fair only then.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Final, NamedTuple

MAX_HEAD: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0
RECV_SIZE: Final = 64 * 1024

REASONS: Final = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 411: "Length Required", 413: "Content Too Large", 431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}  # fmt: skip


class WireError(Exception):
    """The request cannot be understood, or takes too long: answer with `status` and close."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head(NamedTuple):
    """`path` is without its last slash; field names are in lower case."""

    method: str
    path: str
    query: str
    fields: Mapping[str, str]
    length: int
    keep_alive: bool


@lru_cache(maxsize=1024)
def parse_head(raw: bytes) -> Head:
    """The head of these bytes, without its empty line. WireError 400, or 411 for a body without a length."""
    try:
        line, *rest = raw.decode("ascii").split("\r\n")
        method, target, version = line.split(" ")
        fields = dict(_field(text) for text in rest)
    except ValueError:
        raise WireError(400, "malformed request") from None
    if version not in ("HTTP/1.1", "HTTP/1.0") or not target.startswith("/") or len(fields) != len(rest):
        raise WireError(400, "malformed request")
    path, _, query = target.partition("?")
    connection = fields.get("connection", "").lower()
    keep_alive = connection == "keep-alive" if version == "HTTP/1.0" else connection != "close"
    return Head(method, path.rstrip("/") or "/", query, fields, _length(fields), keep_alive)


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name or name != name.strip():
        raise ValueError(text)
    return name.lower(), value.strip()


def _length(fields: Mapping[str, str]) -> int:
    if "transfer-encoding" in fields:
        raise WireError(411, "bodies need a Content-Length here")
    text = fields.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise WireError(400, "Content-Length is not a number")
    return int(text)


class Answer:
    """A status, its fields and its body; the head is encoded once, so an answer can be kept and sent again."""

    __slots__ = ("body", "head", "status")

    def __init__(self, status: int, body: bytes, content_type: str, fields: tuple[tuple[str, str], ...] = ()) -> None:
        pairs = (("Content-Type", content_type), *fields, ("Content-Length", str(len(body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        self.status = status
        self.head = f"HTTP/1.1 {status} {REASONS[status]}\r\n{lines}".encode("latin-1")
        self.body = body

    def encode(self, close: bool) -> bytes:
        return b"".join((self.head, date_line(), b"Connection: close\r\n\r\n" if close else b"\r\n", self.body))


_date = (0, b"")


def date_line() -> bytes:
    """The Date field of this second. Two threads may both make it; they make the same."""
    global _date
    second, line = _date
    now = int(time.time())
    if now != second:
        line = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        _date = now, line
    return line


class Wire:
    """One connection, read and written by one thread."""

    def __init__(self, sock: socket.socket, idle_seconds: float) -> None:
        self._sock = sock
        self._rest = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = struct.pack("ll", int(idle_seconds), 0)  # a struct timeval
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def next_head(self) -> Head | None:
        """The next request's head; None when the client has left or asks for nothing more. Raises WireError."""
        data = self._rest or self._receive()
        end = data.find(b"\r\n\r\n")
        started = 0.0
        while end < 0:
            if not data:
                return None
            if len(data) > MAX_HEAD:
                raise WireError(431, "the head is too large")
            started = started or time.monotonic()
            more = self._receive()
            if not more:
                return None
            if time.monotonic() - started > HEAD_SECONDS:
                raise WireError(408, "the head took too long")
            start = max(0, len(data) - 3)
            data += more
            end = data.find(b"\r\n\r\n", start)
        self._rest = data[end + 4 :]
        return parse_head(data[:end])

    def body(self, length: int) -> bytes:
        """The body of the current request. OSError if the client leaves before its end."""
        while len(self._rest) < length:
            self._rest += self._receive_or_fail()
        body, self._rest = self._rest[:length], self._rest[length:]
        return body

    def skip(self, length: int) -> None:
        """Read a body and drop it."""
        left = length - len(self._rest)
        if left < 0:
            self._rest = self._rest[length:]
            return
        self._rest = b""
        while left:
            left -= len(self._receive_or_fail(left))

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def _receive(self) -> bytes:
        """What has come; nothing at the end, and nothing when the time is over."""
        try:
            return self._sock.recv(RECV_SIZE)
        except BlockingIOError:
            return b""

    def _receive_or_fail(self, most: int = RECV_SIZE) -> bytes:
        data = self._sock.recv(min(most, RECV_SIZE))
        if not data:
            raise ConnectionError("the client left before its body was complete")
        return data
