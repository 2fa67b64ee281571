"""A thousand clients that trickle, stall, never read, say nothing, half-close or reset, and a few good ones beside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from bad_clients import KINDS, BadClient, act_until, allow_descriptors
from server import ENVIRONMENT, Server, curl, wait_until, write_config
from tls_client import make_pair

EACH = 84  # of twelve kinds
LIMITS = """
head_timeout = 3s
body_timeout = 3s
body_grace = 1s
write_timeout = 3s
write_rate = 2000
write_grace = 1s
keep_alive = 3s
handshake_timeout = 3s
"""
# The longest of these; two of them for one that first has to fill what the system holds for it.
DEADLINE = 8.0
PLUGIN = """
from reactor import FilePart, Response

def setup(plugin, options):
    path = plugin.path("large")

    async def pieces():
        for _ in range(1000):
            yield bytes(65536)

    def large(request):
        return Response.sending(FilePart(path.open("rb"), 0, path.stat().st_size))

    async def stream(request):
        return Response.streaming(pieces())

    async def echo(request):
        return Response(await request.read())

    plugin.route("GET", "/word", lambda request: Response("word"))
    plugin.route("POST", "/echo", echo)
    plugin.route("GET", "/large", large)
    plugin.route("GET", "/stream", stream)
"""
# In a process of its own, or the bad ones would slow it down themselves.
GOOD = """
import json, socket, sys, time
port = int(sys.argv[1])
took, wrong = [], 0
sock = None
for line in sys.stdin:
    pass_until = time.monotonic() + float(line)
    while time.monotonic() < pass_until:
        began = time.monotonic()
        try:
            sock = sock or socket.create_connection(("127.0.0.1", port), timeout=5)
            sock.sendall(b"GET /word HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n")
            answer = piece = sock.recv(4096)
            while piece and not answer.endswith(b"word"):
                answer += (piece := sock.recv(4096))
            wrong += not piece
        except OSError:
            wrong += 1
            if sock is not None:
                sock.close()
            sock = None
        took.append(time.monotonic() - began)
        time.sleep(0.005)
        if len(took) % 50 == 0 and sock is not None:
            sock.close()
            sock = None
    took.sort()
    print(json.dumps({"asked": len(took), "wrong": wrong, "p99": took[int(len(took) * 0.99)]}), flush=True)
    took, wrong = [], 0
"""


@contextmanager
def good_client(port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", GOOD, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def ask_for(process: subprocess.Popen[str], seconds: float) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    found: dict[str, float] = json.loads(process.stdout.readline())
    return found


def resident(pid: int) -> int:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 // 1024**2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "plenty.py").write_text(PLUGIN)
    (tmp_path / "large").write_bytes(bytes(64 * 1024 * 1024))
    cert, key, _ = make_pair(tmp_path / "tls")
    config = write_config(
        tmp_path / "config.ini", {"auth": "", "static": "", "tracker": "", "plenty": "use = plenty"},
        server=f"{LIMITS}listen_tls = 127.0.0.2:0\ntls_cert = {cert}\ntls_key = {key}\n",
    )  # fmt: skip
    with Server(config) as server:
        yield server


@pytest.mark.alone
def test_a_thousand_bad_clients_are_gone_in_time_and_the_good_ones_notice_nothing(server: Server) -> None:
    allow_descriptors(4096)
    secure = int(server.wait_for("https://").partition("127.0.0.2:")[2].partition("/")[0])
    assert curl(server.url + "/word").body == "word"
    before = server.descriptors
    with good_client(server.port) as good, ExitStack() as stack:
        ask_for(good, 1.0)
        quiet = result(good)
        memory = resident(server.process.pid)
        bad: list[BadClient] = []
        ask_for(good, DEADLINE)
        for number in range(EACH * len(KINDS)):
            kind = KINDS[number % len(KINDS)]
            bad.append(BadClient(kind, secure if kind.secure else server.port))
            stack.callback(bad[-1].close)
        began = time.monotonic()
        wait_until(lambda: server.descriptors > before + 10 * EACH - 100, DEADLINE)  # all but those that left at once
        grown = resident(server.process.pid) - memory
        act_until(bad, lambda: server.descriptors <= before + 1, DEADLINE + 4.0)
        took = time.monotonic() - began
        noisy = result(good)
        grown = max(grown, resident(server.process.pid) - memory)
        for client in bad:
            client.act()
    assert took < DEADLINE + 2.0
    assert noisy["wrong"] == quiet["wrong"] == 0
    assert noisy["asked"] > 200
    assert noisy["p99"] < max(0.15, 10 * quiet["p99"]), (quiet, noisy)
    assert grown < 150, f"{grown} MiB more"
    told = Counter((client.kind.name, (client.end or b"")[:13]) for client in bad if client.kind.answer)
    assert told == {(kind.name, kind.answer): EACH for kind in KINDS if kind.answer}
    wait_until(lambda: server.descriptors <= before, 5.0)
    assert curl(server.url + "/word").body == "word"
