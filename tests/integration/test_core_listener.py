"""Listening on real sockets: both families, the accept loop, no room, no descriptors, and errors in words."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import HOSTS, Loop, descriptors, loop, receive, receive_all

import reactor.core.listener
from reactor.__main__ import main
from reactor.core.address import Address, parse_address
from reactor.core.listener import MOST_REFUSED, Listener, bind
from reactor.errors import StartError
from reactor.sockets import Sockets

__all__ = ["loop"]


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextmanager
def clients(listener: Listener, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, made or on their way."""
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket(family(listener.address.host))
            made.append(sock)
            sock.setblocking(False)
            assert sock.connect_ex(listener.address) in (0, errno.EINPROGRESS)
        yield made
    finally:
        for sock in made:
            sock.close()


@pytest.mark.parametrize("host", HOSTS)
def test_accepted_sockets_do_not_block_and_come_with_their_address(loop: Loop, host: str) -> None:
    accepted: list[tuple[socket.socket, tuple[str, int]]] = []
    listener = loop.listen(lambda sock, peer: accepted.append((sock, peer)), host)
    assert listener.address.port > 0
    with clients(listener, 3) as made:
        loop.until(lambda: len(accepted) == 3)
        assert {peer[:2] for _, peer in accepted} == {sock.getsockname()[:2] for sock in made}
        for sock, _ in accepted:
            assert sock.gettimeout() == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            sock.close()


@pytest.mark.parametrize("host", HOSTS)
def test_a_port_in_use_is_one_line_that_says_what_to_do(host: str) -> None:
    with socket.create_server((host, 0), family=family(host)) as taken:
        with pytest.raises(StartError, match="another program has this port") as caught:
            bind(Address(host, taken.getsockname()[1]))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid", "999.1.1.1", "2001:db8::1"])
def test_an_address_that_is_not_ours_is_a_start_error(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_names(*_: object) -> None:  # nothing but loopback is asked, name servers neither
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    if host[0].isalpha() or host[0] == "9":
        monkeypatch.setattr(socket.socket, "bind", no_names)
    with pytest.raises(StartError, match="cannot listen on"):
        bind(Address(host, 0))


def test_a_machine_without_ipv6_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(reactor.core.listener.socket, "socket", none)
    with pytest.raises(StartError, match="Address family not supported"):
        bind(Address("::1", 0))


def test_of_several_addresses_all_are_bound_or_none() -> None:
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartError):
        Sockets().bind([Address("127.0.0.1", 0), Address("127.0.0.1", taken.getsockname()[1])])
    assert descriptors() == before


def test_the_program_ends_with_one_line_and_status_1_where_the_port_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.ini"
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(f"[server]\nlisten = 127.0.0.1:0, 127.0.0.2:{taken.getsockname()[1]}, "
                          f"127.0.0.1:{taken.getsockname()[1]}\n")  # fmt: skip
        assert main(["-c", str(config)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: cannot listen on 127.0.0.1:")
    assert descriptors() == before


def test_over_the_limit_clients_are_told_and_closed(loop: Loop) -> None:
    accepted: list[socket.socket] = []
    listener = loop.listen(
        lambda sock, peer: accepted.append(sock), has_room=lambda: len(accepted) < 2, refusal=lambda: b"503 no room"
    )
    with clients(listener, 5) as made:
        made[4].setblocking(True)
        made[4].send(b"GET / HTTP/1.1\r\n\r\n")  # sent before it was refused: no reset may eat the answer
        made[4].setblocking(False)
        loop.until(lambda: listener.refused == 3)
        assert [receive_all(loop, sock) for sock in made[2:]] == [b"503 no room"] * 3
    for sock in accepted:
        sock.close()


def test_who_asks_only_after_the_refusal_still_reads_it(loop: Loop) -> None:
    listener = loop.listen(lambda sock, peer: None, has_room=lambda: False, refusal=lambda: b"503 no room")
    with clients(listener, 2) as (late, silent):
        loop.until(lambda: listener.refused == 2)
        loop.wait(0.02)
        late.send(b"GET / HTTP/1.1\r\n\r\n")
        loop.wait(0.02)
        late.send(b"and more")
        assert receive_all(loop, late) == b"503 no room"
        late.shutdown(socket.SHUT_WR)
        loop.until(lambda: len(listener._being_refused) == 1)
        listener.close()
        assert not listener._being_refused
        assert receive_all(loop, silent) == b"503 no room"


def test_of_many_that_are_refused_those_go_that_had_longest(loop: Loop) -> None:
    before = descriptors()
    listener = loop.listen(lambda sock, peer: None, has_room=lambda: False, refusal=lambda: b"503 no room")
    with clients(listener, 40) as made:
        loop.until(lambda: listener.refused == 40)
        assert len(listener._being_refused) == MOST_REFUSED
        loop.turn()
        assert descriptors() <= before + 3 + 40 + MOST_REFUSED
        assert [receive_all(loop, sock) for sock in made] == [b"503 no room"] * 40


def test_a_closed_listener_accepts_nobody_and_can_be_closed_again(loop: Loop) -> None:
    accepted: list[socket.socket] = []

    def accept_one(sock: socket.socket, peer: tuple[str, int]) -> None:
        accepted.append(sock)
        listener.close()  # in the middle of the accept loop

    listener = loop.listen(accept_one)
    address = listener.address
    with clients(listener, 3):
        loop.until(lambda: accepted)
        loop.wait(0.02)
        assert len(accepted) == 1
        listener.close()
        accepted[0].close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 1)


class NoDescriptors:
    """While this lasts, this process can open nothing. `turns` counts those of the loop meanwhile."""

    def __init__(self, loop: Loop) -> None:
        self.turns = 0
        self._fillers: list[int] = []
        self._before = resource.getrlimit(resource.RLIMIT_NOFILE)
        real = loop.reactor._selector.select

        def select(timeout: float | None = None) -> list[object]:
            self.turns += 1
            return real(timeout)

        loop.reactor._selector.select = select  # type: ignore[method-assign,assignment]

    def __enter__(self) -> NoDescriptors:
        most = max(map(int, os.listdir("/proc/self/fd"))) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, self._before[1]))
        fill(self._fillers)
        self.turns = 0
        return self

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._before)
        for descriptor in self._fillers:
            os.close(descriptor)


def test_without_descriptors_clients_are_told_it_says_so_once_and_goes_on(loop: Loop) -> None:
    troubles: list[str] = []
    accepted: list[socket.socket] = []
    listener = loop.listen(
        lambda sock, peer: accepted.append(sock), on_trouble=troubles.append, refusal=lambda: b"503 no room"
    )
    with clients(listener, 3) as made:
        with NoDescriptors(loop) as none:
            loop.reactor.call_later(0.3, loop.reactor.stop)
            loop.reactor.run()
            assert [receive(sock) for sock in made] == [b"503 no room"] * 3
            assert [receive(sock) for sock in made] == [b""] * 3
        assert accepted == []
        assert listener.refused == 3
        assert len(troubles) == 1
        assert "Too many open files" in troubles[0]
        assert none.turns < 100  # it does not spin
    with clients(listener, 3):
        loop.until(lambda: len(accepted) == 3)
        for sock in accepted:
            sock.close()


def test_without_descriptors_those_go_first_that_can_be_spared(loop: Loop) -> None:
    accepted: list[socket.socket] = []

    def make_room() -> None:
        accepted.pop(0).close()

    listener = loop.listen(lambda sock, peer: accepted.append(sock), make_room=make_room)
    with clients(listener, 2) as idle:
        loop.until(lambda: len(accepted) == 2)
        with clients(listener, 1) as made, NoDescriptors(loop):
            loop.until(lambda: receive(idle[0]) == b"")
            assert len(accepted) == 2
            assert receive(made[0]) is None
    for sock in accepted:
        sock.close()


def test_without_descriptors_those_that_read_their_refusal_go_before_all_others(loop: Loop) -> None:
    accepted: list[socket.socket] = []
    has_room: list[bool] = []
    listener = loop.listen(
        lambda sock, peer: accepted.append(sock), has_room=lambda: bool(has_room), refusal=lambda: b"503 no room",
        make_room=lambda: pytest.fail("somebody else had to go"),
    )  # fmt: skip
    with clients(listener, 2) as refused:
        loop.until(lambda: len(listener._being_refused) == 2)
        has_room.append(True)
        with clients(listener, 1), NoDescriptors(loop):
            loop.until(lambda: accepted)
        assert not listener._being_refused
        assert [receive_all(loop, sock) for sock in refused] == [b"503 no room"] * 2
    for sock in accepted:
        sock.close()


def test_without_even_the_reserve_it_looks_away_instead_of_spinning(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor.core.listener, "PAUSE", 0.1)
    accepted: list[socket.socket] = []
    listener = loop.listen(lambda sock, peer: accepted.append(sock))
    with clients(listener, 3):
        assert listener._reserve is not None
        os.close(listener._reserve)
        listener._reserve = None
        with NoDescriptors(loop) as none:
            loop.reactor.call_later(0.35, loop.reactor.stop)
            loop.reactor.run()
        assert (accepted, none.turns < 100) == ([], True)
        loop.until(lambda: len(accepted) == 3)
        for sock in accepted:
            sock.close()


def test_a_listener_that_is_paused_leaves_its_clients_to_whoever_has_the_socket_too(loop: Loop) -> None:
    accepted: list[socket.socket] = []
    listener = loop.listen(lambda sock, peer: accepted.append(sock))
    listener.pause()
    with clients(listener, 2):
        loop.wait(0.05)
        assert accepted == []
        other, _ = listener.sock.accept()
        other.close()
        listener.resume()
        loop.until(lambda: len(accepted) == 1)
    for sock in accepted:
        sock.close()


def fill(descriptors: list[int]) -> None:
    """Take all descriptors that may still be had."""
    while True:
        try:
            descriptors.append(os.dup(0))
        except OSError:
            return


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8000", ("127.0.0.1", 8000)), ("[::1]:80", ("::1", 80)), ("localhost", ("localhost", 1234)),
     (" 0.0.0.0:0 ", ("0.0.0.0", 0)), ("[::]", ("::", 1234))],
)  # fmt: skip
def test_addresses_are_read_as_people_write_them(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text, 1234) == address
    assert parse_address(str(parse_address(text, 1234))) == address


@pytest.mark.parametrize(
    "text", ["", ":80", "8000", "a b:1", "::1:80", "a:99999", "a:-1", "a:x", "http://a:1", "[a]:1", "300.1.1.1:80",
             "127.1:80", "a.1:80", "[1:2]:80"],
)  # fmt: skip
def test_what_is_no_address_is_a_value_error_in_words(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


def test_a_connection_that_has_come_and_gone_in_the_backlog_stops_nobody(loop: Loop) -> None:
    accepted: list[socket.socket] = []
    listener = loop.listen(lambda sock, peer: accepted.append(sock))
    with clients(listener, 5) as made:
        for sock in made[::2]:
            sock.close()
        loop.until(lambda: len(accepted) >= 2)
        assert receive(made[1]) is None
    for sock in accepted:
        sock.close()
