"""Accounts and sessions in memory. A lock guards what is changed; reading a dict needs none."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

SESSION_SECONDS: Final = 3600.0
COOKIE: Final = "session"


class Accounts:
    """Everybody has one password here, so it is hashed once for all; verifying it costs each login the same."""

    def __init__(self, names: Iterable[str], password: str) -> None:
        # The parameters of plugins/auth: what a login costs is to be the same.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        stored = self._hasher.hash(password)
        self._stored = dict.fromkeys(names, stored)
        self._dummy = self._hasher.hash(secrets.token_hex(16))  # nobody's, so that an unknown name takes as long

    def verify(self, name: str, password: str) -> bool:
        try:
            return self._hasher.verify(self._stored.get(name, self._dummy), password) and name in self._stored
        except VerificationError:
            return False


class Sessions:
    """Token -> when it was last used (in a list, to be changed in place)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, list[float]] = {}

    def start(self) -> str:
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._known[token] = [time.monotonic()]
        return token

    def is_open(self, cookies: str) -> bool:
        """Whether a Cookie field brings a session that is good; using it keeps it so."""
        session = self._known.get(cookie_of(cookies))
        now = time.monotonic()
        if session is None or now - session[0] > SESSION_SECONDS:
            return False
        session[0] = now
        return True


def cookie_of(cookies: str) -> str:
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
