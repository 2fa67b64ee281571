"""A channel: who is in it, and what lets a newcomer in.

Members are kept in the order they joined. The first of them is the owner, so ownership passes on by itself when the
owner leaves, and a channel without members is nothing at all: it disappears, and its policy with it.

A closed channel (password, invited) has a key. Members get it and prove to each other with it that they belong; who
is removed does not know the next one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal

Policy = Literal["open", "password", "invited"]

MAX_INVITES: Final = 128  # open at one time in one channel


@dataclass(slots=True)
class Invite:
    uses: int
    until: float


def _digest(token: str) -> bytes:
    # Tokens are kept hashed: how long a failed lookup takes then tells nothing about those that exist.
    return blake2b(token.encode(), digest_size=16).digest()


@dataclass(slots=True, eq=False)
class Channel:
    """`version` is that of the registry when what `/get-list` says of the channel last changed."""

    name: str
    members: dict[str, None] = field(default_factory=dict)
    policy: Policy = "open"
    password: str | None = None  # argon2, and only while the policy is "password"
    key: str | None = None  # None while the policy is "open"
    invites: dict[bytes, Invite] = field(default_factory=dict)
    version: int = 0

    @property
    def owner(self) -> str:
        return next(iter(self.members))

    def admits(self, proven: str | None, invite: str | None, now: float) -> bool:
        """Whether a newcomer may enter. `proven` is the password hash that was found to match, if one was: the owner
        may have set another since.
        """
        if self.policy == "open" or (proven is not None and proven == self.password):
            return True
        return invite is not None and self._valid(invite, now)

    def _valid(self, token: str, now: float) -> bool:
        invite = self.invites.get(_digest(token))
        return invite is not None and invite.until > now

    def use(self, token: str) -> None:
        """Count one use of a valid invite."""
        digest = _digest(token)
        invite = self.invites[digest]
        invite.uses -= 1
        if not invite.uses:
            del self.invites[digest]

    def set_policy(self, policy: Policy, password: str | None) -> None:
        """Members stay members. `password` is a hash; None keeps the one there is."""
        self.password = (password or self.password) if policy == "password" else None
        self.policy = policy
        if policy == "open":
            self.key = None
            self.invites.clear()
        elif self.key is None:
            self.renew_key()

    def renew_key(self) -> None:
        self.key = secrets.token_hex(32)

    def forget_invites(self, now: float) -> None:
        """Drop those that have run out."""
        for digest in [digest for digest, invite in self.invites.items() if invite.until <= now]:
            del self.invites[digest]

    def invite(self, uses: int, until: float) -> str:
        """A new token that lets `uses` peers in before `until`."""
        token = secrets.token_urlsafe(24)
        self.invites[_digest(token)] = Invite(uses, until)
        return token
