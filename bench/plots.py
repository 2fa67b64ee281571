"""The pictures of a result: throughput against the floor, latency curves, and cost and memory as connections grow.

SVG with text as text, small enough for the repository, and the same bytes for the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "figure.facecolor": "white", "savefig.facecolor": "white",
})  # fmt: skip

from matplotlib import pyplot  # noqa: E402

from bench.results import Results, Sample, middle  # noqa: E402

OURS: Final = "#c2410c"
MEASURES: Final = "#1f2937"
OTHERS: Final = ("#2563eb", "#059669", "#7c3aed", "#0891b2", "#a16207", "#be185d", "#4d7c0f", "#64748b", "#0f766e",
                 "#9333ea", "#475569")  # fmt: skip
Drawn = list[tuple[str, Path]]


def draw(results: Results, folder: Path) -> Drawn:
    """(what it shows, file) of every picture that the result has the figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: Drawn = []
    for label, name, picture in (
        ("Throughput as a ratio to the floor", "bench-throughput.svg", _throughput),
        ("Latency curves", "bench-latency.svg", _latency),
        ("Cost of a request as connections grow", "bench-cost.svg", _growth("CPU µs a request", lambda s: s.cpu)),
        ("Memory as connections grow", "bench-memory.svg", _growth("MB at the peak", lambda s: s.resident / 1e6)),
        ("The slowest hundredth as connections grow", "bench-tail.svg",
         _growth("p99 in ms", lambda s: s.latency.get("0.99", 0.0), "rate")),
    ):
        figure = picture(results)
        if figure is not None:
            path = folder / name
            figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
            pyplot.close(figure)
            drawn.append((label, path))
    return drawn


def _colour(name: str, names: list[str]) -> str:
    if name == "reactor":
        return OURS
    if name in ("floor", "threads"):
        return MEASURES
    others = [other for other in names if other not in ("reactor", "floor", "threads")]
    return OTHERS[others.index(name) % len(OTHERS)]


def _throughput(results: Results) -> Any:
    """A bar for each server, a panel for each scenario that has a floor."""
    titles = [
        title for title in results.scenarios
        if not title.series and "floor" in results.servers(title.name) and "wrk" in results.tools(title.name)
    ]  # fmt: skip
    if not titles:
        return None
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False)
    for axis, title in zip(axes.flat, titles, strict=False):
        found = {name: results.ratio(title.name, name, "floor") or 0.0 for name in results.servers(title.name)}
        names = sorted(found, key=lambda name: found[name])
        bars = axis.barh(names, [found[name] for name in names], color=[_colour(name, names) for name in names])
        axis.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
        axis.axvline(1.0, color=MEASURES, linewidth=0.7, linestyle=":")
        axis.set_title(title.title, fontsize=9)
    for axis in list(axes.flat)[len(titles) :]:
        axis.set_visible(False)
    figure.tight_layout()
    return figure


def _latency(results: Results) -> Any:
    """Percentiles on a scale that gives each nine as much room as the one before."""
    titles = [title for title in results.scenarios if not title.series and "rate" in results.tools(title.name)]
    if not titles:
        return None
    columns = min(2, len(titles))
    rows = -(-len(titles) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(5.5 * columns, 3.6 * rows), squeeze=False)
    for axis, title in zip(axes.flat, titles, strict=False):
        names = results.servers(title.name)
        for name in names:
            _curve(axis, results.of(title.name, name, "rate"), name, _colour(name, names))
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.invert_xaxis()
        axis.set_xticks([0.5, 0.1, 0.01, 0.001], ["50 %", "90 %", "99 %", "99.9 %"])
        axis.minorticks_off()
        axis.set_ylabel("ms")
        axis.set_title(title.title, fontsize=9)
        axis.legend(fontsize=6, frameon=False, ncols=2)
    for axis in list(axes.flat)[len(titles) :]:
        axis.set_visible(False)
    figure.tight_layout()
    return figure


def _curve(axis: Any, samples: list[Sample], name: str, colour: str) -> None:
    shares = [share for share in (samples[0].latency if samples else {}) if float(share) < 1]
    points = [(1 - float(share), value) for share in shares if (value := middle(samples, share)) is not None]
    if points:
        width = 2.0 if name == "reactor" else 1.0
        axis.plot(*zip(*points, strict=True), label=name, color=colour, linewidth=width,
                  linestyle=":" if name == "floor" else "--" if name == "threads" else "-")  # fmt: skip


def _growth(label: str, value: Callable[[Sample], float], tool: str = "closed") -> Callable[[Results], Any]:
    def picture(results: Results) -> Any:
        titles = sorted(
            (title for title in results.scenarios if title.series == "connections"), key=lambda title: title.x
        )
        if len(titles) < 2:
            return None
        names = list(dict.fromkeys(name for title in titles for name in results.servers(title.name)))
        figure, axis = pyplot.subplots(figsize=(5.5, 3.4))
        for name in names:
            points = [
                (title.x, median(map(value, samples)))
                for title in titles
                if (samples := results.of(title.name, name, tool))
            ]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, color=_colour(name, names), marker="o", markersize=3,
                          linewidth=2.0 if name == "reactor" else 1.0,
                          linestyle=":" if name == "floor" else "--" if name == "threads" else "-")  # fmt: skip
        if not axis.lines:
            pyplot.close(figure)
            return None
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("connections")
        axis.set_ylabel(label)
        axis.legend(fontsize=7, frameon=False)
        return figure

    return picture
