"""Fuzzing that is led by coverage: an input that reaches a new step from line to line is kept, and changed further.

    seeds -> corpus -> one of it, changed -> target -> new steps? into the corpus
                                                   -> an exception, or too slow? a failure, made as small as possible

A target is a function of bytes that raises for what must not be. Steps are counted in the modules that it names, by
Python's own tracing: some thousands of inputs a second, which finds in minutes what a table has forgotten.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from types import FrameType, ModuleType
from typing import Any

LONGEST = 4096
# An input of so few bytes must never take so long; where it does, something is quadratic or worse.
SLOW_SECONDS = 1.0

Step = tuple[int, int, int]  # code, line before, line


@dataclass(frozen=True)
class Target:
    """`run(data)` raises for a defect. `seeds` are inputs to begin with, `tokens` what is often worth putting in."""

    name: str
    run: Callable[[bytes], object]
    modules: Sequence[ModuleType]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()


@dataclass(frozen=True)
class Failure:
    data: bytes
    error: str


class Coverage:
    """Runs a function and says which steps it took in some modules."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        self._files = {module.__file__ for module in modules}
        self._steps: set[Step] = set()
        self._lines: dict[int, int] = {}

    def of(self, function: Callable[[bytes], object], data: bytes) -> set[Step]:
        """Raises what the function raises; its steps are lost then."""
        self._steps, self._lines = set(), {}
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            function(data)
        finally:
            sys.settrace(before)
        return self._steps

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._stepped if frame.f_code.co_filename in self._files else None

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            code, line = id(frame.f_code), frame.f_lineno
            self._steps.add((code, self._lines.get(code, 0), line))
            self._lines[code] = line
        return self._stepped


class Fuzzer:
    """`corpus` are the inputs that each reach something that none before it has."""

    def __init__(self, target: Target, seed: int = 0) -> None:
        self.target = target
        self.corpus: list[bytes] = []
        self.runs = 0
        self._coverage = Coverage(target.modules)
        self._seen: set[Step] = set()
        self._chance = Random(seed)

    def run(self, seconds: float, runs: int = sys.maxsize) -> Failure | None:
        """For so long, or so many inputs; the first failure."""
        end = time.monotonic() + seconds
        waiting = list(self.target.seeds)
        while self.runs < runs and time.monotonic() < end:
            data = waiting.pop() if waiting else self._changed()
            error = self._try(data)
            if error:
                return Failure(self._smallest(data, error), error)
        return None

    @property
    def steps(self) -> int:
        return len(self._seen)

    def _try(self, data: bytes) -> str:
        """What is wrong; "" if nothing is."""
        self.runs += 1
        started = time.process_time()
        try:
            steps = self._coverage.of(self.target.run, data)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if time.process_time() - started > SLOW_SECONDS:
            return f"took longer than {SLOW_SECONDS:g} s"
        if not steps <= self._seen:
            self._seen |= steps
            self.corpus.append(data)
        return ""

    def _smallest(self, data: bytes, error: str, tries: int = 300) -> bytes:
        """Without what is not needed to fail alike."""
        kind, size = error.partition(":")[0], max(1, len(data) // 2)
        while size and tries:
            for at in range(0, len(data), size):
                tries -= 1
                shorter = data[:at] + data[at + size :]
                if self._try(shorter).partition(":")[0] == kind:
                    data = shorter
                    break
                if not tries:
                    break
            else:
                size //= 2
        return data

    # -- changing an input -------------------------------------------------------------------------------------------

    def _changed(self) -> bytes:
        chance = self._chance
        data = bytearray(chance.choice(self.corpus or [b""]))
        for _ in range(1 << chance.randrange(4)):
            chance.choice(_CHANGES)(self, data)
        return bytes(data[:LONGEST])

    def _place(self, data: bytearray) -> int:
        return self._chance.randrange(len(data) + 1)

    def _span(self, data: bytearray) -> slice:
        start = self._place(data)
        return slice(start, min(len(data), start + 1 + int(self._chance.expovariate(0.1))))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self._chance.randrange(len(data))] = self._chance.choice(b"\0\t\n\r \"%,/0:;=[\\]{}\x7f\x80\xff09aZ")

    def _remove(self, data: bytearray) -> None:
        del data[self._span(data)]

    def _repeat(self, data: bytearray) -> None:
        piece = data[self._span(data)]
        at = self._place(data)
        data[at:at] = piece * self._chance.choice((1, 1, 2, 20))

    def _insert(self, data: bytearray) -> None:
        at = self._place(data)
        data[at:at] = self._chance.choice(self.target.tokens or (b"\r\n",))

    def _splice(self, data: bytearray) -> None:
        """The rest of another one."""
        other = self._chance.choice(self.corpus or [b""])
        data[self._place(data) :] = other[self._chance.randrange(len(other) + 1) :]

    def _count(self, data: bytearray) -> None:
        """Another number where there is one."""
        digits = [at for at, byte in enumerate(data) if 0x30 <= byte <= 0x39]
        if digits:
            at = self._chance.choice(digits)
            data[at : at + 1] = self._chance.choice((b"0", b"1", b"9", b"10", b"255", b"65536", b"4294967296", b"-1"))


_CHANGES: tuple[Callable[[Fuzzer, bytearray], None], ...] = (
    Fuzzer._flip, Fuzzer._set, Fuzzer._remove, Fuzzer._repeat, Fuzzer._insert, Fuzzer._insert, Fuzzer._splice,
    Fuzzer._count,
)  # fmt: skip
