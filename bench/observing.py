"""What it costs to be observed: CPU for each request with the access log and the numbers, against none of both.

    python -m bench.observing [SECONDS]

All variants run at once on one core and are asked in turn, again and again, so that what a shared machine takes away it
takes from all. The median of each variant's rounds is told, as CPU time and as what is left of the throughput that the
plain one would have on a core of its own; that ratio is made within a round, and its middle half is told too. `floor`
is the plain variant once more: how far two equal ones are apart.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from operator import truediv
from pathlib import Path
from typing import Final

from bench import wrk
from bench.process import Server, free_port, running

VARIANTS: Final = {
    "plain": ("", ""),
    "floor": ("", ""),
    "combined": ("access_log = combined.log", ""),
    "json": ("access_log = json.log\naccess_log_format = json", ""),
    "numbers": ("", "[plugin:status]\n"),
    "both": ("access_log = both.log", "[plugin:status]\n"),
    "ids": ("send_request_id = yes", ""),
}
ROUNDS: Final = 9
CONNECTIONS: Final = 64


def start(stack: ExitStack, folder: Path, name: str) -> Server:
    server, plugins = VARIANTS[name]
    port = free_port()
    config = folder / f"{name}.ini"
    config.write_text(f"[server]\nlisten = 127.0.0.1:{port}\n{server}\n[plugin:bench]\nuse = bench.plugin\n{plugins}")
    return stack.enter_context(running([sys.executable, "-m", "reactor", "-c", str(config)], port))


def cost(server: Server, seconds: int) -> float:
    """Microseconds of CPU for a request."""
    before = server.cpu_seconds()
    count = wrk.run(server.url + "/ok", CONNECTIONS, seconds)
    if count.errors:
        raise RuntimeError(f"not all went well: {count.errors}")
    return (server.cpu_seconds() - before) / count.requests * 1e6


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {name: start(stack, folder, name) for name in VARIANTS}
        for number in range(ROUNDS + 1):
            for name, server in servers.items():
                spent = cost(server, seconds if number else 1)
                if number:  # the first round only warms them up
                    found[name].append(spent)
    for name, rounds in found.items():
        low, share, high = statistics.quantiles(map(truediv, found["plain"], rounds), n=4)
        print(
            f"{name:9}  {statistics.median(rounds):6.2f} us a request  {min(rounds):6.2f} at best  "
            f"{share:7.1%} of the throughput ({low:.1%} to {high:.1%})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
