"""The running program: one reactor, one HTTP server, the helper threads, and the generation that serves.

    app = App(Reactor(), config, Log())
    await app.start()         # plugins set up and started, then the listeners
    await app.reload(config)  # the next generation takes over; connections stay
    await app.stop()          # drain, stop hooks, threads
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reactor.config import Config, with_connection_limit
from reactor.core.address import Address
from reactor.core.certificates import ServerTLS
from reactor.core.descriptors import descriptor_limit
from reactor.core.inherited import Inherited
from reactor.core.listener import Listener
from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Cancelled, Future, Task, current_task, timeout
from reactor.errors import ReactorError, StartError
from reactor.generation import Generation
from reactor.http.client import Client
from reactor.http.redirection import Redirection
from reactor.http.server import HTTPServer, Settings
from reactor.log import Log
from reactor.observer import Observer
from reactor.plugin import Setup
from reactor.sockets import Sockets
from reactor.takeover import hand_over

if TYPE_CHECKING:
    import socket

T = TypeVar("T")

# Password hashing, databases, names and the rest each have their own threads, so that none starves another. 32 logins
# may wait for the hash thread (less than a second); a queue of writes is long, because a write is never dropped. Who
# guesses passwords keeps the hash thread busy: it is one, which leaves a core to the loop where there are two (with two
# threads the p99 of everybody else was six times the quiet one, bench/logins.py), and it comes last where there is one.
HASH_NICE = 10
POOLS = {"hash": (1, 32), "names": (2, 64), "store": (1, 10_000), "work": (4, 64)}
# Descriptors that are not clients: listeners, databases, log files, upstream connections.
RESERVED_DESCRIPTORS = 64
# Seconds that the tasks of requests whose connection was cut have to tidy up before the stop hooks run.
TIDY_UP = 5.0


class PoolLike(Protocol):
    """What runs blocking functions for the loop: `core.offload.Pool`, or a fake."""

    rejected: int

    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
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
        given: Mapping[str, Setup] | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        """Sets the plugins up but opens nothing; raises ConfigError. `given` are plugins that need not be looked for,
        by the NAME of their section; `inherited` are listening sockets that are there already.
        """
        self.reactor = reactor
        self.log = log
        self.unix_time = wall_clock
        self.given = given or {}
        self._make_pool = make_pool or self._start_pool
        self.has_threads = make_pool is None
        self.pools: dict[str, PoolLike] = {}
        self._retiring: set[Generation] = set()
        self.sockets = Sockets(inherited)
        self._changing: Task[Any] | None = None  # the task of a start or a reload that is under way
        self._client: Client | None = None
        reactor.on_error = lambda error, where: log.error(f"an unexpected error {where}", error)
        self.generation = Generation(self, config)
        self.server = HTTPServer(reactor, self.generation.site, wall_clock=wall_clock)
        self.server.on_error = self.on_server_error
        self.server.on_trouble = log.warning
        self.server.handshakes.on_debug = log.debug
        self.observer = Observer(self)

    def on_server_error(self, error: BaseException, where: str) -> None:
        """What a handler raised, with its traceback."""
        self.log.error(f"an error {where}", error)

    def settings_of(self, config: Config, taken: int = 0) -> Settings:
        """The bounds of `config`, with a number of connections where it names none: what the system allows but for the
        `taken` files of plugins. StartError if it allows so few that there would be none.
        """
        room = descriptor_limit() - RESERVED_DESCRIPTORS
        if room < 1:
            raise StartError(
                f"this system allows {room + RESERVED_DESCRIPTORS} open files, and {RESERVED_DESCRIPTORS} of them are "
                f"needed beside the connections: raise the limit (ulimit -n 1024)"
            )
        return with_connection_limit(config.settings, max(room - taken, 1))

    # -- helper threads ----------------------------------------------------------------------------------------------

    def _start_pool(self, name: str) -> PoolLike:
        threads, queue = POOLS[name]
        # A hash is worth nothing to a client that is gone; a write that was queued is never dropped.
        is_hash = name == "hash"
        return Pool(self.reactor, name, threads=threads, queue=queue, droppable=is_hash, nice=HASH_NICE * is_hash)

    def pool(self, name: str) -> PoolLike:
        """The helper threads of that name (see POOLS), made when they are first asked for."""
        if name not in self.pools:
            self.pools[name] = self._make_pool(name)
        return self.pools[name]

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

    async def start(self, kept: Callable[[], Awaitable[Mapping[str, bytes]]] | None = None) -> None:
        """Raises StartError or ConfigError in one line; nothing is left open then. `kept` is asked for the state of the
        process whose place this one takes, just before the first connection is accepted.
        """
        config = self.generation.config
        self._changing = current_task()
        sockets: dict[Address, socket.socket] = {}
        try:
            sockets = self.sockets.bind(config.listeners, config.unix_mode)
            await self.start_generation(self.generation)
            self.observer.open(config)
            if kept is not None:
                self.generation.shelf.load(await kept())
            self._use(self.generation)
            self._listen(sockets)
            self.sockets.take_files()
        except BaseException:
            self._unlisten(sockets)
            await self._close()
            raise
        finally:
            self._changing = None
            for words in self.sockets.settle():
                self.log.warning(f"a listening socket was handed over that is not in the config: {words}")

    async def start_generation(self, generation: Generation) -> None:
        """Make its state directory and run its start hooks; StartError, and what they raise."""
        state_dir = generation.config.state_dir
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            words = f"cannot make the state directory {state_dir}: {error.strerror}; name another with state_dir"
            raise StartError(words) from None
        await generation.start()

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun: no connection is let in, and each answer is the last of its connection."""
        return self.server.draining

    def why_not_ready(self) -> list[str]:
        """What speaks against sending requests here, in words; nothing if it is ready."""
        if self.server.draining:
            return ["the server is stopping"]
        return self.generation.why_not_ready()

    def addresses_of(self, config: Config) -> list[Address]:
        """Where `config` listens without TLS, with the ports that the system has chosen, once it is bound."""
        return [self.sockets.bound.get(address, address) for address in config.listen]

    def _listen(self, sockets: dict[Address, socket.socket]) -> None:
        for address, sock in sockets.items():
            self.server.listen(address, sock)

    def _use(self, generation: Generation) -> None:
        """What new connections and requests meet from now on."""
        config, tls = generation.config, generation.tls
        self.generation = generation
        self.server.site = generation.site
        self.server.handshakes.tls = {} if tls is None else dict.fromkeys(config.listen_tls, tls)
        self.server.redirections = {} if tls is None else self._redirections(config, tls)
        self.log.verbose = config.server.verbose
        for listener in generation.own_listeners:
            listener.entrance.server.site = listener.site
        self.observer.use(generation)

    def _redirections(self, config: Config, tls: ServerTLS) -> Mapping[Address, Redirection]:
        first = config.listen_tls[0]
        port = config.server.redirect_port or self.sockets.bound.get(first, first).port
        return dict.fromkeys(config.listen_redirect, Redirection(tls, port))

    def _unlisten(self, sockets: dict[Address, socket.socket]) -> None:
        """Give all of these back, those that are served already too."""
        for address, sock in sockets.items():
            if address in self.server.listeners:
                self.server.unlisten(address)
            sock.close()
            self.sockets.left(address)

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
        added = [address for address in config.listeners if address not in old.config.listeners]
        leaving = [listener for address, listener in self.server.listeners.items() if address not in config.listeners]
        sockets = self.sockets.bind(added, config.unix_mode, [listener.sock for listener in leaving])
        try:
            await self.start_generation(new)
            self._listen(sockets)
            self.observer.open(config)  # the last that can fail
        except BaseException:
            self._unlisten(sockets)
            self.sockets.settle()
            await new.stop()
            raise
        for address in set(self.server.listeners) - set(config.listeners):
            self.server.unlisten(address)
            self.sockets.left(address)
        self.sockets.settle()
        self._use(new)
        for listener in self.server.listeners.values():
            listener.listen(config.settings.backlog)
        old.pause()
        self._retiring.add(old)
        self.reactor.spawn(self._retire(old))

    async def _retire(self, generation: Generation) -> None:
        await generation.retire()
        await generation.stop()
        self._retiring.discard(generation)

    async def hand_over(self) -> int:
        """Start this program once more and let it take over; its process id. Then it is time for `stop(gently=True)`.
        ReactorError says why it has not worked; this process serves as before then.
        """
        if self._changing is not None or self.server.draining:
            raise ReactorError("a start, a reload or the end is under way")
        self._changing = current_task()
        try:
            return await hand_over(self)
        finally:
            self._changing = None

    def all_listeners(self) -> dict[Address, Listener]:
        """Those of the server and of its plugins, by the address that was asked for."""
        own = (listener.entrance.server for listener in self.generation.own_listeners)
        return {address: found for server in (self.server, *own) for address, found in server.listeners.items()}

    def pause_listening(self) -> None:
        """Accept nobody; who comes waits."""
        for listener in self.all_listeners().values():
            listener.pause()

    def resume_listening(self) -> None:
        """Accept them after all."""
        for listener in self.all_listeners().values():
            listener.resume()

    async def stop(self, *, gently: bool = False) -> None:
        """Drain the connections, then stop the plugins and the threads. A start or a reload that is under way is
        cancelled, and undone. `gently`: see `HTTPServer.close`.
        """
        drained = self.server.close(gently=gently)
        if self._changing is not None:
            changing = self._changing
            changing.cancel()
            try:
                await changing
            except (Exception, Cancelled):
                pass  # whoever began it hears of it
        await self.generation.drain()
        await drained
        await self._tidied_up()
        await self._close()

    async def _tidied_up(self) -> None:
        """The handlers whose connection was cut have been cancelled; their `finally` may still wait for something."""
        try:
            async with timeout(TIDY_UP):
                for generation in [*self._retiring, self.generation]:
                    await generation.retire()
        except TimeoutError:
            self.log.warning("a handler did not end in time and was left behind")

    async def _close(self) -> None:
        for generation in [*self._retiring, self.generation]:
            await generation.stop()
        self.sockets.left_all()
        await self.server.close_handed()
        if self._client is not None:
            self._client.close()
        self.observer.close()
        for name, pool in self.pools.items():
            if not pool.close():
                self.log.warning(f"the {name} threads did not end in time and were left behind")
