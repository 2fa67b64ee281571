"""A result as tables for docs/benchmarks.md.

Figures are medians over the rounds; ratios are made within a round.
"""

from __future__ import annotations

from statistics import median
from typing import Final

from bench.proxies.results import SAME, UNIQUE, Download, Results
from bench.report import markdown

_TITLES: Final = {SAME: "### The same request again and again", UNIQUE: "### No request twice"}


def tables(results: Results) -> str:
    """All of it in Markdown."""
    parts = [_loads(results, scenario) for scenario in (SAME, UNIQUE)]
    return "\n\n".join([*parts, _latencies(results), _rest(results), _circumstances(results)]) + "\n"


def _loads(results: Results, scenario: str) -> str:
    rows = []
    for name in results.proxies:
        runs = results.of(name, scenario)
        errors = sum(sum(run.errors.values()) for run in runs)
        rows.append([
            name, f"{median(run.rate for run in runs):,.0f}",
            f"{results.ratio(name, 'nginx', scenario, lambda run: run.rate):.2f}",
            f"{median(run.cpu for run in runs):.1f}",
            f"{results.ratio(name, 'nginx', scenario, lambda run: 1 / run.cpu if run.cpu else 0.0):.2f}",
            str(errors) if errors else "none",
        ])  # fmt: skip
    heads = ["proxy", "requests/s", "of nginx", "CPU µs", "requests per CPU second, of nginx", "errors"]
    return f"{_TITLES[scenario]}\n\n" + markdown(heads, rows)


def _latencies(results: Results) -> str:
    def middle(name: str) -> tuple[float, float]:
        runs = [one for one in results.latencies if one.proxy == name]
        return median(one.p50 for one in runs), median(one.p99 for one in runs)

    behind = middle("")
    rows = [
        [name, *(f"{one:.2f}" for one in middle(name)),
         *(f"{one - own:.2f}" for one, own in zip(middle(name), behind, strict=True))]
        for name in results.proxies
    ]  # fmt: skip
    heads = ["proxy", "p50 ms", "p99 ms", "added p50", "added p99"]
    return f"### Latency at {results.pace:,} requests a second\n\n" + markdown(heads, rows)


def _rest(results: Results) -> str:
    streams = {one.proxy: one for one in results.streams}
    downloads = {one.proxy: one for one in results.downloads}
    rows = []
    for name in results.proxies:
        stream, download = streams.get(name), downloads.get(name)
        rows.append([
            name,
            f"{stream.per_stream / 1e3:.1f}" if stream else "–",
            *(_downloaded(download) if download else ["–"] * 3),
        ])  # fmt: skip
    count = results.streams[0].streams if results.streams else 0
    size = results.downloads[0].size / 2**30 if results.downloads else 0
    heads = ["proxy", "KB a stream", "MiB/s", "CPU s", "grown MB"]
    return f"### {count:,} open streams, and a download of {size:g} GiB\n\n" + markdown(heads, rows)


def _downloaded(one: Download) -> list[str]:
    return [f"{one.size / one.seconds / 2**20:,.0f}", f"{one.cpu:.2f}", f"{one.growth / 1e6:.1f}"]


def _circumstances(results: Results) -> str:
    machine_ = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items() if value)
    missing = "".join(f" Without {name}: {why}." for name, why in results.missing.items())
    return (
        f"{results.date}, {results.rounds} rounds of {results.seconds} s with {results.connections} connections. "
        f"{versions}.{missing} Machine: {machine_}."
    )
