"""Whatever clients and servers do, in whatever order, nothing of it is left behind: schedules by chance, in memory.

    SEED=7 python -m pytest tests/proxy/test_proxy_schedules.py      the one that failed
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from plugins.proxy.group import Group
from reactor.testing import MemoryTransport
from tests.proxy.test_proxy_exchange import GET, PUT, RESET, UPGRADE, Net, ok

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(100)
REQUESTS = [
    GET, GET * 3, UPGRADE, UPGRADE + b"early", PUT, PUT + b"x" * 300_000,
    GET.replace(b"GET", b"HEAD"), GET.replace(b"1.1", b"1.0"),
    b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabcde",
    b"PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
]  # fmt: skip
ANSWERS = [
    ok(), ok(b"x" * 100_000), ok() * 2, b"rubbish", b"rubbish\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi",
    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
]  # fmt: skip


class Schedule:
    """Steps by chance, each with what is there just then."""

    def __init__(self, net: Net, random: Random) -> None:
        self.net = net
        self.random = random
        self.clients: list[MemoryTransport] = []
        self.troubles: list[BaseException] = []
        net.app.reactor.on_error = lambda error, where: self.troubles.append(error)

    def step(self) -> None:
        random = self.random
        random.choice([self.come, self.come, self.client_does, self.server_does, self.server_answers,
                       self.server_answers, self.time_passes])()  # fmt: skip
        if random.random() < 0.5:
            self.net.app.reactor.settle()

    def come(self) -> None:
        wire = self.random.choice(REQUESTS)
        self.clients.append(self.net.app.connect())
        self.clients[-1].feed(wire[: self.random.randint(1, len(wire))] if self.random.random() < 0.2 else wire)

    def client_does(self) -> None:
        wire = self.one_of(self.clients)
        more = self.random.choice(REQUESTS + [b"x" * size for size in (1, 100, 70_000, 300_000)])
        self.one_does(wire, more)

    def server_does(self) -> None:
        self.one_does(self.one_of(self.net.wires), self.random.choice(ANSWERS))

    def one_of(self, wires: list[MemoryTransport]) -> MemoryTransport | None:
        alive = [wire for wire in wires if not wire.lost]
        return self.random.choice(alive) if alive else None

    def one_does(self, wire: MemoryTransport | None, more: bytes) -> None:
        if wire is None:
            return
        what = self.random.randrange(7)
        if what == 0:
            self.net.lose(wire, self.random.choice([None, RESET]))
        elif what == 1:
            wire.feed_eof()
        elif what == 2:
            wire.stall = True
        elif what == 3:
            wire.release()
        elif what == 4:
            wire.unread = more
            self.net.lose(wire, RESET)
        else:
            self.net.feed(wire, more)

    def server_answers(self) -> None:
        wire = self.one_of(self.net.wires)
        if wire is not None:
            answer = self.random.choice(ANSWERS)
            cut = self.random.choice([0, len(answer) // 2, len(answer)])
            for piece in (answer[:cut], answer[cut:]):
                if piece and not wire.lost:
                    self.net.feed(wire, piece)

    def time_passes(self) -> None:
        self.net.away ^= self.random.choice([set(), {9001}])
        self.net.silent ^= self.random.choice([set(), {9002}])
        self.net.app.advance(self.random.choice([0.1, 1, 3, 6, 12]))

    def end(self) -> None:
        """All clients leave, and the servers take what waits for them."""
        for client in self.clients:
            client.abort()
        self.net.app.reactor.settle()
        for wire in self.net.wires:
            wire.release()
        self.net.app.advance(10)  # longer than a dial takes


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    random = Random(seed)
    options: dict[str, Callable[[], str]] = {
        "retries": lambda: random.choice(["0", "2"]), "max_connections": lambda: random.choice(["1", "2", "1024"]),
        "keep": lambda: random.choice(["0", "512"]), "half_closed": lambda: random.choice(["yes", "no"]),
        "max_body": lambda: random.choice(["0", "200k"]), "retry_budget": lambda: random.choice(["0", "20"]),
        "policy": lambda: random.choice(["round-robin", "sticky", "two", "least-conn"]),
    }  # fmt: skip
    times = {"response_timeout": "5s", "idle_timeout": "4s", "queue_timeout": "2s", "tunnel_timeout": "20s"}
    net = Net(tmp_path, random.choice([1, 2, 3]), **times, **{name: choose() for name, choose in options.items()})
    monkeypatch.setattr(Group, "dial", lambda group, *given: net.dial(group, *given))
    with net.app:
        schedule = Schedule(net, random)
        for _ in range(random.randint(3, 40)):
            schedule.step()
        schedule.end()
        assert net.is_quiet() and net.app.app.generation.site.active == 0
        assert not schedule.troubles and not [line for line in net.app.log_lines if "error" in line]
