"""The parts of the measurement: the proxy has one core, the load and the server behind have the other.

Rounds go through all proxies in turn, so that what slows a shared machine down for a while slows all of them down.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bench import wrk
from bench.competitors.nginx import write_config
from bench.machine import machine
from bench.measure import Peak
from bench.process import LOAD_CORE, ROOT, Server, bound_to, free_port, running
from bench.proxies.contenders import CONTENDERS, Contender
from bench.proxies.results import SAME, UNIQUE, Download, Latency, Load, Results, Streams

_SCRIPTS: Final = {SAME: wrk.REPEATED, UNIQUE: wrk.UNIQUE}
OPENING: Final = 15.0  # seconds in which all streams have to be begun
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """Times in seconds, sizes in bytes; `pace` is one that all of them can keep."""

    rounds: int = 3
    seconds: int = 2
    connections: int = 64
    pace: int = 1000
    streams: int = 1000
    download: int = 1 << 30


QUICK: Final = Plan(rounds=1, seconds=1, streams=100, download=1 << 26)


def measure(plan: Plan, tell: Tell) -> Results:
    """All of it. RuntimeError if the server behind or nginx fails; another proxy that does is named as missing."""
    results = Results(
        date=time.strftime("%Y-%m-%d"), rounds=plan.rounds, seconds=plan.seconds, connections=plan.connections,
        pace=plan.pace, machine=machine(),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _behind(folder, plan.download) as behind:
            contenders = [one for one in CONTENDERS if _is_there(one, folder, behind, results, tell)]
            for number in range(plan.rounds):
                _round(plan, contenders, folder, behind, number, results, tell)
            for one in contenders:
                _download(plan, one, folder, behind, results, tell)
        for one in contenders:
            _streams(plan, one, folder, results, tell)
    return results


@contextmanager
def _behind(folder: Path, size: int) -> Iterator[int]:
    """nginx, with a static answer and a large file."""
    files = folder / "files"
    files.mkdir()
    with (files / "large").open("wb") as file:
        file.truncate(size)
    port = free_port()
    write_config(folder, port, files)
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with running(command, port, (LOAD_CORE,)):
        yield port


def _is_there(one: Contender, folder: Path, behind: int, results: Results, tell: Tell) -> bool:
    try:
        if one.needs and shutil.which(one.needs, path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
            raise RuntimeError(f"{one.needs} is not installed")
        if one.module and importlib.util.find_spec(one.module) is None:
            raise RuntimeError(f"the module {one.module} is not installed")
        with started(one, folder, behind) as server:
            _expect_ok(server)
    except (RuntimeError, OSError) as error:
        results.missing[one.name] = str(error)
        tell(f"without {one.name}: {error}")
        return False
    results.versions[one.name] = _version(one)
    return True


def _version(one: Contender) -> str:
    if one.needs:
        said = subprocess.run([one.needs, "-v"], capture_output=True, text=True)
        words = (said.stdout + said.stderr).replace("/", " ").split()
        return next((word for word in words if word[:1].isdigit()), "")
    try:
        return version(one.name)
    except PackageNotFoundError:
        return ""


def _expect_ok(server: Server) -> None:
    """Two requests on one connection, as the load asks them."""
    with socket.create_connection(("127.0.0.1", server.port), 3) as client:
        for _ in range(2):
            client.sendall(f"GET /ok HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
            try:
                answer = client.recv(65536)
            except TimeoutError:
                raise RuntimeError("it does not answer a second request on a connection") from None
            if b" 200 " not in answer.partition(b"\r\n")[0]:
                raise RuntimeError(f"it does not pass a request on: {answer[:80]!r}")


@contextmanager
def started(one: Contender, folder: Path, behind: int) -> Iterator[Server]:
    port = free_port()
    with running(one.command(folder, port, behind), port) as server:
        yield server


# -- the parts -------------------------------------------------------------------------------------------------------


def _round(
    plan: Plan, contenders: list[Contender], folder: Path, behind: int, number: int, results: Results, tell: Tell
) -> None:
    results.latencies.append(_latency(plan, "", f"http://127.0.0.1:{behind}", number))
    for one in contenders:
        with started(one, folder, behind) as server:
            wrk.run(server.url + "/ok", plan.connections, 1)  # connections to the server behind are there then
            for scenario, script in _SCRIPTS.items():
                before = server.cpu_seconds()
                count = wrk.run(server.url + "/ok", plan.connections, plan.seconds, script)
                cpu = (server.cpu_seconds() - before) / max(1, count.requests) * 1e6
                results.loads.append(Load(one.name, scenario, number, count.rate, cpu, count.errors))
                tell(f"{number + 1}  {one.name:9} {scenario:7} {count.rate:8.0f}/s {cpu:7.1f} µs {count.errors or ''}")
            latency = _latency(plan, one.name, server.url, number)
        results.latencies.append(latency)
        tell(f"{number + 1}  {one.name:9} p50 {latency.p50:.2f} ms  p99 {latency.p99:.2f} ms {latency.errors or ''}")


def _latency(plan: Plan, name: str, url: str, number: int) -> Latency:
    command = [sys.executable, "-m", "bench.load", url + "/ok", "--connections", "16", "--rate", str(plan.pace),
               "--seconds", str(plan.seconds)]  # fmt: skip
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=bound_to((LOAD_CORE,)))
    if ran.returncode:
        raise RuntimeError(f"bench.load: {ran.stderr.strip()}")
    said = json.loads(ran.stdout)
    latency = said["latency"]
    return Latency(name, number, latency.get("0.5", 0.0), latency.get("0.99", 0.0), said["errors"])


def _download(plan: Plan, one: Contender, folder: Path, behind: int, results: Results, tell: Tell) -> None:
    with started(one, folder, behind) as server:
        before, began = server.cpu_seconds(), time.perf_counter()
        with Peak(server) as peak:
            command = ["curl", "-sf", "--noproxy", "*", "-o", "/dev/null", "-w", "%{size_download}",
                       server.url + "/files/large"]  # fmt: skip
            ran = subprocess.run(command, capture_output=True, text=True, preexec_fn=bound_to((LOAD_CORE,)))
        seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - before
    if ran.stdout != str(plan.download):
        results.missing[f"{one.name}, download"] = f"only {ran.stdout} bytes arrived"
        return
    results.downloads.append(Download(one.name, plan.download, seconds, cpu, peak.bytes - peak.before))
    tell(f"   {one.name:9} {plan.download / seconds / 2**20:8.0f} MiB/s, CPU {cpu:.2f} s")


def _streams(plan: Plan, one: Contender, folder: Path, results: Results, tell: Tell) -> None:
    behind = free_port()
    command = [sys.executable, "-m", "bench.proxies.streams", str(behind)]
    with running(command, behind, (LOAD_CORE,)), started(one, folder, behind) as server:
        before = server.resident()
        clients: list[socket.socket] = []
        try:
            while len(clients) < plan.streams:
                clients.append(_ask_for_stream(server.port))
            begun = time.monotonic()
            for number, client in enumerate(clients):
                client.settimeout(max(0.1, OPENING - (time.monotonic() - begun)))
                _wait_for_event(client, number)
            found = Streams(one.name, plan.streams, before, server.resident())
        except OSError as error:
            results.missing[f"{one.name}, streams"] = str(error)
            tell(f"   {one.name:9} {error}")
            return
        finally:
            for client in clients:
                client.close()
    results.streams.append(found)
    tell(f"   {one.name:9} {found.per_stream / 1e3:8.1f} KB a stream")


def _ask_for_stream(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), OPENING)
    client.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
    return client


def _wait_for_event(client: socket.socket, number: int) -> None:
    """Until the first event of the stream has come; OSError if it does not."""
    seen = b""
    while b"data: 1" not in seen:
        try:
            piece = client.recv(65536)
        except TimeoutError:
            piece = b""
        if not piece:
            raise OSError(f"only {number} streams were begun within {OPENING:g} s")
        seen += piece
