"""One run of one tool against one server, with what the operating system and the server itself say about it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from bench import wrk
from bench.answers import LIST, OK, peers
from bench.contenders import PASSWORD, Contender
from bench.load import READY
from bench.process import LOAD_CORE, ROOT, Server, bound_to
from bench.results import Sample
from bench.scenarios import FORM, Scenario


class Answered:
    """An answer as http.client has it, and how many bytes it was on the wire."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read()
        fields = sum(len(f"{name}: {value}\r\n") for name, value in self.headers)
        self.size = len(f"HTTP/1.1 {response.status} {response.reason}\r\n\r\n") + fields + len(self.body)


class Visitor:
    """A client for what comes before and after a run. Not for measuring."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask(self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Answered:
        self._connection.request(method, path, body or None, headers or {})
        return Answered(self._connection.getresponse())

    def close(self) -> None:
        self._connection.close()


@contextmanager
def visiting(server: Server) -> Iterator[Visitor]:
    visitor = Visitor(server)
    try:
        yield visitor
    finally:
        visitor.close()


def prepare(server: Server, scenario: Scenario) -> str:
    """Register the peers and log in, where the scenario needs it; the cookies to send. RuntimeError if refused."""
    with visiting(server) as visitor:
        if scenario.ask in ("list", "submit"):
            for peer in peers(scenario.peers):
                _expect(visitor.ask("POST", "/submit-info", json.dumps(peer)), scenario)
        if scenario.ask != "page":
            return ""
        form = urlencode({"username": "admin", "password": PASSWORD})
        answer = visitor.ask("POST", "/login", form, dict([FORM]))
        _expect(answer, scenario)
        return "; ".join(value.partition(";")[0] for name, value in answer.headers if name.lower() == "set-cookie")


def _expect(answer: Answered, scenario: Scenario) -> None:
    if answer.status != 200:
        raise RuntimeError(f"{scenario.name}: {answer.status} {answer.body[:200]!r}")


def answer_of(server: Server, scenario: Scenario, cookie: str) -> Answered:
    """What the scenario's GET is answered with."""
    headers = {"Cookie": cookie} if cookie else {}
    if scenario.close:
        headers["Connection"] = "close"
    with visiting(server) as visitor:
        return visitor.ask("GET", scenario.path, headers=headers)


def requests_of(server: Server) -> int:
    """What the server's own counter says; of nginx it is the third number of `stub_status`."""
    with visiting(server) as visitor:
        words = visitor.ask("GET", "/count").body.split()
    return int(words[0]) if len(words) == 1 else int(words[words.index(b"requests") + 3])


class Peak:
    """The largest resident memory while it is watched."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.bytes = server.resident()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self.bytes = max(self.bytes, self._server.resident())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()


def measure(
    scenario: Scenario, tool: str, contender: Contender, server: Server, number: int, seconds: int, cookie: str
) -> Sample:
    """Run `tool` for `seconds`. The sample's errors name whatever was not as it should be, the count included."""
    count = contender.counts and tool == "wrk"
    counted = requests_of(server) if count else 0
    with Peak(server) as peak:
        cpu = server.cpu_seconds()
        if tool == "wrk":
            sample = _wrk(scenario, server, seconds, cookie)
            used = server.cpu_seconds() - cpu
        else:
            sample, used = _load(scenario, tool, contender, server, seconds, cookie)
    sample.scenario, sample.server, sample.round, sample.tool = scenario.name, contender.name, number, tool
    sample.cpu = used / max(1, sample.requests) * 1e6
    sample.resident, sample.grown = peak.bytes, peak.bytes - peak.before
    if count:
        sample.counted = requests_of(server) - counted - 1  # less the first question itself
        more = sample.counted - sample.requests
        if not 0 <= more <= scenario.connections * scenario.batch:  # what was under way when wrk stopped
            sample.errors["count"] = more
    return sample


def _sample(requests: int, rate: float, errors: dict[str, int]) -> Sample:
    return Sample(scenario="", server="", round=0, tool="", rate=rate, requests=requests, cpu=0.0, errors=errors)


def _headers(scenario: Scenario, cookie: str) -> dict[str, str]:
    headers = {"Cookie": cookie} if cookie else {}
    if scenario.close:
        headers["Connection"] = "close"
    if scenario.header:
        headers.update([scenario.header])
    return headers


def _wrk(scenario: Scenario, server: Server, seconds: int, cookie: str) -> Sample:
    url = server.url + scenario.path
    return _sample(*wrk.run(url, scenario.connections, seconds, scenario.script, _headers(scenario, cookie)))


def _load(
    scenario: Scenario, tool: str, contender: Contender, server: Server, seconds: int, cookie: str
) -> tuple[Sample, float]:
    """The sample, and the processor time that the server used while all connections were open."""
    command = [*load_command(scenario, tool), "--seconds", str(seconds)]
    command[3:3] = [server.url + scenario.path]
    for name, value in _headers(scenario, cookie).items():
        command += ["--header", f"{name}: {value}"]
    with tempfile.NamedTemporaryFile() as body:
        wanted = {"ok": OK, "list": LIST if scenario.peers == 20 else None}.get(scenario.ask)
        if wanted is not None and contender.name != "floor":
            body.write(wanted)
            body.flush()
            command += ["--expect-file", body.name]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            preexec_fn=bound_to((LOAD_CORE,)),
        ) as load:  # fmt: skip
            assert load.stderr is not None
            first = load.stderr.readline().strip()
            cpu = server.cpu_seconds()
            load.stderr.readline()
            cpu = server.cpu_seconds() - cpu
            output, complaint = load.communicate(timeout=seconds + 120)
    if load.returncode or first != READY:
        raise RuntimeError(f"the load generator failed: {complaint.strip().rpartition(chr(10))[2] or first}")
    said = json.loads(output)
    sample = _sample(said["answered"], said["rate"], said["errors"])
    sample.latency, sample.lag = said["latency"], said["lag"]
    sample.idle_open, sample.slow_cut = said["idle_open"], said["slow_cut"]
    return sample, cpu


def load_command(scenario: Scenario, tool: str) -> list[str]:
    """How the load generator is called, less the address, the time and what has to be kept secret."""
    command = [sys.executable, "-m", "bench.load", "--connections", str(scenario.connections)]
    options = {
        "--rate": scenario.rate if tool == "rate" else 0, "--idle": scenario.idle, "--slow": scenario.slow,
        "--body-size": scenario.body_size, "--vary": scenario.vary if scenario.vary > 1 else 0,
    }  # fmt: skip
    for name, value in options.items():
        if value:
            command += [name, f"{value:g}" if isinstance(value, float) else str(value)]
    if scenario.method != "GET":
        command += ["--method", scenario.method]
    if scenario.body:
        command += ["--body", scenario.body]
    return command


def wrk_command(scenario: Scenario) -> list[str]:
    command = ["wrk", "-t1", f"-c{scenario.connections}"]
    if scenario.close:
        command += ["-H", "Connection: close"]
    return [*command, scenario.path]


def describe_tools(scenario: Scenario) -> str:
    """The command lines of a scenario, for the record."""
    lines = []
    for tool in scenario.tools:
        words = wrk_command(scenario) if tool == "wrk" else ["python", *load_command(scenario, tool)[1:], scenario.path]
        lines.append(" ".join(words))
    return "; ".join(lines)


def pin() -> None:
    """Keep this process itself off the server's core."""
    os.sched_setaffinity(0, {LOAD_CORE})


