"""Measure WebSockets, store it in `bench/results/DATE-websockets.json`, and bring docs/benchmarks.md up to date."""

from __future__ import annotations

import sys

from bench.suite import run, tell
from bench.websockets.measure import QUICK, Plan, measure
from bench.websockets.report import tables
from bench.websockets.results import Results

if __name__ == "__main__":
    sys.exit(run("websockets", Results, lambda quick: measure(QUICK if quick else Plan(), tell), tables))
