"""What the loop itself costs: time limits, and handing the processor from one task to the next."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from reactor.core.task import Future
from reactor.core.timers import Timers
from reactor.testing import FakeReactor


def test_timer_add_and_cancel(benchmark: BenchmarkFixture) -> None:
    """With 10,000 others in the heap."""
    timers = Timers()
    for number in range(10_000):
        timers.add(1e6 + number, print)
    benchmark(lambda: timers.add(5e5, print).cancel())


def test_timer_fires(benchmark: BenchmarkFixture) -> None:
    timers = Timers()
    for number in range(10_000):
        timers.add(1e6 + number, print)

    def fire() -> int:
        timers.add(1.0, print)
        return len(timers.pop_due(1.0))

    assert benchmark(fire) == 1


def test_deadline_moves(benchmark: BenchmarkFixture) -> None:
    """What happens at every read and write: later, without touching the heap."""
    reactor = FakeReactor()
    deadline = reactor.deadline(lambda: None)
    deadline.move(1.0)
    benchmark(deadline.move, 2.0)
    assert len(reactor.timers) == 1


def test_task_that_never_waits(benchmark: BenchmarkFixture) -> None:
    reactor = FakeReactor()

    async def answer() -> int:
        return 1

    assert benchmark(lambda: reactor.spawn(answer()).result()) == 1


def test_task_switch(benchmark: BenchmarkFixture) -> None:
    """A task waits for a future, which is set, and the task goes on: through the ready queue and one turn."""
    reactor = FakeReactor()

    async def wait(future: Future[int]) -> int:
        return await future

    def switch() -> int:
        future: Future[int] = Future(reactor)
        task = reactor.spawn(wait(future))
        future.set_result(1)
        reactor.turn()
        return task.result()

    assert benchmark(switch) == 1


def test_idle_turn(benchmark: BenchmarkFixture) -> None:
    reactor = FakeReactor()
    reactor.call_soon(lambda: None)
    benchmark(reactor.turn)
