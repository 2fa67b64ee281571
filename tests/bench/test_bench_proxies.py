"""The comparison of proxies: what is stored comes back, and the tables say what it says."""

from __future__ import annotations

from pathlib import Path

from bench.proxies.contenders import CONTENDERS
from bench.proxies.report import tables
from bench.proxies.results import SAME, UNIQUE, Download, Latency, Load, Results, Streams
from bench.results import load_as, store


def sample() -> Results:
    results = Results(date="2026-01-31", rounds=2, seconds=2, connections=64, pace=1000, machine={"cores": "2"})
    for number, slow in enumerate((1.0, 2.0)):  # the machine was slow for a while, for both
        for scenario in (SAME, UNIQUE):
            results.loads.append(Load("nginx", scenario, number, 50_000 / slow, 20 * slow))
            results.loads.append(Load("reactor", scenario, number, 25_000 / slow, 40 * slow, {"read": 1}))
        results.latencies += [Latency("", number, 0.1, 1.0), Latency("nginx", number, 0.2, 1.5),
                              Latency("reactor", number, 0.3, 2.0)]  # fmt: skip
    results.streams.append(Streams("reactor", 1000, 20_000_000, 23_000_000))
    results.downloads.append(Download("reactor", 1 << 30, 2.0, 1.0, 400_000))
    results.missing["haproxy"] = "haproxy is not installed"
    return results


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    store(sample(), tmp_path / "results" / "one.json")
    assert load_as(tmp_path / "results" / "one.json", Results) == sample()


def test_ratios_are_made_within_a_round() -> None:
    assert sample().ratio("reactor", "nginx", SAME, lambda run: run.rate) == 0.5


def test_the_tables_say_what_was_measured() -> None:
    text = tables(sample())
    assert "| reactor | 18,750 | 0.50 | 60.0 | 0.50 | 2 |" in text
    assert "| reactor | 0.30 | 2.00 | 0.20 | 1.00 |" in text
    assert "| reactor | 3.0 | 512 | 1.00 | 0.4 |" in text and "| nginx | – | – | – | – |" in text
    assert "Without haproxy: haproxy is not installed." in text


def test_every_contender_has_a_command(tmp_path: Path) -> None:
    for one in CONTENDERS:
        command = one.command(tmp_path, 8080, 9000)
        written = " ".join([*command, *(path.read_text() for path in tmp_path.iterdir())])
        assert "8080" in written and "9000" in written, one.name
