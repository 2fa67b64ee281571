"""State that outlives a generation: what plugins keep over a reload, and hand over to the process after this one.

Each generation has a `Shelf`. What stands on it belongs to none of them: it is taken over from the shelf before,
started by the first that holds it, and stopped when the last has let go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# Runs one step of an end, and says what it was if it fails: see `Generation.stop`.
RunStop = Callable[[str, Callable[[], Any]], Awaitable[None]]


class Kept:
    """One value, and how many generations hold it. The four functions may be None."""

    def __init__(
        self, value: Any, start: Callable[[Any], Any] | None, stop: Callable[[Any], Any] | None,
        dump: Callable[[Any], bytes] | None, load: Callable[[Any, bytes], object] | None,
    ) -> None:  # fmt: skip
        self.value, self.start, self.stop, self.dump, self.load = value, start, stop, dump, load
        self.started = False
        self.holders = 0


class Shelf:
    """What the plugins of one generation keep, by plugin and name."""

    def __init__(self, previous: Shelf | None = None) -> None:
        self._kept: dict[str, Kept] = {}
        self._held: list[Kept] = []
        self._previous = previous

    def keep(
        self, key: str, factory: Callable[[], T], start: Callable[[T], Any] | None, stop: Callable[[T], Any] | None,
        dump: Callable[[T], bytes] | None = None, load: Callable[[T, bytes], object] | None = None,
    ) -> T:  # fmt: skip
        """What is there under `key`, here or on the shelf before; else it is made."""
        kept = self._kept.get(key)
        if kept is None and self._previous is not None:
            kept = self._previous._kept.get(key)
        if kept is None:
            kept = Kept(factory(), start, stop, dump, load)
        self._kept[key] = kept
        value: T = kept.value
        return value

    def settle(self) -> None:
        """All is set up: forget the shelf before, as a chain of all of them would never be freed."""
        self._previous = None

    async def hold(self) -> None:
        """Start what nobody has started. Raises what a start does; what is held until then is for `release`."""
        for kept in self._kept.values():
            if not kept.started and kept.start is not None:
                started = kept.start(kept.value)
                if started is not None:
                    await started
            kept.started = True
            kept.holders += 1
            self._held.append(kept)

    async def release(self, run_stop: RunStop) -> None:
        """Let go of all that is held, in reverse; what nobody else holds is stopped."""
        while self._held:
            kept = self._held.pop()
            kept.holders -= 1
            if not kept.holders and kept.stop is not None:
                await run_stop("stopping what was kept failed", partial(kept.stop, kept.value))

    def dump(self) -> dict[str, bytes]:
        """What a process that takes over is to have."""
        return {key: kept.dump(kept.value) for key, kept in self._kept.items() if kept.dump is not None}

    def load(self, state: Mapping[str, bytes]) -> None:
        """The same in the new process. What no plugin keeps any more is left out."""
        for key, data in state.items():
            kept = self._kept.get(key)
            if kept is not None and kept.load is not None:
                kept.load(kept.value, data)
