"""A load generator on the reactor: what an answer is, how late it comes, and what else the server has to bear.

    python -m bench.load http://127.0.0.1:8000/ok --connections 64 --rate 5000 --seconds 5
    python -m bench.load http://127.0.0.1:8000/ok --connections 64 --seconds 5 --idle 10000 --slow 500

Two modes. Without `--rate` each connection asks again as soon as it is answered (closed loop): that counts requests,
and says nothing of latency, because a server that stalls is simply not asked meanwhile. With `--rate` requests are due
at times fixed in advance, whoever is free sends them, and a latency counts from the moment the request was *due*: what
waits behind a stall has waited (no coordinated omission). Only this mode prints percentiles.

Every answer is checked. It is meant to run on a core of its own and, with a rate, does not sleep there: `epoll` counts
in whole milliseconds. How late it was itself is in the output as `lag`; a result with a large one is void.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from bench.exchange import Ask, Exchange, Expect, SlowClient
from bench.latency import curve, percentile
from reactor.core.address import Address
from reactor.core.dial import dial
from reactor.core.loop import Reactor
from reactor.core.task import sleep
from reactor.core.transport import ConnectionProtocol
from reactor.errors import DialError
from reactor.http.client import split_url
from reactor.sansio.http1 import Headers, RequestHead

P = TypeVar("P", bound=ConnectionProtocol)

# So many connections are opened at a time: more would only measure the backlog.
OPENING: Final = 64
# Said on standard error when all connections are open, and when the time is over and they still are: between the two
# whoever counts the server's processor time counts neither the opening nor the closing.
READY: Final = "ready"
DONE: Final = "done"
RETRY: Final = 0.1  # seconds before a connection that was refused is tried again


@dataclass(frozen=True)
class Plan:
    """What to ask, how often and how long. `asks` are taken in turn. Times in seconds; `rate` 0 is the closed loop."""

    asks: Sequence[Ask]
    expect: Expect = field(default_factory=Expect)
    connections: int = 64
    seconds: float = 5.0
    rate: float = 0.0
    timeout: float = 10.0
    idle: int = 0
    slow: int = 0
    slow_pause: float = 1.0


@dataclass
class Result:
    """`latency` and `lag` in milliseconds: share of the requests -> no more than that."""

    mode: str
    connections: int
    seconds: float
    asked: int = 0
    answered: int = 0
    good: int = 0
    bytes: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0
    latency: dict[str, float] = field(default_factory=dict)
    lag: dict[str, float] = field(default_factory=dict)
    idle_open: int = 0
    slow_cut: int = 0


class Connect(Protocol):
    """Opens a connection for the protocol that `factory` makes; DialError if that does not work."""

    def __call__(self, factory: Callable[[], P]) -> Awaitable[P]: ...


class Load:
    """One run. `spin`: look at the clock all the time instead of setting timers. `on_start` is called when all
    connections are open, before the first request of the run, and `on_end` when its time is over.
    """

    def __init__(
        self, reactor: Reactor, plan: Plan, connect: Connect, clock: Callable[[], float], *, spin: bool = True,
        on_start: Callable[[], object] = lambda: None, on_end: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._plan = plan
        self._connect = connect
        self._clock = clock
        self._spin = spin
        self._on_start = on_start
        self._on_end = on_end
        self._running = False
        self._exchanges: set[Exchange] = set()
        self._free: deque[Exchange] = deque()  # in turn, so that each connection has its share
        self._due: deque[float] = deque()  # times of requests that nobody was free for
        self._next_due = 0.0
        self._next_ask = 0
        self._errors: Counter[str] = Counter()
        self._latencies = array("d")
        self._lags = array("d")
        self._result = Result("rate" if plan.rate else "closed", plan.connections, plan.seconds)
        self._bystanders = Bystanders(reactor, plan, connect)

    async def run(self) -> Result:
        """Open everything, ask for `seconds`, wait for what is under way, and count."""
        await self._bystanders.open()
        await in_groups(self._reactor, self._plan.connections, self._open)
        self._on_start()
        started = self._clock()
        self._running = True
        if self._plan.rate:
            self._next_due = started
            self._tick()
        else:
            while self._free:
                self._serve(self._free.popleft())
        self._reactor.call_later(1.0, self._look_for_silence)
        await sleep(self._plan.seconds)
        self._running = False
        self._on_end()
        elapsed = self._clock() - started
        good = self._result.good
        await self._finish()
        return self._count(good / elapsed)

    async def _finish(self) -> None:
        """What was due gets its answer, or is counted as one that had none."""
        end = self._clock() + self._plan.timeout
        while self._clock() < end and (self._due or any(exchange.busy for exchange in self._exchanges)):
            await sleep(0.01)
        for due in self._due:
            self._missed(due)
        for exchange in [exchange for exchange in self._exchanges if exchange.busy]:
            exchange.give_up("unanswered")
        self._bystanders.close()

    def _count(self, rate: float) -> Result:
        result = self._result
        result.errors = dict(self._errors)
        result.rate = rate
        result.latency = {share: seconds * 1e3 for share, seconds in curve(self._latencies).items()}
        if self._lags:
            lags = sorted(self._lags)
            result.lag = {f"{share:g}": percentile(lags, share) * 1e3 for share in (0.5, 0.99, 1.0)}
        result.idle_open = self._bystanders.idle_open
        result.slow_cut = self._bystanders.slow_cut
        return result

    # -- connections -------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            exchange = await self._connect(lambda: Exchange(self, self._plan.expect))
        except DialError:
            self._errors["connect"] += 1
            self._reactor.call_later(RETRY, self._open_again)
            return
        self._exchanges.add(exchange)
        self._is_free(exchange)

    def _open_again(self) -> None:
        if self._running or self._due:
            self._reactor.spawn(self._open())

    def lost(self, exchange: Exchange, why: str) -> None:
        """A connection is gone: an error if it owed an answer."""
        self._exchanges.discard(exchange)
        if exchange.busy:
            exchange.busy = False
            self._errors[why] += 1
            if self._plan.rate and why in ("timeout", "unanswered"):
                self._latencies.append(self._clock() - exchange.since)  # at least so long
        self._open_again()

    def _look_for_silence(self) -> None:
        too_long_ago = self._clock() - self._plan.timeout
        for exchange in [one for one in self._exchanges if one.busy and one.since < too_long_ago]:
            exchange.give_up("timeout")
        if self._running:
            self._reactor.call_later(1.0, self._look_for_silence)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """What has become due since the last look is sent, or waits for somebody to be free."""
        now = self._clock()
        step = 1.0 / self._plan.rate
        while self._next_due <= now and self._running:
            self._due.append(self._next_due)
            self._lags.append(now - self._next_due)
            self._next_due += step
        while self._due and self._free:
            self._serve(self._free.popleft())
        if self._running:
            if self._spin:
                self._reactor.call_soon(self._tick)
            else:
                self._reactor.call_later(self._next_due - now, self._tick)

    def _is_free(self, exchange: Exchange) -> None:
        if self._due or (self._running and not self._plan.rate):
            self._serve(exchange)
        else:
            self._free.append(exchange)

    def _serve(self, exchange: Exchange) -> None:
        """Let a free connection send the next request; one that has died meanwhile is replaced when it says so."""
        if not exchange.is_open:
            return
        since = self._due.popleft() if self._plan.rate else self._clock()
        asks = self._plan.asks
        ask = asks[self._next_ask % len(asks)]
        self._next_ask += 1
        self._result.asked += 1
        exchange.ask(ask, since)

    def answered(self, exchange: Exchange, length: int, complaint: str) -> None:
        """An answer is complete."""
        result = self._result
        result.answered += 1
        result.bytes += length
        if complaint:
            self._errors[complaint] += 1
        else:
            result.good += 1
            if self._plan.rate:
                self._latencies.append(self._clock() - exchange.since)
        if exchange.is_open:
            self._is_free(exchange)

    def _missed(self, due: float) -> None:
        self._errors["unsent"] += 1
        self._latencies.append(self._clock() - due)


class Bystanders:
    """Connections that are only there: idle ones, which were answered once, and slow ones, which never finish."""

    def __init__(self, reactor: Reactor, plan: Plan, connect: Connect) -> None:
        self.idle_open = 0
        self.slow_cut = 0
        self._reactor = reactor
        self._plan = plan
        self._connect = connect
        self._slow: set[SlowClient] = set()
        self._idle: set[Exchange] = set()
        self._closing = False

    async def open(self) -> None:
        await in_groups(self._reactor, self._plan.idle, self._open_idle)
        while any(exchange.busy for exchange in self._idle):
            await sleep(0.01)
        await in_groups(self._reactor, self._plan.slow, self._open_slow)

    async def _open_idle(self) -> None:
        try:
            exchange = await self._connect(lambda: Exchange(self, Expect()))
        except DialError:
            return
        self._idle.add(exchange)
        self.idle_open += 1
        exchange.ask(self._plan.asks[0], 0.0)

    def answered(self, exchange: Exchange, length: int, complaint: str) -> None:
        """The one answer of an idle connection."""

    def lost(self, exchange: Exchange, why: str) -> None:
        """The server has closed an idle connection."""
        self._idle.discard(exchange)
        if not self._closing:
            self.idle_open -= 1

    async def _open_slow(self) -> None:
        try:
            client = await self._connect(lambda: SlowClient(self._reactor, self._plan.slow_pause, self._cut))
        except DialError:
            self.slow_cut += 1
        else:
            self._slow.add(client)

    def _cut(self, client: SlowClient) -> None:
        """The server has had enough of a slow client: there comes another."""
        self._slow.discard(client)
        if not self._closing:
            self.slow_cut += 1
            self._reactor.call_later(self._plan.slow_pause, self._another)

    def _another(self) -> None:
        if not self._closing:
            self._reactor.spawn(self._open_slow())

    def close(self) -> None:
        self._closing = True
        for client in list(self._slow):
            client.close()


async def in_groups(reactor: Reactor, count: int, action: Callable[[], Awaitable[None]]) -> None:
    """`action()` so many times, OPENING at once; each is awaited."""
    left = count

    async def worker() -> None:
        nonlocal left
        while left:
            left -= 1
            await action()

    for task in [reactor.spawn(worker()) for _ in range(min(count, OPENING))]:
        await task


# -- the command line ------------------------------------------------------------------------------------------------


class _NoNames:
    """Only literal addresses are dialled, so nothing has to be looked up."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        raise DialError("give a literal address")


def run(plan: Plan, address: Address, *notices: Callable[[], object]) -> Result:
    """The whole of it, on a reactor of its own; `notices` are `on_start` and `on_end`."""
    reactor = Reactor(time.perf_counter)

    async def connect(factory: Callable[[], P]) -> P:
        return await dial(reactor, _NoNames(), address, factory)

    named: dict[str, Any] = dict(zip(("on_start", "on_end"), notices, strict=False))
    try:
        return reactor.run_task(Load(reactor, plan, connect, time.perf_counter, **named).run())
    finally:
        reactor.close()


def make_asks(
    method: str, url: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", *, close: bool = False,
    vary: int = 1,
) -> tuple[Address, list[Ask]]:  # fmt: skip
    """`vary` requests in which `{n}` is 0, 1, 2, …, in the target and in the body, and where they go to."""
    address, target, host = split_url(url)
    fields = [("Host", host), *headers, *([("Connection", "close")] if close else [])]
    asks = []
    for number in range(vary):
        text = body.replace(b"{n}", b"%d" % number) if vary > 1 else body
        where = target.replace("{n}", str(number)) if vary > 1 else target
        asks.append(Ask(RequestHead(method, where, Headers(fields), length=len(text)), text))
    return address, asks


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("url", help="http:// and a literal address")
    add("--method", default="GET")
    add("--header", action="append", default=[], metavar="NAME:VALUE")
    add("--body", default="", help="{n} in it, and in the URL, is the number of the request, modulo --vary")
    add("--body-size", type=int, default=0, metavar="BYTES", help="send so many bytes instead")
    add("--vary", type=int, default=1, metavar="N")
    add("--close", action="store_true", help="one request a connection")
    add("--connections", type=int, default=64)
    add("--seconds", type=float, default=5.0)
    add("--rate", type=float, default=0.0, help="requests a second, of all connections; 0: the closed loop")
    add("--timeout", type=float, default=10.0, help="an answer that takes longer is an error")
    add("--idle", type=int, default=0, metavar="N", help="so many idle connections beside")
    add("--slow", type=int, default=0, metavar="N", help="so many clients beside that never finish a request")
    add("--expect-status", type=int, default=200)
    add("--expect-length", type=int)
    add("--expect-file", type=Path, help="each body has to be what is in this file")
    return parser


def announce() -> None:
    """The run begins. 10,000 connections are many objects, and looking through them for garbage would make us late."""
    gc.collect()
    gc.freeze()
    print(READY, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result as JSON. The status is 0 whatever the answers were: errors are counted in it."""
    given = _parser().parse_args(argv)
    headers = [(name.strip(), value.strip()) for name, _, value in (text.partition(":") for text in given.header)]
    body = bytes(given.body_size) if given.body_size else given.body.encode()
    address, asks = make_asks(given.method, given.url, headers, body, close=given.close, vary=given.vary)
    expect = Expect(
        given.expect_status, given.expect_length, given.expect_file.read_bytes() if given.expect_file else None
    )
    plan = Plan(asks, expect, given.connections, given.seconds, given.rate, given.timeout, given.idle, given.slow)
    result = run(plan, address, announce, lambda: print(DONE, file=sys.stderr, flush=True))
    print(json.dumps(asdict(result), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
