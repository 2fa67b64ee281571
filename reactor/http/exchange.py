"""One request that has to wait for something: a guard, its body, its handler, or a client that reads slowly.

It runs as a Task beside its connection, from where the first call did not answer at once to the last byte of the
answer. If the client leaves, the Task is cancelled: what the handler holds is let go in its `finally` blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from reactor.core.task import Cancelled
from reactor.http.body import TurnShare
from reactor.http.deferred import Deferred, Reply
from reactor.http.message import Request, Response, Switching
from reactor.http.pages import error_response
from reactor.http.router import Route
from reactor.sansio.http1 import Data, End, RequestHead

if TYPE_CHECKING:
    from reactor.http.connection import ServerConnection
    from reactor.http.server import Site

# What a handler may raise and be answered with 500 for. Cancelled is the result of a future that somebody cancelled,
# SystemExit the doing of a library which thinks the program is its own: neither may end everybody else's requests.
MISTAKES = (Exception, Cancelled, SystemExit)


class Exchange:
    """Made for one request; `run` is the Task."""

    __slots__ = ("_connection", "_head", "_is_late", "_request", "_route", "_sent", "_since", "_site", "_status")

    def __init__(
        self, connection: ServerConnection, site: Site, route: Route, head: RequestHead, request: Request
    ) -> None:
        self._connection = connection
        self._site = site
        self._route = route
        self._head = head
        self._request = request
        self._since = connection.reactor.now
        self._status = 0
        self._sent = 0  # bytes of the answer's body
        self._is_late = False

    async def run(self, answer: Awaitable[Response]) -> None:
        """Await `answer` (one of the two below), and send it."""
        connection = self._connection
        self._site.active += 1
        limit = self._site.settings.request_timeout
        timer = connection.reactor.call_later(limit, self._expired) if limit else None
        try:
            response = await self._first_word(answer)
            self._status = response.status
            if response.is_plain:
                connection.respond(response)
                self._sent = connection.body_size(self._head, response)
            elif isinstance(response, Deferred):
                await self._defer(response)
            elif isinstance(response, Switching):
                connection.switch(response, self._site)
            else:
                await self._send_long(response)
        except (Exception, Cancelled) as error:
            # On a connection that is gone this is only how the handler took the client's leaving, and an error of the
            # request's body is the client's. Else the head is out, and nothing but a cut tells that more is missing.
            if not connection.transport.is_closing:
                if connection.intake is None or error is not connection.intake.stream.failed:
                    connection.report(error, f"while answering {self._head.method} {self._head.target}", self._request)
                connection.abort()
        finally:
            if self._status:
                connection.note(self._head, self._request, self._status, self._sent, self._since)
            if timer is not None:
                timer.cancel()
            self._site.leave()
            connection.exchange_over()

    def _expired(self) -> None:
        """It has taken as long as any request may: the client is told, if it has not heard anything yet."""
        connection = self._connection
        if connection.reply is not None:
            connection.reply.expire()
            return
        connection.reached("request_timeout")
        if self._status:
            connection.abort()
        else:
            self._is_late = True
            connection.give_up()

    async def _first_word(self, answer: Awaitable[Response]) -> Response:
        """The response, or that to an error. A cancelled future the handler has awaited is such an error; our own
        cancellation is told from it by the connection that is gone.
        """
        try:
            return await answer
        except MISTAKES as error:
            if self._connection.transport.is_closing:
                raise
            if self._is_late:
                return error_response(self._connection.late_error(), self._head)
            return self._connection.error_response(error, self._head, self._request)

    async def first(self, answer: object) -> Response:
        """The handler was called and gave something to await, or a body that is made while it is sent."""
        return await resolve(answer)

    async def guarded(self, verdict: Response | Awaitable[Response | None] | None) -> Response:
        """Guard, body, handler; each awaited where it waits."""
        if verdict is not None:
            refusal = verdict if isinstance(verdict, Response) else await verdict
            if refusal is not None:
                return await resolve(refusal)
        intake = self._connection.intake
        if intake is not None:
            intake.check_size()
            if self._route.wait_for_body and not self._route.takes_stream:
                await self._request.read()
        return await resolve(self._route.handler(self._request))

    async def _defer(self, response: Deferred) -> None:
        self._status = 0
        reply = Reply(self._connection, self._site, self._head, self._request)
        try:
            await self._connection.defer(response, reply)
        finally:
            self._status, self._sent = reply.status, reply.sent

    # -- long answers ------------------------------------------------------------------------------------------------

    async def _send_long(self, response: Response) -> None:
        """Send an answer whose body is a file or is made while it is sent."""
        connection = self._connection
        try:
            connection.write(connection.begin_response(response.head))
            if self._head.method != "HEAD" and not response.head.has_no_body:
                if response.file is not None:
                    await self._send_file(response)
                else:
                    await self._send_stream(response)
            connection.write(connection.http.send(End()))
        finally:
            if response.file is not None:
                response.file.file.close()
            elif (aclose := getattr(response.stream, "aclose", None)) is not None:
                await aclose()

    async def _send_file(self, response: Response) -> None:
        part, connection = response.file, self._connection
        assert part is not None
        connection.http.account(part.size)
        sent = connection.reactor.future()
        connection.send_file(part, lambda: sent.set_result(None))
        await sent
        self._sent = part.size

    async def _send_stream(self, response: Response) -> None:
        connection = self._connection
        assert response.stream is not None
        share = TurnShare()
        async for chunk in response.stream:
            connection.write(connection.http.send(Data(chunk)))
            self._sent += len(chunk)
            if share.is_used_up(len(chunk)):
                await connection.reactor.next_turn()
            await connection.writable()


async def resolve(answer: object) -> Response:
    """What a handler gave, awaited if it is to be; a TypeError of theirs, in words, if it is no Response."""
    if not isinstance(answer, Response):
        if not isinstance(answer, Awaitable):
            raise TypeError(f"a handler gave {answer!r}, not a Response")
        answer = await answer
        if not isinstance(answer, Response):
            raise TypeError(f"a handler gave {answer!r}, not a Response")
    return answer
