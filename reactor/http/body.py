"""A body on its way from the connection to the code that reads it, with back-pressure.

The connection feeds, a task takes. When more is waiting than the high-water mark the connection stops reading from
its socket, and TCP carries that to the sender; so 1 GiB passes through 256 KiB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.errors import HTTPError, LocalProtocolError, ReactorError
from reactor.sansio.headers import Headers

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
# A piece is an object of its own, which takes more than a chunk of one byte does: more than so many are put together.
MOST_PIECES = 256


class Source(Protocol):
    """What a body asks of its connection."""

    reactor: Reactor

    def body_wanted(self) -> None:
        """Somebody reads: the first time, 100 Continue may go out."""

    def pause_body(self) -> None:
        """Too much waits: read no more from the socket."""

    def resume_body(self) -> None:
        """The reader has caught up."""


def too_large(limit: int) -> HTTPError:
    """The 413 for a request's body over `limit` bytes."""
    return HTTPError(413, f"the body is larger than the {limit} bytes allowed here")


class BodyStream:
    """Read it once, either whole with `read` or piece by piece with `chunks`; or without a task: set `on_change`, say
    `want`, and take what is there with `read_nowait` each time.
    """

    __slots__ = ("_chunks", "_complete", "_error", "_paused", "_size", "_source", "_taken", "_too_large", "_waiter",
                 "limit", "on_change", "trailers")  # fmt: skip

    def __init__(
        self,
        source: Source,
        limit: int | None,
        *,
        too_large: Callable[[int], ReactorError] = too_large,
    ) -> None:
        """`limit` in bytes bounds the whole body; None is no bound. `too_large(limit)` is the error for a body over a
        limit: whose fault that is depends on who sends it.
        """
        self._source = source
        self._too_large = too_large
        self.limit = limit
        self.trailers = Headers()
        self._chunks: deque[bytes] = deque()
        self._size = 0  # bytes waiting
        self._taken = 0  # bytes that ever arrived
        self._complete = False
        self._error: BaseException | None = None
        self._paused = False
        self._waiter: Future[None] | None = None
        self.on_change: Callable[[], object] | None = None  # more has come, or the end, or what broke it off

    # -- the connection's side ---------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Raises the error for too large a body when the limit is passed, and the reader gets the same; or what the
        body has failed with before, as nothing may follow a gap.
        """
        if self._error is not None:
            raise self._error
        self._taken += len(data)
        if self.limit is not None and self._taken > self.limit:
            error = self._too_large(self.limit)
            self.fail(error)
            raise error
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._source.pause_body()
        self._changed()

    def finish(self, trailers: Headers) -> None:
        """The body is complete; the reader gets what waits, then the end."""
        self.trailers = trailers
        self._complete = True
        self._changed()

    def fail(self, error: BaseException) -> None:
        """The rest will not come; what waits is dropped and the reader gets `error`."""
        if not self._complete and self._error is None:
            self._drop(error)

    def _drop(self, error: BaseException) -> None:
        self._error = error
        self._chunks.clear()
        self._size = 0
        self._changed()

    def _changed(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)
        elif self.on_change is not None:
            self.on_change()

    # -- the reader's side -------------------------------------------------------------------------------------------

    @property
    def taken(self) -> int:
        """How much has arrived, read or not."""
        return self._taken

    @property
    def failed(self) -> BaseException | None:
        """Why the rest does not come; None while it may."""
        return self._error

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived, read or not."""
        return self._complete

    @property
    def is_paused(self) -> bool:
        """Whether it is the reader who is waited for."""
        return self._paused

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive, none empty. Raises what broke the body off."""
        while (piece := await self._next()) is not None:
            yield piece

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body. If it is longer than `limit` or its own limit, the owner's error for that (HTTPError 413 in
        a server), now and at every later read: it is not kept. A read that is cancelled loses nothing.
        """
        whole, pieces, size = bytearray(), list[bytes](), 0
        try:
            while (piece := await self._next()) is not None:
                pieces.append(piece)
                size += len(piece)
                if limit is not None and size > limit:
                    self._drop(self._too_large(limit))
                if len(pieces) == MOST_PIECES:
                    whole += b"".join(pieces)
                    pieces.clear()
        except BaseException:
            if self._error is None:
                self._chunks.extendleft((*reversed(pieces), bytes(whole)) if whole else reversed(pieces))
                self._size += size
            raise
        return b"".join((whole, *pieces)) if whole else b"".join(pieces)

    def read_nowait(self) -> bytes:
        """What waits, joined; the whole body if it is complete and nobody has read of it."""
        whole = b"".join(self._chunks) if len(self._chunks) != 1 else self._chunks[0]
        self._chunks.clear()
        self._size = 0
        self._resume()
        return whole

    def want(self) -> None:
        """Ask for more, if none is there: who waits for 100 Continue is told now."""
        if not self._chunks and not self._complete and self._error is None:
            self._source.body_wanted()

    async def _next(self) -> bytes | None:
        self.want()
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._complete:
                return None
            if self._waiter is not None:
                raise LocalProtocolError("two tasks read one body")
            self._waiter = Future(self._source.reactor)
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._chunks.popleft()
        self._size -= len(piece)
        self._resume()
        return piece

    def _resume(self) -> None:
        if self._paused and self._size < LOW_WATER:
            self._paused = False
            self._source.resume_body()


class TurnShare:
    """How much of a body that is made while it is sent goes out in one turn of the loop. One that never waits by
    itself must not hold up everybody else.
    """

    __slots__ = ("_spent",)

    BYTES = 256 * 1024
    # A chunk counts for more than its bytes, or a million tiny ones would be free.
    CHUNK_COST = 256

    def __init__(self) -> None:
        self._spent = 0

    def is_used_up(self, size: int) -> bool:
        """Count a chunk of `size` bytes; True if the others are to have their turn (`Reactor.next_turn`) now."""
        self._spent += size + self.CHUNK_COST
        if self._spent < self.BYTES:
            return False
        self._spent = 0
        return True
