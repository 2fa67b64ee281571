"""The tracker: `start_server.py 8001`. Peers tell it where they are, and ask it for others."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the reactor of this clone, installed or not

from examples.topology.common import parser, run

if __name__ == "__main__":
    arguments = parser("A tracker.", 8001)
    arguments.add_argument("port", nargs="?", type=int, help="the same as --server-port")
    given = arguments.parse_args()
    if given.port is not None:
        given.server_port = given.port
    run(given, "[plugin:tracker]")
