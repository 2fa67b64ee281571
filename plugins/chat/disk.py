"""The thread of the store, as the histories of the chat want it, and what is said when the disk has trouble.

Whoever runs the server gets all of it in the log, once in a while. People with a page hear the trouble without paths,
which are none of their business.
"""

from __future__ import annotations

import errno
import math
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeVar

from reactor import Future, Plugin, ReactorError, StartError

T = TypeVar("T")

LOG_AGAIN: Final = 60.0  # seconds; a full disk is met by everybody at once
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DiskTrouble(ReactorError):
    """In words for everybody; `__cause__` has them for whoever runs the server."""


class Pool:
    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._logged_at = -math.inf

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """DiskTrouble for whatever the disk has."""
        job: Future[T] = self._plugin.offload(_plainly, function, *args, pool="store")
        job.on_done(self._look)
        return job

    def _look(self, job: Future[T]) -> None:
        error, now = job.error, self._plugin.monotonic()
        if isinstance(error, DiskTrouble) and not _is_in_use(error.__cause__) and now - self._logged_at >= LOG_AGAIN:
            self._logged_at = now
            self._plugin.log.error(f"what is said cannot be kept: {error.__cause__}")

    def close(self) -> bool:
        return True  # it is the server's


def _plainly(function: Callable[..., T], *args: Any) -> T:
    try:
        return function(*args)
    except (OSError, ReactorError) as error:
        words = "the server's disk is full" if is_full(error) else "the server's disk has trouble"
        raise DiskTrouble(words) from error


def is_full(error: BaseException | None) -> bool:
    """Whether it comes from a disk without room."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
            return True
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False


def _is_in_use(error: BaseException | None) -> bool:
    """By the process before us, say, which is about to end; who tries again and fails says so."""
    return isinstance(error, StartError) and error.__cause__ is None
