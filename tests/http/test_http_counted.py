"""What the server counts of its bounds and its connections, each by its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from http_wire import Client, Wire, get, request

from reactor.core.task import sleep
from reactor.errors import Overloaded
from reactor.http.limits import LIMITS, STATES
from reactor.http.message import Request, Response


def make(**settings: object) -> Wire:
    wire = Wire(**settings)

    async def read(request: Request) -> Response:
        return Response(str(len(await request.read())))

    async def late(request: Request) -> Response:
        await sleep(5)
        return Response("late")

    def full(request: Request) -> Response:
        raise Overloaded("too much is waiting")

    wire.route("GET", "/", lambda request: Response("ok"))
    wire.route("GET", "/late", late)
    wire.route("GET", "/full", full)
    wire.route("POST", "/read", read)
    wire.route("GET", "/large", lambda request: Response(bytes(100_000)))
    return wire


def says_nothing(client: Client) -> None:
    client.advance(20)


def sends_half_a_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n")
    client.advance(20)


def asks_once(client: Client) -> None:
    client.send(get())
    client.advance(20)


def stops_in_a_body(client: Client) -> None:
    client.send(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal")
    client.advance(31)


def drips_a_body(client: Client) -> None:
    client.send(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n")
    for _ in range(8):
        client.send(b"x")
        client.advance(2)


def stalls(client: Client) -> None:
    client.transport.stall = True
    client.send(get("/large"))
    client.advance(40)


def sends_too_much(client: Client) -> None:
    client.send(request("POST", "/read", body=bytes(2000)))


def asks_at_length(client: Client) -> None:
    client.send(get("/" + "x" * 9000))


def says_much(client: Client) -> None:
    client.send(get("/", *[f"X-{number}: 1" for number in range(200)]))


def asks_what_is_full(client: Client) -> None:
    client.send(get("/full"))


CASES: dict[str, Callable[[Client], None]] = {
    "first_byte": says_nothing, "head_timeout": sends_half_a_head, "keep_alive": asks_once,
    "body_timeout": stops_in_a_body, "body_rate": drips_a_body, "write_timeout": stalls, "max_body": sends_too_much,
    "max_line": asks_at_length, "max_head": says_much, "overloaded": asks_what_is_full,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_bound_is_counted_under_its_name_and_no_other(name: str) -> None:
    wire = make(max_body=1000)
    CASES[name](wire.connect())
    assert {limit: count for limit, count in wire.server.reached.items() if count} == {name: 1}


def test_what_makes_room_and_what_finds_none_are_counted() -> None:
    wire = make(max_connections=2)
    for client in (wire.connect(), wire.connect()):
        client.send(get())
    assert wire.server._admits()
    assert wire.server.reached["evicted"] == 2
    for client in (wire.connect(), wire.connect()):
        client.send(get("/late"))
    assert not wire.server._admits()
    assert wire.server.reached["max_connections"] == 1


def test_each_connection_is_in_one_state() -> None:
    wire = make()

    def found() -> dict[str, int]:
        return {state: count for state, count in wire.server.states().items() if count}

    assert tuple(wire.server.states()) == STATES
    clients = [wire.connect() for _ in range(5)]
    assert found() == {"new": 5}
    clients[0].send(get())
    clients[1].send(b"GET / HT")
    clients[2].send(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal")
    clients[3].send(get("/late"))
    assert found() == {"idle": 1, "head": 1, "body": 1, "answering": 1, "new": 1}
    clients[4].transport.stall = True
    clients[4].send(get("/large"))
    clients[2].send(b"f done")
    clients[0].send(b"nonsense\r\n\r\n")
    assert found() == {"idle": 1, "head": 1, "answering": 2}


def test_every_name_is_there_from_the_beginning() -> None:
    assert make().server.reached == dict.fromkeys(LIMITS, 0)
