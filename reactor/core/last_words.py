"""A connection that is told one thing and ends: why it is not let in.

It lingers, so that it reads that and no reset: a client that is turned away has mostly not even asked by then, and
bytes that come to a socket that is closed are answered with a reset, which overtakes what was said.
"""

from __future__ import annotations

from typing import Any, Final

from reactor.core.transport import Transport

# Seconds that it has to read them and to leave.
LINGER: Final = 2.0


class LastWords:
    """A protocol in the sense of `core.transport`. It is one of `places` until it is gone."""

    __slots__ = ("_places", "_transport", "_words")

    def __init__(self, words: bytes, places: dict[Any, None]) -> None:
        self._words = words
        self._places = places

    def abort(self) -> None:
        """Let it go at once."""
        self._places.pop(self, None)
        self._transport.abort()

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        self._places[self] = None
        transport.stall_limit = LINGER
        transport.write(self._words)
        transport.close(LINGER)

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, error: OSError | None) -> None:
        self._places.pop(self, None)
