"""The life of a WebSocket's connection: frames between transport and inbox, pings, and an orderly end.

    OPEN      what comes is parsed a slice at a time, until the inbox is full; silence is answered with a ping
    LAST      the end has come close behind messages: the handler has a turn to answer them
    CLOSING   a Close frame of ours is out, and theirs is awaited
    ENDING    both are, or theirs will never come: the last bytes go out

A Close frame goes first whenever we end a connection that still takes bytes. The handler is a task beside it: it hears
of the end as the end of its messages, and has HANDLER_GRACE to come to an end itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Final

from reactor.core.task import Cancelled, Future, Task
from reactor.core.timers import NEVER
from reactor.core.transport import HIGH_WATER, Transport
from reactor.errors import ConnectionLost
from reactor.http.exchange import MISTAKES
from reactor.http.websocket import WebSocket

if TYPE_CHECKING:
    from reactor.http.frames import Frames
    from reactor.http.server import HTTPServer, Site

SocketHandler = Callable[[WebSocket], Awaitable[None]]

# Bytes that are parsed before anybody looks whether the inbox is full: 4 KiB hold 680 empty messages, or 50 that each
# inflate to the largest size.
SLICE: Final = 4096
# Seconds for the client to read our last words (see Transport.close).
LINGER: Final = 2.0
# Seconds that a handler has behind the end of its connection before it is cancelled. Less than App's TIDY_UP.
HANDLER_GRACE: Final = 3.0

_numbers = count()  # of pings, in their payload


@dataclass(frozen=True)
class SocketSettings:
    """Bounds of the WebSockets of one route, in bytes and seconds."""

    max_message: int = 64 * 1024  # as it comes, and inflated
    max_queue: int = 1024 * 1024  # unread by the client, before it is closed as too slow
    ping_after: float = 25.0  # of silence; proxies forget a connection after 60 s. 0: never
    pong_timeout: float = 20.0
    close_timeout: float = 5.0  # for the client's Close behind ours
    deflate: bool = False


class Phase(Enum):
    OPEN = "messages"
    LAST = "the handler's answer to what came before the end"
    CLOSING = "their Close"
    ENDING = "the last bytes to go out"


OPEN: Final = Phase.OPEN
LAST: Final = Phase.LAST
CLOSING: Final = Phase.CLOSING
ENDING: Final = Phase.ENDING


class WebSocketConnection:
    """A protocol in the sense of `core.transport`, and one of the server's connections."""

    state = "websocket"  # among those of the server

    __slots__ = ("__weakref__", "_deadline", "_handler", "_heard", "_phase", "_pinged", "_pings", "_rest", "_resumed",
                 "_server", "_settings", "_site", "_task", "frames", "reactor", "socket", "transport")  # fmt: skip

    def __init__(
        self,
        server: HTTPServer,
        site: Site,
        socket: WebSocket,
        frames: Frames,
        handler: SocketHandler,
        settings: SocketSettings,
    ) -> None:
        self.reactor = server.reactor
        self.socket = socket
        self.frames = frames
        self.transport: Transport
        self._server = server
        self._site = site
        self._handler = handler
        self._settings = settings
        self._phase = OPEN
        self._deadline = self.reactor.deadline(self._expired)
        self._heard = self.reactor.now
        self._pinged = NEVER  # when silence was last answered with a ping
        self._pings: dict[bytes, tuple[Future[float], float]] | None = None  # the handler's, oldest first
        self._rest = b""  # came while the inbox was full
        self._resumed: Future[None] | None = None  # the client has read
        self._task: Task[None]

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self._server.opened(self)
        self._site.active += 1
        if self._settings.ping_after:
            self._deadline.move(self.reactor.now + self._settings.ping_after)
        self.socket.opened(self)
        self._task = self.reactor.spawn(self._run())
        if self._server.draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        self._heard = self.reactor.now
        if len(data) <= SLICE and not self._rest:
            self._take(data)
            if self._is_held:
                self.transport.pause_reading()
        else:
            self._rest += data
            self._take_rest()

    def eof_received(self) -> None:
        """The client ends its side without a Close frame, and may still read that this is wrong (RFC 6455 7.1.1)."""
        if self._phase is LAST:
            return
        if self._phase is OPEN:
            self.socket.flush()
            self.frames.say_close(1002, "no Close frame")
            self._flush()
        self._end(1006, "the connection ended without a Close frame")

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None:
        self._let_writers_go()
        self._take_rest()

    def connection_lost(self, error: OSError | None) -> None:
        self._deadline.close()
        self._end(1006, str(error) if error is not None else "the connection was lost")
        self._server.closed(self)
        if not self._task.done:
            timer = self.reactor.call_later(HANDLER_GRACE, self._task.cancel)
            self._task.on_done(lambda _: timer.cancel())

    # -- the handler -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._handler(self.socket)
            self.close(1000, "")
        except MISTAKES as error:
            if self.socket.is_open or not isinstance(error, (ConnectionLost, Cancelled)):
                self._server.on_error(error, f"in the WebSocket handler of {self.socket.request.path}")
            self.close(1011, "the server made a mistake")
        finally:
            self._site.leave()

    # -- frames in ---------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        frames = self.frames
        frames.receive(data)
        if frames.messages:
            self.socket.deliver(frames.messages)
            frames.messages.clear()
        if frames.pongs:
            self._take_pongs()
        if frames.is_over:
            self._over()
        elif frames.writes:
            self._flush()

    def _over(self) -> None:
        """They have said Close, or made a mistake, and are to hear ours; the handler may answer what came before."""
        if self._phase is OPEN and self.socket.has_messages:
            self._phase = LAST
            self.reactor.call_soon(self._last_word)
        elif self._phase is not LAST:
            self._last_word()

    def _last_word(self) -> None:
        if self._phase is not ENDING:
            self.socket.flush()
            self._flush()
            self._end(*(self.frames.their_close or self.frames.our_close or (1006, "")))

    @property
    def _is_held(self) -> bool:
        """The handler is behind, or the client, whose pings would only add to what it does not read."""
        return self.socket.is_full or self.transport.unsent > HIGH_WATER

    def _take_rest(self) -> None:
        """Go on with what has come, a slice at a time, and then with reading."""
        while self._rest and not self._is_held:
            piece, self._rest = self._rest[:SLICE], self._rest[SLICE:]
            self._take(piece)
        if self._rest or self._is_held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def inbox_empty(self) -> None:
        """The handler has caught up."""
        self._take_rest()

    # -- pings -------------------------------------------------------------------------------------------------------

    def ping(self) -> Future[float]:
        """Done with the seconds it took to be answered; ConnectionLost if it never will be."""
        if self._pings is None:
            self._pings = {}
        future: Future[float] = Future(self.reactor)
        payload = next(_numbers).to_bytes(8, "big")
        self._pings[payload] = (future, self.reactor.now)
        self._send_ping(payload)
        return future

    def _send_ping(self, payload: bytes) -> None:
        self.frames.send_ping(payload)
        self._flush()

    def _take_pongs(self) -> None:
        """A pong answers its ping and those before it, as a client may leave these out (RFC 6455 5.5.3)."""
        pongs, self.frames.pongs = self.frames.pongs, []
        pings = self._pings
        for payload in pongs:
            if not pings or payload not in pings:
                continue  # that of silence, or one nobody asked for
            for known in list(pings):
                future, at = pings.pop(known)
                future.set_result(self.reactor.now - at)
                if known == payload:
                    break

    def _expired(self) -> None:
        if self._phase is CLOSING:
            self.transport.abort()
        elif self._phase is OPEN:
            self._watch_silence()

    def _watch_silence(self) -> None:
        now, settings = self.reactor.now, self._settings
        if self._rest or self._is_held:  # it is not heard because we do not read
            self._heard, self._pinged = now, NEVER
        if self._heard < self._pinged < NEVER:
            self.close(1011, f"no pong within {settings.pong_timeout:g} s")
            return
        due = self._heard + settings.ping_after
        if due > now:
            self._pinged = NEVER
            self._deadline.move(due)
        else:
            self._pinged = now
            self._send_ping(b"")
            self._deadline.move(now + settings.pong_timeout)

    # -- frames out, and the end -------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self.transport.write(b"".join(self.frames.data_to_send()))
        if not self.transport.is_direct:
            self.socket.hold()

    async def drained(self) -> None:
        """See `WebSocket.drained`."""
        self.socket.flush()
        if self._phase is OPEN and self.transport.unsent > HIGH_WATER:
            if self._resumed is None:
                self._resumed = Future(self.reactor)
            await self._resumed

    def close(self, code: int, reason: str) -> None:
        """See `WebSocket.close`."""
        self.socket.flush()
        if self._phase is not OPEN:
            return
        self.frames.say_close(code, reason)
        self._phase = CLOSING
        self._flush()
        self.socket.ended(code, reason, forget=True)
        self._let_go()
        patience = self._settings.close_timeout
        if self.transport.unsent:  # our Close waits behind what the client has not read yet
            patience += self._server.settings.write_timeout
        self._deadline.move(self.reactor.now + patience)
        self._take_rest()

    def _end(self, code: int, reason: str) -> None:
        """Neither side says anything more."""
        self._phase = ENDING
        self._rest = b""
        self._deadline.move(NEVER)
        self.socket.ended(code, reason, forget=False)
        self._let_go()
        self.transport.close(LINGER)

    def _let_go(self) -> None:
        """Of who waits for what will not happen any more."""
        pings, self._pings = self._pings, None
        for future, _ in (pings or {}).values():
            future.set_error(ConnectionLost("the WebSocket closed before its ping was answered"))
        self._let_writers_go()

    def _let_writers_go(self) -> None:
        waiter, self._resumed = self._resumed, None
        if waiter is not None:
            waiter.set_result(None)

    # -- for the server ----------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """False: silence is in order, and it is not closed to make room."""
        return False

    def close_idle(self) -> bool:
        """It never is."""
        return False

    def drain(self, gently: bool = False) -> None:
        """The server ends: so does this, in good order."""
        self.close(1001, "the server is going away")

    def abort(self) -> None:
        """Cut it."""
        self.transport.abort()
