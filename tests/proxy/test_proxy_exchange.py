"""One request on its way through, in memory: the client, the proxy on a fake clock, and servers that the test plays."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.proxy.group import Group
from reactor import Address, DialError, Task, UpstreamConnection
from reactor.testing import MemoryTransport, TestApp

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
KIB = 1024
RESET = ConnectionResetError(errno.ECONNRESET, "reset")


def ok(body: bytes = b"ok", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), more, body)


class Net:
    """The proxy with `servers` behind it, and every connection it has made to them, in order."""

    def __init__(
        self, folder: Path, servers: int = 1, more: dict[str, dict[str, str]] | None = None, **options: str
    ) -> None:
        self.wires: list[MemoryTransport] = []
        self.away: set[int] = set()  # ports where nobody is
        self.silent: set[int] = set()  # ports where nobody answers
        to = "\n".join(f"http://127.0.0.1:{9001 + number}" for number in range(servers))
        sections = {"plugin:proxy": {}, "proxy:a": {"host": "test", "to": to, **options}, **(more or {})}
        self.app = TestApp(sections, state_dir=folder)

    def dial(
        self, group: Group, address: Address, factory: Callable[[], UpstreamConnection], seconds: float
    ) -> Task[UpstreamConnection]:
        async def connect() -> UpstreamConnection:
            if address.port in self.silent:
                await self.app.reactor.future()
            if address.port in self.away:
                raise DialError("nobody is there")
            connection = factory()
            self.wires.append(MemoryTransport(self.app.reactor, connection, tuple(address)))
            return connection

        return self.app.reactor.spawn(connect())

    def ask(self, wire: bytes = GET) -> MemoryTransport:
        client = self.app.connect()
        self.feed(client, wire)
        return client

    def feed(self, wire: MemoryTransport, data: bytes) -> None:
        wire.feed(data)
        self.app.reactor.settle()

    def lose(self, wire: MemoryTransport, error: OSError | None = None) -> None:
        wire.abort(error)
        self.app.reactor.settle()

    @property
    def figures(self) -> Any:
        [figures] = self.app.service("proxy").servers()
        return figures

    def is_quiet(self) -> bool:
        """Whether nothing is counted as under way any more."""
        servers = self.app.service("proxy").servers()
        return all(not one.active and not one.waiting and one.connections == one.idle for one in servers)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Net]]:
    made: list[Net] = []

    def make(servers: int = 1, **options: Any) -> Net:
        net = Net(tmp_path, servers, **options)
        monkeypatch.setattr(Group, "dial", lambda group, *given: net.dial(group, *given))
        made.append(net)
        net.app.__enter__()
        return net

    yield make
    for net in made:
        net.app.__exit__(None, None, None)


def test_an_answer_goes_back_and_its_connection_serves_the_next(make: Callable[..., Net]) -> None:
    net = make()
    for _ in range(2):
        client = net.ask()
        net.feed(net.wires[0], ok())
        assert bytes(client.sent).startswith(b"HTTP/1.1 200 OK\r\n") and client.sent.endswith(b"\r\n\r\nok")
    assert len(net.wires) == 1 and net.is_quiet()


@pytest.mark.parametrize("cut", [len(ok()), 20])  # the answer in one piece, and in two
def test_a_sticky_cookie_is_given_to_who_has_none_or_a_forged_one(make: Callable[..., Net], cut: int) -> None:
    net = make(2, policy="sticky")
    client = net.ask(GET[:-2] + b"Cookie: upstream=forged\r\n\r\n")
    net.feed(net.wires[0], ok()[:cut])
    net.feed(net.wires[0], ok()[cut:])
    head = bytes(client.sent).decode()
    assert head.count("Set-Cookie: upstream=") == 1
    cookie = head.partition("Set-Cookie: ")[2].partition(";")[0].encode()
    for _ in range(3):
        client = net.ask(GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n")
        net.feed(net.wires[0], ok())
        assert b"Set-Cookie" not in client.sent
    assert len(net.wires) == 1


def test_an_answer_that_cannot_be_passed_on_is_our_mistake_and_hangs_nobody(
    make: Callable[..., Net], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = make()
    client = net.ask()
    monkeypatch.setattr(Group, "answer_head", lambda *given: 1 / 0)
    net.feed(net.wires[0], ok())
    assert client.sent.startswith(b"HTTP/1.1 500 ") and net.is_quiet()
    assert any("ZeroDivisionError" in line for line in net.app.log_lines)


@pytest.mark.parametrize("cut", [0, 30])
def test_a_request_has_one_name_and_it_is_ours(make: Callable[..., Net], cut: int) -> None:
    net = make(set_header="X-Request-ID $request_id")
    net.app.app.server.sends_ids = True
    client = net.ask(GET[:-2] + b"X-Request-ID: forged\r\n\r\n")
    asked = bytes(net.wires[0].sent).decode()
    name = asked.partition("X-Request-ID: ")[2].partition("\r\n")[0]
    answer = ok(more=b"X-Request-ID: of the server\r\n")
    net.feed(net.wires[0], answer[:cut])
    net.feed(net.wires[0], answer[cut:])
    assert "forged" not in asked and bytes(client.sent).decode().count("X-Request-ID: ") == 1
    assert f"X-Request-ID: {name}\r\n" in client.sent.decode()
    second = net.ask(GET[:-2] + b"X-Request-ID: forged\r\n\r\n")
    assert net.wires[-1].sent.decode().count(name) <= 1 and not second.lost  # no two requests have one name


def test_a_websocket_has_one_name_too(make: Callable[..., Net]) -> None:
    net = make()
    net.app.app.server.sends_ids = True
    client = net.ask(UPGRADE)
    net.feed(net.wires[0], b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nX-Request-ID: theirs\r\nX-Own: yes\r\n\r\nhello")
    assert client.sent.count(b"X-Request-ID: ") == 1 and b"theirs" not in client.sent
    assert b"\r\nX-Own: yes\r\n" in client.sent and client.sent.endswith(b"\r\n\r\nhello")


def test_interim_answers_are_not_read_faster_than_the_client_reads(make: Callable[..., Net]) -> None:
    net = make()
    client = net.ask()
    client.stall = True
    flood = b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % (b"x" * KIB)
    for _ in range(10):
        net.feed(net.wires[0], flood * 100)
    assert client.unsent < 512 * KIB
    client.release()
    net.app.reactor.settle()
    net.feed(net.wires[0], ok())
    assert client.sent.endswith(b"ok") and client.sent.count(b"103 Early") == 1000


# -- limits ------------------------------------------------------------------------------------------------------------

PUT = b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n\r\n"


def upload(net: Net, client: MemoryTransport, size: int) -> None:
    for _ in range(size // (64 * KIB)):
        net.feed(client, b"x" * 64 * KIB)


def test_a_server_that_takes_nothing_of_a_request_is_504(make: Callable[..., Net]) -> None:
    net = make(response_timeout="50s", idle_timeout="5s")
    client = net.ask(PUT)
    net.wires[0].stall = True
    upload(net, client, 1024 * KIB)
    assert net.wires[0].unsent > 256 * KIB and not client.reading
    net.app.advance(6)
    assert client.sent.startswith(b"HTTP/1.1 504 ") and net.wires[0].lost
    assert (net.figures.counts.timeouts, net.figures.counts.failures) == (1, 1)


def test_who_is_waited_for_is_to_blame(make: Callable[..., Net]) -> None:
    net = make(response_timeout="5s")
    client = net.ask(PUT)
    upload(net, client, 128 * KIB)
    net.app.advance(20)  # the client says nothing, and has a limit of its own
    assert not client.sent and not net.wires[0].lost
    upload(net, client, 9_000_000)
    net.feed(client, b"x" * (9_000_000 % (64 * KIB)))
    net.app.advance(6)
    assert client.sent.startswith(b"HTTP/1.1 504 ") and net.figures.counts.timeouts == 1


def test_nobody_there_is_502(make: Callable[..., Net]) -> None:
    net = make(2)
    net.away = {9001, 9002}
    assert net.ask().sent.startswith(b"HTTP/1.1 502 ") and net.is_quiet()


def test_what_a_server_has_said_before_it_reset_the_connection_is_heard(make: Callable[..., Net]) -> None:
    net = make()
    client = net.ask(PUT)
    upload(net, client, 128 * KIB)
    net.wires[0].unread = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    net.lose(net.wires[0], RESET)
    assert client.sent.startswith(b"HTTP/1.1 413 ") and client.sent.endswith(b"big") and net.is_quiet()


# -- who leaves, and when ----------------------------------------------------------------------------------------------

STAGES: list[tuple[str, dict[str, str], bytes, bytes]] = [
    ("dialling", {}, GET, b""),
    ("queued", {"max_connections": "1"}, GET, b""),
    ("waiting", {}, GET, b""),
    ("uploading", {}, PUT + b"begin", b""),
    ("interim", {}, GET, b"HTTP/1.1 103 Early\r\n\r\n"),
    ("half a head", {}, GET, b"HTTP/1.1 200 OK\r\nCont"),
    ("in the body", {}, GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha"),
    ("in a tunnel", {}, UPGRADE, b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi"),
]


@pytest.mark.parametrize(("stage", "options", "wire", "answer"), STAGES, ids=[stage[0] for stage in STAGES])
@pytest.mark.parametrize("who", ["client", "client ends", "server"])
def test_whoever_leaves_at_any_stage_leaves_nothing_behind(
    make: Callable[..., Net], stage: str, options: dict[str, str], wire: bytes, answer: bytes, who: str
) -> None:
    net = make(retries="0", **options)
    if stage == "dialling":
        net.silent = {9001}
    first = net.ask() if stage == "queued" else None
    client = net.ask(wire)
    if answer:
        net.feed(net.wires[-1], answer)
    if who == "client":
        net.lose(client)
    elif who == "client ends":
        client.feed_eof()
        net.app.reactor.settle()
    elif net.wires:
        net.lose(net.wires[-1], RESET)
    if first is not None:
        if not net.wires[0].lost:
            net.feed(net.wires[0], ok())
        net.lose(first)
    if who == "server":  # the client is told, or cut
        assert b"HTTP/1.1 502 " in client.sent or client.lost or stage in ("dialling", "queued")
        net.lose(client)
    if stage == "in a tunnel" and who == "client ends":
        assert not net.wires[0].lost  # the server may still say something
        net.lose(net.wires[0])
    net.app.reactor.settle()
    assert net.is_quiet() and net.app.app.generation.site.active == 0
    net.silent.clear()
    client = net.ask()
    net.feed(net.wires[-1], ok())
    assert client.sent.endswith(b"ok")


def test_without_room_the_next_waits_for_the_connection_and_then_no_longer(make: Callable[..., Net]) -> None:
    net = make(max_connections="1", queue_timeout="5s")
    first, second, third = net.ask(), net.ask(), net.ask()
    net.feed(net.wires[0], ok(b"1"))
    assert first.sent.endswith(b"1") and net.figures.waiting == 1
    net.feed(net.wires[0], ok(b"2"))
    assert second.sent.endswith(b"2")
    net.app.advance(6)
    assert third.sent.startswith(b"HTTP/1.1") is False and net.figures.waiting == 0  # it has the connection now
    fourth = net.ask()
    net.app.advance(6)
    assert fourth.sent.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in fourth.sent
    net.feed(net.wires[0], ok(b"3"))
    assert third.sent.endswith(b"3") and net.is_quiet()


# -- tries -------------------------------------------------------------------------------------------------------------


def test_a_reset_before_the_answer_is_tried_elsewhere_as_often_as_is_allowed(make: Callable[..., Net]) -> None:
    net = make(3, retries="1")
    client = net.ask()
    net.lose(net.wires[0])
    assert len(net.wires) == 2 and not client.sent
    net.lose(net.wires[1])
    assert len(net.wires) == 2 and client.sent.startswith(b"HTTP/1.1 502 ") and net.is_quiet()


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"LOCK"])
def test_what_may_have_been_done_is_not_asked_for_again(make: Callable[..., Net], method: bytes) -> None:
    net = make(2)
    client = net.ask(GET.replace(b"GET", method))
    net.lose(net.wires[0])
    assert len(net.wires) == 1 and client.sent.startswith(b"HTTP/1.1 502 ")


def test_of_what_nothing_went_out_anything_may_be_asked_for_again(make: Callable[..., Net]) -> None:
    net = make()
    net.ask()
    net.feed(net.wires[0], ok())
    dead = net.wires[0]
    dead.write = lambda data: dead.abort(RESET)  # type: ignore[method-assign]  # the reset is in the system already
    client = net.ask(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
    assert net.wires[1].sent.endswith(b"\r\n\r\nabc")
    net.feed(net.wires[1], ok())
    assert client.sent.endswith(b"ok") and net.is_quiet() and net.figures.counts.failures == 0


def test_a_body_is_sent_again_whole_where_it_is_small(make: Callable[..., Net]) -> None:
    net = make(2)
    client = net.ask(b"PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    net.lose(net.wires[0])
    net.feed(client, b"2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert net.wires[1].sent.endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")
    net.feed(net.wires[1], ok())
    assert client.sent.endswith(b"ok") and net.is_quiet()


def test_when_the_budget_is_spent_nothing_is_tried_again(make: Callable[..., Net]) -> None:
    net = make(2, retry_budget="0")
    client = net.ask()
    net.lose(net.wires[0])
    assert len(net.wires) == 1 and client.sent.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_a_101_for_something_else_is_an_answer_that_is_none(make: Callable[..., Net], upgrade: bytes) -> None:
    net = make()
    client = net.ask(UPGRADE.replace(b"websocket", upgrade))
    net.feed(net.wires[0], b"HTTP/1.1 101 Up\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI * HTTP/2.0")
    assert client.sent.startswith(b"HTTP/1.1 502 ") and b"an answer that is none" in client.sent
    assert b"PRI" not in client.sent and net.wires[0].lost and net.is_quiet()


def test_who_watches_sees_each_server(make: Callable[..., Net]) -> None:
    net = make(2, more={"plugin:status": {}})
    net.away = {9002}
    for _ in range(2):  # the second meets nobody at first
        net.ask()
        net.feed(net.wires[0], ok(b"12345"))
    text = net.app.get("/metrics").text
    assert 'proxy_requests_total{server="127.0.0.1:9001"} 2' in text
    assert 'proxy_received_bytes_total{server="127.0.0.1:9001"} 10' in text
    assert 'proxy_failures_total{server="127.0.0.1:9002"} 1' in text and 'proxy_up{server="127.0.0.1:9002"} 1' in text
    assert 'proxy_idle_connections{server="127.0.0.1:9001"} 1' in text
