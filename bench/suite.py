"""A benchmark with tables of its own: measure, store in `bench/results`, and bring docs/benchmarks.md up to date.

    python -m bench.NAME                all of it
    python -m bench.NAME --quick        a first look, printed only
    python -m bench.NAME --out FILE     written there, and the document left alone
    python -m bench.NAME --from FILE    the document anew, from what is stored
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.process import LOAD_CORE, ROOT
from bench.report import DOCUMENT, insert
from bench.results import load_as, store

R = TypeVar("R")


def run(name: str, kind: type[R], measure: Callable[[bool], R], tables: Callable[[R], str]) -> int:
    """The program. `kind` is what is stored, with a `date`; `measure(True)` is the first look."""
    given = _arguments(name)
    if given.stored is not None:
        publish(name, tables(load_as(given.stored, kind)))
        return 0
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        results = measure(given.quick)
    except KeyboardInterrupt:
        return 130
    if given.out is not None or given.quick:
        path = given.out or ROOT / "artefacts" / f"bench-{name}-quick.json"
        print("\n" + tables(results))
    else:
        path = ROOT / "bench" / "results" / f"{results.date}-{name}.json"  # type: ignore[attr-defined]
        publish(name, tables(results))
    store(results, path)
    print(f"written to {path}")
    return 0


def tell(line: object) -> None:
    """How it goes, at once."""
    print(line, flush=True)


def publish(name: str, text: str, document: Path = DOCUMENT) -> None:
    """The tables into the document, between their markers."""
    begin, end = markers(name)
    document.write_text(insert(document.read_text("utf-8"), text, begin, end), "utf-8")


def markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin (written by bench/{name}/report.py) -->", f"<!-- {name}: end -->"


def _arguments(name: str) -> Any:
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description="Measure, store it in bench/results, and write docs/benchmarks.md."
    )
    parser.add_argument("--quick", action="store_true", help="a first look, printed only")
    parser.add_argument("--out", type=Path, help="write the result there, and leave the document alone")
    parser.add_argument("--from", dest="stored", type=Path, help="write the document anew from a stored result")
    return parser.parse_args()
