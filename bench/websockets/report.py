"""A result as tables, and into `docs/benchmarks.md` between markers of their own.

    python -m bench.websockets.report bench/results/2026-01-31-websockets.json      write the document anew

Figures are medians over the rounds, in brackets the lowest and the highest; ratios are made within a round.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bench.peers.report import spread
from bench.report import DOCUMENT, insert, markdown
from bench.websockets.results import AWAKE, BASE, BUSY, ECHO, FAN_OUT, Results, load

BEGIN: Final = "<!-- websockets: begin (written by bench/websockets/report.py) -->"
END: Final = "<!-- websockets: end -->"


def tables(results: Results) -> str:
    """All of it in Markdown."""
    return "\n\n".join([
        f"### One message to {results.room} sockets", _table(results, FAN_OUT), _advantage(results, FAN_OUT),
        f"### The same, with all {results.room} of them waiting for it on the same machine", _table(results, AWAKE),
        _advantage(results, AWAKE),
        f"### {results.under_way} messages at once to {results.room} sockets", _table(results, BUSY),
        _advantage(results, BUSY),
        f"### Round trips over {results.pairs} sockets", _table(results, ECHO), _advantage(results, ECHO),
        _memory(results), _circumstances(results),
    ]) + "\n"  # fmt: skip


def _table(results: Results, scenario: str) -> str:
    def row(who: str) -> list[str]:
        runs = results.of(scenario, who)
        return [
            who, spread([run.rate for run in runs], 0), spread([run.cost for run in runs], 2),
            spread(results.ratios(scenario, who, BASE), 2), spread([run.p50 for run in runs], 2),
            spread([run.p99 for run in runs], 2),
        ]  # fmt: skip

    heads = ["server", "messages/s", "CPU µs a message", "times the bare loop's", "p50 ms", "p99 ms"]
    return markdown(heads, map(row, results.servers()))


def _advantage(results: Results, scenario: str) -> str:
    best, ratios = results.advantage(scenario)
    return f"The better of the others, {best}, takes {spread(ratios, 2)} times our processor time."


def _memory(results: Results) -> str:
    rows = [[one.who, f"{one.sockets:,}", f"{one.each / 1024:.1f}"] for one in results.memory]
    return "### Memory of an idle socket\n\n" + markdown(["server", "sockets", "KiB each"], rows)


def _circumstances(results: Results) -> str:
    about = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items() if value)
    return (
        f"{results.date}, {results.rounds} rounds of {results.seconds:g} s; messages of {results.message} bytes, "
        f"nothing compressed; {versions}. Machine: {about}."
    )


def headline(results: Results) -> str:
    """What counts."""
    said = []
    for scenario in (FAN_OUT, AWAKE, BUSY, ECHO):
        best, ratios = results.advantage(scenario)
        said.append(f"{scenario}: {best}, the better of the others, costs {median(ratios):.2f} times as much")
    return "\n".join(said)


def publish(results: Results, document: Path = DOCUMENT) -> None:
    text = insert(document.read_text("utf-8"), tables(results), BEGIN, END)
    document.write_text(text, "utf-8")


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    publish(load(Path(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
