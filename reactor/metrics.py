"""Numbers for who watches: counters, gauges, histograms, and the text in which Prometheus reads them.

    asked = metrics.counter("asked_total", "Questions.")          asked.add()
    ended = metrics.counters("ended_total", "How.", how=("won", "lost"))
    ended["won"].add()                                             unknown values are counted as "other"

Counting is an addition to an attribute; all work is done when somebody reads. What a label may say is declared with it,
so that no client can make a series of its own: a metric has MOST_SERIES at the most.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import inf, isnan
from typing import Any, Final, Generic, Protocol, TypeVar

from reactor.errors import ConfigError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES: Final = 1000
# Seconds, from what is in memory to what nobody waits for.
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OTHER: Final = "other"

_is_name = re.compile(r"[a-z][a-z0-9_]*").fullmatch
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]  # a suffix of the name, labels, value


class Metric(Protocol):
    """One series, or the few of a histogram."""

    def samples(self) -> Iterable[Sample]: ...


M = TypeVar("M", bound=Metric)


class Counter:
    """What only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """By what is not negative."""
        self.value += amount

    def samples(self) -> Iterable[Sample]:
        """One."""
        return [("", (), self.value)]


class Gauge:
    """What goes up and down: `set` it or `add` to it; or give `read`, which is asked instead each time."""

    __slots__ = ("_read", "value")

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self.value: float = 0
        self._read = read

    def set(self, value: float) -> None:
        """From now on it is `value`."""
        self.value = value

    def add(self, amount: float = 1) -> None:
        """By what may be negative."""
        self.value += amount

    def samples(self) -> Iterable[Sample]:
        """One."""
        return [("", (), self.value if self._read is None else self._read())]


class Histogram:
    """How often something was how large. `bounds` are the upper ends of its buckets, each included in its own."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count so many that were as large."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def samples(self) -> Iterable[Sample]:
        """The buckets, each with those below it, then sum and count."""
        total = 0
        for bound, count in zip((*self.bounds, inf), self.counts, strict=True):
            total += count
            yield "_bucket", (("le", number(bound)),), total
        yield "_sum", (), self.sum
        yield "_count", (), total


class Family(dict[Any, M], Generic[M]):
    """The series of one metric by their label: a text, or a tuple where there are several labels. A value that was not
    declared is "other".
    """

    def __init__(self, make: Callable[[], M], labels: Mapping[str, Sequence[str]]) -> None:
        self.labels = tuple(labels)
        self._known = [frozenset(values) for values in labels.values()]
        self._make = make
        super().__init__((key if len(key) > 1 else key[0], make()) for key in product(*labels.values()))

    def __missing__(self, key: Any) -> M:
        values = key if isinstance(key, tuple) else (key,)
        named = [value if value in known else OTHER for value, known in zip(values, self._known, strict=True)]
        place = tuple(named) if len(named) > 1 else named[0]
        if place not in self:
            self[place] = self._make()
        return self[place]

    def samples(self) -> Iterable[Sample]:
        """Those of all series."""
        for key, metric in self.items():
            values = key if isinstance(key, tuple) else (key,)
            labels = tuple(zip(self.labels, values, strict=True))
            for suffix, more, value in metric.samples():
                yield suffix, labels + more, value


class Read:
    """Series that are asked for each time: `read()` gives label -> number, a tuple for several labels."""

    def __init__(self, read: Callable[[], Mapping[Any, float]], labels: Sequence[str]) -> None:
        self._read = read
        self._labels = tuple(labels)

    def samples(self) -> Iterable[Sample]:
        """MOST_SERIES at the most; what is over that is left out."""
        for key, value in list(self._read().items())[:MOST_SERIES]:
            values = key if isinstance(key, tuple) else (key,)
            yield "", tuple(zip(self._labels, values, strict=True)), value


Keep = Callable[[str, Callable[[], Any]], Any]


class Metrics:
    """Metrics whose names begin with `prefix`. `keep(key, factory)` may give back what was counted under that key
    before a reload. ConfigError for a name or label that cannot be one, or is there already.
    """

    def __init__(self, prefix: str, keep: Keep = lambda key, factory: factory()) -> None:
        self.prefix = re.sub(r"[^a-z0-9]", "_", prefix.lower())
        self._keep = keep
        self._found: dict[str, tuple[str, str, Metric]] = {}  # kind, help, metric by full name

    def counter(self, name: str, help: str) -> Counter:  # noqa: A002 - the format's own word
        """What only grows. The name of a counter ends with `_total`."""
        return self._add("counter", name, help, Counter)

    def counters(self, name: str, help: str, **labels: Sequence[str]) -> Family[Counter]:  # noqa: A002
        """Counters by label; each label is given with all that it may say."""
        return self._add("counter", name, help, lambda: Family(Counter, labels), labels)

    def gauge(self, name: str, help: str, read: Callable[[], float] | None = None) -> Gauge:  # noqa: A002
        """What goes up and down; `read` is asked for it each time, if given."""
        if read is not None:
            return self._insert("gauge", name, help, Gauge(read))
        return self._add("gauge", name, help, Gauge)

    def gauges(self, name: str, help: str, read: Callable[[], Mapping[Any, float]], *labels: str) -> None:  # noqa: A002
        """Gauges that `read()` gives by label each time."""
        self._insert("gauge", name, help, Read(read, labels), labels)

    def histogram(self, name: str, help: str, buckets: Sequence[float] = SECONDS) -> Histogram:  # noqa: A002
        """How often something was how large; `buckets` are upper ends, growing. The name says the unit, a base one."""
        return self._add("histogram", name, help, lambda: Histogram(buckets), {"le": [str(b) for b in buckets]})

    def totals(self, name: str, help: str, read: Callable[[], Mapping[Any, float]], *labels: str) -> None:  # noqa: A002
        """Counters that are counted elsewhere, and that `read()` gives by label each time."""
        self._insert("counter", name, help, Read(read, labels), labels)

    def _add(
        self, kind: str, name: str, words: str, make: Callable[[], M], labels: Mapping[str, Sequence[str]] | None = None
    ) -> M:
        shape = sorted((label, tuple(values)) for label, values in (labels or {}).items())
        series = 1
        for _, values in shape:
            series *= len(values)
        if series > MOST_SERIES:
            raise ConfigError(f"the metric {name!r} would have {series} series; {MOST_SERIES} are allowed")
        metric: M = self._keep(f"metric {kind} {name} {shape}", make)
        return self._insert(kind, name, words, metric, [label for label, _ in shape if kind != "histogram"])

    def _insert(self, kind: str, name: str, words: str, metric: M, labels: Iterable[str] = ()) -> M:
        full = f"{self.prefix}_{name}"
        if not _is_name(name) or (kind == "counter") != name.endswith("_total"):
            words = "write requests_total for a counter, queue_length for others"
            raise ConfigError(f"no name for a {kind}: {name!r}; {words}")
        for label in labels:
            if not _is_name(label) or label == "le":
                raise ConfigError(f"the metric {name!r} has a label that cannot be one: {label!r}")
        if full in self._found:
            raise ConfigError(f"the metric {name!r} is declared twice")
        self._found[full] = kind, words, metric
        return metric

    def lines(self) -> Iterator[str]:
        """In the text format of Prometheus, version 0.0.4."""
        for name, (kind, words, metric) in self._found.items():
            yield f"# HELP {name} {words.translate(_HELP_ESCAPES)}\n"
            yield f"# TYPE {name} {kind}\n"
            for suffix, labels, value in metric.samples():
                yield f"{name}{suffix}{_braces(labels)} {number(value)}\n"


def _braces(labels: Labels) -> str:
    inside = ",".join(f'{name}="{value.translate(_VALUE_ESCAPES)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def number(value: float) -> str:
    """As the format has it: `3`, `0.25`, `+Inf`, `NaN`."""
    if isinstance(value, int):
        return str(int(value))
    if isnan(value):
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
