"""The head of a message: the start line and the fields, parsed strictly and judged once.

Strict means RFC 9112 where it says MUST, and wherever leniency has let two parsers disagree about where a message
ends (request smuggling): no bare CR or LF, no folded lines, no space before a colon, digits are `[0-9]` and nothing
else, one Host, and Content-Length or Transfer-Encoding but never both. All of that is decided here, so a head that
exists is a head that is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from reactor.errors import LocalProtocolError, RemoteProtocolError
from reactor.sansio.cookies import parse_cookies
from reactor.sansio.fields import parse_fields
from reactor.sansio.forms import parse_form
from reactor.sansio.headers import TOKEN, Headers, check_field, encode_fields
from reactor.sansio.target import Target, parse_authority, parse_target

# The length of a body that no number gives. Real lengths are >= 0.
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

# 18 digits keep every sum below 2**63, and no body is an exabyte long.
_is_token = re.compile(TOKEN).fullmatch
_is_length = re.compile(r"[0-9]{1,18}").fullmatch
_request_line = re.compile(rf"({TOKEN}) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])").fullmatch
_COMMON_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_status_line = re.compile(r"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?").fullmatch

@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a head may be. Apache allows 8 KiB a line and 100 fields; node 16 KiB of head, nginx 32 KiB."""

    line: int = 8 * 1024  # bytes of the start line without its CRLF -> 414
    head: int = 32 * 1024  # bytes of the head with its last CRLF -> 431
    fields: int = 100  # header lines -> 431

    def __post_init__(self) -> None:
        # A line fills at most the head. Else which of the two limits is met first would depend on how the bytes came.
        object.__setattr__(self, "line", min(self.line, self.head - 4))


# One client sends the same cookies with every path it asks for.
_cookies_of = lru_cache(256)(parse_cookies)


class RequestHead:
    """A request line with its fields: immutable and shared between equal requests.

    `path` is in normal form (see `target`), `query` raw. `length` is the number of body bytes, or CHUNKED. `version`
    is 10 or 11. `attached` is for whoever handles it, to keep what he makes of the head alone: equal requests find it;
    `noted` is the same for whoever logs it.
    """

    __slots__ = ("_authority", "_cookies", "_form", "attached", "expects_continue", "forwarded", "headers",
                 "is_conditional", "is_plain", "keep_alive", "length", "method", "noted", "path", "query", "target",
                 "upgrade", "version")  # fmt: skip

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        *,
        version: int = 11,
        length: int = 0,
        parts: tuple[str, str] | None = None,
    ) -> None:
        """`parts` are path and query, where the parser has them already."""
        index = headers.index
        self.method = method
        self.target = target
        self.headers = headers
        self.version = version
        self.length = length
        self._cookies: dict[str, str] | None = None
        self._form: dict[str, str] | None = None
        self.attached: object = None
        self.noted: Any = None
        if parts is not None:
            self.path, self.query = parts
            self._authority: str | None = None
        else:
            self.path, self.query, self._authority, _ = parse_target(method, target)
        self.keep_alive = version > 10
        self.upgrade = ""
        self.expects_continue = self.forwarded = self.is_conditional = False
        if not _TELLING.isdisjoint(index):
            self._read_fields(index)
        # Whether its answer needs no thought about framing: see `http1.Connection.respond_plainly`.
        self.is_plain = version > 10 and self.keep_alive and method != "HEAD"

    def _read_fields(self, index: Mapping[str, str]) -> None:
        """What the few fields say that change how a request is treated."""
        connection = self.headers.tokens("connection")
        self.keep_alive = "close" not in connection and (self.version > 10 or "keep-alive" in connection)
        self.upgrade = index.get("upgrade", "") if "upgrade" in connection and self.version > 10 else ""
        self.expects_continue = self.version > 10 and index.get("expect", "").lower() == "100-continue"
        self.forwarded = not _FORWARDING.isdisjoint(index)
        self.is_conditional = not _CONDITIONAL.isdisjoint(index)

    @property
    def host(self) -> str:
        """The authority that the client meant, in lower case; an absolute target wins (RFC 9112 3.2.2)."""
        return (self._authority or self.headers.index.get("host", "")).lower()

    @property
    def cookies(self) -> dict[str, str]:
        """Name -> value, parsed at the first look. Shared: do not change it."""
        if self._cookies is None:
            # RFC 9113 8.2.3 joins several cookie lines with "; "; commas may occur in values.
            self._cookies = _cookies_of("; ".join(self.headers.all("cookie")))
        return self._cookies

    @property
    def query_form(self) -> dict[str, str]:
        """The query as name -> first value. Shared: do not change it."""
        if self._form is None:
            self._form = parse_form(self.query)
        return self._form

    def encode(self) -> bytes:
        """The bytes to send, framing fields included. Raises `LocalProtocolError` for a field that must not go out."""
        _refuse_framing(self.headers)
        if not _is_token(self.method):
            raise LocalProtocolError(f"not a method: {self.method!r}")
        if len(self.headers.all("host")) != 1:
            raise LocalProtocolError("a request has one Host header, no less and no more")  # RFC 9112 3.2
        line = f"{self.method} {self.target} HTTP/1.1\r\n".encode("latin-1")
        return line + encode_fields(self.headers) + _request_framing(self.method, self.length) + b"\r\n"

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target} HTTP/{self.version / 10}>"


# Framing belongs to the state table, so a head of ours that brings its own is a bug.
_FRAMING = ("content-length", "transfer-encoding")


def _refuse_framing(headers: Headers) -> None:
    for name in _FRAMING:
        if name in headers.index:
            raise LocalProtocolError(f"header {name} is set by the framing: say length= instead")


_FORWARDING = frozenset({"forwarded", "x-forwarded-for", "x-real-ip"})
# RFC 9110 13.1 and 14.2: the answer may be less than the whole.
_CONDITIONAL = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"}
)
_TELLING = _FORWARDING | _CONDITIONAL | {"connection", "expect", "upgrade"}


def _request_framing(method: str, length: int) -> bytes:
    if length == CHUNKED:
        return b"Transfer-Encoding: chunked\r\n"
    if length < 0:
        raise LocalProtocolError("only a response can last until the connection closes")
    if length or method in ("POST", "PUT", "PATCH"):  # RFC 9110 8.6: say 0 where a body would be expected
        return b"Content-Length: %d\r\n" % length
    return b""


def parse_request_head(raw: bytes, limits: Limits) -> RequestHead:
    """Parse a whole head, its empty line included. Raises `RemoteProtocolError` with 400, 414, 431, 501 or 505."""
    line, _, block = raw.decode("latin-1").partition("\r\n")
    method, target, version, parts = _parse_request_line(line)
    headers = parse_fields(block[:-4], limits.fields)
    index = headers.index
    if "host" in index:
        parse_authority(index["host"])
    elif version > 10:
        raise RemoteProtocolError("HTTP/1.1 wants a Host header")  # RFC 9112 3.2
    if "expect" in index and index["expect"].lower() != "100-continue":
        raise RemoteProtocolError("unknown expectation", 417)  # RFC 9110 10.1.1
    length = _request_length(index, version) if "content-length" in index or "transfer-encoding" in index else 0
    return RequestHead(method, target, headers, version=version, length=length, parts=parts)


def _parse_request_line(line: str) -> tuple[str, str, int, tuple[str, str] | None]:
    """Method, target, version, and path and query where the target is the common kind: a path without escapes. That
    kind is told by a few cheap looks; whatever does not pass them all is judged by the grammar.
    """
    words = line.split(" ")
    if len(words) == 3 and words[2] == "HTTP/1.1" and words[0] in _COMMON_METHODS:
        target = words[1]
        if target[:1] == "/" and target.isascii() and target.isprintable() and "#" not in target:
            path, _, query = target.partition("?")
            if "%" not in path:
                return words[0], target, 11, (path, query)
    match = _request_line(line)
    if match is None:
        raise RemoteProtocolError("malformed request line")
    method, target, major, minor = match.groups()
    if major != "1":
        raise RemoteProtocolError("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    return method, target, 10 if minor == "0" else 11, None


def _request_length(index: Mapping[str, str], version: int) -> int:
    """RFC 9112 6.3 for requests. What two parsers could read differently is refused."""
    if "transfer-encoding" in index:
        if "content-length" in index:
            raise RemoteProtocolError("Content-Length together with Transfer-Encoding")
        if version < 11:
            raise RemoteProtocolError("Transfer-Encoding in an HTTP/1.0 request")
        if index["transfer-encoding"].lower() != "chunked":
            raise RemoteProtocolError("a transfer coding other than chunked", 501)  # RFC 9112 6.1
        return CHUNKED
    if "content-length" in index:
        return _content_length(index["content-length"])
    return 0


def _content_length(value: str) -> int:
    if not _is_length(value):
        raise RemoteProtocolError("Content-Length is not a number")
    return int(value)


# RFC 9110 15: the names people know. An unknown status goes out with an empty reason, which 9112 4 allows.
REASONS = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict",
    410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long",
    415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
    421: "Misdirected Request", 422: "Unprocessable Content", 426: "Upgrade Required", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}  # fmt: skip

class ResponseHead:
    """A status line with its fields, immutable. `length` is that of the body, or None where it is not known yet.

    `encoded` holds the bytes up to, but without, the empty line: the server appends Date, framing and Connection.
    `sized` is the same with the Content-Length, once `encoded` was asked for, where nothing else needs to be decided.
    Building one for sending checks every field and raises `LocalProtocolError` for what must not go out. `attached` is
    for whoever handles it, to keep what he makes of the head alone.
    """

    __slots__ = ("_encoded", "attached", "headers", "keep_alive", "length", "reason", "sized", "status", "version")

    def __init__(
        self, status: int, headers: Headers, *, length: int | None = 0, reason: str | None = None, version: int = 11
    ) -> None:
        self.status = status
        self.headers = headers
        self.length = length
        self.reason = REASONS.get(status, "") if reason is None else reason
        self.version = version
        self.keep_alive = True
        self._encoded: bytes | None = None
        self.sized: bytes | None = None
        self.attached: Any = None

    @property
    def encoded(self) -> bytes:
        if self._encoded is None:
            self._check()
            line = f"HTTP/1.1 {self.status} {self.reason}\r\n".encode("latin-1")
            self._encoded = line + encode_fields(self.headers)
            if self.length is not None and not self.has_no_body and self.keep_alive:
                self.sized = self._encoded + b"Content-Length: %d\r\n" % self.length
        return self._encoded

    def _check(self) -> None:
        _refuse_framing(self.headers)
        check_field("reason", self.reason)  # the same characters as a field value (RFC 9112 4)
        if not 100 <= self.status <= 999:
            raise LocalProtocolError(f"not a status: {self.status}")
        if self.length is not None and self.length < 0:
            raise LocalProtocolError("a response of unknown length has the length None")
        if "close" in self.headers.tokens("connection"):
            self.keep_alive = False  # what the head says, the connection does

    @property
    def has_no_body(self) -> bool:
        """Statuses that end with their head (RFC 9112 6.3): 1xx, 204 and 304."""
        return self.status < 200 or self.status in (204, 304)

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason}>"


def parse_response_head(raw: bytes, limits: Limits, method: str) -> ResponseHead:
    """Parse the head that answers a request with `method`; its `length` may be CHUNKED or UNTIL_CLOSE."""
    line, _, block = raw.decode("latin-1").partition("\r\n")
    match = _status_line(line)
    if match is None or match.group(1) != "1":
        raise RemoteProtocolError("malformed status line", 502)
    status = int(match.group(3))
    headers = parse_fields(block[:-4], limits.fields)
    version = 10 if match.group(2) == "0" else 11
    head = ResponseHead(status, headers, reason=match.group(4) or "", version=version)
    head.length = _response_length(head, method)
    connection = headers.tokens("connection")
    head.keep_alive = "close" not in connection and (version > 10 or "keep-alive" in connection)
    return head


def _response_length(head: ResponseHead, method: str) -> int:
    """RFC 9112 6.3 for responses."""
    index = head.headers.index
    if "transfer-encoding" in index and ("content-length" in index or head.version < 11):
        raise RemoteProtocolError("ambiguous framing in the response", 502)
    if method == "HEAD" or head.has_no_body or (method == "CONNECT" and head.status < 300):
        return 0
    if "transfer-encoding" in index:
        if index["transfer-encoding"].lower() != "chunked":
            raise RemoteProtocolError("a transfer coding other than chunked", 502)
        return CHUNKED
    if "content-length" in index:
        return _content_length(index["content-length"])
    return UNTIL_CLOSE


__all__ = ["CHUNKED", "REASONS", "UNTIL_CLOSE", "Limits", "RequestHead", "ResponseHead", "Target",
           "parse_request_head", "parse_response_head"]  # fmt: skip
