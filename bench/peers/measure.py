"""The parts of the measurement put together: who runs on which core, and who comes when.

What is measured has one core and its far ends the other. Rounds go A B A B, so that what slows a shared machine down
for a while slows both down; a part that is all in one process takes turns inside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bench.machine import machine
from bench.peers.part import times
from bench.peers.results import FULL, PACED, TOGETHER, Figures, Memory, Mesh, Results, Run
from bench.process import LOAD_CORE, ROOT, SERVER_CORE, bound_to

SENDERS: Final = ("node", "threads")
FIRST_LINKS: Final = 10  # what a process needs only once is there before links are weighed
SETTLE: Final = 0.2  # seconds, for what the run before leaves to be done


@dataclass(frozen=True)
class Plan:
    """Sizes and times. `window` and `pace` are those of Results; both senders can keep the pace."""

    rounds: int = 5
    seconds: float = 2.0
    mesh: int = 30
    together: Sequence[int] = (10, 30, 100)
    apart: Sequence[int] = (2, 30, 100)
    idle: Sequence[int] = (100, 300, 1000)
    window: int = 16
    pace: float = 4000.0


QUICK: Final = Plan(rounds=2, seconds=0.5, mesh=10, together=(10, 30), apart=(2, 30), idle=(100,))


def measure(plan: Plan, tell: Callable[[str], object]) -> Results:
    """All of it. RuntimeError if a part fails."""
    results = Results(
        date=time.strftime("%Y-%m-%d"), rounds=plan.rounds, seconds=plan.seconds, window=plan.window, pace=plan.pace,
        machine=machine(),
    )  # fmt: skip
    results.mesh = _mesh(plan)
    tell(f"a mesh of {plan.mesh}: {', '.join(f'{seconds:.3f}' for seconds in results.mesh.seconds)} s")
    note = _Notes(results, tell)
    for links in plan.together:
        _together(plan, links, note)
    for links in plan.apart:
        _apart(plan, links, note)
    for who in SENDERS:
        for memory in _idle(plan, who):
            results.memory.append(memory)
            tell(f"idle      {memory.links:4} links     {who:8} {memory.per_link / 1e3:8.1f} KB a link")
    return results


class _Notes:
    def __init__(self, results: Results, tell: Callable[[str], object]) -> None:
        self.results = results
        self._tell = tell

    def __call__(self, scenario: str, who: str, links: int, number: int, answer: Any) -> None:
        figures = msgspec.convert(answer, Figures)
        self.results.runs.append(Run(scenario, who, links, number, figures))
        failed = f"  failed {figures.failed}" if figures.failed else ""
        self._tell(
            f"{scenario:9} {links:4} links  {number + 1}  {who:8} {figures.rate:8.0f}/s {figures.cost:7.1f} µs"
            f"  p50 {figures.p50:.2f} ms  p99 {figures.p99:.2f} ms{failed}"
        )


# -- the parts -------------------------------------------------------------------------------------------------------


def _mesh(plan: Plan) -> Mesh:
    found = Mesh(plan.mesh)
    for _ in range(plan.rounds):
        with part(SERVER_CORE, "part", "mesh", plan.mesh) as process:
            answer = process.hear()
        found.seconds.append(answer["seconds"])
        found.cpu.append(answer["cpu"])
    return found


def _together(plan: Plan, links: int, note: _Notes) -> None:
    with part(SERVER_CORE, "part", "together", links, plan.seconds, plan.rounds) as process:
        note.results.frame = process.hear()["frame"]
        for number in range(plan.rounds):
            for who, answer in process.hear().items():
                note(TOGETHER, who, links, number, answer)


def _apart(plan: Plan, links: int, note: _Notes) -> None:
    with ExitStack() as stack:
        senders = {who: stack.enter_context(_sender(who)) for who in SENDERS}
        for sender in senders.values():
            sender.link(links)
            sender.ask(FULL, plan.seconds / 4, plan.window)
        for number in range(plan.rounds):
            for who, sender in senders.items():
                time.sleep(SETTLE)
                note(FULL, who, links, number, sender.ask(FULL, plan.seconds, plan.window))
            for who, sender in senders.items():
                time.sleep(SETTLE)
                note(PACED, who, links, number, sender.pace(plan.seconds, plan.pace / links))


def _idle(plan: Plan, who: str) -> Iterator[Memory]:
    with _sender(who) as sender:
        before = sender.link(FIRST_LINKS)
        for links in plan.idle:
            yield Memory(who, links, before, sender.link(FIRST_LINKS + links))


# -- processes -------------------------------------------------------------------------------------------------------


class Part:
    """A process that answers in lines of JSON. RuntimeError if it ends instead."""

    def __init__(self, process: subprocess.Popen[str], what: str) -> None:
        self._process = process
        self._what = what

    def ask(self, *words: object) -> Any:
        self.tell(*words)
        return self.hear()

    def tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def press(self) -> None:
        """A single byte, for a part that is doing what it was told."""
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), b".")

    def hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"`{self._what}` ended with status {self._process.wait()}")
        return msgspec.json.decode(line)


@contextmanager
def part(core: int, module: str, *words: object) -> Iterator[Part]:
    """A process on a core, with `bench.peers.MODULE` in it, until the end of the block."""
    command = [sys.executable, "-m", f"bench.peers.{module}", *map(str, words)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=bound_to((core,))
    )
    with process:
        try:
            yield Part(process, " ".join(command[1:]))
        finally:
            process.kill()


class _Sender:
    """A sender, and the process with the far ends of its links."""

    def __init__(self, sender: Part, sinks: Part) -> None:
        self._sender = sender
        self._sinks = sinks
        self._port = sender.hear()["port"]
        self.ask = sender.ask

    def pace(self, seconds: float, rate: float) -> Any:
        """`rate` broadcasts a second. They are asked for from here, as no timer of the sender may take part."""
        number, begin = max(1, int(seconds * rate)), time.perf_counter() + SETTLE
        self._sender.tell("paced", number, rate, begin)
        for due in times(number, rate, begin):
            time.sleep(max(0.0, due - time.perf_counter()))
            self._sender.press()
        return self._sender.hear()

    def link(self, links: int) -> int:
        """To so many in all; how many bytes are resident then."""
        self._sinks.ask(self._port, links)
        resident: int = self.ask("links", links)["resident"]
        return resident


@contextmanager
def _sender(who: str) -> Iterator[_Sender]:
    with part(SERVER_CORE, "part", who) as sender, part(LOAD_CORE, "sinks") as sinks:
        yield _Sender(sender, sinks)
