"""A server seen from outside while it has its worst hours: full, blocked, starting, stopping, on a full disk."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from server import Answer, Server, Wire, connected, curl, wait_until, write_config

from bench.process import free_port

REJECTED = 'reactor_pool_rejected_total{pool="work"}'
NO_OTHERS = {"auth": "", "static": "", "tracker": ""}
# Its handlers block, wait in the helper threads, or are refused by a guard that limits everybody.
TROUBLE = """
'''What goes wrong.'''
import threading
import time
from reactor import HTTPError, Response, sleep

go_on = threading.Event()

def setup(plugin, options):
    limited = []

    def guard(request):
        if limited:
            raise HTTPError(429, "too many requests", [("Retry-After", "9")])

    async def busy(request):
        await plugin.offload(go_on.wait, 20)
        return Response("done")

    def limit(request):
        limited.append(1)
        return Response("from now on")

    def compute(request):
        time.sleep(0.9)
        return Response("at last")

    async def slow(request):
        await sleep(1.5)
        return Response("slow")

    async def start():
        plugin.log.info("starting slowly")
        await sleep(START)

    plugin.guard("limit", guard, everywhere=True)
    plugin.route("GET", "/busy", busy)
    plugin.route("GET", "/limit", limit)
    plugin.route("GET", "/compute", compute)
    plugin.route("GET", "/slow", slow)
    plugin.route("GET", "/ok", lambda request: Response("ok"))
    plugin.on_start(start)
    plugin.on_stop(go_on.set)
"""


def configure(tmp_path: Path, server: str = "", start: float = 0.0) -> tuple[Path, str]:
    """A config with the trouble above and a status of its own; where that is."""
    (tmp_path / "trouble.py").write_text(TROUBLE.replace("START", str(start)))
    port = free_port()
    plugins = {**NO_OTHERS, "trouble": "use = trouble", "status": f"listen = 127.0.0.1:{port}"}
    return write_config(tmp_path / "config.ini", plugins, server=server), f"http://127.0.0.1:{port}"


def number(metrics: str, name: str) -> float:
    [line] = [line for line in metrics.splitlines() if line.startswith(name + " ")]
    return float(line.rpartition(" ")[2])


def ask(status: str, name: str) -> float:
    return number(curl(f"{status}/metrics").body, name)


@contextmanager
def many(server: Server, count: int) -> Iterator[list[Wire]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connected(server)) for _ in range(count)]


def all_three(status: str) -> list[Answer]:
    return [curl(f"{status}/{path}") for path in ("healthz", "readyz", "metrics")]


def test_it_answers_when_connections_helpers_and_limits_are_full(tmp_path: Path) -> None:
    config, status = configure(tmp_path, "max_connections = 90")
    with Server(config) as server:
        with many(server, 90) as wires:
            for wire in wires[:89]:
                wire.send(b"GET /busy HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: ask(status, REJECTED) > 0, 10)
            assert wires[89].get("/limit").body == "from now on"
            assert wires[89].get("/ok").status == 429
            wires[89].send(b"GET /ok HT")
            for wire in wires[:89]:  # those that were refused are idle, and would make room
                wire.send(b"GET /ok HT")
            wait_until(lambda: ask(status, 'reactor_connections{state="idle"}') == 0, 10)
            assert curl(f"{server.url}/ok").status == 503
            alive, ready, metrics = all_three(status)
            assert (alive.status, ready.status, metrics.status) == (200, 200, 200)
            assert number(metrics.body, 'reactor_pool_queue_length{pool="work"}') > 60
            assert number(metrics.body, 'reactor_pool_running{pool="work"}') == 4
            assert number(metrics.body, REJECTED) > 15
            assert number(metrics.body, 'reactor_limits_reached_total{limit="max_connections"}') == 1
            assert number(metrics.body, 'reactor_limits_reached_total{limit="overloaded"}') > 15
            assert number(metrics.body, 'reactor_http_requests_total{method="GET",status="4xx"}') == 1
        server.kill()


def test_it_is_not_ready_while_it_starts_and_while_it_stops(tmp_path: Path) -> None:
    config, status = configure(tmp_path, start=1.0)
    server = Server(config)
    try:
        server.wait_for("starting slowly")
        assert curl(f"{status}/healthz").status == 200
        starting = curl(f"{status}/readyz")
        assert (starting.status, starting.body) == (503, "not ready\nthe start hooks are under way\n")
        server.wait_until_listening()
        assert curl(f"{status}/readyz").status == 200
        with connected(server) as wire:
            wire.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: 'state="answering"} 1' in curl(f"{status}/metrics").body, 10)
            server.send_signal(signal.SIGTERM)
            wait_until(lambda: curl(f"{status}/readyz").body == "not ready\nthe server is stopping\n", 10)
            assert wire.read().body == "slow"
        server.wait_stopped()
    finally:
        server.kill()


def test_a_port_of_its_own_that_is_taken_is_told_in_a_line(tmp_path: Path) -> None:
    config, status = configure(tmp_path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", int(status.rpartition(":")[2])))
        sock.listen()
        server = Server(config)
        try:
            assert server.process.wait(10) == 1
            assert re.search(r"error: cannot listen on 127\.0\.0\.1:\d+: another program has this port", server.stderr)
        finally:
            server.kill()


def test_a_blocked_loop_is_told_once_with_who_blocks_it(tmp_path: Path) -> None:
    config, status = configure(tmp_path, "block_warning = 200ms")
    with Server(config) as server:
        server.allowed = ("nobody has been served",)
        assert curl(f"{server.url}/compute").body == "at last"
        line = server.wait_for("nobody has been served")
        assert "warning: " in line
        assert re.search(r"because of trouble\.setup\.<locals>\.compute, at \S*trouble\.py:\d+: time\.sleep", line)
        assert server.stderr.count("nobody has been served") == 1
        metrics = curl(f"{status}/metrics").body
        assert number(metrics, "reactor_loop_blocked_total") == 1
        assert number(metrics, "reactor_loop_lag_seconds_count") > number(
            metrics, 'reactor_loop_lag_seconds_bucket{le="0.5"}'
        )


def test_a_rotated_access_log_goes_on_in_a_new_file_and_loses_no_line(tmp_path: Path) -> None:
    config, _ = configure(tmp_path, "access_log = access.log\naccess_log_format = json")
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    with Server(config) as server:
        assert curl(f"{server.url}/ok?one").status == 200
        log.rename(rotated)
        assert curl(f"{server.url}/ok?two").status == 200
        server.reload()
        assert curl(f"{server.url}/ok?three").status == 200
        wait_until(lambda: log.exists() and "/ok?three" in log.read_text(), 5)
        assert rotated.read_text().count("/ok?") == 2
        assert log.read_text().count("/ok?") == 1


def test_a_full_disk_costs_lines_and_no_request(tmp_path: Path) -> None:
    config, status = configure(tmp_path, "access_log = /dev/full")
    with Server(config) as server:
        server.allowed = ("cannot write to /dev/full",)
        for _ in range(3):
            assert curl(f"{server.url}/ok").body == "ok"
            time.sleep(0.15)  # a batch of its own
        line = server.wait_for("cannot write to /dev/full: No space left on device; its lines are lost")
        assert " error: " in line
        assert server.stderr.count("cannot write") == 1
        wait_until(lambda: ask(status, "reactor_log_lines_lost_total") == 3, 5)


def test_a_reload_that_failed_is_seen_in_the_numbers(tmp_path: Path) -> None:
    config, status = configure(tmp_path)
    with Server(config) as server:
        server.allowed = ("not reloaded",)
        text = config.read_text()
        config.write_text(text + "\n[plugin:nothing_of_that_name]\n")
        server.reload("not reloaded")
        assert ask(status, "reactor_config_reload_success") == 0
        assert curl(f"{status}/readyz").status == 200
        config.write_text(text)
        server.reload()
        assert ask(status, "reactor_config_reload_success") == 1
