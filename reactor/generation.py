"""One generation of the configuration: its plugins, their routes and services, from setup to the last request.

A reload builds the next generation beside the one that serves. Nothing of the old one is touched until the new one
has started; then new requests go to the new routes, and the old one stops when its last request has ended. What a
plugin keeps (`Plugin.keep`) belongs to no generation: it is stopped when none holds it any more.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from reactor.assembly import Assembly
from reactor.config import Config, Section
from reactor.core.address import Address
from reactor.core.task import Cancelled, Future, Task, timeout
from reactor.core.timers import Timer
from reactor.errors import ConfigError, StartError
from reactor.http.defaults import security_fields
from reactor.http.server import Site
from reactor.kept import Shelf
from reactor.metrics import Metrics
from reactor.own_listener import Entrance, OwnListener
from reactor.plugin import Hook, Plugin, find_plugin
from reactor.plugin_metrics import PluginMetrics

if TYPE_CHECKING:
    from reactor.app import App

T = TypeVar("T")

# What a stop hook, or a background task that was cancelled, may take before the others go on without it.
STOP_SECONDS = 10.0


class Generation:
    """Made of a Config; `site` is what it serves. Raises ConfigError if the plugins and the config do not fit."""

    def __init__(self, host: App, config: Config, previous: Generation | None = None) -> None:
        self.host = host
        self.config = config
        self.shelf: Shelf = Shelf(previous.shelf if previous is not None else None)
        self._services: dict[str, tuple[str, object]] = {}
        self._tasks: set[Future[Any]] = set()
        self._timers: dict[object, Timer] = {}
        self._running = False
        self._ended: Future[None] | None = None  # from the first `stop` on
        self._begun: list[Plugin] = []
        self.metrics: list[Metrics] = []
        self.own_listeners: list[OwnListener] = []
        self.counts_requests = False
        self.tls = config.load_tls()
        self.files_taken = 0  # open files that plugins keep for themselves
        self.plugins = [self._set_up(section) for section in config.plugins]
        self.shelf.settle()
        assembly = Assembly(config, self.plugins)
        self.site = Site(
            assembly.router, host.settings_of(config, self.files_taken), assembly.claims, assembly.hosts, config.trust,
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
        return self.shelf.keep(key, factory, start, stop, dump, load)

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
            await self.shelf.hold()
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
        await self.shelf.release(self._run_stop)

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
