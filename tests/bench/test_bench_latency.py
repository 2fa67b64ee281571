"""The arithmetic of percentiles, and what the report makes of samples."""

from __future__ import annotations

import random

import pytest

from bench.latency import curve, percentile


def test_the_median_of_one_is_that_one() -> None:
    assert percentile([7.0], 0.5) == 7.0


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.01, 1), (0.07, 7), (0.25, 25), (0.5, 50), (0.29, 29), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_a_percentile_of_1_to_100_is_its_own_number(share: float, wanted: int) -> None:
    assert percentile([float(number) for number in range(1, 101)], share) == wanted


def test_at_least_the_share_is_not_above_and_no_smaller_value_would_do() -> None:
    source = random.Random(1)
    for _ in range(200):
        values = sorted(source.choice([1.0, 2.0, 3.0, source.random()]) for _ in range(source.randint(1, 60)))
        share = source.choice([0.1, 0.5, 0.9, 0.99, source.uniform(0.001, 1)])
        found = percentile(values, share)
        assert sum(value <= found for value in values) >= share * len(values) - 1e-9
        assert sum(value < found for value in values) < share * len(values)


def test_nothing_has_no_percentile_and_a_share_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)
    for share in (0.0, -0.1, 1.1):
        with pytest.raises(ValueError, match="share"):
            percentile([1.0], share)


def test_a_curve_leaves_out_what_so_few_values_cannot_tell() -> None:
    assert curve([]) == {}
    assert curve([3.0, 1.0]) == {"0.25": 1.0, "0.5": 1.0, "1": 3.0}
    points = curve([float(number) for number in range(1000)])
    assert "0.999" in points and "0.9999" not in points
    assert points["1"] == 999.0
