"""The HTTP client: ask a URL, reuse connections, give up in time.

    answer = await client.request("POST", "http://127.0.0.1:8000/login", form={"username": "a", "password": "b"})
    answer.status, answer.headers, answer.body

    async with client.stream("GET", url) as answer:
        async for piece in answer.chunks(): ...

Connections are pooled by origin and bounded: over the bound a request waits for its turn, within its own deadline. A
kept connection that turns out to be dead before a byte of the answer came is replaced once, for methods that may be
repeated (RFC 9110 9.2.2); the others report it.
"""

from __future__ import annotations

import json as json_module
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from reactor.core.address import Address
from reactor.core.dial import Names, dial
from reactor.core.loop import Reactor
from reactor.core.task import Future, timeout
from reactor.core.timers import Timer
from reactor.errors import ConnectionLost, RemoteProtocolError
from reactor.http.body import BodyStream
from reactor.http.message import JSON, Pairs
from reactor.http.outgoing import OutgoingConnection
from reactor.sansio.forms import FORM_TYPE
from reactor.sansio.head import CHUNKED, RequestHead, ResponseHead
from reactor.sansio.headers import Headers

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
# What `request` reads into memory at the most, unless told otherwise.
MAX_BODY = 16 * 1024 * 1024


class ClientResponse:
    """`body` is there after `request`; after `stream` iterate `chunks()` or await `read()`."""

    def __init__(self, head: ResponseHead, connection: OutgoingConnection, stream: BodyStream) -> None:
        self.status = head.status
        self.headers = head.headers
        self.body = b""
        self._connection = connection
        self._stream = stream

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return json_module.loads(self.body)

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    @property
    def trailers(self) -> Headers:
        """Fields behind a chunked body (RFC 9112 7.1.2), once that has been read."""
        return self._stream.trailers

    def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, once. Raises ConnectionLost or RemoteProtocolError if it breaks off."""
        return self._stream.chunks()

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body; RemoteProtocolError over `limit` bytes."""
        return await self._stream.read(limit)

    async def sent(self) -> None:
        """Wait until the request's own body has gone out too, which a 4xx, a 5xx or a server that closes ends early.
        Raises what that body raised.
        """
        await self._connection.sent(self._stream)


class Client:
    """`per_origin` connections to one host and port at the most, each kept for `idle` seconds without use."""

    def __init__(self, reactor: Reactor, names: Names, *, per_origin: int = 32, idle: float = 10.0) -> None:
        self._reactor = reactor
        self._names = names
        self._per_origin = per_origin
        self._idle = idle
        self._origins: dict[Address, _Origin] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Pairs = (),
        body: bytes | AsyncIterable[bytes] = b"",
        form: Mapping[str, str] | None = None,
        json: Any = None,
        timeout: float = 30.0,
        limit: int = MAX_BODY,
    ) -> ClientResponse:
        """Send all, and read the whole answer, within `timeout` seconds. TimeoutError, DialError, ConnectionLost,
        RemoteProtocolError (an answer that is none, or over `limit` bytes), and what `body` raises.
        """
        async with _timeout(timeout), self.stream(
            method, url, headers=headers, body=body, form=form, json=json, timeout=timeout
        ) as answer:
            answer.body = await answer.read(limit)
            await answer.sent()
            return answer

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Pairs = (),
        body: bytes | AsyncIterable[bytes] = b"",
        form: Mapping[str, str] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> AsyncIterator[ClientResponse]:
        """Ask; the block begins when the head of the answer is there, within `timeout` seconds. What is not done when
        it ends, an answer that is not read or a `body` that is still being sent, is given up and costs the connection.
        What `body` raises is raised by the answer's reader or at the end of the block. A Host in `headers` replaces
        that of the URL.
        """
        pairs = list(headers)
        if form is not None:
            body, pairs = urlencode(form).encode(), [("Content-Type", FORM_TYPE), *pairs]
        elif json is not None:
            body, pairs = json_module.dumps(json, allow_nan=False).encode(), [("Content-Type", JSON), *pairs]
        address, target, host = split_url(url)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", host))
        length = len(body) if isinstance(body, bytes) else CHUNKED
        try:
            head = RequestHead(method, target, Headers(pairs), length=length)
        except RemoteProtocolError as error:  # as a server would put it; here the fault is the caller's
            raise ValueError(f"{url!r}: {error}") from None
        head.encode()  # a header that must not go out is to cost no connection
        async with _timeout(timeout):
            connection, response, stream = await self._ask(address, head, body)
        try:
            yield ClientResponse(response, connection, stream)
            connection.check_sent(stream)
        finally:
            await connection.leave(stream)

    async def _ask(
        self, address: Address, head: RequestHead, body: bytes | AsyncIterable[bytes]
    ) -> tuple[OutgoingConnection, ResponseHead, BodyStream]:
        while True:
            connection = await self._connection(address)
            kept = connection.used > 0
            try:
                return (connection, *await connection.ask(head, body))
            except ConnectionLost:
                again = kept and not connection.answered and isinstance(body, bytes) and head.method in IDEMPOTENT
                if not again:
                    raise

    # -- the pool ----------------------------------------------------------------------------------------------------

    async def _connection(self, address: Address) -> OutgoingConnection:
        """An idle connection, or a new one, or the next that becomes free."""
        while True:
            origin = self._origins.get(address)  # each time: it may have been forgotten while we waited
            if origin is None:
                origin = self._origins[address] = _Origin()
            while origin.idle:
                connection, timer = origin.idle.pop()  # the freshest: the others may idle out
                timer.cancel()
                if connection.is_idle:
                    return connection
            if origin.open < self._per_origin:
                return await self._dial(origin, address)
            turn: Future[None] = Future(self._reactor)
            origin.waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn.done:  # it was ours, and we cannot use it: the next one's
                    origin.wake()
                else:
                    origin.waiting.remove(turn)
                self._forget(address, origin)
                raise

    async def _dial(self, origin: _Origin, address: Address) -> OutgoingConnection:
        origin.open += 1
        try:
            return await dial(
                self._reactor, self._names, address,
                lambda: OutgoingConnection(self._reactor, lambda connection: self._freed(address, origin, connection)),
            )  # fmt: skip
        except BaseException:
            origin.open -= 1
            origin.wake()
            self._forget(address, origin)
            raise

    def _freed(self, address: Address, origin: _Origin, connection: OutgoingConnection) -> None:
        if connection.is_idle:
            timer = self._reactor.call_later(self._idle, connection.abort)
            origin.idle.append((connection, timer))
        elif connection.is_lost:
            origin.open -= 1
            origin.idle = [entry for entry in origin.idle if entry[0] is not connection]
        origin.wake()
        self._forget(address, origin)

    def _forget(self, address: Address, origin: _Origin) -> None:
        """A program that asks many servers remembers those it is connected to."""
        if not origin.open and not origin.waiting and self._origins.get(address) is origin:
            del self._origins[address]

    def close(self) -> None:
        """Drop the idle connections; those in use end with their request."""
        for origin in self._origins.values():  # none is forgotten in here: `abort` is heard of a turn later
            for connection, timer in origin.idle:
                timer.cancel()
                connection.abort()
            origin.idle.clear()


class _Origin:
    """The connections to one address."""

    def __init__(self) -> None:
        self.open = 0
        self.idle: list[tuple[OutgoingConnection, Timer]] = []
        self.waiting: deque[Future[None]] = deque()

    def wake(self) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done and turn.is_awaited:
                turn.set_result(None)
                return


_timeout = timeout


def split_url(url: str) -> tuple[Address, str, str]:
    """`http://host:port/path?query` -> address, target, Host field. ValueError for any other kind of URL."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} is not an http:// URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.hostname, parts.port or 80), target, parts.netloc.rpartition("@")[2]

