"""One connection to a server that requests are passed on to, told in callbacks: the mirror image of `connection.py`.

    ask, send, finish  ->  sansio Connection(CLIENT)  ->  interim, answered, piece, complete | answer | switched
                                                          | failed

`outgoing.py` is the same for who awaits one answer in a task. Here nobody waits: what comes is passed on as it comes,
and whoever asked says when to stop reading. The common case, a whole answer in one piece, is one callback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from reactor.core.loop import Reactor
from reactor.core.timers import NEVER
from reactor.core.transport import HIGH_WATER, ConnectionProtocol, Transport
from reactor.errors import ConnectionLost, ReactorError, RemoteProtocolError
from reactor.sansio.headers import Headers
from reactor.sansio.http1 import BODY, CLIENT, IDLE, Connection, Data, End, RequestHead, ResponseHead
from reactor.sansio.memo import AnswerMemo

_NO_TRAILERS = Headers()


class Asker(Protocol):
    """Who has asked. After `answer`, `complete`, `switched` or `failed` it hears no more, but for a `failed` that cuts
    off the rest of its own request.
    """

    def interim(self, head: ResponseHead) -> None:
        """A 1xx; not 101."""

    def answered(self, head: ResponseHead) -> None:
        """The head of the answer, whose `piece`s and `complete` follow."""

    def piece(self, data: bytes) -> None:
        """Of the answer's body."""

    def complete(self, trailers: Headers) -> None:
        """All of the answer has come."""

    def answer(self, head: ResponseHead, body: bytes) -> None:
        """Instead of the three above, and the connection is free again."""

    def switched(self, head: ResponseHead) -> None:
        """101: `hand_over` is to be called now."""

    def broken(self, error: Exception) -> None:
        """What its own `answer`, `complete` or `switched` has raised: nobody else is left to answer."""

    def failed(self, error: ReactorError) -> None:
        """ConnectionLost, whose cause is a TimeoutError if the server took nothing for too long, or RemoteProtocolError
        for an answer that is none.
        """

    def writable(self) -> None:
        """The server has read enough for more of the request's body."""

    def expired(self) -> None:
        """The connection's deadline has come."""


class UpstreamConnection:
    """A protocol in the sense of `core.transport`, made by a dial. `asked` is whether anything of the current request
    may have gone out, `answered` whether any byte of its answer has come, `used` how many requests it has had.
    `deadline` is the asker's while one asks, and else how long it may stay idle.
    """

    __slots__ = ("__weakref__", "_asker", "_has_body", "_http", "_on_free", "_on_lost", "answered", "asked",
                 "deadline", "is_lost", "transport", "used")  # fmt: skip

    def __init__(
        self,
        reactor: Reactor,
        answers: AnswerMemo,
        on_free: Callable[[UpstreamConnection], object],
        on_lost: Callable[[UpstreamConnection], object],
    ) -> None:
        """`on_free(self)` when the next request may be sent, `on_lost(self)` once, when the connection is gone."""
        self._http = Connection(CLIENT, answers=answers)
        self._asker: Asker | None = None
        self._on_free = on_free
        self._on_lost = on_lost
        self.transport: Transport
        self.deadline = reactor.deadline(self._expired)
        self.asked = False
        self.answered = False
        self.is_lost = False
        self.used = 0
        self._has_body = False  # the request that it has

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(self, asker: Asker, head: RequestHead, wire: bytes) -> None:
        """Send `wire`, which the caller has made of `head`; with a body if that has one: `send` and `finish` it."""
        self._asker = asker
        self.answered = False
        self.used += 1
        self._has_body = head.length != 0
        self._http.pass_on(head)
        self.transport.write(wire)
        self.asked = not self.transport.is_closing

    def send(self, piece: bytes) -> None:
        """A piece of the request's body. LocalProtocolError for more than was announced."""
        self.transport.write(self._http.send(Data(piece)))

    def finish(self, trailers: Headers = _NO_TRAILERS) -> None:
        """The request's body is complete."""
        if self._http.ours is BODY:
            self.transport.write(self._http.send(End(trailers)))

    @property
    def is_full(self) -> bool:
        """Whether `writable` is to be waited for before more is sent."""
        return self.transport.unsent > HIGH_WATER

    @property
    def is_idle(self) -> bool:
        """Whether a request may be sent."""
        return self._asker is None and self._http.ours is IDLE and not self.is_lost and not self.transport.is_closing

    def abort(self) -> None:
        """Close it now; who has asked hears nothing more."""
        self._asker = None
        self.transport.abort()

    def close(self) -> None:
        """Close it, when nobody asks."""
        self.deadline.move(NEVER)
        self.transport.close()

    def hand_over(self, protocol: ConnectionProtocol) -> bytes:
        """After `switched`: `protocol` has the connection from now on, and hears of its end. Returns what the server
        has sent behind its 101, which is not told to it.
        """
        self.deadline.close()
        self.is_lost = True
        self.transport.hand_over(protocol)
        return self._http.take_rest()

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.answered = True
        http = self._http
        whole = http.receive_answer(data)
        if whole is not None:
            asker, self._asker = self._asker, None
            self._on_free(self)
            if asker is not None:
                self._tell_last(asker, asker.answer, *whole)
        elif http.receive_piece(data):
            if self._asker is not None:
                self._asker.piece(data)
        else:
            http.receive_data(data)
            self._pump()

    def eof_received(self) -> None:
        self._http.receive_eof()
        self._pump(at_end=True)
        self._fail(ConnectionLost("the server closed the connection before its answer was complete"))
        self.transport.close()

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None:
        if self._asker is not None:
            self._asker.writable()

    def connection_lost(self, error: OSError | None) -> None:
        if self.is_lost:
            return
        # Who wants no more of a body says so, and closes. What came before anything was asked is no answer.
        if self.asked and self._has_body and self.transport.unread:
            self.data_received(self.transport.unread)
        self.is_lost = True
        self.deadline.close()
        why = f": {error.strerror}" if error is not None and error.strerror else ""
        lost = ConnectionLost("the server closed the connection before its answer was complete" + why)
        lost.__cause__ = error
        self._fail(lost)
        self._on_lost(self)

    # -- answers in --------------------------------------------------------------------------------------------------

    def _pump(self, at_end: bool = False) -> None:
        try:
            while (asker := self._asker) is not None:
                event = self._http.next_event()
                if isinstance(event, ResponseHead):
                    self._take_head(asker, event)
                elif isinstance(event, Data):
                    asker.piece(event.data)
                elif isinstance(event, End):
                    self._end(asker, event)
                else:
                    return
            if self._http.buffered:  # said without being asked
                self.transport.abort()
        except RemoteProtocolError as error:
            # An end in the wrong place is no bad answer but a lost one.
            self._fail(ConnectionLost(str(error)) if at_end else error)
            self.transport.abort()

    def _take_head(self, asker: Asker, head: ResponseHead) -> None:
        if head.status == 101:
            self._asker = None
            self._tell_last(asker, asker.switched, head)
        elif head.status < 200:
            asker.interim(head)
        else:
            asker.answered(head)
            if head.length == 0 and self._asker is asker:
                self._end(asker, End())

    def _end(self, asker: Asker, event: End) -> None:
        """The answer is complete. If the request is not, nobody needs the rest of it."""
        self._asker = None
        if self._http.ours is IDLE:
            if not self._http.buffered:
                self._on_free(self)
        elif self._http.ours is BODY:
            self.transport.abort()
        else:
            self.transport.close()
        self._tell_last(asker, asker.complete, event.trailers)

    @staticmethod
    def _tell_last(asker: Asker, tell: Callable[..., None], *given: object) -> None:
        try:
            tell(*given)
        except Exception as error:
            asker.broken(error)

    def _fail(self, error: ReactorError) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.failed(error)

    def _expired(self) -> None:
        if self._asker is not None:
            self._asker.expired()
        else:
            self.close()
