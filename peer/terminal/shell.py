"""Commands from a descriptor, one after the other: a script's next command waits for the one before it.

A person at a terminal does not want to wait: what is typed is read at once, and `quit` or the end of the input ends the
command that runs (a `join` whose tracker does not answer) and whatever was typed behind it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from peer.terminal.console import Console
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Future, Task

# What may be typed ahead; then nothing is read until a command is done.
MOST_AHEAD: Final = 1000

FAREWELLS: Final = ("quit", "exit")


class Shell:
    """A Front. `run` does one command, `on_end` is called when no more will come."""

    def __init__(
        self,
        reactor: Reactor,
        fd: int | None,
        run: Callable[[str], Coroutine[Any, Any, None]],
        on_end: Callable[[], object],
        *,
        on_too_long: Callable[[], object],
    ) -> None:
        """`fd` stays the caller's."""
        self._reactor = reactor
        self._run = run
        self._is_typed = fd is not None and os.isatty(fd)
        self._waiting: deque[str] = deque()
        self._running: Task[None] | None = None
        self._console = Console(reactor, fd, self._take, on_end, on_too_long=on_too_long)

    def start(self) -> None:
        self._console.start()

    def close(self) -> None:
        """Take no more, and end what runs."""
        self._console.close()
        self.stop()

    def stop(self) -> None:
        """End the command that runs, and forget those behind it."""
        self._waiting.clear()
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()

    def _take(self, line: str) -> None:
        if self._is_typed and line.strip().lower().removeprefix("/") in FAREWELLS:
            self.stop()
        self._waiting.append(line)
        self._go_on()
        if len(self._waiting) >= (MOST_AHEAD if self._is_typed else 0):
            self._console.pause()

    def _go_on(self) -> None:
        if self._running is None and self._waiting:
            self._running = self._reactor.spawn(self._run(self._waiting.popleft()))
            self._running.on_done(self._done)

    def _done(self, task: Future[None]) -> None:
        if task.error is not None and not isinstance(task.error, Cancelled):
            self._reactor.unhandled(task.error, "in a command")
        if task is self._running:
            self._running = None
            self._console.resume()
            self._go_on()
