"""What the servers of the topology share: their arguments, and how a few sections become a server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from reactor.config import Config
from reactor.core.address import Address
from reactor.plugin import Setup
from reactor.program import exit_status, serve

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STATE = ROOT / "var" / "topology"


def parser(what: str, port: int) -> argparse.ArgumentParser:
    """For `--server-ip` and `--server-port`; a program adds its own."""
    made = argparse.ArgumentParser(description=what)
    made.add_argument("--server-ip", default="127.0.0.1", metavar="IP", help="listen on this address (%(default)s)")
    made.add_argument("--server-port", default=port, type=int, metavar="PORT", help="and this port (%(default)s)")
    made.add_argument("--state-dir", default=STATE, type=Path, metavar="DIR", help="where data is kept (%(default)s)")
    return made


def run(given: argparse.Namespace, sections: str, plugins: Mapping[str, Setup] | None = None) -> None:
    """Serve these sections of a config until Ctrl-C, and exit. `plugins` are those that the program brings along."""
    address = Address(given.server_ip, given.server_port)
    text = f"[server]\nlisten = {address}\nstate_dir = {given.state_dir.resolve()}\n{sections}\n"
    sys.exit(exit_status(lambda: serve(Config(text, "", HERE), plugins)))
