"""A connection inside one process keeps what a Transport promises: order, turns, back-pressure, an orderly end."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from peer.pipe import BUFFER, End, pipe
from reactor.core.transport import HIGH_WATER
from reactor.testing import FakeReactor


class Ear:
    """A protocol that notes what it hears."""

    def __init__(self, on_data: Callable[[Ear, bytes], object] = lambda ear, data: None) -> None:
        self.end: End
        self.heard: list[str] = []
        self.data = b""
        self.error: OSError | None = None
        self._on_data = on_data

    def connection_made(self, end: End) -> None:
        self.end = end
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._on_data(self, data)

    def eof_received(self) -> None:
        self.heard.append("eof")
        self.end.close()

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")

    def connection_lost(self, error: OSError | None) -> None:
        self.heard.append("lost")
        self.error = error


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


def connected(reactor: FakeReactor, left: Ear | None = None, right: Ear | None = None) -> tuple[Ear, Ear]:
    ends = left or Ear(), right or Ear()
    pipe(reactor, *ends, where=("10.0.0.1", 8000))
    return ends


def test_what_is_written_arrives_in_order_and_never_inside_the_write(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    left.end.write(b"one ")
    left.end.write(b"two")
    assert right.data == b""
    reactor.settle()
    assert right.data == b"one two"
    assert left.end.unsent == 0
    assert left.end.peer == ("10.0.0.1", 8000)


def test_both_may_talk_at_once(reactor: FakeReactor) -> None:
    left, _ = connected(reactor, right=Ear(lambda ear, data: ear.end.write(data.upper())))
    left.end.write(b"echo")
    reactor.settle()
    assert left.data == b"ECHO"


def test_a_reader_that_stops_makes_the_writer_wait(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    drained: list[int] = []
    left.end.on_drained = lambda: drained.append(1)
    right.end.pause_reading()
    left.end.write(bytes(BUFFER))
    reactor.settle()
    assert left.end.unsent == 0  # as a socket's buffer would have it
    left.end.write(bytes(HIGH_WATER + 1))
    assert left.end.unsent == HIGH_WATER + 1
    reactor.settle()
    assert left.heard == ["made", "pause"]
    assert drained == []
    right.end.resume_reading()
    reactor.settle()
    assert len(right.data) == BUFFER + HIGH_WATER + 1
    assert left.heard == ["made", "pause", "resume"]
    assert drained == [1]


def test_a_reader_that_takes_nothing_for_long_is_cut_off(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    left.end.stall_limit = 30.0
    right.end.pause_reading()
    left.end.write(bytes(BUFFER + 1))
    reactor.advance(29)
    assert left.heard == ["made"]
    reactor.advance(2)
    assert left.heard == ["made", "lost"]
    assert left.error is not None
    assert left.error.errno == errno.ETIMEDOUT
    assert right.error is not None
    assert right.error.errno == errno.ECONNRESET


def test_a_close_lets_what_was_written_arrive(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    left.end.write(b"bye")
    left.end.close()
    assert left.end.is_closing
    left.end.write(b"too late")
    reactor.settle()
    assert right.data == b"bye"
    assert right.heard == ["made", "eof", "lost"]
    assert left.heard == ["made", "lost"]
    assert (left.error, right.error) == (None, None)


def test_a_close_waits_for_what_a_slow_reader_has_not_taken(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    right.end.pause_reading()
    left.end.write(bytes(2 * BUFFER))
    left.end.close()
    reactor.settle()
    assert left.heard == ["made"]
    right.end.resume_reading()
    reactor.settle()
    assert len(right.data) == 2 * BUFFER
    assert left.heard == ["made", "lost"]


def test_a_lingering_close_waits_for_the_other_end(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    right.end.pause_reading()
    left.end.close(2.0)
    reactor.advance(1)
    assert left.heard == ["made"]
    right.end.write(b"dropped")
    right.end.close()
    reactor.settle()
    assert left.heard == ["made", "lost"]
    assert left.data == b""


def test_a_lingering_close_ends_by_itself(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    right.end.pause_reading()
    left.end.close(2.0)
    reactor.advance(2.1)
    assert left.heard == ["made", "lost"]


def test_an_abort_is_heard_at_both_ends_and_what_waits_is_lost(reactor: FakeReactor) -> None:
    left, right = connected(reactor)
    left.end.write(b"never")
    left.end.abort()
    reactor.settle()
    assert right.data == b""
    assert left.heard == right.heard == ["made", "lost"]
    assert left.error is None
    assert right.error is not None
    left.end.write(b"nothing happens")
    right.end.close()
    reactor.settle()
    assert left.heard == right.heard == ["made", "lost"]


def test_a_mistake_of_a_protocol_ends_the_connection_and_is_reported(reactor: FakeReactor) -> None:
    errors: list[BaseException] = []
    reactor.on_error = lambda error, where: errors.append(error)

    def fail(ear: Ear, data: bytes) -> None:
        raise ValueError("a mistake")

    left, right = connected(reactor, right=Ear(fail))
    left.end.write(b"x")
    reactor.settle()
    assert [str(error) for error in errors] == ["a mistake"]
    assert left.heard == right.heard == ["made", "lost"]
