"""Listening sockets that come from somewhere else, Unix sockets, and ports that change hands: all on real ones."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import descriptors
from server import Server, command, connected, curl, write_config

from bench.process import free_port
from reactor.core.address import UNIX, Address
from reactor.core.inherited import Given, Inherited, from_environment, name_of
from reactor.core.listener import bind
from reactor.core.unix_socket import LONGEST_PATH, SocketFile, bind_unix
from reactor.errors import StartError
from reactor.sockets import Sockets

TRACKER = {"auth": "", "static": ""}


def unix(path: Path) -> Address:
    return Address(f"{UNIX}{path}", 0)


# -- Unix sockets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_socket_file_has_its_mode_whatever_the_umask_and_answers_at_once(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        with bind_unix(unix(tmp_path / "x.sock"), mode) as sock:
            assert stat.S_IMODE((tmp_path / "x.sock").stat().st_mode) == mode
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "x.sock"))
                sock.accept()[0].close()
        assert [path.name for path in tmp_path.iterdir()] == ["x.sock"]
    finally:
        os.umask(before)


def test_a_stale_file_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    address = unix(tmp_path / "x.sock")
    bind(address).close()
    assert (tmp_path / "x.sock").exists()
    with bind(address) as live:
        inode = (tmp_path / "x.sock").stat().st_ino
        with pytest.raises(StartError, match="another program listens there"):
            bind(address)
        assert (tmp_path / "x.sock").stat().st_ino == inode
        live.accept()[0].close()  # who asked
    bind(address).close()


def test_a_live_one_whose_queue_is_full_is_alive(tmp_path: Path) -> None:
    address = unix(tmp_path / "x.sock")
    with bind(address) as live:
        live.listen(0)
        with socket.socket(socket.AF_UNIX) as first, pytest.raises(StartError, match="another program"):
            first.connect(address.path)
            bind(address)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.sock"
    {"file": path.touch, "directory": path.mkdir, "link": lambda: path.symlink_to("elsewhere")}[kind]()
    with pytest.raises(StartError, match="no socket"):
        bind(unix(path))
    assert path.is_symlink() or path.exists()


def test_a_path_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="directory does not exist"):
        bind(unix(tmp_path / "no" / "x.sock"))
    with pytest.raises(StartError, match="longer than the system allows"):
        bind(unix(tmp_path / ("x" * LONGEST_PATH)))


def test_a_file_is_removed_only_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with bind(unix(path)):
        first = SocketFile(str(path))
    with bind(unix(path)):
        first.remove()
        assert path.exists()
        SocketFile(str(path)).remove()
    assert not path.exists()
    first.remove()


def test_a_server_at_a_path_and_its_file_goes_with_it(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", TRACKER, listen="127.0.0.1:0, unix:x.sock", server="unix_mode = 600")
    with Server(config) as server:
        server.wait_for(f"Listening on unix:{tmp_path}/x.sock ")
        assert curl("--unix-socket", tmp_path / "x.sock", "http://localhost/get-list").json["total_peers"] == 0
        assert stat.S_IMODE((tmp_path / "x.sock").stat().st_mode) == 0o600
        write_config(config, TRACKER)
        server.reload()
        assert not (tmp_path / "x.sock").exists()
        write_config(config, TRACKER, listen="127.0.0.1:0, unix:x.sock")
        server.reload()
        assert curl("--unix-socket", tmp_path / "x.sock", "http://localhost/get-list").status == 200
        server.stop()
        assert not (tmp_path / "x.sock").exists()


def test_whoever_comes_by_a_unix_socket_is_nobody_unless_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "who_plugin.py").write_text(
        "from reactor import Response\n"
        "def setup(plugin, options):\n"
        "    plugin.route('GET', '/who', lambda request: Response(f'<{request.client}>'))\n"
    )
    plugins = {**TRACKER, "tracker": "", "who": "use = who_plugin"}
    config = write_config(tmp_path / "config.ini", plugins, listen="127.0.0.1:0, unix:x.sock")
    ask = ("-H", "X-Forwarded-For: 192.0.2.7", "--unix-socket", tmp_path / "x.sock", "http://localhost/who")
    with Server(config) as server:
        assert curl(*ask).body == "<>"
        write_config(config, plugins, listen="127.0.0.1:0, unix:x.sock", server="trusted_proxies = unix")
        server.reload()
        assert curl(*ask).body == "<192.0.2.7>"
        assert curl("-H", "X-Forwarded-For: 192.0.2.7", server.url + "/who").body == "<127.0.0.1>"


# -- ports that change hands -------------------------------------------------------------------------------------------


def test_a_reload_moves_a_port_from_all_addresses_to_one_and_back(tmp_path: Path) -> None:
    port = free_port()
    config = write_config(tmp_path / "config.ini", TRACKER, listen=f"127.0.0.1:{port}")
    with Server(config) as server, connected(server) as kept:
        for listen in (f"0.0.0.0:{port}", f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
            write_config(config, TRACKER, listen=listen)
            server.reload()
            assert curl(server.url + "/get-list").status == 200
            assert kept.get("/get-list").status == 200
            with pytest.raises(StartError, match="another program has this port"):
                bind(Address("127.0.0.1", port))


def test_a_reload_that_fails_after_it_has_shared_a_port_takes_that_back(tmp_path: Path) -> None:
    (tmp_path / "failing_plugin.py").write_text(
        "from reactor import StartError\n"
        "def setup(plugin, options):\n"
        "    plugin.on_start(fail)\n"
        "def fail():\n"
        "    raise StartError('the disk is on fire')\n"
    )
    port = free_port()
    config = write_config(tmp_path / "config.ini", TRACKER, listen=f"127.0.0.1:{port}")
    with Server(config) as server:
        write_config(config, {**TRACKER, "failing": "use = failing_plugin"}, listen=f"0.0.0.0:{port}")
        server.reload("not reloaded, the old configuration stays: the disk is on fire")
        server.allowed.append("not reloaded")
        assert curl(server.url + "/get-list").status == 200
        with pytest.raises(StartError, match="another program has this port"):
            bind(Address("0.0.0.0", port))


def test_a_reload_gives_open_listeners_their_new_backlog(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", TRACKER, server="backlog = 17")

    def backlog() -> str:
        listed = subprocess.run(["ss", "-Hltn", f"sport = :{server.port}"], capture_output=True, text=True, check=True)
        return listed.stdout.split()[2]

    with Server(config) as server:
        try:
            assert backlog() == "17"
        except FileNotFoundError:
            pytest.skip("`ss` is not here")
        write_config(config, TRACKER, server="backlog = 23")
        server.reload()
        assert backlog() == "23"


# -- socket activation -------------------------------------------------------------------------------------------------


@contextmanager
def listening(*addresses: Address) -> Iterator[list[socket.socket]]:
    socks = [bind(address) for address in addresses]
    for sock in socks:
        sock.listen()
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()


def test_a_socket_is_taken_by_name_or_by_where_it_is_and_once() -> None:
    with listening(Address("127.0.0.1", 0), Address("127.0.0.1", 0)) as (first, second):
        port = second.getsockname()[1]
        inherited = Inherited([Given(name_of(Address("127.0.0.1", 0)), first), Given("unknown", second)])
        assert inherited.take(Address("127.0.0.1", 0)) == Given("127.0.0.1-0", first)
        assert inherited.take(Address("127.0.0.1", 0)) is None
        assert inherited.take(Address("0.0.0.0", port)) is None
        assert inherited.take(Address("127.0.0.1", port)) == Given("unknown", second)
        assert inherited.left == []


def test_variables_that_are_for_another_process_are_not_for_us_nor_for_our_children() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c", "PATH": "/bin"}
    assert from_environment(environment, 2).left == []
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(("count", "says"), [("x", "LISTEN_FDS is a number"), ("9999", "was to be a listening socket")])
def test_variables_that_make_no_sense_are_one_line(count: str, says: str) -> None:
    with socket.socket() as sock:  # what stands at descriptor 3 here is nobody's listener
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(StartError, match=f"{says}|no listening stream socket"):
            from_environment({"LISTEN_PID": "2", "LISTEN_FDS": count}, 2)


def test_what_is_bound_beside_an_inherited_port_shares_it_until_all_are_in_place() -> None:
    before = descriptors()
    with listening(Address("0.0.0.0", 0)) as (wild,):
        port = wild.getsockname()[1]
        sockets = Sockets(Inherited([Given("unknown", wild)]))
        [narrow] = sockets.bind([Address("127.0.0.1", port)]).values()
        narrow.listen()
        assert sockets.settle() == [f"unknown at 0.0.0.0:{port}"]
        assert not narrow.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        narrow.close()
    assert descriptors() == before


# As systemd does it: descriptors from 3 on, and a process id that is known only in the process itself.
ACTIVATE = """
import os, sys
count, names, *arguments = sys.argv[1:]
given, program = arguments[: int(count)], arguments[int(count) :]
aside = [os.dup2(int(fd), 50 + number, inheritable=False) for number, fd in enumerate(given)]
for fd in map(int, given):
    os.set_inheritable(fd, False)
for number, fd in enumerate(aside):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES=names)
os.execv(program[0], program)
"""


def activated(config: Path, names: str, socks: list[socket.socket]) -> Server:
    """A server that is born with these sockets."""
    fds = [sock.fileno() for sock in socks]
    arguments = [str(len(fds)), names, *map(str, fds), *command(config)]
    return Server(config, [sys.executable, "-c", ACTIVATE, *arguments], pass_fds=fds)


def test_a_server_uses_the_sockets_of_systemd_and_leaves_them_and_their_files(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(Address("127.0.0.1", 0), unix(path), Address("127.0.0.1", 0)) as socks:
        port = socks[0].getsockname()[1]
        config = write_config(tmp_path / "config.ini", TRACKER, listen=f"127.0.0.1:{port}, unix:x.sock")
        with socket.create_connection(("127.0.0.1", port)) as early:  # before there is anybody
            early.sendall(b"GET /get-list HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with activated(config, "web:local:other", socks) as server:
                assert server.port == port
                assert early.recv(100).startswith(b"HTTP/1.1 200 ")
                assert curl("--unix-socket", path, "http://localhost/get-list").status == 200
                left = socks[2].getsockname()[1]
                server.wait_for(f"handed over that is not in the config: other at 127.0.0.1:{left}")
                server.allowed.append("not in the config")
                server.stop()
        assert path.exists()
        with socket.create_connection(("127.0.0.1", port), 1):  # it waits for the next one
            pass
