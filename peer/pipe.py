"""A connection between two protocols of one process: what TCP does for them, without a socket.

    left, right = pipe(reactor, link, other_link)

Peers that one server holds reach each other through it by the same rules as through a network: each end promises its
protocol what `core.transport.Transport` does. What is written is delivered in a later turn, in order. What the other
end has not taken waits, and above a buffer's worth it counts as unsent, so that limits for slow readers hold here too.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from reactor.core.loop import Reactor
from reactor.core.timers import NEVER, Deadline, Timer
from reactor.core.transport import HIGH_WATER, LOW_WATER

# What the system would hold of a connection for a reader that is busy.
BUFFER: Final = 64 * 1024


class End:
    """One end. It has what a protocol may use of a Transport, but for files."""

    def __init__(self, reactor: Reactor, protocol: Any, peer: object) -> None:
        """`peer` is where the protocol is told that the other end is."""
        self.peer = peer
        self.stall_limit = NEVER
        self.on_drained: Callable[[], object] | None = None
        self.other: End  # set by `pipe`
        self._reactor = reactor
        self._protocol = protocol
        self._coming: deque[bytes] = deque()  # of the other end, not taken yet
        self._size = 0
        self._reading = True
        self._is_due = False  # a delivery, in the next turn
        self._eof = False  # behind what is coming
        self._closing = self._lost = False
        self._is_paused = False  # our protocol, which writes too fast
        self._linger = 0.0
        self._linger_timer: Timer | None = None
        self._stall: Deadline | None = None

    # -- what the protocol may do ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Dropped after `close`, and when the other end is gone."""
        if self.is_closing or self.other._lost or not data:
            return
        before = self.unsent
        self.other._take(bytes(data))
        if self.unsent and not before:
            self._watch_stall()
        if self.unsent > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._reactor.call_soon(self._tell_writer)

    @property
    def unsent(self) -> int:
        """Bytes that wait, over those that a buffer would hold."""
        return max(0, self.other._size - BUFFER)

    @property
    def is_closing(self) -> bool:
        return self._closing or self._lost

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self.is_closing:
            self._reading = True
            self._deliver_soon()

    def keep_alive(self, idle: int, interval: int, probes: int) -> None:
        """Nobody dies here without a word."""

    def close(self, linger: float = 0.0) -> None:
        """What was written still arrives. With `linger`, wait so long for the other end to close too."""
        if self.is_closing:
            return
        self._closing = True
        self._linger = linger
        if not self.unsent:
            self._finish()

    def abort(self, error: OSError | None = None) -> None:
        """Close at once, both ends; what waits is lost."""
        if not self._lost:
            self.other._coming.clear()
            self.other._size = 0
            self._end(error)
            self.other._end(OSError(errno.ECONNRESET, "Connection reset by peer"))

    def hand_over(self, protocol: Any, data: bytes = b"") -> bool:
        """As `Transport.hand_over`."""
        if self.is_closing:
            return False
        self._protocol, self.on_drained = protocol, None
        protocol.connection_made(self)
        if data and not self.is_closing:
            protocol.data_received(data)
        self.resume_reading()
        return True

    # -- what the other end does ---------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._coming.append(data)
        self._size += len(data)
        self._deliver_soon()

    def _take_eof(self) -> None:
        self._eof = True
        if self._closing:
            self._end(None)
        else:
            self._deliver_soon()

    def _deliver_soon(self) -> None:
        if not self._is_due and not self._lost:
            self._is_due = True
            self._reactor.call_soon(self._deliver)

    def _deliver(self) -> None:
        """One piece, as others want their turn too."""
        self._is_due = False
        if self._lost:
            return
        if self._closing:  # nobody looks at it any more
            self._coming.clear()
            self._taken(self._size)
        if not self._reading:
            return
        if self._coming:
            data = self._coming.popleft()
            self._taken(len(data))
            self._tell(self._protocol.data_received, data)
            if self._coming or self._eof:
                self._deliver_soon()
        elif self._eof and not self._closing:
            self._reading = False
            self._tell(self._protocol.eof_received)

    def _tell(self, hear: Callable[..., object], *args: Any) -> None:
        try:
            hear(*args)
        except Exception as error:
            self._reactor.unhandled(error, f"in the connection with {self.peer}")
            self.abort()

    def _taken(self, size: int) -> None:
        """So many bytes of the other end have arrived."""
        before = self.other.unsent
        self._size -= size
        if before and not self.other._lost:
            self.other._progressed()

    # -- what becomes of what we wrote ---------------------------------------------------------------------------------

    def _progressed(self) -> None:
        if self.unsent:
            self._watch_stall()
        else:
            if self._stall is not None:
                self._stall.move(NEVER)
            if self.on_drained is not None:
                self._reactor.call_soon(self.on_drained)
            if self._closing:
                self._finish()
        if self._is_paused and self.unsent < LOW_WATER:
            self._is_paused = False
            self._reactor.call_soon(self._tell_writer)

    def _tell_writer(self) -> None:
        if not self._lost:
            hear = self._protocol.pause_writing if self._is_paused else self._protocol.resume_writing
            hear()

    def _watch_stall(self) -> None:
        if self.stall_limit < NEVER:
            self._stall = self._stall or self._reactor.deadline(self._stalled)
            self._stall.move(self._reactor.now + self.stall_limit)

    def _stalled(self) -> None:
        self.abort(OSError(errno.ETIMEDOUT, f"took nothing for {self.stall_limit:g} s"))

    def _finish(self) -> None:
        """All that was written has left, as far as we are concerned."""
        self.other._take_eof()
        if not self._linger or self.other.is_closing:
            self._end(None)
        elif not self._lost:
            self._linger_timer = self._reactor.call_later(self._linger, self._end, None)

    def _end(self, error: OSError | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        if self._stall is not None:
            self._stall.close()
        self._reactor.call_soon(self._protocol.connection_lost, error)


def pipe(reactor: Reactor, left: Any, right: Any, *, where: tuple[str, int] = ("127.0.0.1", 0)) -> tuple[End, End]:
    """Connect two protocols; `left` dials, and hears first. Both are told that the other is at `where`."""
    ends = End(reactor, left, where), End(reactor, right, where)
    ends[0].other, ends[1].other = ends[1], ends[0]
    for end, protocol in zip(ends, (left, right), strict=True):
        protocol.connection_made(end)
    return ends
