"""Futures and tasks: eager start, one wake-up path, cancellation that knows who asked."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from reactor.core.task import Cancelled, Future, Task, current_reactor, current_task, sleep, timeout
from reactor.testing import FakeReactor

Body = Callable[[], Coroutine[Any, Any, Any]]


@pytest.fixture
def unheard() -> list[BaseException]:
    """Errors that nobody looked at."""
    return []


@pytest.fixture
def reactor(unheard: list[BaseException]) -> Iterator[FakeReactor]:
    reactor = FakeReactor()
    reactor.on_error = lambda error, where: unheard.append(error)
    yield reactor
    gc.collect()


# -- futures ---------------------------------------------------------------------------------------------------------


def test_a_future_is_set_once(reactor: FakeReactor) -> None:
    future: Future[int] = Future(reactor)
    future.set_result(1)
    future.set_result(2)
    future.set_error(ValueError())
    future.cancel()
    assert future.result() == 1
    assert future.error is None


def test_a_future_that_is_not_done_has_no_result(reactor: FakeReactor) -> None:
    with pytest.raises(RuntimeError, match="not done"):
        Future(reactor).result()


def test_who_waits_hears_of_it_from_the_ready_queue_and_never_at_once(reactor: FakeReactor) -> None:
    future: Future[int] = Future(reactor)
    heard: list[int] = []
    future.on_done(lambda done: heard.append(done.result()))
    future.set_result(7)
    future.on_done(lambda done: heard.append(done.result() + 1))
    assert heard == []
    reactor.settle()
    assert heard == [7, 8]


def test_who_forgets_does_not_hear(reactor: FakeReactor) -> None:
    future: Future[int] = Future(reactor)
    heard: list[object] = []
    future.on_done(heard.append)
    assert future.is_awaited
    future.forget(heard.append)
    future.forget(heard.append)  # nothing if it is not there
    assert not future.is_awaited
    future.set_result(1)
    reactor.settle()
    assert heard == []


def test_an_error_that_nobody_looks_at_is_reported(reactor: FakeReactor, unheard: list[BaseException]) -> None:
    future: Future[int] = Future(reactor)
    future.set_error(ValueError("lost"))
    del future
    gc.collect()
    assert [str(error) for error in unheard] == ["lost"]


@pytest.mark.parametrize("look", [lambda f: f.error, lambda f: f.on_done(lambda _: None), lambda f: f.cancel()])
def test_an_error_that_somebody_looked_at_is_not(
    reactor: FakeReactor, unheard: list[BaseException], look: Callable[[Future[int]], object]
) -> None:
    future: Future[int] = Future(reactor)
    look(future)
    future.set_error(ValueError("heard"))
    look(future)
    del future
    reactor.settle()
    gc.collect()
    assert unheard == []


# -- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_that_never_waits_is_done_before_its_constructor_returns(reactor: FakeReactor) -> None:
    async def work() -> int:
        return 3

    task = Task(reactor, work())
    assert task.done
    assert task.result() == 3


def test_a_done_future_does_not_make_a_task_wait(reactor: FakeReactor) -> None:
    future: Future[int] = Future(reactor)
    future.set_result(1)

    async def work() -> int:
        return await future

    assert Task(reactor, work()).done


def test_a_task_goes_on_when_its_future_is_done(reactor: FakeReactor) -> None:
    first, second = Future[int](reactor), Future[int](reactor)

    async def work() -> int:
        return await first + await second

    task = reactor.spawn(work())
    second.set_result(2)
    reactor.settle()
    assert not task.done
    first.set_result(1)
    reactor.settle()
    assert task.result() == 3


def test_a_task_can_wait_for_a_task_and_gets_its_error(reactor: FakeReactor) -> None:
    async def fail() -> None:
        await sleep(1)
        raise KeyError("inner")

    async def outer() -> str:
        try:
            await reactor.spawn(fail())
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    task = reactor.spawn(outer())
    reactor.advance(1)
    assert task.result() == "caught 'inner'"


def test_sleep_takes_as_long_as_it_says_and_leaves_no_timer(reactor: FakeReactor) -> None:
    task = reactor.spawn(sleep(5))
    reactor.advance(4.9)
    assert not task.done
    reactor.advance(0.1)
    assert task.done
    cancelled = reactor.spawn(sleep(500))
    cancelled.cancel()
    reactor.settle()
    assert reactor.timers.next() > 1e9


def test_current_task_and_reactor_are_those_that_run_and_nest(reactor: FakeReactor) -> None:
    seen: list[object] = []

    async def inner() -> None:
        seen.append(current_task())

    async def outer() -> None:
        mine = current_task()
        seen.append(reactor.spawn(inner()))
        assert current_task() is mine
        assert current_reactor() is reactor

    task = reactor.spawn(outer())
    task.result()
    assert seen[0] is seen[1]
    with pytest.raises(RuntimeError):
        current_task()
    with pytest.raises(RuntimeError):
        current_reactor()


def test_waiting_for_what_is_no_future_is_an_error_of_the_task_that_tried(reactor: FakeReactor) -> None:
    class Strange:
        def __await__(self) -> Iterator[Any]:
            yield None  # as asyncio's sleep(0) does

    async def work() -> str:
        try:
            await Strange()
        except TypeError as error:
            return str(error)
        return "nothing"

    task = reactor.spawn(work())
    reactor.settle()
    assert "asyncio" in task.result()


# -- cancellation ----------------------------------------------------------------------------------------------------


def test_cancel_runs_the_finally_blocks_where_the_task_waits(reactor: FakeReactor) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await sleep(10)
        except Exception:
            log.append("swallowed")
        finally:
            log.append("finally")

    task = reactor.spawn(work())
    task.cancel()
    assert log == []  # from the ready queue, never inside the caller
    reactor.settle()
    assert log == ["finally"]
    assert isinstance(task.error, Cancelled)
    with pytest.raises(Cancelled):
        task.result()


def test_a_done_task_is_left_alone(reactor: FakeReactor) -> None:
    async def work() -> int:
        return 1

    task = reactor.spawn(work())
    task.cancel()
    reactor.settle()
    assert task.result() == 1


def test_a_task_that_is_cancelled_while_it_runs_gets_it_at_its_next_wait(reactor: FakeReactor) -> None:
    log: list[str] = []

    async def work() -> None:
        current_task().cancel()
        log.append("still running")
        await sleep(1)
        log.append("never")

    task = reactor.spawn(work())
    reactor.settle()
    assert log == ["still running"]
    assert isinstance(task.error, Cancelled)


def test_a_task_that_is_cancelled_between_the_result_and_its_wake_up_is_cancelled(reactor: FakeReactor) -> None:
    future: Future[int] = Future(reactor)

    async def work() -> int:
        return await future

    task = reactor.spawn(work())
    future.set_result(1)
    task.cancel()
    reactor.settle()
    assert isinstance(task.error, Cancelled)


def test_a_task_may_clean_up_with_await_while_it_is_cancelled(reactor: FakeReactor) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await sleep(100)
        finally:
            await sleep(1)
            log.append("tidy")

    task = reactor.spawn(work())
    task.cancel()
    task.cancel()  # twice before the delivery is once
    reactor.advance(1)
    assert log == ["tidy"]
    assert isinstance(task.error, Cancelled)


def test_a_cancelled_task_is_no_lost_error(reactor: FakeReactor, unheard: list[BaseException]) -> None:
    reactor.spawn(sleep(100)).cancel()
    reactor.settle()
    gc.collect()
    assert unheard == []


# -- timeout ---------------------------------------------------------------------------------------------------------


async def hang() -> None:
    await sleep(1e6)


async def within(seconds: float, work: Body) -> object:
    async with timeout(seconds):
        return await work()


def test_a_block_that_is_done_in_time_has_its_result_and_leaves_no_timer(reactor: FakeReactor) -> None:
    async def work() -> str:
        await sleep(1)
        return "done"

    task = reactor.spawn(within(5, work))
    reactor.advance(1)
    assert task.result() == "done"
    assert reactor.timers.next() > 1e9


def test_a_block_that_is_not_raises_timeout_error_that_says_how_long(reactor: FakeReactor) -> None:
    task = reactor.spawn(within(5, hang))
    reactor.advance(5)
    assert isinstance(task.error, TimeoutError)
    assert str(task.error) == "not done within 5 s"


def test_a_cancellation_from_outside_goes_through_a_timeout_unchanged(reactor: FakeReactor) -> None:
    task = reactor.spawn(within(5, hang))
    task.cancel()
    reactor.settle()
    assert isinstance(task.error, Cancelled)


def test_the_task_goes_on_after_a_timeout_that_it_caught(reactor: FakeReactor) -> None:
    async def work() -> str:
        try:
            await within(1, hang)
        except TimeoutError:
            pass
        await sleep(1)
        return "went on"

    task = reactor.spawn(work())
    reactor.advance(2)
    assert task.result() == "went on"


@pytest.mark.parametrize(("outer", "inner"), [(1.0, 5.0), (5.0, 1.0)])
def test_of_two_timeouts_the_shorter_one_expires(reactor: FakeReactor, outer: float, inner: float) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            async with timeout(outer):
                try:
                    async with timeout(inner):
                        await hang()
                except TimeoutError:
                    log.append("inner")
        except TimeoutError:
            log.append("outer")

    task = reactor.spawn(work())
    reactor.advance(1)
    assert log == ["outer" if outer < inner else "inner"]
    assert task.done


@pytest.mark.parametrize("retries", [1, 2])
def test_two_timeouts_that_expire_in_one_turn_are_both_kept(reactor: FakeReactor, retries: int) -> None:
    """The inner one is caught and the work begun again: the outer limit must still end it."""
    log: list[str] = []

    async def work() -> None:
        async with timeout(1):
            for _ in range(retries):
                try:
                    async with timeout(1):
                        await hang()
                except TimeoutError:
                    log.append("inner")
            await hang()

    task = reactor.spawn(work())
    reactor.advance(1)
    reactor.settle()
    assert isinstance(task.error, TimeoutError)


def test_a_cancellation_of_the_whole_task_outranks_a_timeout_of_the_same_turn(reactor: FakeReactor) -> None:
    tasks: list[Task[object]] = []
    before = reactor.call_later(1, lambda: tasks[0].cancel())
    tasks.append(reactor.spawn(within(1, hang)))
    tasks.append(reactor.spawn(within(1, hang)))
    after = reactor.call_later(1, lambda: tasks[1].cancel())
    assert before.when == after.when
    reactor.advance(1)
    assert [type(task.error) for task in tasks] == [Cancelled, Cancelled]


def test_a_timeout_whose_block_ended_in_the_same_turn_does_not_fire_later(reactor: FakeReactor) -> None:
    async def work() -> str:
        try:
            async with timeout(1):
                current = current_task()
                limit = current_reactor().timers.pop_due(reactor.clock.now + 1)[0]
                assert limit.callback is not None
                limit.callback(*limit.args)  # it expires while the block is at its last statement
                assert current is current_task()
        except TimeoutError:
            return "too late"
        await sleep(1)
        return "went on"

    task = reactor.spawn(work())
    reactor.advance(1)
    assert task.result() == "went on"


def test_awaitables_of_other_kinds_work_through_futures(reactor: FakeReactor) -> None:
    async def add(one: Awaitable[int], two: Awaitable[int]) -> int:
        return await one + await two

    futures: list[Future[int]] = [Future(reactor), Future(reactor)]
    task = reactor.spawn(add(*futures))
    for number, future in enumerate(futures):
        reactor.call_later(number + 1, future.set_result, 10)
    reactor.advance(2)
    assert task.result() == 20
