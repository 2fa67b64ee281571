"""urwid on a reactor: its event loop, its terminal, and its screen.

One thread draws and reads keys: the loop's. What is drawn is written by a helper thread, as a terminal may be stopped
(Ctrl-S) or slow for as long as somebody likes. There is one frame under way at a time, and the next is drawn when that
has been taken: so nothing piles up, what is drawn is what is true then, and urwid always knows what is on the screen.

O_NONBLOCK is never set: the flag sits on what we share with the shell.
"""

from __future__ import annotations

import os
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import urwid
from urwid.display.raw import Screen as RawScreen

from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.selector import READ
from reactor.core.task import Future
from reactor.core.timers import Timer

# Between two frames: more than anybody sees, and a flood of messages does not keep us drawing.
FRAME_SECONDS: Final = 0.025
# What the end waits for a terminal that does not take anything.
DRAIN_SECONDS: Final = 1.0
# Terminals do not agree on how wide every character is. A row that is too long for this one is cut, and not continued
# in the next row, where it would write over somebody else's words.
WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"


class ReactorLoop(urwid.EventLoop):
    """urwid's alarms and sources on a reactor. Who is idle is called in the turn after something has happened: after an
    alarm or a source of urwid's, and after `wake`. What these raise is told to `on_error`.

    Signals are left to urwid: its handlers set a flag and write to a socket that it has us watch. The reactor's wake-up
    descriptor ends the wait also if the signal has met another thread.
    """

    def __init__(self, reactor: Reactor, on_error: Callable[[Exception], object]) -> None:
        super().__init__()
        self._reactor = reactor
        self._on_error = on_error
        self._idle: dict[int, Callable[[], Any]] = {}
        self._numbers = 0
        self._wakes = False

    def run(self) -> None:
        self._reactor.run()

    def wake(self) -> None:
        """Something has changed that may be drawn."""
        if not self._wakes:
            self._wakes = True
            self._reactor.call_soon(self._go_idle)

    def _go_idle(self) -> None:
        self._wakes = False
        for callback in list(self._idle.values()):
            self._call(callback)

    def _call(self, callback: Callable[[], Any]) -> None:
        try:
            callback()
        except urwid.ExitMainLoop:
            self._reactor.stop()
        except Exception as error:
            self._on_error(error)

    def _call_and_wake(self, callback: Callable[[], Any]) -> None:
        self._call(callback)
        self.wake()

    def alarm(self, seconds: float, callback: Callable[[], Any]) -> Timer:
        return self._reactor.call_later(seconds, self._call_and_wake, callback)

    def remove_alarm(self, handle: Timer) -> bool:
        was_there = handle.callback is not None
        handle.cancel()
        return was_there

    def watch_file(self, fd: int, callback: Callable[[], Any]) -> int:
        self._reactor.register(fd, READ, lambda _: self._call_and_wake(callback))
        return fd

    def remove_watch_file(self, handle: int) -> bool:
        try:
            self._reactor.unregister(handle)
        except KeyError:
            return False
        return True

    def enter_idle(self, callback: Callable[[], Any]) -> int:
        self._numbers += 1
        self._idle[self._numbers] = callback
        return self._numbers

    def remove_enter_idle(self, handle: int) -> bool:
        return self._idle.pop(handle, None) is not None


class Terminal:
    """What urwid writes to: text in, and out by a thread of its own, in order. `is_busy` from a write until it was
    taken and a frame's time has passed; then `on_free` is called.
    """

    def __init__(self, reactor: Reactor, fd: int, on_free: Callable[[], object], pool: Any = None) -> None:
        """`fd` stays the caller's."""
        self._reactor = reactor
        self._fd = fd
        self._on_free = on_free
        self._pool = pool or Pool(reactor, "terminal", threads=1, queue=64)
        self._parts: list[str] = []
        self._flushes = False
        self._under_way = 0

    def fileno(self) -> int:
        return self._fd

    @property
    def is_busy(self) -> bool:
        return self._under_way > 0

    def write(self, text: str) -> None:
        self._parts.append(text)

    def flush(self) -> None:
        """What was written in this turn goes out together."""
        if not self._flushes:
            self._flushes = True
            self._reactor.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._flushes = False
        data = "".join(self._parts).encode("utf-8", "replace")
        self._parts.clear()
        if data:
            self._under_way += 1
            self._pool.run(_write, self._fd, data).on_done(self._written)

    def _written(self, _: Future[None]) -> None:
        self._reactor.call_later(FRAME_SECONDS, self._free)

    def _free(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._on_free()

    def make_way(self) -> None:
        """Nothing is in the way of what is written next: a stopped terminal goes on, and what nobody takes (the network
        to it is down) is thrown away. Or a thread in `write` would keep us from setting modes, too.
        """
        self._go_on()
        if not self.drain():
            with suppress(termios.error, OSError):
                termios.tcflush(self._fd, termios.TCOFLUSH)
            self._go_on()

    def _go_on(self) -> None:
        """As Ctrl-Q does. The system lets only who has stopped it do that, so stop it first."""
        with suppress(termios.error, OSError):  # no terminal, or none any more
            termios.tcflow(self._fd, termios.TCOOFF)
            termios.tcflow(self._fd, termios.TCOON)

    def drain(self) -> bool:
        """Whether all that was written is out, after a while."""
        self._hand_over()
        out = threading.Event()
        self._pool.run(out.set)
        return out.wait(DRAIN_SECONDS)

    def close(self) -> None:
        self._hand_over()
        self._pool.close(DRAIN_SECONDS)


def _write(fd: int, data: bytes) -> None:
    """In the helper thread. A terminal that is gone takes everything."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # somebody who shares it has set O_NONBLOCK
            time.sleep(0.01)
        except OSError:
            return


class Screen(RawScreen):
    """A real terminal. `on_gone` is called once it is no more."""

    def __init__(self, keyboard: Any, terminal: Terminal, on_gone: Callable[[], object]) -> None:
        super().__init__(keyboard, terminal, bracketed_paste_mode=True, focus_reporting=False)
        self._terminal = terminal
        self._on_gone = on_gone

    def _start(self, *args: Any, **kwargs: Any) -> None:
        super()._start(*args, **kwargs)
        self.write(WRAP_OFF)
        self.flush()

    def _stop(self) -> None:
        """Out before this returns: what comes next is the shell's, or, after Ctrl-Z, nothing for a while."""
        self._terminal.make_way()
        try:
            self.write(WRAP_ON)
            super()._stop()
        finally:
            self._terminal.drain()

    def get_cols_rows(self) -> tuple[int, int]:
        """Some terminals do not know their size."""
        cols, rows = super().get_cols_rows()
        return (cols, rows) if cols > 0 and rows > 0 else (80, 24)

    def get_available_raw_input(self) -> list[int]:
        try:
            return super().get_available_raw_input()
        except (urwid.InputClosedError, OSError):  # EIO: the terminal is gone
            self._on_gone()
            return []
