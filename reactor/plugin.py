"""What a plugin sees: the object that its `setup(plugin, options)` is given.

`setup` only declares. It may read files that its options name, but opens no socket, database or thread: `--check`
runs it to print the route table, and a reload runs it beside the generation that is serving. What has to be opened is
opened by `on_start` hooks, or belongs to something kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from reactor.core.task import Future, Task
from reactor.errors import ConfigError
from reactor.http.message import Guard, Handler, Middleware
from reactor.http.router import METHODS

if TYPE_CHECKING:
    from reactor.generation import Generation
    from reactor.http.client import Client
    from reactor.log import Log

T = TypeVar("T")
Hook = Callable[[], Awaitable[None] | None]


class RouteSpec(NamedTuple):
    """What `Plugin.route` was told; the generation makes a Route of it."""

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    guard: str | None
    max_body: int | None


class Plugin:
    """One plugin in one generation of the configuration."""

    def __init__(self, name: str, generation: Generation, options: object = None) -> None:
        self.name = name
        self.options = options
        self._generation = generation
        self._reactor = generation.host.reactor
        self.log: Log = generation.host.log
        self.routes: list[RouteSpec] = []
        self.guards: dict[str, Guard] = {}
        self.everywhere: list[Guard] = []
        self.middlewares: list[Middleware] = []
        self.timers: list[tuple[float, Hook]] = []
        self.start_hooks: list[Hook] = []
        self.stop_hooks: list[Hook] = []

    # -- what the requests meet --------------------------------------------------------------------------------------

    def route(
        self, methods: str, pattern: str, handler: Handler, *, guard: str | None = None, max_body: int | None = None
    ) -> None:
        """Answer `methods` ("GET", or "PUT POST") at `pattern` (see `http.router`) with `handler`.

        A plain `def` handler is called when the whole body is there, an `async def` one as soon as the head is.
        `guard` names a guard of any plugin; `max_body` in bytes replaces the server's limit (0: no limit). The same
        method and pattern twice, or a guard that nobody declares, stops the start with an error.
        """
        names = tuple(methods.upper().split())
        unknown = [name for name in names if name not in METHODS]
        if unknown or not names:
            raise ConfigError(f"plugin {self.name}: unknown method {methods!r} for {pattern}")
        self.routes.append(RouteSpec(names, pattern, handler, guard, max_body))

    def guard(self, name: str, guard: Guard, *, everywhere: bool = False) -> None:
        """Let routes say `guard=name`. `guard(request)` runs when the head is there, before any body is asked for:
        None lets the request in (and may have set `request.user`), a Response is the answer instead. It may return an
        awaitable of either. `everywhere` runs it for every request of the server, before the route's own.
        """
        if name in self.guards:
            raise ConfigError(f"plugin {self.name} declares the guard {name!r} twice")
        self.guards[name] = guard
        if everywhere:
            self.everywhere.append(guard)

    def middleware(self, middleware: Middleware) -> None:
        """`async def middleware(request, handler): return await handler(request)` around every handler (guards have
        let the request in by then). The first declared is the outermost. Every request then runs in a task.
        """
        self.middlewares.append(middleware)

    # -- what other plugins meet -------------------------------------------------------------------------------------

    def provide(self, name: str, service: object) -> None:
        """Offer `service` to the other plugins of this generation. Two of one name stop the start."""
        self._generation.provide(self.name, name, service)

    def service(self, name: str) -> Any:
        """Another plugin's service, whatever the order of the sections. Ask in a start hook or later: all `setup`s
        have run by then. ConfigError that names both plugins if nobody provides it.
        """
        return self._generation.service(self.name, name)

    def keep(
        self,
        name: str,
        factory: Callable[[], T],
        *,
        start: Callable[[T], Awaitable[None] | None] | None = None,
        stop: Callable[[T], Awaitable[None] | None] | None = None,
    ) -> T:
        """State that survives a reload: what the last generation kept under `name`, else `factory()`.

        `start(value)` runs once, before the start hooks of the generation that made it; `stop(value)` once, after the
        last generation that keeps it is gone. Keep data, and build what depends on options anew around it.
        """
        return self._generation.keep(f"{self.name}:{name}", factory, start, stop)

    # -- time, work and life -----------------------------------------------------------------------------------------

    def every(self, seconds: float, hook: Hook) -> None:
        """Call `hook()` every so often between start and stop; an `async` one is never started while it still runs."""
        if not seconds > 0:
            raise ConfigError(f"plugin {self.name}: a timer every {seconds:g} s would never let go")
        self.timers.append((seconds, hook))

    def on_start(self, hook: Hook) -> None:
        """Run (and await) before the first request. An error stops the start: StartError in one line, others with
        their traceback.
        """
        self.start_hooks.append(hook)

    def on_stop(self, hook: Hook) -> None:
        """Run after the last request of this generation, in reverse order; also after a start that failed half-way,
        if this plugin's own start hooks had been begun.
        """
        self.stop_hooks.append(hook)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a task beside the requests; cancelled when the generation ends, its error logged."""
        return self._generation.spawn(coroutine)

    def offload(self, function: Callable[..., T], *args: Any, pool: str = "work") -> Future[T]:
        """Run blocking `function(*args)` in a helper thread; await the result.

        Pools: "work" (4 threads), "hash" (2, for password hashing), "store" (1, owns the databases; a queued write is
        never dropped, not even at stop). Over the bound of a pool's queue: Overloaded, which a client sees as 503.
        """
        return self._generation.host.offload(pool, function, *args)

    @property
    def http(self) -> Client:
        """The HTTP client of this process: `await plugin.http.request("GET", "http://…")`."""
        return self._generation.host.client

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; what intervals and expiry in memory are measured with."""
        return self._reactor.now

    def unix_time(self) -> float:
        """Seconds since 1970, for what is stored or shown. It may jump."""
        return self._generation.host.unix_time()

    # -- where it runs -----------------------------------------------------------------------------------------------

    @property
    def state_dir(self) -> Path:
        """Where this server keeps its data (`[server] state_dir`). Exists from the first start hook on."""
        return self._generation.config.state_dir

    def path(self, text: str) -> Path:
        """A path from an option: relative ones are relative to the config file."""
        return self._generation.config.directory / text

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether any listener of this generation can be reached from another machine."""
        return self._generation.config.listens_beyond_loopback
