"""Names and addresses as clients claim them, checked once before anything else looks at them.

A name (of a peer, a user, a channel) is 1 to 64 printable characters. "Printable" is `str.isprintable`: it refuses
control characters, line breaks, lone surrogates and the invisible format characters that reorder a line of text, so
a name that was accepted can be shown and logged as it is.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final, NamedTuple

from .refused import Refused

MAX_NAME: Final = 64
# A message between peers says in `channel` how it was delivered: one of these, or the name of a channel.
RESERVED: Final = frozenset({"direct", "broadcast"})
MAX_PASSWORD: Final = 256  # hashing takes the same time for any length; this only bounds what waits in the queue
LONGEST_IP: Final = 45 + 16  # eight groups with a dotted quad at the end, and the name of an interface

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


def check_name(text: str, path: str) -> str:
    if len(text) > MAX_NAME:
        raise Refused("too_long", f"longer than {MAX_NAME} characters", path)
    if not text or not text.isprintable():
        raise Refused("invalid", "must be printable characters, and at least one", path)
    return text


def check_channel(text: str, path: str) -> str:
    if text in RESERVED:
        raise Refused("invalid", f'"{text}" is no name for a channel: peers call a way of delivery so', path)
    return check_name(text, path)


def check_password(text: str, path: str) -> str:
    if len(text) > MAX_PASSWORD:
        raise Refused("too_long", f"longer than {MAX_PASSWORD} characters", path)
    if not text:
        raise Refused("invalid", "must not be empty", path)
    return text


def dialable_ip(claimed: str | None, client: str) -> str:
    """The address that others can dial: the claimed one in its shortest form, or that of `client` where nothing or
    an unspecified address was claimed (nobody can dial 0.0.0.0).
    """
    host = _parse(claimed) if claimed else None
    if claimed and (host is None or not host.is_one):
        raise Refused("invalid", "must be the IP address of one host, without a port", "$.ip")
    if host is None or host.is_unspecified:
        host = _parse(client)
    if host is None:
        raise Refused("invalid", "is needed: the address this request came from is not known", "$.ip")
    return host.text


def plain_ip(text: str) -> str:
    """An address in its shortest form, so that one client is counted as one; other text as it is."""
    host = _parse(text)
    return text if host is None else host.text


def split_address(text: str) -> tuple[str, int] | None:
    """`192.168.1.3:9101` or `[fe80::1]:9101` taken apart; None if it is neither."""
    ip, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    host = _parse(ip[1:-1] if ip.startswith("[") and ip.endswith("]") else ip)
    return None if host is None else (host.text, int(port))


def join_address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


class _Host(NamedTuple):
    """What there is to know of an address; `text` is its shortest form."""

    text: str
    is_one: bool
    is_unspecified: bool


def _parse(text: str) -> _Host | None:
    return _parse_short(text) if len(text) <= LONGEST_IP else None


# The same few thousand addresses come again with every renewal, and parsing them was a quarter of its cost.
@functools.lru_cache(maxsize=16 * 1024)
def _parse_short(text: str) -> _Host | None:
    """A dual-stack listener reports IPv4 clients as ::ffff:a.b.c.d; a scope (fe80::1%eth0) means nothing elsewhere."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return _Host(str(ip), not ip.is_multicast and ip != _BROADCAST, ip.is_unspecified)
