"""Where the lines of a peer go: standard output in plain mode, the windows of a full-screen terminal in its place."""

from __future__ import annotations

from typing import Protocol

from reactor import Log, escape


class Output(Protocol):
    """What the rest of a peer prints to."""

    def line(self, text: str) -> None:
        """Show one line. Never waits, and never moves a cursor: `text` may hold what others wrote."""


class PlainOutput:
    """Standard output, as it is and without a time: scripts wait for these lines. The log's thread writes them, so that
    a stopped terminal (Ctrl-S) or a full pipe stops nothing else.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def line(self, text: str) -> None:
        """Control characters are shown escaped: a line is one line, whatever somebody has sent."""
        self._log.say(escape(text))
