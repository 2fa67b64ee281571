"""The reactor: one thread, one selector, one loop.

    while running:
        wait until a socket is ready, a timer is due, or something is in the ready queue
        call what the sockets are registered for
        call the timers that are due
        call what was in the ready queue

Nothing below this file blocks, nothing above it calls `select()`. `clock` and `selector` can be given, so that tests
decide what time it is. Another thread may call `call_from_thread` and nothing else.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from reactor.core.selector import READ, default_selector
from reactor.core.task import Cancelled, Future, Task, set_current_reactor
from reactor.core.timers import NEVER, Deadline, Timer, Timers

T = TypeVar("T")
Ready = Callable[[int], object]


class Selector(Protocol):
    """What the loop needs of a selector; `selectors.DefaultSelector` has it."""

    def register(self, fileobj: int, events: int, data: Any = None) -> object: ...
    def modify(self, fileobj: int, events: int, data: Any = None) -> object: ...
    def unregister(self, fileobj: int) -> object: ...
    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]: ...
    def close(self) -> None: ...


class Reactor:
    """`now` is the monotonic time of this turn of the loop in seconds: read it instead of asking the `clock`, which is
    for what is measured within a turn.
    """

    # A wait is never longer, so that a clock or a lost wake-up cannot put us to sleep for good.
    LONGEST_WAIT = 60.0

    def __init__(self, clock: Callable[[], float] = time.monotonic, selector: Selector | None = None) -> None:
        self.clock = clock
        self._selector: Selector = selector or default_selector()
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._from_threads: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._waker: _Waker | None = None
        self._signals: dict[int, Callable[[], object]] = {}
        self._signals_before: dict[int, Any] = {}
        self._stopping = False
        self.timers = Timers()
        self.now = clock()
        self.on_error: Callable[[BaseException, str], object] = _print_error

    # -- time and calls ----------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call in the next turn, in order."""
        self._ready.append((callback, args))

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call once, `seconds` from now; `cancel` the Timer to prevent it."""
        return self.timers.add(self.clock() + seconds, callback, *args)

    def call_from_thread(self, callback: Callable[..., object], *args: Any) -> None:
        """The one method that other threads may use: queue a call and wake the loop."""
        self._from_threads.append((callback, args))
        if self._waker is not None:
            self._waker.wake()

    def deadline(self, on_expire: Callable[[], object]) -> Deadline:
        """A time limit that moves and has no time yet; see `timers`."""
        return Deadline(self.timers, on_expire)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Start a task; it runs at once, until it first waits."""
        before = set_current_reactor(self)
        try:
            return Task(self, coroutine)
        finally:
            set_current_reactor(before)

    def next_turn(self) -> Future[None]:
        """Awaited by who has much to do: everybody else has a turn first."""
        future: Future[None] = Future(self)
        self.call_soon(future.set_result, None)
        return future

    def future(self) -> Future[Any]:
        """A Future whose waiters this loop wakes."""
        return Future(self)

    # -- sources -----------------------------------------------------------------------------------------------------

    def register(self, fd: int, events: int, ready: Ready) -> None:
        """Call `ready(mask)` whenever `fd` is. A descriptor is registered once at a time. A call that this turn owes is
        made even if `unregister` comes before it, when the number may be another's already: who may be ended by others
        looks whether it still lives.
        """
        self._selector.register(fd, events, ready)

    def modify(self, fd: int, events: int, ready: Ready) -> None:
        """Change what a registered descriptor waits for, and who is called."""
        self._selector.modify(fd, events, ready)

    def unregister(self, fd: int) -> None:
        """Forget a descriptor; before it is closed, as its number may come back at once."""
        self._selector.unregister(fd)

    def need_waker(self) -> None:
        """Make the wake-up descriptor; called by whatever starts threads or takes signals."""
        if self._waker is None:
            self._waker = _Waker()
            self.register(self._waker.fileno(), READ, self._woken)

    def on_signal(self, number: int, callback: Callable[[], object]) -> None:
        """Call `callback` from the loop, never from inside other code, when the signal arrives. Main thread only."""
        self.need_waker()
        assert self._waker is not None
        if not self._signals:
            signal.set_wakeup_fd(self._waker.signal_fd, warn_on_full_buffer=False)
        self._signals[number] = callback
        # The handler itself does nothing: the number arrives as a byte through the wake-up descriptor.
        before = signal.signal(number, _ignore_signal)
        self._signals_before.setdefault(number, before)

    def _woken(self, _: int) -> None:
        assert self._waker is not None
        for number in self._waker.drain():
            callback = self._signals.get(number)
            if callback is not None:
                self._ready.append((callback, ()))

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Turn until `stop` is called."""
        before = set_current_reactor(self)
        try:
            while not self._stopping:
                self.turn()
        finally:
            self._stopping = False
            set_current_reactor(before)

    def run_until(self, future: Future[T]) -> T:
        """Turn until `future` is done; its result."""
        future.on_done(lambda _: self.stop())
        self.run()
        return future.result()

    def run_task(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the loop until the coroutine is done; what it returns or raises."""
        return self.run_until(self.spawn(coroutine))

    def stop(self) -> None:
        """End `run` after this turn."""
        self._stopping = True

    def turn(self) -> None:
        """One turn. An error in a callback is reported and costs nobody else anything."""
        ready = self._ready
        due = self.timers.next()
        if ready or self._from_threads:
            wait = 0.0
        elif due == NEVER:
            wait = self.LONGEST_WAIT
        else:
            wait = min(max(due - self.clock(), 0.0), self.LONGEST_WAIT)
        events = self._selector.select(wait)
        self.now = now = self.clock()
        for key, mask in events:
            try:
                key.data(mask)
            except (Exception, Cancelled) as error:
                self.unhandled(error, f"in the handler of descriptor {key.fd}")
        if due <= now:
            self._run_due(now)
        if self._from_threads:
            self._take_from_threads()
        if ready:
            for _ in range(len(ready)):  # what these add waits for the next turn, so that sockets get theirs
                self._call(*ready.popleft())

    def _run_due(self, now: float) -> None:
        for timer in self.timers.pop_due(now):
            if timer.callback is not None:  # one that ran before it may have cancelled it
                self._call(timer.callback, timer.args)

    def _take_from_threads(self) -> None:
        while self._from_threads:
            self._ready.append(self._from_threads.popleft())

    def _call(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            callback(*args)
        except (Exception, Cancelled) as error:
            self.unhandled(error, f"in {getattr(callback, '__qualname__', callback)!s}")

    def unhandled(self, error: BaseException, where: str) -> None:
        """The last stop of an error that nobody caught: `on_error` logs it with its traceback."""
        self.on_error(error, where)

    def close(self) -> None:
        """Give back the descriptors and the signals. The sources belong to who registered them."""
        if self._signals:
            signal.set_wakeup_fd(-1)
            for number, before in self._signals_before.items():
                signal.signal(number, before if before is not None else signal.SIG_DFL)
            self._signals.clear()
            self._signals_before.clear()
        if self._waker is not None:
            self.unregister(self._waker.fileno())
            self._waker.close()
            self._waker = None
        self._selector.close()


class _Waker:
    """A socket pair: a byte in one end makes the other readable. `signal.set_wakeup_fd` wants the same thing."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self.signal_fd = self._theirs.fileno()
        self._awake = False  # a byte of ours is on its way already

    def fileno(self) -> int:
        return self._ours.fileno()

    def wake(self) -> None:
        # One byte at a time: the pair holds a few hundred, and a signal that finds it full would be lost.
        if self._awake:
            return
        self._awake = True
        try:
            self._theirs.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # full: it is awake already; closed: nobody is left to wake

    def drain(self) -> bytes:
        """What was written: zeros to wake, other bytes are signal numbers."""
        try:
            return self._ours.recv(4096)
        except BlockingIOError:
            return b""
        finally:
            # Behind `recv`, or it might swallow a byte that was sent after this said that none is. A call whose thread
            # saw no need for a byte until here was queued before, and has its turn right after the sources.
            self._awake = False

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def _ignore_signal(number: int, frame: object) -> None:
    pass


def _print_error(error: BaseException, where: str) -> None:
    print(f"error {where}", file=sys.stderr)
    traceback.print_exception(error)
