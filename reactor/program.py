"""An app as a program of its own: the signals, the first and the last lines, the exit status.

    sys.exit(exit_status(lambda: serve(config)))

Exit status: 0 after a clean stop, 1 if the machine did not let it start, 2 if the config is wrong, 130 for a Ctrl-C
before the start had begun. What a person has to act on is one line on standard error.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Mapping

from reactor.app import App
from reactor.config import Config, load
from reactor.core.address import Address
from reactor.core.garbage import collect_seldom
from reactor.core.inherited import from_environment
from reactor.core.loop import Reactor
from reactor.core.supervisor import tell_supervisor
from reactor.core.task import Cancelled, Task
from reactor.errors import ConfigError, ReactorError, StartError
from reactor.log import Log
from reactor.plugin import Setup
from reactor.takeover import Predecessor, find_predecessor, tell_failure

# After a second signal, what the stop hooks still get.
LAST_SECONDS = 2.0


def exit_status(run: Callable[[], object]) -> int:
    """Call `run`, and tell in one line what is wrong with the config or the machine; the status (see above)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows only ASCII still gets every line
            stream.reconfigure(errors="backslashreplace")
    try:
        run()
    except (ConfigError, StartError) as error:
        tell_failure(os.environ, str(error))
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:  # `--check | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:  # before the loop took the signals over
        return 130
    return 0


def serve(config: Config, given: Mapping[str, Setup] | None = None) -> None:
    """Run until a signal ends it; StartError and ConfigError. `given` are plugins that the program has at hand, by the
    NAME of their section. For the main thread, once at a time.
    """
    collect_seldom()
    reactor = Reactor()
    log = Log()
    predecessor = find_predecessor(os.environ, reactor)
    try:
        if predecessor is not None:
            inherited = reactor.run_task(predecessor.listeners())
        else:
            inherited = from_environment(os.environ, os.getpid())
        Program(reactor, App(reactor, config, log, given=given, inherited=inherited), predecessor).run()
    except Exception as error:
        if predecessor is not None:
            predecessor.failed(str(error) if isinstance(error, ReactorError) else f"{type(error).__name__}: {error}")
        raise
    finally:
        log.close()
        reactor.close()


class Program:
    """The app under the signals: SIGINT and SIGTERM drain and end it, at once the second time; SIGHUP reloads it, and
    SIGUSR2 lets a new process take over. A config that is of no file cannot be read again: then SIGHUP, which a closing
    terminal sends, ends it too.
    """

    def __init__(self, reactor: Reactor, app: App, predecessor: Predecessor | None = None) -> None:
        self._reactor = reactor
        self._app = app
        self._predecessor = predecessor
        self._stopping: Task[None] | None = None
        self._reloading: Task[None] | None = None
        self._reload_wanted = False
        self._given_up = False

    def run(self) -> None:
        """Raises StartError and ConfigError. A signal that comes during the start ends that too."""
        reactor = self._reactor
        reactor.on_signal(signal.SIGTERM, self._stop)
        reactor.on_signal(signal.SIGINT, self._stop)
        reactor.on_signal(signal.SIGHUP, self._reload if self._app.generation.config.file else self._stop)
        reactor.on_signal(signal.SIGUSR2, self._hand_over)
        predecessor = self._predecessor
        try:
            reactor.run_task(self._app.start(predecessor.state if predecessor is not None else None))
        except Cancelled:
            pass
        if self._stopping is None:
            self._announce(set())
            if predecessor is not None:
                predecessor.ready()
            tell_supervisor(os.environ, "READY=1", f"MAINPID={os.getpid()}")
        while self._stopping is None or not (self._stopping.done or self._given_up):
            reactor.run()
        if self._stopping.done:
            self._stopping.result()

    def _announce(self, known: set[Address]) -> None:
        """Say which addresses there are beside the `known` ones, with the port that the system chose for port 0."""
        app = self._app
        for address, listener in app.server.listeners.items():
            if address not in known:
                url = app.generation.config.url(address, listener.address.port)
                reloads = f"; SIGHUP reloads {app.generation.config.file}" if app.generation.config.file else ""
                app.log.say(f"Listening on {url} (Ctrl-C stops{reloads})")

    def _stop(self) -> None:
        log, server = self._app.log, self._app.server
        if self._stopping is not None:
            log.info("stopping at once")
            server.abort()
            self._reactor.call_later(LAST_SECONDS, self._give_up)
            return
        if server.connections:
            log.info(f"stopping: up to {server.settings.drain:g} s for {len(server.connections)} connections")
        tell_supervisor(os.environ, "STOPPING=1")
        self._end()

    def _end(self, gently: bool = False) -> None:
        self._stopping = self._reactor.spawn(self._app.stop(gently=gently))
        self._stopping.on_done(lambda _: self._reactor.stop())

    def _hand_over(self) -> None:
        if self._stopping is None:
            self._app.log.info("a new process is started, to take over")
            self._reactor.spawn(self._hand_over_and_end())

    async def _hand_over_and_end(self) -> None:
        log, server = self._app.log, self._app.server
        try:
            successor = await self._app.hand_over()
        except ReactorError as error:
            log.error(f"not taken over, this process goes on: {error}")
        except Cancelled:
            pass  # the end came first
        except Exception as error:
            log.error("not taken over, this process goes on: what is kept cannot be handed over", error)
        else:
            drain, open_ones = server.settings.drain, len(server.connections)
            log.info(f"process {successor} has taken over; up to {drain:g} s for {open_ones} connections")
            self._end(gently=True)

    def _give_up(self) -> None:
        """What still hangs after the second signal is left to hang."""
        self._given_up = True
        self._reactor.stop()

    def _reload(self) -> None:
        self._reload_wanted = True
        if self._reloading is None or self._reloading.done:
            self._reloading = self._reactor.spawn(self._reload_while_wanted())

    async def _reload_while_wanted(self) -> None:
        """Once more if the file was changed, and a signal came, while the last reload was under way."""
        while self._reload_wanted and self._stopping is None:
            self._reload_wanted = False
            await self._reload_once()

    async def _reload_once(self) -> None:
        """A config that is wrong changes nothing, and says so."""
        app = self._app
        file = app.generation.config.file
        known = set(app.server.listeners)
        worked = False
        try:
            await app.reload(load(file))
        except ReactorError as error:
            # A plugin that raised what it should not is named in one line, and its author wants the traceback.
            app.log.error(f"not reloaded, the old configuration stays: {error}", error.__cause__)
        except Exception as error:
            app.log.error("not reloaded, the old configuration stays: a plugin failed", error)
        else:
            worked = True
            app.log.info(f"reloaded {file}")
            self._announce(known)
        finally:
            app.observer.reloaded = worked
