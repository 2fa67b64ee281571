"""The loop on a fake clock and a selector that a test moves by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from reactor.core.loop import Reactor
from reactor.core.selector import READ, WRITE
from reactor.testing import FakeClock, FakeReactor


class Key(NamedTuple):
    fd: int
    data: Any


class HandSelector:
    """A selector whose events a test sets; `waits` has the timeouts it was asked for."""

    def __init__(self) -> None:
        self.keys: dict[int, tuple[int, Any]] = {}
        self.events: list[tuple[int, int]] = []
        self.waits: list[float | None] = []
        self.closed = False

    def register(self, fileobj: int, events: int, data: Any = None) -> None:
        assert fileobj not in self.keys, "registered twice"
        self.keys[fileobj] = (events, data)

    def modify(self, fileobj: int, events: int, data: Any = None) -> None:
        assert fileobj in self.keys
        self.keys[fileobj] = (events, data)

    def unregister(self, fileobj: int) -> None:
        del self.keys[fileobj]

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        self.waits.append(timeout)
        events, self.events = self.events, []
        return [(Key(fd, self.keys[fd][1]), mask) for fd, mask in events]

    def close(self) -> None:
        self.closed = True


class Errors(list[tuple[str, str]]):
    def take(self, error: BaseException, where: str) -> None:
        self.append((repr(error), where))


@pytest.fixture
def errors() -> Errors:
    return Errors()


def make_reactor(errors: Errors, selector: HandSelector | None = None) -> FakeReactor:
    reactor = FakeReactor()
    reactor.on_error = errors.take
    if selector is not None:
        reactor._selector = selector
    return reactor


def test_calls_run_in_order_and_what_they_add_waits_for_the_next_turn(errors: Errors) -> None:
    reactor = make_reactor(errors)
    log: list[str] = []

    def first() -> None:
        log.append("a")
        reactor.call_soon(log.append, "c")

    reactor.call_soon(first)
    reactor.call_soon(log.append, "b")
    reactor.turn()
    assert log == ["a", "b"]
    reactor.turn()
    assert log == ["a", "b", "c"]


def test_an_error_in_a_callback_is_reported_and_costs_nobody_else_anything(errors: Errors) -> None:
    selector = HandSelector()
    reactor = make_reactor(errors, selector)
    log: list[str] = []

    def fail(*_: object) -> None:
        raise ValueError("broken")

    reactor.register(3, READ, fail)
    reactor.register(4, READ, lambda mask: log.append("source"))
    selector.events = [(3, READ), (4, READ)]
    reactor.call_later(0, fail)
    reactor.call_later(0, log.append, "timer")
    reactor.call_soon(fail)
    reactor.call_soon(log.append, "ready")
    reactor.turn()
    assert log == ["source", "timer", "ready"]
    assert [error for error, _ in errors] == ["ValueError('broken')"] * 3
    assert "descriptor 3" in errors[0][1]


def test_sources_hear_what_they_are_ready_for(errors: Errors) -> None:
    selector = HandSelector()
    reactor = make_reactor(errors, selector)
    masks: list[int] = []
    reactor.register(7, READ, masks.append)
    selector.events = [(7, READ)]
    reactor.turn()
    reactor.modify(7, READ | WRITE, masks.append)
    selector.events = [(7, READ | WRITE)]
    reactor.turn()
    reactor.unregister(7)
    assert masks == [READ, READ | WRITE]
    assert selector.keys == {}


def test_the_wait_is_as_long_as_the_next_timer_allows_and_never_over_a_minute(errors: Errors) -> None:
    selector = HandSelector()
    reactor = make_reactor(errors, selector)
    reactor.turn()
    timer = reactor.call_later(2.5, lambda: None)
    reactor.turn()
    reactor.clock.now += 1
    reactor.turn()
    timer.cancel()
    reactor.call_later(1e9, lambda: None)
    reactor.turn()
    reactor.call_soon(lambda: None)
    reactor.turn()
    assert selector.waits == [60.0, 2.5, 1.5, 60.0, 0.0]


def test_an_overdue_timer_does_not_make_the_wait_negative(errors: Errors) -> None:
    selector = HandSelector()
    reactor = make_reactor(errors, selector)
    reactor.call_later(1, lambda: None)
    reactor.clock.now += 5
    reactor.turn()
    assert selector.waits == [0.0]


def test_now_stands_still_within_a_turn(errors: Errors) -> None:
    reactor = make_reactor(errors)
    times: list[float] = []

    def slow() -> None:
        times.append(reactor.now)
        reactor.clock.now += 3
        times.append(reactor.now)

    reactor.call_soon(slow)
    reactor.turn()
    assert times[0] == times[1]
    reactor.turn()
    assert reactor.now == times[0] + 3


def test_call_later_counts_from_the_real_time_and_not_from_the_turn(errors: Errors) -> None:
    reactor = make_reactor(errors)
    reactor.clock.now += 10  # a callback that took ten seconds
    assert reactor.call_later(1, lambda: None).when == reactor.clock.now + 1


def test_run_ends_after_the_turn_in_which_stop_was_called_and_can_run_again(errors: Errors) -> None:
    reactor = make_reactor(errors)
    log: list[int] = []
    for number in (1, 2):
        reactor.call_soon(reactor.stop)
        reactor.call_soon(log.append, number)
        reactor.run()
    assert log == [1, 2]


def test_run_until_gives_the_result_or_raises_the_error(errors: Errors) -> None:
    reactor = make_reactor(errors)
    good, bad = reactor.future(), reactor.future()
    reactor.call_soon(good.set_result, 5)
    assert reactor.run_until(good) == 5
    reactor.call_soon(bad.set_error, KeyError("x"))
    with pytest.raises(KeyError):
        reactor.run_until(bad)


def test_calls_from_threads_run_in_the_turn_that_finds_them(errors: Errors) -> None:
    reactor = make_reactor(errors)
    log: list[str] = []
    reactor.call_from_thread(log.append, "a")
    reactor.call_from_thread(log.append, "b")
    reactor.turn()
    assert log == ["a", "b"]


def test_an_error_that_nobody_takes_is_printed_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    reactor = FakeReactor()

    def broken() -> None:
        raise ValueError("broken")

    reactor.call_soon(broken)
    reactor.settle()
    printed = capsys.readouterr().err
    assert "broken" in printed.splitlines()[0]
    assert "Traceback" in printed


def test_close_gives_the_selector_back() -> None:
    selector = HandSelector()
    reactor = Reactor(FakeClock(), selector)
    reactor.close()
    assert selector.closed


def test_settle_says_so_when_it_never_ends(errors: Errors) -> None:
    reactor = make_reactor(errors)

    def again() -> None:
        reactor.call_soon(again)

    again()
    with pytest.raises(AssertionError, match="still busy"):
        reactor.settle(100)


def test_advance_stops_at_each_timer_on_the_way(errors: Errors) -> None:
    reactor = make_reactor(errors)
    start = reactor.clock.now
    times: list[float] = []

    def tick() -> None:
        times.append(reactor.now - start)
        reactor.call_later(10, tick)

    reactor.call_later(10, tick)
    reactor.advance(35)
    assert times == [10, 20, 30]
    assert reactor.clock.now - start == 35
