"""Responses are checked when they are made; requests give what the head and the body hold."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from reactor.errors import HTTPError, LocalProtocolError
from reactor.http.events import ServerEvent
from reactor.http.message import JSON, FilePart, Request, Response
from reactor.sansio.head import RequestHead
from reactor.sansio.headers import Headers

BAD_TEXTS = ["a\r\nSet-Cookie: x=1", "a\nb", "a\rb", "a\0b", "a\x1bb", "\x7f", "a€"]


def a_request(body: bytes = b"", **fields: str) -> Request:
    pairs = [("host", "a"), *((name.replace("_", "-"), value) for name, value in fields.items())]
    request = Request(RequestHead("POST", "/x?a=1&b=%C3%BC&a=2", Headers(pairs)), "10.0.0.1", {})
    request.body = body
    return request


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize(
    "make",
    [
        lambda text: Response("", headers=[("X-Thing", text)]),
        lambda text: Response("", headers=[(text, "value")]),
        lambda text: Response("", content_type=text),
        lambda text: Response.redirect(text),
        lambda text: Response.redirect("/next?" + text),
        lambda text: Response.html("", headers=[("Set-Cookie", text)]),
        lambda text: Response.json({}, headers=[("ETag", text)]),
        lambda text: Response.empty(204, [("X-Thing", text)]),
        lambda text: Response("").with_headers(("X-Thing", text)),
        lambda text: Response.sending(FilePart(io.BytesIO(), 0, 0), headers=[("X-Thing", text)]),
    ],
)
def test_a_header_with_a_control_character_is_our_error_at_our_line(make: Callable[[str], Response], text: str) -> None:
    with pytest.raises(LocalProtocolError):
        make(text)


@pytest.mark.parametrize("name", ["", "a b", "a:", "Content-Length", "Transfer-Encoding", "Connection", "Date", "dATE"])
def test_a_header_name_that_is_none_or_the_servers_own_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        Response("", headers=[(name, "1")])


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000, -200])
def test_a_status_that_ends_no_exchange_is_refused(status: int) -> None:
    with pytest.raises(LocalProtocolError):
        Response("", status)


@pytest.mark.parametrize("body", [5, None, {"a": 1}, ["a"], object()])
def test_a_body_that_is_no_text_and_no_bytes_is_an_error_where_it_is_made(body: object) -> None:
    with pytest.raises(TypeError):
        Response(body)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_bytes_of_any_kind_become_bytes(body: bytes) -> None:
    response = Response(body)
    assert response.body == b"abc"
    assert type(response.body) is bytes


def test_text_goes_out_as_utf_8_and_says_so() -> None:
    response = Response("grüß")
    assert response.body == "grüß".encode()
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert Response("x", content_type="text/css").headers["content-type"] == "text/css"
    assert "content-type" not in Response(b"x").headers
    assert Response.html("<p>").headers["content-type"] == "text/html; charset=utf-8"
    assert Response.json({"ü": [1]}).body == '{"ü": [1]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_a_number_that_json_does_not_have_is_an_error_where_it_is_made(value: object) -> None:
    with pytest.raises(ValueError):
        Response.json(value)


def test_a_redirect_is_a_303_unless_said_otherwise() -> None:
    response = Response.redirect("/next?a=%C3%BC")
    assert (response.status, response.headers["location"]) == (303, "/next?a=%C3%BC")
    assert Response.redirect("/", 308).status == 308
    with pytest.raises(LocalProtocolError, match="percent-encoded"):
        Response.redirect("/ü")


def test_with_headers_leaves_the_original_as_it_was() -> None:
    first = Response("x", headers=[("A", "1")])
    second = first.with_headers(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    assert "set-cookie" not in first.headers
    assert second.headers.all("set-cookie") == ["a=1", "b=2"]
    assert second.headers["a"] == "1"
    assert second.headers.all("content-type") == ["text/plain; charset=utf-8"]
    assert second.body == b"x"


def test_a_request_reads_query_cookies_and_form() -> None:
    request = a_request(b"name=J%C3%BCrgen+K&name=2&empty=", cookie="a=1; b=2",
                        content_type="application/x-www-form-urlencoded; charset=utf-8")  # fmt: skip
    assert request.query == {"a": "1", "b": "ü"}
    assert request.cookies == {"a": "1", "b": "2"}
    assert request.form() == {"name": "Jürgen K", "empty": ""}
    assert repr(request) == "<Request POST /x?a=1&b=%C3%BC&a=2 from 10.0.0.1>"


def test_a_body_of_another_type_is_no_form() -> None:
    assert a_request(b"a=1", content_type="application/json").form() == {}
    assert a_request(b"a=1").form() == {"a": "1"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":}', b"1 2", b"9" * 10_000])
def test_what_is_no_json_is_the_clients_fault(body: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        a_request(body).json()
    assert caught.value.status == 400


def test_the_body_of_a_request_must_have_been_read() -> None:
    request = Request(RequestHead("POST", "/", Headers()), "", {}, stream=object())  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match=r"await request\.read"):
        _ = request.body


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (ServerEvent("a"), b"data: a\n\n"),
        (ServerEvent(""), b"data: \n\n"),
        (ServerEvent("a\nb\r\nc\rd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (ServerEvent("x", "tick", "7", 1000), b"event: tick\nid: 7\nretry: 1000\ndata: x\n\n"),
        (ServerEvent("ü"), "data: ü\n\n".encode()),
    ],
)
def test_an_event_is_encoded_line_by_line(event: ServerEvent, wire: bytes) -> None:
    assert event.encode() == wire


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_an_event_whose_name_or_id_has_a_line_break_is_our_error(bad: str) -> None:
    for event in (ServerEvent("", event=bad), ServerEvent("", id=bad)):
        with pytest.raises(LocalProtocolError):
            event.encode()


def test_responses_with_equal_heads_share_them_and_nothing_else() -> None:
    first, second = (Response(body, headers=[("X-A", "b")], content_type=JSON) for body in (b"one", b"two"))
    assert first.head is second.head
    assert (first.body, second.body) == (b"one", b"two")
    assert first.wire(b"Date: x\r\n") != second.wire(b"Date: x\r\n")


@pytest.mark.parametrize("header", [("Set-Cookie", "session=secret"), ("X-A", "b" * 300)])
def test_heads_with_secrets_and_long_ones_are_not_kept(header: tuple[str, str]) -> None:
    first, second = (Response(b"one", headers=[header]) for _ in range(2))
    assert first.head is not second.head
    assert first.wire(b"Date: x\r\n") == second.wire(b"Date: x\r\n")


def test_the_length_that_a_304_tells_is_its_own() -> None:
    assert [Response.empty(304, length=length).head.length for length in (5, None, 7)] == [5, None, 7]
    assert Response.empty(204, length=5).head.length == 0


def test_a_refused_head_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(LocalProtocolError):
            Response(b"", headers=[("X-A", "b\r\nX-B: c")])
