"""The measurement: all servers run at once on one core, the clients on the other, and the servers take turns.

Rounds go A B C D A B C D, so that what slows a shared machine down for a while slows all of them down.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bench.machine import machine
from bench.process import Server, free_port, running
from bench.websockets.load import Crowd, client_frame, fan_out, open_socket
from bench.websockets.results import AWAKE, BASE, BUSY, ECHO, FAN_OUT, OURS, Memory, Results, Run, run_of

SERVERS: Final = (OURS, BASE, "websockets", "aiohttp")
WARM: Final = 50  # sockets that come and go before memory is weighed
SETTLE: Final = 0.3  # seconds


@dataclass(frozen=True)
class Plan:
    """Sizes and times."""

    servers: Sequence[str] = SERVERS
    rounds: int = 7
    seconds: float = 0.8
    room: int = 500
    under_way: int = 16
    pairs: int = 64
    idle: int = 1000
    message: int = 100  # bytes; under 126, so that its frame has the short header


QUICK: Final = Plan(rounds=3, seconds=0.4)


def measure(plan: Plan, tell: Callable[[str], object]) -> Results:
    """All of it. RuntimeError if a server does not do what it should."""
    results = Results(
        date=time.strftime("%Y-%m-%d"), rounds=plan.rounds, seconds=plan.seconds, room=plan.room,
        under_way=plan.under_way, pairs=plan.pairs, message=plan.message, machine=machine(),
        versions=_versions(plan.servers),
    )  # fmt: skip
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_start(name)) for name in plan.servers}
        for name, server in servers.items():
            memory = _weigh(name, server, plan.idle)
            results.memory.append(memory)
            tell(f"{name:10} {memory.each / 1024:8.1f} KiB an idle socket")
        _fan_out(plan, servers, results, tell)
        _echo(plan, servers, results, tell)
    return results


def _versions(servers: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in servers:
        try:
            found[name] = version(name) if name not in (OURS, BASE) else ""
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _start(name: str) -> AbstractContextManager[Server]:
    port = free_port()
    return running([sys.executable, "-m", "bench.websockets.servers", name, str(port)], port)


def _weigh(name: str, server: Server, sockets: int) -> Memory:
    """What is needed once is there before it is weighed."""
    with closing(Crowd(server.port, "/room", min(WARM, sockets))):
        pass
    time.sleep(SETTLE)
    before = server.resident()
    with closing(Crowd(server.port, "/room", sockets)):
        time.sleep(SETTLE)
        found = Memory(name, sockets, before, server.resident())
    time.sleep(SETTLE)
    return found


def _fan_out(plan: Plan, servers: dict[str, Server], results: Results, tell: Callable[[str], object]) -> None:
    frame, size = client_frame(bytes(plan.message)), plan.message + 2
    with ExitStack() as stack:
        rooms = {name: stack.enter_context(closing(Crowd(it.port, "/room", plan.room))) for name, it in servers.items()}
        speakers = {name: stack.enter_context(open_socket(it.port, "/say")) for name, it in servers.items()}

        def run(scenario: str, name: str) -> Sequence[float]:
            return fan_out(
                speakers[name], rooms[name], frame, size, time.perf_counter() + plan.seconds,
                awake=scenario == AWAKE, under_way=plan.under_way if scenario == BUSY else 1,
            )  # fmt: skip

        for number in range(plan.rounds):
            for scenario in (FAN_OUT, AWAKE, BUSY):
                for name, server in servers.items():
                    cpu, took = _timed(server, partial(run, scenario, name))
                    each = plan.room * (plan.under_way if scenario == BUSY else 1)
                    _note(results, tell, run_of(scenario, name, number, took, each, sum(took), cpu))


def _echo(plan: Plan, servers: dict[str, Server], results: Results, tell: Callable[[str], object]) -> None:
    frame, size = client_frame(bytes(plan.message)), plan.message + 2
    with ExitStack() as stack:
        crowds = {
            name: stack.enter_context(closing(Crowd(it.port, "/echo", plan.pairs))) for name, it in servers.items()
        }

        def run(name: str) -> Sequence[float]:
            return crowds[name].pass_back(frame, size, time.perf_counter() + plan.seconds)

        for number in range(plan.rounds):
            for name, server in servers.items():
                cpu, took = _timed(server, partial(run, name))
                _note(results, tell, run_of(ECHO, name, number, took, 1, plan.seconds, cpu))


def _timed(server: Server, work: Callable[[], Sequence[float]]) -> tuple[float, Sequence[float]]:
    """The seconds that the server has computed for it, and what it gives."""
    before = cpu_seconds(server)
    took = work()
    return cpu_seconds(server) - before, took


def _note(results: Results, tell: Callable[[str], object], run: Run) -> None:
    results.runs.append(run)
    tell(
        f"{run.scenario:15} {run.round + 1}  {run.who:10} {run.rate:9,.0f}/s {run.cost:7.2f} µs  p50 {run.p50:.2f} ms"
    )


def cpu_seconds(server: Server) -> float:
    """What the process has run, to the nanosecond where the system counts so."""
    try:
        return int(Path(f"/proc/{server.process.pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return server.cpu_seconds()
