"""The peer's own HTTP interface, in memory: Ann's, whose friends are at the other ends of a network of wires."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from mesh import EPOCH, PORT, TIMESTAMP, Disk, Ears, Mesh, Raw, frame
from tracker_side import HERE, Net, Script, entry

from peer.chat import Chat
from peer.delivery.audience import Deaf, Fan
from peer.delivery.receipts import REMEMBERED, Receipts
from peer.identity import Leases
from peer.link import Link
from peer.node import Node, Settings
from peer.storage.memory import MemoryStore
from peer.trackers.several import Callbacks, Trackers
from peer.trackers.tracker import Facts
from peer.web.interface import Web, bind_loopback
from reactor import Headers, ReactorError, StartError, sleep
from reactor.core.address import Address
from reactor.errors import DialTimeout
from reactor.sansio.head import RequestHead, ResponseHead
from reactor.sansio.http1 import CLIENT, Connection, Data, End
from reactor.testing import Answer, MemoryTransport

TOKEN = "5e" * 16
WEB = Address("127.0.0.1", 9301)
OWN = {"Host": str(WEB), "Authorization": f"Bearer {TOKEN}"}
BOB, CID, FAR = "10.0.0.2", "10.0.0.3", "10.0.0.9"  # nobody answers at the last one
PATHS = [("POST", "/connect-peer"), ("POST", "/send-peer"), ("POST", "/broadcast-peer"), ("GET", "/get-list"),
         ("GET", "/messages")]  # fmt: skip


class Ann:
    """A peer with an interface, and a tracker that says what the test wants."""

    def __init__(self) -> None:
        self.mesh = Mesh()
        self.reactor = self.mesh.reactor
        self.tracker = Script()
        self.net = Net(self.reactor, {HERE: self.tracker})
        self.store = MemoryStore(self.reactor, EPOCH)
        self.receipts = Receipts(self.reactor)
        self.ears = Ears()
        self.node = self._make_node()
        self.chat = Chat(self.node, self._make_trackers())
        self.web = Web(self.reactor, self.chat, self.store, self.receipts, address=WEB, token=TOKEN)

    def _make_node(self) -> Node:
        return Node(
            self.reactor, "ann", "Ann", self.store, self._connect, Fan(self.ears, self.receipts),
            settings=Settings(rate=0), unix_time=self.mesh.unix_time, timestamp=lambda: TIMESTAMP, chance=Random(1),
            listen_port=PORT,
        )  # fmt: skip

    def _make_trackers(self) -> Trackers:
        callbacks = Callbacks(lambda line: None, lambda peers: self.chat.learn(peers), lambda *_: None, lambda _: None)
        return Trackers(
            self.reactor, self.net, [HERE], lambda: Facts("ann", "Ann", PORT, "", tuple(self.node.channels)),  # type: ignore[arg-type]
            callbacks, random=Random(1), leases=Leases(), lan_address=lambda: None,
        )  # fmt: skip

    async def _connect(self, address: Address, factory: Callable[[], Link]) -> Link:
        if address.host == FAR:
            await sleep(10)
            raise DialTimeout(f"no answer from {address} within 10 s")
        link: Link = await self.mesh.wires.connect_from("10.0.0.1")(address, factory)
        return link

    # -- requests ----------------------------------------------------------------------------------------------------

    def begin(
        self, method: str, target: str, headers: Mapping[str, str] = OWN, json: Any = None, body: bytes = b""
    ) -> Asking:
        body = body if json is None else json_module.dumps(json).encode()
        asking = Asking(self, MemoryTransport(self.reactor, self.web.server.new_connection()))
        asking.send(RequestHead(method, target, Headers(headers.items()), length=len(body)), body)
        return asking

    def ask(self, method: str, target: str, *, seconds: float = 60.0, **more: Any) -> Answer:
        asking = self.begin(method, target, **more)
        while (answer := asking.look()) is None:
            assert seconds > 0, "no answer"
            self.mesh.advance(0.1)
            seconds -= 0.1
        return answer

    def post(self, path: str, **fields: Any) -> Answer:
        return self.ask("POST", path, json=fields)

    def get(self, target: str) -> Answer:
        return self.ask("GET", target)

    def link(self, name: str, host: str, **more: Any) -> Node:
        """Start somebody, and connect to it."""
        node = self.mesh.start(name, host=host, settings=Settings(rate=0), **more)
        answer = self.post("/connect-peer", peer_id=name, ip=host, port=PORT)
        assert answer.status == 200, answer
        return node


class Asking:
    """One request under way."""

    def __init__(self, ann: Ann, transport: MemoryTransport) -> None:
        self._http = Connection(CLIENT)
        self._ann = ann
        self.transport = transport
        self._taken = 0
        self._body = bytearray()
        self._head: ResponseHead | None = None

    def send(self, head: RequestHead, body: bytes) -> None:
        self.transport.feed(self._http.send(head) + self._http.send(Data(body)) + self._http.send(End()))

    def look(self) -> Answer | None:
        self._ann.mesh.advance(0)
        self._http.receive_data(bytes(self.transport.sent[self._taken :]))
        self._taken = len(self.transport.sent)
        while isinstance(event := self._http.next_event(), (ResponseHead, Data, End)):
            if isinstance(event, ResponseHead):
                self._head = event
            elif isinstance(event, Data):
                self._body += event.data
            else:
                assert self._head is not None
                return Answer(self._head, bytes(self._body))
        return None


@pytest.fixture
def ann() -> Ann:
    return Ann()


def failure(answer: Answer) -> tuple[int, str]:
    body = answer.json()
    assert body["status"] == "error" and body["error"]["message"]
    return answer.status, body["error"]["code"]


# -- the door --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [*PATHS, ("GET", "/"), ("OPTIONS", "/send-peer"), ("PUT", "/get-list")])
def test_nothing_is_answered_without_the_token(ann: Ann, method: str, path: str) -> None:
    ann.link("bob", BOB)
    wrong = ["Bearer " + "5f" * 16, f"Basic {TOKEN}", "Bearer", "Bearer \u00fc", TOKEN]
    for fields in ({}, {"Cookie": f"token={TOKEN}"}, *({"Authorization": one} for one in wrong)):
        body = {"peer_id": "bob", "message": "hello"}
        answer = ann.ask(method, path, headers={"Host": str(WEB), **fields}, json=body)
        assert failure(answer) == (401, "no_token")
        assert answer.headers.get("www-authenticate") == "Bearer"
    assert ann.get(f"/get-list?token={TOKEN}").status == 200  # with the header, that is
    assert failure(ann.ask("GET", f"/get-list?token={TOKEN}", headers={"Host": str(WEB)})) == (401, "no_token")
    assert ann.mesh.ears["bob"].texts == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_the_token_knows_no_case(ann: Ann, scheme: str) -> None:
    assert ann.ask("GET", "/get-list", headers={**OWN, "Authorization": f"{scheme} {TOKEN}"}).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1:9301", "localhost:9301", "LOCALHOST:9301", "[::1]:9301", "127.0.0.2:9301"])
def test_it_is_asked_by_the_names_of_this_machine(ann: Ann, host: str) -> None:
    assert ann.ask("GET", "/get-list", headers={**OWN, "Host": host}).status == 200
    answer = ann.ask("GET", "/get-list", headers={**OWN, "Host": host, "Origin": f"http://{host}"})
    assert answer.status == 200


@pytest.mark.parametrize(
    "host", ["evil.example:9301", "evil.example", "127.0.0.1", "127.0.0.1:9302", "127.0.0.1.evil.example:9301",
             "localhost.evil.example:9301", "192.168.1.3:9301", "0.0.0.0:9301", "localhost"],
)  # fmt: skip
@pytest.mark.parametrize("token", [True, False])
def test_a_page_whose_name_was_bent_to_this_machine_is_refused(ann: Ann, host: str, token: bool) -> None:
    """DNS rebinding: its browser takes us for the page's own server, and says so in Host and Origin."""
    headers = {**OWN, "Host": host} if token else {"Host": host}
    for origin in ({}, {"Origin": f"http://{host}"}):
        assert failure(ann.ask("GET", "/messages", headers={**headers, **origin})) == (403, "foreign_host")
    absolute = ann.ask("GET", f"http://{host}/messages", headers=OWN)
    assert failure(absolute) == (403, "foreign_host")


def test_on_port_80_the_host_needs_no_port() -> None:
    ann = Ann()
    ann.web = Web(ann.reactor, ann.chat, ann.store, ann.receipts, address=Address("127.0.0.1", 80), token=TOKEN)
    headers = {**OWN, "Host": "localhost"}
    assert ann.ask("GET", "/messages", headers=headers).status == 200
    assert ann.ask("GET", "/messages", headers={**headers, "Origin": "http://localhost"}).status == 200
    assert ann.ask("GET", "/messages", headers={**headers, "Host": "localhost:9301"}).status == 403


@pytest.mark.parametrize(
    "fields",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:8000"}, {"Origin": ""},
     {"Origin": "http://localhost:9301"}, {"Origin": "https://127.0.0.1:9301"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {"Origin": f"http://{WEB}", "Sec-Fetch-Site": "cross-site"}],
)  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [("POST", "/broadcast-peer"), ("GET", "/messages"), ("OPTIONS", "/x")])
def test_a_page_of_another_site_is_refused_whatever_it_knows(
    ann: Ann, method: str, path: str, fields: dict[str, str]
) -> None:
    answer = ann.ask(method, path, headers={**OWN, **fields}, json={"message": "hello"})
    assert failure(answer) == (403, "foreign_origin")
    assert not any(name.lower().startswith("access-control") for name, _ in answer.headers)
    assert ann.store._entries == []


@pytest.mark.parametrize("fields", [{"Origin": f"http://{WEB}"}, {"Sec-Fetch-Site": "none"},
                                    {"Origin": f"http://{WEB}", "Sec-Fetch-Site": "same-origin"}])  # fmt: skip
def test_its_own_page_may_use_it(ann: Ann, fields: dict[str, str]) -> None:
    answer = ann.ask("POST", "/broadcast-peer", headers={**OWN, **fields}, json={"message": "hello"})
    assert answer.status == 200
    assert not any(name.lower().startswith("access-control") for name, _ in answer.headers)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.3", "example.org", "::"])
def test_it_listens_where_nobody_else_can_reach_it_or_not_at_all(host: str) -> None:
    with pytest.raises(StartError, match=r"others could reach that\. Give 127\.0\.0\.1:9301"):
        bind_loopback(Address(host, 9301))


# -- what holds for all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_each_path_is_there_with_and_without_its_slash(ann: Ann, method: str, path: str) -> None:
    answers = [ann.ask(method, path + slash, body=b"[]" if method == "POST" else b"") for slash in ("", "/")]
    assert [answer.status for answer in answers] == [400 if method == "POST" else 200] * 2
    assert answers[0].json() == answers[1].json()
    assert all(answer.headers.get("cache-control") == "no-store" for answer in answers)
    assert ann.ask(method, path + "/x").status == 404
    wrong = ann.ask("POST" if method == "GET" else "GET", path)
    assert failure(wrong) == (405, "method_not_allowed") and method in wrong.headers.get("allow")


@pytest.mark.parametrize(
    ("path", "body", "path_of_it", "words"),
    [
        ("/send-peer", b"", "$", "the body is not JSON"),
        ("/send-peer", b"{", "$", "the body is not JSON"),
        ("/send-peer", b'{"peer_id":"\xff","message":"x"}', "$", "the body is not JSON"),
        ("/send-peer", b"[" * 30_000, "$", ""),
        ("/send-peer", b"[]", "$", "Expected object, got array"),
        ("/send-peer", b'{"peer_id":"bob"}', "$.message", "is needed"),
        ("/send-peer", b'{"peer_id":"bob","message":3}', "$.message", "Expected str, got int"),
        ("/send-peer", b'{"peer_id":"bob","message":""}', "$.message", ""),
        ("/send-peer", b'{"message":"hello"}', "$", "peer_id is needed"),
        ("/send-peer", b'{"peer_id":null,"message":"hello"}', "$", "peer_id is needed"),
        ("/send-peer", b'{"peer_id":"bob","message":"x","wait":"1"}', "$.wait", "Expected float, got str"),
        ("/send-peer", b'{"peer_id":"bob","message":"x","wait":31}', "$.wait", ""),
        ("/send-peer", b'{"peer_id":"bob","message":"x","wait":-1}', "$.wait", ""),
        ("/send-peer", b'{"peer_id":"ann","message":"x"}', "$.peer_id", "that is this peer itself"),
        ("/broadcast-peer", b'{"message":"x","channel":3}', "$.channel", ""),
        ("/connect-peer", b'{"peer_id":"bob","ip":"10.0.0.2"}', "$", "ip and port are given both or neither"),
        ("/connect-peer", b'{"peer_id":"bob","port":9101}', "$", "ip and port are given both or neither"),
        ("/connect-peer", b'{"peer_id":"bob","ip":"bob.example","port":9101}', "$", "ip must be an IP address"),
        ("/connect-peer", b'{"peer_id":"bob","ip":"10.0.0.2","port":"9101"}', "$.port", "Expected int"),
        ("/connect-peer", b'{"peer_id":"bob","ip":"10.0.0.2","port":0}', "$.port", ""),
        ("/connect-peer", b'{"peer_id":"ann","ip":"10.0.0.2","port":9101}', "$.peer_id", "that is this peer itself"),
    ],
)
def test_a_wrong_body_is_told_where_it_is_wrong(
    ann: Ann, path: str, body: bytes, path_of_it: str, words: str
) -> None:
    answer = ann.ask("POST", path, body=body)
    assert failure(answer) == (400, "invalid")
    error = answer.json()["error"]
    assert error["path"] == path_of_it and words in error["message"]


@pytest.mark.parametrize(
    ("target", "path"),
    [("/messages?limit=x", "$.limit"), ("/messages?limit=0", "$.limit"), ("/messages?limit=1001", "$.limit"),
     ("/messages?channel=a&peer=b", "$"), ("/get-list?channel=direct", "$.channel"),
     ("/get-list?channel=" + "x" * 65, "$.channel"), ("/get-list?channel=a%0ab", "$.channel")],
)  # fmt: skip
def test_a_wrong_query_is_told_where_it_is_wrong(ann: Ann, target: str, path: str) -> None:
    answer = ann.get(target)
    assert failure(answer) == (400, "invalid")
    assert answer.json()["error"]["path"] == path


def test_the_content_type_of_a_body_does_not_matter(ann: Ann) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = ann.ask("POST", "/broadcast-peer", headers={**OWN, "Content-Type": kind}, body=b'{"message":"x"}')
        assert answer.status == 200


def test_a_body_has_at_most_64_kib(ann: Ann) -> None:
    assert ann.post("/broadcast-peer", message="x", more="y" * 60_000).status == 200
    assert failure(ann.post("/broadcast-peer", message="x", more="y" * 66_000))[0] == 413


# -- connecting ------------------------------------------------------------------------------------------------------


def test_connecting_answers_when_the_link_is_open(ann: Ann) -> None:
    ann.mesh.start("bob", host=BOB)
    answer = ann.post("/connect-peer", peer_id="bob", ip=BOB, port=PORT)
    assert answer.status == 200
    assert answer.json() == {"status": "success", "peer_id": "bob", "ip": BOB, "port": PORT}
    assert ann.ears.linked == ["bob"]
    assert ann.post("/connect-peer", peer_id="bob", ip=BOB, port=PORT).status == 200  # it is linked already
    assert len(ann.node.contacts["bob"].links) == 1


def test_whom_a_tracker_lists_is_connected_by_its_id_its_name_or_a_part_of_it(ann: Ann) -> None:
    ann.mesh.start("bob", host=BOB)
    assert failure(ann.post("/connect-peer", peer_id="bob")) == (404, "unknown_peer")
    ann.tracker.peers = [entry("bob", BOB) | {"username": "Bob"}]
    ann.chat.trackers.start()
    ann.mesh.advance(1)
    for fields in ({"peer_id": "bob"}, {"username": "Bob"}, {"peer_address": "bo"}):
        answer = ann.post("/connect-peer", **fields)
        assert answer.json() == {"status": "success", "peer_id": "bob", "ip": BOB, "port": PORT}


def test_whom_nobody_has_located_cannot_be_connected_without_an_address(ann: Ann) -> None:
    ann.node.contacts.know("bob")
    answer = ann.post("/connect-peer", peer_id="bob")
    assert failure(answer) == (404, "unknown_peer")
    assert "nobody has said where bob is: give ip and port" in answer.text


def test_a_failed_connection_says_why(ann: Ann) -> None:
    ann.mesh.start("bob", host=BOB)
    refused = ann.post("/connect-peer", peer_id="cid", ip=CID, port=PORT)
    assert failure(refused) == (502, "unreachable") and f"nobody listens at {CID}:{PORT}" in refused.text
    wrong = ann.post("/connect-peer", peer_id="cid", ip=BOB, port=PORT)
    assert failure(wrong) == (502, "unreachable") and "the peer there is bob" in wrong.text
    far = ann.post("/connect-peer", peer_id="far", ip=FAR, port=PORT)
    assert failure(far) == (504, "timed_out") and "no answer" in far.text


def test_a_client_that_leaves_takes_nothing_with_it(ann: Ann) -> None:
    """The dial is everybody's: it goes on, and who asks again gets its outcome."""
    asking = ann.begin("POST", "/connect-peer", json={"peer_id": "bob", "ip": BOB, "port": PORT})
    ann.mesh.start("bob", host=BOB)
    asking.transport.abort()
    ann.mesh.advance(1)
    assert ann.ears.linked == ["bob"]


# -- sending ---------------------------------------------------------------------------------------------------------


def test_a_message_is_answered_at_once_with_its_state(ann: Ann) -> None:
    ann.link("bob", BOB)
    answer = ann.begin("POST", "/send-peer", json={"peer_id": "bob", "message": "hello"}).look()
    assert answer is not None and answer.status == 200
    body = answer.json()
    assert body["status"] == "success" and body["recipients"] == {"bob": {"state": "queued"}}
    ann.mesh.advance(1)
    assert ann.mesh.ears["bob"].texts == ["hello"]
    assert [entry.id for entry in ann.mesh.ears["bob"].entries] == [body["id"]]


def test_who_waits_is_answered_when_it_is_delivered(ann: Ann) -> None:
    ann.link("bob", BOB)
    before = ann.reactor.now
    answer = ann.post("/send-peer", username="Bob", message=" zwei  Wörter 🦉\n", wait=30)
    assert answer.json()["recipients"] == {"bob": {"state": "delivered"}}
    assert ann.mesh.ears["bob"].texts == [" zwei  Wörter 🦉\n"]
    assert ann.reactor.now - before < 1
    assert ann.receipts._waiting == {}


def test_nobody_waits_longer_than_they_said(ann: Ann) -> None:
    ann.link("bob", BOB)
    ann.mesh.wires.dead.add(BOB)
    ann.mesh.cut(BOB)
    ann.mesh.advance(0)
    before = ann.reactor.now
    answer = ann.post("/send-peer", peer_id="bob", message="hello", wait=2.5)
    assert answer.status == 200 and answer.json()["recipients"] == {"bob": {"state": "queued"}}
    assert 2.5 <= ann.reactor.now - before < 2.8
    assert ann.receipts._waiting == {}


def test_a_message_that_is_refused_says_why(ann: Ann) -> None:
    bob = ann.link("bob", BOB)
    bob.mute("ann", True)
    answer = ann.post("/send-peer", peer_id="bob", message="hello", wait=5)
    assert answer.status == 200
    assert answer.json()["recipients"] == {"bob": {"state": "failed", "reason": "refused: muted"}}


def test_a_message_that_cannot_be_kept_has_failed() -> None:
    ann = Ann()
    disk = Disk(ann.reactor)
    ann.store = disk  # type: ignore[assignment]
    ann.node = ann._make_node()
    ann.chat.node = ann.node
    ann.web = Web(ann.reactor, ann.chat, ann.store, ann.receipts, address=WEB, token=TOKEN)
    ann.link("bob", BOB)
    ann.link("cid", CID)
    disk.error = ReactorError("the disk is full")
    answer = ann.post("/broadcast-peer", message="hello", wait=5)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "not_kept")
    assert answer.json()["error"]["message"] == "the message could not be kept: the disk is full"


def test_a_message_is_answered_when_it_is_kept_also_without_waiting() -> None:
    ann = Ann()
    disk = Disk(ann.reactor)
    ann.store = disk  # type: ignore[assignment]
    ann.node = ann._make_node()
    ann.chat.node = ann.node
    ann.web = Web(ann.reactor, ann.chat, ann.store, ann.receipts, address=WEB, token=TOKEN)
    disk.is_slow = True
    asking = ann.begin("POST", "/broadcast-peer", json={"message": "hello"})
    ann.mesh.advance(3)
    assert asking.look() is None
    disk.go_on()
    ann.mesh.advance(0.1)
    answer = asking.look()
    assert answer is not None and answer.status == 200 and [entry.text for entry in disk.entries] == ["hello"]


def test_an_original_peer_never_says_more_than_sent(ann: Ann) -> None:
    """So nobody waits for more."""
    original = Raw(ann.mesh, ann.node, "bob")
    original.say("handshake", peer_id="bob")
    before = ann.reactor.now
    answer = ann.post("/send-peer", peer_id="bob", message="hello", wait=30)
    assert answer.json()["recipients"] == {"bob": {"state": "sent"}}
    assert ann.reactor.now - before < 1
    (message,) = ann.get("/messages").json()["messages"]
    assert message["recipients"] == {"bob": {"state": "sent"}}


def test_to_whom_there_was_never_a_link_nothing_is_sent(ann: Ann) -> None:
    ann.node.contacts.know("bob")
    for who in ("bob", "nobody"):
        answer = ann.post("/send-peer", peer_id=who, message="hello")
        assert failure(answer) == (404, "not_connected")
        assert f"Not connected to peer: {who}" in answer.text
    assert ann.get("/messages").json()["messages"] == []


def test_who_may_be_two_is_none(ann: Ann) -> None:
    ann.link("bob1", BOB)
    ann.link("bob2", CID)
    for answer in (ann.post("/send-peer", peer_id="bob", message="x"), ann.get("/messages?peer=bob"),
                   ann.post("/connect-peer", peer_id="bob")):  # fmt: skip
        assert failure(answer) == (409, "ambiguous")


def test_the_longest_message_goes_through_and_a_longer_one_does_not(ann: Ann) -> None:
    ann.link("bob", BOB)
    owls = b"\\ud83e\\udd89" * 4000
    escaped = ann.ask("POST", "/send-peer", body=b'{"peer_id":"bob","wait":9,"message":"%b"}' % owls)
    assert escaped.json()["recipients"] == {"bob": {"state": "delivered"}}
    for path, more in (("/send-peer", {"peer_id": "bob"}), ("/broadcast-peer", {})):
        answer = ann.post(path, message="x" * 4001, **more)
        assert failure(answer) == (413, "too_long")
        assert answer.json()["error"]["path"] == "$.message"


def test_a_broadcast_goes_to_everybody_who_is_connected(ann: Ann) -> None:
    ann.link("bob", BOB)
    ann.link("cid", CID)
    answer = ann.post("/broadcast-peer", message="hello", wait=5)
    assert answer.json()["recipients"] == {"bob": {"state": "delivered"}, "cid": {"state": "delivered"}}
    assert [ann.mesh.ears[name].entries[0].channel for name in ("bob", "cid")] == ["broadcast"] * 2


def test_a_broadcast_to_nobody_waits_for_nobody(ann: Ann) -> None:
    before = ann.reactor.now
    answer = ann.post("/broadcast-peer", message="hello", wait=30)
    assert answer.status == 200 and answer.json()["recipients"] == {}
    assert ann.reactor.now == before


def test_a_channel_gets_what_is_for_its_members(ann: Ann) -> None:
    assert failure(ann.post("/broadcast-peer", message="x", channel="class")) == (404, "not_a_member")
    ann.node.join("class")
    ann.link("bob", BOB).join("class")
    ann.link("cid", CID)
    ann.mesh.advance(1)
    answer = ann.post("/broadcast-peer", message="hello", channel="class", wait=5)
    assert answer.json()["recipients"] == {"bob": {"state": "delivered"}}
    assert ann.mesh.ears["bob"].entries[0].channel == "class"
    assert ann.mesh.ears["cid"].texts == []


def test_a_client_that_leaves_is_not_waited_for(ann: Ann) -> None:
    ann.link("bob", BOB)
    ann.mesh.wires.dead.add(BOB)
    ann.mesh.cut(BOB)
    asking = ann.begin("POST", "/send-peer", json={"peer_id": "bob", "message": "hello", "wait": 30})
    assert asking.look() is None and len(ann.receipts._waiting) == 1
    asking.transport.abort()
    ann.mesh.advance(0)
    assert ann.receipts._waiting == {}


def test_at_the_end_who_waits_is_answered_with_what_is_known(ann: Ann) -> None:
    ann.link("bob", BOB)
    ann.mesh.wires.dead.add(BOB)
    ann.mesh.cut(BOB)
    sending = ann.begin("POST", "/send-peer", json={"peer_id": "bob", "message": "hello", "wait": 30})
    dialling = ann.begin("POST", "/connect-peer", json={"peer_id": "far", "ip": FAR, "port": PORT})
    closed = ann.web.close()
    answer = sending.look()
    assert answer is not None and answer.json()["recipients"] == {"bob": {"state": "queued"}}
    assert not closed.done
    ann.mesh.advance(0.6)
    assert closed.done and dialling.transport.lost and dialling.look() is None


# -- the list --------------------------------------------------------------------------------------------------------


def test_the_list_is_the_trackers(ann: Ann) -> None:
    bob = entry("bob", BOB, PORT, "class", "lobby")
    ann.tracker.peers = [entry("ann"), bob]
    assert ann.get("/get-list").json() == {
        "status": "success", "peers": [entry("ann"), bob], "channels": ["class", "lobby"], "total_peers": 2,
        "fresh": True,
    }  # fmt: skip
    ann.tracker.peers = [bob]
    answer = ann.get("/get-list?channel=class").json()
    assert (answer["peers"], answer["channels"], answer["total_peers"]) == ([bob], ["class"], 1)
    assert ann.net.asked[-1].path == "/get-list?channel=class"


def test_while_no_tracker_can_be_reached_the_last_list_counts_and_says_so(ann: Ann) -> None:
    ann.tracker.peers = [entry("bob", BOB, PORT, "class"), entry("cid", CID)]
    ann.chat.trackers.start()
    ann.mesh.advance(1)
    ann.net.sides[HERE] = None
    answer = ann.get("/get-list").json()
    assert [peer["peer_id"] for peer in answer["peers"]] == ["bob", "cid"]
    assert (answer["status"], answer["total_peers"], answer["fresh"]) == ("success", 2, False)
    assert "nobody listens at 127.0.0.1:8000" in answer["reason"]
    answer = ann.get("/get-list?channel=class").json()
    assert [peer["peer_id"] for peer in answer["peers"]] == ["bob"] and answer["channels"] == ["class"]


# -- the history -----------------------------------------------------------------------------------------------------


def test_the_history_has_the_newest_last_and_our_own_with_their_states(ann: Ann) -> None:
    bob = ann.link("bob", BOB)
    sent = ann.post("/send-peer", peer_id="bob", message="one", wait=5).json()
    bob.send("ann", "two")
    ann.mesh.advance(1)
    ann.mesh.wires.dead.add(BOB)
    ann.mesh.cut(BOB)
    ann.mesh.advance(0)
    waiting = ann.post("/send-peer", peer_id="bob", message="three").json()
    ann.mesh.advance(0)
    one, two, three = ann.get("/messages").json()["messages"]
    common = {"channel": "direct", "peer": "bob", "timestamp": TIMESTAMP}
    assert one == {
        **common, "id": sent["id"], "peer_id": "ann", "username": "Ann", "message": "one", "lamport": one["lamport"],
        "recipients": {"bob": {"state": "delivered"}},
    }  # fmt: skip
    assert two == {
        **common, "id": two["id"], "peer_id": "bob", "username": "Bob", "message": "two", "lamport": two["lamport"]
    }
    assert three["id"] == waiting["id"] and three["recipients"] == {"bob": {"state": "queued"}}


def test_the_history_of_a_channel_of_a_peer_or_the_last_few(ann: Ann) -> None:
    ann.node.join("class")
    ann.link("bob", BOB).join("class")
    ann.link("cid", CID)
    ann.mesh.advance(1)
    for fields in ({"channel": "class"}, {}):
        ann.post("/broadcast-peer", message=f"to {fields.get('channel', 'all')}", **fields)
    for name in ("bob", "cid"):
        ann.post("/send-peer", peer_id=name, message=f"to {name}")

    def texts(query: str) -> list[str]:
        return [message["message"] for message in ann.get(f"/messages{query}").json()["messages"]]

    assert texts("") == ["to class", "to all", "to bob", "to cid"]
    assert texts("?channel=class") == ["to class"]
    assert texts("?channel=broadcast") == ["to all"]
    assert texts("?channel=direct") == texts("?channel=direct&peer=") == ["to bob", "to cid"]
    assert texts("?peer=bob") == texts("?peer=Bob") == texts("/?peer=b") == ["to bob"]
    assert texts("?limit=2") == ["to bob", "to cid"]
    assert texts("?peer=somebody") == texts("?channel=nothing") == []


def test_a_history_that_cannot_be_read_says_so(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        future = ann.reactor.future()
        future.set_error(ReactorError("the history in here cannot be read: the disk reports an error"))
        return future

    monkeypatch.setattr(ann.store, "history", fail)
    answer = ann.get("/messages")
    assert failure(answer) == (500, "failed")
    assert "the disk reports an error" in answer.text


def test_states_are_remembered_of_the_last_messages_only(ann: Ann) -> None:
    ann.link("bob", BOB)
    letters = [ann.node.send("bob", str(number)) for number in range(90)]
    ann.mesh.advance(60)
    assert all(ann.receipts.get(letter.entry.id) is letter for letter in letters)
    for _ in range(REMEMBERED // 90):
        for number in range(90):
            ann.node.send("bob", str(number))
        ann.mesh.advance(60)
    assert len(ann.receipts._settled) == REMEMBERED
    assert ann.receipts.get(letters[0].entry.id) is None


# -- audiences -------------------------------------------------------------------------------------------------------


def test_a_fan_tells_each_of_its_audiences_all_of_it() -> None:
    mesh = Mesh()
    one, two = Ears(), Ears()
    bob = mesh.start("bob")
    bob.mail._audience = bob._reader._audience = bob._audience = Fan(one, Deaf(), two)
    mesh.start("ann")
    mesh.link("bob", "ann")
    bob.send("ann", "hello")
    mesh.nodes["ann"].send("bob", "hello yourself")
    mesh.advance(1)
    mesh.kill("ann")
    mesh.advance(1)
    fan = bob._audience
    fan.accepted(("10.0.0.1", 1))
    fan.away(bob.contacts.know("cid"))
    fan.trouble("the disk is full")
    for ears in (one, two):
        what = [said[0] for said in ears.said]
        assert what == ["connected", "disconnected", "accepted", "away"]
        assert ears.texts == ["hello yourself"] and ears.troubles == ["the disk is full"]
        assert ears.states_of("hello", "ann") == ["sent", "delivered"]


def test_a_raw_frame_is_no_request(ann: Ann) -> None:
    """Somebody has mixed up the two ports."""
    transport = MemoryTransport(ann.reactor, ann.web.server.new_connection())
    transport.feed(frame("handshake", peer_id="bob"))
    ann.mesh.advance(0)
    assert transport.sent.startswith(b"HTTP/1.1 400 ")
