"""What clients do to a server all day: come and go in every way there is. Nothing of them may stay.

    make soak        the same with 100,000 connections instead of 2,000
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from server import Server, connected, curl, wait_until, write_config

CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "2000"))
# Of objects, and of bytes for each connection beyond the first: what a measurement may be off by, and no leak is below.
SPARE_OBJECTS = 500
SPARE_BYTES = 8 * 1024**2 + 40 * CONNECTIONS
CENSUS = """
import gc
from pathlib import Path
from reactor import Response

def setup(plugin, options):
    def census(request):
        gc.collect()
        names = [type(found).__name__ for found in gc.get_objects()]
        kinds = ("Task", "Future", "ServerConnection", "Transport", "Exchange", "Timer", "BodyStream", "coroutine")
        counts = {kind: names.count(kind) for kind in kinds}
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return Response.json({"objects": len(names), "bytes": 4096 * pages, **counts})

    async def pieces():
        while True:
            yield bytes(1000)

    async def socket(ws):
        async for message in ws:
            await ws.send(message)

    plugin.route("GET", "/census", census)
    plugin.route("GET", "/endless", lambda request: Response.streaming(pieces()))
    plugin.websocket("/socket", socket)
"""
REQUEST = b"GET /get-list HTTP/1.1\r\nHost: test\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: `close` sends a reset


def goes_at_once(sock: socket.socket) -> None:
    pass


def sends_half_a_request(sock: socket.socket) -> None:
    sock.sendall(REQUEST[:20])


def sends_half_a_body(sock: socket.socket) -> None:
    sock.sendall(b"POST /login HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nusername=")


def resets(sock: socket.socket) -> None:
    sock.sendall(REQUEST)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def reads_its_answer(sock: socket.socket) -> None:
    sock.sendall(REQUEST)
    assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def half_closes(sock: socket.socket) -> None:
    sock.sendall(REQUEST * 3)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def leaves_in_an_endless_answer(sock: socket.socket) -> None:
    sock.sendall(REQUEST.replace(b"/get-list", b"/endless"))
    assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def sends_what_is_no_request(sock: socket.socket) -> None:
    sock.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")


def leaves_its_websocket(sock: socket.socket) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    sock.sendall(b"GET /socket HTTP/1.1\r\nHost: test\r\n" + upgrade + key)
    assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")


KINDS: tuple[Callable[[socket.socket], None], ...] = (
    goes_at_once, sends_half_a_request, sends_half_a_body, resets, reads_its_answer, half_closes,
    leaves_in_an_endless_answer, sends_what_is_no_request, leaves_its_websocket,
)  # fmt: skip


def come_and_go(server: Server, times: int) -> None:
    """So many connections, of each kind in turn; returns when the server has noticed the end of the last."""
    for number in range(times):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            KINDS[number % len(KINDS)](sock)
    wait_until(lambda: curl(server.url + "/census").json["ServerConnection"] == 1, 30.0)


@pytest.mark.timeout(0 if CONNECTIONS > 10_000 else 120)
def test_thousands_of_connections_of_all_kinds_leave_no_descriptor_task_or_byte(tmp_path: Path) -> None:
    (tmp_path / "census.py").write_text(CENSUS)
    config = write_config(tmp_path / "config.ini", {"census": "use = census"}, server="keep_alive = 2s")
    with Server(config) as server:
        login = f"{server.url}/login"
        assert curl("-H", f"Origin: {server.url}", "-d", "username=admin&password=password", login).status == 200
        come_and_go(server, 500)  # the memos and caches are full, and what is made once is made
        before, held = curl(server.url + "/census").json, (server.descriptors, server.threads)
        come_and_go(server, CONNECTIONS)
        after = curl(server.url + "/census").json
        assert after["objects"] - before["objects"] < SPARE_OBJECTS, (before, after)
        assert after["bytes"] - before["bytes"] < SPARE_BYTES, (before, after)
        for kind in ("Task", "Future", "Transport", "Exchange", "BodyStream", "coroutine"):
            assert after[kind] <= before[kind], (kind, before, after)
        wait_until(
            # Not more: the connection of curl may still have been closing when it was counted before.
            lambda: server.descriptors <= held[0] and server.threads <= held[1], 5.0,
            lambda: f"descriptors and threads: {held} before, {(server.descriptors, server.threads)} after",
        )  # fmt: skip


def test_logins_that_nobody_waits_for_leave_nothing_behind(tmp_path: Path) -> None:
    """The answer comes out of a helper thread when its client is gone already."""
    body = b"username=admin&password=password"
    login = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with Server(write_config(tmp_path / "config.ini")) as server, connected(server) as wire:
        wire.send(login)
        assert wire.read().status == 200
        before = server.descriptors
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
                sock.sendall(login)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        wait_until(lambda: server.descriptors <= before, 5.0)
        wait_until(lambda: curl("-u", "admin:password", server.url + "/whoami").status == 200, 5.0)
