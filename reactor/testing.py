"""Fakes for tests, public: a clock that stands still, a transport without a socket, and a whole app on both.

    with TestApp({"plugin:tracker": {}}, state_dir=tmp_path) as app:
        answer = app.post("/submit-info", json={"peer_id": "a", "ip": "10.0.0.1", "port": 9101})
        app.advance(120)
        assert app.get("/get-list").json()["total_peers"] == 0

The app is the real one (server, router, plugins, parser); only time, sockets and threads are replaced: a job for a
helper thread runs inside the loop's next turn, so a test sees the same order every time.
"""

from __future__ import annotations

import errno
import io
import json as json_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar
from urllib.parse import urlencode

from reactor.app import App
from reactor.config import Config
from reactor.core.loop import Reactor
from reactor.core.task import Future, set_current_reactor
from reactor.core.timers import NEVER
from reactor.core.transport import HIGH_WATER, RECV_SIZE, ConnectionProtocol, Pace
from reactor.errors import HTTPError, ReactorError
from reactor.log import Log
from reactor.plugin import find_plugin
from reactor.sansio.forms import FORM_TYPE
from reactor.sansio.head import RequestHead
from reactor.sansio.headers import Headers
from reactor.sansio.http1 import CLIENT, Connection, Data, End, ResponseHead
from reactor.testing_socket import TestSocket

T = TypeVar("T")
EPOCH = 1_700_000_000.0  # what `unix_time` says when a FakeClock is new


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def unix_time(self) -> float:
        """EPOCH, and what has passed since the clock was made."""
        return EPOCH + self.now - 1000.0


class _NoSockets:
    """A selector that never has anything."""

    def register(self, fileobj: int, events: int, data: Any = None) -> None: ...
    def modify(self, fileobj: int, events: int, data: Any = None) -> None: ...
    def unregister(self, fileobj: int) -> None: ...
    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        return []

    def close(self) -> None: ...


class FakeReactor(Reactor):
    """A reactor on a FakeClock and without sockets. Turn it with `settle` and `advance`."""

    clock: FakeClock

    def __init__(self, clock: FakeClock | None = None) -> None:
        super().__init__(clock or FakeClock(), _NoSockets())

    def settle(self, turns: int = 10_000) -> None:
        """Run until nothing is ready any more; no time passes. AssertionError if it never is."""
        for _ in range(turns):
            self._turn_once()
            if not self._ready and not self._from_threads and self.timers.next() > self.clock.now:
                return
        raise AssertionError(f"still busy after {turns} turns")

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each timer on the way."""
        end = self.clock.now + seconds
        self.settle()
        while (due := self.timers.next()) <= end:
            self.clock.now = max(due, self.clock.now)
            self.settle()
        self.clock.now = end
        self.settle()

    def _turn_once(self) -> None:
        before = set_current_reactor(self)
        try:
            self.turn()
        finally:
            set_current_reactor(before)


class InlinePool:
    """An offload pool without threads: a job runs in the loop's next turn."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self.waiting = self.running = self.rejected = 0

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run it in the loop's next turn; a raise is the Future's error."""
        future: Future[T] = Future(self._reactor)

        def work() -> None:
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_error(error)

        self._reactor.call_soon(work)
        return future

    def close(self) -> bool:
        """True, as of a pool whose threads have all ended."""
        return True


class MemoryTransport:
    """What a protocol needs of a transport, in memory. `sent` is what it has written; `stall` holds writes back, and
    what is fed while the protocol does not read waits until it does.
    """

    def __init__(
        self, reactor: Reactor, protocol: ConnectionProtocol, peer: object = ("127.0.0.1", 50_000),
        is_secure: bool = False,
    ) -> None:  # fmt: skip
        self.peer = peer
        self.is_secure = is_secure
        self.sent = bytearray()
        self.reading = True
        self.lost = False
        self.stall = False
        self.stall_limit = NEVER
        self.pace: Pace | None = None
        self.on_drained: Callable[[], object] | None = None
        self.unread = b""
        self._stalled = reactor.deadline(lambda: self.abort(OSError(errno.ETIMEDOUT, "took nothing")))
        self._held = bytearray()
        self._files: list[Callable[[], object]] = []  # who waits for the end of a file that is held
        self._incoming = bytearray()
        self._eof = self._ended = False  # fed, and delivered
        self._writer_paused = False
        self._closing = False
        self._reactor = reactor
        self._protocol = protocol
        protocol.connection_made(self)  # type: ignore[arg-type]

    # -- the protocol's side -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Append to `sent`; during a stall, hold it back."""
        if self.is_closing:
            return
        if self.stall:
            if not self._held:
                self.progress()
            self._held += data
            if len(self._held) > HIGH_WATER and not self._writer_paused:
                self._writer_paused = True
                self._reactor.call_soon(self._protocol.pause_writing)
        else:
            self.sent += data

    @property
    def is_direct(self) -> bool:
        """Nothing is held back, and nothing ends."""
        return not (self.stall or self._held or self.is_closing)

    @property
    def socket(self) -> MemoryTransport:
        """Itself: `send` takes all, or nothing during a stall."""
        return self

    def send(self, data: bytes) -> int:
        """As of a socket."""
        if not self.is_direct:
            raise BlockingIOError
        self.sent += data
        return len(data)

    def write_rest(self, data: bytes, sent: int) -> None:
        """What `send` has not taken."""
        self.write(data[sent:])

    def sendfile(self, file: IO[bytes], offset: int, size: int, on_done: Callable[[], object]) -> None:
        """The bytes of the file, as `write` has them."""
        file.seek(offset)
        self.write(file.read(size))
        if self._held:
            self._files.append(on_done)
        else:
            self._reactor.call_soon(on_done)

    @property
    def unsent(self) -> int:
        """Bytes that a stall holds back."""
        return len(self._held)

    @property
    def is_closing(self) -> bool:
        """Whether it has been closed or aborted."""
        return self._closing or self.lost

    def pause_reading(self) -> None:
        """What is fed from now on waits."""
        self.reading = False

    def resume_reading(self) -> None:
        """What has waited is delivered in the next turn."""
        self.reading = True
        if self._incoming or self._eof:
            self._reactor.call_soon(self._deliver)

    def keep_alive(self, idle: int, interval: int, probes: int) -> None:
        """Nothing dies unnoticed in memory."""

    def write_eof(self) -> None:
        """Not seen by the test: `sent` is all there is."""

    def close(self, linger: float = 0.0) -> None:
        """Lost once all is sent, so after the end of a stall."""
        self._closing = True
        if not self._held:
            self.abort()

    def abort(self, error: OSError | None = None) -> None:
        """Lost now; the protocol hears it in the next turn."""
        if not self.lost:
            self.lost = True
            self._stalled.close()
            self._held.clear()
            self._files_done()
            self._reactor.call_soon(self._protocol.connection_lost, error)

    def hand_over(self, protocol: ConnectionProtocol, data: bytes = b"") -> bool:
        """`protocol` has the connection from now on, and `data` first."""
        if self.is_closing:
            return False
        self._protocol, self.on_drained = protocol, None
        self.reading = True
        protocol.connection_made(self)  # type: ignore[arg-type]
        if data and not self.is_closing:
            protocol.data_received(data)
        self._eof = self._eof or self._ended
        self._reactor.call_soon(self._deliver)
        if self._writer_paused:
            self._reactor.call_soon(protocol.pause_writing)
        return True

    # -- the test's side ---------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """The peer sends `data`."""
        self._incoming += data
        self._deliver()

    def feed_eof(self) -> None:
        """The peer sends no more; it may still read."""
        self._eof = True
        self._deliver()

    def _deliver(self) -> None:
        before = set_current_reactor(self._reactor)
        try:
            while self._incoming and self.reading and not self.is_closing:
                data = bytes(self._incoming[:RECV_SIZE])
                del self._incoming[:RECV_SIZE]
                self._protocol.data_received(data)
            if self._eof and not self._incoming and self.reading and not self.is_closing:
                self._eof, self._ended = False, True
                self._protocol.eof_received()
        finally:
            set_current_reactor(before)

    def progress(self) -> None:
        """During a stall: the peer has taken something, so its `stall_limit` begins anew."""
        self._stalled.move(self._reactor.now + self.stall_limit)

    def release(self) -> None:
        """End a stall: the peer reads again."""
        self.stall = False
        self._stalled.move(NEVER)
        self.sent += self._held
        self._held.clear()
        self._files_done()
        if self.on_drained is not None:
            self._reactor.call_soon(self.on_drained)
        if self._closing:
            self.abort()
        elif self._writer_paused:
            self._writer_paused = False
            self._reactor.call_soon(self._protocol.resume_writing)

    def _files_done(self) -> None:
        files, self._files = self._files, []
        for on_done in files:
            self._reactor.call_soon(on_done)


class Answer:
    """A response, read to its end."""

    def __init__(self, head: ResponseHead, body: bytes) -> None:
        self.status = head.status
        self.headers = head.headers
        self.body = body

    @property
    def text(self) -> str:
        """The body, which is UTF-8 or raises."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return json_module.loads(self.body)

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.body[:200]!r}>"


Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class TestApp:
    """The real app on a fake clock, in memory. Raises ConfigError and StartError as the real start does."""

    __test__ = False  # not a test case, whatever its name says to pytest

    def __init__(
        self,
        sections: Mapping[str, Mapping[str, str]],
        *,
        state_dir: Path | str = "var",
        server: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """`sections` maps `plugin:NAME` to its options as text; `server` holds those of `[server]`."""
        self.clock = FakeClock()
        self.reactor = FakeReactor(self.clock)
        self.log_lines: list[str] = []
        self._directory = directory or Path.cwd()
        self._server = {"state_dir": str(Path(state_dir).resolve()), **(server or {})}
        self.app = App(
            self.reactor, self._config(sections), Log(self._logged), wall_clock=self.clock.unix_time,
            make_pool=lambda name: InlinePool(self.reactor),
        )  # fmt: skip

    def _config(self, sections: Mapping[str, Mapping[str, str]]) -> Config:
        return Config(config_text({"server": self._server, **sections}), "config.ini", self._directory)

    def _logged(self, stream: IO[str] | None, line: str | None, count: int = 1) -> None:
        if line is None:
            assert stream is not None
            stream.close()
        else:
            self.log_lines += line.splitlines()

    def __enter__(self) -> TestApp:
        self._run(self.app.start_generation(self.app.generation))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self.app.stop())

    def _run(self, coroutine: Any) -> Any:
        task = self.reactor.spawn(coroutine)
        for _ in range(1000):
            self.reactor.settle()
            if task.done:
                return task.result()
            self.reactor.advance(0.1)
        raise AssertionError("it never ends")

    def reload(self, sections: Mapping[str, Mapping[str, str]]) -> None:
        """Put other plugins or options in place, as SIGHUP does. Listeners do not exist here and do not change."""
        self._run(self.app.reload(self._config(sections)))

    def service(self, name: str) -> Any:
        """What a plugin provides under `name`; ConfigError if none does."""
        return self.app.generation.service("the test", name)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and happen what is due in them."""
        self.reactor.advance(seconds)

    def connect(self, client: str = "127.0.0.1", secure: bool = False) -> MemoryTransport:
        """A raw connection: `feed` bytes, look at `sent`. `secure`: as if they had come over TLS."""
        return MemoryTransport(self.reactor, self.app.server.new_connection(), (client, 50_000), secure)

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        form: Mapping[str, str] | None = None,
        json: Any = None,
        content_type: str = "",
        client: str = "127.0.0.1",
        secure: bool = False,
    ) -> Answer:
        """One request on a connection of its own; turns the reactor until it is answered (up to 100 s of its time)."""
        if form is not None:
            body, content_type = urlencode(form).encode(), content_type or FORM_TYPE
        elif json is not None:
            body, content_type = json_module.dumps(json).encode(), content_type or "application/json"
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if content_type:
            pairs.append(("Content-Type", content_type))
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", "127.0.0.1:8000"))
        head = RequestHead(method, target, Headers(pairs), length=len(body))
        asking = Connection(CLIENT)
        transport = self.connect(client, secure)
        transport.feed(asking.send(head) + asking.send(Data(body)) + asking.send(End()))
        return self._read_answer(asking, transport)

    def _read_answer(self, asking: Connection, transport: MemoryTransport) -> Answer:
        taken, head, body = 0, None, bytearray()
        for _ in range(1000):
            self.reactor.settle()
            asking.receive_data(bytes(transport.sent[taken:]))
            taken = len(transport.sent)
            if transport.lost:
                asking.receive_eof()
            while isinstance(event := asking.next_event(), (ResponseHead, Data, End)):
                if isinstance(event, ResponseHead):
                    head = event if event.status >= 200 else None
                elif isinstance(event, Data):
                    body += event.data
                if head is not None and (isinstance(event, End) or head.length == 0):
                    transport.abort()
                    self.reactor.settle()
                    return Answer(head, bytes(body))
            self.reactor.advance(0.1)
        raise AssertionError("no answer")

    def get(self, target: str, **more: Any) -> Answer:
        """`request("GET", target, …)`"""
        return self.request("GET", target, **more)

    def post(self, target: str, **more: Any) -> Answer:
        """`request("POST", target, …)`"""
        return self.request("POST", target, **more)

    def put(self, target: str, **more: Any) -> Answer:
        """`request("PUT", target, …)`"""
        return self.request("PUT", target, **more)


    def websocket(
        self, target: str, *, headers: Fields = (), protocols: Sequence[str] = (), client: str = "127.0.0.1"
    ) -> TestSocket:
        """Open a WebSocket; HTTPError with the status of a refusal."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        pairs = [("Host", "127.0.0.1:8000"), *_UPGRADE, *pairs]
        if protocols:
            pairs.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
        asking, transport = Connection(CLIENT), self.connect(client)
        transport.feed(asking.send(RequestHead("GET", target, Headers(pairs))) + asking.send(End()))
        for _ in range(1000):
            self.reactor.settle()
            asking.receive_data(bytes(transport.sent))
            transport.sent.clear()
            if isinstance(head := asking.next_event(), ResponseHead):
                if head.status != 101:
                    raise HTTPError(head.status, f"no WebSocket at {target}")
                agreed = head.headers.get("sec-websocket-protocol")
                return TestSocket(transport, self.reactor.settle, asking.take_rest(), agreed)
            self.reactor.advance(0.1)
        raise AssertionError("no answer")


# The key is that of RFC 6455 1.2: any will do.
_UPGRADE = [
    ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]  # fmt: skip


def config_text(sections: Mapping[str, Mapping[str, str]]) -> str:
    """INI text from dictionaries; the lines of a value are indented."""
    out = io.StringIO()
    for name, values in sections.items():
        out.write(f"[{name}]\n")
        for key, value in values.items():
            text = "\n    ".join(value.splitlines())
            out.write(f"{key} = {text}\n")
    return out.getvalue()


def check_plugin(use: str, options: Mapping[str, str] | None = None, *, state_dir: Path | str = "var") -> None:
    """Run a plugin through the contract; AssertionError says which part it breaks.

    Its module has a `setup` and documented options; `setup` opens nothing and may run beside another generation; it
    starts, stops, and starts again after a reload; each of its routes answers something that is no 500; a connection
    that begins with a byte it claims, and then ends, is no error.
    """
    module = find_plugin(use)
    assert callable(getattr(module, "setup", None)), f"{use} has no setup(plugin, options)"
    assert module.__doc__, f"{use} does not say what it is: it has no docstring"
    _check_options(module)
    section = {"plugin:checked": {"use": use, **(options or {})}}
    with TestApp(section, state_dir=state_dir) as app:
        for round_ in ("started", "reloaded"):
            for route in app.app.generation.site.router.routes:
                path = route.pattern.replace("[/]", "").replace("...", "").replace("{", "").replace("}", "")
                for method in route.methods:
                    answer = app.request(method, path)
                    assert answer.status != 500, f"{method} {path} answers 500 once it is {round_}"
            for byte in app.app.generation.site.claims:
                client = app.connect()
                client.feed(bytes([byte]))
                client.feed_eof()
                client.abort()
                app.reactor.settle()
            if round_ == "started":
                app.reload(section)
        errors = [line for line in app.log_lines if " error: " in line]
        assert not errors, f"it logs errors: {errors}"


def _check_options(module: object) -> None:
    options = getattr(module, "Options", None)
    if options is not None:
        config = getattr(options, "__struct_config__", None)
        assert config is not None, "Options is no msgspec.Struct"
        assert config.frozen and config.forbid_unknown_fields, "Options wants frozen=True, forbid_unknown_fields=True"


__all__ = ["EPOCH", "Answer", "FakeClock", "FakeReactor", "InlinePool", "MemoryTransport", "ReactorError", "TestApp",
           "TestSocket", "check_plugin", "config_text"]  # fmt: skip
