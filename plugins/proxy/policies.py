"""Which server a request goes to. A policy is asked with those that may have it, at least two of them.

    round-robin, weighted     in turn, each as often as its weight says, evenly spread
    least-conn                the one with the fewest requests for its weight
    random, two               by chance; the better one of two by chance
    hash by address, header or cookie
                              one client, one server; when that is gone only its clients move
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import log
from random import Random
from typing import Final, Protocol

from reactor import LocalProtocolError, Request, check_field

from .upstream import Upstream


class Member:
    """A server in the set of one host."""

    __slots__ = ("credit", "key", "name", "upstream", "weight")

    def __init__(self, upstream: Upstream, weight: int = 1) -> None:
        self.upstream = upstream
        self.weight = weight
        self.name = str(upstream.address)
        self.key = blake2b(self.name.encode(), digest_size=8).hexdigest()  # in a cookie, which names no machine
        self.credit = 0.0

    @property
    def load(self) -> float:
        """Requests under way, as its weight has them."""
        return self.upstream.active / self.weight


class Policy(Protocol):
    """`members` are never empty."""

    def choose(self, request: Request, members: Sequence[Member]) -> Member: ...


class RoundRobin:
    """In turn, where all weigh the same."""

    def __init__(self) -> None:
        self._next = -1

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        self._next += 1
        return members[self._next % len(members)]


class Weighted:
    """Smoothly: a server with weight 5 beside two with 1 has no five requests in a row."""

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        total = 0
        for member in members:
            member.credit += member.weight
            total += member.weight
        best = max(members, key=lambda member: member.credit)
        best.credit -= total
        return best


class LeastConnections:
    """Of equals in turn: else the first would get all there is while there is little."""

    def __init__(self) -> None:
        self._next = 0

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        self._next += 1
        start = self._next % len(members)
        return min((*members[start:], *members[:start]), key=lambda member: member.load)


class Chance:
    """By weight."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        return self._random.choices(members, [member.weight for member in members])[0]


class BetterOfTwo:
    """Nearly as even as least-conn, and not misled by a server that fails quickly into giving it everything."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        first, second = self._random.sample(members, 2) if len(members) > 1 else (members[0], members[0])
        return second if second.load < first.load else first


class Hash:
    """Each server draws a number from the key, and the highest wins (rendezvous): one that is gone or comes back moves
    its own keys alone. Requests without a key go in turn.
    """

    def __init__(self, key_of: Callable[[Request], str]) -> None:
        self._key_of = key_of
        self._keyless = LeastConnections()

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        key = self._key_of(request)
        if not key:
            return self._keyless.choose(request, members)
        return max(members, key=lambda member: _draw(key, member))


def _draw(key: str, member: Member) -> float:
    digest = blake2b(f"{member.name}\0{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    number = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)  # never 0 nor 1
    return -member.weight / log(number)


class Sticky:
    """A cookie names the server; who has none gets what `base` says, and the cookie."""

    def __init__(self, cookie: str, base: Policy) -> None:
        self.cookie = cookie
        self._base = base

    def choose(self, request: Request, members: Sequence[Member]) -> Member:
        key = request.cookies.get(self.cookie)
        for member in members:
            if member.key == key:
                return member
        return self._base.choose(request, members)


WORDS: Final = (
    "round-robin, weighted, least-conn, random, two, hash address, hash header NAME, hash cookie NAME, "
    "or sticky [COOKIE] [with another one of these]"
)


def make_policy(text: str, random: Random, weights: Sequence[int] = ()) -> Policy:
    """Of its name and words; ValueError, in words, for what is none."""
    words = text.split()
    name = words[0].lower().replace("_", "-") if words else ""
    if name == "sticky":
        return _sticky(words[1:], random, weights)
    if name == "hash":
        return Hash(_key(words[1:], text))
    if len(words) != 1:
        raise ValueError(f"is {WORDS}, not {text!r}")
    if name in ("round-robin", "roundrobin", "weighted"):
        return Weighted() if len(set(weights)) > 1 else RoundRobin()
    if name in ("least-conn", "leastconn"):
        return LeastConnections()
    if name == "random":
        return Chance(random)
    if name in ("two", "random-two"):
        return BetterOfTwo(random)
    raise ValueError(f"is {WORDS}, not {text!r}")


def _sticky(words: list[str], random: Random, weights: Sequence[int]) -> Sticky:
    cookie, base = "upstream", "round-robin"
    if "with" in words:
        at = words.index("with")
        words, base = words[:at], " ".join(words[at + 1 :])
    if words:
        cookie = words[0]
    if len(words) > 1 or base.startswith("sticky"):
        raise ValueError(f"is {WORDS}")
    return Sticky(_named(cookie), make_policy(base, random, weights))


def _key(words: list[str], text: str) -> Callable[[Request], str]:
    if [word.lower() for word in words] in (["address"], ["client"]):
        return lambda request: request.client
    if len(words) == 2 and words[0].lower() == "header":
        header = _named(words[1]).lower()
        return lambda request: request.headers.get(header)
    if len(words) == 2 and words[0].lower() == "cookie":
        cookie = _named(words[1])
        return lambda request: request.cookies.get(cookie, "")
    raise ValueError(f"is {WORDS}, not {text!r}")


def _named(name: str) -> str:
    """The name of a field or a cookie, which are made of the same characters."""
    try:
        check_field(name, "")
    except LocalProtocolError:
        raise ValueError(f"names {name!r}, and no field or cookie is called that") from None
    return name
