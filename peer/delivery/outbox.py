"""Our stream to one other peer: numbered copies that are kept until the other side has them.

`seq` only grows, and survives a restart. On each new link sending begins at the first copy that is not acknowledged;
what the other side has already it drops by the number. A number that never comes is a message that was given up.

What the other side says it has counts for what was sent, and for nothing else: who claims more has been told lies about
us, tells them, or knows numbers that we have forgotten (our directory was put back to an older state). The stream then
goes on behind what it says (`realign`), and what had a number that it takes for seen gets another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Final

from peer.storage.store import Copy

MOST: Final = 100
KEEP_SECONDS: Final = 24 * 3600.0
LARGEST_JUMP: Final = 1_000_000


class Outbox:
    __slots__ = ("_copies", "_floor", "_reserved", "_sent", "_void", "_waiting", "last_seq", "unsafe")

    def __init__(self, last_seq: int = 0, copies: Iterable[Copy] = ()) -> None:
        self._copies: dict[int, Copy] = {copy.seq: copy for copy in copies}  # in the order of their numbers
        self._waiting = deque(self._copies)  # the numbers that were not sent on the present link
        self._reserved = 0
        self._void = 0  # so many of these, the first, have numbers of before the stream was realigned
        self.unsafe: set[int] = set()  # numbers that failed; until that is safe nothing is sent
        self.last_seq = max([last_seq, *self._copies])
        self._sent = max(self._copies, default=0)  # up to there all were sent; before a restart, as far as we know
        self._floor = 0  # the other side has the stream up to there

    def __len__(self) -> int:
        return len(self._copies)

    def __iter__(self) -> Iterator[Copy]:
        return iter(self._copies.values())

    @property
    def backlog(self) -> int:
        """How many there are, with those that are not safe yet."""
        return len(self._copies) + self._reserved

    @property
    def is_empty(self) -> bool:
        return not self.backlog and not self.unsafe

    @property
    def is_full(self) -> bool:
        return self.backlog >= MOST

    def reserve(self) -> int:
        """A number for a new copy, which is not sent before it is safe (`add`)."""
        self._reserved += 1
        self.last_seq += 1
        return self.last_seq

    def add(self, copy: Copy) -> bool:
        """It is safe now. Copies come in the order in which their numbers were reserved. False: its number has become
        useless meanwhile, and it needs another one.
        """
        if not self._end_reservation() or not self._is_in_line(copy.seq):
            return False
        self._copies[copy.seq] = copy
        self._waiting.append(copy.seq)
        return True

    def drop_reserved(self) -> None:
        """It could not be made safe: its number is never sent."""
        self._end_reservation()

    def _end_reservation(self) -> bool:
        """The first of them; whether its number is still good."""
        self._reserved -= 1
        if self._void:
            self._void -= 1
            return False
        return True

    # -- sending -----------------------------------------------------------------------------------------------------

    def rewind(self) -> None:
        """There is another link: begin again at the first copy that was not acknowledged."""
        self._waiting = deque(self._copies)

    def peek(self) -> Copy | None:
        """The next copy to send; `sent` goes on to the one behind it."""
        return self._copies[self._waiting[0]] if self._waiting and not self.unsafe else None

    def is_waiting(self, copy: Copy) -> bool:
        """Whether it was not sent on the present link."""
        return bool(self._waiting) and copy.seq >= self._waiting[0]

    def sent(self) -> None:
        self._sent = max(self._sent, self._waiting.popleft())

    @property
    def in_flight(self) -> int:
        """Sent on this link, and not acknowledged."""
        return len(self._copies) - len(self._waiting)

    # -- settling ----------------------------------------------------------------------------------------------------

    def acknowledge(self, upto: int) -> list[Copy]:
        """The copies that the other side has now, of those that were sent on the present link."""
        upto = min(upto, self._waiting[0] - 1 if self._waiting else self._sent)
        self._floor = max(self._floor, upto)
        return self._settle(list(takewhile(lambda seq: seq <= upto, self._copies)))

    def had(self, upto: int) -> list[Copy]:
        """The copies that the other side has, by what it says when a link begins, of those that were ever sent."""
        if upto > self.last_seq:
            return []  # by then other messages had these numbers
        return self._settle([seq for seq in self._copies if seq <= min(upto, self._sent)])

    def realign(self, upto: int) -> bool:
        """A link begins, and the other side has the stream up to there (`had` comes before). Whether we have lost step:
        it knows numbers that were never given, or is so far behind that it would not believe ours.
        """
        self._floor = upto
        if upto <= self.last_seq <= upto + LARGEST_JUMP:
            return False
        self.last_seq = upto  # no copy keeps its number now, so that none is given twice
        self._sent = 0
        self._void = self._reserved
        return True

    def take_misnumbered(self) -> list[Copy]:
        """The copies that the other side would take for seen, or for nonsense; out of here, to get new numbers."""
        return self._settle([seq for seq in self._copies if not self._is_in_line(seq)])

    def _is_in_line(self, seq: int) -> bool:
        return self._floor < seq <= self.last_seq

    def refuse(self, seq: int) -> list[Copy]:
        """The other side did not take this one; [] if it is settled already, or was never sent."""
        return self._settle([seq] if seq in self._copies and seq <= self._sent else [])

    def give_up(self, seq: int) -> list[Copy]:
        """We do not send it, or not again; [] if it is settled already."""
        return self._settle([seq] if seq in self._copies else [])

    def expire(self, unix_time: float) -> list[Copy]:
        """Those that have waited too long; a clock that was set back makes them wait longer."""
        return self._settle([seq for seq, copy in self._copies.items() if unix_time - copy.made_at > KEEP_SECONDS])

    def _settle(self, seqs: list[int]) -> list[Copy]:
        settled = [self._copies.pop(seq) for seq in seqs]
        if seqs and self._waiting and self._waiting[0] <= seqs[-1]:  # some had not been sent on this link
            self._waiting = deque(seq for seq in self._waiting if seq in self._copies)
        return settled


def by_recipient(copies: Sequence[Copy]) -> dict[str, list[Copy]]:
    found: dict[str, list[Copy]] = {}
    for copy in copies:
        found.setdefault(copy.recipient, []).append(copy)
    return found
