"""Throughput, by wrk: as many requests as a fixed number of connections can ask for.

wrk sends the next request when the last one is answered, so its latencies leave out what a slow answer held up
(coordinated omission); only its count is used here. Latencies come from `bench/load.py`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Final, NamedTuple

from bench.process import LOAD_CORE, bound_to

REPEATED: Final = ""
UNIQUE: Final = """
local n = 0
request = function()
  n = n + 1
  return wrk.format(nil, wrk.path .. "?n=" .. n)
end
"""
PIPELINED: Final = """
init = function()
  local all = {}
  for i = 1, 16 do all[i] = wrk.format() end
  batch = table.concat(all)
end
request = function() return batch end
"""
DEPTH: Final = 16
# One of many peers renews: the body changes, and with it who it is from.
SUBMIT: Final = """
wrk.method = "POST"
local bodies, n = {}, 0
for i = 0, 19 do
  bodies[i] = string.format('{"peer_id":"%08x","ip":"192.168.0.%d","port":9101,"channels":["class0"]}', i, i + 1)
end
request = function()
  n = (n + 1) % 20
  return wrk.format(nil, nil, nil, bodies[n])
end
"""


class Count(NamedTuple):
    """What wrk saw. `errors` is by kind, and empty when all was well."""

    requests: int
    rate: float
    errors: dict[str, int]


def run(
    url: str, connections: int, seconds: int, script: str = "", headers: Mapping[str, str] | None = None
) -> Count:
    """One run, on the load's core. wrk knows whole seconds only."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        if script:
            lua.write(script)
            lua.flush()
            command += ["-s", lua.name]
        ran = subprocess.run(
            [*command, url], capture_output=True, text=True, preexec_fn=bound_to((LOAD_CORE,)), timeout=seconds + 60
        )
    if ran.returncode:
        raise RuntimeError(f"wrk: {(ran.stderr or ran.stdout).strip()}")
    return parse(ran.stdout)


def parse(output: str) -> Count:
    """ValueError for what is no report of wrk."""
    total = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
    if total is None or rate is None:
        raise ValueError(f"this is no report of wrk:\n{output}")
    errors = {}
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if status:
        errors["status"] = int(status.group(1))
    broken = re.search(r"Socket errors: (.*)", output)
    if broken:
        errors |= {kind: int(count) for kind, count in re.findall(r"(\w+) (\d+)", broken.group(1)) if int(count)}
    return Count(int(total.group(1)), float(rate.group(1)), errors)
