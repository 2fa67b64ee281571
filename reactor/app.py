"""The running program: one reactor, one HTTP server, the helper threads, and the generation that serves.

    app = App(Reactor(), config, Log())
    await app.start()         # plugins set up and started, then the listeners
    await app.reload(config)  # the next generation takes over; connections stay
    await app.stop()          # drain, stop hooks, threads
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from reactor.config import Config, with_connection_limit
from reactor.core.listener import Address, bind
from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Future
from reactor.errors import ReactorError, StartError
from reactor.generation import Generation
from reactor.http.client import Client
from reactor.http.server import HTTPServer, Settings
from reactor.log import Log

T = TypeVar("T")

# Password hashing, databases, names and the rest each have their own threads, so that none starves another. 16 logins
# may wait for the two hash threads (a second, about); a queue of writes is long, because a write is never dropped.
POOLS = {"hash": (2, 16), "names": (2, 64), "store": (1, 10_000), "work": (4, 64)}
# Descriptors that are not clients: listeners, databases, log files, upstream connections.
RESERVED_DESCRIPTORS = 64


class PoolLike(Protocol):
    def run(self, function: Callable[..., T], *args: Any) -> Future[T]: ...
    def close(self) -> bool: ...


class App:
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
        self._reloading = False
        self._client: Client | None = None
        reactor.on_error = lambda error, where: log.error(f"an unexpected error {where}", error)
        self.generation = Generation(self, config)
        self.server = HTTPServer(reactor, self.generation.site, wall_clock=wall_clock)
        self.server.on_error = lambda error, where: log.error(f"an error {where}", error)
        self.server.on_trouble = log.warning

    def settings_of(self, config: Config) -> Settings:
        return with_connection_limit(config.settings, descriptor_limit() - RESERVED_DESCRIPTORS)

    # -- helper threads ----------------------------------------------------------------------------------------------

    def _start_pool(self, name: str) -> PoolLike:
        threads, queue = POOLS[name]
        return Pool(self.reactor, name, threads=threads, queue=queue)

    def pool(self, name: str) -> PoolLike:
        if name not in self._pools:
            self._pools[name] = self._make_pool(name)
        return self._pools[name]

    def offload(self, pool: str, function: Callable[..., T], *args: Any) -> Future[T]:
        return self.pool(pool).run(function, *args)

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.reactor, self.pool("names"))
        return self._client

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises StartError or ConfigError in one line; nothing is left open then."""
        config = self.generation.config
        sockets = bind_all(config.listen)
        try:
            await self.start_generation(self.generation)
            self._open_access(config)
            self._listen(sockets)
        except BaseException:
            for sock in sockets.values():
                sock.close()
            await self._close()
            raise

    async def start_generation(self, generation: Generation) -> None:
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
        for address in list(sockets):
            self.server.listen(address, sockets[address])
            del sockets[address]

    async def reload(self, config: Config) -> None:
        """Put `config` in place of the one that serves. If anything of it is wrong, the old one stays and the error
        is raised. Requests in flight end on the old routes; no connection is cut.
        """
        if self._reloading:
            raise ReactorError("a reload is under way")
        self._reloading = True
        try:
            await self._reload(config)
        finally:
            self._reloading = False

    async def _reload(self, config: Config) -> None:
        old = self.generation
        new = Generation(self, config, old)
        sockets = bind_all([address for address in config.listen if address not in old.config.listen])
        try:
            await self.start_generation(new)
            self._listen(sockets)
        except BaseException:
            for sock in sockets.values():
                sock.close()
            raise
        for address in set(old.config.listen) - set(config.listen):
            self._unlisten(address)
        self.generation = new
        self.server.site = new.site
        self._open_access(config)
        old.pause()
        self._retiring.add(old)
        old.site.retire(lambda: self._retire(old))

    def _unlisten(self, address: Address) -> None:
        if address in self.server.listeners:
            self.server.unlisten(address)

    def _retire(self, generation: Generation) -> None:
        self._retiring.discard(generation)
        self.reactor.spawn(generation.stop()).on_done(lambda _: None)

    async def stop(self) -> None:
        """Drain the connections, then stop the plugins and the threads."""
        await self.server.close()
        await self._close()

    async def _close(self) -> None:
        for generation in [*self._retiring, self.generation]:
            await generation.stop()
        if self._client is not None:
            self._client.close()
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
