"""The clients of the load generator: one that asks and checks, and one that is slow on purpose.

They sit on the reactor's own transport and on the sans-I/O client, and hold no task and no future: a load generator
that is dearer than the server it asks measures itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from reactor.core.loop import Reactor
from reactor.core.transport import Transport
from reactor.errors import ReactorError
from reactor.sansio.http1 import CLIENT, IDLE, Connection, Data, End, RequestHead, ResponseHead


class Ask(NamedTuple):
    """One request, ready to be sent."""

    head: RequestHead
    body: bytes = b""


@dataclass(frozen=True)
class Expect:
    """What an answer has to be; None: anything."""

    status: int = 200
    length: int | None = None
    body: bytes | None = None

    def complaint(self, status: int, length: int, body: bytes) -> str:
        """What is wrong, in a word or two; "" if nothing is."""
        if status != self.status:
            return f"status {status}"
        if self.length is not None and length != self.length:
            return "length"
        return "body" if self.body is not None and body != self.body else ""


class Owner(Protocol):
    """Who is told how an exchange ended. `complaint` is "" for a good answer."""

    def answered(self, exchange: Exchange, length: int, complaint: str) -> None: ...
    def lost(self, exchange: Exchange, why: str) -> None: ...


class Exchange:
    """One connection that asks one thing at a time. `since` is when the current request was due."""

    def __init__(self, owner: Owner, expect: Expect) -> None:
        self.busy = False
        self.since = 0.0
        self._owner = owner
        self._expect = expect
        self._keep_body = expect.body is not None
        self._http = Connection(CLIENT)
        self._transport: Transport
        self._status = 0
        self._length = 0
        self._parts: list[bytes] = []
        self._lost = False

    def ask(self, ask: Ask, since: float) -> None:
        """Only when it is not busy and `is_open`."""
        self.busy = True
        self.since = since
        self._length = 0
        http = self._http
        wire = http.send(ask.head)
        if not ask.body:
            self._transport.write(wire + http.send(End()))
            return
        self._transport.write(wire)
        self._transport.write(http.send(Data(ask.body)))
        self._transport.write(http.send(End()))

    @property
    def is_open(self) -> bool:
        """Whether it can be asked once more."""
        return not self._lost and not self._transport.is_closing and self._http.ours is IDLE

    def give_up(self, why: str) -> None:
        """Close now; the owner hears `why` at once if an answer was awaited."""
        self._transport.abort()
        self._end(why)

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._pump()

    def eof_received(self) -> None:
        self._http.receive_eof()
        self._pump()
        self._transport.close()

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def connection_lost(self, error: OSError | None) -> None:
        self._end("lost")

    # -- answers in --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        http = self._http
        try:
            while True:
                event = http.next_event()
                kind = event.__class__
                if kind is Data:
                    self._take(event.data)  # type: ignore[union-attr]
                elif kind is End:
                    self._done()
                elif isinstance(event, ResponseHead):
                    self._status = event.status
                    if event.length == 0 and event.status >= 200:
                        self._done()
                else:
                    return
        except ReactorError:
            self.give_up("protocol")

    def _take(self, data: bytes) -> None:
        self._length += len(data)
        if self._keep_body:
            self._parts.append(data)

    def _done(self) -> None:
        self.busy = False
        body = b"".join(self._parts)
        self._parts.clear()
        if self._http.ours is not IDLE:
            self._transport.close()  # one of the two sides wanted this to be the last
        self._owner.answered(self, self._length, self._expect.complaint(self._status, self._length, body))

    def _end(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._owner.lost(self, why)


# A head without end: what comes after it is one more letter of the last field, again and again.
_DRIP: Final = b"GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class SlowClient:
    """Sends a byte of its request every `pause` seconds, and never the last one."""

    def __init__(self, reactor: Reactor, pause: float, on_lost: Callable[[SlowClient], object]) -> None:
        self._reactor = reactor
        self._pause = pause
        self._on_lost = on_lost
        self._sent = 0
        self._lost = False
        self._transport: Transport

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        self._drip()

    def _drip(self) -> None:
        if not self._lost:
            self._transport.write(_DRIP[self._sent : self._sent + 1] or b"a")
            self._sent += 1
            self._reactor.call_later(self._pause, self._drip)

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None:
        self._transport.close()

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def connection_lost(self, error: OSError | None) -> None:
        self._lost = True
        self._on_lost(self)

    def close(self) -> None:
        self._transport.abort()
