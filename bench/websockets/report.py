"""A result as tables for docs/benchmarks.md.

Figures are medians over the rounds, in brackets the lowest and the highest; ratios are made within a round.
"""

from __future__ import annotations

from bench.peers.report import spread
from bench.report import markdown
from bench.websockets.results import AWAKE, BASE, BUSY, ECHO, FAN_OUT, Results


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
