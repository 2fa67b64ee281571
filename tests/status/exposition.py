"""A reader of Prometheus' text format 0.0.4, strict: whatever the format does not allow is an AssertionError.

Written from the description of the format, not from what we write.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
_VALUE = r'"((?:[^"\\\n]|\\["\\n])*)"'
_sample = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_pair = re.compile(rf"({_LABEL})={_VALUE}(?:,|$)")
_number = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|Inf)|NaN")

Labels = frozenset[tuple[str, str]]


class Family(NamedTuple):
    kind: str
    help: str
    samples: dict[tuple[str, Labels], float]


class Exposition:
    """What was read. `value("name", label="text")` is one sample's."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Family] = {}
        assert text.endswith("\n") and "\r" not in text
        lines = text.split("\n")[:-1]
        while lines:
            self._read_family(lines)
        for name, family in self.families.items():
            if family.kind == "histogram":
                self._check_histogram(name, family)

    def _read_family(self, lines: list[str]) -> None:
        help_line = re.fullmatch(rf"# HELP ({_NAME}) ((?:[^\\]|\\[\\n])*)", lines.pop(0))
        assert help_line is not None
        name = help_line[1]
        kind_line = re.fullmatch(rf"# TYPE {name} (counter|gauge|histogram)", lines.pop(0))
        assert kind_line is not None, f"{name} has no type behind its help"
        assert name not in self.families, f"{name} is there twice"
        kind = kind_line[1]
        assert (kind == "counter") == name.endswith("_total")
        samples: dict[tuple[str, Labels], float] = {}
        while lines and not lines[0].startswith("#"):
            line = lines.pop(0)
            found = _sample.fullmatch(line)
            assert found is not None, line
            suffix = found[1].removeprefix(name)
            assert found[1].startswith(name), f"{line} is not of {name}"
            assert suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",)), line
            key = suffix, self._labels(found[2] or "")
            assert key not in samples, f"{line} is there twice"
            assert _number.fullmatch(found[3]), line
            samples[key] = float(found[3].replace("Inf", "inf"))
        self.families[name] = Family(kind, help_line[2], samples)

    @staticmethod
    def _labels(text: str) -> Labels:
        found, at = {}, 0
        while at < len(text):
            match = _pair.match(text, at)
            assert match is not None, text
            assert match[1] not in found, text
            value = re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), match[2])
            found[match[1]], at = value, match.end()
        return frozenset(found.items())

    @staticmethod
    def _check_histogram(name: str, family: Family) -> None:
        buckets = sorted((float(dict(labels)["le"].replace("Inf", "inf")), value)
                         for (suffix, labels), value in family.samples.items() if suffix == "_bucket")  # fmt: skip
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), f"the buckets of {name} do not hold those below them"
        assert buckets[-1][0] == float("inf") and counts[-1] == family.samples["_count", frozenset()]
        assert ("_sum", frozenset()) in family.samples

    def value(self, name: str, suffix: str = "", /, **labels: str) -> float:
        """Of one sample; KeyError without it."""
        return self.families[name].samples[suffix, frozenset(labels.items())]
