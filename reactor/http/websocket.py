"""A WebSocket as its handler sees it (RFC 6455): messages in, messages out, and the word that ends it.

    async def echo(ws: WebSocket) -> None:
        async for message in ws:        # str or bytes; ends when the connection does
            ws.send(message)

What comes waits in an inbox, and a client whose handler is slow is read no further. What goes out waits in the
transport, and a client that reads slowly is closed with 1013 at a bound: nobody who sends ever waits for one reader,
so one reader cannot hold up a channel. The first message of a turn goes out at once, those behind it together at the
end of the turn: a busy room costs two system calls a reader, however many speak. How the connection lives and ends:
`wsconnection`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from reactor.core.task import Future
from reactor.core.timers import NEVER
from reactor.errors import ConnectionLost
from reactor.http.message import Request

if TYPE_CHECKING:
    from reactor.http.wsconnection import WebSocketConnection

# What one message costs beside its text, when the inbox is measured: so the number of empty ones is bounded too.
MESSAGE_WEIGHT: Final = 64
# An inbox of so many bytes stops the reading; an empty one begins it again.
INBOX: Final = 64 * 1024

# So many bytes that wait for the end of the turn go out before it.
LATE: Final = 64 * 1024

_TEXT: Final = 0x81  # FIN and the opcode
_BINARY: Final = 0x82


class WebSocket:
    """One open connection. `request` is the one that opened it, with the `user` its guard has found; `protocol` the
    subprotocol agreed on, or "".

    `close_code` and `close_reason` are 0 and "" until it closes, then those of whoever said Close first; 1005 for a
    Close without a code, 1006 for a connection that was lost.
    """

    __slots__ = ("__weakref__", "_connection", "_inbox", "_is_over", "_late", "_late_size", "_max_queue", "_socket",
                 "_transport", "_waiting", "_weight", "_wrote_at", "close_code", "close_reason", "is_full", "is_open",
                 "protocol", "request")  # fmt: skip

    def __init__(self, request: Request, protocol: str, max_queue: int) -> None:
        self.request = request
        self.protocol = protocol
        self.close_code = 0
        self.close_reason = ""
        self.is_open = False  # messages can be sent
        self._is_over = False  # none come any more, but for those in the inbox
        self._max_queue = max_queue
        # The turn in which something went out at once; NEVER while something waits, for the end of this one or in the
        # transport, or where nothing can go out: so one comparison tells whose socket can be written to.
        self._wrote_at = NEVER
        self._late: list[bytes] = []  # frames for the end of the turn
        self._late_size = 0
        self.is_full = False  # the inbox
        self._inbox: list[str | bytes] = []
        self._weight = 0
        self._waiting: Future[None] | None = None

    # -- for the handler ---------------------------------------------------------------------------------------------

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        """The next message. One task at a time may wait for it; one that is cancelled while it does loses nothing."""
        while not self._inbox:
            if self._is_over:
                raise StopAsyncIteration
            if self._waiting is not None:
                raise RuntimeError("two tasks wait for the next message of one WebSocket")
            self._waiting = Future(self._connection.reactor)
            try:
                await self._waiting
            finally:
                self._waiting = None
        message = self._inbox.pop(0)
        self._weight -= len(message) + MESSAGE_WEIGHT
        if self.is_full and not self._inbox:
            self.is_full = False
            self._connection.inbox_empty()
        return message

    def send(self, message: str | bytes) -> None:
        """Send a text or binary message as soon as possible. Never waits: a client with more than `max_queue` bytes
        unread is closed with 1013. Dropped once the socket is closed.
        """
        if self.is_open:
            frames = self._connection.frames
            self._push(frames.deflated(message) if frames.deflates else data_frame(message))

    def _push(self, frame: bytes) -> None:
        now = self._connection.reactor.now
        if self._wrote_at < now:
            self._write(frame)
        else:
            self._push_late(frame)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport.unsent > self._max_queue:
            self.close(1013, "too slow")
        else:
            transport.write(data)
            self._wrote_at = self._connection.reactor.now if transport.is_direct else NEVER

    def _push_late(self, frame: bytes) -> None:
        """At the end of the turn, if it is open."""
        if not self.is_open:
            return
        if not self._late:
            self._wrote_at = NEVER
            self._connection.reactor.call_soon(self.flush)
        self._late.append(frame)
        self._late_size += len(frame)
        if self._late_size > LATE:
            self.flush()

    async def drained(self) -> None:
        """Wait until the client has read most of what was sent; at once if it has, or if it is gone."""
        await self._connection.drained()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say Close, and read no more messages; what was sent still goes out. Nothing if it is closed already.

        `code` is one that a server may send (RFC 6455 7.4: 1000, 1001, 1008, 1011, … or 3000 to 4999) and `reason` has
        at most 123 bytes; else LocalProtocolError.
        """
        self._connection.close(code, reason)

    async def ping(self) -> float:
        """Ask whether the client is there: seconds until it has said so. ConnectionLost if the socket closes first."""
        if not self.is_open:
            raise ConnectionLost("the WebSocket is closed")
        return await self._connection.ping()

    def __repr__(self) -> str:
        state = "open" if self.is_open else f"closed {self.close_code}"
        return f"<WebSocket {self.request.path} from {self.request.client}, {state}>"

    # -- for its connection ------------------------------------------------------------------------------------------

    def opened(self, connection: WebSocketConnection) -> None:
        """It can be used from now on."""
        self._connection = connection
        self._transport = connection.transport
        self._socket = connection.transport.socket
        self._wrote_at = -NEVER if connection.transport.is_direct else NEVER
        self.is_open = True

    def hold(self) -> None:
        """Bytes wait in the transport: what is sent now goes behind them, and not straight to the socket."""
        self._wrote_at = NEVER

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        if self._late and self.is_open:
            data = b"".join(self._late)
            self._late.clear()
            self._late_size = 0
            self._write(data)

    @property
    def has_messages(self) -> bool:
        """Some have come that the handler has not taken."""
        return bool(self._inbox)

    def deliver(self, messages: list[str | bytes]) -> None:
        """These have come; who has closed hears no more."""
        if self._is_over:
            return
        self._inbox += messages
        for message in messages:
            self._weight += len(message) + MESSAGE_WEIGHT
        self.is_full = self._weight >= INBOX
        self._wake()

    def ended(self, code: int, reason: str, *, forget: bool) -> None:
        """Nothing more comes or goes; `forget` drops what the handler has not taken yet. Only the first end counts."""
        if self._is_over:
            return
        if forget:
            self._inbox.clear()
            self.is_full = False
        self.is_open, self._is_over = False, True
        self._wrote_at = NEVER
        self._late.clear()
        self.close_code, self.close_reason = code, reason
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set_result(None)


def data_frame(message: str | bytes) -> bytes:
    """A message as one frame of a server's: unmasked, not compressed (RFC 6455 5.2)."""
    if isinstance(message, str):
        first, payload = _TEXT, message.encode()
    else:
        first, payload = _BINARY, bytes(message)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def broadcast(sockets: Iterable[WebSocket], message: str | bytes) -> None:
    """`send` to each; the frame is made once, so nobody gets it compressed. Who is closed is left out, who is too slow
    is closed with 1013. Nothing is called back meanwhile: `sockets` may be the set that the handlers keep.
    """
    frame = data_frame(message)
    size = len(frame)
    now: float | None = None
    for socket in sockets:  # as `send`, and `Transport.write`, but for the calls, and for what is looked at on the way
        if now is None:
            now = socket._connection.reactor.now
        if socket._wrote_at >= now:
            socket._push_late(frame)
            continue
        socket._wrote_at = now
        try:
            sent = socket._socket.send(frame)
        except OSError:  # not one byte went: what that means, the transport knows
            socket._write(frame)
            continue
        if sent < size:
            socket._transport.write_rest(frame, sent)
            socket.hold()
