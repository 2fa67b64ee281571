"""Many schedules on all processors: `make simulate`, or with SEED=N one of them with its log.

SCHEDULES says how many (10,000), FIRST where to begin, PROFILE (mesh, duel or storm) takes one kind only.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from itertools import islice
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE)]

from world import DUEL, MESH, STORM, Profile, World  # noqa: E402

PROFILES = {"mesh": MESH, "duel": DUEL, "storm": STORM}
# How they take turns; a storm costs as much as ten of the others.
TURNS = ("mesh",) * 14 + ("duel",) * 5 + ("storm",)
# After so many failures the rest would say the same.
MOST = 10


def world_of(seed: int, *, deep: bool = False) -> World:
    return World(seed, profile_of(seed), deep=deep)


def profile_of(seed: int) -> Profile:
    return PROFILES[os.environ.get("PROFILE", TURNS[seed % len(TURNS)])]


def wrong_with(seed: int) -> tuple[int, list[str]]:
    return seed, world_of(seed).run()


def report(seed: int, *, deep: bool = False) -> str:
    """What was done in this schedule, and what is wrong; "" if nothing is."""
    world = world_of(seed, deep=deep)
    wrong = world.run()
    if not wrong and not deep:
        return ""
    again = f"SEED={seed} make simulate"
    return "\n".join((f"schedule {seed} ({again}):", *world.log, *(f"WRONG: {words}" for words in wrong[:20])))


def main() -> int:
    if "SEED" in os.environ:
        words = report(int(os.environ["SEED"]), deep=True)
        print(words)
        return 1 if "\nWRONG: " in words else 0
    first, many = int(os.environ.get("FIRST", "0")), int(os.environ.get("SCHEDULES", "10000"))
    started = time.monotonic()
    with multiprocessing.Pool() as pool:
        results = pool.imap_unordered(wrong_with, range(first, first + many), chunksize=5)
        bad = list(islice(((seed, wrong) for seed, wrong in results if wrong), MOST))
    for seed, wrong in bad:
        print(f"schedule {seed}: {'; '.join(wrong[:3])}")
    if bad:
        print(report(bad[0][0]))
    done = f"stopped at {len(bad)} bad ones" if len(bad) == MOST else f"{len(bad)} bad"
    print(f"{many:,} schedules: {done}, {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
