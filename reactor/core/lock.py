"""A lock for tasks: one at a time, in the order they came."""

from __future__ import annotations

from collections import deque

from reactor.core.loop import Reactor
from reactor.core.task import Future


class Lock:
    """`async with lock:`; who is cancelled while it waits loses its place, and the others none."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._held = False
        self._waiting: deque[Future[None]] = deque()

    async def __aenter__(self) -> None:
        if not self._held:
            self._held = True
            return
        turn: Future[None] = self._reactor.future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done:  # it was ours already, and we cannot use it
                self._pass_on()
            else:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        """It stays held if somebody waits: nobody can come in between."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._held = False
