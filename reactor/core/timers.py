"""Timers: a heap, and deadlines that move without touching it.

A server moves a time limit at every read and write, and almost none of them ever expires. So a `Deadline` keeps its
time in an attribute: moving it later is an assignment. Its one entry in the heap may be early; when that fires, it
looks at the attribute and goes back to sleep until then. No heap work per request.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any, Final

NEVER: Final = inf


class Timer:
    """One call at one time. Cancelling forgets the call at once; the heap entry goes when its time comes."""

    __slots__ = ("args", "callback", "when")

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        """Never call it; nothing if it has been called."""
        self.callback = None
        self.args = ()


class Timers:
    """The heap. Knows no clock: who runs it says what time it is."""

    # Cancelled timers stay in the heap until their time, unless they are most of it.
    MANY = 256

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count()  # equal times fire in the order they were made
        self._sweep_at = self.MANY

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` at `when`, in the seconds of whoever runs the heap."""
        timer = Timer(when, callback, args)
        heap = self._heap
        heapq.heappush(heap, (when, next(self._number), timer))
        if len(heap) > self._sweep_at:
            self._sweep()
        return timer

    def _sweep(self) -> None:
        """Drop what was cancelled: amortised over as many additions as there are live timers."""
        self._heap = [entry for entry in self._heap if entry[2].callback is not None]
        heapq.heapify(self._heap)
        self._sweep_at = max(self.MANY, 2 * len(self._heap))

    def next(self) -> float:
        """When the next live timer is due; NEVER if there is none."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def pop_due(self, now: float) -> list[Timer]:
        """All timers due at `now`, in order; what they add in turn waits for the next call."""
        due = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            timer = heapq.heappop(heap)[2]
            if timer.callback is not None:
                due.append(timer)
        return due


class Deadline:
    """A time limit that moves. `at` may be assigned to move it later (or to NEVER); `move` handles both ways, and the
    way back from NEVER.

    `on_expire` is called once when the time has come; `at` is NEVER then.
    """

    __slots__ = ("_on_expire", "_timer", "_timers", "at")

    def __init__(self, timers: Timers, on_expire: Callable[[], object]) -> None:
        self._timers = timers
        self._on_expire: Callable[[], object] | None = on_expire
        self._timer: Timer | None = None
        self.at = NEVER

    def move(self, at: float) -> None:
        """Expire at `at` instead. Cheap if a heap entry at or before that time is there already."""
        self.at = at
        timer = self._timer
        if at == NEVER or (timer is not None and timer.when <= at):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._timers.add(at, self._fire)

    def _fire(self) -> None:
        at = self.at
        timer, self._timer = self._timer, None
        if self._on_expire is None or at == NEVER:
            return
        if timer is not None and timer.when < at:
            self._timer = self._timers.add(at, self._fire)
            return
        self.at = NEVER
        self._on_expire()

    def close(self) -> None:
        """Never expire again, and hold on to nothing."""
        self.at = NEVER
        self._on_expire = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
