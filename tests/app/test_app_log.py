"""Lines for people: escaped, bounded, in order, and never in the way of the loop."""

from __future__ import annotations

import errno
import io
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

import reactor.log as log_module
from reactor.log import MOST_WAITING, Log, Writer, escape


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, stream: IO[str] | None, line: str | None, count: int = 1) -> None:
        assert line is not None
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


def test_a_batch_counts_as_so_many_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stuck = Stuck()
    writer = Writer()
    writer.write(stuck, "first")
    assert stuck.entered.wait(10)
    for _ in range(MOST_WAITING // 500 + 2):
        writer.write(stuck, "\n".join(["line"] * 500), 500)
    stuck.go.set()
    writer.close()
    assert len(stuck.getvalue().split()) == 1 + MOST_WAITING
    assert writer.lost == 1000
    assert "1000 log lines were dropped" in capsys.readouterr().err


class Full(io.StringIO):
    """A file on a disk that is full, until there is room."""

    name = "access.log"

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_is_told_once_until_there_is_room_again(capsys: pytest.CaptureFixture[str]) -> None:
    full = Full()
    writer = Writer()
    for line in ("one", "two\nthree"):
        writer._write_all([(full, line)])
    assert writer.lost == 3
    assert capsys.readouterr().err.count("cannot write to access.log: No space left on device") == 1
    full.is_full = False
    writer._write_all([(full, "four")])
    assert full.getvalue() == "four\n"
    full.is_full = True
    writer._write_all([(full, "five")])
    assert "cannot write" in capsys.readouterr().err


def test_a_stream_that_fails_costs_the_others_nothing() -> None:
    broken, good = io.StringIO(), io.StringIO()
    broken.close()
    writer = Writer()
    writer.write(good, "a")
    writer.write(broken, "lost")
    writer.write(good, "b")
    writer.close()
    assert good.getvalue() == "a\nb\n"


def test_a_stream_that_was_closed_at_the_start_costs_its_own_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has None for a standard stream that the shell has closed with `>&-`."""
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", errors)
    log = Log()
    log.say("nobody hears it")
    log.info("one")
    log.close()
    assert errors.getvalue().endswith(" info: one\n")
    monkeypatch.setattr(sys, "stderr", None)
    log = Log()
    log.say("neither this")
    log.error("nor this", ValueError("nor that"))
    log.close()
