"""Where a held peer ends, and what is said when its disk has trouble."""

from __future__ import annotations

import base64
import errno
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_pages import ChatApp

from plugins.chat import house as house_module
from plugins.chat.disk import DiskTrouble, _plainly, is_full
from plugins.chat.held import User
from plugins.chat.house import House
from reactor import StartError
from reactor.testing import FakeReactor


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[ChatApp]:
    with ChatApp(tmp_path) as app:
        yield app


def listed(chat: ChatApp) -> list[str]:
    return [peer["username"] for peer in chat.app.get("/get-list").json()["peers"]]


# -- the end of a login ------------------------------------------------------------------------------------------------


class Stub:
    """A held peer that can be closed, and no more."""

    is_closed = False

    async def close(self, code: int, reason: str, *, erase: bool = False) -> None:
        self.is_closed = True


def test_who_leaves_in_the_turn_in_which_the_peer_opens_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor, stub, ann = FakeReactor(), Stub(), User("ann", "ann", False)
    gate = reactor.future()

    async def hold(*_: Any) -> Stub:
        await gate
        return stub

    monkeypatch.setattr(house_module, "hold", hold)
    house = House(reactor)  # type: ignore[arg-type]
    house.settle(None, Path("nowhere"), 5)  # type: ignore[arg-type]
    opening = reactor.spawn(house.of(ann))
    gate.on_done(lambda _: reactor.spawn(house.let_go(ann)))  # behind the opening itself, before what waits for that
    gate.set_result(None)
    reactor.settle()
    assert opening.done and stub.is_closed and len(house) == 0


def test_a_logout_while_a_body_is_on_its_way_writes_nothing(chat: ChatApp) -> None:
    cookie = chat.admin()
    chat.page(cookie)
    body = json.dumps({"message": "ghost"}).encode()
    head = f"POST /broadcast-peer HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    transport = chat.app.connect()
    transport.feed(head.encode() + body[:5])
    chat.advance(0.1)
    chat.request("POST", "/logout", cookie)
    chat.advance(3)
    transport.feed(body[5:])
    chat.advance(1)
    assert bytes(transport.sent).startswith(b"HTTP/1.1 401 ")
    assert listed(chat) == []
    assert chat.request("GET", "/messages", chat.admin()).json()["messages"] == []


def test_basic_begins_no_peer_that_nothing_would_end_and_uses_one_that_is_there(chat: ChatApp) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(b"admin:password").decode()}
    answer = chat.app.post("/broadcast-peer", json={"message": "hi"}, headers=basic)
    assert (answer.status, listed(chat)) == (409, [])
    chat.page(chat.admin())
    assert chat.app.post("/broadcast-peer", json={"message": "hi"}, headers=basic).status == 200


def test_guests_leave_the_chat_when_guests_are_switched_off(chat: ChatApp) -> None:
    bob = chat.page(chat.guest("Bob"))
    chat.page(chat.admin())
    assert sorted(listed(chat)) == ["Bob (guest)", "admin"]
    chat.app.reload({**chat.sections, "plugin:auth": {}})
    chat.advance(5)
    bob.read()
    assert (bob.code, bob.reason, listed(chat)) == (4401, "guests", ["admin"])


# -- the disk ----------------------------------------------------------------------------------------------------------


def full() -> sqlite3.Error:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


@pytest.mark.parametrize(("cause", "expected"), [
    (full(), True), (OSError(errno.ENOSPC, "No space"), True), (OSError(errno.EIO, "bad"), False), (None, False),
])  # fmt: skip
def test_a_full_disk_is_told_from_others_and_without_its_path(cause: Exception | None, expected: bool) -> None:
    def work() -> None:
        raise StartError("cannot use /secret/place") from cause

    with pytest.raises(DiskTrouble) as caught:
        _plainly(work)
    assert is_full(caught.value) is expected
    assert str(caught.value) == ("the server's disk is full" if expected else "the server's disk has trouble")
    assert str(caught.value.__cause__) == "cannot use /secret/place"


def test_trouble_is_told_to_a_page_without_a_path_and_logged_once(tmp_path: Path) -> None:
    chat = ChatApp(tmp_path)
    with chat:
        ann = chat.page(chat.admin())
        ann.do("join", channel="dev")
        for path in (tmp_path / "chat").glob("*/history.db"):
            path.rename(path.with_suffix(".gone"))
        for number in range(3):
            answer = ann.ask("say", to="#dev", text=f"{number}", key=f"{number}")
            assert (answer["type"], answer["message"]) == ("failed", "the server's disk has trouble")
        answer = chat.request("POST", "/broadcast-peer", chat.admin(), json={"message": "hi"})
        assert answer.status == 503 and str(tmp_path) not in answer.text
        assert str(tmp_path) not in json.dumps(ann.told)
        logged = [line for line in chat.app.log_lines if "cannot be kept" in line]
        assert len(logged) == 1 and str(tmp_path) in logged[0]
        chat.app.log_lines.clear()  # at its end no error may be left in it


# -- other sites -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("origin", "status"), [("https://chat.example.org", b"101"), ("https://evil.example", b"403")])
def test_a_page_elsewhere_opens_the_socket_if_it_is_named(tmp_path: Path, origin: str, status: bytes) -> None:
    with ChatApp(tmp_path, chat={"origins": "https://chat.example.org"}) as chat:
        transport = chat.app.connect()
        head = (
            f"GET /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        transport.feed(head.encode())
        chat.advance(0.1)
        assert bytes(transport.sent).split()[1] == status
