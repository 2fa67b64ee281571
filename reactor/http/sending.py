"""The sending side of one client's connection: answers go out in order, each with its lines, and together where many
requests came together (the cork).

    Response -> head, Date, default fields, the request's name -> sansio Connection -> bytes -> Transport

What is received, and when something has to be answered, is the business of `connection.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from reactor.core.task import Future
from reactor.core.transport import HIGH_WATER, Transport
from reactor.errors import HTTPError
from reactor.http.intake import Intake
from reactor.http.limits import LIMIT_OF_STATUS
from reactor.http.message import FilePart, Request, Response
from reactor.http.pages import as_http_error, error_response
from reactor.sansio.http1 import BODY, SERVER, Connection, RequestHead, ResponseHead

if TYPE_CHECKING:
    from reactor.http.server import HTTPServer

_OUR_MISTAKE: Final = HTTPError(500, "the server made a mistake; it has been logged")


class SendingSide:
    """What has no underscore is for the Exchange, the Intake and the Reply as well."""

    __slots__ = ("__weakref__", "_client", "_cork", "_corked", "_id_line", "_paused", "_resumed", "_server", "http",
                 "intake", "reactor", "transport")  # fmt: skip

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self.reactor = server.reactor
        self.http = Connection(SERVER, memo=server.memo)
        self.transport: Transport
        self.intake: Intake | None = None  # the body of the request in progress
        self._client = ""
        self._cork: list[bytes] | None = None  # answers to pipelined requests, to go out in one send
        self._corked = 0  # their bytes
        self._paused = False  # the transport holds more than its high-water mark
        self._resumed: Future[None] | None = None
        self._id_line = b""  # names the request in its answer; see `HTTPServer.sends_ids`

    def respond(self, response: Response) -> bool:
        """Send an answer whose body is there. True in the common way: all of its body goes out, and it is as long as
        its head says.
        """
        http, head = self.http, response.head
        lines = self._lines_for(head)
        if not self._server.draining and http.respond_plainly(head, len(response.body)):
            self._write_answer(response.wire(lines))
            return True
        self._write_answer(http.respond(head, response.body, lines, close=self._is_last))
        return False

    def _write_answer(self, wire: bytes) -> None:
        if self._cork is not None:
            self._cork.append(wire)
            self._corked += len(wire)
        else:
            self.transport.write(wire)

    @property
    def _is_last(self) -> bool:
        """Whether the connection ends with this answer: the server does, or the rest of a body is too much to drop."""
        if self._server.draining:
            return True
        return self.http.theirs is BODY and (self.intake is None or not self.intake.can_be_dropped)

    def _uncork(self) -> None:
        cork, self._cork = self._cork, None
        self._corked = 0
        if cork:
            self.transport.write(b"".join(cork))

    # -- lines that go out with a head ---------------------------------------------------------------------------------

    def pass_on(self, head: ResponseHead, body: bytes) -> None:
        """Send a whole answer that was made elsewhere; it may have a Date of its own."""
        self._write_answer(self.http.respond(head, body, self._date_for(head), close=self._is_last))

    def begin_passing(self, head: ResponseHead) -> bytes:
        """The head of such an answer whose body follows."""
        return self.http.send(head, self._date_for(head), close=self._is_last)

    def begin_response(self, head: ResponseHead) -> bytes:
        """The head of an answer whose body follows."""
        return self.http.send(head, self._lines_for(head), close=self._is_last)

    def _lines_for(self, head: ResponseHead) -> bytes:
        """What goes out with a head of our own: see `HTTPServer.lines_beside`."""
        server = self._server
        if self.reactor.now >= server.date_until:
            server.refresh_date()
        is_common = head.attached is None and not self.transport.is_secure
        lines = server.lines if is_common else server.lines_beside(head.attached, self.transport.is_secure)
        return lines + self._id_line if server.sends_ids else lines

    def _date_for(self, head: ResponseHead) -> bytes:
        if "date" in head.headers.index:
            return self._own_line
        if self.reactor.now >= self._server.date_until:
            self._server.refresh_date()
        return self._server.date + self._own_line

    @property
    def _own_line(self) -> bytes:
        """The line with the name of the request, if those are sent."""
        return self._id_line if self._server.sends_ids else b""

    @property
    def has_id_line(self) -> bool:
        """Whether answers name their request."""
        return self._server.sends_ids

    # -- what is no whole answer ---------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send what is no whole answer, behind those that are corked."""
        self._uncork()
        self.transport.write(data)

    def send_file(self, part: FilePart, on_done: Callable[[], object]) -> None:
        self._uncork()
        self.transport.sendfile(part.file, part.offset, part.size, on_done)

    @property
    def is_full(self) -> bool:
        """The client is to read first, before more is made for it."""
        return self._paused or self.transport.unsent > HIGH_WATER

    async def writable(self) -> None:
        """Wait until the client has read enough for more to be made."""
        if self.is_full:
            self._resumed = Future(self.reactor)
            await self._resumed

    # -- what is said of them ------------------------------------------------------------------------------------------

    def error_response(self, error: BaseException, head: RequestHead, request: Request) -> Response:
        """What a failed handler is answered with. Only our own faults are logged, with their traceback."""
        known = as_http_error(error)
        if known is None:
            self.report(error, f"in the handler of {head.method} {head.target}", request)
            known = _OUR_MISTAKE
        elif known.status in LIMIT_OF_STATUS:
            self.reached(LIMIT_OF_STATUS[known.status])
        try:
            return error_response(known, head)
        except Exception as bug:  # its status, headers or words cannot be sent
            self.report(bug, f"in the error of {head.method} {head.target}", request)
            return error_response(_OUR_MISTAKE, head)

    def report(self, error: BaseException, where: str, request: Request) -> None:
        self._server.on_error(error, f"{where} (request {request.id})")

    def reached(self, limit: str) -> None:
        """A client has come to one of the LIMITS."""
        self._server.reached[limit] += 1

    def note(self, head: RequestHead | None, request: Request | None, status: int, sent: int, since: float) -> None:
        """One answer, complete or not: see `HTTPServer.observe`."""
        server = self._server
        if server.at_once is not None:
            if not server.answered and not server.at_once:
                server.begin_answers()
            server.answered.append((head, request, self._client, status, sent, since))

    @staticmethod
    def body_size(head: RequestHead, response: Response) -> int:
        """Bytes of a plain answer's body that really go out."""
        return 0 if head.method == "HEAD" or response.head.has_no_body else len(response.body)
