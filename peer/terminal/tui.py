"""The full-screen terminal: the windows, what is drawn of them, and what is done with what is typed."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import urwid

from peer.delivery.letters import Letter
from peer.errors import PeerError
from peer.program import Options, Program
from peer.terminal.commands import Commands, looks_meant
from peer.terminal.output import PlainOutput
from peer.terminal.screen import ReactorLoop, Screen, Terminal
from peer.terminal.view import PALETTE, View
from peer.terminal.window import LOG, Kind, Place
from peer.terminal.windows import Windows
from reactor import Handler, Log
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled
from reactor.core.timers import Timer

# Who is away, and who is back, is not told to anybody: it is looked at.
LOOK_SECONDS: Final = 2.0
MOST_TROUBLES: Final = 20


class Echo:
    """The Output of one command: its lines are for who has typed it, wherever that was."""

    def __init__(self, windows: Windows, place: Place) -> None:
        self._windows = windows
        self._place = place

    def line(self, text: str) -> None:
        self._windows.tell(self._place, text)


class Typed:
    """What becomes of a line that was typed: a command, or a message to where it was typed."""

    def __init__(self, program: Program, windows: Windows, is_typing: Callable[[], bool]) -> None:
        self._program = program
        self._windows = windows
        self._is_typing = is_typing
        self._held = (LOG, "")  # what was not sent, as it looks like a command; the second time it is

    def submit(self, place: Place, text: str) -> bool:
        """Whether it was taken. `//` begins a message with a slash."""
        if place == LOG or (text.startswith("/") and not text.startswith("//")):
            self._command(place, text.removeprefix("/"))
            return True
        if self._is_doubtful(place, text):
            return False
        try:
            self._windows.posted(self._post(place, text[1:] if text.startswith("//") else text))
        except PeerError as error:
            self._windows.tell(place, f"[Peer] {error}")
            return False
        return True

    def _is_doubtful(self, place: Place, text: str) -> bool:
        """A password that was meant for `/join` cannot be taken back once others have it."""
        held, self._held = self._held, (place, text)
        known = {word for _, word in self._windows.names()}
        if held == self._held or not looks_meant(text, known):
            return False
        self._windows.tell(place, "[Peer] Not sent: a command begins with a slash here. Enter again sends it as it is")
        return True

    def _post(self, place: Place, text: str) -> Letter:
        node = self._program.node
        if place.kind is Kind.CHANNEL:
            return node.say(place.name, text)
        return node.send(place.name, text) if place.kind is Kind.PERSON else node.broadcast(text)

    def _command(self, place: Place, text: str) -> None:
        """Unlike those of a script they do not wait for each other: a person sees what is done."""
        program = self._program
        commands = Commands(program.chat, self._windows, program.store, Echo(self._windows, place), program.quit)
        before = set(program.node.channels)
        program.reactor.spawn(commands.run(text)).on_done(lambda task: self._done(task, text, before))

    def _done(self, task: Any, text: str, before: set[str]) -> None:
        if isinstance(task.error, Cancelled):  # we are about to end
            return
        if task.error is not None:
            self._program.reactor.unhandled(task.error, "in a command")
            return
        command, _, rest = text.partition(" ")
        channel = rest.strip().partition(" ")[0]
        is_new = channel in self._program.node.channels and channel not in before
        if command.lower() == "join" and is_new and not self._is_typing():
            self._windows.activate(Place(Kind.CHANNEL, channel))


class Loop(urwid.MainLoop):
    """Draws when the terminal has taken the frame before."""

    _is_late = False

    def __init__(
        self, loop: ReactorLoop, terminal: Terminal, before_frame: Callable[[], object], view: View, screen: Screen
    ) -> None:
        super().__init__(view, PALETTE, screen, event_loop=loop)
        self._loop = loop
        self._terminal = terminal
        self._before_frame = before_frame

    def draw_screen(self) -> None:
        self._is_late = self._terminal.is_busy
        if not self._is_late:
            self._before_frame()
            super().draw_screen()

    def go_on(self) -> None:
        """The terminal has taken a frame."""
        if self._is_late:
            self._loop.wake()


class Tui:
    """The terminal is ours from `start` to `close`, and as it was after it. `error` is the bug that ended it."""

    def __init__(self, program: Program, windows: Windows, log: Log) -> None:
        """`log` takes what is said once the terminal is given back."""
        urwid.set_encoding("utf-8")
        self.error: Exception | None = None
        self._program = program
        self._log = log
        self._troubles: list[tuple[BaseException, str]] = []
        self._windows = windows
        self._is_open = False
        self._title = ""
        self._look: Timer | None = None
        self._loop = ReactorLoop(program.reactor, self._failed)
        self._terminal = Terminal(program.reactor, sys.stdout.fileno(), lambda: self._main.go_on())
        self._screen = Screen(sys.stdin, self._terminal, self._gone)
        self._typed = Typed(program, windows, lambda: bool(self._view.prompt.edit_text))
        self._view = View(windows, self._typed.submit, program.input_ended)
        self._main = Loop(self._loop, self._terminal, self._before_frame, self._view, self._screen)

    def start(self) -> None:
        """Take the terminal. The loop has to run then."""
        sys.stdout.flush()
        self._is_open = True
        self._windows.on_change = self._loop.wake
        self._program.front = self
        self._program.reactor.on_error = self._trouble
        # The last is Ctrl-\\, which would leave us no time to restore anything.
        for number in (signal.SIGHUP, signal.SIGQUIT):
            self._program.reactor.on_signal(number, self._gone)
        self._main.start()
        self._look_again()

    def _look_again(self) -> None:
        self._look = self._program.reactor.call_later(LOOK_SECONDS, self._look_again)
        self._loop.wake()

    def _before_frame(self) -> None:
        """The title and the bell, for windows that are not in view."""
        if self._windows.title != self._title:
            self._title = self._windows.title
            self._screen.set_title(self._title)
        if self._windows.rings:
            self._windows.rings = False
            self._screen.write("\a")

    def _trouble(self, error: BaseException, where: str) -> None:
        """A bug that has ended nothing: standard error would write over the screen."""
        if not self._is_open:
            self._log.error(f"error {where}", error)
            return
        self._troubles.append((error, where))
        del self._troubles[:-MOST_TROUBLES]
        for part in traceback.format_exception(error):
            for line in part.rstrip().splitlines():
                self._windows.line(line)
        self._windows.trouble(f"Error {where}: {error!r}")

    def _gone(self) -> None:
        """The terminal, or whoever sat there."""
        self.close()
        self._program.input_ended()

    def _failed(self, error: Exception) -> None:
        """Of drawing, or of a key: a bug. The others shall hear a goodbye, and who sits here what it was."""
        self.error = self.error or error
        self.close()
        self._program.quit()

    def close(self) -> None:
        """Give the terminal back; a second time changes nothing. What is said from now on goes to standard output, and
        what went wrong is said again there.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._windows.instead = PlainOutput(self._log)
        self._windows.on_change = lambda: None
        if self._look is not None:
            self._look.cancel()
        try:
            self._main.stop()
        finally:
            self._terminal.close()
            for error, where in self._troubles:
                self._trouble(error, where)


def run(
    reactor: Reactor, options: Options, log: Log, *, directory: Path | None, files: Handler | None = None
) -> None:
    """A peer from its start to its end. StartError, before anything was drawn; and a bug of what draws, after it."""
    windows = Windows(time.time)
    program = Program(reactor, options, windows, directory=directory, lines=windows, files=files)
    windows.store = program.store
    try:
        program.start()
        tui = Tui(program, windows, log)
        try:
            tui.start()
            reactor.run()
        finally:
            tui.close()
    finally:
        program.close()
    if tui.error is not None:
        raise tui.error
