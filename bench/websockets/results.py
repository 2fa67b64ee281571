"""What a run leaves behind, as it is stored in `bench/results/DATE-websockets.json`. Rounds are kept one by one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

from bench.latency import percentile

# The scenarios: a message to a room whose people look later, or wait for it; many at once; and one back and forth.
FAN_OUT: Final = "fan-out"
AWAKE: Final = "fan-out, awake"
BUSY: Final = "fan-out, busy"
ECHO: Final = "echo"
BASE: Final = "bare"
OURS: Final = "reactor"


class Run(msgspec.Struct, frozen=True):
    """One server in one round: `number` messages that arrived, in `seconds` of the clock and `cpu` of its processor.
    The latencies are milliseconds, of a whole fan-out or a round trip.
    """

    scenario: str
    who: str
    round: int
    number: int
    seconds: float
    cpu: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.number / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of the server's processor for a message."""
        return self.cpu / max(1, self.number) * 1e6


def run_of(scenario: str, who: str, round_: int, took: Sequence[float], each: int, seconds: float, cpu: float) -> Run:
    """Of latencies in seconds, each of `each` messages."""
    ordered = sorted(took)
    p50, p99 = (percentile(ordered, share) * 1e3 for share in (0.5, 0.99))
    return Run(scenario, who, round_, len(took) * each, seconds, cpu, p50, p99)


class Memory(msgspec.Struct, frozen=True):
    """Resident bytes of a server before and with its idle sockets."""

    who: str
    sockets: int
    before: int
    resident: int

    @property
    def each(self) -> float:
        return (self.resident - self.before) / self.sockets


class Results(msgspec.Struct, kw_only=True):
    date: str
    rounds: int
    seconds: float
    room: int
    under_way: int  # messages at once to a busy room
    pairs: int  # of the echo
    message: int  # bytes
    machine: dict[str, str]
    versions: dict[str, str]
    runs: list[Run] = []
    memory: list[Memory] = []

    def of(self, scenario: str, who: str) -> list[Run]:
        """In the order of their rounds."""
        return [run for run in self.runs if run.scenario == scenario and run.who == who]

    def servers(self) -> list[str]:
        return list(dict.fromkeys(run.who for run in self.runs))

    def ratios(self, scenario: str, who: str, base: str) -> list[float]:
        """How many times the processor time of `base`, round by round: a machine that is slow is slow for both."""
        pairs = zip(self.of(scenario, who), self.of(scenario, base), strict=True)
        return [one.cost / other.cost for one, other in pairs if other.cost]

    def advantage(self, scenario: str) -> tuple[str, list[float]]:
        """The cheapest of the other servers, and how many times ours it costs."""
        others = [who for who in self.servers() if who not in (OURS, BASE)]
        best = min(others, key=lambda who: median(self.ratios(scenario, who, OURS)))
        return best, self.ratios(scenario, best, OURS)
