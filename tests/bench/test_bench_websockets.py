"""The measurement of WebSockets, small: its parts run on real sockets, and what it says can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results import load_as, store
from bench.websockets import report
from bench.websockets.measure import Plan, measure
from bench.websockets.results import AWAKE, BUSY, ECHO, FAN_OUT, Memory, Results, Run, run_of

# aiohttp is only there where it is measured in earnest.
SMALL = Plan(
    servers=("reactor", "bare", "websockets"), rounds=1, seconds=0.05, room=5, under_way=3, pairs=3, idle=10, message=20
)


def test_every_part_runs_and_nothing_is_lost() -> None:
    lines: list[str] = []
    results = measure(SMALL, lines.append)
    assert [(run.scenario, run.who) for run in results.runs] == [
        (scenario, who) for scenario in (FAN_OUT, AWAKE, BUSY, ECHO) for who in SMALL.servers
    ]
    for run in results.runs:
        assert run.number >= 3 and run.cpu > 0
        assert 0 < run.p50 <= run.p99
        assert run.number % {BUSY: 15, ECHO: 1}.get(run.scenario, 5) == 0
    assert [one.who for one in results.memory] == list(SMALL.servers)
    assert len(lines) == len(results.runs) + len(results.memory)
    assert "The better of the others, websockets," in report.tables(results)


@pytest.fixture
def results() -> Results:
    runs = []
    # The machine is twice as slow in the second round: ratios do not notice.
    for number, slow in enumerate((1, 2, 1)):
        for scenario in (FAN_OUT, AWAKE, BUSY, ECHO):
            for who, cpu in (("reactor", 0.2), ("bare", 0.1), ("websockets", 0.8), ("aiohttp", 0.4)):
                runs.append(Run(scenario, who, number, 100_000, 1.0 * slow, cpu * slow, 1.0 * slow, 5.0 * slow))
    memory = [Memory("reactor", 1000, 1_000_000, 5_096_000), Memory("aiohttp", 1000, 1_000_000, 11_240_000)]
    return Results(
        date="2026-01-31", rounds=3, seconds=1.0, room=500, under_way=16, pairs=64, message=100,
        machine={"cores": "2"}, versions={"reactor": "", "aiohttp": "3"}, runs=runs, memory=memory,
    )  # fmt: skip


def test_results_come_back_as_they_were_stored(results: Results, tmp_path: Path) -> None:
    store(results, tmp_path / "sub" / "2026-01-31-websockets.json")
    assert load_as(tmp_path / "sub" / "2026-01-31-websockets.json", Results) == results


def test_the_cheapest_of_the_others_counts(results: Results) -> None:
    assert results.advantage(FAN_OUT) == ("aiohttp", [2.0, 2.0, 2.0])
    assert results.ratios(FAN_OUT, "reactor", "bare") == [2.0, 2.0, 2.0]


def test_a_run_counts_each_reader() -> None:
    run = run_of(FAN_OUT, "reactor", 0, [0.001 * number for number in range(1, 101)], 500, 2.0, 0.5)
    assert (run.number, run.rate, run.cost) == (50_000, 25_000, pytest.approx(10))
    assert (run.p50, run.p99) == (pytest.approx(50), pytest.approx(99))


def test_the_tables_have_medians_spreads_and_ratios(results: Results) -> None:
    text = report.tables(results)
    assert "| reactor | 100,000 (50,000–100,000) | 2.00 (2.00–4.00) | 2.00 (2.00–2.00) |" in text
    assert "aiohttp, takes 2.00 (2.00–2.00) times our processor time" in text
    assert "| aiohttp | 1,000 | 10.0 |" in text
