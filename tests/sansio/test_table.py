"""The state table, walked whole: what it allows works, and everything else is our bug, named, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reactor.errors import LocalProtocolError, RemoteProtocolError
from reactor.sansio.http1 import (
    BODY,
    CHUNKED,
    CLIENT,
    CLOSED,
    DONE,
    ERROR,
    IDLE,
    SERVER,
    SWITCHED,
    TABLE,
    Close,
    Connection,
    Data,
    End,
    Headers,
    Interim,
    RequestHead,
    ResponseHead,
    Role,
    State,
    Switch,
)

from .feeding import client_that_asked

UPGRADE = Headers((("Host", "a"), ("Connection", "Upgrade"), ("Upgrade", "other")))
SWITCHING = ResponseHead(101, Headers((("Connection", "Upgrade"), ("Upgrade", "other"))))
WIRE_UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"
WIRE_UNFINISHED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
WIRE_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

EVENTS: tuple[type, ...] = (RequestHead, ResponseHead, Interim, Data, End, Switch, Close)


def client_in(state: State) -> Connection:
    if state in (DONE, SWITCHED):
        client = client_that_asked()
        if state is SWITCHED:
            client.receive_data(WIRE_SWITCHING)
            client.next_event()
        return client
    client = Connection(CLIENT)
    if state is BODY:
        client.send(RequestHead("POST", "/", UPGRADE, length=CHUNKED))
    elif state is CLOSED:
        client.close()
    elif state is ERROR:
        client.ours = ERROR  # no way leads here: a client that errs gets a LocalProtocolError
    return client


def server_in(state: State) -> Connection:
    """A request is there; in BODY and DONE it is still unfinished, so that no new cycle hides the state."""
    server = Connection(SERVER)
    server.receive_data(WIRE_UNFINISHED if state in (BODY, DONE) else WIRE_UPGRADE)
    server.next_event()
    if state in (BODY, DONE):
        server.send(ResponseHead(200, Headers(), length=None))
    if state is DONE:
        server.send(End())
    elif state is CLOSED:
        server.close()
    elif state is SWITCHED:
        server.switch(SWITCHING)
    elif state is ERROR:
        server.ours = ERROR
    return server


def connection_in(role: Role, state: State) -> Connection:
    connection = client_in(state) if role is CLIENT else server_in(state)
    assert connection.ours is state
    return connection


def move(connection: Connection, kind: type) -> None:
    moves: dict[type, Callable[[], object]] = {
        RequestHead: lambda: connection.send(RequestHead("GET", "/", UPGRADE)),
        ResponseHead: lambda: connection.send(ResponseHead(200, Headers(), length=None)),
        Interim: lambda: connection.send(ResponseHead(100, Headers())),
        Data: lambda: connection.send(Data(b"x")),
        End: lambda: connection.send(End()),
        Switch: lambda: connection.switch(SWITCHING),
        Close: connection.close,
    }
    moves[kind]()


def snapshot(connection: Connection) -> dict[str, Any]:
    return {name: getattr(connection, name) for name in Connection.__slots__}


MOVES = [(role, state, kind) for role in Role for state in State for kind in EVENTS]


def is_received(role: Role, kind: type) -> bool:
    """A client does not send its Switch: it makes the move when 101 arrives."""
    return role is CLIENT and kind is Switch


@pytest.mark.parametrize(("role", "state", "kind"), [m for m in MOVES if not is_received(m[0], m[2])])
def test_a_move_of_ours_works_if_the_table_has_it(role: Role, state: State, kind: type) -> None:
    connection = connection_in(role, state)
    target = TABLE[role][state].get(kind)
    before = snapshot(connection)
    if target is not None:
        move(connection, kind)
        assert connection.ours is target
        return
    with pytest.raises(LocalProtocolError) as caught:
        move(connection, kind)
    for word in (role.value, kind.__name__, state.value):
        assert word in str(caught.value)
    assert snapshot(connection) == before


@pytest.mark.parametrize("state", State)
def test_a_client_switches_only_where_the_table_says_so(state: State) -> None:
    client = client_in(state)
    client.receive_data(WIRE_SWITCHING)
    if Switch in TABLE[CLIENT][state]:
        client.next_event()
        assert client.ours is client.theirs is SWITCHED
    elif state is SWITCHED:
        assert client.take_rest() == WIRE_SWITCHING
    else:
        with pytest.raises(RemoteProtocolError):
            client.next_event()
        assert client.ours is state and client.theirs is ERROR


def test_the_table_knows_every_state_for_either_role() -> None:
    for role in Role:
        assert set(TABLE[role]) == set(State)
        for moves in TABLE[role].values():
            assert set(moves) <= set(EVENTS)


def test_every_state_but_error_can_be_reached_by_moves() -> None:
    for role in Role:
        reached, before = {IDLE}, set[State]()
        while reached != before:
            before = set(reached)
            reached |= {target for state in before for target in TABLE[role][state].values()}
        assert reached == set(State) - {ERROR}
