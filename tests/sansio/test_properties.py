"""What holds for all inputs: hypothesis looks for the one that it does not hold for. Deterministic, so a red run stays
red.
"""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import quote, urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from reactor.errors import LocalProtocolError, RemoteProtocolError
from reactor.sansio.cookies import format_cookie, parse_cookies
from reactor.sansio.forms import parse_form, parse_pairs
from reactor.sansio.http1 import (
    BODY,
    CHUNKED,
    CLIENT,
    CLOSED,
    DONE,
    IDLE,
    SERVER,
    Connection,
    Data,
    End,
    Event,
    Headers,
    HeadMemo,
    Limits,
    RequestHead,
    ResponseHead,
)
from reactor.sansio.target import decode_segment, normal_path, parse_target

from .cases import chunked, get
from .feeding import Asked, Body, Ended, client_that_asked, drive, split
from .test_table import snapshot

run = settings(derandomize=True, deadline=None, max_examples=100)
often = settings(derandomize=True, deadline=None, max_examples=500)


def cuts_of(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    return split(raw, sorted(draw(st.lists(st.integers(0, len(raw)), max_size=8))))


# -- cuts ----------------------------------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from((
    b"\r\n", b"\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\r\r\n", b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"X: y\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", b"Content-Length: 3\r\n", b"HTTP/1.0\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 101 \t\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n",
    b"0\r\n", b"3\r\nabc\r\n", b"1;a=b\r\nx\r\n", b"abc", b"A" * 30, b"A: " + b"a" * 30 + b"\r\n", b"\x00", b"\t", b" ",
    b"\x7f", b"\xff", b":",
))  # fmt: skip
SOME_LIMITS = st.sampled_from((Limits(), Limits(line=30, head=80, fields=3), Limits(line=50, head=40, fields=2)))


@st.composite
def wires(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    raw = b"".join(draw(st.lists(FRAGMENTS, max_size=9)))
    return raw, cuts_of(draw, raw)


@often
@given(wires(), SOME_LIMITS, st.booleans())
def test_a_server_reaches_one_verdict_however_the_bytes_were_cut(
    wire: tuple[bytes, list[bytes]], limits: Limits, eof: bool
) -> None:
    raw, pieces = wire
    expected = drive(Connection(SERVER, limits), [raw], eof=eof)
    memo = HeadMemo(limits)
    for cut in (pieces, [raw], split(raw, range(1, len(raw)))):
        assert drive(Connection(SERVER, memo=memo), cut, eof=eof) == expected


@often
@given(wires(), SOME_LIMITS, st.booleans(), st.sampled_from(("GET", "HEAD", "CONNECT")))
def test_a_client_reaches_one_verdict_however_the_bytes_were_cut(
    wire: tuple[bytes, list[bytes]], limits: Limits, eof: bool, method: str
) -> None:
    raw, pieces = wire
    expected = drive(client_that_asked(method, limits), [raw], eof=eof)
    for cut in (pieces, split(raw, range(1, len(raw)))):
        assert drive(client_that_asked(method, limits), cut, eof=eof) == expected


@run
@given(st.binary(max_size=200), st.binary(max_size=20))
def test_noise_is_refused_or_waited_for_and_never_crashes(noise: bytes, more: bytes) -> None:
    for before in (b"", get()[:-2], chunked(b""), chunked(b"0\r\n"), b"GET / HTTP/1.1\r\nHost: a\r\nX: "):
        drive(Connection(SERVER), [before + noise, more], eof=True)
    drive(client_that_asked(), [noise, more], eof=True)


# -- framing -------------------------------------------------------------------------------------------------------


@st.composite
def chunkings(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A body, and one way to write it in chunks and to cut that."""
    body = draw(st.binary(max_size=120))
    marks = [0, *sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=6))), len(body)]
    wire = b""
    for start, stop in pairwise(marks):
        if body[start:stop]:
            size = draw(st.sampled_from((b"%x", b"%X", b"00%x", b"%x;a", b'%x ; a="b\\""'))) % len(body[start:stop])
            wire += size + b"\r\n" + body[start:stop] + b"\r\n"
    return body, cuts_of(draw, chunked(wire + b"0\r\nT: u\r\n\r\n") + get())


@run
@given(chunkings())
def test_a_body_in_chunks_arrives_whole_and_what_follows_it_too(chunking: tuple[bytes, list[bytes]]) -> None:
    body, pieces = chunking
    verdict = drive(Connection(SERVER), pieces)
    expected = [Asked("POST", length=CHUNKED), Body(body), Ended((("t", "u"),)), Asked()]
    assert list(verdict.events) == [event for event in expected if event != Body(b"")]


@st.composite
def counted(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    body = draw(st.binary(min_size=1, max_size=120))
    return body, cuts_of(draw, get(f"Content-Length: {len(body)}", body=body) + get())


@run
@given(counted())
def test_a_body_with_a_length_arrives_whole_and_what_follows_it_too(body_and_pieces: tuple[bytes, list[bytes]]) -> None:
    body, pieces = body_and_pieces
    assert drive(Connection(SERVER), pieces).events == (Asked(length=len(body)), Body(body), Ended(), Asked())


# -- pairs ---------------------------------------------------------------------------------------------------------

HOST = Headers((("Host", "a"),))
MOVES: dict[str, Event] = {
    "get": RequestHead("GET", "/", HOST),
    "head": RequestHead("HEAD", "/", HOST),
    "post": RequestHead("POST", "/", HOST, length=3),
    "stream": RequestHead("POST", "/", HOST, length=CHUNKED),
    "continue": ResponseHead(100, Headers()),
    "ok": ResponseHead(200, Headers(), length=3),
    "unknown length": ResponseHead(200, Headers(), length=None),
    "not modified": ResponseHead(304, Headers(), length=3),
    "data": Data(b"abc"),
    "more data": Data(b"a"),
    "end": End(),
}
STEPS = st.lists(
    st.tuples(st.sampled_from((CLIENT, SERVER)), st.sampled_from(sorted(MOVES)), st.booleans()), max_size=40
)


@settings(derandomize=True, deadline=None, max_examples=250)
@given(STEPS)
def test_whatever_a_pair_does_neither_side_misunderstands_the_other(steps: list[tuple[object, str, bool]]) -> None:
    client, server = Connection(CLIENT), Connection(SERVER)
    for who, what, close in steps:
        source, sink = (client, server) if who is CLIENT else (server, client)
        before = snapshot(source)
        try:
            wire = source.send(MOVES[what], close=close)
        except LocalProtocolError:
            assert snapshot(source) == before
            continue
        if sink is client and client.ours is IDLE and wire:  # an answer to nobody, which ends the connection
            assert not server.keep_alive
            return
        if sink is client and server.theirs is IDLE:
            return
        drive_quietly(sink, wire)
        assert understood(client, server), (client.ours, server.theirs, server.ours, client.theirs)


def drive_quietly(connection: Connection, wire: bytes) -> None:
    """Take all events; a RemoteProtocolError would be ours to explain."""
    for piece in split(wire, range(1, len(wire))):
        connection.receive_data(piece)
        while isinstance(connection.next_event(), RequestHead | ResponseHead | Data | End):
            pass


def understood(client: Connection, server: Connection) -> bool:
    """What each side believes of the other: it may be ahead by an End that has no bytes, never behind a body."""
    ahead = {(BODY, DONE), (BODY, IDLE), (BODY, CLOSED), (DONE, IDLE), (DONE, CLOSED)}
    pairs = ((client.ours, server.theirs), (server.ours, client.theirs))
    return all(is_so is seen or (is_so, seen) in ahead or (seen, is_so) in ahead for is_so, seen in pairs)


# -- targets -------------------------------------------------------------------------------------------------------

PATHS = st.lists(
    st.sampled_from(("/", "a", "%2F", "%2f", "%61", "%C3%A9", "%", "%zz", "..", "?", "*", ":", "//", "é", "#", " ")),
    max_size=8,
).map("".join)  # fmt: skip


@run
@given(PATHS)
def test_a_normal_path_is_its_own_normal_form(path: str) -> None:
    try:
        normal = normal_path(path)
    except RemoteProtocolError:
        return
    assert normal_path(normal) == normal
    assert normal.count("/") == path.count("/"), "an escaped slash never becomes one"


@run
@given(st.text(max_size=30))
def test_a_quoted_segment_decodes_to_what_it_was(text: str) -> None:
    assert decode_segment(normal_path(quote(text, safe=""))) == text


@run
@given(st.one_of(PATHS, st.text(max_size=20)), st.sampled_from(("GET", "OPTIONS", "CONNECT")))
def test_any_target_is_taken_apart_or_refused(target: str, method: str) -> None:
    try:
        parsed = parse_target(method, target)
    except RemoteProtocolError as error:
        assert error.status == 400
        return
    assert parsed.path[:1] in ("/", "*") or method == "CONNECT"
    assert (parsed.path + parsed.query).isascii() and (parsed.path + parsed.query).isprintable()


@run
@given(st.text(max_size=20))
def test_any_segment_is_decoded_or_refused(segment: str) -> None:
    for text in (segment, "%" + segment, "%C3" + segment):
        try:
            decode_segment(text)
        except RemoteProtocolError as error:
            assert error.status == 400


# -- cookies and forms ---------------------------------------------------------------------------------------------

TOKENS = st.text("!#$%&'*+-.^_`|~abcXYZ019", min_size=1, max_size=8)
COOKIE_VALUES = st.text("".join(chr(n) for n in range(0x21, 0x7F) if chr(n) not in '",;\\'), max_size=12)


@run
@given(st.dictionaries(TOKENS, COOKIE_VALUES, max_size=6))
def test_cookies_that_we_write_are_read_as_they_were(cookies: dict[str, str]) -> None:
    written = "; ".join(format_cookie(name, value).partition(";")[0] for name, value in cookies.items())
    assert parse_cookies(written) == cookies


@run
@given(st.text(max_size=60), st.text(max_size=8), st.text(max_size=8))
def test_no_cookie_text_crashes_and_the_first_value_wins(text: str, name: str, value: str) -> None:
    found = parse_cookies(text)
    for key in found:
        assert parse_cookies(f"{text};{key}=planted")[key] == found[key]
    try:
        written = format_cookie(name, value)
    except LocalProtocolError:
        return
    assert written == f"{name}={value}; Path=/" and written.isprintable()


@run
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=8))
def test_forms_are_read_as_they_were_written(pairs: list[tuple[str, str]]) -> None:
    text = urlencode(pairs, encoding="utf-8", errors="replace")
    read = [(quote_and_back(name), quote_and_back(value)) for name, value in pairs]
    assert parse_pairs(text) == read
    assert parse_form(text) == dict(reversed(read))


def quote_and_back(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


@run
@given(st.text(max_size=60))
def test_no_form_text_crashes(text: str) -> None:
    parse_form(text)
