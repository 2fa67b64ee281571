"""The machine that figures are of."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """What the figures depend on, and nothing that tells whose machine it is."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model or platform.machine(), "cores": str(os.cpu_count()), "memory": f"{memory:.0f} GiB",
        "kernel": platform.release().partition("-")[0], "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }  # fmt: skip
