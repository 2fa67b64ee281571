"""A peer's tracker client over real sockets: a server process with the tracker, or something that is none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from loopback import Loop, loop
from server import Server, curl, write_config

from bench.process import free_port
from peer.identity import Leases
from peer.trackers.answers import Listed, TrackerError
from peer.trackers.several import Callbacks, Trackers
from peer.trackers.tracker import Facts
from reactor import Address, Client
from reactor.core.offload import Pool

__all__ = ["loop"]

REGISTERED = "[Peer] Registered with tracker"
FAST = "ttl = 3s\ninterval = 1s"


class Peer:
    """Trackers on a real loop and a real client."""

    def __init__(
        self, loop: Loop, *where: Address | str, peer_id: str = "65113e1d", port: int = 9101, user: str = "",
        password: str = "",
    ) -> None:  # fmt: skip
        self.loop = loop
        self.channels: list[str] = []
        self.lines: list[str] = []
        self.lists: list[list[Listed]] = []
        self.removed: list[str] = []
        self.names = Pool(loop.reactor, "names", threads=1, queue=8)
        self.client = Client(loop.reactor, self.names)
        self.trackers = Trackers(
            loop.reactor, self.client, where, lambda: Facts(peer_id, "Ann", port, "0.0.0.0", tuple(self.channels)),
            Callbacks(self.lines.append, self.lists.append, lambda name, _: self.removed.append(name), lambda _: None),
            random=Random(1), leases=Leases(), lan_address=lambda: "192.168.1.7", user=user, password=password,
        )  # fmt: skip
        self.trackers.start()

    def join(self, channel: str) -> None:
        self.loop.run(self.trackers.join(channel))
        self.channels.append(channel)

    def says(self, condition: Callable[[list[str]], object], seconds: float = 20.0) -> None:
        self.loop.until(lambda: condition(self.lines), seconds)

    def close(self) -> None:
        self.trackers.close()
        self.client.close()
        for _ in range(3):
            self.loop.turn()
        assert self.names.close()


@contextmanager
def peer(loop: Loop, *where: Address | str, **more: object) -> Iterator[Peer]:
    one = Peer(loop, *where, **more)  # type: ignore[arg-type]
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(write_config(tmp_path / "config.ini", {"auth": "", "static": "", "tracker": FAST})) as server:
        yield server


def ids(server: Server, channel: str = "") -> list[str]:
    answer = curl(server.url + "/get-list" + (f"?channel={channel}" if channel else ""))
    return [peer["peer_id"] for peer in answer.json["peers"]]


def test_two_peers_register_join_find_each_other_and_leave(loop: Loop, server: Server) -> None:
    where = Address("127.0.0.1", server.port)
    with peer(loop, where) as ann, peer(loop, f"http://localhost:{server.port}", peer_id="d8f75433", port=9102) as bob:
        ann.says(lambda lines: lines == [REGISTERED])
        bob.says(lambda lines: lines == [REGISTERED])
        server.wait_for("[ChatApp] Peer registered: 65113e1d at 192.168.1.7:9101")
        ann.join("lobby")
        bob.join("lobby")
        found = loop.run(ann.trackers.fetch("lobby"))
        assert [(one.peer_id, one.ip, one.port) for one in found] == [
            ("65113e1d", "192.168.1.7", 9101),
            ("d8f75433", "192.168.1.7", 9102),
        ]
        loop.wait(4.0)  # longer than a registration lives
        assert ids(server, "lobby") == ["65113e1d", "d8f75433"]
        assert len(ann.lists) >= 3
        loop.run(bob.trackers.leave("lobby"))
        bob.channels.clear()
        assert ids(server, "lobby") == ["65113e1d"]
        assert loop.run(ann.trackers.leave_all())
        assert ids(server) == ["d8f75433"]
        assert (ann.lines, ann.removed, bob.lines, bob.removed) == ([REGISTERED], [], [REGISTERED], [])


def test_a_tracker_that_is_killed_and_started_again_gets_us_back(loop: Loop, tmp_path: Path) -> None:
    port = free_port()
    plugins = {"auth": "", "static": "", "tracker": FAST}
    config = write_config(tmp_path / "config.ini", plugins, listen=f"127.0.0.1:{port}")
    with peer(loop, Address("127.0.0.1", port)) as ann:
        ann.says(lambda lines: len(lines) == 1)
        assert "nobody listens at" in ann.lines[0]
        with Server(config) as server:
            ann.says(lambda lines: lines[1:] == [REGISTERED])
            ann.join("lobby")
            server.kill()
        ann.says(lambda lines: len(lines) == 3)
        assert ann.lines[2].startswith(f"[Peer] Tracker 127.0.0.1:{port} cannot be reached: ")
        assert [one.peer_id for one in ann.trackers.merged] == ["65113e1d"]
        with Server(config) as server:
            ann.says(lambda lines: lines[3:] == [REGISTERED])
            assert ids(server, "lobby") == ["65113e1d"]
            assert ann.removed == []


def test_a_tracker_that_wants_a_login_gets_it(loop: Loop, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", {"static": "", "tracker": FAST + "\nrequire_login = yes"})
    with Server(config) as server:
        where = Address("127.0.0.1", server.port)
        with peer(loop, where, user="admin", password="password") as ann:
            ann.says(lambda lines: lines == [REGISTERED])
            ann.join("lobby")
            assert loop.run(ann.trackers.leave_all())
        with peer(loop, where, user="admin", password="wrong") as eve:
            eve.says(lambda lines: len(lines) == 1)
            assert "refuses: user or password is wrong for the login as admin" in eve.lines[0]


HUGE = json.dumps({"status": "success", "peers": ["x" * 5_000_000]}).encode()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "answers nonsense: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "answers nonsense: it is not JSON"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "answers nonsense: status 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(HUGE), HUGE), "answers nonsense: the server's"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "cannot be reached: the connection ended before"),
        (b"", "cannot be reached: the connection ended before"),
    ],
)
def test_whatever_else_is_there_is_said_in_words(loop: Loop, answer: bytes, says: str) -> None:
    with serving(answer) as port, peer(loop, Address("127.0.0.1", port)) as ann:
        ann.says(lambda lines: len(lines) == 1)
        assert ann.lines[0].startswith(f"[Peer] Tracker 127.0.0.1:{port} {says}"), ann.lines
        with pytest.raises(TrackerError):
            loop.run(ann.trackers.fetch())
        assert len(ann.lines) == 1


@contextmanager
def serving(answer: bytes) -> Iterator[int]:
    """Something on a port that answers every request so; in a thread, as a large answer waits for who reads it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:  # closed: the test is over
                return
            with sock:
                sock.settimeout(5.0)
                try:
                    sock.recv(65536)
                    sock.sendall(answer)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):  # closing with a part of the request unread would be a reset
                        pass
                except OSError:
                    pass  # it has heard enough

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10.0)
