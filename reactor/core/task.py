"""Futures and tasks: the one bridge between callbacks below and `async def` above.

A Future is a value that is not there yet. `await future` yields the future itself; the Task that drives the coroutine
hangs itself on it and goes on when it is done, through the loop's ready queue. That is all there is: no executor, no
context variables, no loop policy.

A Task starts eagerly: its coroutine runs inside the constructor until it first has to wait. One that never waits is
done before the constructor returns, which is what makes an `async` handler nearly as cheap as a plain one.

`Cancelled` is a BaseException, so `except Exception` does not swallow it, and it carries who cancelled: that is how a
`timeout` knows its own expiry from somebody else's cancellation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from reactor.core.loop import Reactor
    from reactor.core.timers import Timer

T = TypeVar("T")


class Cancelled(BaseException):
    """Thrown into a task that is to end. `by` is the object that asked for it, or None."""

    def __init__(self, by: object = None) -> None:
        super().__init__()
        self.by = by


class _Running(threading.local):
    """Which reactor and which task this thread is running just now."""

    reactor: Reactor | None = None
    task: Task[Any] | None = None


_running = _Running()


def current_reactor() -> Reactor:
    """The reactor that runs in this thread; RuntimeError if none does."""
    if _running.reactor is None:
        raise RuntimeError("no reactor is running in this thread")
    return _running.reactor


def set_current_reactor(reactor: Reactor | None) -> Reactor | None:
    """For the loop itself: announce who runs here; returns who did before."""
    before, _running.reactor = _running.reactor, reactor
    return before


class Future(Generic[T]):
    """A result to come. Set once, by `set_result`, `set_error` or `cancel`; a second time changes nothing."""

    __slots__ = ("_callbacks", "_error", "_reactor", "_result", "_watched", "done")

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self.done = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] | None = None
        self._watched = False  # somebody has looked at, or waits for, the outcome

    def set_result(self, result: T) -> None:
        """Whoever waits goes on in the next turn; nothing if it is done already."""
        if not self.done:
            self._result = result
            self._finish()

    def set_error(self, error: BaseException) -> None:
        """Whoever waits gets `error` raised; nothing if it is done already."""
        if not self.done:
            self._error = error
            self._finish()

    def cancel(self, by: object = None) -> None:
        """Whoever waits gets `Cancelled`."""
        self.set_error(Cancelled(by))

    def result(self) -> T:
        """The result, or the error raised. RuntimeError if not done."""
        if not self.done:
            raise RuntimeError("the future is not done")
        self._watched = True
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    @property
    def error(self) -> BaseException | None:
        """What it failed with; None if it did not, or is not done. Looking at it counts as having heard of it."""
        self._watched = True
        return self._error

    def on_done(self, callback: Callable[[Future[T]], object]) -> None:
        """Call `callback(self)` from the ready queue when done, at once queued if it is."""
        self._watched = True
        if self.done:
            self._reactor.call_soon(callback, self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody would hear of the outcome just now."""
        return bool(self._callbacks)

    def forget(self, callback: Callable[[Future[T]], object]) -> None:
        """Take `callback` off again; nothing if it is not there."""
        if self._callbacks is not None and callback in self._callbacks:
            self._callbacks.remove(callback)

    def _finish(self) -> None:
        self.done = True
        callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            for callback in callbacks:
                self._reactor.call_soon(callback, self)

    def __await__(self) -> Generator[Future[T], None, T]:
        if not self.done:
            self._watched = True
            yield self
        return self.result()

    def __del__(self) -> None:
        # No error vanishes: what nobody looked at is logged when the last reference goes.
        if self._error is not None and not self._watched and not isinstance(self._error, Cancelled):
            self._reactor.unhandled(self._error, f"nobody looked at the result of {self!r}")


class Task(Future[T]):
    """Drives one coroutine. The task's result is what the coroutine returns or raises."""

    __slots__ = ("_cancelling", "_coroutine", "_waiting_for")

    def __init__(self, reactor: Reactor, coroutine: Coroutine[Any, Any, T]) -> None:
        super().__init__(reactor)
        self._coroutine = coroutine
        self._waiting_for: Future[Any] | None = None
        self._cancelling: tuple[Cancelled, ...] = ()
        self._step()

    def cancel(self, by: object = None) -> None:
        """Throw `Cancelled` into the coroutine where it waits, from the ready queue; its `finally` blocks run.

        A task that is running just now gets it at its next wait; a done task is left alone. Of several before the
        delivery each is delivered, one a wait and that of the whole task (`by` None) first: two time limits that
        expire in one turn must both be kept.
        """
        if self.done:
            return
        if all(other.by is not by for other in self._cancelling):
            one = (Cancelled(by),)
            self._cancelling = one + self._cancelling if by is None else self._cancelling + one
        waiting_for, self._waiting_for = self._waiting_for, None
        if waiting_for is not None:
            waiting_for.forget(self._wake)
            self._reactor.call_soon(self._step)

    def withdraw(self, by: object) -> None:
        """Take back a cancellation by `by` that has not been delivered yet."""
        self._cancelling = tuple(other for other in self._cancelling if other.by is not by)

    def _wake(self, future: Future[Any]) -> None:
        if future is self._waiting_for:
            self._waiting_for = None
            self._step()

    def _step(self, error: BaseException | None = None) -> None:
        if self.done or self._waiting_for is not None:
            return
        if error is None and self._cancelling:
            error, self._cancelling = self._cancelling[0], self._cancelling[1:]
        outer, _running.task = _running.task, self
        try:
            future = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration as stop:
            self.set_result(stop.value)
        except (Exception, Cancelled) as error:
            self.set_error(error)
        else:
            self._wait_for(future)
        finally:
            _running.task = outer

    def _wait_for(self, future: Future[Any]) -> None:
        if self._cancelling:  # cancelled while it ran: deliver at this wait
            self._reactor.call_soon(self._step)
            return
        if not isinstance(future, Future):  # tell the coroutine, or it would never hear of anything again
            words = f"a task can wait for a Future of this reactor, not for {future!r}: is it from asyncio?"
            self._reactor.call_soon(self._step, TypeError(words))
            return
        self._waiting_for = future
        future.on_done(self._wake)


def current_task() -> Task[Any]:
    """The task that runs just now; RuntimeError outside of one."""
    if _running.task is None:
        raise RuntimeError("not inside a task")
    return _running.task


async def sleep(seconds: float) -> None:
    """Wait; cancellable at any time."""
    reactor = current_reactor()
    future: Future[None] = Future(reactor)
    timer = reactor.call_later(seconds, future.set_result, None)
    try:
        await future
    finally:
        timer.cancel()


class timeout:  # noqa: N801 - reads as a statement: async with timeout(5): ...
    """`async with timeout(seconds):` raises TimeoutError if the block is not done by then.

    A cancellation that comes from outside while the block runs goes through unchanged.
    """

    __slots__ = ("_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False
        self._task: Task[Any] | None = None
        self._timer: Timer | None = None

    async def __aenter__(self) -> timeout:
        self._task = current_task()
        self._timer = current_reactor().call_later(self._seconds, self._expire)
        return self

    def _expire(self) -> None:
        self._expired = True
        assert self._task is not None
        self._task.cancel(by=self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._timer is not None and self._task is not None
        self._timer.cancel()
        if self._expired:
            self._task.withdraw(self)
            if isinstance(error, Cancelled) and error.by is self:
                raise TimeoutError(f"not done within {self._seconds:g} s") from None
