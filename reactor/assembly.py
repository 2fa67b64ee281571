"""What the plugins have declared, put together into what a Site serves: routes, hosts, guards around them, middleware.

A declaration of one plugin may concern all others (a guard for everything, middleware, a name that is taken), so this
is done when the last has been set up. What does not fit is a ConfigError that names the plugin.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import reduce
from typing import Any

from reactor.config import Config
from reactor.http.handed import ProtocolFactory
from reactor.http.hosts import Hosts
from reactor.http.message import Guard, Handler, Request, Response
from reactor.http.router import Route, RouteError, Router, is_async
from reactor.plugin import HostSpec, Plugin, RouteSpec


class Assembly:
    """`router`, `hosts` (None without any) and `claims` (first bytes that are no HTTP) of all `plugins` of `config`."""

    def __init__(self, config: Config, plugins: Sequence[Plugin]) -> None:
        self._config = config
        self._plugins = plugins
        self._everywhere = [guard for plugin in plugins for guard in plugin.everywhere]
        self._guards = self._collect_guards()
        self.router = self._build_router()
        self.claims = self._collect_claims()
        self.hosts = self._build_hosts()

    def _collect_guards(self) -> dict[str, Guard]:
        """Two of one name: a route could not tell which of them it is behind."""
        owners: dict[str, Plugin] = {}
        for plugin in self._plugins:
            for name in plugin.guards:
                if name in owners:
                    raise self._error(f"the guard {name!r} is already declared by plugin {owners[name].name}", plugin)
                owners[name] = plugin
        return {name: plugin.guards[name] for name, plugin in owners.items()}

    def _collect_claims(self) -> dict[int, ProtocolFactory]:
        """The first bytes of all plugins; two cannot have one connection."""
        owners: dict[int, Plugin] = {}
        for plugin in self._plugins:
            for byte in plugin.claims:
                if byte in owners:
                    words = f"connections that begin with {bytes([byte])!r} are already plugin {owners[byte].name}'s"
                    raise self._error(words, plugin)
                owners[byte] = plugin
        return {byte: plugin.claims[byte] for byte, plugin in owners.items()}

    def _build_router(self) -> Router:
        def fallback(handler: Handler) -> Route:
            return Route((), "", self._wrap(handler, reads_body=False), guard=_all_of(self._everywhere))

        router = Router(fallback)
        for plugin in self._plugins:
            for spec in plugin.routes:
                route = Route(
                    spec.methods, spec.pattern, self._wrap(spec.handler), guard=self._guard(plugin, spec),
                    guard_name=spec.guard or "", max_body=spec.max_body, owner=f"plugin {plugin.name}",
                )  # fmt: skip
                self._add(plugin, router.add, route)
        return router

    def _build_hosts(self) -> Hosts | None:
        hosts = Hosts()
        for plugin in self._plugins:
            for spec in plugin.hosts:
                route = Route(
                    (), "", self._wrap(spec.handler, reads_body=False), guard=self._guard(plugin, spec),
                    guard_name=spec.guard or "", max_body=spec.max_body, owner=f"plugin {plugin.name}",
                    takes_stream=True,
                )  # fmt: skip
                self._add(plugin, hosts.add, spec.name, route)
        return hosts if hosts.routes else None

    def _add(self, plugin: Plugin, add: Callable[..., object], *what: object) -> None:
        try:
            add(*what)
        except RouteError as error:
            raise self._error(str(error), plugin) from None

    def _guard(self, plugin: Plugin, spec: RouteSpec | HostSpec) -> Guard | None:
        """Those for everything first, then its own."""
        if not spec.guard:
            return _all_of(self._everywhere)
        if spec.guard not in self._guards:
            raise self._error(f"a route asks for the guard {spec.guard!r}, which no plugin here declares", plugin)
        return _all_of([*self._everywhere, self._guards[spec.guard]])

    def _wrap(self, handler: Handler, reads_body: bool = True) -> Handler:
        """The handler inside all middleware; itself if there is none."""
        layers = [layer for plugin in self._plugins for layer in plugin.middlewares]
        if not layers:
            return handler
        inner = _as_async(handler, reads_body)
        for layer in reversed(layers):
            inner = _layered(layer, inner)
        return inner

    def _error(self, words: str, plugin: Plugin) -> Exception:
        return self._config.error(words, f"plugin:{plugin.name}")


def _all_of(guards: Sequence[Guard]) -> Guard | None:
    """One guard that asks each in turn."""
    return reduce(_both, guards) if guards else None


def _both(first: Guard, second: Guard) -> Guard:
    def ask(request: Request) -> Any:
        verdict = first(request)
        if verdict is None:
            return second(request)
        return verdict if isinstance(verdict, Response) else _ask_second(request, verdict, second)

    return ask


async def _ask_second(request: Request, verdict: Awaitable[Response | None], second: Guard) -> Response | None:
    refusal = await verdict
    if refusal is None:
        answer = second(request)
        refusal = answer if answer is None or isinstance(answer, Response) else await answer
    return refusal


def _as_async(handler: Handler, reads_body: bool) -> Callable[[Request], Awaitable[Response]]:
    """A handler as middleware calls it; a plain one that `reads_body` still gets the whole of it."""
    wait_for_body = reads_body and not is_async(handler)

    async def call(request: Request) -> Response:
        if wait_for_body:
            await request.read()
        answer = handler(request)
        return await answer if inspect.isawaitable(answer) else answer

    return call


def _layered(layer: Any, inner: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def call(request: Request) -> Response:
        response: Response = await layer(request, inner)
        return response

    return call
