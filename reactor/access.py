"""The access log: a line for each answer, in the combined format or as JSON.

    combined  127.0.0.1 - ann [23/Nov/2026:09:00:00 +0000] "GET /x HTTP/1.1" 200 12 "-" "curl/8" 95 5e1f…-7
    json      {"time":"2026-11-23T09:00:00Z","client":"127.0.0.1","user":"ann","method":"GET",…,"id":"5e1f…-7"}

The combined format has two more fields behind it: the microseconds from the head of the request to the end of the
answer, and what the request is called. Everything from outside is escaped, so a line is one line.

Lines are made at the end of a turn for all that it has answered, of two pieces that are there mostly: who and when,
once a second for each client, and what was asked and answered, which is kept with the head that equal requests share.
They are handed on in batches, because to wake the thread that writes costs more than to make a line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Literal

from reactor.core.loop import Reactor
from reactor.errors import StartError
from reactor.http.request_id import new_id
from reactor.http.server import Answered
from reactor.log import Log, quotable
from reactor.sansio.head import RequestHead

Format = Literal["combined", "json"]

# Seconds that a line waits for others to go with it, and how many go at once.
PATIENCE: Final = 0.1
MOST_TOGETHER: Final = 1000
# What is kept with a head that has not been noted yet: status, bytes, by whom, and the piece of the line.
NOTHING: Final = (0, 0, None, "")


class Combined:
    """Apache's format, with %D and the request's name behind it."""

    before_id, end = " ", ""

    @staticmethod
    def stamp(now: float) -> str:
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(now))

    @staticmethod
    def who(client: str, user: str | None, stamp: str) -> str:
        name = quotable(user or "-").replace(" ", "\\x20")
        return f"{client} - {name} {stamp} "

    @staticmethod
    def what(head: RequestHead | None, status: int, sent: int) -> str:
        if head is None:
            return f'"-" {status} {sent} "-" "-" '
        index = head.headers.index
        referer, agent = quotable(index.get("referer", "-")), quotable(index.get("user-agent", "-"))
        request = f"{head.method} {quotable(head.target)} HTTP/{head.version / 10}"
        return f'"{request}" {status} {sent} "{referer}" "{agent}" '


class JSONLines:
    """An object a line, its keys in this order. What is not known is null."""

    before_id, end = ',"id":"', '"}'

    @staticmethod
    def stamp(now: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))

    @staticmethod
    def who(client: str, user: str | None, stamp: str) -> str:
        return f'{{"time":"{stamp}","client":{_json(client)},"user":{_json(user)},'

    @staticmethod
    def what(head: RequestHead | None, status: int, sent: int) -> str:
        index = head.headers.index if head is not None else {}
        method, target = (head.method, head.target) if head is not None else (None, None)
        version = f"{head.version / 10}" if head is not None else None
        return (
            f'"method":{_json(method)},"target":{_json(target)},"version":{_json(version)},"status":{status},'
            f'"sent":{sent},"referer":{_json(index.get("referer"))},"agent":{_json(index.get("user-agent"))},"duration_us":'
        )


def _json(text: str | None) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")


FORMATS: Final[dict[Format, type[Combined] | type[JSONLines]]] = {"combined": Combined, "json": JSONLines}


class AccessLog:
    """One open access log. `note` is a hook for `HTTPServer.observe`."""

    def __init__(
        self, reactor: Reactor, log: Log, stream: IO[str] | None, form: Format = "combined",
        wall_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._clock = reactor.clock
        self._log = log
        self._stream = stream
        self._format = FORMATS[form]
        self._wall_clock = wall_clock
        self._until = -1.0  # the end of the second that `_stamp` tells
        self._stamp = ""
        self._clients: dict[object, str] = {}  # who and when, by client and user, of this second
        self._lines: list[str] = []
        self._before_id, self._end = self._format.before_id, self._format.end

    def note(self, answered: Sequence[Answered]) -> None:
        """What was answered in one turn; see `HTTPServer.observe`."""
        now = self._clock()
        if now >= self._until:
            self._begin_second(now)
        clients, lines, before_id = self._clients, self._lines, self._before_id
        if not lines:
            self._reactor.call_later(PATIENCE, self.flush)
        began, took = -1.0, ""
        for head, request, peer, status, sent, since in answered:
            if since != began:  # most of a turn have begun with it
                began, took = since, f"{int((now - since) * 1e6)}{before_id}"
            if request is not None:
                client, user, name = request.client, request.user, request._id
                if not name:  # what `request.id` does, without its call
                    name = request._id = new_id()
            else:
                client, user, name = peer, None, "-"
            who = clients.get(client if user is None else (client, user)) or self._introduce(client, user)
            status_then, sent_then, writer, what = NOTHING if head is None or head.noted is None else head.noted
            if status_then != status or sent_then != sent or writer is not self:
                what = self._describe(head, status, sent)
            lines.append(f"{who}{what}{took}{name}")
        if len(lines) >= MOST_TOGETHER:
            self.flush()

    def _describe(self, head: RequestHead | None, status: int, sent: int) -> str:
        what = self._format.what(head, status, sent)
        if head is not None:
            head.noted = status, sent, self, what
        return what

    def _begin_second(self, now: float) -> None:
        wall = self._wall_clock()
        self._stamp = self._format.stamp(wall)
        self._until = now + 1.0 - wall % 1.0
        self._clients.clear()

    def _introduce(self, client: str, user: str | None) -> str:
        who = self._format.who(client, user, self._stamp)
        self._clients[client if user is None else (client, user)] = who
        return who

    def flush(self) -> None:
        """Hand over what waits."""
        if self._lines:
            self._log.write(self._stream, f"{self._end}\n".join(self._lines) + self._end, len(self._lines))
            self._lines.clear()

    def close(self) -> None:
        """Its end; what waits is written first."""
        self.flush()
        self._log.close_stream(self._stream)


def open_stream(where: str, directory: Path, standard: IO[str] | None) -> IO[str] | None:
    """Where access lines go: "-" is `standard`, anything else a file. StartError if that cannot be written."""
    if where == "-":
        return standard
    try:
        return open(directory / where, "a", encoding="utf-8")
    except OSError as error:
        raise StartError(f"cannot write the access log {where}: {error.strerror}") from None
