"""Who a request is from when it has come through proxies: their word counts as far as they are trusted, and no further.

    peer (the socket)  <-  X-Forwarded-For: client, proxy 1, proxy 2   read from the right while the hop is trusted

Anybody can write these fields, so only what a trusted network has sent is read, and of that only the field that is
named: a proxy that appends to one of them usually passes the others on as it got them. All who ask where a request is
from (rules, limits, logs) ask `Request.client`, which is made here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple, TypeAlias

from reactor.sansio.headers import Headers

Network: TypeAlias = IPv4Network | IPv6Network | Literal["unix"]
UNIX: Final = "unix"  # whoever comes through a Unix socket, which has no address
X_FORWARDED_FOR: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"
# More hops than this are somebody's attempt to keep us busy.
MOST_HOPS: Final = 32

# RFC 7239 4: pairs of token and value, a value as token or quoted; `,` parts the hops, `;` the pairs of one.
_hop = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_pair = re.compile(r'(?:^|;)[ \t]*([A-Za-z-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;" \t]*)[ \t]*(?=;|$)')


class Hop(NamedTuple):
    """What one proxy says of whom it took the request from: an address, if it is one, and its scheme, if it says so."""

    address: str
    scheme: str = ""


class Whence(NamedTuple):
    """`believed` is the field that says so, in lower case, which a trusted proxy has written; "" if none was there."""

    client: str
    secure: bool
    believed: str


class Trust:
    """Which proxies are believed, and which field of theirs."""

    def __init__(self, networks: Sequence[Network] = (), field: str = X_FORWARDED_FOR) -> None:
        self._networks = tuple(network for network in networks if network != UNIX)
        self._trusts_unix = UNIX in networks
        self._field = field
        self.covers = lru_cache(1024)(self._covers)

    def _covers(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        if not address:
            return self._trusts_unix
        try:
            number = ip_address(address)
        except ValueError:
            return False
        if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
            number = number.ipv4_mapped
        return any(number in network for network in self._networks if network.version == number.version)

    def resolve(self, peer: str, secure: bool, headers: Headers) -> Whence:
        """Who sent a request that came from `peer` with these fields: the first hop from the right, our peer included,
        that is no trusted proxy, or the last one that is known at all.
        """
        hops = self._hops(headers) if self.covers(peer) else ()
        if not hops:
            return Whence(peer, secure, "")
        client = peer
        for hop in reversed(hops):
            if not hop.address:
                break
            client = hop.address
            if not self.covers(client):
                break
        scheme = hops[-1].scheme
        return Whence(client, scheme == "https" if scheme else secure, self._field)

    def _hops(self, headers: Headers) -> Sequence[Hop]:
        if self._field == FORWARDED:
            return forwarded_hops(headers)[-MOST_HOPS:]
        schemes = headers.tokens("x-forwarded-proto")
        scheme = schemes[-1] if schemes else ""
        return [Hop(address, scheme) for address in _list(headers, X_FORWARDED_FOR)][-MOST_HOPS:]


def forwarded_hops(headers: Headers) -> list[Hop]:
    """The elements of Forwarded (RFC 7239)."""
    return [Hop(plain_address(pairs.get("for", "")), pairs.get("proto", "").lower()) for pairs in _elements(headers)]


def _elements(headers: Headers) -> list[dict[str, str]]:
    found = _hop.findall(headers.get(FORWARDED))
    return [
        {name.lower(): value.strip('"') for name, value in _pair.findall(element.strip(" \t"))} for element in found
    ]


def claimed_clients(headers: Headers) -> list[str]:
    """All that the forwarding fields name, whoever wrote them; "" for what is no address. For rules that want none of
    these to be somebody else.
    """
    elements = _elements(headers)
    named = [plain_address(pairs["for"]) for pairs in elements if "for" in pairs]
    if any(not pairs for pairs in elements):  # who can say what that is?
        named.append("")
    return [*named, *_list(headers, X_FORWARDED_FOR), *_list(headers, "x-real-ip")]


def _list(headers: Headers, name: str) -> list[str]:
    return [plain_address(text) for text in headers.tokens(name)]


def plain_address(text: str) -> str:
    """`192.0.2.7`, `192.0.2.7:80`, `[2001:db8::1]:80` -> the address alone, in its usual form; "" if it is none."""
    text = text.strip(' \t"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """`10.0.0.0/8`, `::1`, `127.0.0.1`, `unix`; ValueError, in words, for what is none."""
    try:
        return [UNIX if text == UNIX else ip_network(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"is a list of networks, such as 10.0.0.0/8, and of `unix`: {error}") from None


NO_TRUST: Final = Trust()
