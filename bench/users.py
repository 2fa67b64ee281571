"""`make load`: the users of `locustfile.py` against the reactor and then against the thread-per-connection reference.

    python -m bench.users [--users 30] [--seconds 10] [--locust PATH]

Prints what locust counted for each, and leaves its pages in artefacts/. The status is 1 if any answer was wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.contenders import BY_NAME, started
from bench.process import LOAD_CORE, ROOT, bound_to

ARTEFACTS = ROOT / "artefacts"


def visit(name: str, locust: str, users: int, seconds: int) -> bool:
    """Whether every answer was as it should be."""
    with started(BY_NAME[name]) as server:
        command = [
            locust, "-f", str(ROOT / "locustfile.py"), "--headless", "--host", server.url, "--only-summary",
            # Not all at once: hashing their passwords takes 20 ms each, and over 18 waiting is a 503.
            "--users", str(users), "--spawn-rate", str(max(1, users // 3)),
            "--run-time", f"{seconds}s", "--stop-timeout", "5",
            "--html", str(ARTEFACTS / f"load-{name}.html"), "--loglevel", "WARNING",
        ]  # fmt: skip
        print(f"\n== {name} ==", flush=True)
        # Requests go to loopback, whatever proxy the environment names for others.
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        ran = subprocess.run(command, cwd=ROOT, env=environment, preexec_fn=bound_to((LOAD_CORE,)))
    return ran.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.users", description=__doc__)
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--locust", default=str(ROOT / ".venv-load" / "bin" / "locust"), type=str)
    given = parser.parse_args()
    if not shutil.which(given.locust):
        raise SystemExit(f"there is no {Path(given.locust).name}: run `make load`, which installs it")
    ARTEFACTS.mkdir(exist_ok=True)
    good = [visit(name, given.locust, given.users, given.seconds) for name in ("reactor", "threads")]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
