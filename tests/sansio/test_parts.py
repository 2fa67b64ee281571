"""The small parts: headers, targets, cookies, forms, the buffer and the head memo."""

from __future__ import annotations

import pytest

from reactor.errors import LocalProtocolError, RemoteProtocolError
from reactor.sansio.buffer import ReceiveBuffer
from reactor.sansio.cookies import MAX_COOKIES, format_cookie, parse_cookies
from reactor.sansio.forms import MAX_PAIRS, parse_form, parse_pairs
from reactor.sansio.head import parse_request_head
from reactor.sansio.headers import Headers, encode_fields
from reactor.sansio.http1 import NEED_DATA, SERVER, Connection, HeadMemo, Limits, RequestHead
from reactor.sansio.target import Target, decode_segment, normal_path, parse_authority, parse_target

from .cases import get, request


def head_of(*fields: str, target: str = "/") -> RequestHead:
    return parse_request_head(request(f"GET {target} HTTP/1.1", "Host: a", *fields), Limits())


# -- headers -------------------------------------------------------------------------------------------------------


def test_names_compare_without_case_and_lines_keep_their_order() -> None:
    headers = Headers((("Accept", "a"), ("X", "1"), ("ACCEPT", "b")))
    assert headers["accept"] == headers.get("Accept") == "a, b"
    assert headers.all("aCCept") == ["a", "b"] and "x" in headers and "y" not in headers and 5 not in headers
    assert [name for name, _ in headers] == ["Accept", "X", "ACCEPT"] and len(headers) == 3
    assert headers.get("y", "none") == "none" and headers.index["x"] == "1"
    with pytest.raises(KeyError):
        headers["y"]


def test_equal_headers_are_equal_and_hash_alike() -> None:
    one, two = Headers((("A", "b"),)), Headers([("A", "b")])
    assert one == two and hash(one) == hash(two) and one != Headers() and one != (("A", "b"),)
    assert repr(one) == "Headers([('A', 'b')])"


def test_a_list_field_gives_its_members() -> None:
    assert Headers((("Connection", "Keep-Alive,, TE \t,"), ("connection", "x"))).tokens("connection") == [
        "keep-alive", "te", "x"]  # fmt: skip
    assert Headers().tokens("connection") == []


def test_received_fields_are_lowered_and_sent_ones_go_out_as_written() -> None:
    assert list(head_of("X-Up: \t v \xe9 ").headers) == [("host", "a"), ("x-up", "v \xe9")]
    assert encode_fields([("X-Up", "v \xe9"), ("Y", "")]) == b"X-Up: v \xe9\r\nY: \r\n"


def test_a_head_says_what_it_asks_of_the_connection() -> None:
    head = head_of("Connection: Upgrade, close", "Upgrade: WebSocket", "Expect: 100-Continue", "X-Real-IP: b")
    assert (head.upgrade, head.keep_alive, head.expects_continue, head.forwarded) == ("WebSocket", False, True, True)
    head = head_of("Upgrade: websocket")
    assert (head.upgrade, head.keep_alive, head.expects_continue, head.forwarded) == ("", True, False, False)


def test_http_1_0_neither_upgrades_nor_continues() -> None:
    fields = ("Connection: upgrade", "Upgrade: x", "Expect: 100-continue")
    head = parse_request_head(request("GET / HTTP/1.0", *fields), Limits())
    assert (head.upgrade, head.expects_continue) == ("", False)


# -- targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "normal"), [
    ("/login", "/login"), ("/%6Cogin", "/login"), ("/%6cogin", "/login"), ("/a%2fb", "/a%2Fb"), ("/%7Eme", "/~me"),
    ("/%7eme", "/~me"), ("/%c3%a9", "/%C3%A9"), ("/%2561", "/%2561"), ("/%2e%2E/x", "/../x"), ("/%00", "/%00"),
    ("/a+b", "/a+b"), ("/%20", "/%20"), ("/%3F", "/%3F"), ("//x", "//x"),
])  # fmt: skip
def test_paths_have_one_normal_form(path: str, normal: str) -> None:
    assert parse_target("GET", path) == Target(normal, "")
    assert normal_path(normal) == normal


@pytest.mark.parametrize(("segment", "decoded"), [
    ("a", "a"), ("%C3%A9", "é"), ("a%2Fb", "a/b"), ("%2561", "%61"), ("a+b", "a+b"), ("%00", "\0"),
])  # fmt: skip
def test_segments_are_decoded_exactly_once(segment: str, decoded: str) -> None:
    assert decode_segment(segment) == decoded


@pytest.mark.parametrize("segment", ["%FF", "%C3", "%ED%A0%80", "%C0%AF", "%", "%4", "%zz", "\u0142%41"])
def test_segments_that_are_no_utf8_are_refused(segment: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_segment(segment)
    assert caught.value.status == 400


def test_the_four_forms_are_told_apart() -> None:
    assert parse_target("GET", "/a?b?c") == Target("/a", "b?c")
    assert parse_target("GET", "HTTPS://B:1/%61?q") == Target("/a", "q", "B:1", "https")
    assert parse_target("OPTIONS", "*") == Target("*", "")
    assert parse_target("CONNECT", "[::1]:80") == Target("", "", "[::1]:80")


@pytest.mark.parametrize(("text", "parsed"), [
    ("A.example", ("a.example", None)), ("a:80", ("a", 80)), ("a:", ("a", None)), ("a:0", ("a", 0)),
    ("[2001:DB8::1]:65535", ("[2001:db8::1]", 65535)), ("127.0.0.1:8000", ("127.0.0.1", 8000)),
    ("under_score", ("under_score", None)),
])  # fmt: skip
def test_an_authority_is_a_host_and_maybe_a_port(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse_authority(text) == parsed


@pytest.mark.parametrize("text", ["", ":80", "a:b", "a:80:80", "a:99999", "a:000080", "u@a", "a/b", "a b", "a,b", "[a",
                                  "[]", "::1", "a\n", "a:8\n", "a:\u0661", "\xe9", "a%41", 256 * "a"])  # fmt: skip
def test_anything_else_is_no_authority(text: str) -> None:
    for _ in range(2):  # refusals are not remembered, and not forgotten either
        with pytest.raises(RemoteProtocolError):
            parse_authority(text)


# -- cookies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "cookies"), [
    ("", {}), ("a=1", {"a": "1"}), ("a=1; b=2", {"a": "1", "b": "2"}), ("a=1;b=2;", {"a": "1", "b": "2"}),
    ("a=1; a=2", {"a": "1"}), ("a=; a=2", {"a": ""}), ('a="1"', {"a": "1"}), ('a="', {"a": '"'}), ('a=""', {"a": ""}),
    ("a", {}), ("=a", {}), ("a=b=c", {"a": "b=c"}), (" a = 1 ", {"a": "1"}), ("a=1,b=2", {"a": "1,b=2"}),
    ("A=1; a=2", {"A": "1", "a": "2"}), (";;;", {}),
])  # fmt: skip
def test_cookies_are_read_as_browsers_send_them(text: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(text) == cookies


def test_the_first_of_several_cookie_lines_wins() -> None:
    assert head_of("Cookie: a=1; b=2", "Cookie: a=3; c=4").cookies == {"a": "1", "b": "2", "c": "4"}


def test_cookies_are_bounded() -> None:
    text = ";".join(f"c{n}=v" for n in range(MAX_COOKIES * 3))
    assert list(parse_cookies(text)) == [f"c{n}" for n in range(MAX_COOKIES)]


def test_a_cookie_is_written_with_its_attributes() -> None:
    assert format_cookie("a", "1") == "a=1; Path=/"
    assert format_cookie("a", "", max_age=0, path="/x") == "a=; Path=/x; Max-Age=0"
    assert format_cookie("a", "1", max_age=9, http_only=True, same_site="Lax", secure=True) == (
        "a=1; Path=/; Max-Age=9; HttpOnly; SameSite=Lax; Secure")  # fmt: skip


@pytest.mark.parametrize(("name", "value", "path", "same_site"), [
    ("", "1", "/", None), ("a b", "1", "/", None), ("a=", "1", "/", None), ("a;", "1", "/", None),
    ("a\r\n", "1", "/", None), ("\xe9", "1", "/", None), ("a", "1;b", "/", None), ("a", "1 2", "/", None),
    ("a", "1\r\nX: y", "/", None), ("a", '"', "/", None), ("a", "1,2", "/", None), ("a", "\\", "/", None),
    ("a", "\xe9", "/", None), ("a", "\x00", "/", None), ("a", "1", "/;x", None), ("a", "1", "/\n", None),
    ("a", "1", "/\x7f", None), ("a", "1", "/", "lax"), ("a", "1", "/", "Lax\r\n"), ("a\n", "1", "/", None),
    ("a", "1\n", "/", None),
])  # fmt: skip
def test_a_cookie_that_could_be_misread_is_not_written(name: str, value: str, path: str, same_site: str | None) -> None:
    with pytest.raises(LocalProtocolError):
        format_cookie(name, value, path=path, same_site=same_site)


# -- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "pairs"), [
    ("", []), ("a=1&b=2", [("a", "1"), ("b", "2")]), ("a=1&a=2", [("a", "1"), ("a", "2")]), ("a", [("a", "")]),
    ("=1", [("", "1")]), ("a=b=c", [("a", "b=c")]), ("&&a=1&", [("a", "1")]), ("a+b=c%2Bd", [("a b", "c+d")]),
    ("a=%C3%A9", [("a", "é")]), ("a=%ff", [("a", "\ufffd")]), ("a=%zz%", [("a", "%zz%")]),
    ("a=1;b=2", [("a", "1;b=2")]),
    ("a%3Db=%26", [("a=b", "&")]), ("a=é", [("a", "é")]),
])  # fmt: skip
def test_forms_are_read_as_browsers_write_them(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_pairs(text) == pairs


def test_the_first_value_of_a_field_wins() -> None:
    assert parse_form("a=1&b=&a=2&b=3") == {"a": "1", "b": ""}
    assert head_of(target="/?a=1&a=2").query_form == {"a": "1"}


def test_forms_are_bounded() -> None:
    assert len(parse_pairs("&".join(MAX_PAIRS * ["a"]))) == MAX_PAIRS
    for text in ("&".join((MAX_PAIRS + 1) * ["a"]), MAX_PAIRS * "&"):
        with pytest.raises(RemoteProtocolError) as caught:
            parse_form(text)
        assert caught.value.status == 400


# -- the buffer ----------------------------------------------------------------------------------------------------


def test_what_arrives_whole_goes_through_untouched() -> None:
    buffer, data = ReceiveBuffer(), b"some bytes"
    buffer.feed(data)
    assert buffer.take(100) is data and not buffer
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    buffer.feed(head)
    assert buffer.take_head(len(head) - 1) is None and len(buffer) == len(head)
    assert buffer.take_head(len(head)) is head and not buffer
    buffer.feed(head + b"more")
    assert buffer.take_head(100) == head and len(buffer) == 4
    buffer.feed(b"\r\n\r\n" + head)
    assert buffer.take_head(100) == b"more\r\n\r\n" and buffer.take_head(100) == head and not buffer
    buffer.feed(b"\r\n" + head)
    assert buffer.take_head(100) is None and len(buffer) == len(head) + 2


def test_a_buffer_that_is_never_empty_does_not_grow_for_ever() -> None:
    buffer, head = ReceiveBuffer(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    buffer.feed(head[:10])
    for _ in range(10_000):
        buffer.feed(head[10:] + head[:10])
        assert buffer.take_head(100) == head
    assert len(buffer._data) < 200_000


def test_pieces_are_joined_and_offsets_count_from_the_first_unread_byte() -> None:
    buffer = ReceiveBuffer()
    for piece in (b"abc", b"", b"def", b"ghi"):
        buffer.feed(piece)
    buffer.skip(2)
    assert len(buffer) == 7
    assert buffer.find(b"de") == 1 and buffer.find(b"de", 2) == -1 and buffer.find(b"de", 0, 2) == -1
    assert buffer.peek(3) == b"cde" and buffer.take(3) == b"cde" and buffer.take(99) == b"fghi" and len(buffer) == 0


def test_the_buffer_lets_go_of_what_was_read() -> None:
    buffer = ReceiveBuffer()
    for _ in range(200):
        buffer.feed(10_000 * b"x")
        buffer.feed(b"rest")
        assert len(buffer.take(10_000)) == 10_000
        assert len(buffer._data) < 100_000
    assert len(buffer) == 800


# -- the head memo -------------------------------------------------------------------------------------------------


def heads(count: int, size: int = 0) -> list[bytes]:
    return [get(f"X: {n}" + size * "x") for n in range(count)]


def twice(memo: HeadMemo, raw: bytes) -> RequestHead:
    """The second time a head comes, it is kept."""
    memo.parse(raw)
    return memo.parse(raw)


def test_an_equal_head_is_the_same_head_from_the_second_on() -> None:
    memo = HeadMemo(Limits())
    first = twice(memo, get())
    for _ in range(2):
        server = Connection(SERVER, memo=memo)
        server.receive_data(get())
        assert server.next_event() is first


def test_the_memo_is_bounded_in_entries_and_in_bytes() -> None:
    few, small = HeadMemo(Limits(), entries=4), HeadMemo(Limits(), size=1000)
    for raw in heads(100, 50):
        twice(few, raw)
        twice(small, raw)
        for memo in (few, small):
            assert len(memo.young) <= 4 or memo is small
            assert len(memo._old) <= 4 or memo is small
        for generation in (small.young, small._old):
            assert sum(map(len, generation)) <= 1000
    assert few._old and small._old


def test_common_heads_survive_a_flood_of_unique_ones() -> None:
    memo = HeadMemo(Limits(), entries=8)
    common = twice(memo, get())
    for raw in heads(200):
        twice(memo, raw)
        assert memo.parse(get()) is common


def test_a_flood_of_unique_heads_leaves_nothing_behind() -> None:
    memo = HeadMemo(Limits(), entries=8)
    for raw in heads(200):
        memo.parse(raw)
    assert not memo.young and not memo._old and len(memo._seen) <= 8


def test_a_large_head_is_not_kept() -> None:
    memo = HeadMemo(Limits())
    twice(memo, get("X: " + HeadMemo.LARGEST * "x"))
    assert not memo.young


def test_a_refused_head_is_refused_again_and_not_kept() -> None:
    memo = HeadMemo(Limits())
    for _ in range(3):
        with pytest.raises(RemoteProtocolError):
            memo.parse(get("Host: b"))
    assert not memo.young


def test_no_memo_keeps_nothing() -> None:
    server = Connection(SERVER)
    server.receive_data(get())
    server.next_event()
    assert not server._memo.young and not server._memo._old


def test_a_connection_with_a_memo_has_its_limits() -> None:
    memo = HeadMemo(Limits(fields=1))
    server = Connection(SERVER, memo=memo)
    server.receive_data(get("X: y"))
    with pytest.raises(RemoteProtocolError) as caught:
        server.next_event()
    assert caught.value.status == 431
    idle = Connection(SERVER, memo=memo)
    assert idle.next_event() is NEED_DATA
