"""What a plugin sees: the object that its `setup(plugin, options)` is given.

`setup` only declares. It may read files that its options name, but opens no socket, database or thread: `--check`
runs it to print the route table, and a reload runs it beside the generation that is serving. What has to be opened is
opened by `on_start` hooks, or belongs to something kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from reactor.core.address import Address, parse_address
from reactor.core.descriptors import descriptor_limit
from reactor.core.dial import dial
from reactor.core.loop import Reactor
from reactor.core.task import Future, Task
from reactor.core.transport import ConnectionProtocol
from reactor.errors import ConfigError
from reactor.http.handed import ProtocolFactory, can_begin_http
from reactor.http.hosts import host_key
from reactor.http.message import Guard, Handler, Middleware
from reactor.http.router import METHODS, RouteError
from reactor.http.upgrade import WebSocketHandler
from reactor.http.wsconnection import SocketHandler, SocketSettings

if TYPE_CHECKING:
    from reactor.generation import Generation
    from reactor.http.client import Client
    from reactor.log import Log
    from reactor.own_listener import OwnListener
    from reactor.plugin_metrics import PluginMetrics

T = TypeVar("T")
P = TypeVar("P", bound=ConnectionProtocol)
Hook = Callable[[], Awaitable[None] | None]
Check = Callable[[], str | None]


# Where a listener of a plugin's own is if nothing else is said.
OWN_PORT = 9100


class Setup(Protocol):
    """What makes a plugin: a module of that form, or an object. Its class `Options` is looked for as well."""

    def setup(self, plugin: Plugin, options: Any, /) -> None: ...


def find_plugin(use: str) -> Any:
    """What has the `setup` that `use` names: `module`, or `module:name` for an object in it. `module:setup`, as entry
    points may have it, is the module. Raises what the import raises, and AttributeError.
    """
    module, _, name = use.removesuffix(":setup").partition(":")
    found = importlib.import_module(module)
    return attrgetter(name)(found) if name else found


class RouteSpec(NamedTuple):
    """What `Plugin.route` was told; the generation makes a Route of it."""

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    guard: str | None
    max_body: int | None


class HostSpec(NamedTuple):
    """What `Plugin.host` was told."""

    name: str
    handler: Handler
    guard: str | None
    max_body: int | None


class Plugin:
    """One plugin in one generation of the configuration."""

    def __init__(
        self, name: str, generation: Generation, options: object = None, parts: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self.options = options
        self.parts = parts or {}  # sections [NAME:PART] by PART: what its module's `Part` makes of them
        self._generation = generation
        self._reactor = generation.host.reactor
        self.log: Log = generation.host.log
        self.routes: list[RouteSpec] = []
        self.hosts: list[HostSpec] = []
        self.guards: dict[str, Guard] = {}
        self.everywhere: list[Guard] = []
        self.middlewares: list[Middleware] = []
        self.claims: dict[int, ProtocolFactory] = {}
        self.timers: list[tuple[float, Hook]] = []
        self.start_hooks: list[Hook] = []
        self.stop_hooks: list[Hook] = []
        self.drain_hooks: list[Hook] = []
        self.checks: list[Check] = []
        self._metrics: PluginMetrics | None = None

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

    def host(self, name: str, handler: Handler, *, guard: str | None = None, max_body: int | None = None) -> None:
        """Answer every request for the host `name` ("shop.example", or for one port "shop.example:8080") with
        `handler`, whatever its method and path; it wins over all routes. The handler is called at the head, also a
        plain one: the body is in `request.stream`. A name that is none, or is taken, stops the start.
        """
        try:
            key = host_key(name)
        except RouteError as error:
            raise ConfigError(str(error)) from None
        if any(host_key(host.name) == key for host in self.hosts):
            raise ConfigError(f"the host {key} is named twice")
        self.hosts.append(HostSpec(name, handler, guard, max_body))

    def websocket(
        self,
        pattern: str,
        handler: SocketHandler,
        *,
        guard: str | None = None,
        protocols: Sequence[str] = (),
        origins: Sequence[str] = (),
        max_message: int = SocketSettings.max_message,
        max_queue: int = SocketSettings.max_queue,
        ping_after: float = SocketSettings.ping_after,
        pong_timeout: float = SocketSettings.pong_timeout,
        deflate: bool = SocketSettings.deflate,
    ) -> None:
        """Serve WebSockets at `pattern`: `async def handler(ws)` for each, whose return closes it with 1000 and whose
        error with 1011. `guard` is asked before it opens, as for a route.

        The subprotocol is the first of `protocols` that the client offers. A page may open one if it is of this host,
        or its origin (`https://chat.example.org`) is one of `origins`. `max_message` bytes are the most of a message
        that comes, 1009 over it; `max_queue` the most that a client leaves unread, 1013. After `ping_after` seconds of
        silence (0: never) it is asked, and has `pong_timeout` seconds. `deflate` allows permessage-deflate.
        """
        settings = SocketSettings(max_message, max_queue, ping_after, pong_timeout, deflate=deflate)
        opening = WebSocketHandler(handler, protocols=protocols, origins=origins, settings=settings)
        self.route("GET", pattern, opening, guard=guard)

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

    def protocol(self, first_byte: bytes, factory: ProtocolFactory) -> None:
        """Take connections to the HTTP listeners whose very first byte is `first_byte`, one that no request begins with
        (such as `b"{"`). `factory(address)` makes the protocol (see `ConnectionProtocol`) of a client at that address,
        which gets the connection whole; None closes it. Two plugins with one byte stop the start.
        """
        if len(first_byte) != 1 or can_begin_http(first_byte):
            words = "an HTTP request may begin with it" if len(first_byte) == 1 else "it is not one byte"
            raise ConfigError(f"plugin {self.name} cannot claim connections that begin with {first_byte!r}: {words}")
        if first_byte[0] in self.claims:
            raise ConfigError(f"plugin {self.name} claims connections that begin with {first_byte!r} twice")
        self.claims[first_byte[0]] = factory

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
        dump: Callable[[T], bytes] | None = None,
        load: Callable[[T, bytes], object] | None = None,
    ) -> T:
        """State that survives a reload: what the last generation kept under `name`, else `factory()`.

        `start(value)` runs once, before the start hooks of the generation that made it; `stop(value)` once, after the
        last generation that keeps it is gone. Keep data, and build what depends on options anew around it.

        With `dump` and `load` it also goes to a process that takes over: `dump(value)` is called once nobody new is let
        in, and `load(value, data)` there, after the start hooks and before the first request. What changes in between,
        by requests that are still under way here, is lost.
        """
        return self._generation.keep(f"{self.name}:{name}", factory, start, stop, dump, load)

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

    def on_drain(self, hook: Hook) -> None:
        """Run when the end of the process begins, while requests are still under way: for what another process may be
        waiting to have, such as a lock. Whoever asks for it from now on is to be refused.
        """
        self.drain_hooks.append(hook)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a task beside the requests; cancelled when the generation ends, its error logged."""
        return self._generation.spawn(coroutine)

    def offload(self, function: Callable[..., T], *args: Any, pool: str = "work") -> Future[T]:
        """Run blocking `function(*args)` in a helper thread; await the result.

        Pools: "work" (4 threads), "hash" (2, for password hashing), "store" (1, owns the databases; a queued write is
        never dropped, not even at stop). Over the bound of a pool's queue: Overloaded, which a client sees as 503.
        """
        return self._generation.host.offload(pool, function, *args)

    async def dial(self, address: Address, factory: Callable[[], P], *, seconds: float = 10.0) -> P:
        """Connect, and return the protocol that `factory` made for it. DialError says why not, and DialTimeout that
        nobody answered within `seconds`.
        """
        return await dial(self._reactor, self._generation.host.pool("names"), address, factory, seconds=seconds)

    @property
    def http(self) -> Client:
        """The HTTP client of this process: `await plugin.http.request("GET", "http://…")`."""
        return self._generation.host.client

    def take_files(self, wanted: int) -> int:
        """Keep so many open files from the connections, for this plugin; at most a quarter of those that the system
        allows. How many they are. For `setup`.
        """
        taken = min(wanted, descriptor_limit() // 4)
        self._generation.files_taken += taken
        return taken

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; what intervals and expiry in memory are measured with."""
        return self._reactor.now

    def unix_time(self) -> float:
        """Seconds since 1970, for what is stored or shown. It may jump."""
        return self._generation.host.unix_time()

    # -- what is seen from outside -----------------------------------------------------------------------------------

    @property
    def metrics(self) -> PluginMetrics:
        """Numbers for who watches: `metrics.counter("asked_total", "Questions.")` and its like. Declared in `setup`;
        what was counted survives a reload.
        """
        if self._metrics is None:
            self._metrics = self._generation.add_metrics(self.name)
        return self._metrics

    def ready(self, check: Check) -> None:
        """Let `check()` say, in words, why no requests should be sent here just now; None if they may. It is asked each
        time somebody looks, and must answer at once. What it raises is such a reason too.
        """
        self.checks.append(check)

    def why_not_ready(self) -> list[str]:
        """What this plugin's own checks say."""
        return [why for why in map(_ask, self.checks) if why]

    @property
    def server_troubles(self) -> list[str]:
        """Why no requests should be sent to this server just now: it stops, it still starts, or what the checks of all
        plugins say. Nothing if it is ready.
        """
        return self._generation.host.why_not_ready()

    def own_listener(self, address: str) -> OwnListener:
        """HTTP on an address of this plugin's own (`127.0.0.1:9100`, port 0 for a free one), with nothing there but
        what its `route(methods, pattern, handler)` is told: no guard, no middleware, no bound that is for the clients
        of the server. Open from before the first start hook until the end, over reloads too. ConfigError for what is no
        address.
        """
        try:
            return self._generation.own_listener(self.name, parse_address(address, OWN_PORT))
        except ValueError as error:
            raise ConfigError(str(error)) from None

    # -- where it runs -----------------------------------------------------------------------------------------------

    @property
    def reactor(self) -> Reactor:
        """The loop, for what speaks more than HTTP. Nothing that blocks belongs on it, and stopping it is not yours."""
        return self._reactor

    @property
    def addresses(self) -> list[Address]:
        """Where this generation listens without TLS; from the first start hook on with the ports that the system chose
        for 0.
        """
        return self._generation.host.addresses_of(self._generation.config)

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


def _ask(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:
        return f"its check failed: {type(error).__name__}: {error}"
