"""Their stream to us: how far we have taken it, and how far that is safe.

Two marks, because they part for a moment: what was taken is not taken again, and what is safe (in the history) may be
acknowledged. After a crash only the safe one is left, and the sender sends again from there.

A mark goes forward only, so a number far ahead of it would make everything before it seem seen: on one link a sender
may leave out a bounded count of numbers.

Refusals are remembered as long as the sender may ask for them: a `refuse` that was lost with its link is told again by
`have`, or the sender would take the message for delivered.
"""

from __future__ import annotations

from typing import Final

from peer.errors import FrameError
from peer.messages import Have, Refusal
from peer.storage.store import Mark

# A sender keeps at most so many messages unsettled, so what is further back is settled.
REFUSALS: Final = 100
# So many numbers may never come on one link: a sender leaves one out for each message that it gives up.
LARGEST_GAP: Final = 1_000_000


class Inbox:
    __slots__ = ("_left_out", "_taken", "safe")

    def __init__(self, mark: Mark | None = None) -> None:
        self.safe = self._taken = mark or Mark("", 0)
        self._left_out = 0

    def begin(self, epoch: str) -> None:
        """A link says which stream it carries. Another epoch is another stream, which begins anew."""
        self._left_out = 0
        if epoch != self._taken.epoch:
            self.safe = self._taken = Mark(epoch, 0)

    def is_new(self, seq: int) -> bool:
        return seq > self._taken.upto

    def take(self, seq: int, refused: str = "") -> Mark:
        """The mark behind this message, which is new; it is safe once that is saved (`saved`). FrameError if too many
        numbers were left out before it.
        """
        epoch, upto, before = self._taken
        self._left_out += seq - upto - 1
        if self._left_out > LARGEST_GAP:
            raise FrameError("bad_frame", f"seq {seq} is too far ahead: {upto + 1} is the next")
        if refused:
            before = (*(old for old in before if old[0] > seq - REFUSALS), (seq, refused))[-REFUSALS:]
        self._taken = Mark(epoch, seq, before)
        return self._taken

    @property
    def is_safe(self) -> bool:
        """Whether all that was taken is."""
        return self._taken == self.safe

    def saved(self, mark: Mark) -> None:
        """Nothing if the stream is another one by now."""
        if mark.epoch == self.safe.epoch and mark.upto > self.safe.upto:
            self.safe = mark

    def give_back(self) -> None:
        """It could not be saved: it has to come again."""
        self._taken = self.safe

    @property
    def have(self) -> Have | None:
        """What to tell the sender in a handshake; None if we have nothing of anything."""
        epoch, upto, refused = self.safe
        return Have(epoch, upto, tuple(Refusal(*one) for one in refused)) if epoch else None
