"""How long somebody has to wait who was wrong about the passwords of closed channels."""

from __future__ import annotations

import math
from typing import Final

from peer.errors import PeerError
from reactor.core.lock import Lock
from reactor.core.loop import Reactor

FREE: Final = 5  # wrong ones, of each channel: a person mistypes, and who guesses needs thousands
FIRST: Final = 2.0  # seconds to wait after the next one, twice as much after each further one,
LONGEST: Final = 300.0  # and no longer
FORGET: Final = 300.0  # seconds, after which there was one less
MOST_CHANNELS: Final = 100  # that are remembered; the one with the fewest wrong ones is forgotten


class Tries:
    """Those of one person, or of all who can be as many persons as they like. They are made one after the other, under
    the `lock`, or many at one moment would all be free.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.lock = Lock(reactor)
        self._reactor = reactor
        self._wrong: dict[str, tuple[float, float]] = {}  # channel -> how many, at which time

    def check(self, channel: str) -> None:
        """PeerError while it is too early for the next one."""
        wrong, at = self._wrong.get(channel, (0.0, 0.0))
        over = min(math.ceil(wrong) - FREE, 10)
        left = at + min(FIRST * 2.0 ** (over - 1), LONGEST) - self._reactor.now
        if over > 0 and left > 0:
            raise PeerError(f"Too many wrong passwords for {channel}. Try again in {left + 1:.0f} s")

    def was_wrong(self, channel: str) -> None:
        now = self._reactor.now
        self._wrong[channel] = (self._count(channel) + 1, now)
        if len(self._wrong) > MOST_CHANNELS:
            del self._wrong[min(self._wrong, key=self._count)]

    def _count(self, channel: str) -> float:
        """How many wrong ones still count."""
        wrong, at = self._wrong.get(channel, (0.0, 0.0))
        return max(0.0, wrong - (self._reactor.now - at) / FORGET)
