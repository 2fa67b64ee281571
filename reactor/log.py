"""What the program says: log lines to standard error, owed lines to standard output, the access log to its file.

Writing may block (a stopped terminal, a full pipe, a slow disk), so lines are handed in batches to a thread of their
own; the loop never waits for a reader of its output. The queue is bounded: over it lines are counted instead of kept,
and the count is said. Owed lines have a bound of their own, so that no flood of log lines costs one. Everything from
outside is escaped: a log line is one line, whatever a client sends.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

from reactor.errors import StartError
from reactor.sansio.head import RequestHead

MOST_WAITING = 10_000
# Scripts wait for owed lines, so none is dropped while memory does not need it: some 20 MB of them.
MOST_OWED = 100_000
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}
# Line and paragraph separators, and what turns the direction of text around (Trojan Source, CVE-2021-42574).
_ESCAPES.update({code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))})

_ACCESS_ESCAPES = {**_ESCAPES, ord('"'): "\\x22", ord("\\"): "\\x5c"}


def _quotable(text: str) -> str:
    return text.translate(_ACCESS_ESCAPES)


def escape(text: str) -> str:
    """Control characters made visible, so that nobody's text moves a cursor or fakes a line."""
    return text.translate(_ESCAPES)


class Writer:
    """A thread that writes lines to streams, and closes a stream for which it gets None."""

    def __init__(self) -> None:
        self._lines: list[tuple[IO[str], str | None]] = []
        self._waiting = [0, 0]  # how many of these are log lines, and how many are owed
        self._dropped = [0, 0]
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def write(self, stream: IO[str], line: str | None) -> None:
        """Queue `line` for `stream`, or its close. Never waits: over MOST_WAITING, or MOST_OWED of those for standard
        output, a line is counted and dropped.
        """
        owed = stream is sys.stdout
        with self._changed:
            if line is not None:
                if self._waiting[owed] >= (MOST_OWED if owed else MOST_WAITING):
                    self._dropped[owed] += 1
                    return
                self._waiting[owed] += 1
            self._lines.append((stream, line))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="log", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closing:
                    self._changed.wait()
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, [0, 0]
                self._waiting = [0, 0]
                if not lines:
                    return
            for count, what in zip(dropped, ("log lines", "lines of standard output"), strict=True):
                if count:
                    lines.append((sys.stderr, f"{count} {what} were dropped: nobody reads fast enough"))
            _write_all(lines)

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits and end the thread; give up on a reader that does not read."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)


def _write_all(lines: list[tuple[IO[str], str | None]]) -> None:
    """One write for each run of lines to one stream."""
    start = 0
    while start < len(lines):
        stream = lines[start][0]
        end = start
        while end < len(lines) and lines[end][0] is stream:
            end += 1
        try:
            stream.write("".join(line + "\n" for _, line in lines[start:end] if line is not None))
            stream.flush()
            if lines[end - 1][1] is None:
                stream.close()
        except (OSError, ValueError):
            pass  # nobody reads any more (a closed pipe), or the disk is full: no place is left to say so
        start = end


class Log:
    """`write(stream, line)` may be given by tests; by default a Writer thread takes the lines."""

    def __init__(self, write: Callable[[IO[str], str | None], object] | None = None) -> None:
        self._writer = Writer() if write is None else None
        self._write = write or self._writer.write  # type: ignore[union-attr]
        self._access: IO[str] | None = None
        self._access_time = ("", 0)

    def say(self, text: str) -> None:
        """A line that people and scripts wait for: standard output, as it is, and dropped over MOST_OWED only."""
        self._write(sys.stdout, text)

    def info(self, text: str) -> None:
        """Something worth knowing that nobody has to act on."""
        self._line("info", text)

    def warning(self, text: str) -> None:
        """Something is not as it should be, and the program copes."""
        self._line("warning", text)

    def error(self, text: str, exc: BaseException | None = None) -> None:
        """With `exc`, its traceback follows the line."""
        self._line("error", text)
        if exc is not None:
            for part in traceback.format_exception(exc):
                for line in part.rstrip().splitlines():
                    self._write(sys.stderr, "    " + escape(line))

    def _line(self, level: str, text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._write(sys.stderr, f"{stamp} {level}: {escape(text)}")

    def open_access(self, where: str, directory: Path) -> bool:
        """Begin an access log: "off", "-" for standard error, or a file. True if there is one. StartError if it
        cannot be written; the one before goes on then.
        """
        access: IO[str] | None = None
        if where == "-":
            access = sys.stderr
        elif where != "off":
            try:
                access = open(directory / where, "a", encoding="utf-8")  # noqa: SIM115
            except OSError as error:
                raise StartError(f"cannot write the access log {where}: {error.strerror}") from None
        self.close_access()
        self._access = access
        return access is not None

    def access(self, head: RequestHead | None, client: str, user: str | None, status: int, sent: int) -> None:
        """One line in the combined format; "-" stands for what could not be read. `sent` are bytes of the body."""
        if self._access is None:
            return
        now = int(time.time())
        if now != self._access_time[1]:
            self._access_time = (time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(now)), now)
        request = referer = agent = "-"
        if head is not None:
            index = head.headers.index
            request = f"{head.method} {_quotable(head.target)} HTTP/{head.version / 10}"
            referer, agent = _quotable(index.get("referer", "-")), _quotable(index.get("user-agent", "-"))
        name = _quotable(user or "-").replace(" ", "\\x20")
        line = f'{client} - {name} {self._access_time[0]} "{request}" {status} {sent} "{referer}" "{agent}"'
        self._write(self._access, line)

    def close_access(self) -> None:
        """End the access log; what waits is written first."""
        access, self._access = self._access, None
        if access is not None and access is not sys.stderr:
            self._write(access, None)

    def close(self) -> None:
        """Write what waits, for two seconds at the most, and end the thread."""
        self.close_access()
        if self._writer is not None:
            self._writer.close()
