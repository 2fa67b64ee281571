"""The body of one request on its way in: handed to who reads it, or dropped, and never slower than allowed.

    client -> socket -> sansio Connection -> Intake -> BodyStream -> handler

The client is told to go on (100 Continue) only when somebody reads, it is held back while nobody takes what is there,
and it has to keep moving: an idle limit at all times, a minimum rate once a grace is over. What the handler has not
read when it answers is dropped up to a bound, so that the connection can be kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reactor.core.timers import NEVER
from reactor.errors import HTTPError, RemoteProtocolError
from reactor.http.body import BodyStream, too_large
from reactor.sansio.headers import Headers
from reactor.sansio.http1 import IDLE, Data, End, RequestHead, ResponseHead

if TYPE_CHECKING:
    from reactor.http.connection import ServerConnection

# An unread body up to this size is read and dropped to keep the connection; for more, closing is cheaper.
DROP_LIMIT = 256 * 1024

_CONTINUE = ResponseHead(100, Headers())


class Intake:
    """One body; a Source in the sense of `http.body`. Moves the deadline of its connection while it waits for bytes."""

    __slots__ = ("_awaits_continue", "_bytes", "_connection", "_dropped", "_since", "is_complete", "reactor",
                 "stream")  # fmt: skip

    def __init__(self, connection: ServerConnection, head: RequestHead, limit: int | None) -> None:
        """`limit` in bytes, None for no limit."""
        self._connection = connection
        self._awaits_continue = head.expects_continue
        self._since = connection.reactor.now  # when the rate began to count, and what has come since
        self._bytes = 0
        self._dropped = 0
        self.reactor = connection.reactor
        self.is_complete = False
        self.stream = BodyStream(self, limit)
        connection.deadline.move(NEVER)

    def check_size(self) -> None:
        """HTTPError 413 if more is announced than the limit: by the head, or by a chunk."""
        limit = self.stream.limit
        if limit is not None and self.stream.taken + self._connection.http.announced > limit:
            raise too_large(limit)

    # -- to the reader -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Hand over what came with the head, usually all of it. Who waits for 100 Continue has sent nothing."""
        if not self._awaits_continue:
            self._pump()

    def arrived(self) -> None:
        """Bytes have come, or the end."""
        self._awaits_continue = False  # it has begun without being asked
        self._pump()

    def take(self, piece: bytes) -> None:
        """A piece of the body has come, and nothing else."""
        self._awaits_continue = False
        if self.stream.failed is not None:  # nobody will have it, so nothing may pile up
            self._connection.transport.pause_reading()
            return
        try:
            self._feed(piece)
        except HTTPError as error:
            self._break_off(error)

    def _pump(self) -> None:
        connection = self._connection
        if self.stream.failed is not None:  # nobody will have it, so nothing may pile up
            connection.transport.pause_reading()
            return
        try:
            while isinstance(event := connection.http.next_event(), Data):
                self._feed(event.data)
            if isinstance(event, End):
                self.is_complete = True
                connection.deadline.move(NEVER)
                self.stream.finish(event.trailers)
            else:
                self.check_size()
        except RemoteProtocolError as error:
            self.stream.fail(HTTPError(error.status, str(error)))
        except HTTPError as error:
            self._break_off(error)

    def _break_off(self, error: HTTPError) -> None:
        """Too large or too slow: the reader is told, and what still comes is not read."""
        self.stream.fail(error)
        self._connection.transport.pause_reading()

    def _feed(self, piece: bytes) -> None:
        """Raises HTTPError for one too many, or for one too late."""
        self._count(len(piece))
        self.stream.feed(piece)

    def _count(self, size: int) -> None:
        settings = self._connection.settings
        now = self.reactor.now
        self._bytes += size
        self._connection.deadline.move(now + settings.body_timeout)
        waited = now - self._since
        if waited > settings.body_grace and self._bytes < settings.body_rate * waited:
            self._connection.reached("body_rate")
            raise HTTPError(408, f"the body came in slower than {settings.body_rate} bytes a second")

    def expired(self) -> None:
        """The connection's deadline has come while this body was awaited."""
        if not self.is_complete and not self.stream.is_paused:
            self._connection.reached("body_timeout")
            seconds = self._connection.settings.body_timeout
            self.stream.fail(HTTPError(408, f"no byte of the body came for {seconds:g} s"))

    # -- the Source --------------------------------------------------------------------------------------------------

    def body_wanted(self) -> None:
        """Somebody reads: from now on the client is the one who is waited for."""
        connection = self._connection
        if self._awaits_continue:
            self._awaits_continue = False
            # The rate counts from here, and from here only: each piece that is read brings us here again.
            self._restart_rate()
            if connection.http.buffered:  # the client did not wait, which it may (RFC 9110 10.1.1)
                self._pump()
            elif connection.http.ours is IDLE:
                connection.write(connection.http.send(_CONTINUE))
        if not self.is_complete:
            connection.deadline.move(self.reactor.now + connection.settings.body_timeout)

    def pause_body(self) -> None:
        """The reader is behind: the client waits for us, so no limit of its own runs."""
        self._connection.transport.pause_reading()
        self._connection.deadline.move(NEVER)

    def resume_body(self) -> None:
        self._connection.transport.resume_reading()
        self._restart_rate()
        if not self.is_complete:
            self._connection.deadline.move(self.reactor.now + self._connection.settings.body_timeout)

    def _restart_rate(self) -> None:
        self._since, self._bytes = self.reactor.now, 0

    # -- to nobody ---------------------------------------------------------------------------------------------------

    @property
    def can_be_dropped(self) -> bool:
        """Whether the connection survives an answer now. A client that was not told to go on may or may not send its
        body, so nobody knows what its next bytes are.
        """
        left = self._connection.http.announced
        return not self._awaits_continue and self.stream.failed is None and left <= DROP_LIMIT

    def drop(self) -> bool | None:
        """Drop what has come: True when the body is over, False if it is too much or broken, None for more to come."""
        connection = self._connection
        try:
            while isinstance(event := connection.http.next_event(), Data):
                self._dropped += len(event.data)
                if self._dropped > DROP_LIMIT:
                    return False
        except RemoteProtocolError:
            return False
        if isinstance(event, End):
            return True
        return False if self._dropped + connection.http.announced > DROP_LIMIT else None
