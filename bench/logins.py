"""What everybody else notices of wrong logins: the latency of `GET /get-list`, alone and while somebody guesses.

    python -m bench.logins [--quick]

Two guessers, each with 100 wrong logins a second: one tries ever new names, so that each guess is hashed as far as the
hash thread gets; the other one name, and is told to wait. The server has all cores, the guesser is a process of its
own, and who measures asks at a steady pace and counts from when a request was due. The order is quiet, guessing, quiet,
so that a machine that becomes slower is seen. Results go to `bench/results/DATE-logins.json`, with --quick to
`artefacts`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from bench.latency import percentile
from bench.machine import machine
from bench.process import CORES, ROOT, free_port, running

QUIET: Final = "quiet"
MANY_NAMES: Final = "many names"
ONE_NAME: Final = "one name"
PHASES: Final = (QUIET, MANY_NAMES, QUIET, ONE_NAME, QUIET)

GUESSES: Final = 100  # a second
GUESSERS: Final = 25  # connections; a guess takes up to a fifth of a second
PACE: Final = 200  # requests a second of who measures: few, so that they do not wait for each other
WARM_UP: Final = 0.5


class Phase(msgspec.Struct, frozen=True):
    """Milliseconds; `guesses` has how often a guess was answered with which status."""

    name: str
    requests: int
    p50: float
    p99: float
    worst: float
    guesses: dict[str, int] = {}


class Results(msgspec.Struct, frozen=True):
    date: str
    seconds: float  # of a phase
    machine: dict[str, str]
    phases: list[Phase]

    def ratio(self, name: str) -> float:
        """The p99 of a phase beside the mean of the quiet ones around it."""
        index = [phase.name for phase in self.phases].index(name)
        around = self.phases[index - 1].p99 + self.phases[index + 1].p99
        return 2 * self.phases[index].p99 / around


def measure(seconds: float, say: Callable[[str], object] = lambda line: None) -> Results:
    """Start a server, and go through the phases."""
    with TemporaryDirectory() as directory:
        port = free_port()
        config = Path(directory) / "config.ini"
        config.write_text(
            f"[server]\nlisten = 127.0.0.1:{port}\n[plugin:auth]\nindex = {ROOT}/www/index.html\n[plugin:tracker]\n"
        )
        with running([sys.executable, "-m", "reactor", "-c", str(config)], port, CORES):
            phases = []
            for name in PHASES:
                phases.append(_phase(name, port, seconds))
                say(describe(phases[-1]))
    return Results(time.strftime("%Y-%m-%d"), seconds, machine(), phases)


def _phase(name: str, port: int, seconds: float) -> Phase:
    if name == QUIET:
        return _figures(name, probe(port, seconds), {})
    with guessing(port, name, seconds + 2 * WARM_UP) as guessers:
        time.sleep(WARM_UP)
        latencies = probe(port, seconds)
        answered = msgspec.json.decode(guessers.communicate(timeout=seconds + 30)[0], type=dict[str, int])
    return _figures(name, latencies, answered)


def _figures(name: str, latencies: list[float], guesses: dict[str, int]) -> Phase:
    ordered = [value * 1e3 for value in sorted(latencies)]
    return Phase(name, len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1], guesses)


def probe(port: int, seconds: float) -> list[float]:
    """Latencies of `GET /get-list`, from when each was due."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    latencies = []
    begin = time.perf_counter()
    for number in range(int(seconds * PACE)):
        due = begin + number / PACE
        time.sleep(max(0.0, due - time.perf_counter()))
        connection.request("GET", "/get-list")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"/get-list was answered with {answer.status}")
        latencies.append(time.perf_counter() - due)
    connection.close()
    return latencies


# -- who guesses -----------------------------------------------------------------------------------------------------


@contextmanager
def guessing(port: int, name: str, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process that guesses for so long, and then prints how it was answered."""
    command = [sys.executable, "-m", "bench.logins", "--guess", name, "--port", str(port), "--seconds", str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def guess(port: int, name: str, seconds: float) -> Counter[str]:
    """GUESSES wrong logins a second; how they were answered."""
    answered: Counter[str] = Counter()
    begin = time.perf_counter()

    def work(first: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(first, int(seconds * GUESSES), GUESSERS):
            time.sleep(max(0.0, begin + number / GUESSES - time.perf_counter()))
            user = f"{os.getpid()}-{number}" if name == MANY_NAMES else "admin"
            try:
                connection.request("POST", "/login", f"username={user}&password=x", {"Accept": "application/json"})
                answer = connection.getresponse()
                answer.read()
                answered[str(answer.status)] += 1
            except (OSError, HTTPException) as error:
                answered[type(error).__name__] += 1
                connection.close()
        connection.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(GUESSERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


# -- the program -----------------------------------------------------------------------------------------------------


def describe(phase: Phase) -> str:
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(phase.guesses.items()))
    line = f"{phase.name:11}  p50 {phase.p50:6.2f} ms  p99 {phase.p99:6.2f} ms  worst {phase.worst:6.1f} ms"
    return f"{line}  guesses: {answers}" if answers else line


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.logins", description="What others notice of wrong logins.")
    parser.add_argument("--quick", action="store_true", help="a first look, into artefacts")
    parser.add_argument("--seconds", type=float, default=0.0, help="of each phase (20; 3 with --quick)")
    parser.add_argument("--guess", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.guess:
        print(msgspec.json.encode(guess(given.port, given.guess, given.seconds)).decode())
        return 0
    results = measure(given.seconds or (3.0 if given.quick else 20.0), lambda line: print(line, flush=True))
    for name in (MANY_NAMES, ONE_NAME):
        print(f"p99 of /get-list while somebody guesses, {name}: {results.ratio(name):.2f} times the quiet one")
    path = ROOT / ("artefacts/logins-quick.json" if given.quick else f"bench/results/{results.date}-logins.json")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
