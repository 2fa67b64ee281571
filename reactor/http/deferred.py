"""An answer that is given later, or piece by piece, in callbacks: for who passes on what comes from elsewhere.

    def handler(request): return Deferred(producer)

    ServerConnection -> Reply.start -> producer.start(reply)     the producer answers now or later:
                        reply.respond | answer | begin, send…, finish | switch | fail
    client leaves    -> producer.cancel()        client has read -> producer.resume()

A stream (`Response.streaming`) is the same for who makes a body himself, in a task. Here is no task: what passes
through a server is there when its bytes are, and a task for each would cost as much as all the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from reactor.core.task import Future
from reactor.core.timers import Timer
from reactor.core.transport import ConnectionProtocol
from reactor.http.handed import HandedOver
from reactor.http.message import Pairs, Request, Response, Switching
from reactor.http.pages import error_response
from reactor.http.request_id import FIELD
from reactor.sansio.headers import Headers
from reactor.sansio.http1 import Data, End, RequestHead, ResponseHead

if TYPE_CHECKING:
    from reactor.http.connection import ServerConnection
    from reactor.http.server import Site

_NO_TRAILERS: Final = Headers()
_NAME: Final = FIELD.lower()
_NOT_YET: Final = ResponseHead(200, Headers())


class Producer(Protocol):
    """What makes the answer to one request."""

    def start(self, reply: Reply) -> None:
        """Called once. What it raises is the answer, as with a handler."""

    def resume(self) -> None:
        """The client has read: `reply.is_full` is False again."""

    def cancel(self) -> None:
        """The client has left: nothing that is sent now will be read. Not called once the reply is over."""

    def client_ended(self) -> None:
        """The client has ended its side. It has left, mostly, but may still be reading."""


class Deferred(Response):
    """A Response of which nothing is known yet."""

    __slots__ = ("extra", "producer")

    def __init__(self, producer: Producer, extra: Pairs = ()) -> None:
        """`extra` are header lines to be added to whatever head comes."""
        self.body, self.file, self.stream = b"", None, None
        self.producer = producer
        self.extra = tuple(extra)
        self.head = _NOT_YET
        self._wire, self._wire_date = b"", b""
        self.is_plain = False

    def with_headers(self, *pairs: tuple[str, str]) -> Deferred:
        return Deferred(self.producer, (*self.extra, *pairs))


class Reply:
    """Where the answer to one request goes. Everything after its end is ignored: nobody is there to get it."""

    __slots__ = ("_connection", "_extra", "_head", "_over", "_producer", "_request", "_since", "_site", "has_waited",
                 "_timer", "is_begun", "is_over", "sent", "status")  # fmt: skip

    def __init__(self, connection: ServerConnection, site: Site, head: RequestHead, request: Request) -> None:
        self._connection = connection
        self._site = site
        self._head = head
        self._request = request
        self._since = connection.reactor.now
        self._over: Future[None] | None = None  # where a task waits for the end, and has its own accounts
        self._producer: Producer
        self._extra: tuple[tuple[str, str], ...] = ()
        self._timer: Timer | None = None
        self.has_waited = False
        self.is_begun = False  # an answer's head is out
        self.is_over = False
        self.status = 0
        self.sent = 0  # bytes of the answer's body

    # -- the connection's side ---------------------------------------------------------------------------------------

    def start(self, deferred: Deferred) -> None:
        """Let the producer answer."""
        self._producer, self._extra = deferred.producer, deferred.extra
        if self._over is None:
            self._site.active += 1
        try:
            deferred.producer.start(self)
        except Exception as error:
            self.fail(error)
        limit = self._site.settings.request_timeout
        if limit and not self.is_over and self._over is None:  # a task has a timer of its own
            self._timer = self._connection.reactor.call_later(limit, self.expire)
        self.has_waited = True

    async def run(self, deferred: Deferred) -> None:
        """The same inside the task of an Exchange; returns when the answer is out."""
        self._over = Future(self._connection.reactor)
        self.start(deferred)
        try:
            await self._over
        finally:
            self.lost()

    def resumed(self) -> None:
        """The client has read."""
        if not self.is_over:
            self._producer.resume()

    def client_ended(self) -> None:
        """The client sends no more."""
        if not self.is_over:
            self._producer.client_ended()

    def lost(self) -> None:
        """The client is gone."""
        if not self.is_over:
            self._producer.cancel()
            self._end()

    def expire(self) -> None:
        """It has taken as long as any request may."""
        if self.is_over:
            return
        connection = self._connection
        connection.reached("request_timeout")
        late = connection.late_error()
        connection.break_body_off()
        if not self.is_over:
            self._producer.cancel()
            if self.is_begun:
                self.abort()
            else:
                self.respond(error_response(late, self._head))

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._over is not None:
            self._over.set_result(None)
            return
        connection = self._connection
        if self.status:
            connection.note(self._head, self._request, self.status, self.sent, self._since)
        self._site.leave()
        connection.reply_over(self)

    # -- the producer's side -----------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether `resume` is to be waited for before more is sent."""
        return self._connection.is_full

    def respond(self, response: Response) -> None:
        """A whole answer of our own making."""
        if self.is_over:
            return
        if self._extra:
            response = response.with_headers(*self._extra)
        self.status = response.status
        self.sent = self._connection.body_size(self._head, response)
        self._connection.respond(response)
        self._end()

    def fail(self, error: BaseException) -> None:
        """What `error` is answered with, or a cut if the head of an answer is out already."""
        if self.is_over:
            return
        response = self._connection.error_response(error, self._head, self._request)  # logs what is our mistake
        if self.is_begun:
            self.abort()
        else:
            self.respond(response)

    def answer(self, head: ResponseHead, body: bytes) -> None:
        """A whole answer that was made elsewhere; its Date, if it has one, stays."""
        if self.is_over:
            return
        self.status, self.sent = head.status, len(body)
        self._connection.pass_on(self._completed(head), body)
        self._end()

    def interim(self, head: ResponseHead) -> None:
        """A 1xx, for a client that understands it."""
        if not self.is_over and self._head.version > 10:
            self._connection.write(self._connection.http.send(head))

    def begin(self, head: ResponseHead) -> None:
        """The head of an answer that was made elsewhere; what it has for a body follows in pieces."""
        if not self.is_over:
            self.is_begun = True
            self.status = head.status
            self._connection.write(self._connection.begin_passing(self._completed(head)))

    def send(self, piece: bytes) -> None:
        """A piece of the body. LocalProtocolError for more than was announced."""
        if not self.is_over:
            self.sent += len(piece)
            self._connection.write(self._connection.http.send(Data(piece)))

    def finish(self, trailers: Headers = _NO_TRAILERS) -> None:
        """The answer is complete. LocalProtocolError for less than was announced."""
        if not self.is_over:
            if wire := self._connection.http.send(End(trailers)):
                self._connection.write(wire)
            self._end()

    def abort(self) -> None:
        """Cut the connection: nothing else tells that more is missing."""
        if not self.is_over:
            self._connection.abort()
            self._end()

    def switch(self, headers: Pairs, protocol: ConnectionProtocol) -> None:
        """Answer 101 with these headers (RFC 9110 7.8), and give the connection to `protocol`."""
        if not self.is_over:
            self.status = 101
            switching = Switching(self._completed_pairs(headers), lambda server, site: HandedOver(server, protocol))
            self._connection.switch(switching, self._site)
            self._end()

    def _completed(self, head: ResponseHead) -> ResponseHead:
        """With what is added here; and a request has one name."""
        if not self._extra and _NAME not in head.headers.index:
            return head
        headers = Headers(self._completed_pairs(head.headers))
        return ResponseHead(head.status, headers, length=head.length, reason=head.reason)

    def _completed_pairs(self, pairs: Pairs) -> list[tuple[str, str]]:
        has_name = self._connection.has_id_line
        return [*(pair for pair in pairs if not has_name or pair[0].lower() != _NAME), *self._extra]
