"""One request on its way through: to a server, and its answer back, in callbacks.

    start -> choose a server -> taken -> ask, send the body -> answered, piece…, complete  or  answer, all at once
                 ^                              |
                 +------ another try -----------+ failed, before a byte of an answer had come

It is the Producer of a Reply (towards the client), the Taker of a connection and the Asker on it (towards the server).
What one side does not read is not read from the other: both ways stop at the transports' high-water marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reactor import (
    ConnectionLost,
    DialTimeout,
    Headers,
    HTTPError,
    ReactorError,
    Reply,
    Request,
    ResponseHead,
    UpstreamConnection,
)

from .fields import interim_head, trailer_fields
from .policies import Member
from .tunnel import Tunnel
from .upstream import RoomAgain

if TYPE_CHECKING:
    from .group import Group

# RFC 9110 9.2.2: what may be sent a second time. TRACE is refused anyway.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
# So much of a request's body is kept to be sent again.
REPLAY_BYTES: Final = 64 * 1024

UNREACHABLE: Final = "the server behind this one cannot be reached"
NO_ANSWER: Final = "the server behind this one closed the connection before its answer was complete"
GARBAGE: Final = "the server behind this one gave an answer that is none"
TOO_LATE: Final = "the server behind this one did not answer in time"
BUSY: Final = "the server behind this one has no room for more requests just now"
NONE_WELL: Final = "no server behind this one is well just now"


class Exchange:
    __slots__ = ("_began", "_body_done", "_connection", "_group", "_has_begun", "_held", "_member", "_replay",
                 "_reply", "_request", "_timer", "_tried", "_upgrade", "_wants_more")  # fmt: skip

    def __init__(self, group: Group, request: Request) -> None:
        self._group = group
        self._request = request
        self._reply: Reply
        self._member: Member | None = None  # whose turn it is
        self._tried: list[Member] = []  # who had it before, in vain
        self._connection: UpstreamConnection | None = None
        self._body_done = request.stream is None
        self._replay: list[bytes] | None = None  # of the body, what was sent; None: nothing, or too much
        self._has_begun = False  # the answer's head is out
        self._held = False  # the server is not read, because the client does not read
        self._wants_more = not request.head.expects_continue  # the client has been told to send its body
        self._upgrade = group.wants_tunnel(request.head)
        self._began = 0.0
        self._timer = group.no_timer

    # -- the client ------------------------------------------------------------------------------------------------

    def start(self, reply: Reply) -> None:
        self._reply = reply
        self._group.budget.earn()
        if self._request.stream is not None:
            self._replay = []
        self._try()

    def resume(self) -> None:
        if self._held and self._connection is not None:
            self._held = False
            self._connection.transport.resume_reading()

    def cancel(self) -> None:
        """The client has left: so may the server."""
        connection, member = self._let_go(), self._member
        if connection is not None:
            connection.abort()
        elif member is not None:
            member.upstream.leave(self)
        self._leave_member()

    def client_ended(self) -> None:
        if self._body_done and not self._group.options.half_closed:
            self.cancel()
            self._reply.abort()

    # -- to a server -----------------------------------------------------------------------------------------------

    def _try(self) -> None:
        member = self._group.choose(self._request, self._tried)
        if member is None:
            self._fail(HTTPError(503, NONE_WELL, [("Retry-After", "5")]))
            return
        self._member = member
        upstream = member.upstream
        upstream.active += 1
        connection = upstream.idle_connection()
        if connection is not None:
            self.taken(connection)
        else:
            self._wait_for_new(member)

    def _wait_for_new(self, member: Member) -> None:
        if not member.upstream.make(self, self._group.dial):
            self._timer.cancel()
            self._timer = self._group.call_later(self._group.options.queue_timeout, self._waited_too_long)

    def _waited_too_long(self) -> None:
        if self._member is not None and self._connection is None:
            self._member.upstream.leave(self)
            self._fail(HTTPError(503, BUSY, [("Retry-After", "1")]))

    def taken(self, connection: UpstreamConnection) -> None:
        """A Taker has its connection."""
        group, request, member = self._group, self._request, self._member
        assert member is not None
        self._timer.cancel()
        self._connection = connection
        self._began = now = group.reactor.now
        member.upstream.counts.requests += 1
        connection.deadline.move(now + group.options.response_timeout)
        connection.ask(self, request.head, group.wire(request, self._upgrade))
        if request.stream is not None:
            self._begin_body(connection)

    def not_taken(self, error: ReactorError) -> None:
        """A Taker gets none."""
        assert self._member is not None
        self._timer.cancel()
        if isinstance(error, RoomAgain):
            self._wait_for_new(self._member)
            return
        self._blame(UNREACHABLE, too_late=isinstance(error, DialTimeout), may_repeat=True)

    # -- the request's body ------------------------------------------------------------------------------------------

    def _begin_body(self, connection: UpstreamConnection) -> None:
        stream = self._request.stream
        assert stream is not None
        if self._replay:
            connection.send(b"".join(self._replay))
        if self._body_done:  # before, on another connection
            connection.finish(trailer_fields(stream.trailers))
            return
        stream.on_change = self._pass_body
        if self._wants_more:
            stream.want()
        self._pass_body()

    def _pass_body(self) -> None:
        """More of it has come, or the server has read."""
        connection, stream, member = self._connection, self._request.stream, self._member
        if connection is None or stream is None or member is None or self._body_done or connection.is_full:
            return
        piece = stream.read_nowait()
        if piece:
            self._wants_more = True
            self._keep_for_replay(piece)
            member.upstream.counts.sent += len(piece)
            self._await_more(connection)
            connection.send(piece)
        if isinstance(stream.failed, ConnectionLost):
            return  # the client has left: `cancel` is on its way
        if stream.failed is not None:
            self._fail(stream.failed)
        elif stream.is_complete:
            self._body_done = True
            self._await_more(connection)
            connection.finish(trailer_fields(stream.trailers))

    def _await_more(self, connection: UpstreamConnection) -> None:
        options = self._group.options
        seconds = options.idle_timeout if self._has_begun else options.response_timeout
        connection.deadline.move(self._group.reactor.now + seconds)

    def _keep_for_replay(self, piece: bytes) -> None:
        if self._replay is not None:
            self._replay.append(piece)
            if sum(map(len, self._replay)) > REPLAY_BYTES:
                self._replay = None

    def writable(self) -> None:
        self._pass_body()

    # -- the answer ------------------------------------------------------------------------------------------------

    def answer(self, head: ResponseHead, body: bytes) -> None:
        """All of it at once; the connection is another's already."""
        self._connection = None
        self._note_answer(head, len(body))
        self._detach_body()
        passed = self._passed_on(head)
        self._leave_member()
        self._reply.answer(passed, body)

    def interim(self, head: ResponseHead) -> None:
        if head.status != 100:
            self._reply.interim(interim_head(head))
            self._hold_back()
        elif self._request.stream is not None and not self._wants_more:
            self._wants_more = True
            self._request.stream.want()

    def answered(self, head: ResponseHead) -> None:
        self._note_answer(head, 0)
        self._has_begun = True
        self._reply.begin(self._passed_on(head))
        if self._connection is not None:
            self._await_more(self._connection)

    def piece(self, data: bytes) -> None:
        connection, member = self._connection, self._member
        assert connection is not None and member is not None
        member.upstream.counts.received += len(data)
        connection.deadline.move(self._group.reactor.now + self._group.options.idle_timeout)
        self._reply.send(data)
        self._hold_back()

    def _hold_back(self) -> None:
        """Read no more of the server than the client does."""
        if self._reply.is_full and not self._held and self._connection is not None:
            self._held = True
            self._connection.transport.pause_reading()

    def complete(self, trailers: Headers) -> None:
        if self._held and self._connection is not None:
            self._connection.transport.resume_reading()
        self._let_go()
        self._leave_member()
        self._reply.finish(trailer_fields(trailers))

    def _passed_on(self, head: ResponseHead) -> ResponseHead:
        return self._group.answer_head(self._request, head, self._member)

    def switched(self, head: ResponseHead) -> None:
        """101. The rest is between the two."""
        connection, member = self._connection, self._member
        assert connection is not None and member is not None
        if not self._upgrade or head.headers.get("upgrade").lower() != "websocket":
            self._blame(GARBAGE)
            return
        self._let_go()
        self._member = None
        group, upstream = self._group, member.upstream
        upstream.counts.tunnels += 1
        tunnel = Tunnel(group.reactor, group.options.tunnel_timeout, lambda: _tunnel_over(member))
        rest = connection.hand_over(tunnel.far)
        self._reply.switch(group.switch_headers(self._request, head, member), tunnel.near)
        tunnel.near.write(rest)
        if tunnel.near.transport is None:  # the client was gone
            tunnel.close()

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def broken(self, error: Exception) -> None:
        """See Asker."""
        if self._reply.is_over:
            raise error
        self._fail(error)

    def failed(self, error: ReactorError) -> None:
        """The connection was lost, or what came on it is no HTTP."""
        connection = self._connection
        assert connection is not None
        too_late = isinstance(error.__cause__, TimeoutError)
        if not isinstance(error, ConnectionLost):
            self._blame(GARBAGE)
        elif self._has_begun or connection.answered or too_late or not self._may_repeat(connection):
            self._blame(NO_ANSWER, too_late=too_late)
        elif connection.used > 1:  # it was given up just when we used it, which says nothing of the server
            self._try_new_connection()
        else:
            self._blame(NO_ANSWER, may_repeat=True)

    def _may_repeat(self, connection: UpstreamConnection) -> bool:
        """Whether the request can be sent once more, though it may have been read, and we still have all of it."""
        is_whole = self._request.stream is None or self._replay is not None
        return is_whole and (self._request.method in IDEMPOTENT or not connection.asked)

    def _try_new_connection(self) -> None:
        """On a new connection to the same server; that is no retry that a server could be asked too often by."""
        assert self._member is not None
        self._let_go()
        self._member.upstream.counts.retries += 1
        self._wait_for_new(self._member)

    def _try_again(self) -> bool:
        """With another server, or the same if there is no other. False if that was tried often enough."""
        group, member = self._group, self._member
        assert member is not None
        if len(self._tried) >= group.options.retries or not group.budget.spend():
            return False
        self._let_go()
        self._tried.append(member)
        self._leave_member()
        member.upstream.counts.retries += 1
        self._try()
        return True

    def expired(self) -> None:
        connection = self._connection
        assert connection is not None
        if self._is_clients_turn(connection):
            self._await_more(connection)
            return
        self._blame(NO_ANSWER, too_late=True)

    def _is_clients_turn(self, connection: UpstreamConnection) -> bool:
        """Whether it is the client who is waited for, and has time limits of its own."""
        sending = not self._body_done and self._wants_more and not connection.is_full and not self._has_begun
        return self._held or sending

    def _blame(self, words: str, *, too_late: bool = False, may_repeat: bool = False) -> None:
        """It is the server's fault: another one is asked if that may be, else the client is told."""
        self._note_failure(too_late)
        if not (may_repeat and self._try_again()):
            self._fail(HTTPError(504, TOO_LATE) if too_late else HTTPError(502, words))

    def _fail(self, error: BaseException) -> None:
        """Answer with `error`, or cut the answer that has begun."""
        connection = self._let_go()
        if connection is not None:
            connection.abort()
        self._leave_member()
        self._reply.fail(error)

    # -- accounts ----------------------------------------------------------------------------------------------------

    def _note_answer(self, head: ResponseHead, size: int) -> None:
        assert self._member is not None
        counts = self._member.upstream.counts
        counts.answers += 1
        counts.received += size
        counts.seconds += self._group.reactor.now - self._began
        if head.status >= 500:
            counts.server_errors += 1

    def _note_failure(self, too_late: bool = False) -> None:
        assert self._member is not None
        upstream = self._member.upstream
        upstream.counts.failures += 1
        upstream.counts.timeouts += too_late
        upstream.health.failed()

    def _let_go(self) -> UpstreamConnection | None:
        """Of the connection, which is told nothing."""
        self._timer.cancel()
        self._detach_body()
        connection, self._connection = self._connection, None
        return connection

    def _detach_body(self) -> None:
        if self._request.stream is not None:
            self._request.stream.on_change = None

    def _leave_member(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            member.upstream.active -= 1


def _tunnel_over(member: Member) -> None:
    member.upstream.active -= 1
    member.upstream.gone()
