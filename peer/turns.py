"""What many ask for at one moment and each can have alone in no time: so many of them in one turn of the loop, in the
order in which they came, so that nobody else has to wait for all of them.
"""

from __future__ import annotations

from collections import deque

from reactor.core.loop import Reactor
from reactor.core.task import Future


class Turns:
    def __init__(self, reactor: Reactor, at_once: int) -> None:
        self._reactor = reactor
        self._at_once = at_once
        self._waiting: deque[Future[None]] = deque()

    def next(self) -> Future[None]:
        """Done when it is the caller's turn."""
        turn: Future[None] = self._reactor.future()
        if not self._waiting:
            self._reactor.call_soon(self._let_some)
        self._waiting.append(turn)
        return turn

    def _let_some(self) -> None:
        for _ in range(min(self._at_once, len(self._waiting))):
            self._waiting.popleft().set_result(None)
        if self._waiting:
            self._reactor.call_soon(self._let_some)
