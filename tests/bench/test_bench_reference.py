"""The thread-per-connection reference answers as our plugins do, or a comparison with it would say nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench import answers
from bench.reference.accounts import Accounts
from bench.reference.peers import Peers
from bench.reference.server import Server
from bench.reference.site import Site
from bench.reference.wire import WireError, parse_head
from plugins.auth import passwords
from plugins.auth.passwords import Cost
from reactor.testing import TestApp

ROOT = Path(__file__).resolve().parents[2]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


class Said(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def field(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name)


class Reference:
    """The site of the reference without its threads."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Said:
        fields = [f"{name}: {value}" for name, value in {"Host": "127.0.0.1", **headers}.items()]
        head = parse_head("\r\n".join([f"{method} {path} HTTP/1.1", *fields]).encode())
        answer = self._site.answer(head, body, "127.0.0.1")
        pairs = [line.split(": ", 1) for line in answer.head.decode().strip().split("\r\n")[1:]]
        return Said(answer.status, [(name, value) for name, value in pairs], answer.body)


class Ours:
    """Our plugins, with the default config's routes."""

    def __init__(self, app: TestApp) -> None:
        self._app = app

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Said:
        answer = self._app.request(method, path, headers=headers, body=body)
        return Said(answer.status, list(answer.headers), answer.body)


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ours]:
    monkeypatch.setattr(passwords, "COST", Cost(1, 8, 1))
    sections = {
        "plugin:auth": {"index": str(ROOT / "www/index.html")},
        "plugin:static": {"mount": f"\n / {ROOT}/www guard=login"},
        "plugin:tracker": {},
    }
    with TestApp(sections, state_dir=tmp_path) as app:
        yield Ours(app)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(Accounts(["admin"], "password"), Peers())


@pytest.fixture
def reference(site: Site) -> Reference:
    site._peers = Peers()
    return Reference(site)


def both(
    ours: Ours, reference: Reference, method: str, path: str, headers: Any = None, body: bytes = b""
) -> list[Said]:
    return [server.ask(method, path, headers or {}, body) for server in (ours, reference)]


def shape(said: Said) -> Any:
    """What a client goes by: of JSON the names, of a page its title."""
    if said.field("content-type") == "application/json":
        return sorted(json.loads(said.body))
    return said.body.partition(b"<title>")[2].partition(b"</title>")[0]


PEER = b'{"peer_id":"65113e1d","ip":"192.168.1.3","port":9101,"channels":["lobby"]}'


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", "/", {}, b""),
        ("GET", "/index.html", {"Cookie": "auth=true"}, b""),
        ("GET", "/", {"Cookie": "auth=true; session=" + "x" * 43}, b""),
        ("GET", "/nowhere", {}, b""),
        ("GET", "/login", {}, b""),
        ("POST", "/login", FORM, b"username=admin&password=password"),
        ("POST", "/login/", FORM, b"username=admin&password=password"),
        ("POST", "/login", JSON, b'{"username":"admin","password":"password"}'),
        ("POST", "/login", FORM, b"username=admin&password=wrong"),
        ("POST", "/login", FORM, b"username=nobody&password=password"),
        ("POST", "/login", FORM, b""),
        ("PUT", "/login", {}, b""),
        ("GET", "/get-list", {}, b""),
        ("GET", "/get-list?channel=lobby", {}, b""),
        ("POST", "/get-list/", {}, b"{}"),
        ("DELETE", "/get-list", {}, b""),
        ("PUT", "/submit-info", {}, PEER),
        ("POST", "/submit_info", {}, PEER),
        ("POST", "/submit-info", {}, b'{"peer_id":"a"}'),
        ("POST", "/submit-info", {}, b'{"peer_id":"a","port":0}'),
        ("POST", "/submit-info", {}, b"not JSON"),
    ],
)
def test_both_answer_alike(
    ours: Ours, reference: Reference, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    mine, theirs = both(ours, reference, method, path, headers, body)
    assert theirs.status == mine.status
    assert theirs.field("content-type") == mine.field("content-type")
    assert shape(theirs) == shape(mine)
    assert bool(theirs.field("www-authenticate")) == bool(mine.field("www-authenticate"))
    assert bool(theirs.field("allow")) == bool(mine.field("allow"))


def test_a_login_opens_the_page_and_a_forged_cookie_does_not(ours: Ours, reference: Reference) -> None:
    for server in (ours, reference):
        answer = server.ask("POST", "/login", FORM, b"username=admin&password=password")
        cookies = [value.partition(";")[0] for name, value in answer.headers if name.lower() == "set-cookie"]
        assert cookies[0] == "auth=true" and cookies[1].startswith("session=")
        assert server.ask("GET", "/", {"Cookie": "; ".join(cookies)}).body == (ROOT / "www/index.html").read_bytes()
        assert server.ask("GET", "/", {"Cookie": cookies[0]}).status == 401


def test_the_list_is_the_same_bytes(ours: Ours, reference: Reference) -> None:
    for server in (ours, reference):
        for peer in answers.peers(answers.FEW):
            assert server.ask("POST", "/submit-info", {}, json.dumps(peer).encode()).status == 200
    mine, theirs = both(ours, reference, "GET", "/get-list")
    assert mine.body == theirs.body == answers.LIST
    mine, theirs = both(ours, reference, "GET", "/get-list?channel=class0")
    assert mine.body == theirs.body


def test_a_lease_is_wanted_by_both(ours: Ours, reference: Reference) -> None:
    body = PEER.replace(b"}", b',"v":1}')
    for server in (ours, reference):
        lease = json.loads(server.ask("POST", "/submit-info", {}, body).body)["lease"]
        statuses = [
            server.ask("POST", "/submit-info", {}, body.replace(b"}", b',"lease":"%b"}' % given.encode())).status
            for given in ("0" * 32, lease)
        ]
        assert statuses == [403, 200]
        assert server.ask("POST", "/submit-info", {}, body).status == 403


def test_a_registration_that_is_not_renewed_expires() -> None:
    now = [0.0]
    peers = Peers(90.0, lambda: now[0])
    peers.submit(PEER, "127.0.0.1")
    now[0] = 80.0
    assert b'"total_peers":1' in peers.listing()
    peers.submit(PEER, "127.0.0.1")
    now[0] = 160.0
    assert b'"total_peers":1' in peers.listing()
    now[0] = 171.0
    assert b'"total_peers":0' in peers.listing()


# -- on a socket -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["keep-alive", "close"])
def address(site: Site, request: pytest.FixtureRequest) -> Iterator[tuple[tuple[str, int], bool]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=Server(site, close=request.param).serve, args=(listener,), daemon=True)
        server.start()
        yield listener.getsockname(), request.param
        listener.shutdown(socket.SHUT_RDWR)
        server.join(5)


def test_requests_are_answered_however_they_are_cut(address: tuple[tuple[str, int], bool]) -> None:
    where, closes = address
    ask = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(where, 5) as sock:
        for number in range(len(ask)):
            sock.sendall(ask[number : number + 1])
        answers = b""
        while not answers.endswith(b"ok"):
            answers += sock.recv(65536)
        assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (b"Connection: close" in answers) is closes
        if closes:
            assert sock.recv(1) == b""
            return
        sock.sendall(ask * 3 + b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        rest = b""
        while data := sock.recv(65536):
            rest += data
    assert rest.count(b"HTTP/1.1 200 OK") == 4 and rest.endswith(b"\r\n\r\n5")


def test_the_count_is_of_the_requests_before(address: tuple[tuple[str, int], bool]) -> None:
    counts = []
    for path in (b"/count", b"/ok", b"/ok", b"/count"):
        with socket.create_connection(address[0], 5) as sock:
            sock.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path)
            answer = b""
            while data := sock.recv(65536):
                answer += data
            counts.append(answer.rpartition(b"\r\n\r\n")[2])
    assert counts == [b"0", b"ok", b"ok", b"3"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nno colon", 400), (b"GET /", 400), (b"GET / HTTP/2.0\r\nHost: a", 400),
        (b"GET / HTTP/1.1\r\nHost : a", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1", 400), (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked", 411),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(WireError) as caught:
        parse_head(raw)
    assert caught.value.status == status
