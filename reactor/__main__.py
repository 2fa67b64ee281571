"""`python -m reactor -c config.ini`: start the server; `--check`: show what it would do and open nothing.

Its exit status is that of `reactor.program`; also 2 if the arguments are wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from reactor.app import App
from reactor.config import Config, load
from reactor.core.loop import Reactor
from reactor.describe import describe
from reactor.log import Log
from reactor.program import exit_status, serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status (see above)."""
    arguments = _parser().parse_args(argv)
    return exit_status(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    config = load(arguments.config)
    if arguments.check:
        print(check(config), flush=True)
    else:
        serve(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reactor", description="An event server: one thread, one selector.")
    parser.add_argument("-c", "--config", default="config.ini", metavar="FILE", help="the config file (%(default)s)")
    parser.add_argument(
        "--check", action="store_true", help="print listeners, plugins, options and routes, and open nothing"
    )
    return parser


def check(config: Config) -> str:
    """Set everything up, and say what it would be."""
    reactor = Reactor()
    try:
        return describe(App(reactor, config, Log()))
    finally:
        reactor.close()


if __name__ == "__main__":
    sys.exit(main())
