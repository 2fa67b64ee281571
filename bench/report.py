"""Results as tables, and into `docs/benchmarks.md` between two markers, so that what people wrote around them stays.

    python -m bench.report bench/results/2026-01-31.json      write the document anew from a stored result

Figures are medians over the rounds with the lowest and the highest; ratios are made within a round.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bench.process import ROOT
from bench.results import Results, Sample, Title, load, points, speed, thrift

DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
PICTURES: Final = ROOT / "docs" / "images"
BEGIN: Final = "<!-- results: begin (written by bench/report.py) -->"
END: Final = "<!-- results: end -->"
SERIES: Final = {"connections": "As connections grow", "peers": "As the list grows", "body": "As bodies grow"}


def tables(results: Results) -> str:
    """All of it in Markdown."""
    parts = [_table(results, title) for title in results.scenarios if not title.series]
    series = dict.fromkeys(title.series for title in results.scenarios if title.series)
    return "\n\n".join([*parts, *(_series(results, name) for name in series), _circumstances(results)]) + "\n"


# -- one scenario ----------------------------------------------------------------------------------------------------


def _table(results: Results, title: Title) -> str:
    tools = results.tools(title.name)
    main = "wrk" if "wrk" in tools else "closed" if "closed" in tools else "rate"
    columns = _columns(results, title.name, main, "rate" in tools)
    if title.idle:
        columns.insert(2, ("KB an idle one", _grown(results, title)))
    servers = results.servers(title.name)
    if main != "rate":
        servers.sort(key=lambda name: -_median(results.of(title.name, name, main), speed))
    rows = [[name, *(cell(name) for _, cell in columns)] for name in servers]
    return f"### {title.title}\n\n" + markdown(["server", *(head for head, _ in columns)], rows)


Column = tuple[str, Callable[[str], str]]


def _columns(results: Results, scenario: str, main: str, latency: bool) -> list[Column]:
    def of(name: str) -> list[Sample]:
        return results.of(scenario, name, main)

    def ratio(base: str) -> Callable[[str], str]:
        return lambda name: _number(results.ratio(scenario, name, base, main), 2)

    def by_cpu(name: str) -> str:
        return _number(results.ratio(scenario, name, "floor", main, value=thrift), 2)

    columns: list[Column] = []
    if main != "rate":
        columns += [("requests/s", lambda name: spread([speed(sample) for sample in of(name)]))]
        columns += [
            (f"of {base}", ratio(base)) for base in ("floor", "nginx") if base in results.servers(scenario)
        ]
        if "floor" in results.servers(scenario):
            columns.append(("of floor, by CPU", by_cpu))
    columns += [
        ("CPU µs", lambda name: _number(_median(of(name), lambda sample: sample.cpu), 1)),
        ("MB", lambda name: _number(_median(of(name), lambda sample: sample.resident / 1e6), 0)),
    ]
    if latency:
        for label, share in (("p50", "0.5"), ("p99", "0.99"), ("p99.9", "0.999")):
            columns.append((f"{label} ms", _latency(results, scenario, share)))
        columns.append(("late ms", _late(results, scenario)))
    columns.append(("errors", lambda name: _errors(results, scenario, name)))
    return columns


def _latency(results: Results, scenario: str, share: str) -> Callable[[str], str]:
    """The median, and the round in which the machine disturbed least: a tail is the first thing that it spoils."""

    def cell(name: str) -> str:
        values = points(results.of(scenario, name, "rate"), share)
        return f"{median(values):,.2f} ({min(values):,.2f})" if values else ""

    return cell


def _late(results: Results, scenario: str) -> Callable[[str], str]:
    """How late the load generator itself was, at its 99th percentile: latencies below that tell nothing."""
    return lambda name: _number(
        _median(results.of(scenario, name, "rate"), lambda sample: sample.lag.get("0.99", 0.0)), 2
    )


def _grown(results: Results, title: Title) -> Callable[[str], str]:
    """By the round in which it grew most, the first: what a process has once had it uses again."""

    def cell(name: str) -> str:
        grown = [sample.grown / title.idle / 1e3 for sample in results.of(title.name, name, "rate")]
        return _number(max(grown, default=0.0), 1)

    return cell


def _median(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    return median(map(value, samples)) if samples else 0.0


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """`median (lowest–highest)`."""
    return f"{median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})" if values else ""


def _errors(results: Results, scenario: str, server: str) -> str:
    """By kind, over all rounds and tools; connections that the server cut or refused are among them."""
    found: dict[str, int] = {}
    for sample in results.samples:
        if sample.scenario == scenario and sample.server == server:
            for kind, count in sample.errors.items():
                found[kind] = found.get(kind, 0) + count
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.items())) or "none"


# -- a series --------------------------------------------------------------------------------------------------------


def _series(results: Results, series: str) -> str:
    """How the cost of a request, the throughput and the memory move as one thing grows."""
    titles = sorted((title for title in results.scenarios if title.series == series), key=lambda title: title.x)
    names = list(dict.fromkeys(name for title in titles for name in results.servers(title.name)))
    heads = ["server", *(f"{title.x:,.0f}" for title in titles)]

    def table(what: str, cell: Callable[[list[Sample]], str]) -> str:
        def filled(name: str, title: Title) -> str:
            samples = _any_tool(results, title.name, name)
            return cell(samples) if samples else ""

        rows = [[name, *(filled(name, title) for title in titles)] for name in names]
        return f"{what}:\n\n" + markdown(heads, rows)

    return "\n\n".join([
        f"### {SERIES.get(series, series)}",
        table("Requests/s", lambda samples: _number(_median(samples, speed), 0)),
        table("CPU µs a request", lambda samples: _number(_median(samples, lambda sample: sample.cpu), 1)),
        table("Memory in MB at the peak", lambda samples: _number(_median(samples, lambda s: s.resident / 1e6), 0)),
    ])  # fmt: skip


def _any_tool(results: Results, scenario: str, server: str) -> list[Sample]:
    return results.of(scenario, server, "wrk") or results.of(scenario, server, "closed")


# -- around them -----------------------------------------------------------------------------------------------------


def _circumstances(results: Results) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    lines = [
        "### How this came about", "",
        f"{results.date}, {results.rounds} rounds of {results.seconds} s. Machine: {machine}.",
    ]  # fmt: skip
    if results.missing:
        lines += ["", "Not taking part: " + "; ".join(f"{name} ({why})" for name, why in results.missing.items()) + "."]
    if results.failed:
        lines += ["", "Left out where they failed: "
                  + "; ".join(f"{where} ({why})" for where, why in results.failed.items()) + "."]  # fmt: skip
    commands = [[name, results.versions.get(name, ""), f"`{text}`"] for name, text in results.commands.items()]
    called = [[title.name, f"`{title.command}`"] for title in results.scenarios]
    return "\n".join([
        *lines, "", markdown(["server", "version", "command"], commands), "", markdown(["scenario", "load"], called),
    ])  # fmt: skip


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


# -- the document ----------------------------------------------------------------------------------------------------


def insert(document: str, text: str, first: str = BEGIN, last: str = END) -> str:
    """The document with `text` between two markers. ValueError if they are not there."""
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"the markers {first} and {last} are not in the document")
    return f"{before}{first}\n\n{text.strip()}\n\n{last}{after}"


def publish(results: Results, document: Path = DOCUMENT, pictures: Path = PICTURES) -> None:
    """Tables and pictures into the document."""
    shown = "".join(
        f"![{label}]({path.relative_to(document.parent)})\n\n" for label, path in _draw(results, pictures)
    )
    document.write_text(insert(document.read_text("utf-8"), shown + tables(results)), "utf-8")


def _draw(results: Results, folder: Path) -> list[tuple[str, Path]]:
    try:
        from bench import plots
    except ImportError:
        print("without pictures: matplotlib is not installed here")
        return []
    return plots.draw(results, folder)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    publish(load(Path(sys.argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
