"""What a comparison leaves behind, as it is stored in `bench/results/DATE.json`.

Samples are kept one by one: medians, spreads and ratios are made when they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import msgspec

R = TypeVar("R")


class Sample(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One run of one tool against one server.

    `cpu` is microseconds of processor time for each request; `resident` bytes at the peak, of which `grown` came with
    the run's connections; `counted` what the server says it answered (None: it does not count); `latency` and `lag` in
    milliseconds by share.
    """

    scenario: str
    server: str
    round: int
    tool: str
    rate: float
    requests: int
    cpu: float
    resident: int = 0
    grown: int = 0
    counted: int | None = None
    errors: dict[str, int] = {}
    latency: dict[str, float] = {}
    lag: dict[str, float] = {}
    idle_open: int = 0
    slow_cut: int = 0


def speed(sample: Sample) -> float:
    """Requests in a second of the clock."""
    return sample.rate


def thrift(sample: Sample) -> float:
    """Requests in a second of the processor: what a neighbour takes away does not count, nor does a second core."""
    return 1e6 / sample.cpu if sample.cpu else 0.0


class Title(msgspec.Struct, omit_defaults=True):
    """What the report has to know of a scenario; `command` is how its tool was called."""

    name: str
    title: str
    series: str = ""
    x: float = 0.0
    idle: int = 0
    command: str = ""


class Results(msgspec.Struct, kw_only=True):
    """`missing`: who did not take part and why; `failed`: "scenario server" -> why it was left out there."""

    date: str
    rounds: int
    seconds: int
    machine: dict[str, str]
    versions: dict[str, str]
    commands: dict[str, str]
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    scenarios: list[Title] = []
    samples: list[Sample] = []

    def of(self, scenario: str, server: str, tool: str) -> list[Sample]:
        """In the order of their rounds."""
        return [
            sample for sample in self.samples
            if sample.scenario == scenario and sample.server == server and sample.tool == tool
        ]  # fmt: skip

    def tools(self, scenario: str) -> list[str]:
        return list(dict.fromkeys(sample.tool for sample in self.samples if sample.scenario == scenario))

    def servers(self, scenario: str) -> list[str]:
        return list(dict.fromkeys(sample.server for sample in self.samples if sample.scenario == scenario))

    def ratio(
        self, scenario: str, server: str, base: str, tool: str = "wrk", *, value: Callable[[Sample], float] = speed
    ) -> float | None:
        """Speed of `server` to that of `base`: the median of the ratios within each round, because a machine that is
        slow for a while is slow for both.
        """
        bases = {sample.round: value(sample) for sample in self.of(scenario, base, tool)}
        ratios = [
            value(sample) / bases[sample.round]
            for sample in self.of(scenario, server, tool)
            if bases.get(sample.round)
        ]
        return median(ratios) if ratios else None


def load(path: Path) -> Results:
    """msgspec.ValidationError, with the field, for what is no result."""
    return load_as(path, Results)


def load_as(path: Path, kind: type[R]) -> R:
    """The same for results of another kind."""
    return msgspec.json.decode(path.read_bytes(), type=kind)


def store(results: object, path: Path) -> None:
    """Results of any kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def points(samples: list[Sample], share: str) -> list[float]:
    """One point of the latency curve, of each round that has it."""
    return [sample.latency[share] for sample in samples if share in sample.latency]


def middle(samples: list[Sample], share: str) -> float | None:
    """The median of `points`."""
    values = points(samples, share)
    return median(values) if values else None
