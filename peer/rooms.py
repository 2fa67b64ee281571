"""The channels a node is in, and who else may speak in them.

Membership of an open channel is what a peer says of itself. That of a closed one has to be proved: with the key that
the tracker gives to members, over both nonces of the link, so that a proof is good for one link and one peer only.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from peer.link import Link
from peer.messages import Channels, Membership


class Rooms:
    """Iterating gives the names."""

    def __init__(self, peer_id: str) -> None:
        self._peer_id = peer_id
        self._keys: dict[str, str] = {}  # by name; "" of an open channel
        self._since: dict[str, float] = {}  # when each got its key

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys))

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def enter(self, name: str, key: str, now: float) -> bool:
        """Whether anything has changed by it."""
        if self._keys.get(name) == key:
            return False
        self._keys[name], self._since[name] = key, now
        return True

    def exit(self, name: str) -> bool:
        """Whether we were in it."""
        return self._keys.pop(name, None) is not None

    def announcement(self, link: Link, *, away: bool = False) -> Channels:
        """All of them, as the other side of this link is told."""
        return Channels(
            channels=[
                Membership(name, prove(key, link, self._peer_id, name) if key else "")
                for name, key in self._keys.items()
            ],
            away=away,
        )

    def is_closed(self, name: str) -> bool:
        """Whether it is one of ours that wants a proof."""
        return bool(self._keys.get(name))

    def since(self, name: str) -> float:
        """When one of ours got the key that it has."""
        return self._since[name]

    def is_behind(self, link: Link) -> bool:
        """Whether the other side has another key of one of ours, or none, or one where we have none: then one of us has
        not heard of the last one, or it is no member.
        """
        return any(claim.name in self and not self._agrees(link, claim) for claim in link.claims)

    def _agrees(self, link: Link, membership: Membership) -> bool:
        return bool(membership.proof) == self.is_closed(membership.name) and self._is_proved(link, membership)

    def believed(self, link: Link) -> frozenset[str]:
        """The channels of ours that the other side is in, as far as we believe its claims; to be asked again when we
        enter one, or a key changes. A contact keeps this for long, so what is claimed of others' channels is none of
        it; the claims themselves go with the link.
        """
        return frozenset(claim.name for claim in link.claims if self._is_proved(link, claim))

    def _is_proved(self, link: Link, membership: Membership) -> bool:
        key = self._keys.get(membership.name)
        if not key:
            return key is not None
        proof = prove(key, link, link.peer_id, membership.name)
        return hmac.compare_digest(proof.encode(), membership.proof.encode())


def prove(key: str, link: Link, peer_id: str, name: str) -> str:
    """That `peer_id`, at one end of this link, has the key."""
    text = "\0".join((*link.nonces, peer_id, name))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
