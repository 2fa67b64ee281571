"""A thread that looks whether the loop still turns, and says who holds it up.

One thread serves everybody, so a handler that computes or blocks stops them all, and nothing in the loop can tell. From
outside it shows: the time of the turn stands still and the thread is not in `select`. Its frames say what it is doing.
The loop itself does nothing for this, so it costs nothing; the thread looks twice in each `seconds`.

What holds the interpreter's lock while it blocks (an extension in C) stops this thread too, and is seen late or not.
"""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from reactor.core.loop import Reactor

_TURN: Final = Reactor.turn.__code__
# Code of these is how we came to where we are, and not who is to blame.
_OURS: Final = "reactor"
MOST_NAMES: Final = 5


class Watchdog:
    """`report(seconds, where)` is called from its thread, once for each turn that has taken too long so far."""

    def __init__(self, reactor: Reactor, seconds: float, report: Callable[[float, str], object]) -> None:
        """To be made in the thread that runs the loop."""
        self.seconds = seconds
        self.blocks = 0
        self._reactor = reactor
        self._report = report
        self._loop_thread = threading.get_ident()
        self._suspected = -1.0  # a turn that was under way at the last look
        self._reported = -1.0  # the last turn that was reported
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; nothing if it was never started."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._end.wait(self.seconds / 2):
            self.look()

    def look(self) -> None:
        """Look once. A turn is blamed only if it was there at the look before: the time of one that has just begun is
        still that of the one before, which may be long ago.
        """
        turn = self._reactor.now
        if turn == self._reported:
            return
        stack = self._stack()
        if not stack or stack[-1].f_code.co_name == "select":
            self._suspected = -1.0
            return
        taken = self._reactor.clock() - turn
        if turn == self._suspected and taken >= self.seconds:
            self._reported = turn
            self.blocks += 1
            self._report(taken, describe(stack))
        self._suspected = turn

    def _stack(self) -> list[FrameType]:
        """What the turn has called, the innermost first; nothing if no turn is under way."""
        frame = sys._current_frames().get(self._loop_thread)
        stack = []
        while frame is not None and frame.f_code is not _TURN:
            stack.append(frame)
            frame = frame.f_back
        return stack if frame is not None else []


def describe(stack: list[FrameType]) -> str:
    """`plugins.notes.Notes.add > json.load, at /srv/plugins/notes.py:41: time.sleep(2)`: the functions that are not the
    server's own, from the handler inward, and the line that is being executed.
    """
    inner = stack[0]
    names = [_name(frame) for frame in reversed(stack) if not _is_ours(frame)] or [_name(stack[-1]), _name(inner)]
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], "…", names[-1]]
    source = linecache.getline(inner.f_code.co_filename, inner.f_lineno).strip()[:100]
    where = f"{' > '.join(names)}, at {inner.f_code.co_filename}:{inner.f_lineno}"
    return f"{where}: {source}" if source else where


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == _OURS
