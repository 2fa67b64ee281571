"""Helper threads, the wake-up descriptor, and signals: what reaches the loop from outside of it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

import pytest
from loopback import Loop, descriptors, loop

from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Cancelled, Future
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
    assert caught.value.retry_after == 1
    assert pool.waiting == 2
    gate.set()
    loop.until(lambda: first.done and all(future.done for future in waiting))
    assert loop.reactor.run_until(pool.run(str, 4)) == "4"
    assert pool.close()
    with pytest.raises(Overloaded):
        pool.run(str, 5)


def test_who_stops_waiting_takes_the_job_out_of_a_droppable_pool_and_of_no_other(loop: Loop) -> None:
    for droppable in (False, True):
        pool = Pool(loop.reactor, "test", threads=1, queue=3, droppable=droppable)
        gate, entered = threading.Event(), threading.Event()
        ran: list[str] = []

        def hold(gate: threading.Event = gate, entered: threading.Event = entered) -> None:
            entered.set()
            gate.wait(10)

        async def wait_for(future: Future[None]) -> None:
            await future

        pool.run(hold)
        assert entered.wait(10)
        pool.run(ran.append, "nobody ever waited")
        shared, alone = pool.run(ran.append, "one of two left"), pool.run(ran.append, "the only one left")
        leaving = [loop.reactor.spawn(wait_for(future)) for future in (shared, alone)]
        staying = loop.reactor.spawn(wait_for(shared))
        for task in leaving:
            task.cancel()
        assert pool.waiting == (2 if droppable else 3)
        gate.set()
        loop.until(lambda done=staying, all_of=leaving: done.done and all(task.done for task in all_of))  # type: ignore[misc]
        assert pool.close()
        expected = ["nobody ever waited", "one of two left", "the only one left"]
        assert ran == (expected[:2] if droppable else expected)


def test_a_job_that_has_begun_when_its_last_waiter_leaves_does_no_harm(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=1, queue=3, droppable=True)
    gate, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        gate.wait(10)
        raise ValueError

    async def wait() -> None:
        await pool.run(hold)

    task = loop.reactor.spawn(wait())
    assert entered.wait(10)
    task.cancel()
    gate.set()
    loop.until(lambda: task.done)
    assert isinstance(task.error, Cancelled)
    assert loop.reactor.run_until(pool.run(str, 1)) == "1"
    assert pool.close()


def test_no_result_is_lost_for_one_who_begins_to_wait_late(loop: Loop) -> None:
    pool = Pool(loop.reactor, "test", threads=2, queue=100, droppable=True)
    futures = [pool.run(str, number) for number in range(100)]
    assert [loop.reactor.run_until(future) for future in futures] == [str(number) for number in range(100)]
    assert pool.close()


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


def test_no_wake_up_is_lost_between_a_thread_and_a_loop_that_is_just_falling_asleep(loop: Loop) -> None:
    """Two threads wake the loop, and each waits for it before it does so again: a lost one would take a minute."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the threads take turns everywhere
    pool = Pool(loop.reactor, "test", threads=2, queue=4)

    async def ask(times: int) -> None:
        for _ in range(times):
            await pool.run(int)

    try:
        started = time.monotonic()
        tasks = [loop.reactor.spawn(ask(2000)) for _ in range(2)]
        for task in tasks:
            loop.reactor.run_until(task)
        assert time.monotonic() - started < 30.0
    finally:
        sys.setswitchinterval(before)
        assert pool.close()


def test_a_call_that_comes_while_the_wake_up_is_read_does_not_silence_the_next(loop: Loop) -> None:
    loop.reactor.need_waker()
    waker = loop.reactor._waker
    assert waker is not None
    log: list[str] = []

    class Interrupted:
        """The reading end, and a thread that calls just before it is read."""

        def __init__(self, sock: socket.socket) -> None:
            self.fileno, self.close, self._sock = sock.fileno, sock.close, sock

        def recv(self, size: int) -> bytes:
            if "second" not in log:
                loop.reactor.call_from_thread(log.append, "second")
            return self._sock.recv(size)

    waker._ours = Interrupted(waker._ours)  # type: ignore[assignment]
    loop.reactor.call_from_thread(log.append, "first")
    loop.until(lambda: log == ["first", "second"])
    loop.reactor._selector.select(0)
    loop.turn()
    loop.reactor.call_from_thread(log.append, "third")
    assert loop.reactor._selector.select(1.0), "the loop would sleep on"
    loop.until(lambda: "third" in log)


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
    loop.until(lambda: log)


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
