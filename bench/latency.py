"""Percentiles by nearest rank: every figure is a latency that some request really had, and none is interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

# The points of a latency curve, as shares of all requests.
CURVE: Final = (0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that at least `share` of them do not exceed. ValueError if there is none."""
    if not ordered:
        raise ValueError("no percentile of nothing")
    if not 0 < share <= 1:
        raise ValueError(f"{share} is not a share of the whole")
    # The product is rounded first: 0.07 * 100 is a little more than 7, and its rank is 7.
    return ordered[max(0, ceil(round(share * len(ordered), 9)) - 1)]


def curve(values: Sequence[float]) -> dict[str, float]:
    """Share (as text, for JSON) -> latency, with the largest as "1"; shares that so few values cannot tell are left
    out: the 99.9th percentile of 100 requests is just the slowest of them.
    """
    ordered = sorted(values)
    points = {f"{share:g}": percentile(ordered, share) for share in CURVE if len(ordered) * (1 - share) >= 0.999}
    return {**points, "1": ordered[-1]} if ordered else {}
