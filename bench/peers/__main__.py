"""Measure the peer, store it in `bench/results/DATE-peers.json`, and bring docs/benchmarks.md up to date."""

from __future__ import annotations

import sys

from bench.peers.measure import QUICK, Plan, measure
from bench.peers.report import tables
from bench.peers.results import Results
from bench.suite import run, tell

if __name__ == "__main__":
    sys.exit(run("peers", Results, lambda quick: measure(QUICK if quick else Plan(), tell), tables))
