"""Who a request is from, when it came through proxies: the table of what is believed, and of what is only claimed."""

from __future__ import annotations

import pytest

from reactor.errors import RemoteProtocolError
from reactor.http.forwarding import Trust, claimed_clients, parse_networks, plain_address
from reactor.http.hosts import Hosts
from reactor.http.message import Response
from reactor.http.router import Route, RouteError
from reactor.sansio.headers import Headers


def headers(text: str) -> Headers:
    lines = (line.partition(":") for line in text.splitlines())
    return Headers([(name, value.strip()) for name, _, value in lines])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("X-Forwarded-For: 10.0.0.1, 127.0.0.1", ["10.0.0.1", "127.0.0.1"]),
        ("X-Forwarded-For: 10.0.0.1:4711", ["10.0.0.1"]),
        ("X-Forwarded-For: [2001:db8::1]:4711, ::1", ["2001:db8::1", "::1"]),
        ("X-Forwarded-For: ,", []),
        ("X-Forwarded-For: 127.0.0.1.evil.example", [""]),
        ("X-Real-IP: 10.0.0.1", ["10.0.0.1"]),
        ('Forwarded: for="[2001:db8::1]:4711";proto=http, for=10.0.0.1', ["2001:db8::1", "10.0.0.1"]),
        ("Forwarded: proto=http;FOR = 10.0.0.1 ;by=127.0.0.1", ["10.0.0.1"]),
        ("Forwarded: for=unknown, for=_hidden", ["", ""]),
        ("Forwarded: by=127.0.0.1;host=for.example", []),
        ("Forwarded: 127.0.0.1", [""]),
    ],
)
def test_the_addresses_that_are_claimed_are_read_in_every_spelling(line: str, expected: list[str]) -> None:
    assert claimed_clients(headers(line)) == expected


NETWORKS = ["10.0.0.0/8", "127.0.0.1", "2001:db8:ffff::/48"]
FOR, OTHER = "X-Forwarded-For: 203.0.113.9", "Forwarded: for=8.8.8.8"
SPOOFED = "X-Forwarded-For: 127.0.0.1, 203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "lines", "client", "secure", "believed"),
    [
        ("10.1.1.1", FOR, "203.0.113.9", False, True),
        ("192.168.1.1", FOR, "192.168.1.1", False, False),  # who is that?
        ("10.1.1.1", SPOOFED, "203.0.113.9", False, True),  # what stands before an untrusted hop is that hop's word
        ("10.1.1.1", FOR + ", 10.2.2.2, 127.0.0.1", "203.0.113.9", False, True),
        ("10.1.1.1", "X-Forwarded-For: 10.9.9.9", "10.9.9.9", False, True),  # all trusted: the first there is
        ("10.1.1.1", "X-Forwarded-For: unknown", "10.1.1.1", False, True),
        ("10.1.1.1", "X-Forwarded-For: unknown, 10.2.2.2", "10.2.2.2", False, True),
        ("10.1.1.1", OTHER, "10.1.1.1", False, False),  # not the field that the proxies are known to write
        ("10.1.1.1", FOR + "\n" + OTHER, "203.0.113.9", False, True),
        ("::ffff:10.1.1.1", FOR, "203.0.113.9", False, True),
        ("2001:db8:ffff::1", FOR, "203.0.113.9", False, True),
        ("2001:db8::1", FOR, "2001:db8::1", False, False),
        ("10.1.1.1", FOR + "\nX-Forwarded-Proto: https", "203.0.113.9", True, True),
        ("10.1.1.1", FOR + "\nX-Forwarded-Proto: https, http", "203.0.113.9", False, True),
        ("8.8.8.8", FOR + "\nX-Forwarded-Proto: https", "8.8.8.8", False, False),
        ("", FOR, "", False, False),
    ],
)
def test_of_forwarding_fields_only_those_of_trusted_proxies_count(
    peer: str, lines: str, client: str, secure: bool, believed: bool
) -> None:
    trust = Trust(parse_networks(NETWORKS))
    assert trust.resolve(peer, False, headers(lines)) == (client, secure, "x-forwarded-for" if believed else "")


@pytest.mark.parametrize(
    ("lines", "client", "secure"),
    [
        ("Forwarded: for=203.0.113.9;proto=https", "203.0.113.9", True),
        ('Forwarded: for="[2001:db8::9]:80", for=10.2.2.2;proto=http', "2001:db8::9", False),
        ('Forwarded: for="x,for=127.0.0.1", for=203.0.113.9', "203.0.113.9", False),
        ("X-Forwarded-For: 8.8.8.8", "10.1.1.1", False),
    ],
)
def test_the_standard_field_can_be_the_one_that_counts(lines: str, client: str, secure: bool) -> None:
    trust = Trust(parse_networks(NETWORKS), "forwarded")
    believed = "forwarded" if "Forwarded: for" in lines and "X-" not in lines else ""
    assert trust.resolve("10.1.1.1", False, headers(lines)) == (client, secure, believed)


def test_without_trusted_networks_nothing_is_believed() -> None:
    assert Trust().resolve("127.0.0.1", True, headers(FOR)) == ("127.0.0.1", True, "")


@pytest.mark.parametrize(
    ("text", "plain"),
    [("192.0.2.7", "192.0.2.7"), ("192.0.2.7:80", "192.0.2.7"), ('"[2001:DB8::1]:80"', "2001:db8::1"),
     ("2001:db8::1", "2001:db8::1"), ("localhost", ""), ("", ""), ("1.2.3", "")],
)  # fmt: skip
def test_an_address_in_every_form(text: str, plain: str) -> None:
    assert plain_address(text) == plain


def test_a_network_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"such as 10\.0\.0\.0/8"):
        parse_networks(["10.0.0.1/8"])


# -- hosts -----------------------------------------------------------------------------------------------------------


def hosts(*names: str) -> Hosts:
    made = Hosts()
    for name in names:
        made.add(name, Route((), name, lambda request: Response("")))
    return made


@pytest.mark.parametrize(
    ("names", "asked", "found"),
    [
        (["a.test:8080", "a.test"], "a.test:8080", "a.test:8080"),  # the exact one first
        (["a.test", "a.test:8080"], "a.test:8080", "a.test:8080"),
        (["A.Test"], "a.test", "A.Test"),
        (["a.test"], "a.test:9", "a.test"),
        (["a.test:8080"], "a.test", "a.test:8080"),
        (["a.test:8080"], "a.test:9", None),
        (["a.test"], "b.test", None),
        (["[::1]:8080"], "[::1]:8080", "[::1]:8080"),
        (["[::1]"], "[::1]:1", "[::1]"),
        (["a.test"], "", None),
        (["a.test:8080"], "a.test:08080", "a.test:8080"),
        (["a.test"], "a.test:", "a.test"),
    ],
)
def test_a_host_is_found_by_its_name(names: list[str], asked: str, found: str | None) -> None:
    route = hosts(*names).find(asked)
    assert (route.pattern if route else None) == found


@pytest.mark.parametrize("name", ["", "a b", "http://a", "a:99999", "a/b", "*"])
def test_what_is_no_host_is_refused(name: str) -> None:
    with pytest.raises((RouteError, RemoteProtocolError)):
        hosts(name)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(RouteError, match="already"):
        hosts("a.test:80", "A.test:80")
