"""The watchdog looks while a turn is under way: from another thread, at moments that the test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from reactor.core.loop import Reactor
from reactor.core.watchdog import Watchdog
from reactor.testing import FakeReactor


class Looks:
    """A watchdog on a fake clock, that looks when it is told to."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.reports: list[tuple[float, str]] = []
        self.watchdog = Watchdog(self.reactor, 0.5, lambda seconds, where: self.reports.append((seconds, where)))

    def look(self, times: int = 1) -> None:
        """From another thread, while this one stands here."""
        for _ in range(times):
            thread = threading.Thread(target=self.watchdog.look)
            thread.start()
            thread.join()

    def turn(self, callback: Callable[[], object]) -> None:
        self.reactor.call_soon(callback)
        self.reactor.settle()


@pytest.fixture
def looks() -> Looks:
    return Looks()


def test_a_turn_that_takes_long_is_told_once_with_who_and_where(looks: Looks) -> None:
    def handler() -> None:
        looks.look()
        looks.reactor.clock.now += 0.6
        looks.look()  # in this line it is stuck
        looks.reactor.clock.now += 5.0
        looks.look(3)

    looks.turn(handler)
    [(seconds, where)] = looks.reports
    assert seconds == pytest.approx(0.6)
    assert f"{__name__}.test_a_turn_that_takes_long_is_told_once_with_who_and_where.<locals>.handler > " in where
    assert looks.watchdog.blocks == 1


def test_each_block_is_told(looks: Looks) -> None:
    def handler() -> None:
        looks.look()
        looks.reactor.clock.now += 1.0
        looks.look()

    looks.turn(handler)
    looks.turn(handler)
    assert len(looks.reports) == 2


def test_short_turns_are_nobodys_concern(looks: Looks) -> None:
    for _ in range(10):
        looks.turn(looks.look)
        looks.reactor.clock.now += 0.4
    assert looks.reports == []


def test_the_time_before_a_turn_is_not_its_fault(looks: Looks) -> None:
    """The time of the turn that has just begun is not set yet: what the watchdog sees is the last one's."""

    def handler() -> None:
        looks.reactor.now -= 3600
        looks.look()
        looks.reactor.now += 3600
        looks.look()

    looks.turn(handler)
    assert looks.reports == []


def test_who_waits_in_select_is_not_blocked(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    def select(timeout: float | None = None) -> list[tuple[object, int]]:
        looks.reactor.clock.now += 10.0
        looks.look(2)
        return []

    monkeypatch.setattr(looks.reactor._selector, "select", select)
    looks.reactor.settle()
    assert looks.reports == []


def test_a_loop_that_does_not_run_is_not_blocked(looks: Looks) -> None:
    looks.reactor.clock.now += 10.0
    looks.look(3)
    assert looks.reports == []


def test_the_thread_sees_a_real_block_and_ends() -> None:
    reactor = Reactor()
    told = threading.Event()
    found: list[str] = []

    def report(seconds: float, where: str) -> None:
        found.append(where)
        told.set()

    watchdog = Watchdog(reactor, 0.02, report)
    watchdog.start()

    def blocking_handler() -> None:
        assert told.wait(10)
        reactor.stop()

    reactor.call_soon(blocking_handler)
    reactor.run()
    watchdog.close()
    reactor.close()
    assert "blocking_handler > threading.Event.wait > " in found[0]
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())
