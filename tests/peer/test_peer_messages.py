"""What peers say to each other: each type there and back, and every way to get it wrong has its words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.errors import FrameError
from peer.framing import LONGEST
from peer.messages import (
    KNOWN,
    MAX_CHANNELS,
    MAX_NAME,
    MAX_TEXT,
    Ack,
    Broadcast,
    Bye,
    Channels,
    Chat,
    Error,
    Handshake,
    HandshakeAck,
    Have,
    Membership,
    Message,
    Ping,
    Pong,
    Refusal,
    Refuse,
    Unknown,
    decode,
    encode,
    encode_tail,
    plain_text,
    with_seq,
)

often = settings(derandomize=True, deadline=None, max_examples=500)

HELLO: dict[str, Any] = {
    "peer_id": "65113e1d", "to": "b0b", "v": 1, "min_v": 1, "caps": ["x"], "username": "Ann", "instance": "0f" * 16,
    "epoch": "ab" * 8, "have": {"epoch": "cd" * 8, "upto": 7, "refused": [[3, "flood"]]}, "backlog": 2,
    "listen_port": 9101, "channels": ["lobby"], "nonce": "4e" * 16, "lamport": 41,
    "timestamp": "2024-05-01T12:00:00.000Z",
}  # fmt: skip
TEXT: dict[str, Any] = {
    "id": f"65113e1d:{'ab' * 8}:12", "seq": 5, "peer_id": "65113e1d", "username": "Ann", "channel": "lobby",
    "message": "héllo", "lamport": 17, "timestamp": "2024-05-01T12:00:00.000Z",
}  # fmt: skip
# Each type with all of its fields, as docs/peer-protocol.md has them.
WIRE: dict[str, dict[str, Any]] = {
    "handshake": HELLO,
    "handshake_ack": HELLO,
    "chat": TEXT,
    "broadcast": TEXT | {"channel": "broadcast"},
    "ack": {"upto": 9},
    "refuse": {"seq": 4, "code": "not_member"},
    "channels": {"channels": [{"name": "lobby"}, {"name": "club", "proof": "5a" * 32}]},
    "ping": {"n": 1},
    "pong": {"n": 1},
    "bye": {"reason": "quit"},
    "error": {"code": "bad_json", "message": "no"},
}
HAVE = Have("cd" * 8, 7, (Refusal(3, "flood"),))
GREETING = HELLO | {"have": HAVE, "caps": ("x",), "channels": ("lobby",)}
MESSAGES: dict[str, Message] = {
    "handshake": Handshake(**GREETING),
    "handshake_ack": HandshakeAck(**GREETING),
    "chat": Chat(**TEXT),
    "broadcast": Broadcast(**TEXT | {"channel": "broadcast"}),
    "ack": Ack(upto=9),
    "refuse": Refuse(seq=4, code="not_member"),
    "channels": Channels(channels=[Membership("lobby"), Membership("club", "5a" * 32)]),
    "ping": Ping(n=1),
    "pong": Pong(n=1),
    "bye": Bye(reason="quit"),
    "error": Error(code="bad_json", message="no"),
}


def wire(type_: str, **changes: Any) -> bytes:
    """A frame; a field that is changed to ... is left out."""
    fields = {"type": type_, **WIRE.get(type_, {}), **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def refusal(data: bytes) -> FrameError:
    with pytest.raises(FrameError) as caught:
        decode(data)
    assert caught.value.code in ("bad_json", "bad_frame")
    return caught.value


def test_the_tables_of_this_test_have_every_type() -> None:
    assert KNOWN == set(WIRE) == set(MESSAGES)


@pytest.mark.parametrize("type_", WIRE)
def test_a_frame_becomes_its_message(type_: str) -> None:
    assert decode(wire(type_)) == MESSAGES[type_]


@pytest.mark.parametrize("type_", WIRE)
def test_a_message_becomes_one_line_and_comes_back_as_it_was(type_: str) -> None:
    line = encode(MESSAGES[type_])
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode(line) == MESSAGES[type_]


@pytest.mark.parametrize("type_", WIRE)
def test_on_the_wire_a_message_has_the_fields_that_the_protocol_names(type_: str) -> None:
    found = json.loads(encode(MESSAGES[type_]))
    expected = {"type": type_, **WIRE[type_]}
    expected.pop("min_v", None)  # 1 is what it means to be left out
    assert found == expected


@pytest.mark.parametrize("type_", WIRE)
def test_unknown_fields_are_ignored(type_: str) -> None:
    more = {"ttl": 3, "nested": {"type": "bye", "list": [1, None, {"a": "b"}]}, "": True}
    assert decode(wire(type_, **more)) == MESSAGES[type_]


def test_fields_may_come_in_any_order() -> None:
    fields = json.loads(wire("chat"))
    backwards = json.dumps(dict(reversed(fields.items()))).encode()
    assert decode(backwards) == MESSAGES["chat"]


def test_a_tail_and_a_number_make_a_copy_of_a_text() -> None:
    text = Chat(**TEXT | {"seq": 0})
    tail = encode_tail(text)
    for seq in (1, 2**53):
        assert decode(with_seq(tail, seq)) == Chat(**TEXT | {"seq": seq})
        assert with_seq(tail, seq).endswith(b"}\n")


# -- what is wrong -----------------------------------------------------------------------------------------------------

NEEDED = {
    "handshake": ["peer_id", "instance", "epoch", "nonce"], "handshake_ack": ["peer_id", "instance", "epoch", "nonce"],
    "chat": ["message"], "broadcast": ["message"], "ack": ["upto"], "refuse": ["seq", "code"],
    "channels": ["channels"], "ping": ["n"], "pong": ["n"], "bye": [], "error": ["code"],
}  # fmt: skip


@pytest.mark.parametrize(("type_", "field"), [(type_, field) for type_ in NEEDED for field in NEEDED[type_]])
def test_a_field_that_is_needed_and_missing_is_named(type_: str, field: str) -> None:
    error = refusal(wire(type_, **{field: ...}))
    assert error.code == "bad_frame"
    assert type_ in str(error) and field in str(error)


@pytest.mark.parametrize(("type_", "field"), [(type_, field) for type_ in WIRE for field in WIRE[type_]])
def test_a_field_of_a_wrong_type_is_named(type_: str, field: str) -> None:
    for wrong in (True, 1.5, [[]], {"a": 1}):
        error = refusal(wire(type_, **{field: wrong}))
        assert error.code == "bad_frame"
        assert type_ in str(error) and field in str(error), str(error)


@pytest.mark.parametrize(
    ("type_", "field", "value"),
    [("handshake", "peer_id", ""), ("handshake", "peer_id", (MAX_NAME + 1) * "x"),
     ("handshake", "username", (MAX_NAME + 1) * "x"), ("handshake", "v", 0), ("handshake", "v", -1),
     ("handshake", "instance", "0f" * 15), ("handshake", "instance", "0F" * 16), ("handshake", "instance", "é" * 32),
     ("handshake", "nonce", ""), ("handshake", "nonce", "4e" * 17), ("handshake", "epoch", "ab" * 16),
     ("handshake", "epoch", "xy" * 8), ("handshake", "listen_port", 65_536), ("handshake", "listen_port", -1),
     ("handshake", "backlog", -1), ("handshake", "have", {"epoch": "ab" * 8}), ("handshake", "have", {"upto": 1}),
     ("handshake", "have", {"epoch": "ab" * 8, "upto": -1}),
     ("handshake", "have", {"epoch": "ab" * 8, "upto": 1, "refused": 101 * [[1, "x"]]}),
     ("handshake", "have", {"epoch": "ab" * 8, "upto": 1, "refused": [[0, "x"]]}),
     ("handshake", "have", {"epoch": "ab" * 8, "upto": 1, "refused": [[1]]}),
     ("handshake", "channels", (MAX_CHANNELS + 1) * ["x"]), ("handshake", "channels", [""]),
     ("handshake", "caps", 65 * ["x"]), ("handshake", "lamport", -1), ("handshake", "lamport", 2**53 + 1),
     ("chat", "seq", -1), ("chat", "seq", 2**53 + 1), ("chat", "seq", 10**40), ("chat", "lamport", -1),
     ("chat", "channel", (MAX_NAME + 1) * "x"), ("chat", "id", 300 * "x"), ("chat", "message", None),
     ("ack", "upto", -1), ("ack", "upto", 2**53 + 1), ("refuse", "seq", 0), ("refuse", "code", 65 * "x"),
     ("channels", "channels", [{"proof": "x"}]), ("channels", "channels", ["lobby"]),
     ("channels", "channels", (MAX_CHANNELS + 1) * [{"name": "x"}]), ("bye", "reason", 65 * "x"),
     ("ping", "n", -1), ("ping", "n", "1")],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(type_: str, field: str, value: object) -> None:
    error = refusal(wire(type_, **{field: value}))
    assert error.code == "bad_frame" and type_ in str(error) and field in str(error), str(error)


CONTROLS = ["a\x1b[2Jb", "a\nb", "a\rb", "a\x00b", "a\x7fb", "a\x9bb", "a\u202eb", "a\u2028b"]


@pytest.mark.parametrize("text", CONTROLS)
@pytest.mark.parametrize(
    ("type_", "field"),
    [("handshake", "peer_id"), ("handshake", "username"), ("handshake_ack", "peer_id"), ("chat", "channel"),
     ("chat", "timestamp"), ("broadcast", "timestamp")],
)  # fmt: skip
def test_names_cannot_move_a_cursor_or_fake_a_line(type_: str, field: str, text: str) -> None:
    error = refusal(wire(type_, **{field: text}))
    assert error.code == "bad_frame" and "printable" in str(error)


@pytest.mark.parametrize("text", CONTROLS)
def test_the_channels_of_a_handshake_are_printable_too(text: str) -> None:
    assert "printable" in str(refusal(wire("handshake", channels=["lobby", text])))


@pytest.mark.parametrize("text", CONTROLS)
def test_a_message_may_hold_anything(text: str) -> None:
    """It is shown escaped."""
    message = decode(wire("chat", message=text))
    assert isinstance(message, Chat) and message.message == text


@pytest.mark.parametrize("name", ["日本語", "Ünïcode Name", "🙂", "a b"])
def test_names_in_any_script_are_taken(name: str) -> None:
    message = decode(wire("handshake", username=name, peer_id=name, channels=[name]))
    assert isinstance(message, Handshake) and message.username == message.who == name


BAD_JSON = {
    "nothing": b"",
    "rubbish": b"hello",
    "half an object": b'{"type":"ping","n":',
    "two objects": b'{"type":"ping","n":1}{"type":"ping","n":2}',
    "rubbish behind": b'{"type":"ping","n":1} x',
    "a comma too many": b'{"type":"ping","n":1,}',
    "single quotes": b"{'type':'ping','n':1}",
    "NaN": b'{"type":"ping","n":NaN}',
    "a number with a leading zero": b'{"type":"ping","n":01}',
    "a control character in a string": b'{"type":"bye","reason":"a\nb"}',
    "an unknown escape": rb'{"type":"bye","reason":"\x41"}',
    "invalid UTF-8 in a field": b'{"type":"bye","reason":"\xff"}',
    "invalid UTF-8 in the type": b'{"type":"\xff"}',
    "invalid UTF-8 in an unknown field": b'{"type":"ping","n":1,"x":"\xff"}',
    "invalid UTF-8 in an unknown name": b'{"type":"ping","n":1,"\xff":1}',
    "invalid UTF-8 in an unknown type": b'{"type":"dance","x":"\xff"}',
    "overlong UTF-8": b'{"type":"bye","reason":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"type":"bye","reason":"\xed\xa0\x80"}',
    "UTF-16": '{"type":"ping","n":1}'.encode("utf-16-le"),
    "a high surrogate alone": rb'{"type":"bye","reason":"\ud800"}',
    "a low surrogate alone": rb'{"type":"bye","reason":"\udc00x"}',
    "surrogates the wrong way round": rb'{"type":"bye","reason":"\udc00\ud800"}',
    "a wrong field and rubbish behind it": b'{"type":"ping","n":"x",,,}',
    "a wrong field and invalid UTF-8 behind it": b'{"type":"ping","n":"x","y":"\xff"}',
    "a wrong field and no end": b'{"type":"ping","n":"x"',
    "an unknown type and rubbish behind it": b'{"type":"dance",,}',
    "nested in an unknown field": b'{"type":"ping","n":1,"x":' + 30_000 * b"[" + 30_000 * b"]" + b"}",
    "nested in an unknown type": b'{"type":"dance","x":' + 12_000 * b'{"x":' + b"1" + 12_000 * b"}" + b"}",
    "nested behind a wrong field": b'{"type":"ping","n":"x","x":' + 30_000 * b"[" + 30_000 * b"]" + b"}",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json_in_utf8_is_refused(name: str) -> None:
    error = refusal(BAD_JSON[name])
    assert error.code == "bad_json", str(error)


@pytest.mark.parametrize("data", [b"[1]", b"5", b"null", b'"chat"', b"{}", b'{"n":1}', b'{"type":5}', b'{"type":null}',
                                  b'{"type":["ping"],"n":1}'])  # fmt: skip
def test_what_has_no_type_is_refused(data: bytes) -> None:
    assert "type" in str(refusal(data))


def test_words_for_the_other_side_are_short_whatever_it_has_sent() -> None:
    long = 60_000 * "x"
    for data in (wire("bye", reason=long), wire("chat", id=long), json.dumps({"type": {long: 1}}).encode()):
        assert len(str(refusal(data))) < 500


@pytest.mark.parametrize("kind", ["dance", "", "Chat", "chat ", "日本"])
def test_an_unknown_type_is_no_error(kind: str) -> None:
    assert decode(json.dumps({"type": kind, "n": []}).encode()) == Unknown(kind)


def test_the_name_of_an_unknown_type_is_kept_within_bounds() -> None:
    """It is remembered for as long as the link lives."""
    message = decode(json.dumps({"type": 60_000 * "x"}).encode())
    assert isinstance(message, Unknown) and len(message.kind) <= 100


# -- original peers ----------------------------------------------------------------------------------------------------


def test_an_original_handshake_needs_only_an_id() -> None:
    message = decode(b'{"type":"handshake","peer_id":"p1"}')
    assert isinstance(message, Handshake) and message.who == "p1" and message.v is None
    assert decode(b'{"type":"handshake","from":"p1"}').who == "p1"  # type: ignore[union-attr]


def test_an_original_message_needs_only_its_text() -> None:
    for type_ in ("chat", "broadcast"):
        message = decode(json.dumps({"type": type_, "message": "hi"}).encode())
        assert isinstance(message, Chat | Broadcast) and message.message == "hi" and not message.seq


def test_an_original_message_may_say_from() -> None:
    message = decode(b'{"type":"chat","message":"hi","from":"p1","username":"P","channel":"x","timestamp":"noon"}')
    assert isinstance(message, Chat) and message.channel == "x" and message.timestamp == "noon"


# -- bounds, and what holds for all bytes ------------------------------------------------------------------------------


def test_the_longest_message_fits_into_a_line_in_any_script() -> None:
    for character in ("x", '"', "\x00", "é", "🙂"):
        text = Chat(**TEXT | {"message": MAX_TEXT * character, "username": MAX_NAME * "🙂", "channel": MAX_NAME * "🙂"})
        assert len(encode(text)) < LONGEST


def test_the_largest_handshake_fits_into_a_line() -> None:
    """Unless all names are as long as can be, and far from ASCII."""
    hello = Handshake(**HELLO | {"channels": [f"{i:064d}" for i in range(MAX_CHANNELS)]})
    assert len(encode(hello)) < LONGEST
    proved = Channels(channels=[Membership(f"{i:064d}", "5a" * 32) for i in range(MAX_CHANNELS)])
    assert len(encode(proved)) < LONGEST


@pytest.mark.parametrize(
    ("text", "plain"),
    [("hello", "hello"), ("héé 🙂", "héé 🙂"), ("a\ud800b", "a\ufffdb"), ("\udc00", "\ufffd"),
     ("\udcff\udcfe", "\ufffd\ufffd")],
)  # fmt: skip
def test_lone_surrogates_of_a_terminal_are_replaced_as_utf8_has_none(text: str, plain: str) -> None:
    assert plain_text(text) == plain
    assert decode(encode(Chat(message=plain_text(text)))) == Chat(message=plain)


@often
@given(st.binary(max_size=80))
def test_no_bytes_make_anything_but_a_message_or_a_frame_error(data: bytes) -> None:
    try:
        decode(data)
    except FrameError as error:
        assert error.code in ("bad_json", "bad_frame")


@often
@given(st.sampled_from(sorted(WIRE)), st.data())
def test_a_frame_with_bytes_exchanged_makes_a_message_or_a_frame_error(type_: str, data: st.DataObject) -> None:
    frame = bytearray(wire(type_))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"{", b"}", b",", b":", b"\\", b"\\ud800", b"\xff", b"1e9"])
        )
        if not frame:
            return
    try:
        decode(bytes(frame))
    except FrameError as error:
        assert error.code in ("bad_json", "bad_frame")
