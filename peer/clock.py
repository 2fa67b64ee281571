"""Wall-clock time, as the wire has it and as people read it. It labels messages, and orders nothing.

How long something has waited is not its business either, or setting the clock would end all waiting: within one run
that is measured by `SteadyTime`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime


class SteadyTime:
    """Unix time that goes on from its start as fast as time passes, whatever is done to the clock of the machine. The
    time that the machine sleeps does not count.
    """

    def __init__(
        self, unix_time: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._offset = unix_time() - monotonic()

    def __call__(self) -> float:
        return self._offset + self._monotonic()


def timestamp() -> str:
    """Now: ISO 8601, UTC, with milliseconds."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


def minutes(now: float) -> str:
    """Hours and minutes here, at this Unix time."""
    return f"{datetime.fromtimestamp(now):%H:%M}"


def label(written: str, now: float) -> str:
    """Hours and minutes here, or month and day if it was on another one than `now`, in Unix time. What is no time, as
    clocks may be anybody's, is `--:--`.
    """
    try:
        when = datetime.fromisoformat(written).astimezone()
    except (ValueError, OverflowError, OSError):
        return "--:--"
    return f"{when:%H:%M}" if when.date() == datetime.fromtimestamp(now).date() else f"{when:%m-%d}"
