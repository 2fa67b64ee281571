"""The comparison: every server of a scenario is started, and they are measured in turn, round by round.

    python -m bench.compare quick|main|full [--only ok-64,close-64] [--among reactor,floor] [--rounds N] [--seconds S]

A B C A B C …: what slows the machine down for a while slows all of them down. All of a scenario's servers are up at the
same time, on the same core, and only one is asked. `main` and `full` write `bench/results/DATE.json` and bring
`docs/benchmarks.md` up to date; `quick` prints only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import report
from bench.contenders import BY_NAME as CONTENDERS
from bench.contenders import Contender, started
from bench.machine import machine
from bench.measure import answer_of, describe_tools, measure, pin, prepare
from bench.process import ROOT, Server
from bench.results import Results, Title, store
from bench.scenarios import BY_NAME, PROFILES, Scenario

RESULTS = ROOT / "bench" / "results"
PAUSE = 0.1  # seconds between two runs, for the system to put away what the last one left


class Comparison:
    """Fills `results` scenario by scenario; one that fails for a server goes on without that server."""

    def __init__(self, results: Results, present: Sequence[str]) -> None:
        self.results = results
        self._present = present

    def run(self, scenario: Scenario) -> None:
        names = [name for name in scenario.among if name in self._present]
        with ExitStack() as stack:
            running = self._start_all(stack, scenario, [CONTENDERS[name] for name in names])
            self.results.scenarios.append(
                Title(
                    scenario.name, scenario.title, scenario.series, scenario.x, scenario.idle, describe_tools(scenario)
                )
            )
            for number in range(self.results.rounds):
                for name, (server, cookie) in list(running.items()):
                    if not self._measure(scenario, CONTENDERS[name], server, cookie, number):
                        del running[name]

    def _start_all(
        self, stack: ExitStack, scenario: Scenario, contenders: Iterable[Contender]
    ) -> dict[str, tuple[Server, str]]:
        """Name -> server and cookies. The floor comes last, because it answers with as many bytes as the reactor."""
        running: dict[str, tuple[Server, str]] = {}
        able = [contender for contender in contenders if scenario.ask in contender.answers]
        length = 61
        for contender in sorted(able, key=lambda contender: contender.name == "floor"):
            try:
                server = stack.enter_context(
                    started(
                        contender, length=length, close=scenario.close, batch=scenario.batch,
                        accounts=scenario.accounts, cores=scenario.cores,
                    )
                )  # fmt: skip
                cookie = prepare(server, scenario) if contender.name in ("reactor", "threads") else ""
                size = _check(server, scenario, cookie)
                if contender.name == "reactor":
                    length = size or length
                running[contender.name] = server, cookie
            except (OSError, RuntimeError) as error:
                self._failed(scenario, contender, error)
        return {contender.name: running[contender.name] for contender in able if contender.name in running}

    def _measure(self, scenario: Scenario, contender: Contender, server: Server, cookie: str, number: int) -> bool:
        for tool in scenario.tools:
            try:
                time.sleep(PAUSE)
                sample = measure(scenario, tool, contender, server, number, self.results.seconds, cookie)
            except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
                self._failed(scenario, contender, error)
                return False
            self.results.samples.append(sample)
            errors = f"  errors: {sample.errors}" if sample.errors else ""
            where = f"{scenario.name:18} {number + 1}  {contender.name:14}"
            print(f"{where} {tool:6} {sample.rate:10.0f}/s{errors}", flush=True)
        return True

    def _failed(self, scenario: Scenario, contender: Contender, error: Exception) -> None:
        why = str(error).partition("\n")[0]
        self.results.failed[f"{scenario.name} {contender.name}"] = why
        print(f"{scenario.name:18}    {contender.name:14} left out: {why}", flush=True)


def _check(server: Server, scenario: Scenario, cookie: str) -> int:
    """Before anything is measured: the answer is a good one. Its size on the wire; 0 where it is no GET's."""
    if scenario.ask not in ("ok", "list", "page", "static"):
        return 0
    answer = answer_of(server, scenario, cookie)
    if answer.status != 200:
        raise RuntimeError(f"it answers {answer.status} to GET {scenario.path}")
    return answer.size


def _wrk_version() -> str:
    ran = subprocess.run(["wrk", "-v"], capture_output=True, text=True)
    words = (ran.stdout + ran.stderr).split()
    return words[1] if len(words) > 1 else ""


def find(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(name -> version, name -> why it is not here)."""
    versions, missing = {}, {}
    for name in names:
        version = CONTENDERS[name].find_version()
        if version:
            versions[name] = version
        else:
            missing[name] = "not installed here"
    return versions, missing


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("--only", help="these scenarios, with commas between", default="")
    parser.add_argument("--among", help="these servers, with commas between", default="")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--out", type=Path, help="write the result there, and leave the document alone")
    return parser.parse_args()


def _known(text: str, known: Iterable[str]) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}. Known are: {', '.join(known)}")
    return names


def main() -> int:
    given = _arguments()
    profile = PROFILES[given.profile]
    scenarios = [BY_NAME[name] for name in _known(given.only, BY_NAME)] or list(profile.scenarios)
    among = _known(given.among, CONTENDERS) or list(profile.among)
    if not shutil.which("wrk"):
        raise SystemExit("this needs wrk: apt-get install wrk")
    pin()
    versions, missing = find(among)
    for name, why in missing.items():
        print(f"without {name}: {why}")
    results = Results(
        date=time.strftime("%Y-%m-%d"), rounds=given.rounds or profile.rounds,
        seconds=given.seconds or profile.seconds, machine={**machine(), "wrk": _wrk_version()},
        versions=versions, missing=missing,
        commands={name: CONTENDERS[name].shown() for name in versions},
    )  # fmt: skip
    comparison = Comparison(results, list(versions))
    for scenario in scenarios:
        comparison.run(scenario)
    _publish(results, given.out, quick=given.profile == "quick")
    return 0


def _publish(results: Results, out: Path | None, *, quick: bool) -> None:
    if out is not None or quick:
        path = out or ROOT / "artefacts" / "bench-quick.json"
        store(results, path)
        print("\n" + report.tables(results))
    else:
        path = RESULTS / f"{results.date}.json"
        store(results, path)
        report.publish(results)
    print(f"written to {path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
