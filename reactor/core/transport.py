"""A connected socket that never blocks: what is written and cannot go out yet waits here, within water marks.

The socket is registered for reading once, for the life of the connection. A write goes out at once, in the caller's
own turn; write interest is armed only while bytes remain (`modify` costs as much as a small `send`).

The contract with the protocol above is the well-known one: `connection_made` once, `data_received` many times,
`eof_received` at most once, `connection_lost` exactly once and last. `pause_writing` and `resume_writing` come when
the high and low water marks are passed. None of them is ever called from inside `write` or `close`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import IO, NamedTuple, Protocol

from reactor.core.loop import Reactor
from reactor.core.selector import READ, WRITE
from reactor.core.task import Cancelled
from reactor.core.timers import NEVER, Deadline, Timer

# 64 KiB: a larger buffer would come from mmap and go back to the system at every call.
RECV_SIZE = 64 * 1024
# A full buffer says that more is there: so many are taken in one turn, and a body costs its reader one wake-up for all.
READS = range(4)
HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
# One turn sends at most this much of a file, so that a fast reader of a large file does not hold up the others.
SENDFILE_SIZE = 512 * 1024
# What a lingering close reads and drops at the most, and how long it waits, before it resets the connection.
LINGER_BYTES = 1024 * 1024
# SO_LINGER for no time: the close is a reset, and the system forgets what a peer that takes nothing was to get. Else it
# would offer that for many minutes, out of memory that the program is not seen to have.
FORGET = struct.pack("ii", 1, 0)


class ConnectionProtocol(Protocol):
    """What sits on a transport. `connection_made` comes once and first, `data_received` with bytes that are never
    empty, `eof_received` when the peer sends no more (it may still read), `connection_lost` once and last, with the
    system's error or None. What `data_received` or `eof_received` raises is reported, and ends the connection.
    """

    def connection_made(self, transport: Transport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, error: OSError | None) -> None: ...


class StreamSocket(Protocol):
    """What a transport needs of a socket; it raises BlockingIOError where it would have to wait."""

    def fileno(self) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Pace(NamedTuple):
    """How fast a peer has to take what waits: `rate` bytes a second on average, once `grace` seconds are over."""

    rate: float
    grace: float


class _Backlog:
    """Bytes that wait for a peer: since when some always have, and how many it has taken of them."""

    __slots__ = ("since", "taken")

    def __init__(self, since: float) -> None:
        self.since = since
        self.taken = 0


class FileSend:
    """A piece of a file in the output queue."""

    __slots__ = ("file", "left", "offset", "on_done")

    def __init__(self, file: IO[bytes], offset: int, size: int, on_done: Callable[[], object]) -> None:
        self.file, self.offset, self.left, self.on_done = file, offset, size, on_done

    def too_short(self) -> OSError:
        return OSError(f"{getattr(self.file, 'name', 'the file')} became shorter while it was sent")


class Transport:
    """`peer` is the other side's address as the system gives it. `unsent` are the bytes that wait to go out, files in
    full (an attribute, as who sends to many looks at it for each). `stall_limit` may be set: a peer that takes not one
    byte for so many seconds while some are waiting is cut off, and `connection_lost` gets ETIMEDOUT. `pace` may be set:
    one that takes them slower than this is cut off with ETIME. `on_drained` may be set, and is called from the ready
    queue each time the last of the bytes that had to wait has gone out. While it `is_direct`, nothing waits and
    nothing ends, and `write` hands its bytes to `socket`: who sends to hundreds may do the same, without the call.
    `unread` is what a peer that took no more had sent before: who has asked may find in it why.
    """

    __slots__ = ("_backlog", "_closing", "_ended", "_fd", "_linger", "_linger_left", "_linger_timer", "_lost", "_mask",
                 "_out", "_protocol", "_reactor", "_reading", "_stall", "_writer_paused", "is_direct",
                 "on_drained", "pace", "peer", "socket", "stall_limit", "unread", "unsent")  # fmt: skip

    is_secure = False  # whether the bytes are encrypted on their way: `core.tls`

    def __init__(self, reactor: Reactor, sock: StreamSocket, peer: object, protocol: ConnectionProtocol) -> None:
        """`sock` is connected and non-blocking; it belongs to the transport from now on."""
        self._reactor = reactor
        self.socket = sock
        self._fd = sock.fileno()
        self._protocol = protocol
        self.peer = peer
        self._out: deque[memoryview | FileSend] | None = None  # a deque costs 600 bytes: only while it is needed
        self.unsent = 0
        self.is_direct = True
        self._reading = True
        self._ended = False  # the peer sends no more
        self._closing = False
        self._lost = False
        self._writer_paused = False
        self._linger = 0.0
        self._linger_left = 0
        self._linger_timer: Timer | None = None
        self.stall_limit = NEVER
        self.pace: Pace | None = None
        self._backlog: _Backlog | None = None  # while bytes wait, and somebody wants to know how fast they go
        self.on_drained: Callable[[], object] | None = None
        self.unread = b""
        self._stall: Deadline | None = None  # made when bytes first have to wait
        self._mask = READ
        reactor.register(self._fd, READ, self._ready)
        protocol.connection_made(self)

    # -- what the protocol may do ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send now or as soon as possible, in order. After `close` or a lost connection it is dropped."""
        if not self.is_direct:
            self._queue(memoryview(data))
            return
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._not_taken(error)
            return
        if sent < len(data):
            self.write_rest(data, sent)

    def write_rest(self, data: bytes, sent: int) -> None:
        """The socket has taken so many bytes of `data`: the others follow when it takes more."""
        self._queue(memoryview(data)[sent:])

    def sendfile(self, file: IO[bytes], offset: int, size: int, on_done: Callable[[], object]) -> None:
        """Send `size` bytes of `file` behind what is queued. `on_done()` is called when they have gone out or never
        will; the file is the caller's to close. A file that ends too early aborts the connection.
        """
        if self._closing or self._lost:
            self._reactor.call_soon(on_done)
            return
        self._queue(FileSend(file, offset, size, on_done))
        self._flush()

    @property
    def is_closing(self) -> bool:
        """Whether it has been closed or lost: what is written now is dropped."""
        return self._closing or self._lost

    def pause_reading(self) -> None:
        """Take no more bytes; the peer's sending stalls once the system's buffers are full."""
        self._reading = False
        self._update()

    def resume_reading(self) -> None:
        """Read again; nothing once it is closing."""
        if not self._closing and not self._lost and not self._ended:
            self._reading = True
            self._update()

    def write_eof(self) -> None:
        """Say that we send nothing more, and go on reading. Only when nothing waits to go out."""
        if not self._lost and self._out is None:
            self._shutdown()

    def keep_alive(self, idle: int, interval: int, probes: int) -> None:
        """Let the system notice a peer that is gone: ask after `idle` seconds of silence, every `interval` seconds, and
        give the connection up after so many `probes` without an answer. For protocols that cannot ask themselves.
        """
        tcp = socket.IPPROTO_TCP
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", probes)):
                if hasattr(socket, option):  # not everywhere has all three
                    self.socket.setsockopt(tcp, getattr(socket, option), value)
        except OSError:
            pass  # gone already, which the next read will say

    def close(self, linger: float = 0.0) -> None:
        """Send what waits, then close. With `linger`, say that we are done and read and drop what the peer still
        sends for up to so many seconds: closing with unread bytes would reset the connection, and a reset may
        overtake the answer on its way to the peer.
        """
        if self._closing or self._lost:
            return
        self._closing = True
        self.is_direct = False
        self._linger = linger
        self._reading = False
        self._update()
        if self._out is None:
            self._finish_close()

    def abort(self, error: OSError | None = None) -> None:
        """Close at once; what waits is lost."""
        self._fail(error)

    def hand_over(self, protocol: ConnectionProtocol, data: bytes = b"") -> bool:
        """Let `protocol` have the connection from now on, and first the bytes in `data`, which the one before it has
        read and not used. To the new one it is a new connection: it reads, and it has heard nothing. `stall_limit` and
        what waits to go out stay; `on_drained` does not. The one before it hears no more, not even `connection_lost`.
        False if the connection is closing or lost: then nothing has changed.
        """
        if self._closing or self._lost:
            return False
        self._protocol = protocol
        self.on_drained = None
        self.resume_reading()
        try:
            protocol.connection_made(self)
            if data and not self.is_closing:
                protocol.data_received(data)
            if self._ended and not self.is_closing:
                protocol.eof_received()
        except (Exception, Cancelled) as error:
            self._reactor.unhandled(error, f"in the connection with {self.peer}")
            self._fail(None)
        if self._writer_paused:
            self._reactor.call_soon(self._tell_writer, protocol, True)
        return True

    # -- what the loop does ------------------------------------------------------------------------------------------

    def _ready(self, mask: int) -> None:
        if mask != READ:
            self._flush()
        if not mask & READ:
            return
        for _ in READS:
            if not self._reading:
                return
            try:
                data = self.socket.recv(RECV_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(error)
                return
            try:
                if self._linger_timer is not None:
                    self._drop(data)
                elif data:
                    self._protocol.data_received(data)
                else:
                    self._ended = True
                    self.pause_reading()  # an ended stream stays readable for ever
                    self._protocol.eof_received()
            except (Exception, Cancelled) as error:
                self._reactor.unhandled(error, f"in the connection with {self.peer}")
                self._fail(None)
            if len(data) < RECV_SIZE:
                return

    def _update(self) -> None:
        """Make the registration fit; nothing to wait for means none, as no selector takes an empty mask."""
        mask = 0
        if not self._lost:
            mask = (READ if self._reading else 0) | (WRITE if self._out is not None else 0)
        before, self._mask = self._mask, mask
        if mask == before:
            return
        if not mask:
            self._reactor.unregister(self._fd)
        elif before:
            self._reactor.modify(self._fd, mask, self._ready)
        else:
            self._reactor.register(self._fd, mask, self._ready)

    def _queue(self, item: memoryview | FileSend) -> None:
        if self._closing or self._lost:
            return
        if self._out is None:
            self._out = deque()
            self.is_direct = False
            self._watch_stall()
            if self.pace is not None:
                self._backlog = _Backlog(self._reactor.now)
        self._out.append(item)
        self.unsent += item.left if isinstance(item, FileSend) else len(item)
        self._update()
        if self.unsent > HIGH_WATER and not self._writer_paused:
            self._writer_paused = True
            self._reactor.call_soon(self._tell_writer, self._protocol, True)

    def _tell_writer(self, protocol: ConnectionProtocol, pause: bool) -> None:
        """From the ready queue, and each change in its turn: who has seen `unsent` above the mark waits for the second
        one, even if both came within a turn.
        """
        if self._lost or protocol is not self._protocol:
            return
        if pause:
            protocol.pause_writing()
        else:
            protocol.resume_writing()

    def _flush(self) -> None:
        """Send from the queue until it is empty or the socket is full."""
        out = self._out
        try:
            while out and not self._lost:
                if not self._send_some(out):
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._not_taken(error)
        if self._lost:
            return
        if out:
            self._check_pace()
        else:
            self._out = self._backlog = None
            self.is_direct = not self._closing
            if self.on_drained is not None:
                self._reactor.call_soon(self.on_drained)
            if self._stall is not None:
                self._stall.move(NEVER)
            self._update()
            if self._closing:
                self._finish_close()
        if self._writer_paused and self.unsent < LOW_WATER:
            self._writer_paused = False
            self._reactor.call_soon(self._tell_writer, self._protocol, False)

    def _send_some(self, out: deque[memoryview | FileSend]) -> bool:
        """One system call for the first of the queue; False if the turn is to end here."""
        item = out[0]
        if isinstance(item, FileSend):
            return self._send_of_file(item, out)
        sent = self.socket.send(item)
        self._progress(sent)
        if sent == len(item):
            out.popleft()
            return True
        out[0] = item[sent:]
        return False

    def _send_of_file(self, item: FileSend, out: deque[memoryview | FileSend]) -> bool:
        size = min(item.left, SENDFILE_SIZE)
        sent = os.sendfile(self._fd, item.file.fileno(), item.offset, size) if size else 0
        if size and not sent:
            self._fail(item.too_short())
            return False
        item.offset += sent
        item.left -= sent
        self._progress(sent)
        if item.left:
            return False
        out.popleft()
        self._reactor.call_soon(item.on_done)
        return True

    def _progress(self, sent: int) -> None:
        self.unsent -= sent
        self._watch_stall()
        self._count(sent)

    def _count(self, sent: int) -> None:
        if self._backlog is not None:
            self._backlog.taken += sent

    def _check_pace(self) -> None:
        """Called when the peer has taken something; that it does so at all is what `stall_limit` is for."""
        pace, backlog = self.pace, self._backlog
        if pace is not None and backlog is not None:
            waited = self._reactor.now - backlog.since
            if waited > pace.grace and backlog.taken < pace.rate * waited:
                self._cut(OSError(errno.ETIME, f"took less than {pace.rate:g} bytes a second"))

    def _watch_stall(self) -> None:
        if self._stall is None:
            if self.stall_limit == NEVER:
                return
            self._stall = self._reactor.deadline(self._stalled)
        self._stall.move(self._reactor.now + self.stall_limit)

    def _stalled(self) -> None:
        self._cut(OSError(errno.ETIMEDOUT, f"took nothing for {self.stall_limit:g} s"))

    def _cut(self, error: OSError) -> None:
        """End the connection with a reset: what waits, here and in the system, is not offered any longer."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FORGET)
        except OSError:
            pass  # gone already
        self._fail(error)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _finish_close(self) -> None:
        if not self._linger:
            self._fail(None)
            return
        self._shutdown()
        self._linger_left = LINGER_BYTES
        self._linger_timer = self._reactor.call_later(self._linger, self._fail, None)
        self._reading = True
        self._update()

    def _drop(self, data: bytes) -> None:
        self._linger_left -= len(data)
        if not data or self._linger_left < 0:
            self._fail(None)

    def _shutdown(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer is gone already, which the next read will say

    def _not_taken(self, error: OSError) -> None:
        """The peer takes nothing more. Its reset does not undo what the system had received of it."""
        try:
            self.unread = self.socket.recv(RECV_SIZE)
        except OSError:
            pass
        self._fail(error)

    def _fail(self, error: OSError | None) -> None:
        """The connection is over; the protocol hears it from the ready queue, once."""
        if self._lost:
            return
        self._lost = True
        self.is_direct = False
        self._reading = False
        self._update()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        if self._stall is not None:
            self._stall.close()
        out, self._out, self.unsent = self._out, None, 0
        for item in out or ():
            if isinstance(item, FileSend):
                self._reactor.call_soon(item.on_done)
        self.socket.close()
        self._reactor.call_soon(self._protocol.connection_lost, error)
