"""The reverse proxy: it passes requests on as `proxy.conf` says."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the reactor of this clone, installed or not

from examples.topology.common import HERE, parser, run

if __name__ == "__main__":
    arguments = parser("A reverse proxy.", 8080)
    arguments.add_argument("--conf", default=HERE / "proxy.conf", type=Path, help="who is behind it (%(default)s)")
    given = arguments.parse_args()
    run(given, f"[plugin:proxy]\nconf = {given.conf.resolve()}")
