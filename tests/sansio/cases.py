"""What the layer accepts and refuses, as data: the bytes, the verdict, and the section that decides it.

A section without a number is of RFC 9112; `9110 15.2` names another RFC, and `limit` is a bound of ours. Unless a case
says otherwise, Host is `a`. A verdict is a list of events, or the status of the refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reactor.sansio.http1 import CHUNKED, CLIENT, SERVER, UNTIL_CLOSE, Limits, Role

from .feeding import Answered, Asked, Body, Ended, Seen

POST = Asked("POST", "/", CHUNKED)
DEFAULT = Limits()
SMALL = Limits(line=40, head=120, fields=4)
TIGHT = Limits(line=40, head=20)


@dataclass(frozen=True)
class Case:
    name: str
    section: str
    raw: bytes
    events: tuple[Seen, ...] | None  # None: refused with `status`
    status: int = 0
    role: Role = SERVER
    eof: bool = False  # the peer ends its side behind the bytes
    partial: bool = False  # the message is not complete: more would have to come
    method: str = "GET"  # of the request that a response answers
    limits: Limits = DEFAULT


def good(name: str, section: str, raw: bytes, *events: Seen, eof: bool = False) -> Case:
    return Case(name, section, raw, events, eof=eof)


def partial(name: str, section: str, raw: bytes, *events: Seen) -> Case:
    return Case(name, section, raw, events, partial=True)


def bad(name: str, section: str, status: int, raw: bytes, *, eof: bool = False, limits: Limits | None = None) -> Case:
    return Case(name, section, raw, None, status, eof=eof, limits=limits or DEFAULT)


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A head that is formed well, so that a case shows only what is special about it."""
    return "\r\n".join((line, *fields, "", "")).encode("latin-1") + body


def get(*fields: str, body: bytes = b"") -> bytes:
    return request("GET / HTTP/1.1", "Host: a", *fields, body=body)


def chunked(body: bytes) -> bytes:
    return request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", body=body)


def host(value: str) -> bytes:
    return request("GET / HTTP/1.1", f"Host: {value}")


GOOD_REQUESTS: Sequence[Case] = (
    good("the smallest request", "2.1", get(), Asked()),
    good("a request with a query", "3.2.1", request("GET /s?q=1&r HTTP/1.1", "Host: a"),
         Asked(path="/s", query="q=1&r")),
    good("any token is a method, and its case counts", "3.1", request("m-Search! / HTTP/1.1", "Host: a"),
         Asked("m-Search!")),
    good("an empty field value", "5", get("X:"), Asked()),
    good("white space around a value", "5.1", get("X: \t  v \t"), Asked()),
    good("obs-text in a value", "9110 5.5", get("X: \xe9\x80"), Asked()),
    good("a colon in a value", "5", get("X:y:z"), Asked()),
    good("every token character in a name", "9110 5.6.2", get("!#$%&'*+-.^_`|~09azAZ: v"), Asked()),
    good("one empty line before the request", "2.2", b"\r\n" + get(), Asked()),
    good("a higher minor version is read as 1.1", "9110 2.5", request("GET / HTTP/1.9", "Host: a"), Asked()),
    good("connection close", "9.6", get("Connection: close"), Asked(keep_alive=False)),
    good("close among other connection options", "9.6", get("Connection: te, CLOSE"), Asked(keep_alive=False)),
    good("connection options on two lines", "9110 5.3", get("Connection: te", "Connection: close"),
         Asked(keep_alive=False)),
    good("HTTP/1.0 closes by default", "9.3", request("GET / HTTP/1.0", "Host: a"),
         Asked(version=10, keep_alive=False)),
    good("HTTP/1.0 without Host", "3.2", request("GET / HTTP/1.0"), Asked(host="", version=10, keep_alive=False)),
    good("HTTP/1.0 that asks to be kept", "9.3", request("GET / HTTP/1.0", "Host: a", "Connection: Keep-Alive"),
         Asked(version=10)),
    good("HTTP/1.0 with both close and keep-alive", "9.3",
         request("GET / HTTP/1.0", "Host: a", "Connection: keep-alive, close"), Asked(version=10, keep_alive=False)),
    good("100-continue is understood", "9110 10.1.1", get("Expect: 100-Continue"), Asked()),
    # targets
    good("the absolute form wins over Host", "3.2.2", request("GET http://B.example:81/x?y HTTP/1.1", "Host: a"),
         Asked(path="/x", query="y", host="b.example:81")),
    good("an absolute form without a path", "3.2.2", request("GET http://b HTTP/1.1", "Host: a"), Asked(host="b")),
    good("an absolute form with only a query", "3.2.2", request("GET http://b?q HTTP/1.1", "Host: a"),
         Asked(query="q", host="b")),
    good("the asterisk form", "3.2.4", request("OPTIONS * HTTP/1.1", "Host: a"), Asked("OPTIONS", "*")),
    good("OPTIONS for an authority is the asterisk form", "3.2.4", request("OPTIONS http://b HTTP/1.1", "Host: a"),
         Asked("OPTIONS", "*", host="b")),
    good("the authority form", "3.2.3", request("CONNECT b:443 HTTP/1.1", "Host: a"),
         Asked("CONNECT", "", host="b:443")),
    good("a path gets its normal form", "3986 6.2.2", request("GET /%6Cogin/%2f%c3%a9 HTTP/1.1", "Host: a"),
         Asked(path="/login/%2F%C3%A9")),
    good("an escape that is none stays in a query", "3986 3.4", request("GET /?100% HTTP/1.1", "Host: a"),
         Asked(query="100%")),
    # hosts
    good("a host with a port", "3.2", host("a:8080"), Asked(host="a:8080")),
    good("a host with an empty port", "3986 3.2.3", host("a:"), Asked(host="a:")),
    good("an IPv6 host", "3.2", host("[::1]:80"), Asked(host="[::1]:80")),
    good("a host in capitals", "3986 6.2.2.1", host("EXAMPLE.org"), Asked(host="example.org")),
    # bodies
    good("a length of zero", "6.2", get("Content-Length: 0"), Asked()),
    good("a length with leading zeros", "9110 8.6", get("Content-Length: 003", body=b"abc"),
         Asked(length=3), Body(b"abc"), Ended()),
    good("a body that looks like a request", "6.3", get("Content-Length: 18", body=b"GET / HTTP/1.1\r\n\r\n"),
         Asked(length=18), Body(b"GET / HTTP/1.1\r\n\r\n"), Ended()),
    good("two requests in one piece", "9.3.2", get() + request("GET /2 HTTP/1.1", "Host: a"),
         Asked(), Asked(path="/2")),
    good("a body and then the next request", "9.3.2", get("Content-Length: 2", body=b"ab") + get(),
         Asked(length=2), Body(b"ab"), Ended(), Asked()),
    good("an empty line between two requests", "2.2", get() + b"\r\n" + get(), Asked(), Asked()),
    good("nothing behind a request that closes is read", "9.6", get("Connection: close") + b"\x00" + get(),
         Asked(keep_alive=False)),
    good("a chunked body", "7.1", chunked(b"3\r\nabc\r\n0\r\n\r\n"), POST, Body(b"abc"), Ended()),
    good("chunked in other letters", "7", request("POST / HTTP/1.1", "Host: a", "transfer-encoding: \t Chunked ",
         body=b"0\r\n\r\n"), POST, Ended()),
    good("an empty chunked body", "7.1", chunked(b"0\r\n\r\n"), POST, Ended()),
    good("several zeros are the last chunk too", "7.1", chunked(b"000\r\n\r\n"), POST, Ended()),
    good("chunk sizes in both cases and with zeros", "7.1",
         chunked(b"0a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
         POST, Body(b"0123456789" * 2), Ended()),
    good("chunk data may hold CRLF", "7.1", chunked(b"4\r\n\r\n0\r\r\n0\r\n\r\n"), POST, Body(b"\r\n0\r"), Ended()),
    good("chunk extensions are read past", "7.1.1",
         chunked(b'1;a\r\nx\r\n1 ; b = c;d="q\\"; \xe9"\r\ny\r\n0;z=1\r\n\r\n'), POST, Body(b"xy"), Ended()),
    good("trailers stand apart", "7.1.2", chunked(b"1\r\nx\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n"),
         POST, Body(b"x"), Ended((("x-sum", "7"), ("host", "evil")))),
    good("a chunked body and then the next request", "9.3.2", chunked(b"1\r\nx\r\n0\r\n\r\n") + get(),
         POST, Body(b"x"), Ended(), Asked()),
    # the ends
    good("a client that half-closes gets its answer", "9.6", get(), Asked(), eof=True),
    good("the end behind a body", "9.6", get("Content-Length: 1", body=b"x"), Asked(length=1), Body(b"x"), Ended(),
         eof=True),
    good("the end behind two requests", "9.6", get() + get(), Asked(), Asked(), eof=True),
    good("nothing but the end", "9.6", b"", eof=True),
    good("an empty line and the end", "2.2", b"\r\n", eof=True),
    # limits, met exactly
    Case("a start line of just the limit", "limit", request("GET /" + 26 * "a" + " HTTP/1.1", "Host: a"),
         (Asked(path="/" + 26 * "a"),), limits=SMALL),
    Case("a head of just the limit", "limit", get("X: " + 88 * "x"), (Asked(),), limits=SMALL),
    Case("as many fields as the limit", "limit", get("A:", "B:", "C:"), (Asked(),), limits=SMALL),
    Case("trailers of just the limit", "limit", chunked(b"0\r\nX: " + 113 * b"x" + b"\r\n\r\n"),
         (POST, Ended((("x", 113 * "x"),))), limits=SMALL),
    good("a chunk size line of just the limit", "limit", chunked(b"1;" + 254 * b"x" + b"\r\ny\r\n0\r\n\r\n"),
         POST, Body(b"y"), Ended()),
)  # fmt: skip

PARTIAL_REQUESTS: Sequence[Case] = (
    partial("nothing yet", "2.1", b""),
    partial("one empty line", "2.2", b"\r\n"),
    partial("half an empty line", "2.2", b"\r"),
    partial("half a method", "3", b"GE"),
    partial("a start line without its LF", "3", b"GET / HTTP/1.1\r"),
    partial("a start line", "3", b"GET / HTTP/1.1\r\n"),
    partial("a head without its last LF", "2.1", get()[:-1]),
    partial("half a body", "6.2", get("Content-Length: 9", body=b"half"), Asked(length=9), Body(b"half")),
    partial("half a chunk", "7.1", chunked(b"9\r\nhalf"), POST, Body(b"half")),
    partial("a chunk without its LF", "7.1", chunked(b"1\r\nx\r"), POST, Body(b"x")),
    partial("half a chunk size", "7.1", chunked(b"1"), POST),
    partial("half the trailers", "7.1.2", chunked(b"0\r\nX: y\r\n"), POST),
    partial("a chunk size line that may still be in the limit", "7.1", chunked(b"1;" + 254 * b"x" + b"\r"), POST),
    partial("the last chunk alone", "7.1", chunked(b"0\r\n"), POST),
)

BAD_REQUESTS: Sequence[Case] = (
    # the start line
    bad("a bare LF behind the start line", "2.2", 400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    bad("bare LFs everywhere", "2.2", 400, b"GET / HTTP/1.1\nHost: a\n\n"),
    bad("a bare LF behind a field", "2.2", 400, b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    bad("a bare CR in the start line", "2.2", 400, b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    bad("two CRs behind the start line", "2.2", 400, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    bad("a bare CR in a field", "2.2", 400, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: z\r\n\r\n"),
    bad("two CRs behind a field", "2.2", 400, b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    bad("two empty lines before the request", "2.2", 400, b"\r\n\r\n" + get()),
    bad("a lone LF before the request", "2.2", 400, b"\n" + get()),
    bad("two spaces in the start line", "3", 400, request("GET  / HTTP/1.1", "Host: a")),
    bad("a tab in the start line", "3", 400, request("GET\t/ HTTP/1.1", "Host: a")),
    bad("a space behind the version", "3", 400, request("GET / HTTP/1.1 ", "Host: a")),
    bad("a space before the method", "3", 400, request(" GET / HTTP/1.1", "Host: a")),
    bad("a space in the target", "3.2", 400, request("GET /a b HTTP/1.1", "Host: a")),
    bad("no version", "3", 400, request("GET /", "Host: a")),
    bad("no target", "3", 400, request("GET HTTP/1.1", "Host: a")),
    bad("a method that is no token", "3.1", 400, request("G(T / HTTP/1.1", "Host: a")),
    bad("a method with a byte over 127", "3.1", 400, request("G\xc9T / HTTP/1.1", "Host: a")),
    bad("a version in small letters", "2.3", 400, request("GET / http/1.1", "Host: a")),
    bad("a version with two digits", "2.3", 400, request("GET / HTTP/1.10", "Host: a")),
    bad("a version without a point", "2.3", 400, request("GET / HTTP/11", "Host: a")),
    bad("HTTP/2 in HTTP/1 clothes", "9110 2.5", 505, request("GET / HTTP/2.0", "Host: a")),
    bad("the preface of HTTP/2", "9113 3.4", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    bad("HTTP/0.9", "9110 2.5", 505, request("GET / HTTP/0.9", "Host: a")),
    bad("TLS", "2.1", 400, b"\x16\x03\x01\x02\x00\x01\x00"),
    bad("a NUL", "2.2", 400, request("GET /\x00 HTTP/1.1", "Host: a")),
    bad("a NUL before all of the line is there", "2.2", 400, b"GET /\x00"),
    bad("a DEL in the target", "3.2", 400, request("GET /\x7f HTTP/1.1", "Host: a")),
    bad("a byte over 127 in the target", "3.2", 400, request("GET /\xe9 HTTP/1.1", "Host: a")),
    # targets
    bad("a fragment", "3.2", 400, request("GET /#x HTTP/1.1", "Host: a")),
    bad("a path without a slash", "3.2.1", 400, request("GET x HTTP/1.1", "Host: a")),
    bad("an escape that is none", "3986 2.1", 400, request("GET /%zz HTTP/1.1", "Host: a")),
    bad("half an escape", "3986 2.1", 400, request("GET /%4 HTTP/1.1", "Host: a")),
    bad("the asterisk with GET", "3.2.4", 400, request("GET * HTTP/1.1", "Host: a")),
    bad("CONNECT with a path", "3.2.3", 400, request("CONNECT / HTTP/1.1", "Host: a")),
    bad("CONNECT without a port", "3.2.3", 400, request("CONNECT b HTTP/1.1", "Host: a")),
    bad("an authority with GET", "3.2.3", 400, request("GET b:443 HTTP/1.1", "Host: a")),
    bad("another scheme", "3.2.2", 400, request("GET file:///etc/passwd HTTP/1.1", "Host: a")),
    bad("an URL without an authority", "9110 4.2.1", 400, request("GET http:///x HTTP/1.1", "Host: a")),
    bad("an URL with userinfo", "9110 4.2.4", 400, request("GET http://u@b/ HTTP/1.1", "Host: a")),
    # hosts
    bad("no Host", "3.2", 400, request("GET / HTTP/1.1")),
    bad("no Host with an absolute form", "3.2", 400, request("GET http://a/ HTTP/1.1")),
    bad("two Hosts", "3.2", 400, request("GET / HTTP/1.1", "Host: a", "Host: b")),
    bad("two equal Hosts", "3.2", 400, request("GET / HTTP/1.1", "Host: a", "hOST: a")),
    bad("two Hosts in HTTP/1.0", "3.2", 400, request("GET / HTTP/1.0", "Host: a", "Host: b")),
    bad("an empty Host", "3.2", 400, host("")),
    bad("a list as Host", "3.2", 400, host("a, b")),
    bad("a Host with a path", "3.2", 400, host("a/b")),
    bad("a Host with userinfo", "3.2", 400, host("u@a")),
    bad("a Host with a port that is no number", "3.2", 400, host("a:http")),
    bad("a Host with a port too large", "3.2", 400, host("a:65536")),
    bad("a Host with digits that are not 0-9", "3.2", 400, host("a:\xb2")),
    bad("a Host with an open bracket", "3.2", 400, host("[::1")),
    bad("a bad Host behind a good absolute form", "3.2", 400, request("GET http://a/ HTTP/1.1", "Host: u@b")),
    bad("a bad Host in HTTP/1.0", "3.2", 400, request("GET / HTTP/1.0", "Host: a b")),
    # fields
    bad("a folded line", "5.2", 400, get("X: y", " z")),
    bad("a line folded with a tab", "5.2", 400, get("X: y", "\tz")),
    bad("white space before the first field", "2.2", 400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    bad("a space before a colon", "5.1", 400, get("X : y")),
    bad("a tab before a colon", "5.1", 400, get("X\t: y")),
    bad("a space before the colon of a length", "5.1", 400, get("Content-Length : 5")),
    bad("a field without a colon", "5", 400, get("X")),
    bad("a field without a name", "5", 400, get(": y")),
    bad("a name that is no token", "5.1", 400, get("X(y): z")),
    bad("a name with a byte over 127", "5.1", 400, get("X\xe9: z")),
    bad("a NUL in a value", "9110 5.5", 400, get("X: \x00")),
    bad("a control character in a value", "9110 5.5", 400, get("X: \x0b")),
    bad("a DEL in a value", "9110 5.5", 400, get("X: \x7f")),
    bad("an unknown expectation", "9110 10.1.1", 417, get("Expect: 200-ok")),
    bad("two expectations", "9110 10.1.1", 417, get("Expect: 100-continue", "Expect: 100-continue")),
    # framing: where two parsers could see different ends
    bad("a length together with chunked", "6.1", 400, get("Content-Length: 5", "Transfer-Encoding: chunked")),
    bad("chunked together with a length", "6.1", 400, get("Transfer-Encoding: chunked", "Content-Length: 5")),
    bad("a length together with an unknown coding", "6.1", 400, get("Transfer-Encoding: x", "Content-Length: 5")),
    bad("a coding in HTTP/1.0", "6.1", 400,
        request("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    bad("an unknown coding", "6.1", 501, get("Transfer-Encoding: gzip")),
    bad("a coding before chunked", "6.1", 501, get("Transfer-Encoding: gzip, chunked")),
    bad("a coding behind chunked", "6.3", 501, get("Transfer-Encoding: chunked, gzip")),
    bad("identity, which is no coding any more", "7", 501, get("Transfer-Encoding: identity")),
    bad("chunked twice in a line", "7.1", 501, get("Transfer-Encoding: chunked, chunked")),
    bad("chunked on two lines", "7.1", 400, get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    bad("an empty coding", "6.1", 501, get("Transfer-Encoding:")),
    bad("a coding in quotes", "6.1", 501, get('Transfer-Encoding: "chunked"')),
    bad("a coding with a parameter", "7", 501, get("Transfer-Encoding: chunked;q=1")),
    bad("a coding behind a vertical tab", "6.1", 400, get("Transfer-Encoding: \x0bchunked")),
    bad("two lengths", "6.3", 400, get("Content-Length: 5", "Content-Length: 6")),
    bad("two equal lengths", "6.3", 400, get("Content-Length: 5", "Content-Length: 5")),
    bad("a list of equal lengths", "6.3", 400, get("Content-Length: 5, 5")),
    bad("an empty length", "9110 8.6", 400, get("Content-Length:")),
    bad("a length with a plus", "9110 8.6", 400, get("Content-Length: +5")),
    bad("a length with a minus", "9110 8.6", 400, get("Content-Length: -5")),
    bad("a length with an underscore", "9110 8.6", 400, get("Content-Length: 1_0")),
    bad("a length in hexadecimal", "9110 8.6", 400, get("Content-Length: 0x5")),
    bad("a length with a point", "9110 8.6", 400, get("Content-Length: 5.0")),
    bad("a length with a space inside", "9110 8.6", 400, get("Content-Length: 1 0")),
    bad("a length with digits that are not 0-9", "9110 8.6", 400, get("Content-Length: \xb2\xb3")),
    bad("a length in Arabic digits as UTF-8", "9110 8.6", 400, get("Content-Length: \xd9\xa5")),
    bad("a length of nineteen digits", "limit", 400, get("Content-Length: " + 19 * "9")),
    # chunks
    bad("a chunk size that is no number", "7.1", 400, chunked(b"x\r\n")),
    bad("an empty chunk size", "7.1", 400, chunked(b"\r\n0\r\n\r\n")),
    bad("a chunk size with 0x", "7.1", 400, chunked(b"0x1\r\nx\r\n")),
    bad("a chunk size with a plus", "7.1", 400, chunked(b"+1\r\nx\r\n")),
    bad("a chunk size with a minus", "7.1", 400, chunked(b"-1\r\nx\r\n")),
    bad("a chunk size with an underscore", "7.1", 400, chunked(b"1_0\r\nx\r\n")),
    bad("a chunk size behind a space", "7.1", 400, chunked(b" 1\r\nx\r\n")),
    bad("a chunk size before a space", "7.1", 400, chunked(b"1 \r\nx\r\n")),
    bad("a chunk size of sixteen digits", "limit", 400, chunked(b"0000000000000001\r\nx\r\n")),
    bad("a chunk size that overflows", "7.1", 400, chunked(b"ffffffffffffffff1\r\nx\r\n")),
    bad("a bare LF behind a chunk size", "7.1", 400, chunked(b"1\nx\r\n0\r\n\r\n")),
    bad("a bare CR behind a chunk size", "7.1", 400, chunked(b"1\rx\r\n0\r\n\r\n")),
    bad("an extension without a name", "7.1.1", 400, chunked(b"1;\r\nx\r\n")),
    bad("an extension with a bare LF", "7.1.1", 400, chunked(b"1;a\nb\r\nx\r\n")),
    bad("an extension with an open quote", "7.1.1", 400, chunked(b'1;a="b\r\nx\r\n')),
    bad("an extension with a control character", "7.1.1", 400, chunked(b"1;a=\x01\r\nx\r\n")),
    bad("one wrong byte behind a chunk", "7.1", 400, chunked(b"1\r\nx\rX0\r\n\r\n")),
    bad("two wrong bytes behind a chunk", "7.1", 400, chunked(b"1\r\nxXX0\r\n\r\n")),
    bad("a bare LF behind a chunk", "7.1", 400, chunked(b"1\r\nx\n0\r\n\r\n")),
    bad("a chunk longer than its size", "7.1", 400, chunked(b"1\r\nxy\r\n0\r\n\r\n")),
    bad("a request where the trailers should be", "7.1.2", 400, chunked(b"0\r\n" + get())),
    bad("a bare LF in the trailers", "7.1.2", 400, chunked(b"0\r\nX: y\nZ: z\r\n\r\n")),
    bad("a folded trailer", "7.1.2", 400, chunked(b"0\r\nX: y\r\n z\r\n\r\n")),
    bad("a NUL in the trailers", "7.1.2", 400, chunked(b"0\r\nX: \x00\r\n\r\n")),
    # limits
    bad("a start line over the limit", "3", 414, request("GET /" + 27 * "a" + " HTTP/1.1", "Host: a"), limits=SMALL),
    bad("a start line that goes on and on", "3", 414, 60 * b"A", limits=SMALL),
    bad("a start line over the limit, and then a control", "3", 414, 42 * b"A" + b"\x00", limits=SMALL),
    bad("a control just behind the limit of the line", "3", 400, 40 * b"A" + b"\x00A", limits=SMALL),
    bad("a bare LF just behind the limit of the line", "3", 400, 41 * b"A" + b"\n", limits=SMALL),
    bad("a CR just behind the limit of the line", "3", 414, 41 * b"A" + b"\r\n", limits=SMALL),
    bad("a head over the limit", "limit", 431, get("X: " + 89 * "x"), limits=SMALL),
    bad("a head that goes on and on", "limit", 431, get("X: " + 200 * "x")[:-4], limits=SMALL),
    bad("a bad field in a head over the limit", "limit", 431, get("X : " + 200 * "x"), limits=SMALL),
    bad("a bad start line in a head over the limit", "limit", 400, b"GET\x01\r\nX: " + 200 * b"x", limits=SMALL),
    bad("too many fields", "limit", 431, get("A:", "B:", "C:", "D:"), limits=SMALL),
    bad("a bad field behind too many", "limit", 431, get("A:", "B:", "C:", "D"), limits=SMALL),
    bad("a bad field among as many as may be", "limit", 400, get("A:", "B:", "C"), limits=SMALL),
    bad("a line that fills more than the head", "limit", 414, 50 * b"A", limits=TIGHT),
    bad("a control behind a line that fills the head", "limit", 414, 30 * b"A" + b"\x00", limits=TIGHT),
    bad("trailers over the limit", "limit", 431, chunked(b"0\r\nX: " + 114 * b"x" + b"\r\n\r\n"), limits=SMALL),
    bad("too many trailers", "limit", 431, chunked(b"0\r\n" + 5 * b"A:\r\n" + b"\r\n"), limits=SMALL),
    bad("a chunk size line over the limit", "limit", 400, chunked(b"1;" + 255 * b"x" + b"\r\ny\r\n0\r\n\r\n")),
    bad("a chunk size line that goes on and on", "limit", 400, chunked(b"1;" + 300 * b"x")),
    bad("a chunk size line that can only be over the limit", "limit", 400, chunked(b"1;" + 256 * b"x")),
    bad("trailers that can only be over the limit", "limit", 431, chunked(b"0\r\nX: " + 117 * b"x"), limits=SMALL),
    bad("a head that can only be over the limit", "limit", 431, get("X: " + 92 * "x")[:-4], limits=SMALL),
    bad("zeros that go on and on", "limit", 400, chunked(300 * b"0")),
    bad("more extensions than any client needs", "limit", 413, chunked(70 * (b"1;" + 250 * b"x" + b"\r\ny\r\n"))),
    # the end in the middle
    bad("the end in the start line", "8", 400, b"GET /", eof=True),
    bad("the end in half an empty line", "8", 400, b"\r", eof=True),
    bad("the end in a head", "8", 400, get()[:-1], eof=True),
    bad("the end before a body", "8", 400, get("Content-Length: 3"), eof=True),
    bad("the end in a body", "8", 400, get("Content-Length: 3", body=b"ab"), eof=True),
    bad("the end before the first chunk", "8", 400, chunked(b""), eof=True),
    bad("the end in a chunk", "8", 400, chunked(b"3\r\nab"), eof=True),
    bad("the end behind a chunk", "8", 400, chunked(b"3\r\nabc\r\n"), eof=True),
    bad("the end behind the last chunk", "8", 400, chunked(b"3\r\nabc\r\n0\r\n"), eof=True),
    bad("the end in the trailers", "8", 400, chunked(b"0\r\nX: y\r\n"), eof=True),
    bad("the end in a second request", "8", 400, get() + b"GET", eof=True),
    bad("a second request that is bad", "9.3.2", 400, get() + b"GET /\x00"),
)  # fmt: skip


def answer(name: str, section: str, raw: bytes, *events: Seen, method: str = "GET", eof: bool = False) -> Case:
    return Case(name, section, raw, events, role=CLIENT, method=method, eof=eof)


def wrong(name: str, section: str, raw: bytes, *, method: str = "GET", eof: bool = False) -> Case:
    """To whoever waits behind a client, each of them is a bad gateway."""
    return Case(name, section, raw, None, 502, role=CLIENT, method=method, eof=eof)


def response(line: str, *fields: str, body: bytes = b"") -> bytes:
    return request(f"HTTP/1.1 {line}", *fields, body=body)


LENGTH_3, CHUNKS = "Content-Length: 3", "Transfer-Encoding: chunked"

GOOD_RESPONSES: Sequence[Case] = (
    answer("a length", "6.3", response("200 OK", LENGTH_3, body=b"abc"), Answered(length=3), Body(b"abc"), Ended()),
    answer("a length of zero", "6.3", response("200 OK", "Content-Length: 0"), Answered()),
    answer("chunks", "6.3", response("200 OK", CHUNKS, body=b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"),
           Answered(length=CHUNKED), Body(b"abc"), Ended((("x", "y"),))),
    answer("neither: the body lasts until the end", "6.3", response("200 OK", body=b"abc"),
           Answered(length=UNTIL_CLOSE), Body(b"abc"), Ended(), eof=True),
    answer("an empty body until the end", "6.3", response("200 OK"), Answered(length=UNTIL_CLOSE), Ended(), eof=True),
    answer("HTTP/1.0 until the end", "6.3", request("HTTP/1.0 200 OK", body=b"abc"),
           Answered(length=UNTIL_CLOSE, keep_alive=False), Body(b"abc"), Ended(), eof=True),
    answer("HTTP/1.0 with a length", "9.3", request("HTTP/1.0 200 OK", LENGTH_3, "Connection: keep-alive", body=b"abc"),
           Answered(length=3), Body(b"abc"), Ended()),
    answer("an answer to HEAD has no body", "6.3", response("200 OK", LENGTH_3), Answered(), method="HEAD"),
    answer("an answer to HEAD says chunked", "6.3", response("200 OK", CHUNKS), Answered(), method="HEAD"),
    answer("an answer to HEAD says nothing", "6.3", response("200 OK"), Answered(), method="HEAD"),
    answer("204 has no body", "6.3", response("204 No Content"), Answered(204, reason="No Content")),
    answer("304 has no body, whatever its length", "6.3", response("304 Not Modified", LENGTH_3),
           Answered(304, reason="Not Modified")),
    answer("a good answer to CONNECT has no body", "6.3", response("200 OK", LENGTH_3), Answered(), method="CONNECT"),
    answer("a bad answer to CONNECT has one", "6.3", response("407 Auth", LENGTH_3, body=b"abc"),
           Answered(407, 3, "Auth"), Body(b"abc"), Ended(), method="CONNECT"),
    answer("interim answers come first", "9110 15.2",
           response("100 Continue") + response("103 Early Hints", "Link: </a>")
           + response("200 OK", "Content-Length: 0"),
           Answered(100, reason="Continue"), Answered(103, reason="Early Hints"), Answered()),
    answer("an interim answer with a length has no body", "6.3",
           response("100 Continue", LENGTH_3) + response("200 OK", "Content-Length: 0"),
           Answered(100, reason="Continue"), Answered()),
    answer("an empty reason", "4", response("200 ", "Content-Length: 0"), Answered(reason="")),
    answer("no reason and no space before it", "4", response("200", "Content-Length: 0"), Answered(reason="")),
    answer("a reason with obs-text", "4", response("200 \xe9 \t", "Content-Length: 0"), Answered(reason="\xe9 \t")),
    answer("an unknown status", "9110 15", response("799 X", "Content-Length: 0"), Answered(799, reason="X")),
    answer("connection close", "9.6", response("200 OK", "Content-Length: 0", "Connection: close"),
           Answered(keep_alive=False)),
    answer("nothing behind an answer that closes is read", "9.6",
           response("200 OK", "Content-Length: 0", "Connection: close") + b"\x00", Answered(keep_alive=False)),
    answer("another protocol takes over", "9110 7.8", response("101 Go", body=b"\x00other"),
           Answered(101, reason="Go")),
)  # fmt: skip

BAD_RESPONSES: Sequence[Case] = (
    wrong("no status", "4", request("HTTP/1.1", LENGTH_3)),
    wrong("a status of two digits", "4", response("20 OK", LENGTH_3)),
    wrong("a status of four digits", "4", response("2000 OK", LENGTH_3)),
    wrong("a status that begins with zero", "4", response("020 OK", LENGTH_3)),
    wrong("another version", "2.3", request("HTTP/2.0 200 OK", LENGTH_3)),
    wrong("a bare LF", "2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    wrong("an empty line before the answer", "2.2", b"\r\n" + response("200 OK", LENGTH_3)),
    wrong("a request", "4", get()),
    wrong("a length with chunked", "6.3", response("200 OK", LENGTH_3, CHUNKS)),
    wrong("a length with chunked, for HEAD", "6.3", response("200 OK", LENGTH_3, CHUNKS), method="HEAD"),
    wrong("a coding in HTTP/1.0", "6.1", request("HTTP/1.0 200 OK", CHUNKS)),
    wrong("an unknown coding", "6.1", response("200 OK", "Transfer-Encoding: gzip, chunked")),
    wrong("two lengths", "6.3", response("200 OK", LENGTH_3, LENGTH_3)),
    wrong("a length that is no number", "6.3", response("200 OK", "Content-Length: 3a")),
    wrong("a folded line", "5.2", response("200 OK", "X: y", " z", LENGTH_3)),
    wrong("an answer that nobody asked for", "9.2", response("200 OK", "Content-Length: 0") + b"HTTP/1.1 200 OK"),
    wrong("one byte that nobody asked for", "9.2", response("200 OK", "Content-Length: 0") + b"\r"),
    wrong("a body behind an answer to HEAD", "6.3", response("200 OK", LENGTH_3, body=b"abc"), method="HEAD"),
    wrong("the end before the answer", "8", b"", eof=True),
    wrong("the end behind an interim answer", "8", response("100 Continue"), eof=True),
    wrong("the end in the head", "8", b"HTTP/1.1 200 OK\r\n", eof=True),
    wrong("the end in the body", "8", response("200 OK", LENGTH_3, body=b"a"), eof=True),
    wrong("the end in the chunks", "8", response("200 OK", CHUNKS, body=b"1\r\na\r\n"), eof=True),
)

REQUESTS = (*GOOD_REQUESTS, *PARTIAL_REQUESTS, *BAD_REQUESTS)
RESPONSES = (*GOOD_RESPONSES, *BAD_RESPONSES)
CASES = (*REQUESTS, *RESPONSES)
