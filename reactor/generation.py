"""One generation of the configuration: its plugins, their routes and services, from setup to the last request.

A reload builds the next generation beside the one that serves. Nothing of the old one is touched until the new one
has started; then new requests go to the new routes, and the old one stops when its last request has ended. What a
plugin keeps (`Plugin.keep`) belongs to no generation: it is stopped when none holds it any more.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial, reduce
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from reactor.config import Config, Section
from reactor.core.address import Address
from reactor.core.task import Cancelled, Future, Task, timeout
from reactor.core.timers import Timer
from reactor.errors import ConfigError, StartError
from reactor.http.defaults import security_fields
from reactor.http.handed import ProtocolFactory
from reactor.http.hosts import Hosts
from reactor.http.message import Guard, Handler, Request, Response
from reactor.http.router import Route, RouteError, Router, is_async
from reactor.http.server import Site
from reactor.metrics import Metrics
from reactor.own_listener import Entrance, OwnListener
from reactor.plugin import Hook, Plugin, find_plugin
from reactor.plugin_metrics import PluginMetrics

if TYPE_CHECKING:
    from reactor.app import App

T = TypeVar("T")

# What a stop hook, or a background task that was cancelled, may take before the others go on without it.
STOP_SECONDS = 10.0


class _Kept:
    """State that outlives a generation, and how many of them hold it."""

    def __init__(
        self, value: Any, start: Callable[[Any], Any] | None, stop: Callable[[Any], Any] | None,
        dump: Callable[[Any], bytes] | None, load: Callable[[Any, bytes], object] | None,
    ) -> None:  # fmt: skip
        self.value, self.start, self.stop, self.dump, self.load = value, start, stop, dump, load
        self.started = False
        self.holders = 0


class Generation:
    """Made of a Config; `site` is what it serves. Raises ConfigError if the plugins and the config do not fit."""

    def __init__(self, host: App, config: Config, previous: Generation | None = None) -> None:
        self.host = host
        self.config = config
        self._previous = previous
        self._services: dict[str, tuple[str, object]] = {}
        self._kept: dict[str, _Kept] = {}
        self._tasks: set[Future[Any]] = set()
        self._timers: dict[object, Timer] = {}
        self._running = False
        self._ended: Future[None] | None = None  # from the first `stop` on
        self._begun: list[Plugin] = []
        self._held: list[_Kept] = []
        self.metrics: list[Metrics] = []
        self.own_listeners: list[OwnListener] = []
        self.counts_requests = False
        self.tls = config.load_tls()
        self.plugins = [self._set_up(section) for section in config.plugins]
        self._previous = None  # a chain of all configurations would never be freed
        self.site = Site(
            self._build_router(), host.settings_of(config), self._collect_claims(), self._build_hosts(), config.trust,
            security_fields(config.server.security_headers, config.server.hsts), config.announcers,
        )  # fmt: skip

    # -- setup -------------------------------------------------------------------------------------------------------

    def _set_up(self, section: Section) -> Plugin:
        name = section.name.partition(":")[2]
        module = self._find(section, name)
        setup = getattr(module, "setup", None)
        if setup is None:
            what = f"the module {module.__name__}" if isinstance(module, ModuleType) else repr(module)
            raise self.config.error(f"{what} has no setup(plugin, options)", section.name)
        try:
            options = self.config.options(section, getattr(module, "Options", None))
            plugin = Plugin(name, self, options, self._parts(name, getattr(module, "Part", None)))
            setup(plugin, options)
        except ConfigError as error:
            if error.file:
                raise
            raise self.config.error(error.message, error.section or section.name, error.key) from None
        except StartError:
            raise
        except Exception as error:
            raise self.config.error(f"a plugin failed in its setup: {_in_a_line(error)}", section.name) from error
        return plugin

    def _parts(self, name: str, kind: type | None) -> dict[str, Any]:
        """The sections [NAME:PART], as what the plugin's `Part` makes of each."""
        sections = self.config.parts.get(name, {})
        if sections and kind is None:
            raise self.config.error(f"the plugin {name} has no such sections", next(iter(sections.values())).name)
        return {part: self.config.options(section, kind) for part, section in sections.items()}

    def _find(self, section: Section, name: str) -> Any:
        """The plugin's module, or what it has the `setup` in: the key `use`, else what the program has given, else an
        entry point, else `plugins.NAME`.
        """
        use = section.values.get("use")
        if use:
            return self._import(use, section, "use")
        if name in self.host.given:
            return self.host.given[name]
        for point in entry_points(group="reactor.plugins", name=name):
            return self._import(point.value, section, "")
        return self._import(f"plugins.{name}", section, "")

    def _import(self, use: str, section: Section, key: str) -> Any:
        try:
            return find_plugin(use)
        except Exception as error:
            module, _, name = use.partition(":")
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing is not None and (module + ".").startswith(missing + "."):
                raise self.config.error(f"there is no module {module}: no such plugin", section.name, key) from None
            if name and isinstance(error, AttributeError) and module in sys.modules:
                raise self.config.error(f"the module {module} has no {name}", section.name, key) from None
            words = f"a plugin failed to be imported: {_in_a_line(error)}"
            raise self.config.error(words, section.name, key) from error

    def _build_router(self) -> Router:
        self._check_guards()
        everywhere = [guard for plugin in self.plugins for guard in plugin.everywhere]

        def fallback(handler: Handler) -> Route:
            return Route((), "", self._wrap(handler, reads_body=False), guard=_all_of(everywhere))

        router = Router(fallback)
        for plugin in self.plugins:
            for spec in plugin.routes:
                guards = [*everywhere, self._guard(plugin, spec.guard)] if spec.guard else everywhere
                route = Route(
                    spec.methods, spec.pattern, self._wrap(spec.handler), guard=_all_of(guards),
                    guard_name=spec.guard or "", max_body=spec.max_body, owner=f"plugin {plugin.name}",
                )  # fmt: skip
                try:
                    router.add(route)
                except RouteError as error:
                    raise self.config.error(str(error), f"plugin:{plugin.name}") from None
        return router

    def _build_hosts(self) -> Hosts | None:
        everywhere = [guard for plugin in self.plugins for guard in plugin.everywhere]
        hosts = Hosts()
        for plugin in self.plugins:
            for spec in plugin.hosts:
                guards = [*everywhere, self._guard(plugin, spec.guard)] if spec.guard else everywhere
                route = Route(
                    (), "", self._wrap(spec.handler, reads_body=False), guard=_all_of(guards),
                    guard_name=spec.guard or "", max_body=spec.max_body, owner=f"plugin {plugin.name}",
                    takes_stream=True,
                )  # fmt: skip
                try:
                    hosts.add(spec.name, route)
                except RouteError as error:
                    raise self.config.error(str(error), f"plugin:{plugin.name}") from None
        return hosts if hosts.routes else None

    def _check_guards(self) -> None:
        """Two of one name: a route could not tell which of them it is behind."""
        owners: dict[str, str] = {}
        for plugin in self.plugins:
            for name in plugin.guards:
                if name in owners:
                    words = f"the guard {name!r} is already declared by plugin {owners[name]}"
                    raise self.config.error(words, f"plugin:{plugin.name}")
                owners[name] = plugin.name

    def _collect_claims(self) -> dict[int, ProtocolFactory]:
        """The first bytes of all plugins; two cannot have one connection."""
        owners: dict[int, Plugin] = {}
        for plugin in self.plugins:
            for byte in plugin.claims:
                if byte in owners:
                    words = f"connections that begin with {bytes([byte])!r} are already plugin {owners[byte].name}'s"
                    raise self.config.error(words, f"plugin:{plugin.name}")
                owners[byte] = plugin
        return {byte: plugin.claims[byte] for byte, plugin in owners.items()}

    def _guard(self, plugin: Plugin, name: str) -> Guard:
        for other in self.plugins:
            if name in other.guards:
                return other.guards[name]
        raise self.config.error(
            f"a route asks for the guard {name!r}, which no plugin here declares", f"plugin:{plugin.name}"
        )

    def _wrap(self, handler: Handler, reads_body: bool = True) -> Handler:
        """The handler inside all middleware; itself if there is none."""
        layers = [layer for plugin in self.plugins for layer in plugin.middlewares]
        if not layers:
            return handler
        inner = _as_async(handler, reads_body)
        for layer in reversed(layers):
            inner = _layered(layer, inner)
        return inner

    # -- what Plugin asks for ----------------------------------------------------------------------------------------

    def provide(self, owner: str, name: str, service: object) -> None:
        """See `Plugin.provide`; ConfigError if `name` is taken."""
        if name in self._services:
            raise ConfigError(f"the service {name!r} is already provided by plugin {self._services[name][0]}")
        self._services[name] = (owner, service)

    def service(self, asker: str, name: str) -> Any:
        """See `Plugin.service`; ConfigError if nobody provides it."""
        if name not in self._services:
            raise self.config.error(f"wants the service {name!r}, which no plugin here provides", f"plugin:{asker}")
        return self._services[name][1]

    def keep(
        self, key: str, factory: Callable[[], T], start: Callable[[T], Any] | None, stop: Callable[[T], Any] | None,
        dump: Callable[[T], bytes] | None = None, load: Callable[[T, bytes], object] | None = None,
    ) -> T:  # fmt: skip
        """See `Plugin.keep`; `key` has the plugin's name in it."""
        kept = self._kept.get(key)
        if kept is None and self._previous is not None:
            kept = self._previous._kept.get(key)
        if kept is None:
            kept = _Kept(factory(), start, stop, dump, load)
        self._kept[key] = kept
        value: T = kept.value
        return value

    def dump(self) -> dict[str, bytes]:
        """What a process that takes over is to have of what is kept."""
        return {key: kept.dump(kept.value) for key, kept in self._kept.items() if kept.dump is not None}

    def load(self, state: Mapping[str, bytes]) -> None:
        """The same in the new process. What no plugin keeps any more is left out."""
        for key, data in state.items():
            kept = self._kept.get(key)
            if kept is not None and kept.load is not None:
                kept.load(kept.value, data)

    def add_metrics(self, owner: str) -> PluginMetrics:
        """See `Plugin.metrics`."""

        def keep(key: str, factory: Callable[[], Any]) -> Any:
            return self.keep(f"{owner}:{key}", factory, None, None)

        metrics = PluginMetrics(owner, self, keep)
        self.metrics.append(metrics)
        return metrics

    def own_listener(self, owner: str, address: Address) -> OwnListener:
        """See `Plugin.own_listener`."""
        listener = OwnListener(self.host.settings_of(self.config), f"plugin {owner}")

        def make() -> Entrance:
            return Entrance(self.host, address, listener.site)

        listener.entrance = self.keep(f"{owner}:listener {address}", make, Entrance.open, Entrance.close)
        self.own_listeners.append(listener)
        return listener

    def why_not_ready(self) -> list[str]:
        """What the checks of the plugins say (`Plugin.ready`), and whether the start hooks are done."""
        if not self._running:
            return ["the start hooks are under way"]
        return [f"plugin {plugin.name}: {why}" for plugin in self.plugins for why in plugin.why_not_ready()]

    async def retire(self) -> None:
        """Wait for the end of the last request; no new ones come any more."""
        for site in (self.site, *(listener.site for listener in self.own_listeners)):
            await site.retire(self.host.reactor)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """See `Plugin.spawn`."""
        task = self.host.reactor.spawn(coroutine)
        if not task.done:
            self._tasks.add(task)
        task.on_done(self._task_ended)
        return task

    def _task_ended(self, task: Future[Any]) -> None:
        self._tasks.discard(task)
        if task.error is not None and not isinstance(task.error, Cancelled):
            self.host.log.error("a background task failed", task.error)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Run the start hooks. If one fails, what was started is stopped again and the error goes on."""
        try:
            for kept in self._kept.values():
                await self._hold(kept)
            for plugin in self.plugins:
                self._begun.append(plugin)
                for hook in plugin.start_hooks:
                    await _run(hook())
        except BaseException:
            await self.stop()
            raise
        self._running = True
        for plugin in self.plugins:
            for seconds, hook in plugin.timers:
                self._schedule(object(), plugin, seconds, hook)

    async def _hold(self, kept: _Kept) -> None:
        if not kept.started and kept.start is not None:
            await _run(kept.start(kept.value))
        kept.started = True
        kept.holders += 1
        self._held.append(kept)

    def _schedule(self, key: object, plugin: Plugin, seconds: float, hook: Hook) -> None:
        if self._running:
            self._timers[key] = self.host.reactor.call_later(seconds, self._tick, key, plugin, seconds, hook)

    def _tick(self, key: object, plugin: Plugin, seconds: float, hook: Hook) -> None:
        task = self.host.reactor.spawn(self._run_timer(plugin, hook))
        task.on_done(lambda _: self._schedule(key, plugin, seconds, hook))
        if not task.done:
            self._tasks.add(task)
            task.on_done(self._task_ended)

    async def _run_timer(self, plugin: Plugin, hook: Hook) -> None:
        try:
            await _run(hook())
        except Exception as error:
            self.host.log.error(f"plugin {plugin.name}: a timer failed", error)

    def pause(self) -> None:
        """No timers any more: another generation has taken over, or the end has begun."""
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def drain(self) -> None:
        """The end of the process has begun: run the drain hooks."""
        for plugin in self.plugins:
            for hook in plugin.drain_hooks:
                await self._run_stop(f"plugin {plugin.name}: a drain hook failed", hook)

    async def stop(self) -> None:
        """After the last request: end the tasks, run the stop hooks in reverse order, let go of what was kept. An
        error in one is logged and stops none of the others. A second call waits for the end of the first.
        """
        if self._ended is not None:
            await self._ended
            return
        self._ended = Future(self.host.reactor)
        try:
            await self._stop()
        finally:
            self._ended.set_result(None)

    async def _stop(self) -> None:
        self.pause()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            await self._run_stop("a background task did not end", partial(_ended, task))
        while self._begun:
            plugin = self._begun.pop()
            for hook in reversed(plugin.stop_hooks):
                await self._run_stop(f"plugin {plugin.name}: a stop hook failed", hook)
        while self._held:
            await self._release(self._held.pop())

    async def _release(self, kept: _Kept) -> None:
        kept.holders -= 1
        if not kept.holders and kept.stop is not None:
            stop = kept.stop
            await self._run_stop("stopping what was kept failed", lambda: stop(kept.value))

    async def _run_stop(self, what: str, hook: Hook) -> None:
        """One step of the end; one that hangs is left behind."""
        try:
            async with timeout(STOP_SECONDS):
                await _run(hook())
        except TimeoutError:
            self.host.log.error(f"{what}: not done within {STOP_SECONDS:g} s, left behind")
        except Exception as error:
            self.host.log.error(what, error)


def _in_a_line(error: Exception) -> str:
    """What a traceback says, as far as it goes into one line."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:  # which says where it is
        return words
    return f"{words} ({frames[-1].filename}, line {frames[-1].lineno})"


async def _ended(task: Future[Any]) -> None:
    try:
        await task
    except (Exception, Cancelled) as error:
        if not task.done:
            raise error  # ours, not the task's


async def _run(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _all_of(guards: list[Guard]) -> Guard | None:
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
