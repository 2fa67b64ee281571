"""The access log: a line for each answer, in the combined format or as JSON.

    combined  127.0.0.1 - ann [23/Nov/2026:09:00:00 +0000] "GET /x HTTP/1.1" 200 12 "-" "curl/8"
    json      {"time":"2026-11-23T09:00:00Z","client":"127.0.0.1","user":"ann","method":"GET",…,"agent":"curl/8"}

The combined format is that of Apache and nginx to the letter, so that what reads logs knows it. With details there is
more at the end of either: the microseconds from the head of the request to the end of the answer, and what the request
is called. Everything from outside is escaped, so a line is one line.

Lines are made at the end of a turn for all that it has answered. Who and when is put together once a second for each
client, what was asked and answered once for each head, and both together are kept with the head, which equal requests
share: mostly a line is there already, but for its details. Lines are handed on in batches, because to wake the thread
that writes costs more than to make one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import IO, Final, Literal

from reactor.core.loop import Reactor
from reactor.errors import StartError
from reactor.http.message import Request
from reactor.http.request_id import endings, new_block
from reactor.http.server import Answered
from reactor.log import Log, quotable
from reactor.sansio.head import RequestHead, ResponseHead

Format = Literal["combined", "json"]

# Seconds that a line waits for others to go with it, and how many go at once: more of them would leave the cache of the
# processor between being made and being written.
PATIENCE: Final = 0.1
MOST_TOGETHER: Final = 4000
# What is kept with a head: how it was answered last, whom `who` tells, and the line, or its beginning, that says so.
NOTHING: Final = (None, None, "")


class Combined:
    """Apache's format. `end` is that of a line without details; the others stand around those."""

    end = ""
    before_time, before_id, behind_id = " ", " ", ""

    @staticmethod
    def stamp(now: float) -> str:
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(now))

    @staticmethod
    def who(client: str, user: str | None, stamp: str) -> str:
        name = quotable(user or "-").replace(" ", "\\x20")
        return f"{client or '-'} - {name} {stamp} "

    @staticmethod
    def what(head: RequestHead | None, status: int, sent: int) -> str:
        if head is None:
            return f'"-" {status} {sent} "-" "-"'
        index = head.headers.index
        referer, agent = quotable(index.get("referer", "-")), quotable(index.get("user-agent", "-"))
        request = f"{head.method} {quotable(head.target)} HTTP/{head.version / 10}"
        return f'"{request}" {status} {sent} "{referer}" "{agent}"'


class JSONLines:
    """An object a line, its keys in this order. What is not known is null."""

    end = "}"
    before_time, before_id, behind_id = ',"duration_us":', ',"id":"', '"}'

    @staticmethod
    def stamp(now: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))

    @staticmethod
    def who(client: str, user: str | None, stamp: str) -> str:
        return f'{{"time":"{stamp}","client":{_json(client or None)},"user":{_json(user)},'

    @staticmethod
    def what(head: RequestHead | None, status: int, sent: int) -> str:
        index = head.headers.index if head is not None else {}
        method, target = (head.method, head.target) if head is not None else (None, None)
        version = f"{head.version / 10}" if head is not None else None
        return (
            f'"method":{_json(method)},"target":{_json(target)},"version":{_json(version)},"status":{status},'
            f'"sent":{sent},"referer":{_json(index.get("referer"))},"agent":{_json(index.get("user-agent"))}'
        )


def _json(text: str | None) -> str:
    return "null" if text is None else encode_basestring_ascii(text).replace("\x7f", "\\u007f")


FORMATS: Final[dict[Format, type[Combined] | type[JSONLines]]] = {"combined": Combined, "json": JSONLines}


class AccessLog:
    """One open access log. `note` is a hook for `HTTPServer.observe`."""

    def __init__(
        self, reactor: Reactor, log: Log, stream: IO[str] | None, form: Format = "combined",
        details: bool = False, wall_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._clock = reactor.clock
        self._log = log
        self._stream = stream
        self._form = FORMATS[form]
        self._has_details = details
        self._end = "" if details else self._form.end
        self._wall_clock = wall_clock
        self._until = -1.0  # the end of the second that `_stamp` tells
        self._stamp = ""
        self._clients: dict[tuple[str, str | None], str] = {}  # who and when, by client and user, of this second
        self._lines: list[str] = []

    def note(self, at_once: Sequence[Request], began: float, others: Sequence[Answered]) -> None:
        """What was answered in one turn; see `HTTPServer.observe`."""
        now = self._clock()
        if now >= self._until:
            self._begin_second(now)
        if not self._lines:
            self._reactor.call_later(PATIENCE, self.flush)
        if at_once:
            lines = self._common(at_once)
            self._lines += self._detailed(at_once, lines, now - began) if self._has_details else lines
        for answered in others:
            self._lines.append(self._other(answered, now))
        if len(self._lines) >= MOST_TOGETHER:
            self.flush()

    def _common(self, requests: Sequence[Request]) -> list[str]:
        """For requests that were answered in the common way, as far as equal ones share their lines."""
        lines = []
        client: str | None = None
        user: str | None = None
        who = ""
        for request in requests:
            if request.client is not client or request.user is not user:
                client, user = request.client, request.user
                who = self._who(client, user)
            answer = request._answer
            noted = request.head.noted or NOTHING
            if noted[0] is answer and noted[1] is who:
                lines.append(noted[2])
            else:
                lines.append(self._describe(request.head, answer, who))
        return lines

    def _detailed(self, requests: Sequence[Request], lines: list[str], took: float) -> list[str]:
        """The same with what each tells of its own. Its name is what `request.id` says from now on, which is put
        together there only when somebody asks.
        """
        between, end = self._between(took), self._form.behind_id
        block = new_block()
        beginning = between + block
        told = []
        for request, line, ending in zip(requests, lines, endings(len(lines)), strict=False):
            if request._id:
                told.append(f"{line}{between}{request.id}{end}")
            else:
                request._block, request._id = block, ending
                told.append(f"{line}{beginning}{ending}{end}")
        return told

    def _describe(self, head: RequestHead, answer: ResponseHead, who: str) -> str:
        line = f"{who}{self._form.what(head, answer.status, answer.length or 0)}{self._end}"
        head.noted = answer, who, line
        return line

    def _other(self, answered: Answered, now: float) -> str:
        """The line of one that is not common."""
        head, request, client, status, sent, since = answered
        user = None
        if request is not None:
            client, user = request.client, request.user
        line = f"{self._who(client, user)}{self._form.what(head, status, sent)}{self._end}"
        if not self._has_details:
            return line
        name = request.id if request is not None else "-"
        return f"{line}{self._between(now - since)}{name}{self._form.behind_id}"

    def _between(self, took: float) -> str:
        """What stands between the common part of a line and the name."""
        return f"{self._form.before_time}{int(took * 1e6)}{self._form.before_id}"

    def _begin_second(self, now: float) -> None:
        wall = self._wall_clock()
        self._stamp = self._form.stamp(wall)
        self._until = now + 1.0 - wall % 1.0
        self._clients.clear()

    def _who(self, client: str, user: str | None) -> str:
        """The beginning of their lines in this second: the same object each time."""
        who = self._clients.get((client, user))
        if who is None:
            who = self._clients[client, user] = self._form.who(client, user, self._stamp)
        return who

    def flush(self) -> None:
        """Hand over what waits."""
        if self._lines:
            self._log.write(self._stream, "\n".join(self._lines), len(self._lines))
            self._lines.clear()

    def close(self) -> None:
        """Its end; what waits is written first."""
        self.flush()
        self._log.close_stream(self._stream)


def open_stream(where: str, directory: Path, standard: IO[str] | None) -> IO[str] | None:
    """Where access lines go: "-" is `standard`, anything else a file, in UTF-8 whatever a user is called. StartError if
    that cannot be written.
    """
    if where == "-":
        return standard
    try:
        return open(directory / where, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        words = f"cannot write the access log {where}: {error.strerror}; name another file with access_log"
        raise StartError(words) from None
