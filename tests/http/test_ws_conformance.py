"""RFC 6455 and RFC 7692 as a table: what a client sends, and what it hears. Each case whole, byte by byte, and cut in
three: a verdict must not depend on how TCP cut the bytes.
"""

from __future__ import annotations

from typing import Any

import pytest
from ws_wire import SocketWire, close, deflated, echo, frame, more, text

LIMIT = 2000
# What is sent, and what is heard as (kind, what); behind a close the end is understood.
CASES: dict[str, tuple[bytes, list[tuple[str, Any]]]] = {
    # -- 5.2: framing
    "text": (text("hello"), [("text", "hello")]),
    "text of no characters": (text(""), [("text", "")]),
    "bytes": (frame(2, b"\x00\xff"), [("bytes", b"\x00\xff")]),
    "bytes of none": (frame(2), [("bytes", b"")]),
    "125 bytes": (frame(2, bytes(125)), [("bytes", bytes(125))]),
    "126 bytes, a length of two bytes": (frame(2, bytes(126)), [("bytes", bytes(126))]),
    "the limit": (frame(2, bytes(LIMIT)), [("bytes", bytes(LIMIT))]),
    "a mask of zeros": (text("hello", mask=bytes(4)), [("text", "hello")]),
    "three at once": (text("a") + frame(2, b"b") + text("c"), [("text", "a"), ("bytes", b"b"), ("text", "c")]),
    "not masked": (text("hello", mask=None), [("close", 1002)]),
    "a control frame not masked": (frame(9, b"x", mask=None), [("close", 1002)]),
    # -- 5.2, 5.8: reserved bits and opcodes
    "RSV1": (text("x", rsv=4), [("close", 1002)]),
    "RSV2": (text("x", rsv=2), [("close", 1002)]),
    "RSV3": (text("x", rsv=1), [("close", 1002)]),
    "RSV on a ping": (frame(9, b"", rsv=4), [("close", 1002)]),
    "RSV on a close": (close(rsv=1), [("close", 1002)]),
    "RSV behind a good message": (text("a") + text("b", rsv=7) + text("c"), [("text", "a"), ("close", 1002)]),
    **{f"opcode {code}": (frame(code), [("close", 1002)]) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a reserved opcode behind a ping": (frame(9, b"1") + frame(11), [("pong", b"1"), ("close", 1002)]),
    # -- 5.5: control frames
    "ping": (frame(9), [("pong", b"")]),
    "ping with a payload": (frame(9, b"payload"), [("pong", b"payload")]),
    "ping with all bytes it may have": (frame(9, bytes(range(125))), [("pong", bytes(range(125)))]),
    "ping too long": (frame(9, bytes(126)), [("close", 1002)]),
    "ping in two": (frame(9, b"x", fin=False), [("close", 1002)]),
    "ten pings": (b"".join(frame(9, b"%d" % n) for n in range(10)), [("pong", b"%d" % n) for n in range(10)]),
    "a pong nobody asked for": (frame(10, b"x") + text("still"), [("text", "still")]),
    "pong too long": (frame(10, bytes(126)), [("close", 1002)]),
    "close too long": (close(1000, bytes(124)), [("close", 1002)]),
    "close in two": (close(fin=False), [("close", 1002)]),
    # -- 5.4: fragments
    "two fragments": (text("ab", fin=False) + more("cd"), [("text", "abcd")]),
    "three of bytes": (frame(2, b"1", fin=False) + more(b"2", fin=False) + more(b"3"), [("bytes", b"123")]),
    "empty ones": (text("", fin=False) + more("", fin=False) + more(""), [("text", "")]),
    "a thousand empty ones": (text("a", fin=False) + more(fin=False) * 1000 + more("b"), [("text", "ab")]),
    "a ping in between": (text("a", fin=False) + frame(9, b"p") + more("b"), [("pong", b"p"), ("text", "ab")]),
    "a continuation of nothing": (more("x"), [("close", 1002)]),
    "a continuation behind a whole message": (text("a") + more("b"), [("text", "a"), ("close", 1002)]),
    "a continuation of nothing that goes on": (more("x", fin=False), [("close", 1002)]),
    "a message inside another": (text("a", fin=False) + text("b"), [("close", 1002)]),
    "bytes inside a text": (text("a", fin=False) + frame(2, b"b"), [("close", 1002)]),
    "RSV in a continuation": (text("a", fin=False) + more("b", rsv=4), [("close", 1002)]),
    # -- 8.1: UTF-8
    "every length of a character": (text("a\u00e9\u20ac\U0001f600"), [("text", "a\u00e9\u20ac\U0001f600")]),
    "no character at all, but text": (text("\ufffe\U0010ffff\0"), [("text", "\ufffe\U0010ffff\0")]),
    "a character cut by fragments": (
        text("\U0001f600".encode()[:2], fin=False) + more("\U0001f600".encode()[2:]), [("text", "\U0001f600")],
    ),
    "a byte that none begins with": (text(b"a\xff"), [("close", 1007)]),
    "a continuation byte alone": (text(b"\x80"), [("close", 1007)]),
    "too long a form": (text(b"\xc0\xaf"), [("close", 1007)]),
    "half of a pair": (text(b"\xed\xa0\x80"), [("close", 1007)]),
    "beyond the last": (text(b"\xf4\x90\x80\x80"), [("close", 1007)]),
    "an end in the middle": (text(b"\xe2\x82"), [("close", 1007)]),
    "an end in the middle of the last fragment": (text("a", fin=False) + more(b"\xe2\x82"), [("close", 1007)]),
    "bad before the message is complete": (text(b"\xce\xba\xed\xa0\x80", fin=False), [("close", 1007)]),
    "bad in the second fragment": (text("a", fin=False) + more(b"\xff", fin=False), [("close", 1007)]),
    "bad across fragments": (text(b"\xf4", fin=False) + more(b"\x90", fin=False), [("close", 1007)]),
    "bad, and a good close behind": (text(b"\xff") + close(), [("close", 1007)]),
    "bad, and a ping behind": (text(b"\xff") + frame(9), [("close", 1007)]),
    "the same as bytes": (frame(2, b"\xff\xfe"), [("bytes", b"\xff\xfe")]),
    "bytes in fragments": (frame(2, b"\xff", fin=False) + more(b"\xfe"), [("bytes", b"\xff\xfe")]),
    # -- 5.5.1, 7.4: close
    "close": (close(1000), [("close", 1000)]),
    "close with a reason": (close(1000, b"bye"), [("close", 1000)]),
    "close with the longest reason": (close(1000, b"x" * 123), [("close", 1000)]),
    "close without a code": (close(None), [("close", 1005)]),
    "close with half a code": (frame(8, b"\x03"), [("close", 1002)]),
    "close with a reason that is no text": (close(1000, b"\xff"), [("close", 1007)]),
    **{
        f"close {code}": (close(code), [("close", code)])
        for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999)
    },
    **{
        f"close {code}, which no frame may have": (close(code), [("close", 1002)])
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "nothing counts behind a close": (close() + text("x") + frame(9) + frame(3), [("close", 1000)]),
    "between two fragments": (text("a", fin=False) + close() + more("b"), [("close", 1000)]),
    "a message, then close": (text("last") + close(), [("text", "last"), ("close", 1000)]),
    # -- limits
    "over the limit": (frame(2, bytes(LIMIT + 1)), [("close", 1009)]),
    "over the limit by its length alone": (frame(2, bytes(LIMIT + 1))[:8], [("close", 1009)]),
    "a length of 2 to the 63": (b"\x82\xff" + (1 << 63).to_bytes(8, "big") + bytes(4), [("close", 1009)]),
    "the limit in fragments": (
        frame(2, bytes(LIMIT - 1), fin=False) + more(b"x"), [("bytes", bytes(LIMIT - 1) + b"x")],
    ),
    "over the limit in fragments": (frame(2, bytes(LIMIT), fin=False) + more(b"x"), [("close", 1009)]),
}  # fmt: skip

DEFLATE: dict[str, tuple[bytes, list[tuple[str, Any]]]] = {
    "compressed": (text(deflated(b"hello" * 20), rsv=4), [("text", "hello" * 20)]),
    "not compressed, which it may be": (text("hello"), [("text", "hello")]),
    "the example of RFC 7692 7.2.3.1": (text(bytes.fromhex("f248cdc9c90700"), rsv=4), [("text", "Hello")]),
    "its fragments": (text(b"\xf2\x48\xcd", rsv=4, fin=False) + more(b"\xc9\xc9\x07\x00"), [("text", "Hello")]),
    "one block that is not compressed": (text(bytes.fromhex("000500faff48656c6c6f00"), rsv=4), [("text", "Hello")]),
    "nothing, compressed": (text(b"\x00", rsv=4), [("text", "")]),
    "RSV1 on a continuation": (text(deflated(b"a"), rsv=4, fin=False) + more(b"b", rsv=4), [("close", 1002)]),
    "RSV1 on a ping": (frame(9, b"x", rsv=4), [("close", 1002)]),
    "RSV2": (text("x", rsv=2), [("close", 1002)]),
    "what zlib cannot read": (text(b"\xff\xff\xff\xff", rsv=4), [("close", 1002)]),
    "no UTF-8 when it is inflated": (text(deflated(b"a\xff"), rsv=4), [("close", 1007)]),
    "no UTF-8 in the first fragment": (text(b"\x00\x01\x00\xfe\xff\xff", rsv=4, fin=False), [("close", 1007)]),
    "the limit": (frame(2, deflated(bytes(LIMIT)), rsv=4), [("bytes", bytes(LIMIT))]),
    "over the limit when it is inflated": (frame(2, deflated(bytes(LIMIT + 1)), rsv=4), [("close", 1009)]),
    "a bomb": (frame(2, deflated(bytes(2_000_000), 9)[:1900], rsv=4), [("close", 1009)]),
    "a bomb in fragments": (
        frame(2, deflated(bytes(LIMIT))[:-1], rsv=4, fin=False) + more(deflated(bytes(LIMIT))), [("close", 1009)],
    ),
    "over the limit before it is inflated": (frame(2, bytes(LIMIT + 1), rsv=4), [("close", 1009)]),
}  # fmt: skip


def cut(data: bytes, way: str) -> list[bytes]:
    if way == "whole":
        return [data]
    if way == "bytes":
        return [data[place : place + 1] for place in range(len(data))]
    third = len(data) // 3
    return [piece for piece in (data[:third], data[third : 2 * third], data[2 * third :]) if piece]


@pytest.fixture(scope="module")
def plain() -> SocketWire:
    return SocketWire(echo, max_message=LIMIT)


@pytest.fixture(scope="module")
def packed() -> SocketWire:
    return SocketWire(echo, max_message=LIMIT, deflate=True)


def check(wire: SocketWire, data: bytes, expected: list[tuple[str, Any]], way: str, **fields: Any) -> None:
    client = wire.open(**fields)
    for piece in cut(data, way):
        client.transport.feed(piece)
    wire.reactor.settle()
    end = [("end", None)] if any(kind == "close" for kind, _ in expected) else []
    assert client.heard() == [*expected, *end]
    client.transport.abort()
    wire.reactor.settle()
    assert wire.errors == []
    assert wire.socket.close_code == (expected[-1][1] if end else 1006)


@pytest.mark.parametrize("way", ["whole", "bytes", "thirds"])
@pytest.mark.parametrize("name", CASES)
def test_frames(plain: SocketWire, name: str, way: str) -> None:
    check(plain, *CASES[name], way)


@pytest.mark.parametrize("way", ["whole", "bytes", "thirds"])
@pytest.mark.parametrize("name", DEFLATE)
def test_compressed_frames(packed: SocketWire, name: str, way: str) -> None:
    check(packed, *DEFLATE[name], way, deflate=True)


@pytest.mark.parametrize("name", CASES)
def test_an_agreement_on_compression_changes_nothing_for_who_does_not_use_it(packed: SocketWire, name: str) -> None:
    data, expected = CASES[name]
    if "RSV1" not in name and not name.startswith("RSV "):  # RSV1 means something now
        check(packed, data, expected, "whole", deflate=True)
