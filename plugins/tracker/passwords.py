"""Channel passwords: salted argon2 hashes, made and compared in helper threads, and not too often.

People choose these passwords, so a fast hash would give them away to whoever reads the memory once. A slow one is work
that strangers can ask for: hence a bound for each network that they come from (see `network_of`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import argon2

from reactor import Overloaded, network_of

from .refused import Refused

# OWASP's parameters for a login; about 20 ms, without the GIL.
_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Offload(Protocol):
    """Runs a blocking function where blocking hurts nobody."""

    def __call__(self, function: Callable[..., object], /, *args: object) -> Awaitable[object]: ...


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def matches(hashed: str, password: str) -> bool:
    """Compares in constant time."""
    try:
        return _hasher.verify(hashed, password)
    except argon2.exceptions.VerifyMismatchError:
        return False


class Passwords:
    """At most `attempts` hashes for the clients of one network between two calls of `forget`; 0: no limit."""

    def __init__(self, offload: Offload, attempts: int) -> None:
        self._offload = offload
        self._attempts = attempts
        self._made: dict[str, int] = {}

    async def hash(self, client: str, password: str) -> str:
        return str(await self._run(client, hash_password, password))

    async def match(self, client: str, hashed: str, password: str) -> bool:
        return bool(await self._run(client, matches, hashed, password))

    def forget(self) -> None:
        self._made.clear()

    async def _run(self, client: str, function: Callable[..., object], *args: object) -> object:
        self._take(client)
        try:
            return await self._offload(function, *args)
        except Overloaded:
            raise Refused("busy", "too many passwords are being hashed, try again") from None

    def _take(self, client: str) -> None:
        network = network_of(client)
        made = self._made[network] = self._made.get(network, 0) + 1
        if made > self._attempts > 0:
            raise Refused("too_many_attempts", "too many passwords from this address, try again in a minute")
