"""One connection to a server: requests out, one after the other, and their answers in.

The mirror image of `connection.py`, on the same state table. It is used by one request at a time; who asks next waits
for it in the pool of `client.py`.

An answer may come before its request is complete, so a body that is made while it is sent goes out in a Task of its
own. A 2xx or 3xx lets it go on; a 4xx or 5xx ends it, and the connection behind the answer. The connection is free when
both directions are done.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Future, Task
from reactor.core.transport import HIGH_WATER, Transport
from reactor.errors import ConnectionLost, RemoteProtocolError
from reactor.http.body import BodyStream, TurnShare
from reactor.sansio.http1 import BODY, CLIENT, IDLE, Connection, Data, End, RequestHead, ResponseHead


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
        self._body: BodyStream | None = None  # of the answer in progress, until it is complete
        self._answer: BodyStream | None = None  # the same, until the next request
        self._sender: Task[None] | None = None
        self._unsent: BaseException | None = None  # why the caller's body did not go out, if that was its own error
        self._is_cut = False  # the rest of the request is not wanted any more
        self._resumed: Future[None] | None = None

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, head: RequestHead, body: bytes | AsyncIterable[bytes]) -> tuple[ResponseHead, BodyStream]:
        """Send a request; returns when the head of the final answer is there. Its body is still on its way then, and
        that of the request may be: `leave` the answer when done with it.

        Raises ConnectionLost, RemoteProtocolError for an answer that is none, or what `body` raised; the connection is
        closed then, as it is when the waiting task is cancelled, and so is `body`.
        """
        self.answered = False
        self.used += 1
        self._sender, self._unsent = None, None
        self._head = Future(self.reactor)
        self._body = self._answer = answer = BodyStream(self, None, too_large=_too_large)
        try:
            self._transport.write(self._http.send(head))
            if isinstance(body, bytes):
                self._transport.write(self._http.send(Data(body)) + self._http.send(End()))
            else:
                self._sender = self.reactor.spawn(self._send_body(body))
            return await self._head, answer
        except BaseException:
            self._head.cancel()  # nobody waits for it any more, so nobody is to be told that it failed
            await self._give_up()
            raise

    async def sent(self, answer: BodyStream) -> None:
        """Wait until the request that `answer` belongs to has gone out, or need not any more. Raises what its body
        raised.
        """
        if self._answer is answer and self._sender is not None:
            await self._sender
            self.check_sent(answer)

    def check_sent(self, answer: BodyStream) -> None:
        """Raise what the body of the request has raised so far, if it did."""
        if self._answer is answer and self._unsent is not None:
            raise self._unsent

    async def leave(self, answer: BodyStream) -> None:
        """Whoever asked is done with `answer`. What is still under way is given up, and the connection with it; a body
        that was being sent is closed when this returns.
        """
        if self._answer is not answer:
            return  # it was over before, and the connection is another's by now
        if not answer.is_complete or (self._sender is not None and not self._sender.done):
            await self._give_up()

    async def _give_up(self) -> None:
        self.abort()
        self._cut()
        if self._sender is not None:
            await self._sender

    # -- a body out --------------------------------------------------------------------------------------------------

    async def _send_body(self, body: AsyncIterable[bytes]) -> None:
        """A task of its own, which fails never: what `body` raises is told to whoever waits for the answer."""
        try:
            await self._send_pieces(body)
        except (Exception, Cancelled) as error:
            if not self._is_cut:
                self._unsent = error
                self._fail(error)
                self.abort()
            elif not isinstance(error, Cancelled):
                self.reactor.unhandled(error, "in the body of a request that was given up")
            return
        if self._is_cut or self._transport.is_closing:
            return
        self._transport.write(self._http.send(End()))
        if self._body is None:  # answered already
            self._pump()  # what came behind the answer was asked for by nobody
            self._end_exchange()

    async def _send_pieces(self, body: AsyncIterable[bytes]) -> None:
        share = TurnShare()
        try:
            async for piece in body:
                if self._is_cut or self._transport.is_closing:
                    return
                self._transport.write(self._http.send(Data(piece)))
                if share.is_used_up(len(piece)):
                    await self.reactor.next_turn()
                if self._transport.unsent > HIGH_WATER:
                    self._resumed = Future(self.reactor)
                    await self._resumed
        finally:
            if (aclose := getattr(body, "aclose", None)) is not None:
                await aclose()

    def _cut(self) -> None:
        """Send no more of the request. Its connection cannot be used again."""
        self._is_cut = True
        if self._sender is not None:
            self._sender.cancel()

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
        self._cut()
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
        self._cut()
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
        except RemoteProtocolError as error:
            # An end in the wrong place is no bad answer but a lost one: a kept connection that the server gave up just
            # when we used it is replaced.
            self._fail(ConnectionLost(str(error)) if at_end else error)
            self.abort()

    def _take_head(self, head: ResponseHead) -> None:
        if head.status == 101:  # here a client of another protocol will take over what follows
            raise RemoteProtocolError("the server changed to a protocol that is not spoken here", 502)
        if head.status >= 200 and self._head is not None:
            self._head.set_result(head)
            if head.status >= 400 and self._http.ours is BODY:
                self._cut()
            if head.length == 0:
                self._end(End())

    def _end(self, event: End) -> None:
        """The answer is complete; the request may not be."""
        body, self._body = self._body, None
        if body is not None:
            body.finish(event.trailers)
        if self._http.ours is not BODY:
            self._end_exchange()
        elif self._is_cut:
            self.abort()  # what waits to go out is of no use without the rest

    def _end_exchange(self) -> None:
        """Both directions are done: free for the next request, unless one of the two sides wants to end."""
        if self._http.ours is not IDLE:
            self._transport.close()
        self._on_free(self)

    def _fail(self, error: BaseException) -> None:
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


def _too_large(limit: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"the server's answer is larger than the {limit} bytes allowed here", 502)
