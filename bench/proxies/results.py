"""What a run leaves behind, as it is stored in `bench/results/DATE-proxies.json`. Rounds are kept one by one."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec

SAME: Final = "same"  # every request is the one before
UNIQUE: Final = "unique"  # no request is


class Load(msgspec.Struct, frozen=True, omit_defaults=True):
    """`cpu` are microseconds of processor time a request; `errors` by kind."""

    proxy: str
    scenario: str
    round: int
    rate: float
    cpu: float
    errors: dict[str, int] = {}


class Latency(msgspec.Struct, frozen=True, omit_defaults=True):
    """Milliseconds at a fixed rate; `proxy` is "" for the server behind, asked directly."""

    proxy: str
    round: int
    p50: float
    p99: float
    errors: dict[str, int] = {}


class Streams(msgspec.Struct, frozen=True):
    """Resident bytes before so many streams were open, and with them."""

    proxy: str
    streams: int
    before: int
    resident: int

    @property
    def per_stream(self) -> float:
        return (self.resident - self.before) / self.streams


class Download(msgspec.Struct, frozen=True):
    """Seconds, processor time of the proxy, and the largest growth of its resident bytes, for one large file."""

    proxy: str
    size: int
    seconds: float
    cpu: float
    growth: int


class Results(msgspec.Struct, kw_only=True):
    date: str
    rounds: int
    seconds: int
    connections: int
    pace: int  # requests a second of the latencies
    machine: dict[str, str]
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    loads: list[Load] = []
    latencies: list[Latency] = []
    streams: list[Streams] = []
    downloads: list[Download] = []

    @property
    def proxies(self) -> list[str]:
        return list(dict.fromkeys(load.proxy for load in self.loads))

    def of(self, proxy: str, scenario: str) -> list[Load]:
        """In the order of their rounds."""
        return [load for load in self.loads if load.proxy == proxy and load.scenario == scenario]

    def ratio(self, proxy: str, base: str, scenario: str, value: Callable[[Load], float]) -> float:
        """The median of the rounds' ratios: a machine that is slow for a while is slow for both."""
        pairs = zip(self.of(proxy, scenario), self.of(base, scenario), strict=True)
        found = [value(one) / value(other) for one, other in pairs if value(other)]
        return median(found) if found else 0.0
