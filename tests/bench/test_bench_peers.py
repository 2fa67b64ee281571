"""The measurement of the peer, small: every part of it runs, on real sockets, and what it says can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import report
from bench.peers.measure import Plan, measure
from bench.peers.results import FULL, PACED, TOGETHER, Figures, Memory, Mesh, Results, Run, figures
from bench.results import load_as, store
from bench.suite import markers, publish

SMALL = Plan(rounds=1, seconds=0.1, mesh=4, together=(3,), apart=(2,), idle=(5,), window=4, pace=200.0)


def test_every_part_runs_and_nothing_is_lost() -> None:
    lines: list[str] = []
    results = measure(SMALL, lines.append)
    assert results.mesh.nodes == 4 and 0 < results.mesh.seconds[0] < 10
    assert [(run.scenario, run.who, run.links) for run in results.runs] == [
        (TOGETHER, "node", 3), (TOGETHER, "bare", 3),
        (FULL, "node", 2), (FULL, "threads", 2), (PACED, "node", 2), (PACED, "threads", 2),
    ]  # fmt: skip
    for run in results.runs:
        assert not run.figures.failed
        assert run.figures.deliveries % run.links == 0
        assert 0 < run.figures.p50 <= run.figures.p99
        assert run.figures.cpu > 0
    # 0.1 s at 200 a second are 20 deliveries: 10 broadcasts to two.
    assert [run.figures.deliveries for run in results.runs if run.scenario == PACED] == [20, 20]
    assert [(one.who, one.links) for one in results.memory] == [("node", 5), ("threads", 5)]
    assert len(lines) == 1 + len(results.runs) + len(results.memory)
    assert 200 < results.frame < 400


@pytest.fixture
def results() -> Results:
    runs = []
    # The machine is twice as slow in the second round: ratios do not notice.
    for number, slow in enumerate((1, 2, 1)):
        for scenario, who, cpu in ((TOGETHER, "node", 0.5), (TOGETHER, "bare", 0.1), (FULL, "node", 0.3),
                                   (FULL, "threads", 0.6), (PACED, "node", 0.1), (PACED, "threads", 0.2)):  # fmt: skip
            runs.append(Run(scenario, who, 30, number, Figures(10_000 // slow, 1.0, cpu, 1.0 * slow, 5.0 * slow)))
    memory = [Memory("node", 100, 1_000_000, 1_500_000), Memory("threads", 100, 1_000_000, 3_500_000)]
    return Results(
        date="2026-01-31", rounds=3, seconds=1.0, window=16, pace=4000.0, machine={"cores": "2"}, frame=259,
        mesh=Mesh(30, [0.2, 0.4, 0.3], [0.1, 0.1, 0.1]), runs=runs, memory=memory,
    )  # fmt: skip


def test_results_come_back_as_they_were_stored(results: Results, tmp_path: Path) -> None:
    store(results, tmp_path / "sub" / "2026-01-31-peers.json")
    assert load_as(tmp_path / "sub" / "2026-01-31-peers.json", Results) == results


def test_figures_are_of_whole_broadcasts() -> None:
    found = figures([0.001 * number for number in range(1, 101)], 30, 2.0, 0.3)
    assert (found.deliveries, found.rate, found.cost) == (3000, 1500, pytest.approx(100))
    assert (found.p50, found.p99) == (pytest.approx(50), pytest.approx(99))


def test_the_report_has_medians_spreads_and_ratios_within_a_round(results: Results) -> None:
    text = report.tables(results)
    for row in (
        "| 30 | 435 | 0.30 (0.20–0.40) | 0.10 (0.10–0.10) |",
        "| 30 | 10,000 (5,000–10,000) | 50.0 (50.0–100.0) | 10.0 (10.0–20.0) | 5.0 (5.0–5.0) | 1.00 (1.00–2.00) ",
        "| 30 | threads | 10,000 (5,000–10,000) | 60.0 (60.0–120.0) | 20.0 (20.0–40.0) | 1.00 (1.00–2.00) | 5.00 (5.0",
        "| 100 | 5.0 | 25.0 |",
    ):
        assert row in text


def test_the_document_is_rewritten_between_the_markers_of_its_own(results: Results, tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    begin, end = markers("peers")
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    publish("peers", report.tables(results), document)
    text = document.read_text()
    assert text.startswith(f"before\n{begin}\n\n### ") and text.endswith(f"{end}\nafter\n")
    assert "old" not in text
    publish("peers", report.tables(results), document)
    assert document.read_text() == text
