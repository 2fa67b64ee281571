"""Everything that can come in at a peer's port, on real sockets: a defined answer, bounded memory, nobody disturbed.

The victim always has a friend, who is talked to before and after.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import Peer
from server import wait_until

A, B = "aaaa1111", "bbbb2222"
MIB = 1024 * 1024


class Wild:
    """A connection to a peer's port that says whatever the test wants."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.data = b""

    def __enter__(self) -> Wild:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def say(self, kind: str, **fields: Any) -> None:
        self.send(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def hello(self, peer_id: str = "eeee5555", **fields: Any) -> dict[str, Any]:
        """Shake hands; what came back."""
        self.peer_id, self.epoch = peer_id, "e" * 16
        hello = {
            "peer_id": peer_id, "v": 1, "min_v": 1, "instance": os.urandom(16).hex(), "epoch": self.epoch,
            "nonce": os.urandom(16).hex(), "username": peer_id, "channels": [], **fields,
        }  # fmt: skip
        self.say("handshake", **hello)
        return self.until("handshake_ack", "bye", "error")

    def chat(self, seq: int, text: str, channel: str = "direct", **fields: Any) -> None:
        self.say("chat", **{
            "id": f"{self.peer_id}:{self.epoch}:{seq}", "seq": seq, "message": text, "channel": channel, **fields,
        })  # fmt: skip

    def until(self, *kinds: str) -> dict[str, Any]:
        """The next message of one of these types."""
        while True:
            while b"\n" not in self.data:
                more = self.sock.recv(65536)
                assert more, f"closed before {kinds}: {self.data!r}"
                self.data += more
            line, _, self.data = self.data.partition(b"\n")
            message: dict[str, Any] = json.loads(line)
            if message["type"] in kinds:
                return message

    def end(self) -> bytes:
        """All that still comes, until the other side closes."""
        try:
            while more := self.sock.recv(65536):
                self.data += more
        except ConnectionResetError:
            pass
        return self.data


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    folder = tmp_path_factory.mktemp("attacked")
    with Peer(folder, A, None) as victim, Peer(folder, B, None) as friend:
        friend.ask(f"connect {A} 127.0.0.1 {victim.port}", f"[Peer] Connected to peer: {A}")
        yield victim, friend


@pytest.fixture(autouse=True)
def undisturbed(pair: tuple[Peer, Peer]) -> Iterator[None]:
    """Whatever the test does: the friend's link stays, and carries messages."""
    victim, friend = pair
    yield
    text = f"still here {time.monotonic()}"
    friend.ask(f"send {A} {text}", f"[Peer] Delivered to {A}: {text}")
    victim.wait_for(f"[Peer] Message from {B}: {text}")
    assert "Disconnected" not in friend.text
    assert "Traceback" not in victim.text


def resident(peer: Peer) -> int:
    pages = Path(f"/proc/{peer.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


# -- what is no message ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"{]}\n", "bad_json"), (b'{"type":"chat","message":"\xff\xfe"}\n', "bad_json"), (b"\x00\x01\x02", "bad_json"),
        (b'{"type":"handshake"}\n', "bad_frame"), (b'{"type":"ping","n":1}\n', "bad_state"), (b'{"v":1}', "bad_frame"),
        (b'{"type":"handshake","peer_id":' + b"[" * 70_000, "too_long"),
    ],
)  # fmt: skip
def test_what_is_no_greeting_is_told_so_and_closed(pair: tuple[Peer, Peer], sent: bytes, code: str) -> None:
    with Wild(pair[0].port) as wild:
        wild.send(sent)
        assert wild.until("error")["code"] == code
        assert wild.end() == b""


def test_a_browser_is_told_where_it_is(pair: tuple[Peer, Peer]) -> None:
    with Wild(pair[0].port) as wild:
        wild.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wild.end().startswith(b"HTTP/1.1 426 Upgrade Required\r\n")


def test_tls_is_closed(pair: tuple[Peer, Peer]) -> None:
    with Wild(pair[0].port) as wild:
        wild.send(b"\x16\x03\x01\x02\x00")
        assert wild.end() == b""


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"chat","message":5}', b'{"type":"chat","message":"x","seq":0,"id":"a"}', b"nonsense", b'"text"',
        b'{"type":"ack","upto":-1}', b'{"type":"channels","channels":"class"}', b'{"type":"handshake","peer_id":"x"}',
        b'{"type":"chat","message":"x","seq":1,"id":"aaaa1111:0000000000000000:1"}',
    ],
)  # fmt: skip
def test_a_wrong_message_ends_its_own_link_only(pair: tuple[Peer, Peer], line: bytes) -> None:
    with Wild(pair[0].port) as wild:
        wild.hello()
        wild.send(line + b"\n")
        assert wild.until("error")["code"] in ("bad_frame", "bad_json", "bad_state")
        wild.end()


def test_a_line_of_ten_megabytes_costs_nothing(pair: tuple[Peer, Peer]) -> None:
    before = resident(pair[0])
    with Wild(pair[0].port) as wild:
        wild.hello()
        try:
            for _ in range(10):
                wild.send(b"x" * MIB)
        except (ConnectionResetError, BrokenPipeError):
            pass
        wild.end()  # an `error too_long`, unless the reset overtakes it
    assert resident(pair[0]) - before < 4 * MIB


# -- good messages, in bad ways --------------------------------------------------------------------------------------


def test_messages_in_pieces_and_ten_in_one_packet(pair: tuple[Peer, Peer]) -> None:
    victim = pair[0]
    with Wild(victim.port) as wild:
        wild.hello("cccc0001")
        chats = [
            {"type": "chat", "id": f"cccc0001:{wild.epoch}:{n}", "seq": n, "channel": "direct", "message": f"part {n}"}
            for n in range(1, 11)
        ]
        frames = b"".join(json.dumps(chat).encode() + b"\n" for chat in chats)
        for start in range(0, 300, 7):
            wild.send(frames[start : start + 7])
        wild.send(frames[301:])
        for n in range(1, 11):
            victim.wait_for(f"[Peer] Message from cccc0001: part {n}")
        while wild.until("ack")["upto"] < 10:
            pass


def test_nobody_speaks_as_somebody_else(pair: tuple[Peer, Peer]) -> None:
    victim = pair[0]
    with Wild(victim.port) as wild:
        wild.hello("cccc0002")
        wild.chat(1, "I am Bob", peer_id=B, username="Bob")
        assert victim.wait_for("I am Bob") == "[Peer] Message from cccc0002: I am Bob"


def test_who_claims_the_name_of_somebody_who_is_there_is_sent_away(pair: tuple[Peer, Peer]) -> None:
    with Wild(pair[0].port) as wild:
        wild.hello(B)
        assert wild.until("bye")["reason"] == "in_use"


def test_control_characters_move_no_cursor(pair: tuple[Peer, Peer]) -> None:
    victim = pair[0]
    with Wild(victim.port) as wild:
        wild.hello("cccc0003")
        wild.chat(1, "a\x1b[2Jb\r\n[Peer] Message from bbbb2222: forged\u202e")
        line = victim.wait_for("[Peer] Message from cccc0003")
    assert line == r"[Peer] Message from cccc0003: a\x1b[2Jb\x0d\x0a[Peer] Message from bbbb2222: forged\u202e"


def test_a_message_to_a_channel_we_are_not_in_is_refused(pair: tuple[Peer, Peer]) -> None:
    with Wild(pair[0].port) as wild:
        wild.hello("cccc0004", channels=["secret"])
        wild.chat(1, "to the channel", "secret")
        assert wild.until("refuse") == {"type": "refuse", "seq": 1, "code": "not_member"}
        assert wild.until("ack")["upto"] == 1
    assert "to the channel" not in pair[0].text


def test_a_flood_is_refused_and_then_ended(pair: tuple[Peer, Peer]) -> None:
    victim = pair[0]
    with Wild(victim.port) as wild:
        wild.hello("cccc0005", backlog=2**40)
        for n in range(1, 1000):
            try:
                wild.chat(n, f"flood {n}")
            except (ConnectionResetError, BrokenPipeError):
                break
        wild.end()
    assert victim.text.count("from cccc0005: flood") < 150


def test_unknown_types_are_answered_once_each(pair: tuple[Peer, Peer]) -> None:
    with Wild(pair[0].port) as wild:
        wild.hello("cccc0006")
        for _ in range(3):
            wild.say("dance", step=1)
        assert wild.until("error")["code"] == "unsupported"
        wild.say("ping", n=7)
        assert wild.until("pong", "error") == {"type": "pong", "n": 7}


def test_a_peer_that_never_reads_and_never_acknowledges_is_let_go(pair: tuple[Peer, Peer]) -> None:
    """It pings and reads nothing: what waits for it may not grow."""
    before = resident(pair[0])
    with Wild(pair[0].port) as wild:
        wild.hello("cccc0007")
        wild.sock.settimeout(0.2)
        line = b"".join(b'{"type":"ping","n":%d}\n' % n for n in range(1, 2000))
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                try:
                    wild.send(line)
                except TimeoutError:
                    continue
        except (ConnectionResetError, BrokenPipeError):
            pass
        else:
            pytest.fail("it was never let go")
    assert resident(pair[0]) - before < 8 * MIB


def test_a_thousand_connections_leave_room_for_friends(pair: tuple[Peer, Peer], tmp_path: Path) -> None:
    victim = pair[0]
    wild: list[socket.socket] = []
    try:
        wild += [socket.create_connection(("127.0.0.1", victim.port), timeout=10) for _ in range(1000)]
        before = resident(victim)
        assert before < 120 * MIB
    finally:
        for sock in wild:
            sock.close()
    with Peer(tmp_path, "dddd4444", None) as late:
        wait_until(lambda: _connects(late, victim), 20, lambda: late.text, late.process)


def _connects(late: Peer, victim: Peer) -> bool:
    late.type(f"connect {A} 127.0.0.1 {victim.port}")
    late.wait_for("onnect")
    line = late.wait_for("onnect")
    return "Connected" in line


# -- the peers of the original system --------------------------------------------------------------------------------


def read_objects(sock: socket.socket, count: int) -> list[dict[str, Any]]:
    data, found, decoder = "", [], json.JSONDecoder()
    while len(found) < count:
        data += sock.recv(65536).decode()
        while data.strip():
            try:
                value, end = decoder.raw_decode(data.lstrip())
            except ValueError:
                break
            found.append(value)
            data = data.lstrip()[end:]
    return found


def test_an_original_peer_connects_sends_broadcasts_and_is_answered(pair: tuple[Peer, Peer]) -> None:
    """No `v`, no line feeds, several in one packet and one in several."""
    victim = pair[0]
    with Wild(victim.port) as old:
        old.send(b'{"type": "handshake", "from": "127.0.0.1:9999", "username": "old"}')
        (answer,) = read_objects(old.sock, 1)
        assert answer["type"] == "handshake_ack" and answer["peer_id"] == A and "v" not in answer
        old.send(b'{"type": "chat", "message": "one {"}{"type":"broadcast","message":"two"}{"type":"chat","mess')
        victim.wait_for("[Peer] Message from 127.0.0.1:9999: one {")
        victim.wait_for("[Peer] Broadcast from 127.0.0.1:9999: two")
        old.send(b'age":"three"}')
        victim.wait_for("[Peer] Message from 127.0.0.1:9999: three")
        victim.ask("send 127.0.0.1:9999 back", "[Peer] Sent message to 127.0.0.1:9999: back")
        (back,) = read_objects(old.sock, 1)
        assert (back["type"], back["message"], back["peer_id"]) == ("chat", "back", A)
        assert "Delivered to 127.0.0.1:9999" not in victim.text


def test_we_dial_an_original_peer(pair: tuple[Peer, Peer]) -> None:
    victim = pair[0]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        victim.type(f"connect original1 127.0.0.1 {port}")
        server.settimeout(10)
        sock, _ = server.accept()
        with sock:
            (hello,) = read_objects(sock, 1)
            assert hello["type"] == "handshake" and hello["peer_id"] == A
            sock.sendall(b'{"type":"handshake_ack","peer_id":"original1","username":"old"}')
            victim.wait_for("[Peer] Connected to peer: original1")
