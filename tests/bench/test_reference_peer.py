"""The thread-per-link peer keeps the promises of the wire, or a comparison with it would say nothing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.reference.peer import ThreadPeer

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"

Make = Callable[[str], ThreadPeer]


@pytest.fixture
def make() -> Iterator[Make]:
    """Peers that listen; in the end they are closed, and no thread may be left of them."""
    before = set(threading.enumerate())
    made: list[ThreadPeer] = []

    def start(peer_id: str) -> ThreadPeer:
        peer = ThreadPeer(peer_id)
        peer.listen()
        made.append(peer)
        return peer

    yield start
    for peer in made:
        peer.close()
    assert set(threading.enumerate()) <= before
    assert [peer.links for peer in made] == [0] * len(made)


class Raw:
    """A peer by hand: its handshake is done, and what it says and hears are bytes."""

    def __init__(self, port: int, peer_id: str = "raw") -> None:
        self.sock = socket.create_connection((LOOPBACK, port), 5)
        self._file = self.sock.makefile("rb")
        hello = {"type": "handshake", "peer_id": peer_id, "v": 1, "instance": "0" * 32, "epoch": "0" * 16}
        self.say({**hello, "nonce": "0" * 32})
        self.hello = self.hear()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.sock.close()

    def say(self, message: dict[str, Any]) -> None:
        self.sock.sendall(line(message))

    def hear(self) -> dict[str, Any]:
        """The next message; {} at the end."""
        data = self._file.readline()
        return dict(json.loads(data)) if data else {}


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def chat(seq: int, text: str = "hi") -> bytes:
    return line({"type": "chat", "id": f"raw:0:{seq}", "seq": seq, "message": text})


def listen_to(peer: ThreadPeer) -> list[tuple[str, str]]:
    heard: list[tuple[str, str]] = []
    peer.on_message = lambda peer_id, text: heard.append((peer_id, text))
    return heard


def connect(a: ThreadPeer, b: ThreadPeer) -> None:
    before = b.links
    assert a.connect(LOOPBACK, b.port) == b.peer_id
    assert b.links == before + 1


def test_a_message_arrives_at_its_peer_alone_and_is_acknowledged(make: Make) -> None:
    a, b, c = make("a"), make("b"), make("c")
    heard = {peer: listen_to(peer) for peer in (a, b, c)}
    connect(a, b)
    connect(c, a)
    assert a.send("b", "to b") and a.send("c", "to c") and c.send("a", "zur\u00fcck\n")
    assert a.wait_for(lambda: a.delivered == 2 and a.received == 1) and c.wait_for(lambda: c.delivered == 1)
    assert heard == {a: [("c", "zur\u00fcck\n")], b: [("a", "to b")], c: [("a", "to c")]}
    assert a.send("nobody", "?") is False


def test_a_broadcast_arrives_once_on_every_link_and_in_order(make: Make) -> None:
    hub = make("hub")
    leaves = [make(f"leaf{number}") for number in range(10)]
    heard = [listen_to(leaf) for leaf in leaves]
    for leaf in leaves:
        connect(leaf, hub)
    texts = [str(number) for number in range(50)]
    assert [hub.broadcast(text) for text in texts] == [10] * 50
    assert hub.wait_for(lambda: hub.delivered == 500)
    assert heard == [[("hub", text) for text in texts]] * 10


def test_messages_are_whole_however_they_are_cut(make: Make) -> None:
    peer = make("p")
    heard = listen_to(peer)
    data = chat(1, "caf\u00e9") + chat(2, "x" * 60_000) + chat(3)
    with Raw(peer.port) as raw:
        assert (raw.hello["type"], raw.hello["peer_id"], raw.hello["v"]) == ("handshake_ack", "p", 1)
        for start in range(60):
            raw.sock.sendall(data[start : start + 1])
        raw.sock.sendall(data[60:])
        assert peer.wait_for(lambda: peer.received == 3)
        while raw.hear() != {"type": "ack", "upto": 3}:
            pass
        raw.sock.sendall(chat(3) + chat(2) + chat(5, "after a gap"))
        assert raw.hear() == {"type": "ack", "upto": 5}
    assert [text for _, text in heard] == ["caf\u00e9", "x" * 60_000, "hi", "after a gap"]


def test_a_message_is_acknowledged_after_it_was_shown(make: Make) -> None:
    a, b = make("a"), make("b")
    coming, shown = threading.Event(), threading.Event()

    def show(peer_id: str, text: str) -> None:
        coming.set()
        assert shown.wait(5)

    b.on_message = show
    connect(a, b)
    assert a.send("b", "hi") and coming.wait(5)
    assert b.send("a", "meanwhile") and a.wait_for(lambda: a.received == 1)  # nothing before it acknowledged anything
    assert a.delivered == 0
    shown.set()
    assert a.wait_for(lambda: a.delivered == 1)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"no JSON\n", "bad_json"), (b'{"type":"chat","message":"\xff","seq":1}\n', "bad_json"),
        (b'{"type":"chat","seq":1}\n', "bad_frame"), (b'{"type":"chat","message":"no number"}\n', "bad_state"),
        (b'{"type":"handshake_ack","peer_id":"x"}\n', "bad_state"), (b"x" * 65_536, "too_long"),
    ],
)  # fmt: skip
def test_who_breaks_the_protocol_is_told_and_ends_only_its_own_link(make: Make, bad: bytes, code: str) -> None:
    a, b = make("a"), make("b")
    connect(a, b)
    with Raw(a.port) as raw:
        raw.sock.sendall(bad)
        said = raw.hear()
        assert (said["type"], said["code"]) == ("error", code)
        assert raw.hear() == {}
    assert a.wait_for(lambda: a.links == 1)
    assert a.send("b", "still there") and a.wait_for(lambda: a.delivered == 1)


def test_pings_are_answered_and_what_is_unknown_is_not_minded(make: Make) -> None:
    peer = make("p")
    with Raw(peer.port) as raw:
        raw.say({"type": "wave", "n": 1})
        raw.say({"type": "error", "code": "unsupported"})
        raw.say({"type": "ping", "n": 7, "more": []})
        assert raw.hear() == {"type": "pong", "n": 7}
        raw.say({"type": "bye", "reason": "quit"})
        assert raw.hear() == {}


def test_a_dial_that_meets_nobody_or_itself_or_a_dumb_one_is_an_error(make: Make) -> None:
    peer = make("p")
    with pytest.raises(ConnectionError, match="handshake"):
        peer.connect(LOOPBACK, peer.port)
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        hang_up = threading.Thread(target=lambda: listener.accept()[0].close())
        hang_up.start()
        with pytest.raises(ConnectionError):
            peer.connect(LOOPBACK, port)
        hang_up.join()
    with pytest.raises(ConnectionRefusedError):
        peer.connect(LOOPBACK, port)


def in_threads(*what: Callable[[], object]) -> None:
    """All of it at once, to its end."""
    threads = [threading.Thread(target=one) for one in what]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def dial_each_other(a: ThreadPeer, b: ThreadPeer) -> None:
    met: list[str] = []
    in_threads(lambda: met.append(a.connect(LOOPBACK, b.port)), lambda: met.append(b.connect(LOOPBACK, a.port)))
    assert sorted(met) == [a.peer_id, b.peer_id]
    assert a.wait_for(lambda: len(a._threads) == 1 == a.links) and b.wait_for(lambda: len(b._threads) == 1 == b.links)
    assert [link.dialled for link in (*a._links.values(), *b._links.values())] == [False, True]
    assert a.send(b.peer_id, "hi") and a.wait_for(lambda: a.delivered == 1)


def test_two_that_dial_each_other_at_once_keep_what_the_larger_dialled(make: Make) -> None:
    for number in range(20):
        dial_each_other(make(f"a{number}"), make(f"b{number}"))


def test_a_newer_link_takes_over_and_goes_on_with_the_numbers_of_both(make: Make) -> None:
    peer = make("p")
    heard = listen_to(peer)
    with Raw(peer.port) as old:
        old.sock.sendall(chat(1))
        assert old.hear() == {"type": "ack", "upto": 1}
        assert peer.send("raw", "one") and old.hear()["seq"] == 1
        with Raw(peer.port) as new:
            assert old.hear() == {"type": "bye", "reason": "duplicate"}
            assert old.hear() == {}
            assert peer.wait_for(lambda: len(peer._threads) == 1)
            assert peer.links == 1 and peer.send("raw", "two")
            ack, said = sorted((new.hear(), new.hear()), key=lambda message: str(message["type"]))
            assert ack == {"type": "ack", "upto": 1}  # again: the first may have been lost
            assert (said["seq"], said["message"], said["channel"]) == (2, "two", "direct")
            assert said["id"] == f"p:{new.hello['epoch']}:2" and new.hello["epoch"] == old.hello["epoch"]
            new.say({"type": "ack", "upto": 99})
            new.sock.sendall(chat(1) + chat(2, "again"))
            assert new.hear() == {"type": "ack", "upto": 2}
            assert peer.wait_for(lambda: (peer.received, peer.delivered) == (2, 1))
    assert [text for _, text in heard] == ["hi", "again"]


def flood(peer: ThreadPeer) -> None:
    """More than all the buffers of a link hold."""
    for _ in range(3000):
        peer.broadcast("x" * 4000)


def test_a_writer_that_waits_keeps_nobody_from_reading(make: Make) -> None:
    peer = make("p")
    with Raw(peer.port) as raw:
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # fixed: it will not grow to hold all
        writer = threading.Thread(target=flood, args=(peer,))
        writer.start()
        for seq in range(1, 51):
            raw.sock.sendall(chat(seq))
            assert peer.wait_for(lambda seq=seq: peer.received == seq, 5)
        assert writer.is_alive()
        said, last_ack = {}, 0
        while said.get("seq") != 3000:
            said = raw.hear()
            last_ack = said["upto"] if said["type"] == "ack" else last_ack
        writer.join(5)
        while last_ack != 50:
            last_ack = raw.hear()["upto"]


def test_the_program_echoes_and_says_what_it_counted(make: Make) -> None:
    peer = make("p")
    heard = listen_to(peer)
    command = [sys.executable, "-m", "bench.reference.peer", "0", "--echo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        other = peer.connect(LOOPBACK, int(program.stdout.readline()))
        assert peer.send(other, "one") and peer.broadcast("two") == 1
        assert peer.wait_for(lambda: peer.received == peer.delivered == 2)
        # The answer to a later message: the acknowledgements before it have been counted.
        assert peer.send(other, "three") and peer.wait_for(lambda: peer.received == 3)
        program.send_signal(signal.SIGTERM)
        counted = json.loads(program.stdout.read())
        assert program.wait(5) == 0
    assert counted["links"] == 1 and counted["received"] == 3 and counted["delivered"] >= 2
    assert heard == [(other, text) for text in ("one", "two", "three")]
