"""The listener that only leads to HTTPS: where to, for whom, and nothing else."""

from __future__ import annotations

import pytest
from http_wire import Client, Wire

from reactor.certificate import make_certificate, write_pair
from reactor.core.certificates import ServerTLS
from reactor.http.handed import Claims
from reactor.http.redirection import RedirectedConnection, Redirection
from reactor.http.server import Site
from reactor.testing import MemoryTransport


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTLS:
    directory = tmp_path_factory.mktemp("tls")
    files = directory / "cert.pem", directory / "key.pem"
    write_pair(make_certificate(("example.org", "*.rooms.example", "192.168.1.4", "fd00::1")), *files)
    return ServerTLS([files])


class Redirected(Client):
    """A client of such a listener; on the same server a route would answer."""

    def __init__(self, tls: ServerTLS, port: int = 8443, claims: Claims | None = None) -> None:
        self.wire = Wire()
        self.wire.route("GET POST", "/a", lambda request: pytest.fail("a route was reached"))
        if claims is not None:
            self.wire.server.site = Site(self.wire.router, self.wire.settings, claims)
        self.connection = RedirectedConnection(self.wire.server, Redirection(tls, port))
        self.transport = MemoryTransport(self.wire.reactor, self.connection)
        self.methods: list[str] = []


@pytest.mark.parametrize(
    ("host", "target", "port", "location"),
    [
        ("example.org", "/", 443, "https://example.org/"),
        ("example.org:80", "/a?b=c&d=%2F", 8443, "https://example.org:8443/a?b=c&d=%2F"),
        ("EXAMPLE.org", "/a%2fb//c?http://x/", 443, "https://example.org/a%2Fb//c?http://x/"),
        ("blue.rooms.example:8080", "/", 443, "https://blue.rooms.example/"),
        ("192.168.1.4", "/x", 8443, "https://192.168.1.4:8443/x"),
        ("[FD00:0::1]:80", "/", 443, "https://[fd00:0::1]/"),
        ("example.org", "//evil.example/x", 443, "https://example.org//evil.example/x"),
        ("example.org", "/\\evil.example", 443, "https://example.org/\\evil.example"),
        ("evil.example", "http://example.org/x?y", 443, "https://example.org/x?y"),
    ],
)
def test_host_path_and_query_are_kept(tls: ServerTLS, host: str, target: str, port: int, location: str) -> None:
    client = Redirected(tls, port)
    client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.headers["location"], answer.keeps) == (308, location, False)
    assert answer.headers["cache-control"] == "no-cache"
    assert client.wire.access == [(target, 308, 0)]


@pytest.mark.parametrize(
    ("start", "host", "status"),
    [
        ("GET / HTTP/1.1", "evil.example", 421),
        ("GET http://evil.example/ HTTP/1.1", "example.org", 421),
        ("GET / HTTP/1.1", "example.org.evil.example", 421),
        ("GET / HTTP/1.1", "a.b.rooms.example", 421),
        ("GET / HTTP/1.1", "rooms.example", 421),
        ("GET / HTTP/1.1", "192.168.1.5", 421),
        ("GET / HTTP/1.1", "example.org@evil.example", 400),
        ("GET / HTTP/1.1", "example.org/evil", 400),
        ("GET http://example.org@evil.example/ HTTP/1.1", "example.org", 400),
        ("GET / HTTP/1.1", "", 400),
        ("OPTIONS * HTTP/1.1", "example.org", 400),
        ("CONNECT evil.example:443 HTTP/1.1", "example.org", 400),
    ],
)
def test_nobody_is_led_to_another_host(tls: ServerTLS, start: str, host: str, status: int) -> None:
    client = Redirected(tls)
    client.send(f"{start}\r\nHost: {host}\r\n\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.keeps) == (status, False)
    assert "location" not in answer.headers
    assert client.is_closed


def test_a_request_of_http_1_0_that_names_no_host_is_led_nowhere(tls: ServerTLS) -> None:
    client = Redirected(tls)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.answer().status == 421


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /a HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /a HTTP/1.1\r\nHost: example.org\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\nGET /a HTTP/1.1\r\nHost: example.org\r\n\r\n",
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_it_answers_once_and_takes_no_body(tls: ServerTLS, raw: bytes, apart: bool) -> None:
    client = Redirected(tls)
    (client.send_apart if apart else client.send)(raw)
    [answer] = client.answers()
    assert (answer.status, answer.headers["location"]) == (308, "https://example.org:8443/a")
    assert client.is_closed


def test_no_protocol_of_a_plugin_is_spoken_there(tls: ServerTLS) -> None:
    client = Redirected(tls, claims={ord("{"): lambda address: pytest.fail("it was handed over")})
    client.send(b'{"kind":"hello"}\r\n\r\n')
    assert client.answer().status == 400


def test_its_deadlines_are_those_of_every_connection(tls: ServerTLS) -> None:
    client = Redirected(tls)
    client.send(b"GET / HTTP/1.1\r\nHo")
    client.advance(10)
    assert client.answer().status == 408
    assert client.wire.server.reached["head_timeout"] == 1
    silent = Redirected(tls)
    silent.advance(10)
    assert silent.is_closed and silent.wire.server.reached["first_byte"] == 1
