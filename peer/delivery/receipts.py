"""What became of our messages, for those who wait for it, or ask when the node has forgotten them already."""

from __future__ import annotations

from typing import Final

from peer.delivery.audience import Deaf
from peer.delivery.letters import Letter
from reactor.core.loop import Reactor
from reactor.core.task import Future

# Letters are remembered after they are settled; the largest, to a full channel, has some 20 KB.
REMEMBERED: Final = 500


class Receipts(Deaf):
    """An Audience."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._settled: dict[str, Letter] = {}  # by the id of their message, the oldest first
        self._waiting: dict[Future[None], Letter] = {}

    def progress(self, letter: Letter, peer_id: str) -> None:
        if not letter.is_settled:
            return
        self._settled[letter.entry.id] = letter
        if len(self._settled) > REMEMBERED:
            del self._settled[next(iter(self._settled))]
        for future, awaited in self._waiting.items():
            if awaited is letter:
                future.set_result(None)

    def get(self, message_id: str) -> Letter | None:
        """One that was settled not long ago."""
        return self._settled.get(message_id)

    async def settled(self, letter: Letter, seconds: float) -> None:
        """Wait until nothing more can become of it, but no longer than that."""
        if letter.is_settled or not seconds:
            return
        future: Future[None] = self._reactor.future()
        timer = self._reactor.call_later(seconds, future.set_result, None)
        self._waiting[future] = letter
        try:
            await future
        finally:
            timer.cancel()
            del self._waiting[future]

    def close(self) -> None:
        """Nobody waits any longer."""
        for future in self._waiting:
            future.set_result(None)
