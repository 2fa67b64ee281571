"""WebSockets of a real server process: a plugin's route, its guard, a reload, a stop, and a client that is killed."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, write_config
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

PLUGIN = '''
"""A room."""
import msgspec
from reactor import HTTPError, Plugin, WebSocket, broadcast

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = "old"  # what it says of itself

def setup(plugin, options):
    room = plugin.keep("room", set)

    async def talk(ws: WebSocket) -> None:
        room.add(ws)
        try:
            ws.send(f"{options.name} {ws.request.user}")
            async for message in ws:
                broadcast(room, message)
        finally:
            room.discard(ws)
            plugin.log.say(f"left {ws.close_code} of {options.name}")

    def guard(request):
        request.user = request.query.get("user")
        if not request.user:
            raise HTTPError(401, "say who you are")

    plugin.guard("named", guard)
    plugin.websocket("/room", talk, guard="named", protocols=["room.1"])
    plugin.on_stop(lambda: plugin.log.say(f"stopped {options.name}"))
'''


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "aroom.py").write_text(PLUGIN)
    config = write_config(tmp_path / "config.ini", {"room": "use = aroom"})
    with Server(config) as server:
        yield server


def enter(server: Server, user: str) -> ClientConnection:
    socket = connect(f"ws://127.0.0.1:{server.port}/room?user={user}", subprotocols=["room.1"], proxy=None, legacy=True)
    assert socket.recv(5).split()[1] == user
    return socket


def closed(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        while True:
            client.recv(5)
    return client.close_code


def test_people_in_a_room_hear_each_other(server: Server) -> None:
    people = [enter(server, f"user{number}") for number in range(50)]
    assert people[0].subprotocol == "room.1"
    people[0].send("hello " * 1000)
    for client in people:
        assert client.recv(5) == "hello " * 1000
    assert people[0].ping().wait(5)
    for client in people:
        client.close()
        assert client.close_code == 1000


def test_a_guard_refuses_before_it_opens(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught:
        enter(server, "")
    assert caught.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://127.0.0.1:{server.port}/room?user=x", origin="http://evil.test", proxy=None, legacy=True)
    assert caught.value.response.status_code == 403


def test_a_reload_keeps_open_sockets_and_their_generation(server: Server, tmp_path: Path) -> None:
    before = enter(server, "ann")
    write_config(tmp_path / "config.ini", {"room": "use = aroom\nname = new"})
    server.reload()
    with connect(f"ws://127.0.0.1:{server.port}/room?user=bob", proxy=None) as after:
        assert after.recv(5) == "new bob"
        after.send("to both")
        assert after.recv(5) == before.recv(5) == "to both"
    assert "stopped old" not in server.stdout
    before.close()
    server.wait_for("stopped old")


def test_a_stop_says_1001_and_waits_for_the_handlers(server: Server) -> None:
    clients = [enter(server, f"user{number}") for number in range(5)]
    server.send_signal(signal.SIGTERM)
    assert [closed(client) for client in clients] == [1001] * 5
    server.wait_for("stopped old")
    server.wait_stopped()


def test_a_client_that_is_reset_is_gone_at_once(server: Server) -> None:
    client = enter(server, "ann")
    client.send("x" * 100)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.shutdown(socket.SHUT_RD)
    client.recv_events_thread.join(5)
    client.socket.close()
    server.wait_for("left 1006 of old")
