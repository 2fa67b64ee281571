"""Against h11, which many trust: the two may differ only where a line below says so, and why.

What matters most is one direction. A message that we accept and that h11 accepts too must be the same message, with
the same end: if it were not, one of us could be made to smuggle requests past the other.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactor.errors import RemoteProtocolError
from reactor.sansio.http1 import (
    SERVER,
    Connection,
    Data,
    End,
    RequestHead,
    ResponseHead,
    Signal,
)

from .cases import CASES, Case
from .feeding import client_that_asked


class Message(NamedTuple):
    """The first message in some bytes: `line` is method and target or the status, `left` what lies behind it."""

    line: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...]
    left: int


REFUSED: Final = "refused"
MORE: Final = "more"  # the bytes so far are fine, the message is not complete
Reading: TypeAlias = Message | str


def ours(connection: Connection, raw: bytes, eof: bool) -> Reading:
    connection.receive_data(raw)
    if eof:
        connection.receive_eof()
    head: RequestHead | ResponseHead | None = None
    body = b""
    try:
        while not isinstance(event := connection.next_event(), Signal):
            if isinstance(event, Data):
                body += event.data
                continue
            if not isinstance(event, End):
                head = event
                if isinstance(event, ResponseHead) and event.status < 200 and event.status != 101:
                    continue
            if isinstance(event, End) or event.length == 0:
                assert head is not None
                trailers = tuple(event.trailers) if isinstance(event, End) else ()
                return Message(line_of(head), tuple(head.headers), body, trailers, connection.buffered)
    except RemoteProtocolError:
        return REFUSED
    return MORE


def line_of(head: RequestHead | ResponseHead) -> tuple[str, ...]:
    return (head.method, head.target) if isinstance(head, RequestHead) else (str(head.status),)


def theirs(connection: h11.Connection, raw: bytes, eof: bool) -> Reading:
    head: h11.Request | h11.Response | h11.InformationalResponse | None = None
    body = b""
    try:
        connection.receive_data(raw)
        if eof:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return h11_message(connection, head, body, event.headers)
            elif isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
                head = event
                if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                    return h11_message(connection, event, body, ())
            else:
                return MORE
    except h11.RemoteProtocolError:
        return REFUSED


def h11_message(connection: h11.Connection, head: h11.Request | h11.Response | h11.InformationalResponse, body: bytes,
                trailers: object) -> Message:  # fmt: skip
    line = (text(head.method), text(head.target)) if isinstance(head, h11.Request) else (str(head.status_code),)
    return Message(line, texts(head.headers), body, texts(trailers), len(connection.trailing_data[0]))


def text(raw: bytes) -> str:
    return bytes(raw).decode("latin-1")


def texts(pairs: object) -> tuple[tuple[str, str], ...]:
    assert isinstance(pairs, h11._headers.Headers | tuple | list)
    return tuple((text(name), text(value)) for name, value in pairs)


def h11_client(method: str) -> h11.Connection:
    connection = h11.Connection(h11.CLIENT)
    fields = [("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "other")]
    connection.send(h11.Request(method=method, target="a:1" if method == "CONNECT" else "/", headers=fields))
    connection.send(h11.EndOfMessage())
    return connection


def both(case: Case) -> tuple[Reading, Reading]:
    if case.role is SERVER:
        return (ours(Connection(SERVER, case.limits), case.raw, case.eof),
                theirs(h11.Connection(h11.SERVER), case.raw, case.eof))  # fmt: skip
    return ours(client_that_asked(case.method), case.raw, case.eof), theirs(h11_client(case.method), case.raw, case.eof)


def verdict(reading: Reading) -> str:
    return reading if isinstance(reading, str) else "accepted"


class Difference(NamedTuple):
    why: str
    names: tuple[str, ...]


# We are the stricter one here: h11 accepts, or waits for more of, what these refuse.
STRICTER = (
    Difference("RFC 9112 2.2 lets a recipient take a bare LF for a line end; parsers that disagree on it smuggle", (
        "server: a bare LF behind the start line", "server: bare LFs everywhere", "server: a bare LF behind a field",
        "server: a bare LF in the trailers", "client: a bare LF",
        "server: a bare LF just behind the limit of the line",
    )),
    Difference("RFC 9112 5.2: a server must refuse a folded line or unfold it; h11 unfolds", (
        "server: a folded line", "server: a line folded with a tab", "server: a folded trailer",
        "client: a folded line",
    )),
    Difference("RFC 9112 6.1 and 6.3: length with coding; h11 drops the length, we do not guess what a proxy saw", (
        "server: a length together with chunked", "server: chunked together with a length",
        "client: a length with chunked", "client: a length with chunked, for HEAD",
    )),
    Difference("RFC 9112 6.1: HTTP/1.0 knows no codings; a proxy of that age sees another end", (
        "server: a coding in HTTP/1.0", "client: a coding in HTTP/1.0",
    )),
    Difference("RFC 9112 6.3 allows equal lengths to be merged or refused; h11 merges", (
        "server: two equal lengths", "server: a list of equal lengths", "client: two lengths",
    )),
    Difference("RFC 9110 2.5: only HTTP/1; h11 leaves versions to its user", (
        "server: HTTP/2 in HTTP/1 clothes", "server: the preface of HTTP/2", "server: HTTP/0.9",
        "client: another version",
    )),
    Difference("h11 leaves the form of the target to its user (RFC 9112 3.2)", (
        "server: a fragment", "server: a path without a slash", "server: an escape that is none",
        "server: half an escape", "server: the asterisk with GET", "server: CONNECT with a path",
        "server: CONNECT without a port", "server: an authority with GET", "server: another scheme",
        "server: an URL without an authority", "server: an URL with userinfo",
    )),
    Difference("h11 counts Hosts and does not read them (RFC 9112 3.2)", (
        "server: an empty Host", "server: a list as Host", "server: a Host with a path", "server: a Host with userinfo",
        "server: a Host with a port that is no number", "server: a Host with a port too large",
        "server: a Host with digits that are not 0-9", "server: a Host with an open bracket",
        "server: a bad Host behind a good absolute form", "server: a bad Host in HTTP/1.0",
    )),
    Difference("RFC 9110 5.5: DEL is no character of a value; h11 refuses NUL, CR and LF and white space only", (
        "server: a DEL in a value",
    )),
    Difference("RFC 9110 10.1.1: h11 leaves expectations to its user", (
        "server: an unknown expectation", "server: two expectations",
    )),
    Difference("RFC 9112 7.1: h11 forgives white space behind a chunk size and any form of extension", (
        "server: a chunk size before a space", "server: an extension without a name",
        "server: an extension with an open quote", "server: an extension with a control character",
    )),
    Difference("we refuse a start line as soon as it cannot become a good one", (
        "server: a NUL before all of the line is there", "server: a control just behind the limit of the line",
        "server: a bad start line in a head over the limit",
    )),
    Difference("h11 bounds what is incomplete, by 16 KiB; ours are bounds on the message, and smaller in these cases", (
        "server: a start line over the limit", "server: a start line that goes on and on",
        "server: a start line over the limit, and then a control", "server: a CR just behind the limit of the line",
        "server: a head over the limit", "server: a head that goes on and on", "server: too many fields",
        "server: a line that fills more than the head", "server: a control behind a line that fills the head",
        "server: trailers over the limit", "server: too many trailers", "server: a chunk size line over the limit",
        "server: a chunk size line that goes on and on", "server: zeros that go on and on",
        "server: a chunk size line that can only be over the limit", "server: trailers that can only be over the limit",
        "server: a head that can only be over the limit",
        "server: more extensions than any client needs", "server: a length of nineteen digits",
        "server: a chunk size of sixteen digits", "server: a chunk size that overflows",
    )),
)  # fmt: skip

# h11 refuses these, or does not see their end.
MORE_LENIENT = (
    Difference("RFC 9112 2.2: a server should ignore one empty line before a request; h11 ignores none", (
        "server: one empty line before the request", "server: an empty line and the end", "server: one empty line",
        "server: half an empty line",
    )),
    Difference("RFC 9112 7.1.1 allows white space before the semicolon of an extension", (
        "server: chunk extensions are read past",
    )),
    Difference("RFC 9112 6.3: the head ends the answer; h11 hands the connection to the tunnel instead of ending it", (
        "client: a good answer to CONNECT has no body",
    )),
)  # fmt: skip

LISTED = {name for difference in (*STRICTER, *MORE_LENIENT) for name in difference.names}


def name_of(case: Case) -> str:
    return f"{case.role.value}: {case.name}"


def same(we: Reading, they: Reading) -> bool:
    """Whether both read one message; h11 hands a transfer coding out in small letters."""
    if isinstance(we, str) or isinstance(they, str):
        return False
    fields = tuple((name, value.lower() if name == "transfer-encoding" else value) for name, value in we.fields)
    return we._replace(fields=fields) == they


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_h11_agrees_or_the_difference_is_listed(case: Case) -> None:
    we, they = both(case)
    differs = verdict(we) != verdict(they)
    assert differs == (name_of(case) in LISTED), (verdict(we), verdict(they))
    if not differs and not isinstance(we, str):
        assert same(we, they), (we, they)


def test_the_lists_say_who_is_the_stricter_one() -> None:
    readings = {name_of(case): both(case) for case in CASES}
    for difference in STRICTER:
        for name in difference.names:
            assert verdict(readings[name][0]) == REFUSED, name
    for difference in MORE_LENIENT:
        for name in difference.names:
            assert verdict(readings[name][0]) != REFUSED, name


# Pieces that good and bad heads are made of, and that parsers have disagreed about.
LINES = st.sampled_from((
    "GET / HTTP/1.1", "POST /x?y HTTP/1.1", "GET http://b/ HTTP/1.1", "OPTIONS * HTTP/1.1", "PUT / HTTP/1.0",
    "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET /", "get / HTTP/1.1", "GET /\x00 HTTP/1.1",
))  # fmt: skip
FIELDS = st.sampled_from((
    "Host: a", "Host: a", "Host: b", "Content-Length: 5", "Content-Length: 0", "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: 5, 5", "content-length:5 ", "Content-Length : 5", "Content-Length: 5\x0b", "Content_Length: 5",
    "Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked", "X: y",
    " folded", "\tfolded", "X", ": y", "X: \x00", "X: a\rb", "Connection: close", "Expect: 100-continue",
))  # fmt: skip
ENDS = st.sampled_from(("\r\n",) * 20 + ("\n", "\r", "\r\r\n", "\r\n\r\n"))
BODIES = st.sampled_from((
    b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n", b"05\r\nhello\r\n00\r\n\r\n", b"5\nhello\n0\n\n", b"0x5\r\nhello\r\n0\r\n\r\n",
))  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    lines = [draw(LINES), *draw(st.lists(FIELDS, min_size=1, max_size=5))]
    head = "".join(line + draw(ENDS) for line in lines) + "\r\n"
    return head.encode("latin-1") + draw(BODIES)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(messages())
def test_what_both_accept_is_one_message(raw: bytes) -> None:
    we = ours(Connection(SERVER), raw, eof=False)
    if not isinstance(we, str):
        they = theirs(h11.Connection(h11.SERVER), raw, eof=False)
        assert same(we, they), (we, they)
