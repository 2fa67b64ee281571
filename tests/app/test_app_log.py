"""Lines for people: escaped, bounded, in order, and never in the way of the loop."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

import reactor.log as log_module
from reactor.errors import StartError
from reactor.log import MOST_WAITING, Log, Writer, escape
from reactor.sansio.head import RequestHead
from reactor.sansio.headers import Headers


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.closed: list[IO[str]] = []

    def write(self, stream: IO[str], line: str | None) -> None:
        if line is None:
            stream.close()
            self.closed.append(stream)
        else:
            self.lines.append(line)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢", "plain ü 漢"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("\x1b[2J\x00\x7f\x9b", "\\x1b[2J\\x00\\x7f\\x9b"),
        ("a\u2028b\u202ec\u2066d", "a\\u2028b\\u202ec\\u2066d"),
    ],
)
def test_nobodys_text_moves_a_cursor_or_fakes_a_line(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_line_has_its_time_and_level_and_an_error_its_traceback() -> None:
    lines = Lines()
    log = Log(lines.write)
    log.info("started")
    log.warning("look\nhere")
    try:
        raise ValueError("two\nlines\x1b")
    except ValueError as error:
        log.error("it broke", error)
    assert lines.lines[0].endswith(" info: started")
    assert lines.lines[1].endswith(" warning: look\\x0ahere")
    assert lines.lines[2].endswith(" error: it broke")
    assert all(line.startswith("    ") for line in lines.lines[3:])
    assert any("Traceback" in line for line in lines.lines)
    assert not any("\x1b" in line or "\n" in line for line in lines.lines)


def head(**fields: str) -> RequestHead:
    pairs = [("host", "a"), *((name.replace("_", "-"), value) for name, value in fields.items())]
    return RequestHead("GET", "/x?a=1", Headers(pairs))


def test_the_access_log_is_the_combined_format_and_escaped(tmp_path: Path) -> None:
    lines = Lines()
    log = Log(lines.write)
    assert log.open_access("access.log", tmp_path)
    log.access(head(user_agent='evil" \x1b\\ \xe9', referer="http://b/"), "10.0.0.1", None, 200, 12)
    log.access(head(), "::1", None, 404, 0)
    first, second = lines.lines
    assert first.startswith("10.0.0.1 - - [")
    assert first.endswith('] "GET /x?a=1 HTTP/1.1" 200 12 "http://b/" "evil\\x22 \\x1b\\x5c é"')
    assert second.endswith('"GET /x?a=1 HTTP/1.1" 404 0 "-" "-"')
    log.close_access()
    assert len(lines.closed) == 1


def test_off_is_no_access_log_and_costs_no_line(tmp_path: Path) -> None:
    lines = Lines()
    log = Log(lines.write)
    assert not log.open_access("off", tmp_path)
    log.access(head(), "::1", None, 404, 0)
    assert lines.lines == []


def test_an_access_log_that_cannot_be_opened_leaves_the_one_before(tmp_path: Path) -> None:
    lines = Lines()
    log = Log(lines.write)
    log.open_access("one.log", tmp_path)
    with pytest.raises(StartError, match="cannot write the access log"):
        log.open_access("no/such/two.log", tmp_path)
    log.access(head(), "::1", None, 404, 0)
    assert len(lines.lines) == 1
    log.close_access()


def test_the_writer_writes_in_order_and_ends_with_what_was_there() -> None:
    stream = io.StringIO()
    writer = Writer()
    for number in range(1000):
        writer.write(stream, str(number))
    writer.close()
    assert stream.getvalue().split() == [str(number) for number in range(1000)]


def test_a_file_is_closed_behind_its_last_line(tmp_path: Path) -> None:
    stream = open(tmp_path / "a.log", "w")  # noqa: SIM115
    writer = Writer()
    writer.write(stream, "last")
    writer.write(stream, None)
    writer.close()
    assert stream.closed
    assert (tmp_path / "a.log").read_text() == "last\n"


class Stuck(io.StringIO):
    """A reader that reads nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.go.wait(10)
        return super().write(text)


def test_a_reader_that_does_not_read_holds_up_nobody_and_the_loss_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stuck, file = Stuck(), io.StringIO()
    writer = Writer()
    writer.write(stuck, "first")
    assert stuck.entered.wait(10)
    for number in range(MOST_WAITING + 5):
        writer.write(stuck, str(number))
    writer.write(file, None)  # to close a file is no line, and is not dropped
    stuck.go.set()
    writer.close()
    assert len(stuck.getvalue().split()) == 1 + MOST_WAITING
    assert file.closed
    assert "5 log lines were dropped" in capsys.readouterr().err


def test_a_flood_of_log_lines_costs_no_owed_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    owed, stuck = io.StringIO(), Stuck()
    monkeypatch.setattr(sys, "stdout", owed)
    monkeypatch.setattr(log_module, "MOST_OWED", MOST_WAITING + 2)
    log = Log()
    assert log._writer is not None
    log._writer.write(stuck, "first")
    assert stuck.entered.wait(10)
    for number in range(MOST_WAITING + 7):
        log.info("noise")
        log.say(str(number))
    stuck.go.set()
    log.close()
    assert owed.getvalue().split() == [str(number) for number in range(MOST_WAITING + 2)]
    errors = capsys.readouterr().err
    assert "7 log lines were dropped" in errors
    assert "5 lines of standard output were dropped" in errors


def test_a_stream_that_fails_costs_the_others_nothing() -> None:
    broken, good = io.StringIO(), io.StringIO()
    broken.close()
    writer = Writer()
    writer.write(good, "a")
    writer.write(broken, "lost")
    writer.write(good, "b")
    writer.close()
    assert good.getvalue() == "a\nb\n"
