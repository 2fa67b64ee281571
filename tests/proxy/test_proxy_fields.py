"""What of a head goes on, as tables: hop-by-hop fields, names in disguise, forwarding, variables."""

from __future__ import annotations

import pytest

from plugins.proxy.fields import Variables, answer_head, forwarding, framing, trailer_fields, write_request
from reactor import Headers, Request, ResponseHead
from reactor.http.forwarding import Trust, parse_networks
from reactor.sansio.head import Limits, parse_request_head, parse_response_head

LIMITS = Limits()


def request(
    *lines: str, start: str = "GET /a?b=c HTTP/1.1", host: str = "Shop.test:8080", peer: str = "192.0.2.7",
    field: str = "x-forwarded-for",
) -> Request:  # fmt: skip
    raw = "\r\n".join([start, f"Host: {host}", *lines, "", ""]).encode("latin-1")
    made = Request(parse_request_head(raw, LIMITS), peer, {})
    if made.head.forwarded:
        made.believe(Trust(parse_networks(["10.0.0.0/8", "unix"]), field))
    return made


def passed(asked: Request, overridden: frozenset[str] = frozenset()) -> list[str]:
    return write_request(asked, "us", overridden, []).split("\r\n")[:-1]


def test_a_plain_request_is_the_same_request() -> None:
    assert passed(request("Accept: */*", "X-Thing:  two  words ")) == [
        "GET /a?b=c HTTP/1.1", "Host: Shop.test:8080", "Accept: */*", "X-Thing: two  words", "Via: 1.1 us"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["Connection: close", "Keep-Alive: 5", "Proxy-Connection: keep-alive", "TE: gzip", "Upgrade: h2c",
     "Proxy-Authorization: Basic x", "Content-Length: 0", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Host: evil",
     "X_Forwarded_For: 1.1.1.1", "x-forwarded_proto: https", "Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1",
     "Transfer_Encoding: chunked", "Content_Length: 9", "Keep_Alive: 1", "Proxy: http://evil.test"],
)  # fmt: skip
def test_what_belongs_to_the_connection_or_is_no_clients_to_say_stays_here(line: str) -> None:
    assert passed(request(line)) == ["GET /a?b=c HTTP/1.1", "Host: Shop.test:8080", "Via: 1.1 us"]


@pytest.mark.parametrize(
    ("listed", "field", "stays"),
    [
        ("X-Hop", "X-Hop: gone", False), ("x-HOP, close", "X-Hop: gone", False),
        ("Authorization", "Authorization: Basic x", True),
        ("Cookie", "Cookie: a=b", True), ("host, via", "Via: 1.0 other", True), ("Origin", "Origin: http://x", True),
        ("Cache-Control", "Cache-Control: no-store", True), ("Content-Type", "Content-Type: text/plain", True),
    ],
)  # fmt: skip
def test_connection_takes_away_what_it_may_and_nothing_else(listed: str, field: str, stays: bool) -> None:
    wire = "\n".join(passed(request(f"Connection: {listed}", field)))
    assert (field.split(": ")[1] in wire.split("Host: Shop.test:8080")[1]) is stays
    assert "Host: Shop.test:8080" in wire


@pytest.mark.parametrize(
    ("start", "line"),
    [
        ("GET http://Shop.test:8080/a%2Fb?c HTTP/1.1", "GET /a%2Fb?c HTTP/1.1"),
        ("GET http://shop.test HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://shop.test/%7Ea?x=http://b/? HTTP/1.1", "GET /%7Ea?x=http://b/? HTTP/1.1"),
        ("GET HTTP://shop.test?a HTTP/1.1", "GET /?a HTTP/1.1"),
        ("GET http://shop.test//b HTTP/1.1", "GET //b HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://shop.test HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("GET /%7euser/%41 HTTP/1.1", "GET /%7euser/%41 HTTP/1.1"),
        ("BREW /pot HTTP/1.0", "BREW /pot HTTP/1.1"),
    ],
)
def test_the_target_goes_on_in_origin_form(start: str, line: str) -> None:
    assert passed(request(start=start))[0] == line


def test_the_authority_of_the_target_wins_over_host() -> None:
    assert passed(request(start="GET http://other.test/ HTTP/1.1"))[1] == "Host: other.test"


def test_via_grows() -> None:
    assert passed(request("Via: 1.0 a", "Via: 1.1 b", start="GET / HTTP/1.0"))[-1] == "Via: 1.0 a, 1.1 b, 1.0 us"


@pytest.mark.parametrize(
    ("start", "lines", "upgrade", "expected"),
    [
        ("GET / HTTP/1.1", [], False, ""),
        ("POST / HTTP/1.1", [], False, "Content-Length: 0\r\n"),
        ("GET / HTTP/1.1", ["Content-Length: 0"], False, "Content-Length: 0\r\n"),
        ("GET / HTTP/1.1", ["Content-Length: 007"], False, "Content-Length: 7\r\n"),
        ("PUT / HTTP/1.1", ["Transfer-Encoding: Chunked"], False, "Transfer-Encoding: chunked\r\n"),
        ("GET / HTTP/1.1", ["TE: trailers"], False, "Connection: TE\r\n"),
        ("GET / HTTP/1.1", [], True, "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ],
)
def test_framing_is_our_own(start: str, lines: list[str], upgrade: bool, expected: str) -> None:
    assert framing(request(*lines, start=start).head, upgrade) == expected + "\r\n"


FROM = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "Shop.test:8080",
        "Forwarded": 'for=192.0.2.7;proto=http;host="Shop.test:8080"'}  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "peer", "expected"),
    [
        ([], "192.0.2.7", FROM),
        (["X-Forwarded-For: 1.1.1.1", "Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1"], "192.0.2.7", FROM),
        (["X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https"], "10.0.0.1",
         {"X-Forwarded-For": "1.1.1.1, 10.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "Shop.test:8080",
          "Forwarded": 'for=1.1.1.1, for=10.0.0.1;proto=https;host="Shop.test:8080"'}),
        # what the proxy has not written is the client's, and made anew of what is known
        (["X-Forwarded-For: 9.9.9.9, 1.1.1.1", "Forwarded: for=9.9.9.9", "X-Forwarded-Host: front.test",
          "X-Real-IP: 9.9.9.9"], "10.0.0.1",
         {"X-Forwarded-For": "9.9.9.9, 1.1.1.1, 10.0.0.1", "X-Forwarded-Proto": "http",
          "X-Forwarded-Host": "front.test", "Forwarded": 'for=1.1.1.1, for=10.0.0.1;proto=http;host="Shop.test:8080"'}),
        (["X-Forwarded-For: 1.1.1.1"], "",
         {**FROM, "X-Forwarded-For": "1.1.1.1",
          "Forwarded": 'for=1.1.1.1, for=unknown;proto=http;host="Shop.test:8080"'}),
        ([], "", {name: value.replace("for=192.0.2.7", "for=unknown") for name, value in FROM.items()
                  if name != "X-Forwarded-For"}),
        ([], "2001:db8::1", {**FROM, "X-Forwarded-For": "2001:db8::1",
                             "Forwarded": 'for="[2001:db8::1]";proto=http;host="Shop.test:8080"'}),
    ],
)  # fmt: skip
def test_forwarding_fields_are_set_and_continued_for_trusted_proxies_only(
    lines: list[str], peer: str, expected: dict[str, str]
) -> None:
    text = forwarding(request(*lines, peer=peer), frozenset())
    assert dict(line.split(": ", 1) for line in text.split("\r\n")[:-1]) == expected


def test_where_forwarded_is_the_field_that_counts_the_other_one_is_made_of_it() -> None:
    asked = request(
        "Forwarded: for=9.9.9.9, for=1.1.1.1;proto=https", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Host: evil.test",
        peer="10.0.0.1", field="forwarded",
    )  # fmt: skip
    wire = forwarding(asked, frozenset())
    assert wire.startswith("X-Forwarded-For: 1.1.1.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n")
    assert "Forwarded: for=9.9.9.9, for=1.1.1.1;proto=https, for=10.0.0.1;proto=https;" in wire
    assert "evil.test" not in wire and Variables("$proxy_add_x_forwarded_for").fill(asked) == "1.1.1.1, 10.0.0.1"


def test_what_the_config_sets_replaces_ours_and_theirs() -> None:
    asked = request("X-Own: client's")
    own = [("X-Own", "set"), ("Host", "inner.test")]
    wire = write_request(asked, "us", frozenset({"x-own", "host"}), own)
    assert wire.count("X-Own") == 1 and "X-Own: set" in wire and wire.count("Host") == 1 and "Host: inner.test" in wire
    assert "X-Forwarded-For" not in forwarding(asked, frozenset({"x-forwarded-for"}))


@pytest.mark.parametrize(
    ("text", "value"),
    [("$host", "Shop.test:8080"), ("$HOST", "Shop.test:8080"), ("{{HOST}}", "Shop.test:8080"),
     ("{{ host }}x", "Shop.test:8080x"),
     ("$http_host", "Shop.test:8080"), ("$remote_addr", "192.0.2.7"), ("$scheme", "http"), ("a$", "a$"), ("$5", "$5"),
     ("$proxy_add_x_forwarded_for", "192.0.2.7"), ("plain", "plain")],
)  # fmt: skip
def test_variables(text: str, value: str) -> None:
    assert Variables(text).fill(request()) == value


def answer(text: str, method: str = "GET") -> ResponseHead:
    head = parse_response_head(text.replace("\n", "\r\n").encode() + b"\r\n\r\n", LIMITS, method)
    return answer_head(head, method, "us")


@pytest.mark.parametrize(
    ("text", "method", "length"),
    [
        ("HTTP/1.1 200 OK\nContent-Length: 5", "GET", 5), ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "GET", None),
        ("HTTP/1.1 200 OK", "GET", None), ("HTTP/1.1 200 OK\nContent-Length: 5", "HEAD", 5),
        ("HTTP/1.1 304 Not Modified\nContent-Length: 5", "GET", 5), ("HTTP/1.1 304 Not Modified", "GET", None),
        ("HTTP/1.1 204 No Content", "GET", 0),
    ],
)  # fmt: skip
def test_the_length_of_an_answer(text: str, method: str, length: int | None) -> None:
    assert answer(text, method).length == length


def test_an_answer_loses_what_belongs_to_its_connection() -> None:
    head = answer("HTTP/1.1 200 Fine \nConnection: X-Hop, Set-Cookie\nX-Hop: 1\nKeep-Alive: 5\nSet-Cookie: a=1\n"
                  "Set-Cookie: b=2\nX-End: é\nContent-Length: 0")  # fmt: skip
    assert [pair for pair in head.headers if pair[0] != "Via"] == [
        ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-End", "Ã©")
    ]  # fmt: skip
    assert head.encoded.startswith(b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\n")


def test_trailers_neither_frame_nor_route() -> None:
    trailers = Headers([("X-Sum", "1"), ("Content-Length", "2"), ("Host", "x"), ("Transfer_Encoding", "chunked")])
    assert list(trailer_fields(trailers)) == [("X-Sum", "1")]
