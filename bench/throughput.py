"""The reactor against its floor: CPU time per request and requests per second, 64 kept connections, one core.

    python -m bench.throughput [--rounds 5] [--seconds 2]

Needs `wrk`. The two servers share one core and are measured in turn, round by round; what is printed are medians, and
ratios within a round. The floor sends as many bytes as the reactor does for the same request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from bench.process import LOAD_CORE, Server, floor, reactor

CONNECTIONS = 64
PEERS = 20

REPEATED = ""
UNIQUE = """
local n = 0
request = function()
  n = n + 1
  return wrk.format(nil, wrk.path .. "?n=" .. n)
end
"""
PIPELINED = """
init = function()
  local all = {}
  for i = 1, 16 do all[i] = wrk.format() end
  batch = table.concat(all)
end
request = function() return batch end
"""


@dataclass(frozen=True)
class Sample:
    requests_per_second: float
    cpu_microseconds: float  # per request


def measure(server: Server, path: str, script: str, cookie: str, seconds: int) -> Sample:
    """One run of wrk. Any answer that is no 200, and any broken connection, stops everything."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    if cookie:
        command += ["-H", f"Cookie: {cookie}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        if script:
            lua.write(script)
            lua.flush()
            command += ["-s", lua.name]
        before = server.cpu_seconds()
        output = subprocess.run([*command, server.url + path], capture_output=True, text=True, check=True).stdout
        used = server.cpu_seconds() - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrk saw errors at {path}:\n{output}")
    match = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", output)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
    if match is None or rate is None:
        raise SystemExit(f"wrk said something else:\n{output}")
    return Sample(float(rate.group(1)), used / int(match.group(1)) * 1e6)


def ask(server: Server, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> tuple[
    http.client.HTTPResponse, int
]:
    """One request; the response, and how many bytes it was on the wire."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, body or None, headers or {})
    response = connection.getresponse()
    size = len(response.read()) + sum(len(f"{name}: {value}\r\n") for name, value in response.getheaders()) + 19
    connection.close()
    return response, size


def prepare(server: Server) -> str:
    """Log in and register 20 peers; the cookies to send."""
    form = urlencode({"username": "admin", "password": "password"})
    response, _ = ask(server, "POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
    cookies = [value.partition(";")[0] for name, value in response.getheaders() if name.lower() == "set-cookie"]
    for number in range(PEERS):
        peer = {"peer_id": f"{number:08x}", "ip": f"192.168.1.{number + 1}", "port": 9101, "channels": ["lobby"]}
        ask(server, "POST", "/submit-info", json.dumps(peer))
    return "; ".join(cookies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the samples there too")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("this needs wrk: apt-get install wrk")
    results: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(reactor())
        cookie = prepare(ours)
        for path in ("/get-list", "/"):
            _, size = ask(ours, "GET", path, headers={"Cookie": cookie})
            bare = stack.enter_context(floor(size))
            results[path] = _compare(ours, bare, path, cookie, arguments.rounds, arguments.seconds)
    _print(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def _compare(
    ours: Server, bare: Server, path: str, cookie: str, rounds: int, seconds: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for _ in range(rounds):
        plain = 0.0
        for name, script in (("repeated heads", REPEATED), ("unique heads", UNIQUE)):
            base = measure(bare, path, script, cookie, seconds)
            sample = measure(ours, path, script, cookie, seconds)
            plain = plain or sample.cpu_microseconds
            note(f"{name}: requests/s", sample.requests_per_second)
            note(f"{name}: CPU us a request", sample.cpu_microseconds)
            note(f"{name}: floor's CPU us", base.cpu_microseconds)
            note(f"{name}: of the floor, by CPU", base.cpu_microseconds / sample.cpu_microseconds)
            note(f"{name}: of the floor, by requests/s", sample.requests_per_second / base.requests_per_second)
        sample = measure(ours, path, PIPELINED, cookie, seconds)
        note("16 pipelined: requests/s", sample.requests_per_second)
        note("16 pipelined: CPU us a request", sample.cpu_microseconds)
        note("16 pipelined: times plain, by CPU", plain / sample.cpu_microseconds)
    return found


def _print(results: dict[str, dict[str, list[float]]]) -> None:
    for path, found in results.items():
        print(f"\nGET {path}, {CONNECTIONS} connections: median (lowest - highest)")
        for name, values in found.items():
            print(f"  {name:44} {median(values):10.2f}  ({min(values):.2f} - {max(values):.2f})")


if __name__ == "__main__":
    main()
