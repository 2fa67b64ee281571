"""The way to a held peer: the port that they share, the pipe inside, the tracker without a socket, the page's files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from memory_pages import ChatApp

from peer.delivery.audience import Deaf
from peer.messages import MAX_TEXT
from peer.node import Node, Settings
from peer.porter import PATIENCE
from peer.storage.memory import MemoryStore
from peer.switchboard import Switchboard
from peer.trackers.answers import Done, Joined, Refused, Registered
from plugins.chat.files import DIRECTORY, POLICY, PageFiles
from plugins.chat.inside import InsideTracker
from reactor import Future
from reactor.core.address import Address
from reactor.errors import DialError
from reactor.testing import FakeReactor, InlinePool, MemoryTransport, TestApp

WHERE = Address("10.0.0.1", 8000)
HELLO = {"type": "handshake", "peer_id": "nc", "v": 1, "instance": 32 * "0", "epoch": 16 * "0", "nonce": 32 * "0"}


class Board:
    """A switchboard with nodes on a fake clock; every dial that leaves the process fails."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.reactor = FakeReactor()
        self.switchboard = Switchboard(self.reactor, InlinePool(self.reactor))
        self.switchboard.listens_at([WHERE])
        self.nodes = {name: self._node(name, Settings(**settings)) for name in names}
        self.switchboard.nodes.update(self.nodes)

    def _node(self, name: str, settings: Settings) -> Node:
        return Node(
            self.reactor, name, name.title(), MemoryStore(self.reactor, "e0" * 8), self.switchboard.connect, Deaf(),
            settings=settings, unix_time=self.reactor.clock.unix_time, timestamp=lambda: "", chance=Random(name),
            listen_port=WHERE.port,
        )  # fmt: skip

    def call(self, *pieces: bytes) -> MemoryTransport:
        transport = MemoryTransport(self.reactor, self.switchboard.answer())  # type: ignore[arg-type]
        for piece in pieces:
            transport.feed(piece)
        self.reactor.settle()
        return transport

    def dial(self, one: str, other: str) -> Future[Any]:
        outcome = self.nodes[one].connect(other, WHERE)
        self.reactor.advance(0.1)
        return outcome


def frame(**fields: Any) -> bytes:
    return json.dumps(HELLO | fields).encode() + b"\n"


def answers(transport: MemoryTransport) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bytes(transport.sent).splitlines()]


# -- the port --------------------------------------------------------------------------------------------------------


def test_a_connection_goes_to_whom_it_names_whatever_its_pieces() -> None:
    board = Board("ann", "bob")
    line = frame(to="bob")
    for pieces in ([line], [line[i : i + 1] for i in range(len(line))], [line + b'{"type":"ping","n":1}\n']):
        transport = board.call(*pieces)
        assert answers(transport)[0]["peer_id"] == "bob"
        transport.feed(b'{"type":"ping","n":7}\n')
        board.reactor.settle()
        assert {"type": "pong", "n": 7} in answers(transport)
        transport.abort()
        board.reactor.settle()
    assert board.nodes["bob"].links == set()


@pytest.mark.parametrize(
    ("names", "fields", "code"),
    [(["ann", "bob"], {}, "which_peer"), (["ann", "bob"], {"to": "cid"}, "which_peer"), ([], {}, "which_peer"),
     (["ann"], {"type": "ping", "n": 1}, "bad_state"), (["ann"], {"v": "1"}, "bad_frame")],
)  # fmt: skip
def test_who_is_for_nobody_is_told_why(names: list[str], fields: dict[str, Any], code: str) -> None:
    transport = Board(*names).call(frame(**fields))
    (answer,) = answers(transport)
    assert (answer["type"], answer["code"]) == ("error", code)
    assert transport.is_closing


def test_where_there_is_one_peer_nobody_needs_to_say_for_whom() -> None:
    assert answers(Board("ann").call(frame()))[0]["peer_id"] == "ann"
    original = Board("ann").call(b'{"type":"handshake","peer_id":"old"}')  # which does not frame either
    assert answers(original)[0]["type"] == "handshake_ack"


def test_who_says_nothing_is_cut_off() -> None:
    board = Board("ann")
    transport = board.call(b'{"type":')
    board.reactor.advance(PATIENCE - 1)
    assert not transport.lost
    board.reactor.advance(2)
    assert transport.lost


def test_a_first_line_without_an_end_is_refused() -> None:
    transport = Board("ann").call(b'{"x":"' + 70_000 * b"x")
    assert answers(transport)[0]["code"] == "too_long"


def test_a_node_without_room_says_so() -> None:
    board = Board("ann", max_links=1)
    board.nodes["ann"].join("dev")
    first = board.call(frame(channels=["dev"]))
    first.feed(b'{"type":"channels","channels":[{"name":"dev"}]}\n')
    board.reactor.settle()
    second = board.call(frame(peer_id="other"))
    assert answers(second)[0]["code"] == "busy"
    assert not first.is_closing


# -- inside ----------------------------------------------------------------------------------------------------------


def test_nodes_of_one_process_link_without_a_socket() -> None:
    board = Board("ann", "bob")
    link = board.dial("ann", "bob").result()
    assert link.is_open
    letter = board.nodes["ann"].send("bob", "x" * MAX_TEXT)
    board.reactor.advance(0.1)
    assert letter.states["bob"].value == "delivered"
    board.nodes["ann"].close()
    board.reactor.advance(3)
    assert board.nodes["ann"].links == board.nodes["bob"].links == set()


def test_somebody_who_is_not_there_is_no_link() -> None:
    outcome = Board("ann", "bob").dial("ann", "cid")
    assert isinstance(outcome.error, DialError)
    assert "which_peer" in str(outcome.error)


@pytest.mark.parametrize(
    ("listens", "advertised", "told"),
    [(["127.0.0.1"], "", "127.0.0.1"), (["127.0.0.1", "10.0.0.7"], "", "10.0.0.7"), (["0.0.0.0"], "chat", "chat")],
)
def test_what_others_are_told_to_dial(listens: list[str], advertised: str, told: str) -> None:
    reactor = FakeReactor()
    switchboard = Switchboard(reactor, InlinePool(reactor))
    switchboard.listens_at([Address(host, 8000) for host in listens], advertised)
    assert switchboard.address == Address(told, 8000)


# -- the tracker of the same server ----------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Any:
    with TestApp({"plugin:tracker": {}}, state_dir=tmp_path) as app:
        yield app


def ask(app: TestApp, question: Any) -> Any:
    task = app.reactor.spawn(question)
    app.advance(0.1)
    return task.result()


def test_the_tracker_inside_answers_as_the_one_outside(app: TestApp) -> None:
    tracker = InsideTracker(app.reactor, lambda: app.service("tracker"))
    me: dict[str, Any] = {"peer_id": "65113e1d", "lease": 32 * "a"}
    version = tracker.version
    fields = {"v": 1, "username": "Ann", "port": 8000, "ip": "10.0.0.1", "channels": ["dev"]}
    registered = ask(app, tracker.post("/submit-info", Registered, **me, **fields))
    assert (registered.peer_id, registered.channels, registered.lease) == ("65113e1d", ("dev",), me["lease"])
    assert tracker.version != version
    (listed,) = ask(app, tracker.list()).peers
    assert (listed.peer_id, listed.username, listed.ip, listed.port) == ("65113e1d", "Ann", "10.0.0.1", 8000)
    assert ask(app, tracker.list("other")).peers == ()

    joined = ask(app, tracker.post("/add-list", Joined, **me, channel="ops", password=None, invite=None))
    assert joined.owner == "65113e1d"
    change = {"policy": "invited", "password": None, "invite": True, "remove": None}
    configured = ask(app, tracker.post("/channel", Joined, **me, channel="ops", **change))
    assert (configured.policy, bool(configured.invite), bool(configured.channel_key)) == ("invited", True, True)
    ask(app, tracker.post("/connect-peer", Done, peer_id="65113e1d"))
    ask(app, tracker.post("/leave", Done, **me, channel="ops"))
    ask(app, tracker.post("/leave", Done, **me))
    assert ask(app, tracker.list()).peers == ()


def test_its_refusals_have_their_codes(app: TestApp) -> None:
    tracker = InsideTracker(app.reactor, lambda: app.service("tracker"))
    with pytest.raises(Refused) as refused:
        ask(app, tracker.post("/connect-peer", Done, peer_id="nobody"))
    assert (refused.value.status, refused.value.code) == (404, "unknown_peer")
    fields = {"v": 1, "peer_id": "a", "username": "A", "port": 1, "ip": "10.0.0.1", "channels": None}
    ask(app, tracker.post("/submit-info", Registered, **fields, lease=32 * "a"))
    with pytest.raises(Refused) as refused:
        ask(app, tracker.post("/submit-info", Registered, **fields, lease=32 * "b"))
    assert (refused.value.code, refused.value.path) == ("not_yours", "$.lease")
    assert not str(refused.value).startswith("$")


# -- the page's files ------------------------------------------------------------------------------------------------


def test_everything_the_page_names_is_there_and_nothing_is_inside_it() -> None:
    html = (DIRECTORY / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="([^"#:]+)"', html):
        assert (DIRECTORY / name).is_file(), name
    assert re.findall(r"<style|\bstyle=|\bon\w+=|<script(?! type=\"module\" src=)", html) == []
    assert "unsafe" not in POLICY


def test_files_have_their_types_and_a_tag(tmp_path: Path) -> None:
    with ChatApp(tmp_path) as chat:
        for name, media in (("", "text/html"), ("app.js", "text/javascript"), ("icons/chat.svg", "image/svg+xml")):
            answer = chat.app.get(f"/chat/{name}")
            assert (answer.status, answer.headers.get("content-type").partition(";")[0]) == (200, media)
            assert answer.headers.get("content-security-policy") == POLICY
            assert answer.headers.get("x-content-type-options") == "nosniff"
            tag = answer.headers.get("etag")
            for asked in (tag, f'"other", W/{tag}', "*"):
                assert chat.app.request("GET", f"/chat/{name}", headers={"If-None-Match": asked}).status == 304
            assert chat.app.request("GET", f"/chat/{name}", headers={"If-None-Match": '"other"'}).status == 200
        for name in ("nothing", "../__init__.py", "%2e%2e/__init__.py", "icons"):
            assert chat.app.get(f"/chat/{name}").status in (400, 404)
        assert chat.app.get("/chat").headers.get("location") == "/chat/"
        assert chat.app.request("POST", "/chat/").status == 405


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no index\.html"):
        PageFiles(tmp_path / "nothing")


# -- the plugin ------------------------------------------------------------------------------------------------------


def test_without_a_tracker_it_says_what_it_wants(tmp_path: Path) -> None:
    from reactor import ConfigError

    with pytest.raises(ConfigError, match=r"wants the service 'tracker'"), TestApp(
        {"plugin:auth": {}, "plugin:chat": {}}, state_dir=tmp_path
    ):
        pass


def test_other_trackers_may_take_its_place(tmp_path: Path) -> None:
    with TestApp({"plugin:auth": {}, "plugin:chat": {"trackers": "127.0.0.1:1"}}, state_dir=tmp_path) as app:
        assert app.get("/chat/state").json()["user"] is None


