"""What clients do to a server all day: come and go in every way there is. Nothing of them may stay."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path

from server import Server, connected, curl, wait_until, write_config

EACH = 400
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


KINDS: tuple[Callable[[socket.socket], None], ...] = (
    goes_at_once, sends_half_a_request, sends_half_a_body, resets, reads_its_answer,
)  # fmt: skip


def test_two_thousand_connections_of_all_kinds_leave_nothing_behind(tmp_path: Path) -> None:
    with Server(write_config(tmp_path / "config.ini")) as server:
        assert curl("-d", "username=admin&password=password", server.url + "/login").status == 200
        before = (server.descriptors, server.threads)
        for _ in range(EACH):
            for kind in KINDS:
                with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
                    kind(sock)
        wait_until(
            # Not more: the connection of curl may still have been closing when it was counted before.
            lambda: server.descriptors <= before[0] and server.threads <= before[1], 5.0,
            lambda: f"descriptors and threads: {before} before, {(server.descriptors, server.threads)} after",
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
