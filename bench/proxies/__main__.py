"""Compare proxies, store it in `bench/results/DATE-proxies.json`, and bring docs/benchmarks.md up to date."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench.process import LOAD_CORE, ROOT
from bench.proxies import report
from bench.proxies.measure import QUICK, Plan, measure
from bench.proxies.results import store


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.proxies", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a first look, printed only")
    parser.add_argument("--out", type=Path, help="write the result there, and leave the document alone")
    given = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    results = measure(QUICK if given.quick else Plan(), lambda line: print(line, flush=True))
    if given.out is not None or given.quick:
        path = given.out or ROOT / "artefacts" / "bench-proxies-quick.json"
        store(results, path)
        print("\n" + report.tables(results))
    else:
        path = ROOT / "bench" / "results" / f"{results.date}-proxies.json"
        store(results, path)
        report.publish(results)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
