"""Who we are as the author of messages: the id, the numbers that only grow, and both kinds of time.

Messages are shown in the order of their Lamport times: whatever somebody wrote after having seen a message stands
behind it, whatever the clocks of the machines say. A clock only labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from peer.messages import DIRECT
from peer.storage.store import Entry, Saved

# A time that is further ahead than this is somebody's mistake, or malice.
LARGEST_JUMP: Final = 1_000_000


class Author:
    """`epoch` is that of our streams; `unix_time` and `timestamp` are now, in seconds and as the wire has it."""

    def __init__(
        self,
        peer_id: str,
        username: str,
        saved: Saved,
        unix_time: Callable[[], float],
        timestamp: Callable[[], str],
        *,
        leap: int = 0,
    ) -> None:
        """`leap` numbers are left out, by chance: who goes back to an older state must not give one a second time."""
        self.peer_id = peer_id
        self.username = username
        self.epoch = saved.epoch
        self.unix_time = unix_time
        self.timestamp = timestamp
        self.lamport = saved.lamport  # the largest time that we have seen
        self._n = saved.n + leap
        self._trust = LARGEST_JUMP  # in greetings
        self.number = saved.number  # of the last entry, by arrival

    def write(self, text: str, channel: str, peer_id: str = "", key: str = "") -> Entry:
        """A new message of ours; `peer_id` is who a direct one is to, `key` what a page calls it."""
        self._n += 1
        self.lamport += 1
        return Entry(
            f"{self.peer_id}:{self.epoch}:{self._n}", self.peer_id, self.username, channel,
            peer_id if channel == DIRECT else "", text, self.lamport, self._n, self.timestamp(), self.count(), key,
        )  # fmt: skip

    def count(self) -> int:
        """The number of the next entry, by arrival."""
        self.number += 1
        return self.number

    def greet(self, lamport: int) -> None:
        """The largest time that the other side of a new link has seen, or what we say first would stand above what was
        said before we came. Anybody can greet: all greetings of a run together move the clock no further than everybody
        follows who sees our next message.
        """
        step = min(lamport - self.lamport, self._trust)
        if step > 0:
            self._trust -= step
            self.lamport += step

    def witness(self, lamport: int | None) -> int:
        """The time of a message that has come: its own, or the next one where it has none."""
        if lamport is None:
            lamport = self.lamport + 1
        lamport = min(lamport, self.lamport + LARGEST_JUMP)
        self.lamport = max(self.lamport, lamport)
        return lamport
