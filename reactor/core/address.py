"""Addresses: what people write, what a socket takes, whether it is of this machine only, and whose it may be."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final, NamedTuple

UNIX: Final = "unix:"


class Address(NamedTuple):
    """Where to listen or dial: a literal IP address or a name, and a port. Of a Unix socket: `unix:PATH`, and 0."""

    host: str
    port: int

    @property
    def path(self) -> str:
        """Of a Unix socket; "" of all others."""
        return self.host[len(UNIX) :] if self.host.startswith(UNIX) else ""

    def __str__(self) -> str:
        if self.path:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = 0) -> Address:
    """`127.0.0.1:8000`, `[::1]:8000`, `localhost:80`; ValueError, in words, for anything else."""
    match = _address.fullmatch(text.strip())
    if match is None or (match.group(2) or "").isdigit():  # a port alone would be taken for an address
        raise ValueError(f"{text!r} is not HOST:PORT (such as 127.0.0.1:8000 or [::1]:8000)")
    host = match.group(1) or match.group(2)
    if not _may_be_host(host):
        raise ValueError(f"{host!r} is no IP address")
    port = int(match.group(3)) if match.group(3) else default_port
    if port > 65535:
        raise ValueError(f"port {port} is above 65535")
    return Address(host, port)


def _may_be_host(text: str) -> bool:
    """An address, or what a name could be: of one that ends with a number nobody looks it up (RFC 3696, section 2)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ":" not in text and not text.rpartition(".")[2].isdigit()
    return True


_address = re.compile(r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")


def peer_text(peer: object) -> str:
    """Who a socket is connected to, as a log has it; `peer` is what `accept` says."""
    return str(Address(*peer[:2])) if isinstance(peer, tuple) else "a Unix socket"


def is_loopback(host: str) -> bool:
    """Whether an address, as text, is of this machine only; a name is not, but for localhost."""
    if host == "127.0.0.1":  # asked for every request, and parsing costs 4 us
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


# Networks that are nobody's on the internet (RFC 4193, RFC 4291).
_LOCAL: Final = [ipaddress.IPv6Network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]


@lru_cache(4096)
def network_of(address: str) -> str:
    """Whose requests are counted together where there is a bound for each client: an IPv4 address, or the /64 of an
    IPv6 one, in which everybody has as many addresses as he likes. In networks that are nobody's on the internet that
    would be everybody: there, the address. What is none is left as it is.
    """
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    number = getattr(number, "ipv4_mapped", None) or number
    if isinstance(number, ipaddress.IPv4Address) or any(number in network for network in _LOCAL):
        return str(number)
    return str(ipaddress.IPv6Network((number, 64), strict=False))
