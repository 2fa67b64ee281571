"""A peer that takes its bytes too slowly: a real Transport on a fake clock, over a socket that takes what it is let."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from reactor.core.selector import READ, WRITE
from reactor.core.transport import HIGH_WATER, Pace, Transport
from reactor.testing import FakeReactor


class SlowSocket:
    """Takes as many bytes as the test has let it; then it would block."""

    def __init__(self) -> None:
        self.room = 0
        self.taken = 0
        self.options: list[tuple[int, int, object]] = []
        self.closed = False

    def fileno(self) -> int:
        return 99

    def recv(self, size: int, /) -> bytes:
        raise BlockingIOError

    def send(self, data: bytes | memoryview, /) -> int:
        if not self.room:
            raise BlockingIOError
        sent = min(self.room, len(data))
        self.room -= sent
        self.taken += sent
        return sent

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        self.options.append((level, option, value))

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None:
        self.closed = True


class Reader:
    """The protocol above; `lost` is what it heard at the end."""

    def __init__(self) -> None:
        self.lost: OSError | None = None

    def connection_made(self, transport: Transport) -> None:
        transport.stall_limit = 30.0
        transport.pace = Pace(500, 10.0)

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def connection_lost(self, error: OSError | None) -> None:
        self.lost = error


class Sending:
    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.sock = SlowSocket()
        self.reader = Reader()
        self.transport = Transport(self.reactor, self.sock, None, self.reader)

    def pass_time(self, seconds: float, room: int) -> None:
        """So much later the peer takes `room` bytes."""
        self.reactor.advance(seconds)
        self.sock.room = room
        if room and not self.sock.closed:
            self.transport._ready(WRITE)
            self.reactor.settle()


@pytest.fixture
def sending() -> Sending:
    sending = Sending()
    sending.transport.write(bytes(HIGH_WATER))
    return sending


def test_one_that_takes_a_few_bytes_each_second_is_cut_after_the_grace(sending: Sending) -> None:
    for _ in range(10):
        sending.pass_time(1.0, 100)
        assert not sending.sock.closed
    sending.pass_time(0.1, 100)
    assert sending.sock.closed
    assert sending.reader.lost is not None
    assert sending.reader.lost.errno == errno.ETIME


@pytest.mark.parametrize(("gap", "room"), [(1.0, 500), (29.0, 29 * 500), (0.1, 60)])
def test_one_that_is_just_fast_enough_is_served_to_the_end(sending: Sending, gap: float, room: int) -> None:
    while sending.transport.unsent:
        sending.pass_time(gap, room)
        assert not sending.sock.closed
    assert sending.sock.taken == HIGH_WATER


def test_the_rate_counts_anew_when_all_has_gone_out(sending: Sending) -> None:
    sending.pass_time(1.0, HIGH_WATER)
    sending.reactor.advance(3600)
    sending.transport.write(bytes(HIGH_WATER))
    sending.pass_time(9.0, 1)
    assert not sending.sock.closed


def test_one_that_takes_nothing_at_all_is_the_other_limits_business(sending: Sending) -> None:
    sending.pass_time(29.9, 0)
    assert not sending.sock.closed
    sending.pass_time(0.2, 0)
    assert sending.reader.lost is not None
    assert sending.reader.lost.errno == errno.ETIMEDOUT


def test_who_is_cut_is_reset_so_that_the_system_forgets_what_waits(sending: Sending) -> None:
    sending.pass_time(31.0, 0)
    assert (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) in sending.sock.options


def test_who_reads_at_once_pays_for_nothing() -> None:
    sending = Sending()
    sending.sock.room = 10_000
    sending.transport.write(b"x" * 10_000)
    assert sending.transport._backlog is None
    assert sending.transport._mask == READ


def test_without_a_pace_a_slow_one_has_all_the_time_in_the_world() -> None:
    sending = Sending()
    sending.transport.pace = None
    sending.transport.write(bytes(1000))
    for _ in range(100):
        sending.pass_time(20.0, 1)
    assert not sending.sock.closed
