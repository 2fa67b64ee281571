"""Two connections that have left HTTP, with one's bytes going to the other, no faster than that reads."""

from __future__ import annotations

from collections.abc import Callable

from reactor import NEVER, Reactor, Transport


class Tunnel:
    """`near` is for the client's connection, `far` for the server's. `on_over()` is called once."""

    def __init__(self, reactor: Reactor, idle: float, on_over: Callable[[], object]) -> None:
        """`idle` seconds without a byte in either direction end it; 0 is never."""
        self._reactor = reactor
        self._idle = idle
        self._on_over = on_over
        self._deadline = reactor.deadline(self.close)
        self.near = End(self)
        self.far = End(self)
        self.near.other, self.far.other = self.far, self.near
        self.is_over = False
        self.moved()

    def moved(self) -> None:
        """A byte has passed."""
        self._deadline.move(self._reactor.now + self._idle if self._idle else NEVER)

    def close(self) -> None:
        """End both sides; what waits goes out."""
        for end in (self.near, self.far):
            if end.transport is not None:
                end.transport.close()

    def ended(self) -> None:
        """One side is gone."""
        if not self.is_over:
            self.is_over = True
            self._deadline.close()
            self.close()
            self._on_over()


class End:
    """A ConnectionProtocol."""

    __slots__ = ("_has_ended", "_tunnel", "other", "transport")

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._has_ended = False
        self.other: End
        self.transport: Transport | None = None

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._tunnel.moved()
        self.other.write(data)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def eof_received(self) -> None:
        """One side says no more: the other is told behind what waits for it, and may still answer."""
        self._has_ended = True
        other = self.other.transport
        if other is None or self.other._has_ended:
            self._tunnel.close()
        elif other.unsent:
            other.on_drained = other.write_eof
        else:
            other.write_eof()

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: OSError | None) -> None:
        self.transport = None
        self._tunnel.ended()
