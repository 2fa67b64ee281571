"""Counters and their kin, and the text that is made of them, read by a reader that knows nothing of the writer."""

from __future__ import annotations

import math

import pytest
from exposition import Exposition

from reactor.errors import ConfigError
from reactor.metrics import MOST_SERIES, Metrics, number


def read(metrics: Metrics) -> Exposition:
    return Exposition("".join(metrics.lines()))


def test_what_is_counted_is_read_again() -> None:
    metrics = Metrics("notes")
    asked = metrics.counter("asked_total", "Questions.")
    open_ = metrics.gauge("open", "Notes.")
    metrics.gauge("length", "Of the queue.", lambda: 7)
    asked.add()
    asked.add(2)
    open_.set(5)
    open_.add(-1.5)
    found = read(metrics)
    assert found.value("notes_asked_total") == 3
    assert found.value("notes_open") == 3.5
    assert found.value("notes_length") == 7
    assert [family.kind for family in found.families.values()] == ["counter", "gauge", "gauge"]


def test_a_bucket_holds_its_own_bound_and_all_below() -> None:
    metrics = Metrics("a")
    seconds = metrics.histogram("seconds", "Of something.", (0.1, 1.0))
    for value in (0.05, 0.1, 0.100001, 1.0, 30.0):
        seconds.observe(value)
    found = read(metrics)
    assert found.value("a_seconds", "_bucket", le="0.1") == 2
    assert found.value("a_seconds", "_bucket", le="1.0") == 4
    assert found.value("a_seconds", "_bucket", le="+Inf") == 5
    assert found.value("a_seconds", "_count") == 5
    assert found.value("a_seconds", "_sum") == pytest.approx(31.250001)


def test_a_label_says_only_what_was_declared() -> None:
    metrics = Metrics("a")
    ended = metrics.counters("ended_total", "How.", how=("won", "lost"), where=("here", "there"))
    ended["won", "here"].add()
    for number_ in range(5000):  # what a client sends makes no series
        ended[f"x{number_}", "there"].add()
    found = read(metrics)
    assert found.value("a_ended_total", how="won", where="here") == 1
    assert found.value("a_ended_total", how="lost", where="here") == 0
    assert found.value("a_ended_total", how="other", where="there") == 5000
    assert len(found.families["a_ended_total"].samples) == 5


def test_what_is_read_elsewhere_is_bounded_too() -> None:
    metrics = Metrics("a")
    metrics.gauges("size", "By name.", lambda: dict.fromkeys(map(str, range(MOST_SERIES + 10)), 1), "name")
    metrics.totals("sent_total", "By two.", lambda: {("a", "b"): 3}, "from", "to")
    found = read(metrics)
    assert len(found.families["a_size"].samples) == MOST_SERIES
    assert found.value("a_sent_total", **{"from": "a", "to": "b"}) == 3


def test_texts_are_escaped() -> None:
    metrics = Metrics("a")
    nasty = 'a "quoted" \\ path\nand a line'
    metrics.counters("odd_total", "Two\nlines \\ here.", what=(nasty,))[nasty].add()
    found = read(metrics)
    assert found.value("a_odd_total", what=nasty) == 1
    assert found.families["a_odd_total"].help == r"Two\nlines \\ here."


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (True, "1"), (0.25, "0.25"), (1e300, "1e+300"), (math.inf, "+Inf"), (-math.inf, "-Inf"),
     (math.nan, "NaN"), (1_795_395_303.5, "1795395303.5")],
)  # fmt: skip
def test_numbers_are_written_as_the_format_has_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_metric_that_cannot_be_is_refused() -> None:
    metrics = Metrics("My Notes-2")
    assert metrics.prefix == "my_notes_2"
    metrics.counter("asked_total", "Questions.")
    with pytest.raises(ConfigError, match="declared twice"):
        metrics.counter("asked_total", "Once more.")
    for make in (
        lambda: metrics.counter("asked", "No _total."),
        lambda: metrics.gauge("size_total", "No counter."),
        lambda: metrics.counter("Asked_total", "A capital."),
        lambda: metrics.counter("a-b_total", "A dash."),
        lambda: metrics.counters("c_total", "A label.", **{"a b": ("x",)}),
        lambda: metrics.gauges("g", "The format's own label.", dict, "le"),
    ):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(ConfigError, match="1600 series"):
        metrics.counters("many_total", "Too many.", a=[str(n) for n in range(40)], b=[str(n) for n in range(40)])
