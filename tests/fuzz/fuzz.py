"""`make fuzz`: every target on all processors, SECONDS for each (60); TARGET takes one only, SEED another beginning.

A failure is made small, written to tests/fuzz/found/, and tried again by the tests from then on: commit it with its
repair.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE)]

from fuzz_targets import TARGETS  # noqa: E402
from fuzzer import Failure, Fuzzer  # noqa: E402

FOUND = HERE / "found"


def fuzz(name: str) -> tuple[str, str, Failure | None]:
    """The target, what was done, and what was found."""
    (target,) = [one for one in TARGETS if one.name == name]
    fuzzer = Fuzzer(target, int(os.environ.get("SEED", "0")))
    failure = fuzzer.run(float(os.environ.get("SECONDS", "60")))
    return name, f"{fuzzer.runs:,} inputs, {fuzzer.steps} steps, {len(fuzzer.corpus)} kept", failure


def main() -> int:
    names = [target.name for target in TARGETS if os.environ.get("TARGET", target.name) == target.name]
    if not names:
        print(f"no such target: there are {', '.join(target.name for target in TARGETS)}", file=sys.stderr)
        return 2
    failed = False
    with multiprocessing.Pool() as pool:
        for name, done, failure in pool.imap_unordered(fuzz, names):
            print(f"{name}: {done}", flush=True)
            if failure is not None:
                failed = True
                FOUND.mkdir(exist_ok=True)
                path = FOUND / f"{name}-{zlib.crc32(failure.data):08x}"
                path.write_bytes(failure.data)
                print(f"  FAILED: {failure.error}\n  {failure.data[:200]!r}\n  kept as {path}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
