"""Guests: people who come in by name alone. Which names, from where, and how they are told from accounts.

A guest is known as `guest:NAME#1a2b3c4d`. No account's name has a colon in it, so a guest is never equal to an account,
whatever the name; and who comes again under the name of a guest that has left is somebody else.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from reactor import is_loopback, network_of

MAX_GUEST_NAME: Final = 32  # characters
PREFIX: Final = "guest:"

# Letters and marks that are shown as nothing, or as a space: two names that differ in them only look the same.
_unseen = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef\\s]+")

From = Literal["off", "loopback", "lan"]

# Networks that are nobody's on the internet (RFC 1918, RFC 3927, RFC 4193, RFC 4291), and this machine.
_LAN = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8",
                 "fc00::/7", "fe80::/10", "::1/128")
]  # fmt: skip


class Guest(NamedTuple):
    """`user` is who it is, `name` what it is called, and `key` what no two can share."""

    user: str
    name: str
    key: str


class Room(NamedTuple):
    """How many guests there may be at once: in all, and from one network."""

    in_all: int
    of_network: int


def counted_network(address: str) -> str:
    """The network whose guests are counted together; "" for this machine, which is its owner's, or a proxy that nobody
    has told us to believe.
    """
    return "" if is_loopback(address) else network_of(address)


def new_guest(text: str) -> Guest | None:
    """None for what is no name: 1 to 32 printable characters, spaces at the ends not counted, and something to see,
    which does not end as guests are marked.
    """
    name = unicodedata.normalize("NFC", text.strip()) if len(text) <= 8 * MAX_GUEST_NAME else ""
    key = key_of(name)
    if not 0 < len(name) <= MAX_GUEST_NAME or not name.isprintable() or not key or is_marked(name):
        return None
    return Guest(f"{PREFIX}{name}#{secrets.token_hex(4)}", name, key)


def key_of(name: str) -> str:
    """Equal for names that could be taken for each other: the same but for capitals, width and what is not seen."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return _unseen.sub("", folded)


def is_marked(name: str) -> bool:
    """Whether it ends in what is shown behind the names of guests, or in what could be taken for that."""
    end = key_of(name)[-7:]
    return end[1:-1] == "guest" and unicodedata.category(end[0]) == "Ps" and unicodedata.category(end[-1]) == "Pe"


def is_guest(user: str | None) -> bool:
    """Whether this `request.user` is a guest."""
    return user is not None and user.startswith(PREFIX)


def name_of(user: str) -> str:
    """What to call a user: a guest's NAME, an account's name as it is."""
    return user.removeprefix(PREFIX).rpartition("#")[0] if is_guest(user) else user


def is_near(host: str) -> bool:
    """Whether an address, as text, is of this machine or of a private network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _LAN)


def is_address(host: str) -> bool:
    """Whether it is an IP address, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def let_in_from(where: From) -> Callable[[str], bool] | None:
    """What tells by the address whether somebody may come in as a guest; None where nobody may."""
    return {"off": None, "loopback": is_loopback, "lan": is_near}[where]
