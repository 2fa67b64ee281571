"""One connection to a server: requests out, one after the other, and their answers in.

The mirror image of `connection.py`, on the same state table. It is used by one request at a time; who asks next waits
for it in the pool of `client.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.core.transport import HIGH_WATER, Transport
from reactor.errors import ConnectionLost, HTTPError, ReactorError, RemoteProtocolError
from reactor.http.body import BodyStream
from reactor.sansio.http1 import CLIENT, IDLE, Connection, Data, End, RequestHead, ResponseHead


class OutgoingConnection:
    """A protocol in the sense of `core.transport`, and a Source in the sense of `http.body`.

    `answered` is whether any byte of the current answer has come; a request without one may be tried again elsewhere.
    """

    def __init__(self, reactor: Reactor, on_free: Callable[[OutgoingConnection], object]) -> None:
        """`on_free(self)` is called when an exchange is over, however it ended."""
        self.reactor = reactor
        self.answered = False
        self.used = 0
        self._on_free = on_free
        self._http = Connection(CLIENT)
        self._transport: Transport
        self._lost = False
        self._head: Future[ResponseHead] | None = None
        self._body: BodyStream | None = None
        self._resumed: Future[None] | None = None

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, head: RequestHead, body: bytes | AsyncIterable[bytes]) -> tuple[ResponseHead, BodyStream]:
        """Send a request; returns when the head of the final answer is there. The body is still on its way then.

        Raises ConnectionLost, or RemoteProtocolError for an answer that is none; the connection is closed then, as it
        is when the waiting task is cancelled.
        """
        self.answered = False
        self.used += 1
        self._head = Future(self.reactor)
        self._body = BodyStream(self, None)
        answer = self._body
        try:
            self._transport.write(self._http.send(head))
            await self._send_body(body)
            return await self._head, answer
        except BaseException:
            self._head.cancel()  # nobody waits for it any more, so nobody is to be told that it failed
            self.abort()
            raise

    async def _send_body(self, body: bytes | AsyncIterable[bytes]) -> None:
        if isinstance(body, bytes):
            self._transport.write(self._http.send(Data(body)) + self._http.send(End()))
            return
        assert self._head is not None
        async for piece in body:
            if self._head.done or self._lost:
                return  # answered before it was all sent (413, say): the rest is not wanted, the connection not kept
            self._transport.write(self._http.send(Data(piece)))
            if self._transport.unsent > HIGH_WATER:
                self._resumed = Future(self.reactor)
                await self._resumed
        self._transport.write(self._http.send(End()))

    @property
    def is_idle(self) -> bool:
        """Whether another request may be sent."""
        return not self._lost and not self._transport.is_closing and self._http.ours is IDLE and self._body is None

    @property
    def is_lost(self) -> bool:
        """Whether `connection_lost` has come."""
        return self._lost

    def abort(self) -> None:
        """Close it now; who waits for an answer gets ConnectionLost."""
        self._transport.abort()

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.answered = True
        self._http.receive_data(data)
        self._pump()

    def eof_received(self) -> None:
        self._http.receive_eof()
        self._pump(at_end=True)
        self._transport.close()

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        waiter, self._resumed = self._resumed, None
        if waiter is not None:
            waiter.set_result(None)

    def connection_lost(self, error: OSError | None) -> None:
        self._lost = True
        why = f": {error.strerror}" if error is not None and error.strerror else ""
        self._fail(ConnectionLost("the server closed the connection before its answer was complete" + why))
        self.resume_writing()
        self._on_free(self)

    # -- answers in --------------------------------------------------------------------------------------------------

    def _pump(self, at_end: bool = False) -> None:
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, ResponseHead):
                    self._take_head(event)
                elif isinstance(event, Data):
                    if self._body is not None:
                        self._body.feed(event.data)
                elif isinstance(event, End):
                    self._end(event)
                else:
                    return
        except (RemoteProtocolError, HTTPError) as error:
            # An end in the wrong place is no bad answer but a lost one: a kept connection that the server gave up just
            # when we used it is replaced.
            self._fail(ConnectionLost(str(error)) if at_end else error)
            self.abort()

    def _take_head(self, head: ResponseHead) -> None:
        if head.status >= 200 and self._head is not None:
            self._head.set_result(head)
            if head.length == 0:
                self._end(End())

    def _end(self, event: End) -> None:
        """The answer is complete: free for the next request, unless one of the two sides wants to end."""
        body, self._body = self._body, None
        if body is not None:
            body.finish(event.trailers)
        if self._http.ours is not IDLE:
            self._transport.close()
        self._on_free(self)

    def _fail(self, error: ReactorError) -> None:
        if self._head is not None:
            self._head.set_error(error)
        body, self._body = self._body, None
        if body is not None:
            body.fail(error)

    # -- the Source of the answer's body -----------------------------------------------------------------------------

    def body_wanted(self) -> None:
        pass

    def pause_body(self) -> None:
        self._transport.pause_reading()

    def resume_body(self) -> None:
        self._transport.resume_reading()
