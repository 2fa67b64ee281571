"""Whether a server is well: what is learnt from the requests it is sent, and from asking it now and then.

    UP --max_fails failures within fail_window--> ASIDE --fail_timeout--> RETURNING --slow_return--> UP
    DOWN while the checks fail (two in a row), whatever the requests say

Who is RETURNING gets a growing share of what would be its own, so that a server that has just started, with cold
caches, is not drowned by what had piled up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from reactor import NEVER

from .options import Options


class State(Enum):
    UP = "up"
    ASIDE = "aside"  # too many failures
    RETURNING = "returning"
    DOWN = "down"  # its checks fail


UP: Final = State.UP
ASIDE: Final = State.ASIDE
RETURNING: Final = State.RETURNING
DOWN: Final = State.DOWN
# Checks in a row that change what is thought of a server.
CHECKS: Final = 2
# The least share of a server that returns.
LEAST_SHARE: Final = 0.1


class Health:
    """Of one server. `on_change()` is called when `state` is another, but for what only time changes."""

    def __init__(self, clock: Callable[[], float], options: Options) -> None:
        self._clock = clock
        self._options = options
        self._failures: deque[float] = deque()
        self._until = -NEVER  # when it is no longer ASIDE
        self._is_down = False
        self._streak = 0  # checks in a row that say the opposite
        self.is_well = True  # plainly UP: the common case needs no look at the clock
        self.on_change: Callable[[], object] = lambda: None

    def follow(self, options: Options) -> None:
        """Other options from now on; what is known stays. Without checks nothing would ever bring a server up again."""
        self._options = options
        if not options.check_path and self._is_down:
            self._is_down, self._streak = False, 0
            self._until = self._clock()
            self._changed()

    @property
    def state(self) -> State:
        now = self._clock()
        if self._is_down:
            return DOWN
        if now < self._until:
            return ASIDE
        if now < self._until + self._options.slow_return:
            return RETURNING
        if not self.is_well:
            self.is_well = True
            self.on_change()
        return UP

    @property
    def share(self) -> float:
        """How much of what would be its own it is to get: 0 to 1."""
        state = self.state
        if state is RETURNING:
            return max(LEAST_SHARE, (self._clock() - self._until) / self._options.slow_return)
        return 1.0 if state is UP else 0.0

    @property
    def back_at(self) -> float:
        """When it may be asked again; NEVER while its checks fail."""
        return NEVER if self._is_down else self._until

    def failed(self) -> None:
        """A request got no answer from it."""
        if not self._options.max_fails:
            return
        now = self._clock()
        failures = self._failures
        failures.append(now)
        while failures and failures[0] <= now - self._options.fail_window:
            failures.popleft()
        returning = self.state is RETURNING  # one that has just come back is given no second chance
        if len(failures) >= self._options.max_fails or returning:
            failures.clear()
            self._until = now + self._options.fail_timeout
            self._changed()

    def checked(self, is_good: bool) -> None:
        """A check was answered as it should be, or was not."""
        if is_good is not self._is_down:
            self._streak = 0
            return
        self._streak += 1
        if self._streak < CHECKS:
            return
        self._is_down, self._streak = not is_good, 0
        if is_good:
            self._until = self._clock()
            self._failures.clear()
        self._changed()

    def _changed(self) -> None:
        self.is_well = False
        self.on_change()
