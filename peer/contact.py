"""One other peer, as a node knows it: where it is, what it is in, the links to it, and the streams both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from peer.delivery.inbox import Inbox
from peer.delivery.outbox import Outbox
from peer.flood import Bucket
from peer.link import Link
from peer.storage.store import Copy
from reactor.core.address import Address


class Contact:
    """`link` is the one we send on, out of `links`, which are those that are open, the oldest first."""

    __slots__ = ("_listed", "ack_is_due", "bucket", "declared", "flaps", "flood", "inbox", "is_muted", "is_sought",
                 "link", "links", "listed_at", "outbox", "peer_id", "pinned_at", "refusals", "resumable", "seen_at",
                 "told", "untaken", "username", "wakes", "was_linked", "why")  # fmt: skip

    def __init__(
        self, peer_id: str, outbox: Outbox, inbox: Inbox, *, bucket: Bucket, flood: Bucket, resumable: Bucket
    ) -> None:
        self.peer_id = peer_id
        self.username = ""
        self.outbox = outbox
        self.inbox = inbox
        self.links: list[Link] = []
        self.link: Link | None = None
        self.pinned_at: Address | None = None  # the user asked for a link with it, there
        self.is_muted = False
        self.is_sought = False  # the user wants a link with it, wherever it is
        self.was_linked = False  # in this run
        self.why = ""  # it was not reached when it was last dialled, or its link was lost
        self.listed_at: Address | None = None  # by a tracker
        self.seen_at: Address | None = None  # from its own connection
        self._listed: frozenset[str] = frozenset()
        self.declared: frozenset[str] = frozenset()  # on a link, with proof where one is needed
        self.bucket = bucket  # what we may send; the same bound as theirs
        self.flood = flood  # what it may send us
        self.resumable = resumable  # and what of it may be left from before
        self.flaps = 0  # links that were lost as soon as they were there, one after the other
        self.refusals = 0  # for flooding, one after the other
        self.untaken: deque[tuple[int, Copy]] = deque()  # sent, and where the bytes of the link end for each
        self.told: tuple[Link | None, int] = (None, 0)  # what was acknowledged, on which link
        self.ack_is_due = False  # in this turn
        self.wakes = False  # a timer will go on sending

    # -- where and what ----------------------------------------------------------------------------------------------

    def list(self, address: Address | None, channels: Iterable[str]) -> None:
        """What a tracker says; None and nothing if it does not list it any more. Then what it declared on links that
        are gone is out of date too, or it would be dialled for ever.
        """
        self.listed_at = address
        self._listed = frozenset(channels)
        if address is None and not self.links:
            self.declared = frozenset()

    @property
    def address(self) -> Address | None:
        """Where to dial it."""
        return self.pinned_at or self.listed_at or self.seen_at

    @property
    def is_vouched_for(self) -> bool:
        """Whether the user or a tracker has said where it is, and not only the peer itself."""
        return self.pinned_at is not None or self.listed_at is not None

    @property
    def channels(self) -> frozenset[str]:
        """What it is in, by its own word or a tracker's; where its own has to be proved and is not yet, by both."""
        if self.link is not None and not self.link.is_original:
            doubtful = self._listed - self.declared
            if not doubtful:
                return self.declared
            return self.declared | doubtful.intersection(claim.name for claim in self.link.claims)
        return self._listed if self.listed_at is not None else self.declared

    def shares(self, channels: Iterable[str]) -> bool:
        return not self.channels.isdisjoint(channels)

    @property
    def is_away(self) -> bool:
        """Whether nobody is there although it is linked: it has been silent for long, or it says so."""
        return self.link is not None and (self.link.is_away or self.link.is_unattended)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        is_settled = self.outbox.is_empty and self.inbox.is_safe
        return is_settled and not (self.links or self.pinned_at or self.listed_at or self.is_muted)
