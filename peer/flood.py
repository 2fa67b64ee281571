"""A bucket of tokens: so many at once, then so many a second."""

from __future__ import annotations

from typing import Final

# A whole token but for the rounding of times: who waits as long as it was told must get one.
WHOLE: Final = 1 - 1e-6


class Bucket:
    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        """`rate` in tokens a second; 0: no limit at all."""
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._since = now

    @property
    def is_limited(self) -> bool:
        return bool(self._rate)

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        if not self._rate:
            return True
        self._left = min(self._burst, self._left + max(0.0, now - self._since) * self._rate)
        self._since = now
        if self._left < WHOLE:
            return False
        self._left -= 1
        return True

    def put_back(self) -> None:
        """A token was taken for nothing."""
        self._left = min(self._burst, self._left + 1)

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        left = self._left + max(0.0, now - self._since) * self._rate
        return 0.0 if not self._rate or left >= WHOLE else (1 - left) / self._rate
