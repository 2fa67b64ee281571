"""The conversations of one person, as a page shows them: what is new in each, and how far it was read.

A channel is one while we are in it, a peer is one once something was said, and so is what goes to everybody.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from peer.messages import BROADCAST, DIRECT
from peer.storage.store import Shelf, conversation_of

EVERYONE: Final = "*"
MOST_UNREAD: Final = 1000  # that are counted


class Conversation:
    """`channel` and `peer` are those of its entries. `policy` and `is_ours` are what the tracker last said of it."""

    __slots__ = ("channel", "id", "is_ours", "last", "peer", "policy", "read", "unread")

    def __init__(self, id_: str, read: int = 0) -> None:
        self.id = id_
        self.channel, self.peer = place_of(id_)
        self.last = 0
        self.read = read
        self.unread: list[int] = []  # the numbers
        self.policy: str | None = None
        self.is_ours = False

    @property
    def is_channel(self) -> bool:
        return self.id.startswith("#")

    def arrived(self, number: int, *, is_own: bool) -> None:
        """Nothing for a number that it has."""
        if number <= self.last:
            return
        self.last = number
        if not is_own and number > self.read:
            self.unread = [*self.unread[1 - MOST_UNREAD :], number]

    def read_up_to(self, number: int) -> bool:
        """Whether that is further than before."""
        if number <= self.read:
            return False
        self.read = number
        self.unread = self.unread[bisect_right(self.unread, number) :]
        return True


class Conversations:
    def __init__(self) -> None:
        self._known: dict[str, Conversation] = {}
        self._reads: dict[str, int] = {}

    def begin(self, reads: dict[str, int], channels: Iterable[str]) -> None:
        """`reads` says how far each was read, by its id."""
        self._reads = reads
        for channel in channels:
            self.open(conversation_of(channel, ""))

    def fill(self, shelves: Iterable[Shelf]) -> None:
        """What the history has, of channels that we have left too; other messages may have come meanwhile."""
        for shelf in shelves:
            id_ = conversation_of(shelf.channel, shelf.peer)
            if id_ in self._known or not id_.startswith("#"):
                conversation = self.open(id_)
                conversation.last = max(conversation.last, shelf.last)
                conversation.unread = sorted({*shelf.unread, *conversation.unread})

    def __iter__(self) -> Iterator[Conversation]:
        return iter(list(self._known.values()))

    def get(self, id_: str) -> Conversation | None:
        return self._known.get(id_)

    def open(self, id_: str) -> Conversation:
        """Made, if there is none."""
        conversation = self._known.get(id_)
        if conversation is None:
            conversation = self._known[id_] = Conversation(id_, self._reads.get(id_, 0))
        return conversation

    def close(self, id_: str) -> bool:
        """Whether there was one."""
        conversation = self._known.pop(id_, None)
        if conversation is not None:
            self._reads[id_] = max(conversation.read, conversation.last)  # who comes back sees what is new since
        return conversation is not None


def place_of(id_: str) -> tuple[str, str]:
    """The `channel` and `peer` of the entries of a conversation."""
    if id_.startswith("@"):
        return DIRECT, id_[1:]
    return (BROADCAST, "") if id_ == EVERYONE else (id_[1:], "")
