"""Results are stored, read and rendered; the tables of scenarios and contenders agree with each other."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench import floor, micro, report, wrk
from bench.contenders import BY_NAME as CONTENDERS
from bench.contenders import Kind
from bench.measure import describe_tools
from bench.results import Results, Sample, Title, load, store
from bench.scenarios import EVERYTHING, PROFILES


def sample(server: str, number: int, rate: float, tool: str = "wrk", scenario: str = "ok-64", **more: object) -> Sample:
    return msgspec.convert(
        {"scenario": scenario, "server": server, "round": number, "tool": tool, "rate": rate, "requests": 1000,
         "cpu": 1e6 / rate, "resident": 50_000_000, **more},
        Sample,
    )  # fmt: skip


@pytest.fixture
def results() -> Results:
    samples = []
    # The machine is twice as slow in the second round: ratios do not notice.
    for number, speed in enumerate((1.0, 0.5, 1.0)):
        samples += [
            sample("reactor", number, 80_000 * speed, errors={"count": 2} if number == 0 else {}),
            sample("floor", number, 100_000 * speed),
            sample("reactor", number, 2000, "rate", lag={"0.99": 0.01},
                   latency={"0.5": 0.1, "0.99": 0.5 + number, "1": 9.0}),
        ]
        samples += [sample("reactor", number, 10_000, "closed", f"connections-{x}") for x in (10, 1000)]
    return Results(
        date="2026-01-31", rounds=3, seconds=1, machine={"cores": "2"}, versions={"reactor": "1", "floor": "2"},
        commands={"reactor": "python -m reactor", "floor": "python -m bench.floor"},
        missing={"bjoern": "not installed here"}, failed={"ok-64 nginx": "it ended"},
        scenarios=[
            Title("ok-64", "Keep-alive, 64 connections", command="wrk -c64"),
            Title("connections-10", "10", "connections", 10), Title("connections-1000", "1,000", "connections", 1000),
        ],
        samples=samples,
    )  # fmt: skip


def test_results_come_back_as_they_were_stored(results: Results, tmp_path: Path) -> None:
    store(results, tmp_path / "sub" / "2026-01-31.json")
    assert load(tmp_path / "sub" / "2026-01-31.json") == results


def test_a_result_that_is_none_says_which_field(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"date": 1}')
    with pytest.raises(msgspec.ValidationError, match="date"):
        load(tmp_path / "bad.json")


def test_ratios_are_made_within_a_round(results: Results) -> None:
    assert results.ratio("ok-64", "reactor", "floor") == pytest.approx(0.8)
    assert results.ratio("ok-64", "reactor", "nobody") is None


def test_the_report_has_medians_spread_ratios_latency_and_errors(results: Results) -> None:
    text = report.tables(results)
    row = next(line for line in text.splitlines() if line.startswith("| reactor | 80"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "reactor", "80,000 (40,000–80,000)", "0.80", "0.80", "12.5", "50", "0.10 (0.10)", "1.50 (0.50)", "",
        "0.01", "count 2",
    ]  # fmt: skip
    assert text.index("| floor | 100,000") < text.index("| reactor | 80,000")
    assert "bjoern (not installed here)" in text and "ok-64 nginx (it ended)" in text
    for words in ("As connections grow", "2026-01-31", "wrk -c64"):
        assert words in text


def test_what_people_wrote_around_the_markers_stays(results: Results, tmp_path: Path) -> None:
    document = tmp_path / "docs" / "benchmarks.md"
    document.parent.mkdir()
    document.write_text(f"# Mine\n\nbefore\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    for _ in range(2):
        report.publish(results, document, tmp_path / "docs" / "images")
    text = document.read_text()
    assert text.startswith("# Mine\n\nbefore\n\n" + report.BEGIN) and text.endswith(report.END + "\n\nafter\n")
    assert "old" not in text and text.count("| floor | 100,000") == 1
    with pytest.raises(ValueError, match="markers"):
        report.insert("nothing here", "text")


def test_the_real_document_has_the_markers() -> None:
    assert report.insert(report.DOCUMENT.read_text("utf-8"), "x").count("\nx\n") == 1


def test_pictures_are_drawn_where_matplotlib_is(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench import plots

    drawn = plots.draw(results, tmp_path)
    assert len(drawn) >= 3
    assert all(path.read_text().startswith("<?xml") for _, path in drawn)


def test_wrk_is_understood_and_its_errors_are_counted() -> None:
    text = (
        "Running 1s test @ http://127.0.0.1:8000/ok\n  Socket errors: connect 0, read 3, write 0, timeout 1\n"
        "  Non-2xx or 3xx responses: 7\n  120593 requests in 1.10s, 12.54MB read\nRequests/sec: 109511.43\n"
    )
    assert wrk.parse(text) == (120593, 109511.43, {"status": 7, "read": 3, "timeout": 1})
    assert wrk.parse("  5 requests in 1.00s, 1MB read\nRequests/sec:   5.00\n") == (5, 5.0, {})
    with pytest.raises(ValueError, match="no report"):
        wrk.parse("usage: wrk")


def test_the_floors_answer_has_the_length_that_was_asked_for() -> None:
    for length in (80, 130, 5000):
        for close in (False, True):
            answer = floor.answer(length + 20, close=close)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert len(answer) == length + 20
            assert int(head.rpartition(b" ")[2]) == len(body)
    with pytest.raises(SystemExit):
        floor.answer(10)


def test_every_scenario_names_contenders_that_exist_and_one_that_can_answer() -> None:
    assert len({scenario.name for scenario in EVERYTHING}) == len(EVERYTHING)
    for scenario in EVERYTHING:
        assert set(scenario.among) <= set(CONTENDERS), scenario.name
        assert any(scenario.ask in CONTENDERS[name].answers for name in scenario.among), scenario.name
        assert set(scenario.tools) <= {"wrk", "rate", "closed"}
        assert (scenario.rate > 0) is ("rate" in scenario.tools), scenario.name
        assert describe_tools(scenario)


def test_every_other_server_is_asked_in_the_main_profile() -> None:
    for scenario in PROFILES["main"].scenarios:
        assert set(scenario.among) == set(CONTENDERS)
    assert PROFILES["main"].rounds >= 5 and PROFILES["full"].rounds >= 5


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_command_for_the_record_tells_nothing_of_this_machine(name: str) -> None:
    contender = CONTENDERS[name]
    assert not any(word.startswith(("/home", "/root", "/usr", "/work")) for word in contender.shown().split())
    assert contender.kind is not Kind.PYTHON or "1" in contender.shown() or "bench.competitors" in contender.shown()


def test_the_stored_baseline_names_no_machine_and_keeps_no_timings() -> None:
    if micro.BASELINE.exists():
        stored = json.loads(micro.BASELINE.read_text())
        assert set(stored["machine_info"]) == {"python_version", "cpu"}
        assert all("data" not in one["stats"] for one in stored["benchmarks"])
        assert micro.BASELINE.stat().st_size < 100_000
