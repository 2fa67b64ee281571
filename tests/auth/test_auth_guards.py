from __future__ import annotations

import base64

import pytest

from plugins.auth.guards import fence, host_check, parse_basic, same_origin
from plugins.auth.service import State
from plugins.auth.store import Store
from reactor import HTTPError, Request, is_foreign
from reactor.sansio.head import Limits, parse_request_head


def request(method: str = "POST", *lines: str, host: str = "chat.lan:8000", client: str = "127.0.0.1",
            secure: bool = False) -> Request:  # fmt: skip
    raw = "\r\n".join([f"{method} / HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")
    return Request(parse_request_head(raw, Limits()), client, {}, secure=secure)


# -- same origin -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        ("chat.lan:8000", []),
        ("chat.lan:8000", ["Origin: http://chat.lan:8000"]),
        ("CHAT.lan:8000", ["Origin: http://chat.LAN:8000"]),
        ("chat.lan:8000", ["Origin: http://chat.lan:8000", "Sec-Fetch-Site: same-origin"]),
        ("chat.lan:8000", ["Sec-Fetch-Site: none"]),
        ("chat.lan", ["Origin: http://chat.lan"]),
        ("chat.lan:80", ["Origin: http://chat.lan"]),
        ("chat.lan", ["Origin: http://chat.lan:80"]),
        ("chat.lan", ["Origin: https://chat.lan"]),  # a proxy in front of us ends TLS
        ("chat.lan:443", ["Origin: https://chat.lan"]),
        ("[::1]:8000", ["Origin: http://[::1]:8000"]),
        ("[::1]", ["Origin: http://[::1]"]),
    ],
)
def test_our_own_pages_and_what_is_no_browser_may_change_things(host: str, lines: list[str]) -> None:
    assert not is_foreign(request("POST", *lines, host=host))


@pytest.mark.parametrize(
    "lines",
    [
        ["Origin: http://evil.example"],
        ["Origin: http://chat.lan"],
        ["Origin: http://chat.lan:9000"],
        ["Origin: http://chat.lan:80001"],
        ["Origin: http://xchat.lan:8000"],
        ["Origin: http://chat.lan:8000.evil.example"],
        ["Origin: http://chat.lan:8000@evil.example"],
        ["Origin: null"],
        ["Origin:"],
        ["Origin: chat.lan:8000"],
        ["Origin: ftp://chat.lan:8000"],
        ["Origin: http://chat.lan:8000", "Origin: http://evil.example"],
        ["Origin: http://chat.lan:8000, http://evil.example"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site"],
        ["Sec-Fetch-Site: something-new"],
        ["Sec-Fetch-Site: cross-site", "Origin: http://chat.lan:8000"],
        ["Sec-Fetch-Site: same-origin", "Origin: http://evil.example"],
        ["Sec-Fetch-Site: none, cross-site"],
    ],
)
def test_another_site_may_not(lines: list[str]) -> None:
    foreign = request("POST", "Cookie: a=b", *lines)
    assert is_foreign(foreign)
    with pytest.raises(HTTPError) as caught:
        same_origin(foreign)
    assert caught.value.status == 403


def test_an_origin_without_a_host_to_compare_it_with_is_foreign() -> None:
    raw = b"POST / HTTP/1.0\r\nOrigin: http://\r\n\r\n"
    assert is_foreign(Request(parse_request_head(raw, Limits()), "127.0.0.1", {}))


def test_under_tls_the_same_host_without_tls_is_another_site() -> None:
    assert is_foreign(request("POST", "Origin: http://chat.lan", host="chat.lan", secure=True))
    assert not is_foreign(request("POST", "Origin: https://chat.lan", host="chat.lan", secure=True))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_from_another_site_is_allowed(method: str) -> None:
    same_origin(request(method, "Cookie: a=b", "Sec-Fetch-Site: cross-site"))


def test_without_a_login_in_it_a_foreign_request_can_abuse_none() -> None:
    same_origin(request("POST", "Sec-Fetch-Site: cross-site"))
    with pytest.raises(HTTPError):  # browsers remember Basic logins and send them as they send cookies
        same_origin(request("POST", "Sec-Fetch-Site: cross-site", "Authorization: Basic YTpi"))


# -- Basic -----------------------------------------------------------------------------------------------------------


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (basic("ann:secret"), ("ann", "secret")),
        (basic("Zoë:pässword"), ("Zoë", "pässword")),
        (basic("ann:a:b:c"), ("ann", "a:b:c")),
        (basic(":"), ("", "")),
        (basic("ann:secret").replace("Basic", "bAsIC "), ("ann", "secret")),
    ],
)
def test_basic_is_read_as_utf_8_up_to_its_first_colon(text: str, expected: tuple[str, str]) -> None:
    assert parse_basic(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "Basic", "Basic ", "Basic !!!!", "Basic YW5u", "Basic YTp", "Bearer YTpi", "Basic YTpi YTpi",
     "Basic /////w==", "Basic \xff\xfe", basic("ann:x")[:-1]],
)  # fmt: skip
def test_what_is_no_basic_login_is_nobody(text: str) -> None:
    assert parse_basic(text) is None


# -- the demo login's fence ------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: object) -> State:
    return State(Store(tmp_path / "auth.db"))  # type: ignore[operator]


@pytest.mark.parametrize(
    "line",
    ["X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 127.0.0.1, 10.0.0.1", "X-Real-IP: 192.168.1.7",
     "Forwarded: for=unknown", 'Forwarded: for="[2001:db8::1]"', "X-Forwarded-For: 127.0.0.1.evil.example",
     "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 10.0.0.1"],
)  # fmt: skip
def test_with_the_demo_login_nobody_from_elsewhere_comes_through_a_proxy(state: State, line: str) -> None:
    guard = fence(state, reference=False)
    guard(request("GET", *line.split("\r\n")))
    state.demo = True
    with pytest.raises(HTTPError, match="passwd admin") as caught:
        guard(request("GET", *line.split("\r\n")))
    assert caught.value.status == 403


@pytest.mark.parametrize("line", ["X-Forwarded-For: 127.0.0.1", 'Forwarded: for="[::1]:80"', "X-Real-IP: ::1", "A: b"])
def test_clients_on_this_machine_come_through(state: State, line: str) -> None:
    state.demo = True
    for client in ("127.0.0.1", "127.0.0.2", "::1"):
        fence(state, reference=True)(request("GET", line, client=client))


def test_nobody_from_elsewhere_comes_directly(state: State) -> None:
    state.demo = True
    with pytest.raises(HTTPError, match="passwd admin"):
        fence(state, reference=False)(request("GET", client="192.168.1.7"))


@pytest.mark.parametrize("client", ["127.0.0.1", "192.168.1.7"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_the_fence_lets_no_other_site_change_anything_with_a_cookie(state: State, method: str, client: str) -> None:
    guard = fence(state, reference=False)
    with pytest.raises(HTTPError, match="another site"):
        guard(request(method, "Cookie: a=b", "Origin: http://evil.example", client=client))
    guard(request(method, "Cookie: a=b", "Origin: http://chat.lan:8000", client=client))
    guard(request(method, "Cookie: a=b", client=client))
    guard(request(method, "Origin: http://evil.example", "Authorization: Bearer x", client=client))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_the_fence_lets_another_site_read(state: State, method: str) -> None:
    fence(state, reference=False)(request(method, "Cookie: a=b", "Sec-Fetch-Site: cross-site"))


def test_the_reference_scheme_is_fenced_with_its_own_words(state: State) -> None:
    with pytest.raises(HTTPError, match="scheme = session"):
        fence(state, reference=True)(request("GET", "X-Real-IP: 10.0.0.1"))


# -- the name of this machine ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "chat.localhost:80", "127.0.0.1", "127.9.9.9:8000", "[::1]", "[::1]:8000"]
)
def test_a_password_that_everybody_knows_opens_under_a_name_of_this_machine(state: State, host: str) -> None:
    state.demo = True
    host_check(state, reference=False)(request(host=host))


def test_a_request_of_http_1_0_needs_no_name(state: State) -> None:
    raw = b"POST /login HTTP/1.0\r\n\r\n"
    host_check(state, reference=True)(Request(parse_request_head(raw, Limits()), "127.0.0.1", {}))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost",
     "192.168.1.7", "0.0.0.0:8000", "[::]", "[2001:db8::1]:8000"],
)  # fmt: skip
def test_it_does_not_under_another_name(state: State, host: str) -> None:
    check = host_check(state, reference=False)
    check(request(host=host))  # nobody knows the password
    state.demo = True
    with pytest.raises(HTTPError, match=r"localhost.*passwd admin") as caught:
        check(request(host=host))
    assert caught.value.status == 403


def test_the_target_of_a_request_names_the_host_too(state: State) -> None:
    raw = b"POST http://evil.example/login HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with pytest.raises(HTTPError, match="scheme = session"):
        host_check(state, reference=True)(Request(parse_request_head(raw, Limits()), "127.0.0.1", {}))
