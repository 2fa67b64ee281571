"""WebSockets of plugins: declared, guarded, inside the middleware, opened in memory, and living on behind a reload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_files import Modules

from reactor.errors import HTTPError
from reactor.testing import TestApp, check_plugin

ROOM = '''
"""A room."""
import msgspec
from reactor import HTTPError, WebSocket, broadcast, sleep

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = "old"  # what it says

def setup(plugin, options):
    room = plugin.keep("room", set)

    async def talk(ws):
        room.add(ws)
        ws.send(f"{options.name} {ws.request.user} {ws.protocol}")
        async for message in ws:
            broadcast(room, message)
        room.discard(ws)
        plugin.log.info(f"left {ws.close_code}")

    async def guard(request):
        await sleep(0.01)
        request.user = request.headers.get("x-user")
        if not request.user:
            raise HTTPError(401, "who are you?")

    async def timing(request, handler):
        response = await handler(request)
        return response.with_headers(("X-Seen", "yes"))

    plugin.middleware(timing)
    plugin.guard("named", guard)
    plugin.websocket("/room", talk, guard="named", protocols=["room.1", "room.0"], origins=["https://a.test"])
    plugin.on_stop(lambda: plugin.log.info(f"stopped {options.name}"))
'''
SECTION = {"plugin:room": {"use": "room"}}


@pytest.fixture
def app(modules: Modules, tmp_path: Path) -> Iterator[TestApp]:
    modules.write(ROOM, "room")
    with TestApp(SECTION, state_dir=tmp_path) as app:
        yield app


def test_people_talk(app: TestApp) -> None:
    ann = app.websocket("/room", headers={"X-User": "ann"}, protocols=["room.0", "room.1"])
    bob = app.websocket("/room", headers={"X-User": "bob"})
    assert (ann.protocol, bob.protocol) == ("room.1", "")
    ann.send("hello")
    bob.send(b"\x00")
    assert ann.received == ["old ann room.1", "hello", b"\x00"]
    assert bob.received == ["old bob ", "hello", b"\x00"]
    ann.close(4000, "bye")
    assert (ann.close_code, ann.close_reason, bob.close_code) == (4000, "bye", None)
    bob.cut()
    assert bob.close_code == 1006
    assert [line.rpartition("info: ")[2] for line in app.log_lines if "left" in line] == ["left 4000", "left 1006"]


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"X-User": "ann", "Origin": "http://evil.test"}, 403)]
)
def test_a_stranger_is_refused(app: TestApp, headers: dict[str, str], status: int) -> None:
    with pytest.raises(HTTPError) as caught:
        app.websocket("/room", headers=headers)
    assert caught.value.status == status
    assert app.websocket("/room", headers={"X-User": "ann", "Origin": "https://a.test"}).received


def test_what_is_no_handshake_is_told_what_to_ask_for(app: TestApp) -> None:
    answer = app.get("/room", headers={"X-User": "ann"})
    assert answer.status == 426 and answer.headers["sec-websocket-version"] == "13"
    assert app.post("/room", headers={"X-User": "ann"}).status == 405


def test_open_sockets_live_on_behind_a_reload(app: TestApp) -> None:
    ann = app.websocket("/room", headers={"X-User": "ann"})
    app.reload({"plugin:room": {"use": "room", "name": "new"}})
    bob = app.websocket("/room", headers={"X-User": "bob"})
    bob.send("all here?")
    assert ann.received == ["old ann ", "all here?"] and bob.received == ["new bob ", "all here?"]
    assert not any("stopped" in line for line in app.log_lines)
    ann.close()
    app.advance(0)
    assert any("stopped old" in line for line in app.log_lines)
    assert bob.close_code is None


def test_a_stop_says_1001(modules: Modules, tmp_path: Path) -> None:
    modules.write(ROOM, "room")
    with TestApp(SECTION, state_dir=tmp_path) as app:
        ann = app.websocket("/room", headers={"X-User": "ann"})
    assert ann.close_code == 1001


def test_it_keeps_the_contract_of_plugins(modules: Modules, tmp_path: Path) -> None:
    modules.write(ROOM, "room")
    check_plugin("room", state_dir=tmp_path)
