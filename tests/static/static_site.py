"""A site in memory: the plugin's real `setup` and the real router around it, a clock that the test moves, no server."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from plugins.static import Options, setup
from reactor.errors import ReactorError
from reactor.http.message import Request, Response
from reactor.http.pages import as_http_error
from reactor.http.router import Route, Router
from reactor.plugin import Plugin
from reactor.sansio.head import RequestHead
from reactor.sansio.headers import Headers

LONG_AGO = 1_600_000_000  # when the files of a test were last written
NOW = 1_700_000_000


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes
    response: Response | None  # None for an error


class Site:
    """`directory` holds config.ini and www/; `site.get("/x")` is what the plugin answers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.www = directory / "www"
        self.reactor = SimpleNamespace(now=100.0)
        self.unix = float(NOW)
        self.router = Router()

    def write(self, name: str, content: bytes | str, mtime: int = LONG_AGO) -> Path:
        path = self.www / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (mtime, mtime))
        return path

    def mount(self, *lines: str, **options: Any) -> Site:
        host = SimpleNamespace(log=None, reactor=self.reactor, unix_time=lambda: self.unix)
        config = SimpleNamespace(directory=self.directory, state_dir=self.directory / "var")
        plugin = Plugin("static", SimpleNamespace(host=host, config=config))  # type: ignore[arg-type]
        setup(plugin, Options(mount=list(lines), **options))
        self.router = Router()
        for spec in plugin.routes:
            self.router.add(Route(spec.methods, spec.pattern, spec.handler, guard_name=spec.guard or ""))
        return self

    def advance(self, seconds: float) -> None:
        self.reactor.now += seconds
        self.unix += seconds

    def route(self, target: str, method: str = "GET") -> tuple[Route, Request]:
        head = RequestHead(method, target, Headers([("host", "site")]))
        route, params = self.router.find(method, head.path)
        return route, Request(head, "127.0.0.1", params)

    def raw(self, target: str, method: str = "GET", **fields: str) -> Response:
        """The Response itself, errors raised."""
        pairs = [("host", "site"), *((name.replace("_", "-"), value) for name, value in fields.items())]
        head = RequestHead(method, target, Headers(pairs))
        route, params = self.router.find(method, head.path)
        response = route.handler(Request(head, "127.0.0.1", params))
        assert isinstance(response, Response)
        return response

    def get(self, target: str, method: str = "GET", **fields: str) -> Answer:
        try:
            response = self.raw(target, method, **fields)
        except ReactorError as error:
            told = as_http_error(error)
            if told is None:
                raise
            return Answer(told.status, Headers(told.headers), b"", None)
        return Answer(response.status, response.headers, drain(response), response)


def drain(response: Response) -> bytes:
    """What the server does with a response: the bytes that were promised, and the file closed."""
    if response.file is None:
        return response.body
    with response.file.file as file:
        file.seek(response.file.offset)
        return file.read(response.file.size)


def open_files() -> list[str]:
    return sorted(entry for entry in map(_link, os.listdir("/proc/self/fd")) if entry.startswith("/"))


def _link(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # the one that listdir itself used
        return ""
