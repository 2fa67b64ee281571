"""What it costs to be observed: CPU for each request with the access log and the numbers, against none of both.

    python -m bench.observing [STARTS]

Each variant is a server of its own on the same core, and they are asked in turn, in another order each round, a second
each: what a shared machine takes away for a while it so takes from all. How fast one process is depends a little on
where its memory happens to lie, so after a few rounds all are started anew. Told are the median cost of a variant, the
median of what it costs more than the plain one in the same round, and what that leaves of the throughput that the plain
one would have on a core of its own. The plain one is there twice: both together are what the others are measured by,
and how far they are apart is how well.

The load is wrk's, because it asks again at once: a server that is kept busy answers dozens of requests in a turn, and
what observing costs for each turn is then shared by as many.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

from bench import wrk
from bench.process import Server, free_port, running

VARIANTS: Final = {
    "plain": ("", ""),
    "again": ("", ""),
    "combined": ("access_log = combined.log", ""),
    "json": ("access_log = json.log\naccess_log_format = json", ""),
    "details": ("access_log = details.log\naccess_log_details = yes", ""),
    "numbers": ("", "[plugin:status]\n"),
    "both": ("access_log = both.log", "[plugin:status]\n"),
    "ids": ("send_request_id = yes", ""),
}
STARTS: Final = 8
ROUNDS: Final = 4  # after a first one that only warms them up
SECONDS: Final = 1
CONNECTIONS: Final = 64


class Subject:
    """A running server of one variant."""

    def __init__(self, stack: ExitStack, folder: Path, name: str) -> None:
        self._server = stack.enter_context(_start(folder, name, free_port()))
        self._used = self._cpu()

    def ask(self) -> float:
        """Microseconds of CPU for a request, with what it has done since the last time: a log that is written later is
        written all the same.
        """
        count = wrk.run(self._server.url + "/ok", CONNECTIONS, SECONDS)
        if count.errors:
            raise RuntimeError(f"not all went well: {count.errors}")
        before, self._used = self._used, self._cpu()
        return (self._used - before) / count.requests / 1000

    def _cpu(self) -> int:
        """Nanoseconds of all its threads; `cpu_seconds` counts in ticks of ten milliseconds."""
        tasks = Path(f"/proc/{self._server.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)


def _start(folder: Path, name: str, port: int) -> AbstractContextManager[Server]:
    server, plugins = VARIANTS[name]
    config = folder / f"{name}.ini"
    config.write_text(f"[server]\nlisten = 127.0.0.1:{port}\n{server}\n[plugin:bench]\nuse = bench.plugin\n{plugins}")
    return running([sys.executable, "-m", "reactor", "-c", str(config)], port)


def measure(starts: int) -> dict[str, list[float]]:
    """Of each variant, what a request has cost in each round."""
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(starts):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            subjects = {name: Subject(stack, folder, name) for name in VARIANTS}
            for number in range(1 + ROUNDS):
                for name in random.sample(list(VARIANTS), len(VARIANTS)):
                    spent = subjects[name].ask()
                    if number:
                        found[name].append(spent)
    return found


def report(found: dict[str, list[float]]) -> str:
    """A table."""
    plain = [(one + other) / 2 for one, other in zip(found["plain"], found["again"], strict=True)]
    lines = [f"{'':9}  {'us a request':>12}  {'more than plain':>15}  throughput left, and its middle half"]
    for name, spent in found.items():
        more = statistics.median(it - base for it, base in zip(spent, plain, strict=True))
        low, share, high = statistics.quantiles((base / it for it, base in zip(spent, plain, strict=True)), n=4)
        middle = statistics.median(spent)
        lines.append(f"{name:9}  {middle:12.2f}  {more:+15.2f}  {share:.1%} ({low:.1%} to {high:.1%})")
    return "\n".join(lines)


def main() -> int:
    print(report(measure(int(sys.argv[1]) if len(sys.argv) > 1 else STARTS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
