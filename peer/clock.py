"""Wall-clock time, as the wire has it and as people read it. It labels messages, and orders nothing."""

from __future__ import annotations

import time
from datetime import datetime


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
