"""One process takes the place of another, and no client notices.

    old, on SIGUSR2                                    new: the same command, a child of the old one
      its listening sockets          ──────────▶       sets up, and runs its start hooks
                                     ◀──────────       `state`: it could begin
      stops accepting; what is kept  ──────────▶       takes that over (`Plugin.keep(dump=, load=)`), listens
                                     ◀──────────       `ready`
      drains and ends, gently

Both have the same sockets, so who connects while neither accepts waits in their queue. Whatever goes wrong before
`ready`, the old process goes on as if nothing had been, with the reason in its log.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from reactor.core.inherited import Inherited, from_descriptors, name_of
from reactor.core.kinship import (
    MOST_DESCRIPTORS,
    Line,
    Message,
    as_descriptor,
    from_descriptor,
    line_from,
    make_line,
)
from reactor.core.loop import Reactor
from reactor.core.task import sleep, timeout
from reactor.errors import ReactorError, StartError

if TYPE_CHECKING:
    from reactor.app import App

# Who may speak to us, and on which descriptor: a child of ours that starts children must not pass for our child.
VARIABLE: Final = "REACTOR_TAKES_OVER"
# Seconds that the new process has until it is ready; a migration of its database may be among its start hooks.
PATIENCE: Final = 60.0
# Seconds that one that said it failed has to end by itself.
_LAST_SECONDS: Final = 5.0

State = Mapping[str, bytes]


# -- the old process ---------------------------------------------------------------------------------------------------


async def hand_over(app: App, command: Sequence[str] | None = None) -> int:
    """Start `command` (that of this process) and let it take over; its process id. ReactorError says why it has not,
    and nothing has changed then.
    """
    children: list[subprocess.Popen[bytes]] = []
    listeners = app.all_listeners()
    if len(listeners) > MOST_DESCRIPTORS:
        raise ReactorError(f"there are more than {MOST_DESCRIPTORS} listening sockets")
    try:
        line = make_line(app.reactor, lambda fd: children.append(_start(command or _command(), fd)))
    except OSError as error:
        raise ReactorError(f"no process can be started: {error.strerror}") from None
    [child] = children
    try:
        line.send(
            {"listeners": [[name_of(address), app.sockets.owns_file(address)] for address in listeners]},
            [listener.sock.fileno() for listener in listeners.values()],
        )
        async with timeout(PATIENCE):
            await _wait_until_ready(app, line)
    except TimeoutError:
        await _undo(app, child, line)
        raise ReactorError(f"the new process was not ready within {PATIENCE:g} s") from None
    except BaseException as error:
        await _undo(app, child, line)
        if isinstance(error, _Ended):
            raise ReactorError(f"the new process ended with status {child.returncode}; see what it said") from None
        raise
    finally:
        line.close()
    app.sockets.leave_files()
    child.returncode = 0  # it outlives us: that nobody waits for its end is no mistake
    return child.pid


class _Ended(ReactorError):
    """It is gone without a word."""


def _command() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]


def _start(command: Sequence[str], fd: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, VARIABLE: f"{os.getpid()}:{fd}"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[fd])


async def _wait_until_ready(app: App, line: Line) -> None:
    while True:
        received = await line.receive()
        if received is None:
            raise _Ended
        message, _ = received
        if "failed" in message:
            raise ReactorError(str(message["failed"]))
        if "ready" in message:
            return
        app.pause_listening()
        fd = as_descriptor(msgspec.msgpack.encode(app.generation.shelf.dump()))
        try:
            line.send({"state": True}, [fd])
        finally:
            os.close(fd)


async def _undo(app: App, child: subprocess.Popen[bytes], line: Line) -> None:
    line.close()  # which the other side takes for a change of mind
    app.resume_listening()
    for _ in range(int(_LAST_SECONDS / 0.05)):
        if child.poll() is not None:
            return
        await sleep(0.05)
    child.kill()
    child.wait()


# -- the new process ---------------------------------------------------------------------------------------------------


class Predecessor:
    """The process whose place is taken, as the new one sees it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def listeners(self) -> Inherited:
        """Its sockets. StartError if it is gone."""
        message, descriptors = await self._hear()
        named = zip(message["listeners"], descriptors, strict=True)
        return from_descriptors([(name, fd, owns_file) for (name, owns_file), fd in named])

    async def state(self) -> State:
        """What it has kept, by plugin and name; it accepts nobody any more. StartError if it is gone."""
        self._line.send({"state": True})
        _, [fd] = await self._hear()
        return msgspec.msgpack.decode(from_descriptor(fd), type=dict[str, bytes])

    async def _hear(self) -> tuple[Message, list[int]]:
        received = await self._line.receive()
        if received is None:
            raise StartError("the process whose place was to be taken is gone, or has changed its mind")
        return received

    def ready(self) -> None:
        """We serve; it may go."""
        self._line.send({"ready": True})
        self._line.close()

    def failed(self, reason: str) -> None:
        """We do not; it goes on."""
        self._line.send({"failed": reason})
        self._line.close()


def _descriptor(environment: Mapping[str, str]) -> int | None:
    parent, _, fd = environment.get(VARIABLE, "").partition(":")
    return int(fd) if parent == str(os.getppid()) and fd.isdecimal() else None


def find_predecessor(environment: MutableMapping[str, str], reactor: Reactor) -> Predecessor | None:
    """Whoever has started us to take its place; None for most."""
    fd = _descriptor(environment)
    environment.pop(VARIABLE, None)
    return None if fd is None else Predecessor(line_from(reactor, fd))


def tell_failure(environment: MutableMapping[str, str], reason: str) -> None:
    """The same as `Predecessor.failed`, for an end before that has been looked for."""
    reactor = Reactor()
    try:
        predecessor = find_predecessor(environment, reactor)
        if predecessor is not None:
            predecessor.failed(reason)
    finally:
        reactor.close()
