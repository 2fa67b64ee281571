"""One client's connection: requests in, answers out, in order, within time limits.

    bytes -> sansio Connection -> request head -> route -> guard -> handler -> Response -> bytes

Everything that can be answered at once is answered inside `data_received`, without a task. What has to wait becomes an
`Exchange` (a guard that looks something up, an `async` handler, a body that is made while it is sent), one at a time:
what the client has pipelined behind it waits in the parser's buffer. A request's body comes in through an `Intake`, and
what goes out does so through the `SendingSide`.

The deadline here is for a client that is silent; `_phase` says what it means just now. One that does not read is cut
by the transport.
"""

from __future__ import annotations

from enum import Enum
from errno import ETIME, ETIMEDOUT
from typing import TYPE_CHECKING, Any, Final

from reactor.core.task import Task
from reactor.core.timers import NEVER
from reactor.core.transport import HIGH_WATER, Transport
from reactor.errors import ConnectionLost, HTTPError, RemoteProtocolError
from reactor.http.body import BodyStream
from reactor.http.deferred import Deferred, Reply
from reactor.http.exchange import MISTAKES, Exchange
from reactor.http.intake import Intake
from reactor.http.limits import LIMIT_OF_STATUS
from reactor.http.message import Request, Response, Switching
from reactor.http.pages import error_response
from reactor.http.request_id import id_line
from reactor.http.router import NO_PARAMS, Route
from reactor.http.sending import SendingSide
from reactor.sansio.http1 import BODY, CLOSED, IDLE, RequestHead, Signal

if TYPE_CHECKING:
    from reactor.http.server import HTTPServer, Settings, Site


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

# How the others are called among the connections of a server; the first two depend on more.
_STATE_OF: Final = {HEAD: "head", DRAIN: "body", CLOSING: "closing"}

# What the transport cuts a client for.
_LIMIT_OF_ERROR: Final[dict[int | None, str]] = {ETIMEDOUT: "write_timeout", ETIME: "write_rate"}

# Bytes of pipelined requests that may wait behind a slow one before we stop reading.
PIPELINE_BYTES = 64 * 1024
# How long a client that we refuse may take to read why (see Transport.close).
LINGER = 2.0
# Seconds in which a client that has just connected is taken to be about to ask: closing would be a reset to it.
NEWCOMER = 0.5


class ServerConnection(SendingSide):
    """A protocol in the sense of `core.transport`. What has no underscore is for its Exchange and Intake."""

    __slots__ = ("_answered_at", "_ended", "_phase", "_task", "deadline", "reply")

    def __init__(self, server: HTTPServer) -> None:
        super().__init__(server)
        self.deadline = self.reactor.deadline(self._expired)
        self.reply: Reply | None = None  # an answer in callbacks, that is in progress
        self._phase = QUIET
        self._task: Task[None] | None = None  # the Exchange in progress
        self._ended = False  # the client sends no more
        self._answered_at = -NEVER  # when the last answer went out

    @property
    def settings(self) -> Settings:
        return self._server.settings

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        transport.stall_limit = self.settings.write_timeout
        transport.pace = self._server.pace
        self._client = self._server.client_of(transport.peer)
        self._server.opened(self)
        # The shorter of the two, so that in QUIET the deadline is never later than the keep-alive limit allows.
        self.deadline.move(self.reactor.now + min(self.settings.head_timeout, self.settings.keep_alive))

    def data_received(self, data: bytes) -> None:
        if self._phase is QUIET and not self._paused:
            head = self.http.receive_request(data)
            if head is not None:
                if self._begin(head):
                    self._answered_at = self.reactor.now
                return
            if self._answered_at == -NEVER and data[0] in self._server.site.claims:  # its first byte is no HTTP
                self._hand_over(data)
                return
        elif self._phase is BUSY and self.http.receive_piece(data):
            assert self.intake is not None
            self.intake.take(data)
            return
        self.http.receive_data(data)
        self._arrived()

    def eof_received(self) -> None:
        """The client sends no more. It may still read: what it has asked is answered."""
        self._ended = True
        self.http.receive_eof()
        self._arrived()
        if self.reply is not None:
            self.reply.client_ended()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        waiter, self._resumed = self._resumed, None
        if waiter is not None:
            waiter.set_result(None)
        elif self.reply is not None:
            self.reply.resumed()
        else:
            self._go_on()

    def connection_lost(self, error: OSError | None) -> None:
        self._phase = CLOSING
        self.deadline.close()
        if error is not None and error.errno in _LIMIT_OF_ERROR:
            self.reached(_LIMIT_OF_ERROR[error.errno])
        if self.intake is not None:
            self.intake.stream.fail(ConnectionLost("the client left before its request was complete"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        elif self.reply is not None:
            self.reply.lost()
        self._server.closed(self)

    def _hand_over(self, data: bytes) -> None:
        """A plugin has claimed the first byte: the connection is its own, or over if it does not want it."""
        if self._server.hand_over(self, data):
            self._phase = CLOSING
            self.deadline.close()
        else:
            self._close()

    # -- requests in -------------------------------------------------------------------------------------------------

    def _arrived(self) -> None:
        """Bytes have come, or the end: of a request, of its body, or of the request behind it."""
        if self._phase is QUIET or self._phase is HEAD:
            self._serve()
        elif self._phase is DRAIN:
            if self._drain():
                self._go_on()
        elif self.intake is not None and not self.intake.is_complete:
            self.intake.arrived()
        elif self.http.buffered > PIPELINE_BYTES:
            self.transport.pause_reading()

    def _serve(self) -> None:
        """Answer what is complete in the buffer, until something has to wait or the turn is used up."""
        if self._paused or self.transport.unsent > HIGH_WATER:
            # A client that does not read its answers is asked for no more, nor blamed for a head it cannot send.
            self.transport.pause_reading()
            self.deadline.move(NEVER)
            return
        http = self.http
        left = self.settings.pipeline
        while True:
            try:
                event = http.next_known() or http.next_event()
            except RemoteProtocolError as error:  # nothing behind it can be trusted
                self._refuse(HTTPError(error.status, str(error)))
                break
            if event.__class__ is not RequestHead:
                self._wait(event)
                break
            if http.has_data and self._cork is None:
                self._cork, self._corked = [], 0
            if not self._begin(event):
                break
            left = left - 1 if self._corked < HIGH_WATER else 0
            if not http.has_data:
                if self._ended:
                    self._close()
                else:
                    self._wait_quietly()
                break
            if not left:
                self.transport.pause_reading()
                self.reactor.call_soon(self._go_on)
                break
        self._uncork()

    def _wait(self, event: object) -> None:
        """Nothing complete is there: for what, and how long, do we wait?"""
        if event is Signal.CLOSED:
            self._close()
        elif self._phase is QUIET:
            if self.http.buffered:
                self._phase = HEAD
                self.deadline.move(self.reactor.now + self.settings.head_timeout)
            else:
                self._wait_quietly()

    def _wait_quietly(self) -> None:
        """For the first byte of the next request. That the deadline may be early is seen when it comes: on the common
        way `_answered_at` is all that moves.
        """
        self._answered_at = self.reactor.now
        due = self._answered_at + self.settings.keep_alive
        if self.deadline.at > due:
            self.deadline.move(due)
        if self._server.draining:  # since its last answer began, whose head could not say that it is the last
            self.drain(self._server.ends_gently)

    def _go_on(self) -> None:
        """The others had their turn, or the client has read, or an exchange is over: the next requests."""
        if self._phase is QUIET:
            self.deadline.move(NEVER)
        elif self._phase is HEAD:
            self.deadline.move(self.reactor.now + self.settings.head_timeout)
        else:
            return
        self.transport.resume_reading()
        self._serve()

    def _begin(self, head: RequestHead) -> bool:
        """A request has arrived, as far as its head: find who answers, and let them. True if it has been answered and
        the connection is ready for the next.
        """
        server = self._server
        server.requests += 1
        site = server.site
        request: Request = None  # type: ignore[assignment]  # until it is made: a path may be refused before
        try:
            found = site.hosts.find(head.host) if site.hosts is not None else None
            route, params = (found, NO_PARAMS) if found is not None else site.router.find(head.method, head.path)
            stream = self._make_intake(head, site, route) if head.length else None
            request = Request(head, self._client, params, stream, self.transport.is_secure)
            if head.forwarded:
                request.believe(site.trust)
            if server.sends_ids:
                self._id_line = id_line(request.id)
            guard = route.guard
            verdict = guard(request) if guard is not None else None
            if stream is not None and not self._take_body(stream, route, request, verdict):
                exchange = Exchange(self, site, route, head, request)
                return self._start(exchange, exchange.guarded(verdict))
            answer = route.handler(request) if verdict is None else verdict
        except MISTAKES as error:
            request = request or self._unrouted(head)
            answer = self.error_response(error, head, request)
        if answer.__class__ is Deferred and verdict is None:
            return self._defer(answer, Reply(self, site, head, request))
        if answer.__class__ is not Response or not answer.is_plain:
            exchange = Exchange(self, site, route, head, request)
            return self._start(exchange, exchange.first(answer) if verdict is None else exchange.guarded(verdict))
        is_plain = self.respond(answer)
        at_once = server.at_once
        if at_once is not None:
            if is_plain:
                if not at_once:
                    server.begin_at_once()
                request._answer = answer.head
                at_once.append(request)
            else:
                self.note(head, request, answer.status, self.body_size(head, answer), self.reactor.now)
        if self.http.theirs is not IDLE:
            return self._ready_again()
        self._phase = QUIET
        return True

    def _unrouted(self, head: RequestHead) -> Request:
        """A request that meets no route."""
        request = Request(head, self._client, NO_PARAMS, None, self.transport.is_secure)
        if head.forwarded:
            request.believe(self._server.site.trust)
        if self._server.sends_ids:
            self._id_line = id_line(request.id)
        return request

    def _make_intake(self, head: RequestHead, site: Site, route: Route) -> BodyStream:
        limit = site.settings.max_body if route.max_body is None else route.max_body
        self.intake = Intake(self, head, limit or None)
        return self.intake.stream

    def _take_body(self, stream: BodyStream, route: Route, request: Request, verdict: object) -> bool:
        """Let in the body of a request that the guard has seen. True if all of it came with the head, as it mostly
        does, for a handler that wants it so, or if the handler takes it as it comes: what follows is as for a request
        without one.
        """
        assert self.intake is not None
        if verdict is None:
            self.intake.check_size()
        self.intake.begin()
        if verdict is None and route.takes_stream:
            return True
        if verdict is not None or not stream.is_complete or not route.wait_for_body:
            return False
        request.body = stream.read_nowait()
        self.intake = None
        return True

    def _start(self, exchange: Exchange, answer: Any) -> bool:
        self._phase = BUSY
        task = Task(self.reactor, exchange.run(answer))
        if task.done:
            return self._ready_again()
        self._task = task
        return False

    def _defer(self, answer: Deferred, reply: Reply) -> bool:
        """The answer comes in callbacks, perhaps at once."""
        self._phase = BUSY
        self.reply = reply
        reply.start(answer)
        return self.reply is None and self._ready_again()

    async def defer(self, answer: Deferred, reply: Reply) -> None:
        """The same, inside the task of an Exchange."""
        self.reply = reply
        try:
            await reply.run(answer)
        finally:
            self.reply = None

    def reply_over(self, reply: Reply) -> None:
        """Its answer is out, or never will be."""
        self.reply = None
        if not reply.has_waited:  # `_defer` looks after it
            return
        if self.http.theirs is IDLE and not self.http.has_data and not self._ended and not self.transport.is_closing:
            self._phase = QUIET  # the common case: nothing waits behind it
            self.intake = None
            self._wait_quietly()
        elif self._ready_again():
            self._go_on()

    def exchange_over(self) -> None:
        """Its answer is out, or never will be."""
        waited, self._task = self._task is not None, None
        if waited and self._ready_again():  # one that did not wait is looked after by `_start`
            self._go_on()

    def give_up(self) -> None:
        """The request in progress has taken too long, and its answer has not begun: break off its body and handler."""
        self.break_body_off()
        if self._task is not None:
            self._task.cancel()

    def break_body_off(self) -> None:
        """The rest of it comes too late."""
        if self.intake is not None:
            self.intake.stream.fail(self.late_error())

    def late_error(self) -> HTTPError:
        """What such a request is answered with: whose fault is it?"""
        seconds = self.settings.request_timeout
        if self.http.theirs is BODY:
            return HTTPError(408, f"the request took longer than {seconds:g} s")
        return HTTPError(503, f"the answer took longer than {seconds:g} s")

    def _ready_again(self) -> bool:
        """An answer is out. Drop the rest of a body, close, or, and this is True, take the next request."""
        if self.transport.is_closing or self._phase is CLOSING:
            return False
        http = self.http
        if http.theirs is IDLE:
            self._phase = QUIET
            self.intake = None
            return True
        if http.theirs is BODY and http.keep_alive:
            self._phase = DRAIN
            self.transport.resume_reading()
            self.deadline.move(self.reactor.now + self.settings.body_timeout)
            return self._drain()
        # Only where something of the client's may still be unread does a plain close risk a reset.
        self._close(LINGER if http.buffered or http.theirs is not CLOSED else 0.0)
        return False

    def _drain(self) -> bool:
        """Drop the rest of a body that nobody wants. True if the next request may come."""
        assert self.intake is not None
        is_over = self.intake.drop()
        if is_over is None:
            return False
        if is_over:
            return self._ready_again()
        self._close(LINGER)
        return False

    # -- answers that end requests -----------------------------------------------------------------------------------

    def switch(self, response: Switching, site: Site) -> None:
        """Answer 101, and give the connection away with what the client has sent behind its request."""
        self._server.refresh_date()
        self.write(self.http.switch(response.head, self._server.date + self._own_line))
        self._phase = CLOSING
        self.deadline.close()
        self.transport.hand_over(response.take_over(self._server, site), self.http.take_rest())
        self._server.closed(self)

    def _refuse(self, error: HTTPError) -> None:
        """Answer what is no request, or none in time, and close."""
        if self.http.ours is not IDLE or self.transport.is_closing:
            self.transport.abort()
            return
        response = error_response(error, None)
        self._id_line = b""  # that of the one before
        if error.status in LIMIT_OF_STATUS:
            self.reached(LIMIT_OF_STATUS[error.status])
        self._server.refresh_date()
        self.write(self.http.respond(response.head, response.body, self._lines_for(response.head), close=True))
        self.note(None, None, response.status, len(response.body), self.reactor.now)
        self._close(LINGER)

    # -- time and the end --------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """What it is doing, as one of the server's STATES."""
        if self._phase is QUIET:
            if self.transport.unsent:
                return "answering"
            return "idle" if self._answered_at != -NEVER else "new"
        if self._phase is BUSY:
            return "answering" if self.intake is None or self.intake.is_complete else "body"
        return _STATE_OF[self._phase]

    @property
    def is_idle(self) -> bool:
        """Nothing of it is in progress, but for the last answer perhaps, which `close_idle` still sends; and it is not
        one that has just come and is about to ask.
        """
        return self._is_quiet and (self._answered_at != -NEVER or self._silence >= NEWCOMER)

    @property
    def _is_quiet(self) -> bool:
        return self._phase is QUIET and not self.http.buffered and not self.transport.is_closing

    @property
    def _silence(self) -> float:
        """Seconds for which a connection has not said anything since it came: its deadline has not been moved."""
        return self.reactor.now - self.deadline.at + min(self.settings.head_timeout, self.settings.keep_alive)

    def close_idle(self) -> bool:
        """True if it is gone at once: nothing waits to go out."""
        self._close()
        return not self.transport.unsent

    def drain(self, gently: bool = False) -> None:
        """The server ends: no request after the one in progress. `gently`: one more may come."""
        if gently or not self._is_quiet:
            return
        if self.is_idle:
            self._close()
        else:
            self.deadline.move(self.reactor.now + NEWCOMER)

    def abort(self) -> None:
        self.transport.abort()

    def _close(self, linger: float = 0.0) -> None:
        self._uncork()
        self._phase = CLOSING
        self.deadline.move(NEVER)
        self.transport.close(linger)

    def _expired(self) -> None:
        """The client has been silent for too long: in the middle of what?"""
        if self._phase is QUIET:
            if self.transport.unsent:  # it still reads the last answer, which the transport watches over
                self._answered_at = self.reactor.now
            due = self._answered_at + self.settings.keep_alive
            if due > self.reactor.now:
                self.deadline.move(due)
            else:
                self.reached("keep_alive" if self._answered_at != -NEVER else "first_byte")
                self._close()
        elif self._phase is HEAD:
            self.reached("head_timeout")
            seconds = self.settings.head_timeout
            self._refuse(HTTPError(408, f"the request head took longer than {seconds:g} s"))
        elif self._phase is DRAIN:
            self.reached("body_timeout")
            self._close()
        elif self.intake is not None:
            self.intake.expired()
