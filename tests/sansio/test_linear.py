"""Nothing is quadratic: twice the input takes about twice the time, whatever the input is.

The best of several runs counts, of both sizes in turn, and they run on while the ratio is too large: a machine may be
busy, an algorithm may not.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import pytest

from reactor.errors import RemoteProtocolError
from reactor.sansio.buffer import ReceiveBuffer
from reactor.sansio.cookies import parse_cookies
from reactor.sansio.forms import parse_pairs
from reactor.sansio.head import parse_request_head
from reactor.sansio.http1 import SERVER, Connection, HeadMemo, Limits, Signal
from reactor.sansio.target import decode_segment, normal_path

from .cases import chunked, get, request

HUGE = Limits(line=10**7, head=10**8, fields=10**6)


def feed(raw: bytes, step: int, limits: Limits = HUGE) -> None:
    """Feed `step` bytes at a time, asking for events after each piece, as a server does."""
    server = Connection(SERVER, memo=HeadMemo(limits))
    for start in range(0, len(raw), step):
        server.receive_data(raw[start : start + step])
        drain(server)


def hoard(raw: bytes, step: int) -> None:
    """Feed everything before the first event is asked for."""
    server = Connection(SERVER, HUGE)
    for start in range(0, len(raw), step):
        server.receive_data(raw[start : start + step])
    drain(server)


def take_bit_by_bit(raw: bytes) -> None:
    buffer = ReceiveBuffer()
    buffer.feed(raw[:1])
    buffer.feed(raw[1:])
    while buffer.take(500):
        pass


def drain(server: Connection) -> None:
    try:
        while not isinstance(server.next_event(), Signal):
            pass
    except RemoteProtocolError:
        pass


def refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_request_head(raw, HUGE)


CASES: dict[str, tuple[int, Callable[[int], Callable[[], object]]]] = {
    "a start line byte by byte": (4_000, lambda n: over(feed, b"GET /" + n * b"a", 1)),
    "a head byte by byte": (6_000, lambda n: over(feed, get()[:-2] + b"X: " + n * b"a", 1)),
    "a head of CRs and LFs, byte by byte": (6_000, lambda n: over(feed, get()[:-2] + n // 4 * b"\r\n\rX", 1)),
    "many fields": (2_000, lambda n: over(feed, get(*(f"X{i}: y" for i in range(n))), 65_536)),
    "fields of white space": (200_000, lambda n: over(parse_request_head, get("X:" + n * " " + "y" + n * " "), HUGE)),
    "a name without an end": (200_000, lambda n: over(refused, get(n * "x"))),
    "a target of escapes": (20_000, lambda n: over(normal_path, "/" + n * "%6c%2f")),
    "a segment of escapes": (20_000, lambda n: over(decode_segment, n * "%41")),
    "an URL of colons": (200_000, lambda n: over(refused, request("GET http" + n * ":/" + " HTTP/1.1", "Host: a"))),
    "a body byte by byte": (6_000, lambda n: over(feed, get(f"Content-Length: {n}", body=n * b"x"), 1)),
    "much that is taken bit by bit": (500_000, lambda n: over(take_bit_by_bit, n * b"x")),
    "a hoarded body": (1_000_000, lambda n: over(hoard, get(f"Content-Length: {n}", body=n * b"x"), 65_536)),
    "chunks of one byte": (4_000, lambda n: over(feed, chunked(n * b"1\r\nx\r\n" + b"0\r\n\r\n"), 65_536)),
    "chunks of one byte, byte by byte": (1_000, lambda n: over(feed, chunked(n * b"1\r\nx\r\n" + b"0\r\n\r\n"), 1)),
    "hoarded chunks of one byte": (20_000, lambda n: over(hoard, chunked(n * b"1\r\nx\r\n" + b"0\r\n\r\n"), 1_000)),
    "trailers byte by byte": (6_000, lambda n: over(feed, chunked(b"0\r\nX: " + n * b"y"), 1)),
    "pipelined requests": (2_000, lambda n: over(hoard, n * get(), 1_000)),
    "cookies": (2_000, lambda n: over(parse_cookies, 200 * n * "a=b;")),
    "one long cookie": (200_000, lambda n: over(parse_cookies, "a=" + n * '" =' + '"')),
    "a form of escapes": (20_000, lambda n: over(parse_pairs, "a=" + n * "%41+")),
    "a form of bytes that are no UTF-8": (20_000, lambda n: over(parse_pairs, "a=" + n * "%ff\xe9")),
    "many form fields": (250, lambda n: over(parse_pairs, "&".join(n * ["a%41=b"]))),
}


def over(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def cost(function: Callable[[], object]) -> float:
    start = process_time()
    function()
    return max(process_time() - start, 1e-5)


def best(function: Callable[[], object]) -> float:
    return min(cost(function) for _ in range(4))


@pytest.mark.parametrize("name", CASES)
def test_twice_the_input_takes_about_twice_the_time(name: str) -> None:
    size, make = CASES[name]
    once, twice = make(size), make(2 * size)
    costs: list[tuple[float, float]] = []
    for number in range(40):
        costs.append((cost(once), cost(twice)))
        ratio = min(two for _, two in costs) / min(one for one, _ in costs)
        if number > 2 and ratio < 3:
            return
    raise AssertionError(f"{name}: {ratio}, {costs}")


def test_a_byte_at_a_time_costs_the_same_late_in_a_head_as_early() -> None:
    """The line and the head are searched once, not from their start for every byte."""

    def late(before: int) -> float:
        server = Connection(SERVER, HUGE)
        server.receive_data(b"GET /" + before * b"a")
        server.next_event()

        def more() -> None:
            for _ in range(200):
                server.receive_data(b"a")
                server.next_event()

        return best(more)

    ratios = [late(64_000) / late(1_000) for _ in range(4)]
    assert min(ratios) < 6, ratios
