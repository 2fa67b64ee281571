"""1 GiB up and 1 GiB down through a real server process, in constant memory."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, write_config

GIB = 1 << 30
MOST_MEMORY = 80 * 1024  # KiB, the interpreter and all imports included

PLUGIN = """
from reactor import FilePart, Plugin, Request, Response

PIECE = bytes(64 * 1024)

def setup(plugin: Plugin, options: None) -> None:
    async def count(request: Request) -> Response:
        size = 0
        async for piece in request.chunks():
            size += len(piece)
        return Response(str(size))

    async def zeros(request: Request) -> Response:
        async def pieces():
            for _ in range(int(request.query["size"]) // len(PIECE)):
                yield PIECE
        return Response.streaming(pieces())

    def file(request: Request) -> Response:
        size = int(request.query["size"])
        return Response.sending(FilePart(plugin.path("sparse").open("rb"), 0, size))

    plugin.route("POST", "/count", count, max_body=0)
    plugin.route("GET", "/zeros", zeros)
    plugin.route("GET", "/file", file)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("big")
    (directory / "big_bodies_plugin.py").write_text(PLUGIN)
    with (directory / "sparse").open("wb") as sparse:
        sparse.truncate(GIB)
    config = write_config(
        directory / "config.ini", {"big": "use = big_bodies_plugin", "auth": "", "static": "", "tracker": ""}
    )
    with Server(config) as server:
        yield server


def peak_memory(server: Server) -> int:
    """The most resident memory the process ever had, in KiB."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert match is not None
    return int(match.group(1))


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        assert piece, data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def test_a_gibibyte_up_takes_constant_memory(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIB)
        with (server.config.parent / "sparse").open("rb") as zeros:
            assert sock.sendfile(zeros, 0, GIB) == GIB
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (rest or sock.recv(100)) == str(GIB).encode()
    assert peak_memory(server) < MOST_MEMORY


@pytest.mark.parametrize(("target", "size"), [("/file", GIB), ("/zeros", GIB // 4)])
def test_a_gibibyte_down_takes_constant_memory(server: Server, target: str, size: int) -> None:
    """The streamed one is smaller, because its pieces are made one by one; it is the same constant memory."""
    with connect(server) as sock:
        sock.sendall(f"GET {target}?size={size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 200 ")
        got, view = len(rest), memoryview(bytearray(1 << 20))
        while received := sock.recv_into(view):
            got += received
    pieces = size // 65536
    framing = pieces * len(b"10000\r\n\r\n") + len(b"0\r\n\r\n") if b"chunked" in head else 0
    assert got == size + framing
    assert peak_memory(server) < MOST_MEMORY


def test_a_client_that_does_not_read_costs_no_memory(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(f"GET /zeros?size={GIB} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        time.sleep(0.3)
        assert peak_memory(server) < MOST_MEMORY
