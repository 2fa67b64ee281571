"""Timers and deadlines: plain data, told what time it is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from reactor.core.timers import NEVER, Deadline, Timers


class Clockwork:
    """Timers, and who runs them; `log` has what fired and when."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.now = 0.0
        self.log: list[tuple[float, object]] = []

    def note(self, what: object) -> Callable[[], None]:
        return lambda: self.log.append((self.now, what))

    def run_to(self, end: float) -> None:
        while (due := self.timers.next()) <= end:
            self.now = max(self.now, due)
            for timer in self.timers.pop_due(self.now):
                if timer.callback is not None:
                    timer.callback(*timer.args)
        self.now = end


@pytest.fixture
def clockwork() -> Clockwork:
    return Clockwork()


def test_timers_fire_in_the_order_of_their_time_and_then_of_their_making(clockwork: Clockwork) -> None:
    for when, what in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "d")):
        clockwork.timers.add(when, clockwork.note(what))
    clockwork.run_to(2.5)
    assert clockwork.log == [(1.0, "a"), (1.0, "b"), (2.0, "c")]
    assert clockwork.timers.next() == 3.0


def test_without_timers_the_next_one_is_never_due(clockwork: Clockwork) -> None:
    assert clockwork.timers.next() == NEVER
    clockwork.timers.add(1.0, clockwork.note("a")).cancel()
    assert clockwork.timers.next() == NEVER
    assert len(clockwork.timers) == 0


def test_a_timer_that_another_cancels_in_the_same_turn_does_not_fire(clockwork: Clockwork) -> None:
    second = None
    clockwork.timers.add(1.0, lambda: second.cancel() if second else None)
    second = clockwork.timers.add(1.0, clockwork.note("second"))
    clockwork.run_to(2.0)
    assert clockwork.log == []


def test_a_timer_added_by_a_due_one_waits_for_the_next_look(clockwork: Clockwork) -> None:
    clockwork.timers.add(1.0, lambda: clockwork.timers.add(0.0, clockwork.note("late")))
    [timer] = clockwork.timers.pop_due(5.0)
    assert timer.callback is not None
    timer.callback()
    assert [timer.when for timer in clockwork.timers.pop_due(5.0)] == [0.0]


def test_a_cancelled_timer_holds_on_to_nothing(clockwork: Clockwork) -> None:
    class Thing:
        def call(self) -> None: ...

    thing = Thing()
    timer = clockwork.timers.add(1.0, thing.call)
    watch = weakref.ref(thing)
    timer.cancel()
    del thing
    gc.collect()
    assert watch() is None


def test_a_heap_of_cancelled_timers_is_swept_and_the_live_ones_stay(clockwork: Clockwork) -> None:
    kept = clockwork.timers.add(5000.0, clockwork.note("kept"))
    for number in range(10_000):
        clockwork.timers.add(10.0 + number, clockwork.note(number)).cancel()
    assert len(clockwork.timers) <= Timers.MANY + 1
    assert kept.callback is not None
    clockwork.run_to(6000.0)
    assert clockwork.log == [(5000.0, "kept")]


def test_a_deadline_fires_once_and_not_before_its_time(clockwork: Clockwork) -> None:
    deadline = Deadline(clockwork.timers, clockwork.note("expired"))
    deadline.move(5.0)
    clockwork.run_to(4.9)
    assert clockwork.log == []
    clockwork.run_to(100.0)
    assert clockwork.log == [(5.0, "expired")]
    assert deadline.at == NEVER


def test_moving_a_deadline_later_adds_nothing_to_the_heap(clockwork: Clockwork) -> None:
    deadline = Deadline(clockwork.timers, clockwork.note("expired"))
    for second in range(1000):
        deadline.move(10.0 + second)
    assert len(clockwork.timers) == 1
    clockwork.run_to(2000.0)
    assert clockwork.log == [(1009.0, "expired")]


def test_a_deadline_moved_sooner_fires_sooner_and_only_then(clockwork: Clockwork) -> None:
    deadline = Deadline(clockwork.timers, clockwork.note("expired"))
    deadline.move(100.0)
    deadline.move(3.0)
    clockwork.run_to(200.0)
    assert clockwork.log == [(3.0, "expired")]


def test_a_deadline_may_be_assigned_to_move_it_later(clockwork: Clockwork) -> None:
    deadline = Deadline(clockwork.timers, clockwork.note("expired"))
    deadline.move(3.0)
    deadline.at = 7.0
    clockwork.run_to(20.0)
    assert clockwork.log == [(7.0, "expired")]


def test_a_deadline_that_became_never_is_silent_and_can_be_set_again(clockwork: Clockwork) -> None:
    deadline = Deadline(clockwork.timers, clockwork.note("expired"))
    deadline.move(3.0)
    deadline.at = NEVER
    clockwork.run_to(10.0)
    assert clockwork.log == []
    deadline.move(12.0)
    clockwork.run_to(20.0)
    assert clockwork.log == [(12.0, "expired")]


def test_a_deadline_may_be_set_again_while_it_expires(clockwork: Clockwork) -> None:
    def again() -> None:
        clockwork.log.append((clockwork.now, "expired"))
        if len(clockwork.log) < 3:
            deadline.move(clockwork.now + 10)

    deadline = Deadline(clockwork.timers, again)
    deadline.move(1.0)
    clockwork.run_to(100.0)
    assert [when for when, _ in clockwork.log] == [1.0, 11.0, 21.0]


def test_a_closed_deadline_never_fires_not_even_when_it_is_moved(clockwork: Clockwork) -> None:
    deadline = Deadline(clockwork.timers, clockwork.note("expired"))
    deadline.move(3.0)
    deadline.close()
    deadline.move(5.0)
    clockwork.run_to(10.0)
    assert clockwork.log == []
