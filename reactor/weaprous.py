"""WeApRous: an application of a few functions and their paths, on this reactor.

    app = WeApRous()

    @app.route("/login", methods=["POST"])
    def login(headers="guest", body="anonymous"):
        return {"hello": body}

    app.prepare_address("127.0.0.1", 8000)
    app.run()

An application is a plugin, the one that `run` starts the server with. So a config can have it beside others:
`[plugin:NAME]` with `use = module:app`. `shapes` says how its functions may want to be called, and `results` what they
may give.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from reactor.config import Config
from reactor.core.address import Address, parse_address
from reactor.errors import ConfigError
from reactor.http.message import Request, Response
from reactor.http.router import METHODS, Route, RouteError, Router, is_async
from reactor.plugin import Plugin
from reactor.program import exit_status, serve
from reactor.results import Draft, as_response
from reactor.shapes import Asked, Shape

Function = TypeVar("Function", bound=Callable[..., Any])


class WeApRous:
    """Declare routes, then `run`, or be a plugin."""

    def __init__(self, *, blocking: bool = False) -> None:
        """`blocking` is what routes are that do not say themselves."""
        self._blocking = blocking
        self._address: tuple[str, int | str] | None = None
        self._routes: list[_Declared] = []
        self._router = Router()  # finds at once what is wrong with a path

    def route(
        self,
        path: str,
        methods: Iterable[str] = ("GET",),
        *,
        blocking: bool | None = None,
        guard: str | None = None,
        max_body: int | None = None,
    ) -> Callable[[Function], Function]:
        """Answer `methods` at `path` (as `Plugin.route` has them) with the function below; it stays what it is.

        `blocking`: call it in a helper thread, because it waits for something by itself; several then run at once.
        RouteError for a path or method that is none or is taken, TypeError for a function that nobody could call.
        """
        names = tuple(name.upper() for name in (methods.split() if isinstance(methods, str) else methods))
        unknown = [name for name in names if name not in METHODS]
        if unknown or not names:
            raise RouteError(f"{path}: unknown method {' '.join(unknown)!r}. There are {', '.join(METHODS)}")

        def declare(function: Function) -> Function:
            wanted = blocking if blocking is not None else self._blocking and not is_async(function)
            declared = _Declared(function, path, blocking=wanted)
            route = Route(names, path, declared.answer, guard_name=guard or "", max_body=max_body, owner="this program")
            self._router.add(route)
            self._routes.append(declared)
            return function

        return declare

    def prepare_address(self, ip: str, port: int | str) -> None:
        """Where `run` will listen: an IP address of this machine (0.0.0.0: all of them), and a port (0: a free one)."""
        self._address = (ip, port)

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM; requests that are under way are finished first. If it cannot start it says why
        in one line and raises SystemExit (see `reactor.program`). Call it in the main thread.
        """
        status = exit_status(lambda: serve(self._config(), {"app": self}))
        if status:
            sys.exit(status)

    def _config(self) -> Config:
        if self._address is None:
            raise ConfigError("nothing says where to listen: call app.prepare_address(ip, port) before app.run()")
        ip, port = self._address
        try:
            address = parse_address(str(Address(str(ip), int(port))))
        except ValueError as error:
            raise ConfigError(f"app.prepare_address({ip!r}, {port!r}): {error}") from None
        # The directory is there, and nothing is kept in it.
        return Config(f"[server]\nlisten = {address}\nstate_dir = .\n[plugin:app]\n", "", Path.cwd())

    def setup(self, plugin: Plugin, options: object = None) -> None:
        """What makes it a plugin: declare all routes."""
        for route, declared in zip(self._router.routes, self._routes, strict=True):
            plugin.route(
                " ".join(route.methods), route.pattern, declared.handler(plugin), guard=route.guard_name or None,
                max_body=route.max_body,
            )  # fmt: skip


class _Declared:
    """One function behind a route. It is called when the whole body is there, `async` ones too."""

    def __init__(self, function: Callable[..., Any], path: str, *, blocking: bool) -> None:
        self._shape = Shape(function, re.findall(r"\{(\w+)", path))
        self._blocking = blocking
        if blocking and is_async(function):
            raise TypeError(f"{function.__qualname__} is async, so no helper thread can run it: leave out blocking")

    def handler(self, plugin: Plugin) -> Callable[[Request], Response | Awaitable[Response]]:
        if not self._blocking:
            return self.answer
        return lambda request: plugin.offload(self.answer_whole, request)

    def answer(self, request: Request) -> Response | Awaitable[Response]:
        draft = Draft()
        result = self._shape.call(Asked(request), draft)
        return self._awaited(result, draft) if inspect.isawaitable(result) else as_response(result, draft)

    async def _awaited(self, result: Awaitable[Any], draft: Draft) -> Response:
        return as_response(await result, draft)

    def answer_whole(self, request: Request) -> Response:
        """In a helper thread, where nothing can be awaited."""
        draft = Draft()
        return as_response(self._shape.call(Asked(request), draft), draft)
