"""Compare proxies, store it in `bench/results/DATE-proxies.json`, and bring docs/benchmarks.md up to date."""

from __future__ import annotations

import sys

from bench.proxies.measure import QUICK, Plan, measure
from bench.proxies.report import tables
from bench.proxies.results import Results
from bench.suite import run, tell

if __name__ == "__main__":
    sys.exit(run("proxies", Results, lambda quick: measure(QUICK if quick else Plan(), tell), tables))
