"""A page that is open hears in time that its login is over, whoever ended it: real processes, real clocks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from socket import SHUT_RDWR
from threading import Thread

import pytest
from server import ENVIRONMENT, ROOT, Server, connected, curl, write_config

PLUGIN = '''
"""`/held` says at its end why the login is over."""
from reactor import Future, Response, event_stream

def setup(plugin, options):
    async def hold(request):
        over = Future(plugin.reactor)
        unwatch = plugin.service("sessions").watch(request, over.set_result)
        async def body():
            try:
                yield "begun"
                yield await over
            finally:
                unwatch()
        return event_stream(body())

    plugin.route("GET", "/held", hold, guard="person")
'''
LOGIN = ("--data", "username=admin&password=password")


def held_server(tmp_path: Path, name: str = "config", auth: str = "") -> Server:
    (tmp_path / "held_for_tests.py").write_text(PLUGIN)
    index = f"index = {ROOT}/www/index.html\nguests = loopback\n{auth}"
    return Server(write_config(tmp_path / f"{name}.ini", {"auth": index, "held": "use = held_for_tests"}))


@contextmanager
def holding(server: Server, *lines: str) -> Iterator[Queue[str]]:
    """An open page; the queue gets what it hears after its beginning."""
    heard: Queue[str] = Queue()
    with connected(server) as wire:
        wire.send("\r\n".join(["GET /held HTTP/1.1", "Host: localhost", *lines, "", ""]).encode())
        text = b""
        while b"begun" not in text:
            received = wire.sock.recv(65536)
            assert received, text
            text += received

        def listen() -> None:
            rest = b""
            while piece := wire.sock.recv(65536):
                rest += piece
                if b"data: " in rest:
                    heard.put(rest.partition(b"data: ")[2].split()[0].decode())
                    return

        thread = Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            with suppress(OSError):  # the server may be gone already
                wire.sock.shutdown(SHUT_RDWR)  # which a thread that still listens takes for the end
            thread.join(5)


def cookie_of(server: Server, jar: Path, *login: str, path: str = "/login") -> str:
    assert curl("-c", jar, *login, server.url + path).status == 200
    (line,) = [line for line in jar.read_text().splitlines() if "\tsession\t" in line]
    return "Cookie: session=" + line.split("\t")[-1]


def auth(tmp_path: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "plugins.auth", "--state-dir", str(tmp_path / "var"), *arguments]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, input=b"new\n", check=True, capture_output=True)


@pytest.mark.alone
@pytest.mark.parametrize(("how", "why"), [("passwd", "password"), ("remove", "account"), ("logout", "logout")])
def test_what_another_process_ends_is_heard_within_a_second(tmp_path: Path, how: str, why: str) -> None:
    with held_server(tmp_path) as server, held_server(tmp_path, "other") as other:
        jar = tmp_path / "jar"
        cookie = cookie_of(server, jar, *LOGIN)
        with holding(server, cookie) as heard:
            if how == "logout":
                assert curl("-b", jar, "-X", "POST", other.url + "/logout").status == 200
            else:
                auth(tmp_path, how, "admin")
            ended = time.monotonic()
            assert heard.get(timeout=10) == why
            assert time.monotonic() - ended < 1.5


def test_basic_hears_of_a_new_password(tmp_path: Path) -> None:
    with (
        held_server(tmp_path) as server,
        holding(server, "Authorization: Basic YWRtaW46cGFzc3dvcmQ=") as heard,
    ):
        auth(tmp_path, "passwd", "admin")
        assert heard.get(timeout=10) == "password"


@pytest.mark.alone
def test_disuse_is_heard_when_it_is_over_and_not_at_the_next_sweep(tmp_path: Path) -> None:
    with held_server(tmp_path, auth="session_ttl = 2s") as server:
        began = time.monotonic()
        cookie = cookie_of(server, tmp_path / "jar", "--data", "name=ann", path="/guest")
        with holding(server, cookie) as heard:
            assert heard.get(timeout=20) == "idle"
            assert 1.9 < time.monotonic() - began < 3.5
