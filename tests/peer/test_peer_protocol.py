"""The state tables, walked whole in both directions; the greeting, with its versions and the original peers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peer.errors import FrameError
from peer.messages import (
    Ack,
    Broadcast,
    Bye,
    Channels,
    Chat,
    Error,
    Handshake,
    HandshakeAck,
    Membership,
    Message,
    Ping,
    Pong,
    Refuse,
    Unknown,
    encode,
)
from peer.protocol import (
    ACCEPTOR,
    CLOSED,
    CLOSING,
    DIALLER,
    HELLO_WAIT,
    MOST_UNKNOWN,
    OPEN,
    RECEIVED,
    SENT,
    Connection,
    Role,
    State,
    Unsupported,
    name_of,
)
from reactor.errors import LocalProtocolError

HELLO: dict[str, Any] = {"v": 1, "instance": "15" * 16, "nonce": "4e" * 16, "epoch": "e0" * 8}
# One of each kind that the tables know.
MESSAGES: dict[type, Message] = {
    Handshake: Handshake(peer_id="far", **HELLO),
    HandshakeAck: HandshakeAck(peer_id="far", **HELLO),
    Chat: Chat(message="hi"),
    Broadcast: Broadcast(message="hi"),
    Ack: Ack(upto=1),
    Refuse: Refuse(seq=1, code="flood"),
    Channels: Channels(channels=[Membership("lobby")]),
    Ping: Ping(n=1),
    Pong: Pong(n=1),
    Bye: Bye(reason="quit"),
    Error: Error(code="bad_json"),
    Unsupported: Error(code="unsupported", message="dance"),
}
UNKNOWN = b'{"type":"dance"}\n'
KINDS: tuple[type, ...] = (*MESSAGES, Unknown)
MOVES = [(role, state, kind) for role in Role for state in State for kind in KINDS]


def connection_in(role: Role, state: State, *, original: bool = False) -> Connection:
    connection = Connection(role)
    if state is not HELLO_WAIT:
        hello = Handshake if role is ACCEPTOR else HandshakeAck
        connection.receive_data(encode(hello(peer_id="far", **({} if original else HELLO))))
        connection.next_message()
    if state is CLOSING:
        connection.send(Bye(reason="quit"))
    elif state is CLOSED:
        connection.close()
    assert connection.state is state
    return connection


def wire(kind: type) -> bytes:
    return UNKNOWN if kind is Unknown else encode(MESSAGES[kind])


def message_for(role: Role, state: State, kind: type) -> Message | Unknown:
    if (role, state, kind) == (DIALLER, HELLO_WAIT, Handshake):
        return Handshake(peer_id="far")  # only an original peer answers so
    return Unknown("dance") if kind is Unknown else MESSAGES[kind]


def test_the_tables_know_every_state_for_either_role_and_no_other_kinds() -> None:
    for table in (RECEIVED, SENT):
        assert set(table) == set(Role)
        for moves in table.values():
            assert set(moves) == set(State)
            assert all(set(kinds) <= set(KINDS) for kinds in moves.values())


@pytest.mark.parametrize(("role", "state", "kind"), MOVES)
def test_a_message_that_comes_makes_the_move_that_the_table_has(role: Role, state: State, kind: type) -> None:
    connection = connection_in(role, state)
    target = RECEIVED[role][state].get(kind)
    message = message_for(role, state, kind)
    connection.receive_data(UNKNOWN if isinstance(message, Unknown) else encode(message))
    if state in (CLOSING, CLOSED):
        assert target is None
        assert connection.next_message() is None and connection.state is state
    elif target is None:
        with pytest.raises(FrameError) as caught:
            connection.next_message()
        assert caught.value.code == "bad_state"
        assert state.value in str(caught.value) and name_of(message) in str(caught.value)
        assert connection.state is state
    else:
        assert connection.next_message() == message
        assert connection.state is target


@pytest.mark.parametrize(("role", "state", "kind"), [move for move in MOVES if move[2] is not Unknown])
def test_a_message_of_ours_makes_the_move_that_the_table_has(role: Role, state: State, kind: type) -> None:
    connection = connection_in(role, state)
    target = SENT[role][state].get(kind)
    if target is not None:
        assert connection.send(MESSAGES[kind]) == wire(kind)
        assert connection.state is target
        return
    with pytest.raises(LocalProtocolError) as caught:
        connection.send(MESSAGES[kind])
    for word in (role.value, name_of(MESSAGES[kind]), state.value):
        assert word in str(caught.value)
    assert connection.state is state


def test_the_answer_opens_the_link_at_both_ends() -> None:
    dialler, acceptor = Connection(DIALLER), Connection(ACCEPTOR)
    acceptor.receive_data(dialler.send(Handshake(peer_id="ann", to="bob", **HELLO)))
    assert acceptor.next_message() == acceptor.hello == Handshake(peer_id="ann", to="bob", **HELLO)
    assert (dialler.state, acceptor.state) == (HELLO_WAIT, OPEN)
    dialler.receive_data(acceptor.send(HandshakeAck(peer_id="bob", **HELLO)))
    assert dialler.next_message() == dialler.hello == HandshakeAck(peer_id="bob", **HELLO)
    assert dialler.state is OPEN and not dialler.is_original and not acceptor.is_original


def test_ten_messages_in_one_packet_come_one_after_the_other() -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(b"".join(encode(Ping(n=n)) for n in range(10)))
    assert [connection.next_message() for _ in range(11)] == [*(Ping(n=n) for n in range(10)), None]


def test_messages_right_behind_the_handshake_are_taken() -> None:
    connection = Connection(ACCEPTOR)
    connection.receive_data(wire(Handshake) + wire(Channels) + wire(Chat)[:5])
    assert connection.next_message() == MESSAGES[Handshake]
    assert connection.next_message() == MESSAGES[Channels]
    assert connection.next_message() is None
    connection.receive_data(wire(Chat)[5:])
    assert connection.next_message() == MESSAGES[Chat]


def test_behind_the_handshake_a_message_is_a_line() -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(b'{"type":"ping","n":1}{"type":"ping","n":2}\n')
    with pytest.raises(FrameError, match="JSON"):
        connection.next_message()


# -- errors and goodbyes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [Bye(reason="idle"), Error(code="bad_frame")])
def test_after_our_last_word_nothing_that_comes_is_looked_at(last: Message) -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(wire(Ping))  # here already
    connection.send(last)
    connection.receive_data(b"\xff no JSON at all\n")
    assert connection.next_message() is None and connection.state is CLOSING


@pytest.mark.parametrize("kind", [Bye, Error])
def test_after_their_last_word_nothing_more_comes_out_and_nothing_may_be_sent(kind: type) -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(wire(kind) + wire(Ping))
    assert connection.next_message() == MESSAGES[kind]
    assert connection.next_message() is None
    with pytest.raises(LocalProtocolError):
        connection.send(Ping(n=1))


def test_what_comes_before_a_frame_that_is_wrong_is_taken() -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(wire(Ping) + b'{"type":"ping"}\n' + wire(Pong))
    assert connection.next_message() == Ping(n=1)
    with pytest.raises(FrameError):
        connection.next_message()
    connection.send(Error(code="bad_frame"))
    assert connection.next_message() is None


# -- unknown types -----------------------------------------------------------------------------------------------------


def answered(connection: Connection) -> list[str]:
    """The unknown types that are to be answered, of all that is there."""
    found = iter(connection.next_message, None)
    return [one.kind for one in found if isinstance(one, Unknown) and connection.is_answered(one)]


def test_an_unknown_type_is_answered_once_and_then_no_more() -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(UNKNOWN + UNKNOWN + b'{"type":"sing"}\n' + UNKNOWN + wire(Ping))
    assert answered(connection) == ["dance", "sing"] and connection.state is OPEN


def test_who_sends_ever_new_types_is_not_answered_for_ever() -> None:
    connection = connection_in(ACCEPTOR, OPEN)
    connection.receive_data(b"".join(b'{"type":"x%d"}\n' % n for n in range(1000)) + wire(Ping))
    assert answered(connection) == [f"x{n}" for n in range(MOST_UNKNOWN)]


# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("v", "min_v", "good"), [(1, 1, True), (2, 1, True), (9, 1, True), (2, 2, False), (9, 3, False), (1, 2, False)]
)
def test_versions_must_overlap(role: Role, v: int, min_v: int, good: bool) -> None:
    kind = Handshake if role is ACCEPTOR else HandshakeAck
    connection = Connection(role)
    connection.receive_data(encode(kind(peer_id="far", **HELLO | {"v": v, "min_v": min_v})))
    if good:
        assert isinstance(connection.next_message(), kind)
        return
    with pytest.raises(FrameError) as caught:
        connection.next_message()
    assert caught.value.code == "version" and f"{min_v} to {v}" in str(caught.value)
    assert connection.state is HELLO_WAIT and connection.hello is None
    assert b'"version"' in connection.send(Error(code=caught.value.code))
    assert connection.state is CLOSING


def test_a_handshake_is_not_answered_with_a_handshake_in_version_1() -> None:
    connection = Connection(DIALLER)
    connection.receive_data(wire(Handshake))
    with pytest.raises(FrameError) as caught:
        connection.next_message()
    assert caught.value.code == "bad_state" and connection.state is HELLO_WAIT


# -- original peers ----------------------------------------------------------------------------------------------------


def test_an_original_peer_is_known_by_its_handshake_without_a_version() -> None:
    connection = Connection(ACCEPTOR)
    connection.receive_data(b'{"type":"handshake","peer_id":"old"}')
    assert isinstance(connection.next_message(), Handshake)
    assert connection.is_original and connection.state is OPEN


@pytest.mark.parametrize("answer", ["handshake_ack", "handshake"])
def test_an_original_peer_may_answer_in_its_own_way(answer: str) -> None:
    connection = Connection(DIALLER)
    connection.send(Handshake(peer_id="ann", to="old", **HELLO))
    connection.receive_data(json.dumps({"type": answer, "from": "old"}).encode())
    assert connection.next_message() is not None
    assert connection.is_original and connection.state is OPEN


@pytest.mark.parametrize("role", Role)
def test_objects_of_an_original_peer_end_at_their_braces_for_ever(role: Role) -> None:
    connection = connection_in(role, OPEN, original=True)
    raw = b'{"type":"chat","message":"}{"}{"type":"chat",\n"message":"b"} {"type":"broadcast","message":"c"}'
    found = []
    for at in range(len(raw)):
        connection.receive_data(raw[at : at + 1])
        while (message := connection.next_message()) is not None:
            found.append(message)
    assert found == [Chat(message="}{"), Chat(message="b"), Broadcast(message="c")]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", MESSAGES)
def test_an_original_peer_is_sent_only_what_it_understands(role: Role, kind: type) -> None:
    connection = connection_in(role, OPEN, original=True)
    if kind not in SENT[role][OPEN]:
        return
    sent = connection.send(MESSAGES[kind])
    assert bool(sent) is (kind in (HandshakeAck, Chat, Broadcast))
    assert connection.state is SENT[role][OPEN][kind]


def test_unknown_types_of_an_original_peer_are_not_answered() -> None:
    connection = connection_in(ACCEPTOR, OPEN, original=True)
    connection.receive_data(UNKNOWN + b'{"type":"chat","message":"hi"}')
    assert not answered(connection) and connection.state is OPEN
