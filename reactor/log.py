"""What the program says: log lines to standard error, owed lines to standard output, and lines for files (`access`).

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
from typing import IO, Protocol

STAMP = "%Y-%m-%d %H:%M:%S"
MOST_WAITING = 10_000
# Scripts wait for owed lines, so none is dropped while memory does not need it: some 20 MB of them.
MOST_OWED = 100_000
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}
# Line and paragraph separators, and what turns the direction of text around (Trojan Source, CVE-2021-42574).
_ESCAPES.update({code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))})

_ACCESS_ESCAPES = {**_ESCAPES, ord('"'): "\\x22", ord("\\"): "\\x5c"}


def quotable(text: str) -> str:
    """Escaped so that it can stand in a line between quotation marks."""
    if text.isprintable() and '"' not in text and "\\" not in text:  # nearly always, and ten times as fast
        return text
    return text.translate(_ACCESS_ESCAPES)


def escape(text: str) -> str:
    """Control characters made visible, so that nobody's text moves a cursor or fakes a line."""
    return text.translate(_ESCAPES)


class Writer:
    """A thread that writes lines to streams, and closes a stream for which it gets None. `lost` counts lines that were
    dropped, or that their stream did not take.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[IO[str], str | None]] = []
        self._waiting = [0, 0]  # how many of these are log lines, and how many are owed
        self._dropped = [0, 0]
        self._failing: set[int] = set()  # the streams whose last write has failed
        self.lost = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def write(self, stream: IO[str] | None, line: str | None, count: int = 1) -> None:
        """Queue `line`, or `count` of them with line breaks between, for `stream`, or its close. Never waits: over
        MOST_WAITING, or MOST_OWED of those for standard output, a line is counted and dropped. A stream that is None is
        one that was closed when the program began (`>&-`), and nobody waits for its lines.
        """
        if stream is None:
            return
        owed = stream is sys.stdout
        with self._changed:
            if line is not None:
                if self._waiting[owed] >= (MOST_OWED if owed else MOST_WAITING):
                    self._dropped[owed] += count
                    self.lost += count
                    return
                self._waiting[owed] += count
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
                if count and sys.stderr is not None:
                    lines.append((sys.stderr, f"{count} {what} were dropped: nobody reads fast enough"))
            self._write_all(lines)

    def _write_all(self, lines: list[tuple[IO[str], str | None]]) -> None:
        """One write for each run of lines to one stream."""
        start = 0
        while start < len(lines):
            stream = lines[start][0]
            end = start
            while end < len(lines) and lines[end][0] is stream:
                end += 1
            self._write_run(stream, [line for _, line in lines[start:end] if line is not None])
            if lines[end - 1][1] is None:
                self._close(stream)
            start = end

    def _write_run(self, stream: IO[str], lines: list[str]) -> None:
        try:
            stream.write("\n".join((*lines, "")))
            stream.flush()
        except (OSError, ValueError) as error:  # nobody reads any more (a closed pipe), or the disk is full
            with self._changed:
                self.lost += sum(line.count("\n") + 1 for line in lines)
            self._complain(stream, error)
        else:
            self._failing.discard(id(stream))

    def _close(self, stream: IO[str]) -> None:
        self._failing.discard(id(stream))
        try:
            stream.close()
        except OSError as error:  # what it still held cannot be written
            self._complain(stream, error)

    def _complain(self, stream: IO[str], error: Exception) -> None:
        """Say once, until it works again, that a stream takes no lines; of standard error there is no place to."""
        if stream in (sys.stderr, sys.stdout) or sys.stderr is None or id(stream) in self._failing:
            return
        self._failing.add(id(stream))
        name, why = getattr(stream, "name", "a stream"), getattr(error, "strerror", None) or error
        try:
            print(f"{time.strftime(STAMP)} error: cannot write to {name}: {why}; its lines are lost", file=sys.stderr)
        except (OSError, ValueError):
            pass  # there neither

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits and end the thread; give up on a reader that does not read."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)


class Write(Protocol):
    """Takes what `Writer.write` does."""

    def __call__(self, stream: IO[str] | None, line: str | None, count: int = 1, /) -> object: ...


class Log:
    """`write` may be given by tests; by default a Writer thread takes the lines."""

    def __init__(self, write: Write | None = None) -> None:
        self._writer = Writer() if write is None else None
        self._write = write or self._writer.write  # type: ignore[union-attr]
        self.verbose = False

    def say(self, text: str) -> None:
        """A line that people and scripts wait for: standard output, as it is, and dropped over MOST_OWED only."""
        self._write(sys.stdout, text)

    def debug(self, text: str) -> None:
        """Something that is nobody's concern until one looks for it: dropped unless `verbose` is set."""
        if self.verbose:
            self._line("debug", text)

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
        stamp = time.strftime(STAMP)
        self._write(sys.stderr, f"{stamp} {level}: {escape(text)}")

    def write(self, stream: IO[str] | None, lines: str, count: int) -> None:
        """So many lines as they are, to a stream of the caller's; nothing if it is None. To count them here would cost
        as much as to make them.
        """
        self._write(stream, lines, count)

    def close_stream(self, stream: IO[str] | None) -> None:
        """Close a stream of the caller's behind what waits for it; standard error stays."""
        if stream is not None and stream is not sys.stderr:
            self._write(stream, None)

    @property
    def dropped(self) -> int:
        """Lines that were lost so far: nobody read them fast enough, or they could not be written."""
        return self._writer.lost if self._writer is not None else 0

    def close(self) -> None:
        """Write what waits, for two seconds at the most, and end the thread."""
        if self._writer is not None:
            self._writer.close()
