"""`python -m reactor -c config.ini`: start the server; `--check`: show what it would do and open nothing.

Exit status: 0 after a clean stop, 1 if the machine did not let it start, 2 if the config or the arguments are wrong.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence

from reactor.app import App
from reactor.config import Config, load
from reactor.core.address import Address
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Task
from reactor.describe import describe
from reactor.errors import ConfigError, ReactorError, StartError
from reactor.log import Log

# After a second signal, what the stop hooks still get.
LAST_SECONDS = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status (see above)."""
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows only ASCII still gets every line
            stream.reconfigure(errors="backslashreplace")
    try:
        config = load(arguments.config)
        if arguments.check:
            print(check(config), flush=True)
            return 0
        return serve(config)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `--check | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:  # before the loop took the signals over
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reactor", description="An event server: one thread, one selector.")
    parser.add_argument("-c", "--config", default="config.ini", metavar="FILE", help="the config file (%(default)s)")
    parser.add_argument(
        "--check", action="store_true", help="print listeners, plugins, options and routes, and open nothing"
    )
    return parser


def serve(config: Config) -> int:
    """Run until a signal ends it."""
    reactor = Reactor()
    log = Log()
    try:
        Program(reactor, App(reactor, config, log)).run()
        return 0
    finally:
        log.close()
        reactor.close()


class Program:
    """The app under the signals: SIGINT and SIGTERM drain and end it, at once the second time; SIGHUP reloads it."""

    def __init__(self, reactor: Reactor, app: App) -> None:
        self._reactor = reactor
        self._app = app
        self._stopping: Task[None] | None = None
        self._reloading: Task[None] | None = None
        self._reload_wanted = False
        self._given_up = False

    def run(self) -> None:
        """Raises StartError and ConfigError. A signal that comes during the start ends that too."""
        reactor = self._reactor
        reactor.on_signal(signal.SIGTERM, self._stop)
        reactor.on_signal(signal.SIGINT, self._stop)
        reactor.on_signal(signal.SIGHUP, self._reload)
        try:
            reactor.run_task(self._app.start())
        except Cancelled:
            pass
        if self._stopping is None:
            self._announce(set())
        while self._stopping is None or not (self._stopping.done or self._given_up):
            reactor.run()
        if self._stopping.done:
            self._stopping.result()

    def _announce(self, known: set[Address]) -> None:
        """Say which addresses there are beside the `known` ones, with the port that the system chose for port 0."""
        app = self._app
        for address, listener in app.server.listeners.items():
            if address not in known:
                where = address._replace(port=listener.address.port)
                app.log.say(f"Listening on http://{where}/ (Ctrl-C stops; SIGHUP reloads {app.generation.config.file})")

    def _stop(self) -> None:
        log, server = self._app.log, self._app.server
        if self._stopping is not None:
            log.info("stopping at once")
            server.abort()
            self._reactor.call_later(LAST_SECONDS, self._give_up)
            return
        if server.connections:
            log.info(f"stopping: up to {server.settings.drain:g} s for {len(server.connections)} connections")
        self._stopping = self._reactor.spawn(self._app.stop())
        self._stopping.on_done(lambda _: self._reactor.stop())

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
        try:
            await app.reload(load(file))
        except ReactorError as error:
            # A plugin that raised what it should not is named in one line, and its author wants the traceback.
            app.log.error(f"not reloaded, the old configuration stays: {error}", error.__cause__)
        except Exception as error:
            app.log.error("not reloaded, the old configuration stays: a plugin failed", error)
        else:
            app.log.info(f"reloaded {file}")
            self._announce(known)


def check(config: Config) -> str:
    """Set everything up, and say what it would be."""
    reactor = Reactor()
    try:
        return describe(App(reactor, config, Log()))
    finally:
        reactor.close()


if __name__ == "__main__":
    sys.exit(main())
