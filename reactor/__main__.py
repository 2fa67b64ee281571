"""`python -m reactor -c config.ini`: start the server; `--check`: show what it would do and open nothing.

Exit status: 0 after a clean stop, 1 if the machine did not let it start, 2 if the config or the arguments are wrong.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

import msgspec

from reactor.app import App
from reactor.config import Config, load
from reactor.core.loop import Reactor
from reactor.core.task import Task
from reactor.errors import ConfigError, ReactorError, StartError
from reactor.log import Log


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        config = load(arguments.config)
        if arguments.check:
            print(describe(App(Reactor(), config, Log())))
            return 0
        return serve(config)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


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
        app = App(reactor, config, log)
        _on_signals(reactor, app)
        reactor.run_task(app.start())
        for address in app.server.listeners:
            log.say(f"Listening on http://{address}/ (Ctrl-C stops; SIGHUP reloads {config.file})")
        reactor.run()
        return 0
    finally:
        log.close()
        reactor.close()


def _on_signals(reactor: Reactor, app: App) -> None:
    """SIGINT and SIGTERM: drain and end, at once the second time. SIGHUP: reload."""
    stopping: list[Task[None]] = []

    def stop() -> None:
        if stopping:
            app.log.info("stopping at once")
            app.server.abort()
            return
        if app.server.connections:
            seconds, count = app.server.settings.drain, len(app.server.connections)
            app.log.info(f"stopping: up to {seconds:g} s for {count} connections")
        stopping.append(reactor.spawn(app.stop()))
        stopping[0].on_done(lambda _: reactor.stop())

    reactor.on_signal(signal.SIGTERM, stop)
    reactor.on_signal(signal.SIGINT, stop)
    reactor.on_signal(signal.SIGHUP, lambda: reactor.spawn(_reload(app)).on_done(_ignore))


async def _reload(app: App) -> None:
    """A config that is wrong changes nothing, and says so."""
    file = app.generation.config.file
    try:
        await app.reload(load(file))
    except ReactorError as error:
        app.log.error(f"not reloaded, the old configuration stays: {error}")
    except Exception as error:
        app.log.error("not reloaded, the old configuration stays: a plugin failed", error)
    else:
        app.log.info(f"reloaded {file}")


_ignore: Callable[[object], None] = lambda _: None  # noqa: E731


def describe(app: App) -> str:
    """What `--check` prints: listeners, plugins with their options, the route table."""
    config = app.generation.config
    lines = [f"{config.file} is fine.", "", "listeners"]
    lines += [f"  http://{address}/" for address in config.listen]
    lines += ["", "plugins"]
    for section, plugin in zip(config.plugins, app.generation.plugins, strict=True):
        lines.append(f"  {plugin.name}")
        options = msgspec.to_builtins(plugin.options) if plugin.options is not None else {}
        lines += [f"    {key} = {_shown(value)}" for key, value in options.items()]
        said = set(section.values) & {"use"}
        lines += [f"    {key} = {section.values[key]}" for key in sorted(said)]
    rows = [
        (" ".join(route.methods), route.pattern, route.guard_name or "-", route.owner.removeprefix("plugin "))
        for route in app.generation.site.router.routes
    ]
    return "\n".join([*lines, "", "routes", *_table([("methods", "pattern", "guard", "plugin"), *rows])])


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return ["  " + line.rstrip() for line in lines]


if __name__ == "__main__":
    sys.exit(main())
