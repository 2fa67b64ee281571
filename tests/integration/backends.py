"""What stands behind the proxy in the tests: servers that are not ours, and one that does what it is told, by the byte.

    with http_server() as port, gunicorn(folder) as port, uvicorn(folder) as port, nginx(folder) as port: ...
    with Puppet(script) as puppet: puppet.port, puppet.heard
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.process import free_port
from tests.integration.server import ENVIRONMENT, ROOT, Server

APP = '''\
"""Says what it was asked, in WSGI and ASGI; `/bytes/N` is N bytes, `/drip/N` N lines, one at a time."""
import asyncio, hashlib, json, time


def said(method, path, query, headers, digest, size):
    return json.dumps({"method": method, "path": path, "query": query, "headers": headers, "sha256": digest,
                       "size": size}).encode()


def wsgi(environ, start_response):
    path, digest, size = environ["PATH_INFO"], hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        digest.update(piece)
        size += len(piece)
    if path.startswith("/bytes/"):
        start_response("200 OK", [("Content-Length", path[7:])])
        left = int(path[7:])
        return (b"x" * min(65536, left - at) for at in range(0, left, 65536))
    if path.startswith("/drip/"):
        start_response("200 OK", [])
        return (time.sleep(0.05) or b"line\\n" for _ in range(int(path[6:])))
    headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name[:5] == "HTTP_"}
    body = said(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], headers, digest.hexdigest(), size)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        return await echo(scope, receive, send)
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event["body"])
        size += len(event["body"])
        more = event.get("more_body", False)
    path = scope["path"]
    if path.startswith("/bytes/"):
        left = int(path[7:])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", path[7:].encode())]})
        for at in range(0, left, 65536):
            await send({"type": "http.response.body", "body": b"x" * min(65536, left - at), "more_body": True})
    elif path.startswith("/drip/"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(int(path[6:])):
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b"line\\n", "more_body": True})
    else:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        body = said(scope["method"], path, scope["query_string"].decode(), headers, digest.hexdigest(), size)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def echo(scope, receive, send):
    await receive()
    if scope["path"] == "/no":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "bye":
            return await send({"type": "websocket.close", "code": 4001})
        await send({"type": "websocket.send", "bytes": event.get("bytes"), "text": event.get("text")})
'''


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process is None or process.poll() is None, "the backend has ended"
            assert time.monotonic() < deadline, "the backend does not come up"
            time.sleep(0.02)


@contextmanager
def program(command: list[str], folder: Path, port: int) -> Iterator[int]:
    with (folder / f"backend-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=ENVIRONMENT,
        )  # fmt: skip
        try:
            wait_for_port(port, process)
            yield port
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """A process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@contextmanager
def gunicorn(folder: Path) -> Iterator[int]:
    (folder / "app.py").write_text(APP)
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "5",
               "--worker-tmp-dir", str(folder), "--no-control-socket"]  # fmt: skip
    with program([sys.executable, "-m", "gunicorn", *options, "app:wsgi"], folder, port):
        yield port


@contextmanager
def uvicorn(folder: Path) -> Iterator[int]:
    (folder / "app.py").write_text(APP)
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--http", "h11", "--ws", "wsproto", "--lifespan", "off"]
    with program([sys.executable, "-m", "uvicorn", *options, "app:asgi"], folder, port):
        yield port


NGINX = """
daemon off; worker_processes 1; {user} pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; dav_methods PUT DELETE; create_full_put_path on;
    location = /ok {{ return 200 "ok"; }} location = /none {{ return 204; }} }} }}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Static files below `folder`/files, which may be put there and deleted."""
    port = free_port()
    (folder / "files").mkdir(exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with program(command, folder, port):
        yield port


class Plain(BaseHTTPRequestHandler):
    """HTTP/1.0: every answer ends with the connection, most without a length."""

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        said = {
            "method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
            "sha256": hashlib.sha256(body).hexdigest(), "size": size,
        }  # fmt: skip
        self.send_response(200)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(json.dumps(said).encode())

    def __getattr__(self, name: str) -> Any:
        """The same for every other method."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def log_message(self, *args: Any) -> None: ...


@contextmanager
def http_server() -> Iterator[int]:
    """The one of the standard library."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Puppet:
    """A server that runs `script(connection, number)` for each connection, in a thread; `heard` has what came on it."""

    def __init__(self, script: Callable[[Strings, int], object]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[Strings] = []
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Puppet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self.connections:
            connection.close()
        for connection in self.connections:
            connection.thread.join(10)

    @property
    def heard(self) -> list[bytes]:
        return [bytes(connection.heard) for connection in self.connections]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            connection = Strings(sock)
            connection.thread = threading.Thread(target=self._run, args=(connection, len(self.connections)))
            self.connections.append(connection)
            connection.thread.start()

    def _run(self, connection: Strings, number: int) -> None:
        try:
            self._script(connection, number)
        except OSError:
            pass  # the proxy has left, or the test is over
        finally:
            connection.close()


class Strings:
    """One connection of a Puppet."""

    thread: threading.Thread

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.heard = bytearray()
        self.ended = threading.Event()  # the proxy has ended the connection

    def read_head(self) -> bytes:
        """The next head; OSError at the end."""
        return self._read_to(b"\r\n\r\n")

    def _read_to(self, mark: bytes) -> bytes:
        start = getattr(self, "_taken", 0)
        while (end := self.heard.find(mark, start)) < 0:
            self.receive()
        self._taken = end + len(mark)
        return bytes(self.heard[start : self._taken])

    def read_body(self, head: bytes) -> bytes:
        """What belongs to `head`, by length or in chunks as they came."""
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = b""
            while True:
                size = int(self._read_to(b"\r\n"), 16)
                body += self.read(size)
                self._read_to(b"\r\n")
                if not size:
                    return body
        if b"content-length: " in lower:
            return self.read(int(lower.partition(b"content-length: ")[2].partition(b"\r")[0]))
        return b""

    def read(self, size: int) -> bytes:
        start = getattr(self, "_taken", 0)
        while len(self.heard) < start + size:
            self.receive()
        self._taken = start + size
        return bytes(self.heard[start : self._taken])

    def receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            self.ended.set()
            raise ConnectionError("the end")
        self.heard += data

    def wait_for_end(self) -> None:
        """Read until the proxy ends the connection."""
        try:
            while True:
                self.receive()
        except OSError:
            self.ended.set()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def answering(connection: Strings, number: int) -> None:
    """Answer everything with its own number, and keep the connection."""
    while True:
        connection.read_body(connection.read_head())
        body = b"%d" % number
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def write_proxy(folder: Path, hosts: dict[str, str], *, options: str = "", server: str = "", more: str = "") -> Path:
    """A config with the proxy alone; `hosts` are the bodies of sections [proxy:NAME]."""
    parts = [f"[server]\nlisten = 127.0.0.1:0\nstate_dir = var\n{server}\n", f"[plugin:proxy]\n{options}\n"]
    parts += [f"[proxy:{name}]\n{text}\n" for name, text in hosts.items()]
    path = folder / "config.ini"
    path.write_text("\n".join([*parts, more]))
    return path


@contextmanager
def proxying(folder: Path, *ports: int, options: str = "", host: str = "host = test, 127.0.0.1") -> Iterator[Server]:
    """The proxy before backends at these ports."""
    to = "\n    ".join(f"http://127.0.0.1:{port}" for port in ports)
    with Server(write_proxy(folder, {"all": f"{host}\nto =\n    {to}"}, options=options)) as server:
        yield server


__all__ = ["APP", "ROOT", "Puppet", "Strings", "answering", "free_port", "gunicorn", "http_server", "kill", "nginx",
           "program", "proxying", "uvicorn", "write_proxy"]  # fmt: skip
