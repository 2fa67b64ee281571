"""Helper threads, the wake-up descriptor, and signals: what reaches the loop from outside of it."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from loopback import Loop, descriptors, loop

from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Future
from reactor.errors import Overloaded

__all__ = ["loop"]


def test_a_result_and_an_error_come_back_in_the_thread_of_the_loop(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=2, queue=10)
    threads: list[int] = []

    async def work() -> tuple[int, str]:
        number = await pool.run(lambda: threading.get_ident())
        threads.append(threading.get_ident())
        try:
            await pool.run(int, "x")
        except ValueError as error:
            return number, str(error)
        return 0, ""

    number, words = loop.run(work())
    assert number != threading.get_ident()
    assert threads == [threading.get_ident()]
    assert "invalid literal" in words
    assert pool.close()


def test_a_sleeping_loop_is_woken(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=1, queue=10)
    started = time.monotonic()
    assert loop.reactor.run_until(pool.run(lambda: 5)) == 5
    assert time.monotonic() - started < 5.0
    pool.close()


def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=1, queue=2)
    gate, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        gate.wait(10)

    first = pool.run(hold)
    assert entered.wait(10)
    waiting = [pool.run(str, number) for number in range(2)]
    with pytest.raises(Overloaded) as caught:
        pool.run(str, 3)
    assert caught.value.status == 503
    assert pool.waiting == 2
    gate.set()
    loop.until(lambda: first.done and all(future.done for future in waiting))
    assert loop.reactor.run_until(pool.run(str, 4)) == "4"
    assert pool.close()
    with pytest.raises(Overloaded):
        pool.run(str, 5)


def test_one_thread_keeps_the_order_and_close_lets_the_queue_finish(loop: Loop) -> None:
    pool = Pool(loop.reactor, "store", threads=1, queue=1000)
    log: list[int] = []
    futures = [pool.run(log.append, number) for number in range(500)]
    assert pool.close()
    assert log == list(range(500))
    loop.until(lambda: all(future.done for future in futures))


def test_threads_start_when_they_are_needed_and_no_more_than_allowed(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=3, queue=100)
    assert pool._threads == []
    gate = threading.Event()
    futures: list[Future[object]] = [pool.run(gate.wait, 10) for _ in range(10)]
    assert len(pool._threads) == 3
    gate.set()
    loop.until(lambda: all(future.done for future in futures))
    for _ in range(20):
        loop.reactor.run_until(pool.run(str, 1))
    assert len(pool._threads) == 3
    assert pool.close()


def test_a_job_that_hangs_is_given_up_at_close(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=1, queue=1)
    gate = threading.Event()
    future = pool.run(gate.wait, 10)
    assert not pool.close(timeout=0.05)
    gate.set()
    loop.until(lambda: future.done)


def test_a_thread_that_cannot_be_started_refuses_the_job_and_the_pool_can_be_closed(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(loop.reactor, "test", threads=1, queue=1)

    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            pool.run(str, 1)
    assert pool.waiting == 0
    assert loop.reactor.run_until(pool.run(str, 2)) == "2"
    assert pool.close()


def test_many_threads_calling_lose_no_call(loop: Loop) -> None:
    loop.reactor.need_waker()
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: [loop.reactor.call_from_thread(seen.append, n) for n in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    loop.until(lambda: len(seen) == 4000)
    for thread in threads:
        thread.join()


def test_a_signal_arrives_in_the_loop_and_never_inside_other_code(loop: Loop) -> None:
    log: list[str] = []
    loop.reactor.on_signal(signal.SIGUSR1, lambda: log.append("signal"))

    def busy() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)
        log.append("still busy")

    loop.reactor.call_soon(busy)
    loop.until(lambda: len(log) == 2)
    assert log == ["still busy", "signal"]


def test_a_signal_wakes_a_sleeping_loop(loop: Loop) -> None:
    loop.reactor.on_signal(signal.SIGUSR1, loop.reactor.stop)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    started = time.monotonic()
    loop.reactor.run()
    assert time.monotonic() - started < 5.0
    timer.join()


def test_a_signal_is_not_lost_behind_thousands_of_wake_ups(loop: Loop) -> None:
    """The socket pair holds a few hundred bytes; while the loop is busy, finished jobs must not fill it."""
    log: list[str] = []
    loop.reactor.on_signal(signal.SIGUSR1, lambda: log.append("signal"))
    for _ in range(10_000):
        loop.reactor.call_from_thread(lambda: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.until(lambda: log, 2.0)


def test_close_gives_signals_and_descriptors_back() -> None:
    before, handler = descriptors(), signal.getsignal(signal.SIGUSR1)
    reactor = Reactor()
    reactor.on_signal(signal.SIGUSR1, lambda: None)
    reactor.on_signal(signal.SIGUSR1, lambda: None)
    assert signal.getsignal(signal.SIGUSR1) is not handler
    reactor.close()
    assert signal.getsignal(signal.SIGUSR1) is handler
    assert descriptors() == before
    reactor.call_from_thread(lambda: None)  # a late thread does no harm
