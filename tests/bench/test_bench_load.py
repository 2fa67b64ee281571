"""The load generator on a fake clock, against a server that is a few lines of this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.exchange import Expect
from bench.load import Load, Plan, Result, make_asks
from reactor.errors import DialError
from reactor.testing import FakeReactor, MemoryTransport

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class FakeServer:
    """Answers each request `delay(number)` seconds after it came; None: never."""

    def __init__(self, reactor: FakeReactor, delay: Callable[[int], float | None], answer: bytes = ANSWER) -> None:
        self.requests: list[tuple[float, bytes]] = []
        self.opened = 0
        self._reactor = reactor
        self._delay = delay
        self._answer = answer

    async def connect(self, factory: Callable[[], Any]) -> Any:
        self.opened += 1
        protocol = factory()
        _Wire(self._reactor, protocol, self._asked)
        return protocol

    def _asked(self, wire: _Wire, data: bytes) -> None:
        delay = self._delay(len(self.requests))
        self.requests.append((self._reactor.clock.now, data))
        if delay is not None:
            self._reactor.call_later(delay, self._reply, wire)

    def _reply(self, wire: _Wire) -> None:
        if not wire.lost:
            wire.feed(self._answer)
            if b"Connection: close" in self._answer:
                wire.feed_eof()


class _Wire(MemoryTransport):
    def __init__(self, reactor: FakeReactor, protocol: Any, asked: Callable[[_Wire, bytes], None]) -> None:
        self._asked = asked
        super().__init__(reactor, protocol)

    def write(self, data: bytes) -> None:
        super().write(data)
        if not self.is_closing:
            self._asked(self, data)


def load(
    reactor: FakeReactor, server: FakeServer, expect: Expect | None = None, vary: int = 1, path: str = "/ok",
    **plan: Any,
) -> Result:  # fmt: skip
    _, asks = make_asks("GET", f"http://127.0.0.1:8000{path}", vary=vary)
    whole = Plan(asks, expect or Expect(), **plan)
    task = reactor.spawn(Load(reactor, whole, server.connect, reactor.clock, spin=False).run())
    reactor.advance(whole.seconds + whole.timeout + 5)
    return task.result()


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


def test_in_the_closed_loop_each_connection_asks_again_when_it_is_answered(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: 0.1)
    result = load(reactor, server, connections=3, seconds=1.05)
    assert (result.mode, result.asked, result.answered) == ("closed", 33, 33)
    assert result.good == 33 and result.errors == {} and result.bytes == 66
    assert result.rate == pytest.approx(30 / 1.05)  # the last three came after the end
    assert result.latency == {}  # says nothing: a stall would only have been asked less often


def test_with_a_rate_requests_go_out_when_they_are_due(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: 0.004)
    result = load(reactor, server, connections=4, seconds=1.0, rate=100.0)
    assert 100 <= result.asked <= 101 and result.good == result.asked
    begin = server.requests[0][0]
    for number, (at, _) in enumerate(server.requests):
        assert at - begin == pytest.approx(number / 100, abs=1e-6)
    assert result.latency["0.99"] == pytest.approx(4.0)
    assert result.lag["1"] == pytest.approx(0.0, abs=1e-6)


def test_what_waits_behind_a_stall_has_waited(reactor: FakeReactor) -> None:
    """One connection, one stall of half a second: the requests that were due meanwhile count from when they were due.
    A generator that measures from the moment of sending would see one slow request in a hundred.
    """
    server = FakeServer(reactor, lambda number: 0.5 if number == 20 else 0.001)
    result = load(reactor, server, connections=1, seconds=1.0, rate=100.0)
    assert result.good == result.asked
    assert result.latency["0.5"] > 20.0
    assert result.latency["0.9"] > 350.0
    assert result.latency["1"] == pytest.approx(500.0, abs=2.0)


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [(Expect(status=404), "status 200"), (Expect(length=3), "length"), (Expect(body=b"no"), "body"),
     (Expect(200, 2, b"ok"), "")],
)  # fmt: skip
def test_every_answer_is_checked(reactor: FakeReactor, expect: Expect, complaint: str) -> None:
    result = load(reactor, FakeServer(reactor, lambda number: 0.1), expect, connections=1, seconds=1.05)
    assert result.answered > 0
    if complaint:
        assert (result.errors, result.good, result.rate) == ({complaint: result.answered}, 0, 0.0)
    else:
        assert (result.errors, result.good) == ({}, result.answered)


def test_a_request_without_an_answer_is_an_error_and_its_age_a_latency(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: None if number == 5 else 0.001)
    result = load(reactor, server, connections=2, seconds=1.0, rate=10.0, timeout=3.0)
    assert sum(result.errors.values()) == 1
    assert result.good == result.asked - 1
    assert result.latency["1"] >= 3000.0


def test_a_server_that_never_answers_leaves_no_request_uncounted(reactor: FakeReactor) -> None:
    result = load(reactor, FakeServer(reactor, lambda number: None), connections=2, seconds=1.0, rate=10.0, timeout=5.0)
    assert sum(result.errors.values()) in (10, 11)
    assert result.good == 0 and result.errors["unsent"] >= 8
    assert result.latency["0.25"] >= 5000.0


def test_one_request_a_connection_opens_one_for_each(reactor: FakeReactor) -> None:
    closing = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    server = FakeServer(reactor, lambda number: 0.1, closing)
    result = load(reactor, server, connections=2, seconds=1.05)
    assert result.errors == {}
    assert server.opened >= result.answered >= 20


def test_nonsense_is_an_error_and_the_connection_is_replaced(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: 0.1, b"nonsense\r\n\r\n")
    result = load(reactor, server, connections=1, seconds=1.05)
    assert set(result.errors) == {"protocol"} and result.errors["protocol"] > 5
    assert server.opened > 5


def test_refused_connections_are_counted_and_tried_again(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: 0.1)
    refusals = iter([True, True, False])

    async def connect(factory: Callable[[], Any]) -> Any:
        if next(refusals, False):
            raise DialError("nobody listens")
        return await FakeServer.connect(server, factory)

    server.connect = connect  # type: ignore[method-assign]
    result = load(reactor, server, connections=3, seconds=1.0)
    assert result.errors == {"connect": 2}
    assert server.opened == 3


def test_the_numbered_requests_are_asked_in_turn(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: 0.1)
    load(reactor, server, vary=3, path="/user/{n}", connections=1, seconds=0.55)
    targets = [data.split(b" ")[1] for _, data in server.requests]
    assert targets == [b"/user/0", b"/user/1", b"/user/2"] * 2


def test_idle_connections_ask_once_and_slow_ones_never_finish(reactor: FakeReactor) -> None:
    server = FakeServer(reactor, lambda number: 0.01)
    result = load(reactor, server, connections=1, seconds=5.0, rate=10.0, idle=3, slow=2)
    assert (result.idle_open, result.slow_cut) == (3, 0)
    drops = [data for _, data in server.requests if len(data) == 1]
    assert 10 <= len(drops) <= 14  # two of them, a byte a second
    assert not any(b"\n" in data and len(data) == 1 for data in drops[-2:])
