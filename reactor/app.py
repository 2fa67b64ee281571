"""The running program: one reactor, one HTTP server, the helper threads, and the generation that serves.

    app = App(Reactor(), config, Log())
    await app.start()         # plugins set up and started, then the listeners
    await app.reload(config)  # the next generation takes over; connections stay
    await app.stop()          # drain, stop hooks, threads
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reactor.config import Config, with_connection_limit
from reactor.core.address import Address
from reactor.core.listener import bind
from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Cancelled, Future, Task, current_task, timeout
from reactor.errors import ReactorError, StartError
from reactor.generation import Generation
from reactor.http.client import Client
from reactor.http.server import HTTPServer, Settings
from reactor.log import Log

if TYPE_CHECKING:
    import socket

T = TypeVar("T")

# Password hashing, databases, names and the rest each have their own threads, so that none starves another. 16 logins
# may wait for the two hash threads (a second, about); a queue of writes is long, because a write is never dropped.
POOLS = {"hash": (2, 16), "names": (2, 64), "store": (1, 10_000), "work": (4, 64)}
# Descriptors that are not clients: listeners, databases, log files, upstream connections.
RESERVED_DESCRIPTORS = 64
# Seconds that the tasks of requests whose connection was cut have to tidy up before the stop hooks run.
TIDY_UP = 5.0


class PoolLike(Protocol):
    """What runs blocking functions for the loop: `core.offload.Pool`, or a fake."""

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]: ...
    def close(self) -> bool: ...


class App:
    """Everything of one process but the signals. `generation` is the one that new requests meet."""

    def __init__(
        self,
        reactor: Reactor,
        config: Config,
        log: Log,
        *,
        wall_clock: Callable[[], float] = time.time,
        make_pool: Callable[[str], PoolLike] | None = None,
    ) -> None:
        """Sets the plugins up but opens nothing; raises ConfigError."""
        self.reactor = reactor
        self.log = log
        self.unix_time = wall_clock
        self._make_pool = make_pool or self._start_pool
        self._pools: dict[str, PoolLike] = {}
        self._retiring: set[Generation] = set()
        self._changing: Task[Any] | None = None  # the task of a start or a reload that is under way
        self._client: Client | None = None
        reactor.on_error = lambda error, where: log.error(f"an unexpected error {where}", error)
        self.generation = Generation(self, config)
        self.server = HTTPServer(reactor, self.generation.site, wall_clock=wall_clock)
        self.server.on_error = lambda error, where: log.error(f"an error {where}", error)
        self.server.on_trouble = log.warning

    def settings_of(self, config: Config) -> Settings:
        """The bounds of `config`, with a number of connections where it names none. StartError if the system allows so
        few open files that there would be none.
        """
        room = descriptor_limit() - RESERVED_DESCRIPTORS
        if room < 1:
            raise StartError(
                f"this system allows {room + RESERVED_DESCRIPTORS} open files, and {RESERVED_DESCRIPTORS} of them are "
                f"needed beside the connections: raise the limit (ulimit -n 1024)"
            )
        return with_connection_limit(config.settings, room)

    # -- helper threads ----------------------------------------------------------------------------------------------

    def _start_pool(self, name: str) -> PoolLike:
        threads, queue = POOLS[name]
        # A hash is worth nothing to a client that is gone; a write that was queued is never dropped.
        return Pool(self.reactor, name, threads=threads, queue=queue, droppable=name == "hash")

    def pool(self, name: str) -> PoolLike:
        """The helper threads of that name (see POOLS), made when they are first asked for."""
        if name not in self._pools:
            self._pools[name] = self._make_pool(name)
        return self._pools[name]

    def offload(self, pool: str, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run `function(*args)` in the threads of `pool`. Overloaded, at once, if too much waits for them."""
        return self.pool(pool).run(function, *args)

    @property
    def client(self) -> Client:
        """The HTTP client of this process, made when it is first asked for."""
        if self._client is None:
            self._client = Client(self.reactor, self.pool("names"))
        return self._client

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises StartError or ConfigError in one line; nothing is left open then."""
        config = self.generation.config
        sockets = bind_all(config.listen)
        self._changing = current_task()
        try:
            await self.start_generation(self.generation)
            self._open_access(config)
            self._listen(sockets)
        except BaseException:
            self._unlisten(sockets)
            await self._close()
            raise
        finally:
            self._changing = None

    async def start_generation(self, generation: Generation) -> None:
        """Make its state directory and run its start hooks; StartError, and what they raise."""
        state_dir = generation.config.state_dir
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"cannot make the state directory {state_dir}: {error.strerror}") from None
        await generation.start()

    def _open_access(self, config: Config) -> None:
        has_log = self.log.open_access(config.server.access_log, config.directory)
        self.server.on_access = self.log.access if has_log else None

    def _listen(self, sockets: dict[Address, socket.socket]) -> None:
        for address, sock in sockets.items():
            self.server.listen(address, sock)

    def _unlisten(self, sockets: dict[Address, socket.socket]) -> None:
        """Give all of these back, those that are served already too."""
        for address, sock in sockets.items():
            if address in self.server.listeners:
                self.server.unlisten(address)
            sock.close()

    async def reload(self, config: Config) -> None:
        """Put `config` in place of the one that serves. If anything of it is wrong, the old one stays and the error
        is raised. Requests in flight end on the old routes; no connection is cut.
        """
        if self._changing is not None or self.server.draining:
            raise ReactorError("a start, a reload or the end is under way")
        self._changing = current_task()
        try:
            await self._reload(config)
        finally:
            self._changing = None

    async def _reload(self, config: Config) -> None:
        old = self.generation
        new = Generation(self, config, old)
        sockets = bind_all([address for address in config.listen if address not in old.config.listen])
        try:
            await self.start_generation(new)
            self._listen(sockets)
            self._open_access(config)  # the last that can fail
        except BaseException:
            self._unlisten(sockets)
            await new.stop()
            raise
        for address in set(self.server.listeners) - set(config.listen):
            self.server.unlisten(address)
        self.generation = new
        self.server.site = new.site
        old.pause()
        self._retiring.add(old)
        self.reactor.spawn(self._retire(old))

    async def _retire(self, generation: Generation) -> None:
        await generation.site.retire(self.reactor)
        await generation.stop()
        self._retiring.discard(generation)

    async def stop(self) -> None:
        """Drain the connections, then stop the plugins and the threads. A start or a reload that is under way is
        cancelled, and undone.
        """
        drained = self.server.close()
        if self._changing is not None:
            changing = self._changing
            changing.cancel()
            try:
                await changing
            except (Exception, Cancelled):
                pass  # whoever began it hears of it
        await drained
        await self._tidied_up()
        await self._close()

    async def _tidied_up(self) -> None:
        """The handlers whose connection was cut have been cancelled; their `finally` may still wait for something."""
        try:
            async with timeout(TIDY_UP):
                for generation in [*self._retiring, self.generation]:
                    await generation.site.retire(self.reactor)
        except TimeoutError:
            self.log.warning("a handler did not end in time and was left behind")

    async def _close(self) -> None:
        for generation in [*self._retiring, self.generation]:
            await generation.stop()
        if self._client is not None:
            self._client.close()
        self.log.close_access()
        for name, pool in self._pools.items():
            if not pool.close():
                self.log.warning(f"the {name} threads did not end in time and were left behind")


def bind_all(addresses: list[Address]) -> dict[Address, socket.socket]:
    """Bind each, or none: StartError closes those that worked."""
    sockets: dict[Address, socket.socket] = {}
    try:
        for address in addresses:
            sockets[address] = bind(address)
    except BaseException:
        for sock in sockets.values():
            sock.close()
        raise
    return sockets


def descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and tell it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1_000_000
