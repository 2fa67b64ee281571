"""One client's connection: requests in, answers out, in order, within time limits.

    bytes -> sansio Connection -> request head -> route -> guard -> handler -> Response -> bytes

Everything that can be answered at once is answered inside `data_received`, without a task. Only what has to wait (a
guard that looks something up, a body that is not all there, an `async` handler, a body that is made while it is sent)
runs as a Task, one at a time: what the client has pipelined behind it waits in the parser's buffer.

There is one Deadline for a connection; `_phase` says what it means just now.
"""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from reactor.core.task import Cancelled, Future, Task
from reactor.core.timers import NEVER
from reactor.core.transport import HIGH_WATER, Transport
from reactor.errors import ConnectionLost, HTTPError, LocalProtocolError, RemoteProtocolError
from reactor.http.body import BodyStream, too_large
from reactor.http.message import Request, Response
from reactor.http.pages import error_response
from reactor.http.router import Route
from reactor.sansio.headers import Headers
from reactor.sansio.http1 import BODY, CLOSED, IDLE, SERVER, Connection, Data, End, RequestHead, ResponseHead, Signal

if TYPE_CHECKING:
    from reactor.http.server import HTTPServer, Site


class Phase(Enum):
    """What the connection is waiting for, and so what its deadline means."""

    QUIET = "the first byte of a request"
    HEAD = "the rest of a head"
    BUSY = "the handler, and the body it reads"
    DRAIN = "the end of a body that nobody reads"
    CLOSING = "the last bytes to go out"


QUIET: Final = Phase.QUIET
HEAD: Final = Phase.HEAD
BUSY: Final = Phase.BUSY
DRAIN: Final = Phase.DRAIN
CLOSING: Final = Phase.CLOSING

# An unread body up to this size is read and dropped to keep the connection; for more, closing is cheaper.
DRAIN_LIMIT = 256 * 1024
# Bytes of pipelined requests that may wait behind a slow one before we stop reading.
PIPELINE_BYTES = 64 * 1024
# How long a client that we refuse may take to read why (see Transport.close).
LINGER = 2.0

_CONTINUE = ResponseHead(100, Headers())
_OUR_MISTAKE = HTTPError(500, "the server made a mistake; it has been logged")


class ServerConnection:
    """A protocol in the sense of `core.transport`, and a Source in the sense of `http.body`."""

    __slots__ = ("_answered_at", "_body_bytes", "_body_since", "_client", "_continue", "_cork", "_deadline",
                 "_drain_left", "_ended", "_http", "_paused", "_phase", "_resumed", "_server", "_stream", "_task",
                 "_transport", "__weakref__", "reactor")  # fmt: skip

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self.reactor = server.reactor
        self._http = Connection(SERVER, memo=server.memo)
        self._deadline = self.reactor.deadline(self._expired)
        self._phase = QUIET
        self._transport: Transport
        self._client = ""
        self._task: Task[None] | None = None
        self._stream: BodyStream | None = None  # the body of the request in progress, until it is complete
        self._continue = False  # the client waits for 100 Continue
        self._cork: list[bytes] | None = None  # answers to pipelined requests, to go out in one send
        self._ended = False  # the client sends no more
        self._paused = False  # the transport holds more than its high-water mark
        self._resumed: Future[None] | None = None
        self._drain_left = 0
        self._answered_at = -NEVER  # when the last answer went out
        self._body_since = 0.0
        self._body_bytes = 0

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        peer = transport.peer
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._server.opened(self)
        self._deadline.move(self.reactor.now + self._server.settings.head_timeout)

    def data_received(self, data: bytes) -> None:
        if self._phase is QUIET and not self._paused:
            head = self._http.receive_request(data)
            if head is not None:
                if self._begin(head):
                    self._answered_at = self.reactor.now
                return
        self._http.receive_data(data)
        if self._phase is QUIET or self._phase is HEAD:
            self._serve()
        else:
            self._more()

    def eof_received(self) -> None:
        """The client sends no more. It may still read: what it has asked is answered."""
        self._ended = True
        self._http.receive_eof()
        if self._phase is QUIET or self._phase is HEAD:
            self._serve()
        else:
            self._more()

    def pause_writing(self) -> None:
        self._paused = True
        self._watch_writing()

    def resume_writing(self) -> None:
        self._paused = False
        waiter, self._resumed = self._resumed, None
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._go_on()

    def connection_lost(self, error: OSError | None) -> None:
        self._phase = CLOSING
        self._deadline.close()
        if self._stream is not None:
            self._stream.fail(ConnectionLost("the client left before its request was complete"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._server.closed(self)

    # -- requests in -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answer what is complete in the buffer, until something has to wait or the turn is used up."""
        if self._paused:  # a client that does not read its answers is asked for no more requests
            self._transport.pause_reading()
            self._watch_writing()
            return
        http = self._http
        left = self._server.settings.pipeline
        while True:
            try:
                event = http.next_event()
            except RemoteProtocolError as error:
                self._refuse(error)
                break
            if event.__class__ is not RequestHead:
                self._wait(event)
                break
            more = http.buffered
            if more and self._cork is None:
                self._cork = []
            if not self._begin(event):
                break
            left -= 1
            if not more:
                if self._ended:
                    self._close()
                else:
                    self._wait_quietly()
                break
            if not left:
                self._transport.pause_reading()
                self.reactor.call_soon(self._go_on)
                break
        if self._cork is not None:
            self._uncork()

    def _wait(self, event: object) -> None:
        """Nothing complete is there: for what, and how long, do we wait?"""
        settings = self._server.settings
        if event is Signal.CLOSED:
            self._close()
        elif self._http.buffered and self._phase is QUIET:
            self._phase = HEAD
            self._deadline.move(self.reactor.now + settings.head_timeout)
        elif self._phase is QUIET:
            self._wait_quietly()

    def _wait_quietly(self) -> None:
        """For the first byte of the next request. That the deadline may be early is seen when it comes: on the common
        way `_answered_at` is all that moves.
        """
        self._answered_at = self.reactor.now
        if self._deadline.at == NEVER:
            self._deadline.move(self.reactor.now + self._server.settings.keep_alive)

    def _go_on(self) -> None:
        """The others had their turn, or the client has read: the next requests."""
        if self._phase is QUIET:
            self._deadline.move(NEVER)
            self._transport.resume_reading()
            self._serve()

    def _begin(self, head: RequestHead) -> bool:
        """A request has arrived, as far as its head: find who answers, and let them. True if it has been answered and
        the connection is ready for the next.
        """
        server = self._server
        server.requests += 1
        site = server.site
        try:
            route, params = site.router.find(head.method, head.path)
            if head.length:
                return self._begin_with_body(site, route, head, params)
            request = Request(head, self._client, params)
            guard = route.guard
            verdict = guard(request) if guard is not None else None
            answer = route.handler(request) if verdict is None else verdict
        except Exception as error:
            answer = self._error_response(error, head)
        if answer.__class__ is Response and answer.is_plain:
            self._respond(head, answer)
            if self._http.theirs is not IDLE:
                return self._ready_again()
            self._phase = QUIET
            return True
        return self._start(site, head, self._finish(request, route, verdict, answer))

    def _begin_with_body(self, site: Site, route: Route, head: RequestHead, params: Any) -> bool:
        limit = site.settings.max_body if route.max_body is None else route.max_body
        self._stream = stream = BodyStream(self, limit or None, head.length)
        self._continue = head.expects_continue
        self._body_since, self._body_bytes = self.reactor.now, 0
        self._deadline.move(NEVER)
        request = Request(head, self._client, params, stream)
        verdict = route.guard(request) if route.guard is not None else None
        if verdict is None and stream.limit is not None and head.length > stream.limit:
            raise too_large(stream.limit)
        if not self._continue:
            self._pump_body()  # usually it is all there, and nothing below has to wait
        return self._start(site, head, self._answer(request, route, verdict))

    def _start(self, site: Site, head: RequestHead, answer: Awaitable[Response]) -> bool:
        site.active += 1
        self._phase = BUSY
        task = Task(self.reactor, self._exchange(site, head, answer))
        if task.done:
            return not self._transport.is_closing and self._ready_again()
        self._task = task
        return False

    async def _finish(self, request: Request, route: Route, verdict: Any, answer: Any) -> Response:
        """The first call gave something that must be awaited, or a body that is sent as it is made."""
        if verdict is not None:
            return await self._answer(request, route, verdict)
        return await _resolve(answer)

    async def _answer(self, request: Request, route: Route, verdict: Any) -> Response:
        """Guard, body, handler; each awaited where it waits."""
        if verdict is not None:
            refusal = verdict if isinstance(verdict, Response) else await verdict
            if refusal is not None:
                return await _resolve(refusal)
        stream = request.stream
        if stream is not None:
            if stream.limit is not None and request.head.length > stream.limit:
                raise too_large(stream.limit)
            if route.wait_for_body:
                request.body = await stream.read()
        return await _resolve(route.handler(request))

    async def _exchange(self, site: Site, head: RequestHead, answer: Awaitable[Response]) -> None:
        """One request that has to wait, from here to the last byte of its answer."""
        try:
            try:
                response = await answer
            except Exception as error:
                response = self._error_response(error, head)
            if response.is_plain:
                self._respond(head, response)
            else:
                await self._send_long(head, response)
        except (Cancelled, ConnectionLost):
            self._transport.abort()
            return
        except Exception as error:
            self._server.on_error(error, f"while answering {head.method} {head.target}")
            self._transport.abort()  # the head is out: only a cut tells the client that the body is not whole
            return
        finally:
            waited = self._task is not None  # else `_start` goes on
            self._task = None
            site.leave()
        if waited and self._ready_again():
            self._go_on()

    # -- bodies in ---------------------------------------------------------------------------------------------------

    def _more(self) -> None:
        """Something arrived while a request is in progress: its body, or the next request."""
        if self._phase is DRAIN:
            if self._drain():
                self._go_on()
        elif self._stream is not None:
            self._continue = False  # it has begun without being asked
            self._pump_body()
        elif self._http.buffered > PIPELINE_BYTES:
            self._transport.pause_reading()

    def _pump_body(self) -> None:
        stream = self._stream
        assert stream is not None
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, Data):
                    self._count_body(len(event.data))
                    stream.feed(event.data)
                elif isinstance(event, End):
                    stream.finish(event.trailers)
                    self._stream = None
                    self._deadline.move(NEVER)
                    return
                else:
                    return
        except RemoteProtocolError as error:
            stream.fail(HTTPError(error.status, str(error)))
            self._stream = None
        except HTTPError as error:  # too large or too slow: the reader is told, and what still comes is not read
            stream.fail(error)
            self._transport.pause_reading()

    def _count_body(self, size: int) -> None:
        """A body has to keep moving: an idle limit, and a rate once the grace is over."""
        settings = self._server.settings
        now = self.reactor.now
        self._body_bytes += size
        self._deadline.move(now + settings.body_timeout)
        waited = now - self._body_since
        if waited > settings.body_grace and self._body_bytes < settings.body_rate * waited:
            raise HTTPError(408, f"the body came in slower than {settings.body_rate} bytes a second")

    def body_wanted(self) -> None:
        """The handler reads: from now on the client is the one who is waited for."""
        if self._continue:
            self._continue = False
            # The rate counts from here, and from here only: each piece that is read brings us here again.
            self._body_since, self._body_bytes = self.reactor.now, 0
            if self._http.buffered:  # the client did not wait, which it may (RFC 9110 10.1.1)
                self._pump_body()
            elif self._http.ours is IDLE:
                self._write(self._http.send(_CONTINUE))
        if self._stream is not None:
            self._deadline.move(self.reactor.now + self._server.settings.body_timeout)

    def pause_body(self) -> None:
        self._transport.pause_reading()
        self._deadline.move(NEVER)

    def resume_body(self) -> None:
        self._transport.resume_reading()
        self._body_since, self._body_bytes = self.reactor.now, 0
        if self._stream is not None:
            self._deadline.move(self.reactor.now + self._server.settings.body_timeout)

    def _drain(self) -> bool:
        """Drop the rest of a body that nobody wants, up to a bound. True if the next request may come."""
        try:
            while isinstance(event := self._http.next_event(), Data):
                self._drain_left -= len(event.data)
                if self._drain_left < 0:
                    break
        except RemoteProtocolError:
            self._close(LINGER)
            return False
        if self._drain_left < 0:
            self._close(LINGER)
        return isinstance(event, End) and self._ready_again()

    # -- answers out -------------------------------------------------------------------------------------------------

    def _respond(self, head: RequestHead, response: Response) -> None:
        """Send an answer whose body is there, and go on to what comes next."""
        server = self._server
        if self.reactor.now >= server.date_until:
            server.refresh_date()
        http = self._http
        if not server.draining and http.respond_plainly(response.head, len(response.body)):
            wire = response.wire(server.date)
        else:
            close = server.draining or (http.theirs is BODY and self._must_close())
            wire = http.respond(response.head, response.body, server.date, close=close)
        if self._cork is not None:
            self._cork.append(wire)
        else:
            self._transport.write(wire)
        if server.on_access is not None:
            server.on_access(head, self._client, response.head.status, len(response.body))

    async def _send_long(self, head: RequestHead, response: Response) -> None:
        """Send an answer whose body is a file or is made while it is sent."""
        server = self._server
        if self.reactor.now >= server.date_until:
            server.refresh_date()
        try:
            close = server.draining or (self._http.theirs is BODY and self._must_close())
            self._write(self._http.send(response.head, server.date, close=close))
            if head.method != "HEAD" and not response.head.has_no_body:
                if response.file is not None:
                    await self._send_file(response)
                else:
                    await self._send_stream(response)
            self._write(self._http.send(End()))
        finally:
            if response.file is not None:
                response.file.file.close()
            elif (aclose := getattr(response.stream, "aclose", None)) is not None:
                await aclose()
        if server.on_access is not None:
            server.on_access(head, self._client, response.head.status, response.head.length or 0)

    async def _send_file(self, response: Response) -> None:
        part = response.file
        assert part is not None
        self._http.account(part.size)
        sent: Future[None] = Future(self.reactor)
        self._uncork()
        self._transport.sendfile(part.file, part.offset, part.size, lambda: sent.set_result(None))
        self._watch_writing()
        await sent

    async def _send_stream(self, response: Response) -> None:
        assert response.stream is not None
        async for chunk in response.stream:
            self._write(self._http.send(Data(chunk)))
            if self._paused or self._transport.unsent > HIGH_WATER:
                await self._writable()

    async def _writable(self) -> None:
        self._resumed = Future(self.reactor)
        await self._resumed

    def _write(self, data: bytes) -> None:
        self._uncork()
        self._transport.write(data)
        if self._transport.unsent:
            self._watch_writing()

    def _uncork(self) -> None:
        cork, self._cork = self._cork, None
        if cork:
            self._transport.write(b"".join(cork))

    def _watch_writing(self) -> None:
        self._deadline.move(self._transport.last_progress + self._server.settings.write_timeout)

    def _must_close(self) -> bool:
        """Whether the rest of the body, which nobody has read, is too much to drop."""
        stream = self._stream
        return self._continue or stream is None or stream.failed is not None or stream.left > DRAIN_LIMIT

    def _ready_again(self) -> bool:
        """An answer is out. Drop the rest of a body, close, or, and this is True, take the next request."""
        http = self._http
        if http.theirs is IDLE:
            self._phase = QUIET
            return True
        self._stream = None
        self._continue = False
        if http.theirs is BODY and http.keep_alive:
            self._phase = DRAIN
            self._drain_left = DRAIN_LIMIT
            self._transport.resume_reading()
            self._deadline.move(self.reactor.now + self._server.settings.body_timeout)
            return self._drain()
        # Only where something of the client's may still be unread does a plain close risk a reset.
        self._close(LINGER if http.buffered or http.theirs is not CLOSED else 0.0)
        return False

    def _error_response(self, error: Exception, head: RequestHead) -> Response:
        """What a failed handler is answered with. Only our own faults are logged, with their traceback."""
        if isinstance(error, RemoteProtocolError):
            error = HTTPError(error.status, str(error))
        elif not isinstance(error, HTTPError):
            self._server.on_error(error, f"in the handler of {head.method} {head.target}")
            error = _OUR_MISTAKE
        try:
            return error_response(error, head)
        except LocalProtocolError as bug:  # its status or its headers cannot be sent
            self._server.on_error(bug, f"in the error of {head.method} {head.target}")
            return error_response(_OUR_MISTAKE, head)

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Answer a request that could not be read, and close: nothing behind it can be trusted."""
        self._answer_and_close(HTTPError(error.status, str(error)))

    def _answer_and_close(self, error: HTTPError) -> None:
        if self._http.ours is not IDLE or self._transport.is_closing:
            self._transport.abort()
            return
        response = error_response(error, None)
        self._server.refresh_date()
        self._uncork()
        self._transport.write(self._http.respond(response.head, response.body, self._server.date, close=True))
        self._close(LINGER)

    # -- time and the end --------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Nothing of it is in progress, but for the last answer perhaps, which `close_idle` still sends."""
        return self._phase is QUIET and not self._http.buffered and not self._transport.is_closing

    def close_idle(self) -> bool:
        """True if it is gone at once: nothing waits to go out."""
        self._close()
        return not self._transport.unsent

    def abort(self) -> None:
        self._transport.abort()

    def _close(self, linger: float = 0.0) -> None:
        self._uncork()
        self._phase = CLOSING
        self._deadline.move(NEVER)
        self._transport.close(linger)
        if self._transport.unsent:
            self._watch_writing()

    def _expired(self) -> None:
        """The deadline has come: whose, and what does that mean?"""
        settings = self._server.settings
        transport = self._transport
        if transport.unsent:
            if self.reactor.now - transport.last_progress >= settings.write_timeout:
                transport.abort()
            else:
                self._watch_writing()
        elif self._phase is QUIET:
            due = self._answered_at + settings.keep_alive
            if due > self.reactor.now:
                self._deadline.move(due)
            else:
                self._close()
        elif self._phase is HEAD:
            self._answer_and_close(HTTPError(408, f"the request head took longer than {settings.head_timeout:g} s"))
        elif self._phase is DRAIN:
            self._close()
        elif self._stream is not None and not self._stream.is_paused:
            self._stream.fail(HTTPError(408, f"no byte of the body came for {settings.body_timeout:g} s"))



async def _resolve(answer: object) -> Response:
    """What a handler gave, awaited if it is to be; a TypeError of theirs, in words, if it is no Response."""
    if not isinstance(answer, Response):
        if not isinstance(answer, Awaitable):
            raise TypeError(f"a handler gave {answer!r}, not a Response")
        answer = await answer
        if not isinstance(answer, Response):
            raise TypeError(f"a handler gave {answer!r}, not a Response")
    return answer
