"""One way to feed a connection, many ways to cut the bytes.

A *verdict* is all that a connection made of some bytes: the heads, the bodies, and how it ended. Two runs that differ
only in how the bytes were cut, or in what the head memo had seen before, must reach equal verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple, TypeAlias

from reactor.errors import RemoteProtocolError
from reactor.sansio.http1 import (
    ERROR,
    IDLE,
    NEED_DATA,
    PAUSED,
    SERVER,
    Connection,
    Data,
    End,
    Headers,
    HeadMemo,
    Limits,
    RequestHead,
    ResponseHead,
    Role,
    Signal,
)

Fields: TypeAlias = tuple[tuple[str, str], ...]


class Asked(NamedTuple):
    """A request head, as a table states it."""

    method: str = "GET"
    path: str = "/"
    length: int = 0
    query: str = ""
    host: str = "a"
    version: int = 11
    keep_alive: bool = True


class Answered(NamedTuple):
    """A response head, as a table states it."""

    status: int = 200
    length: int = 0
    reason: str = "OK"
    keep_alive: bool = True


class Body(NamedTuple):
    """The bytes of one body, up to its end or to where it stopped."""

    data: bytes


class Ended(NamedTuple):
    trailers: Fields = ()


Seen: TypeAlias = Asked | Answered | Body | Ended


class Verdict(NamedTuple):
    events: tuple[Seen, ...]
    end: Signal | int  # how it ended: a signal, or the status of the refusal
    fields: tuple[Fields, ...] = ()  # of every head


OK = ResponseHead(200, Headers(), length=2)


def drive(connection: Connection, pieces: Iterable[bytes], *, eof: bool = False) -> Verdict:
    """Feed `pieces` and take every event; a server answers each request as soon as it is complete."""
    seen: list[Seen] = []
    fields: list[Fields] = []
    end: Signal | int = NEED_DATA
    for piece in pieces:
        connection.receive_data(piece)
        end = _take_events(connection, seen, fields)
        if isinstance(end, int):
            return Verdict(tuple(seen), end, tuple(fields))
    if eof:
        connection.receive_eof()
        end = _take_events(connection, seen, fields)
    return Verdict(tuple(seen), end, tuple(fields))


def _take_events(connection: Connection, seen: list[Seen], fields: list[Fields]) -> Signal | int:
    while True:
        try:
            event = connection.next_event()
        except RemoteProtocolError as error:
            _check_it_stays_refused(connection, error)
            return error.status
        if isinstance(event, RequestHead):
            seen.append(Asked(event.method, event.path, event.length, event.query, event.host, event.version,
                              event.keep_alive))  # fmt: skip
            fields.append(tuple(event.headers))
        elif isinstance(event, ResponseHead):
            assert event.length is not None
            seen.append(Answered(event.status, event.length, event.reason, event.keep_alive))
            fields.append(tuple(event.headers))
        elif isinstance(event, Data):
            assert event.data, "a received Data is never empty"
            last = seen[-1]
            if isinstance(last, Body):
                seen[-1] = Body(last.data + event.data)
            else:
                seen.append(Body(event.data))
        elif isinstance(event, End):
            seen.append(Ended(tuple(event.trailers)))
        elif event is PAUSED and connection.ours is IDLE:
            connection.respond(OK, b"ok")
        else:
            return event


def _check_it_stays_refused(connection: Connection, error: RemoteProtocolError) -> None:
    """Nothing behind an error is ever parsed."""
    assert connection.theirs is ERROR and not connection.keep_alive
    connection.receive_data(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    try:
        connection.next_event()
    except RemoteProtocolError as again:
        assert (str(again), again.status) == (str(error), error.status)
    else:
        raise AssertionError("a refused connection went on")


Maker: TypeAlias = Callable[[], Connection]


def makers(role: Role, raw: bytes, limits: Limits, method: str = "GET") -> dict[str, Maker]:
    """Ways to make the connection that reads `raw`: the head memo absent, fresh, warmed with `raw`, and tiny."""
    if role is not SERVER:
        return {"client": lambda: client_that_asked(method, limits)}
    warmed = HeadMemo(limits)
    tiny = HeadMemo(limits, entries=1, size=64)
    for memo in (warmed, warmed, tiny):
        drive(Connection(SERVER, memo=memo), [raw], eof=True)
        drive(Connection(SERVER, memo=memo), split(raw, range(1, len(raw))), eof=True)
    return {
        "no memo": lambda: Connection(SERVER, limits),
        "fresh memo": lambda: Connection(SERVER, memo=HeadMemo(limits)),
        "warmed memo": lambda: Connection(SERVER, memo=warmed),
        "tiny memo": lambda: Connection(SERVER, memo=tiny),
    }


def client_that_asked(method: str = "GET", limits: Limits | None = None) -> Connection:
    """A client with one complete request on its way, which also offers an upgrade."""
    connection = Connection(Role.CLIENT, limits)
    target = "a:1" if method == "CONNECT" else "/"
    fields = Headers((("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "other")))
    connection.send(RequestHead(method, target, fields))
    connection.send(End())
    return connection


def split(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`raw` cut at the offsets `cuts`, which must ascend."""
    marks = [0, *cuts, len(raw)]
    return [raw[start:stop] for start, stop in pairwise(marks)]


def cuttings(raw: bytes, *, every_pair: bool = False, seed: int = 0) -> Iterator[list[bytes]]:
    """Whole, byte by byte, at seeded random cuts, and, for `every_pair`, in two pieces in every possible way."""
    yield [raw]
    yield split(raw, range(1, len(raw)))
    random = Random(seed * 1_000_003 + len(raw))
    for _ in range(6):
        yield split(raw, sorted(random.choices(range(len(raw) + 1), k=random.randint(1, 8))))
    if every_pair:
        for cut in range(1, len(raw)):
            yield [raw[:cut], raw[cut:]]
