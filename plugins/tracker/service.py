"""The service "tracker": what other plugins of this process may ask, in plain arguments and without HTTP.

A plugin that holds peers for its users registers them here, renews them by registering again with the lease, and gets
the same refusals as anybody: an HTTPError with `code`, before anything has changed. `client` is the address of the
user behind a peer; without it the limits per address do not apply.
"""

from __future__ import annotations

from collections.abc import Sequence

from .channels import Policy
from .messages import Caller, Change, Credentials, InviteTerms, Joined, Registered
from .registry import Entry
from .tracker import Tracker


class Service:
    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def register(
        self, peer_id: str, ip: str, port: int, *, username: str = "", channels: Sequence[str] | None = None,
        lease: str | None = None, client: str = "",
    ) -> Registered:  # fmt: skip
        """Register, or renew with the `lease` of the answer. `channels` None: unchanged."""
        return self._tracker.register(
            port, peer_id=peer_id, ip=ip, username=username, channels=channels, lease=lease, caller=Caller(client)
        )

    def leave(self, peer_id: str, lease: str, channel: str | None = None) -> None:
        """Out of `channel`; None: out of the list and all channels."""
        self._tracker.leave(Credentials(peer_id, lease), channel)

    async def join(
        self, peer_id: str, lease: str, channel: str, *, password: str | None = None, invite: str | None = None,
        client: str = "",
    ) -> Joined:  # fmt: skip
        return await self._tracker.join(
            Credentials(peer_id, lease, Caller(client)), channel, password=password, invite=invite
        )

    async def configure(
        self, peer_id: str, lease: str, channel: str, *, policy: Policy | None = None, password: str | None = None,
        invites: int = 0, remove: str | None = None, client: str = "",
    ) -> Joined:  # fmt: skip
        """As the owner. `invites`: a token for so many newcomers, as `invite` of the answer."""
        terms = InviteTerms(invites) if invites else None
        change = Change(policy, password, terms, remove)
        return await self._tracker.configure(Credentials(peer_id, lease, Caller(client)), channel, change)

    @property
    def version(self) -> int:
        """Another number whenever the list is another one."""
        return self._tracker.registry.version

    def list(self, channel: str | None = None) -> Sequence[Entry]:
        return self._tracker.listing(channel)

    def find(self, peer_id: str) -> Entry | None:
        peer = self._tracker.registry.peers.get(peer_id)
        return None if peer is None else peer.entry
