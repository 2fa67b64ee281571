"""Dialling on loopback: several addresses, names, deadlines, and reasons a person can act on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from loopback import HOSTS, Loop, Recorder, descriptors, has_ipv6, loop

import reactor.core.dial
from bench.process import free_port
from reactor.core.address import Address
from reactor.core.dial import dial
from reactor.core.offload import Pool
from reactor.core.task import Future
from reactor.errors import DialError, DialTimeout

__all__ = ["loop"]


class Names:
    """A resolver that a test fills; it answers at once, later or never."""

    def __init__(self, loop: Loop, *addresses: tuple[str, int], error: Exception | None = None) -> None:
        self.loop = loop
        self.addresses = addresses
        self.error = error
        self.asked: list[object] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        self.asked.append(args[:2])
        future: Future[Any] = Future(self.loop.reactor)
        if self.error is not None:
            future.set_error(self.error)
        else:
            future.set_result([
                (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))
                for host, port in self.addresses
            ])  # fmt: skip
        return future


def server(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


@pytest.mark.parametrize("host", HOSTS)
def test_a_literal_address_is_dialled_without_asking_anybody(loop: Loop, host: str) -> None:
    names = Names(loop)
    with server(host) as listening:
        address = Address(*listening.getsockname()[:2])
        protocol = loop.run(dial(loop.reactor, names, address, Recorder))
        assert names.asked == []
        assert protocol.transport.peer == address
        accepted, _ = listening.accept()
        accepted.send(b"hello")
        loop.until(lambda: protocol.data == b"hello")
        accepted.close()
        protocol.transport.abort()
        loop.turn()


def test_a_name_is_looked_up_in_a_helper_thread(loop: Loop) -> None:
    pool = Pool(loop.reactor, "names", threads=1, queue=4)
    with server() as listening:
        protocol = loop.run(dial(loop.reactor, pool, Address("localhost", listening.getsockname()[1]), Recorder))
        protocol.transport.abort()
        loop.turn()
    assert pool.close()


def test_an_address_that_refuses_is_followed_by_the_next(loop: Loop) -> None:
    with server() as listening:
        port = listening.getsockname()[1]
        addresses = [("127.0.0.1", free_port()), ("127.0.0.1", port)]
        if has_ipv6():
            addresses.insert(0, ("::1", free_port()))
        protocol = loop.run(dial(loop.reactor, Names(loop, *addresses), Address("many", port), Recorder))
        assert protocol.transport.peer == ("127.0.0.1", port)
        protocol.transport.abort()
        loop.turn()


def black_hole() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose backlog is full: on Linux, connections to it are neither made nor refused."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    fill = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listening.getsockname())
        fill.append(sock)
    return listening, fill


def test_an_address_that_does_not_answer_is_overtaken_by_the_next(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor.core.dial, "STAGGER", 0.05)
    before = descriptors()
    hole, fill = black_hole()
    with server() as listening:
        names = Names(loop, hole.getsockname(), listening.getsockname())
        protocol = loop.run(dial(loop.reactor, names, Address("many", 1), Recorder))
        assert protocol.transport.peer == listening.getsockname()
        protocol.transport.abort()
        loop.turn()
    for sock in [hole, *fill]:
        sock.close()
    assert descriptors() == before  # the attempt that lost is closed


def test_nobody_answers_in_time(loop: Loop) -> None:
    before = descriptors()
    hole, fill = black_hole()
    with pytest.raises(DialTimeout, match=r"no answer from 127\.0\.0\.1:\d+ within 0\.2 s"):
        loop.run(dial(loop.reactor, Names(loop), Address(*hole.getsockname()), Recorder, seconds=0.2))
    for sock in [hole, *fill]:
        sock.close()
    loop.turn()
    assert descriptors() == before


def test_a_dial_that_is_cancelled_leaves_nothing(loop: Loop) -> None:
    before = descriptors()
    hole, fill = black_hole()
    task = loop.reactor.spawn(dial(loop.reactor, Names(loop), Address(*hole.getsockname()), Recorder))
    loop.turn()
    task.cancel()
    loop.until(lambda: task.done)
    for sock in [hole, *fill]:
        sock.close()
    loop.turn()
    assert descriptors() == before


@pytest.mark.parametrize("when", ["connected", "taken"])
def test_a_dial_that_is_cancelled_as_it_connects_closes_the_winner(loop: Loop, when: str) -> None:
    before = descriptors()
    with server() as listening:
        task = loop.reactor.spawn(dial(loop.reactor, Names(loop), Address(*listening.getsockname()), Recorder))
        if when == "connected":
            loop.reactor._selector.select(0.2)  # the connection is made, but nobody has been told
        task.cancel()
        loop.until(lambda: task.done)
        loop.turn()
    assert descriptors() == before


def test_two_attempts_that_connect_in_one_turn_have_one_winner(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sockets are ready in the same `select`: the second is closed before its turn comes."""
    monkeypatch.setattr(reactor.core.dial, "STAGGER", 0.0)
    before = descriptors()
    hole, fill = black_hole()
    with server() as one, server() as two:
        names = Names(loop, one.getsockname(), two.getsockname())
        task = loop.reactor.spawn(dial(loop.reactor, names, Address("many", 1), Recorder))
        loop.reactor.timers.pop_due(loop.reactor.clock() + 1)[0].callback()  # type: ignore[misc]
        loop.until(lambda: task.done)
        task.result().transport.abort()
        loop.turn()
    for sock in [hole, *fill]:
        sock.close()
    assert loop.errors == []
    assert descriptors() == before


def test_why_it_did_not_connect_is_said_in_words(loop: Loop) -> None:
    port = free_port()
    with pytest.raises(DialError) as caught:
        loop.run(dial(loop.reactor, Names(loop), Address("127.0.0.1", port), Recorder))
    assert str(caught.value) == f"nobody listens at 127.0.0.1:{port} (connection refused)"
    unknown = Names(loop, error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(DialError, match="the name nowhere is not known here"):
        loop.run(dial(loop.reactor, unknown, Address("nowhere", 80), Recorder))
