"""A result as tables for docs/benchmarks.md.

Figures are medians over the rounds, in brackets the lowest and the highest; ratios are made within a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from bench.peers.results import FULL, PACED, TOGETHER, Figures, Results
from bench.report import markdown


def tables(results: Results) -> str:
    """All of it in Markdown."""
    return "\n\n".join([
        _mesh(results),
        _together(results),
        _apart(results),
        _memory(results),
        _circumstances(results),
    ]) + "\n"  # fmt: skip


def spread(values: Iterable[float], digits: int) -> str:
    """`median (lowest–highest)`."""
    found = sorted(values)
    return f"{median(found):,.{digits}f} ({found[0]:,.{digits}f}–{found[-1]:,.{digits}f})" if found else ""


def _mesh(results: Results) -> str:
    mesh = results.mesh
    links = mesh.nodes * (mesh.nodes - 1) // 2
    rows = [[str(mesh.nodes), f"{links:,}", spread(mesh.seconds, 2), spread(mesh.cpu, 2)]]
    return "### Time to a full mesh\n\n" + markdown(["peers", "links", "seconds", "CPU seconds"], rows)


def _together(results: Results) -> str:
    def row(links: int) -> list[str]:
        def of(who: str, value: Callable[[Figures], float], digits: int = 1) -> str:
            return spread(map(value, results.of(TOGETHER, who, links)), digits)

        return [
            str(links), of("node", _rate, 0), of("node", _cost), of("bare", _cost),
            spread(results.ratio(TOGETHER, "node", "bare", links, _cost), 1),
            of("node", lambda one: one.p50, 2), of("node", lambda one: one.p99, 2),
            of("bare", lambda one: one.p50, 2), f"{_failed(results, TOGETHER, 'node', links):,}",
        ]  # fmt: skip

    heads = ["receivers", "deliveries/s", "CPU µs a delivery", "bare loop's", "ratio", "p50 ms", "p99 ms",
             "bare loop's p50", "failed"]  # fmt: skip
    title = "### A broadcast to all, sender and receivers in one process"
    return f"{title}\n\n" + markdown(heads, map(row, results.sizes(TOGETHER)))


def _apart(results: Results) -> str:
    """Latencies at the fixed rate only: without one they say how long a queue the measurement keeps."""

    def row(links: int, who: str) -> list[str]:
        full, paced = results.of(FULL, who, links), results.of(PACED, who, links)
        return [
            str(links), who, spread(map(_rate, full), 0), spread(map(_cost, full), 1), spread(map(_cost, paced), 1),
            spread([one.p50 for one in paced], 2), spread([one.p99 for one in paced], 2),
            f"{_failed(results, FULL, who, links) + _failed(results, PACED, who, links):,}",
        ]  # fmt: skip

    pace = f"at {results.pace:,.0f}/s"
    paced = [f"{head} {pace}" for head in ("CPU µs", "p50 ms", "p99 ms")]
    heads = ["links", "sender", "deliveries/s", "CPU µs", *paced, "failed"]
    rows = [row(links, who) for links in results.sizes(FULL) for who in results.who(FULL)]
    return "### A sender, beside one with a thread for each link\n\n" + markdown(heads, rows)


def _memory(results: Results) -> str:
    names = list(dict.fromkeys(one.who for one in results.memory))
    rows = [
        [f"{links:,}", *(f"{one.per_link / 1e3:,.1f}" for name in names for one in results.memory
                         if one.links == links and one.who == name)]
        for links in sorted({one.links for one in results.memory})
    ]  # fmt: skip
    return "### Memory of an idle link, KB\n\n" + markdown(["links", *names], rows)


def _circumstances(results: Results) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    return (
        f"{results.date}, {results.rounds} rounds of {results.seconds:g} s; messages of {results.frame} bytes on the "
        f"wire; {results.window} broadcasts under way where there is no rate. Machine: {machine}."
    )


def _rate(one: Figures) -> float:
    return one.rate


def _cost(one: Figures) -> float:
    return one.cost


def _failed(results: Results, scenario: str, who: str, links: int) -> int:
    return sum(one.failed for one in results.of(scenario, who, links))
