"""`bench/test_bench_*.py` under pytest-benchmark, against the stored baseline.

    python -m bench.micro            compare; the histogram goes to artefacts/
    python -m bench.micro --save     this run is the baseline from now on

The baseline keeps the figures and nothing of the machine but its kind of processor. Compare runs of one machine only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.process import ROOT, SERVER_CORE, bound_to

BASELINE = ROOT / "bench" / "results" / "micro-baseline.json"
ARTEFACTS = ROOT / "artefacts"
KEPT = ("min", "max", "mean", "stddev", "median", "iqr", "q1", "q3", "rounds", "iterations", "ops", "total",
        "outliers", "iqr_outliers", "stddev_outliers", "hd15iqr", "ld15iqr")  # fmt: skip


def trimmed(report: dict[str, Any]) -> dict[str, Any]:
    """A report of pytest-benchmark with what a comparison needs: neither single timings nor whose machine it was."""
    benchmarks = [
        {**{key: one[key] for key in ("group", "name", "fullname", "params", "param", "extra_info", "options")},
         "stats": {key: one["stats"][key] for key in KEPT}}
        for one in report["benchmarks"]
    ]  # fmt: skip
    machine = report["machine_info"]
    kept = {"python_version": machine["python_version"], "cpu": {"brand_raw": machine["cpu"].get("brand_raw", "")}}
    return {
        "machine_info": kept, "commit_info": {}, "benchmarks": benchmarks, "datetime": report["datetime"],
        "version": report["version"],
    }  # fmt: skip


def main() -> int:
    ARTEFACTS.mkdir(exist_ok=True)
    report = ARTEFACTS / "micro.json"
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "bench").glob("test_bench_*.py"))
    command = [
        sys.executable, "-m", "pytest", "-o", "filterwarnings=default", *files, "--benchmark-only",
        "--benchmark-sort=name", "--benchmark-columns=median,iqr,min,ops", "--benchmark-warmup=on",
        "--benchmark-max-time=0.5",
        f"--benchmark-json={report}", f"--benchmark-histogram={ARTEFACTS / 'micro'}",
    ]  # fmt: skip
    save = "--save" in sys.argv[1:]
    if BASELINE.exists() and not save:
        command.append(f"--benchmark-compare={BASELINE.relative_to(ROOT)}")
    status = subprocess.run(command, cwd=ROOT, preexec_fn=bound_to((SERVER_CORE,))).returncode
    if save and not status:
        BASELINE.parent.mkdir(parents=True, exist_ok=True)
        BASELINE.write_text(json.dumps(trimmed(json.loads(report.read_text())), indent=1) + "\n")
    _shorten(Path(report))
    return status


def _shorten(report: Path) -> None:
    """The raw report holds every timing: megabytes that nobody reads."""
    if report.exists():
        report.write_text(json.dumps(trimmed(json.loads(report.read_text())), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
