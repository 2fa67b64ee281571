"""What a run leaves behind, as it is stored in `bench/results/DATE-peers.json`. Rounds are kept one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

import msgspec

from bench.latency import percentile

# The scenarios: sender and receivers in one process, one broadcast after the other; and a sender in a process of its
# own, as fast as it can, or at a given rate.
TOGETHER: Final = "together"
FULL: Final = "full"
PACED: Final = "paced"


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one sender in one round. A delivery is a message that one recipient has acknowledged; `cpu` and `seconds` are
    seconds, `p50` and `p99` milliseconds from when a broadcast was due until all had acknowledged it. `failed` are
    deliveries that never came.
    """

    deliveries: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    failed: int = 0

    @property
    def rate(self) -> float:
        return self.deliveries / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of processor time a delivery."""
        return self.cpu / max(1, self.deliveries) * 1e6


def figures(latencies: Sequence[float], links: int, seconds: float, cpu: float, failed: int = 0) -> Figures:
    """Of broadcasts to `links` recipients that took so many seconds each."""
    ordered = sorted(latencies) or [0.0]
    p50, p99 = (percentile(ordered, share) * 1e3 for share in (0.5, 0.99))
    return Figures(len(latencies) * links, seconds, cpu, p50, p99, failed)


class Mesh(msgspec.Struct, frozen=True):
    """How long it took until each of `nodes` had exactly one link with each other, and the processor time, by round."""

    nodes: int
    seconds: list[float] = []
    cpu: list[float] = []


class Run(msgspec.Struct, frozen=True):
    scenario: str
    who: str
    links: int
    round: int
    figures: Figures


class Memory(msgspec.Struct, frozen=True):
    """Resident bytes of a process that holds its ends of idle links, `before` these links were there and with them."""

    who: str
    links: int
    before: int
    resident: int

    @property
    def per_link(self) -> float:
        return (self.resident - self.before) / self.links


class Results(msgspec.Struct, kw_only=True):
    date: str
    rounds: int
    seconds: float
    window: int  # so many broadcasts under way at once in FULL
    pace: float  # deliveries a second in PACED
    machine: dict[str, str]
    frame: int = 0  # bytes of a message on the wire
    mesh: Mesh = Mesh(0)
    runs: list[Run] = []
    memory: list[Memory] = []

    def of(self, scenario: str, who: str, links: int) -> list[Figures]:
        """In the order of their rounds."""
        return [
            run.figures for run in self.runs
            if run.scenario == scenario and run.who == who and run.links == links
        ]  # fmt: skip

    def sizes(self, scenario: str) -> list[int]:
        return sorted({run.links for run in self.runs if run.scenario == scenario})

    def who(self, scenario: str) -> list[str]:
        return list(dict.fromkeys(run.who for run in self.runs if run.scenario == scenario))

    def ratio(
        self, scenario: str, who: str, base: str, links: int, value: Callable[[Figures], float]
    ) -> list[float]:
        """Round by round: a machine that is slow for a while is slow for both."""
        pairs = zip(self.of(scenario, who, links), self.of(scenario, base, links), strict=True)
        return [value(one) / value(other) for one, other in pairs if value(other)]

    def middle(self, scenario: str, who: str, links: int, value: Callable[[Figures], float]) -> float:
        """The median over the rounds."""
        return median(map(value, self.of(scenario, who, links)))
