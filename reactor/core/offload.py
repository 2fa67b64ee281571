"""Helper threads for what blocks: a bounded queue in, the ready queue of the loop out.

A pool takes jobs up to its bound; over it the caller hears `Overloaded` at once instead of everybody waiting longer
and longer. Threads start when they are first needed. What a job returns or raises becomes the future's result, in the
loop's thread.

A job that is queued runs, whoever still waits for it. A `droppable` pool is for work that is worth its result and
nothing else: who stops waiting takes the job out again, or clients that are long gone would fill the queue.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.errors import Overloaded

T = TypeVar("T")


class _Job(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]


class _Droppable(Future[T]):
    """Cancelled when the last who waits for it forgets it. One that nobody has ever waited for is not touched: that
    may be about to happen.
    """

    __slots__ = ("_drop",)

    def __init__(self, reactor: Reactor, drop: Callable[[Future[Any]], object]) -> None:
        super().__init__(reactor)
        self._drop = drop

    def forget(self, callback: Callable[[Future[T]], object]) -> None:
        was_awaited = self.is_awaited
        super().forget(callback)
        if was_awaited and not self.is_awaited:
            self._drop(self)
            self.cancel()


class Pool:
    """`threads` workers over a queue of at most `queue` waiting jobs. Jobs of a pool with one thread run in order."""

    def __init__(
        self, reactor: Reactor, name: str, *, threads: int, queue: int, droppable: bool = False, nice: int = 0
    ) -> None:
        """`droppable`: a job that waits in the queue is not run once nobody waits for its result any more. `nice`: the
        threads leave the processor to the loop, and to other programs, where both want it.
        """
        self._reactor = reactor
        self._name = name
        self._most_threads = threads
        self._most_waiting = queue
        self._droppable = droppable
        self._nice = nice
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self.rejected = 0  # how many jobs found the queue full

    @property
    def running(self) -> int:
        """Threads that are at work."""
        return len(self._threads) - self._idle

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._jobs)

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Queue `function(*args)`; Overloaded if the queue is full or the pool is closed."""
        future: Future[T] = _Droppable(self._reactor, self._drop) if self._droppable else Future(self._reactor)
        with self._changed:
            if self._closing:
                raise Overloaded(f"the {self._name} threads have ended")
            if len(self._jobs) >= self._most_waiting:
                self.rejected += 1
                raise Overloaded(f"too much is waiting for the {self._name} threads, try again")
            if self._idle <= len(self._jobs) and len(self._threads) < self._most_threads:
                self._start_thread()
            self._jobs.append(_Job(future, function, args))
            self._changed.notify()
        return future

    def _drop(self, future: Future[Any]) -> None:
        """Take its job out of the queue, which has room for another at once; too late if a thread has it already."""
        with self._changed:
            self._jobs = deque(job for job in self._jobs if job.future is not future)

    def _start_thread(self) -> None:
        self._reactor.need_waker()
        number = len(self._threads) + 1
        # Daemon: a job that hangs (a name server, a dead disk) must not keep a stopped program alive.
        thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
        thread.start()  # which may fail: then the job is not queued either
        self._threads.append(thread)

    def _work(self) -> None:
        if self._nice and sys.platform == "linux":  # where threads have a niceness of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (job := self._next_job()) is not None:
            future, function, args = job
            try:
                result = function(*args)
            except BaseException as error:  # carried to whoever waits
                self._reactor.call_from_thread(future.set_error, error)
            else:
                self._reactor.call_from_thread(future.set_result, result)
            del job, future, function, args  # an idle thread holds on to nothing

    def _next_job(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            while not self._jobs and not self._closing:
                self._changed.wait()
            self._idle -= 1
            return self._jobs.popleft() if self._jobs else None

    def close(self, timeout: float = 5.0) -> bool:
        """Let the queued jobs finish, then end the threads. False if some did not within `timeout` seconds each."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)
