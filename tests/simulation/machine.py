"""A computer of the simulation: a reactor of its own on the clock that all share, so that it can stop or die alone.

What comes over the network waits in its `wires` until it turns, as in a real one: sockets first, then timers, then
calls. A machine that is stopped finds all of it waiting when it goes on; one that is dead is never turned again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from reactor.testing import FakeClock, FakeReactor


class Event:
    """What the loop expects a selector to return; `source` keeps its order, sources overtake each other."""

    __slots__ = ("args", "callback", "fd", "source")

    def __init__(self, source: object, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.fd = 0
        self.source, self.callback, self.args = source, callback, args

    def data(self, mask: int) -> None:
        self.callback(*self.args)


class Wires:
    """A selector without descriptors."""

    def __init__(self, chance: random.Random) -> None:
        self.waiting: list[Event] = []
        self._chance = chance

    def select(self, timeout: float | None = None) -> list[tuple[Event, int]]:
        events, self.waiting = self.waiting, []
        if len(events) > 1:
            order: dict[object, float] = {}
            events.sort(key=lambda event: order.setdefault(event.source, self._chance.random()))
        return [(event, 1) for event in events]

    def register(self, fileobj: int, events: int, data: Any = None) -> None: ...
    def modify(self, fileobj: int, events: int, data: Any = None) -> None: ...
    def unregister(self, fileobj: int) -> None: ...
    def close(self) -> None: ...


class Machine(FakeReactor):
    def __init__(self, clock: FakeClock, chance: random.Random) -> None:
        super().__init__(clock)
        self.wires = Wires(chance)
        self._selector = self.wires
        self.stopped_until = 0.0
        self.is_dead = False

    def hand(self, source: object, callback: Callable[..., object], *args: Any) -> None:
        """Something arrives from outside."""
        if not self.is_dead:
            self.wires.waiting.append(Event(source, callback, args))

    @property
    def due(self) -> float:
        """When it has something to do; now or earlier: at once."""
        if self._ready or self._from_threads or self.wires.waiting:
            return self.stopped_until
        return max(self.timers.next(), self.stopped_until)

    def turn_once(self) -> None:
        self._turn_once()

    @property
    def live_timers(self) -> list[str]:
        """What is still to be called, in words."""
        return [
            f"{getattr(timer.callback, '__qualname__', timer.callback)} in {timer.when - self.clock.now:.1f} s"
            for _, _, timer in self.timers._heap
            if timer.callback is not None
        ]
