"""What the plugins do for a request: the session check, and the registry with 1,000 peers in it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.answers import peers
from plugins.auth.sessions import Session, SessionTable, digest_of, new_token
from reactor.http.message import Request, Response
from reactor.sansio.http1 import Headers, RequestHead
from reactor.testing import TestApp

PEERS = 1_000
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def app(tmp_path: Path) -> TestApp:
    sections = {
        "plugin:auth": {"demo": "no", "index": str(ROOT / "www/index.html")},
        "plugin:tracker": {"max_per_address": "0"},
    }
    return TestApp(sections, state_dir=tmp_path)


def test_session_lookup(benchmark: BenchmarkFixture) -> None:
    """From the cookie to the session, with 1,000 others in the table."""
    table = SessionTable()
    tokens = [new_token() for _ in range(1_000)]
    for token in tokens:
        digest = digest_of(token)
        assert digest is not None
        table.add(digest, Session("ann", 0.0, 0.0))
    assert benchmark(lambda: table.known[digest_of(tokens[500])]).name == "ann"  # type: ignore[index]


def test_login_guard(benchmark: BenchmarkFixture, app: TestApp) -> None:
    """The whole guard, for a request whose session is in memory."""
    with app:
        route, _ = app.app.generation.site.router.find("GET", "/whoami")
        assert route.guard is not None
        token = new_token()
        digest = digest_of(token)
        assert digest is not None
        app.app.generation.service("bench", "sessions").table.add(digest, Session("ann", app.clock.now, app.clock.now))
        head = RequestHead("GET", "/whoami", Headers([("Host", "a"), ("Cookie", f"auth=true; session={token}")]))
        request = Request(head, "127.0.0.1", {})
        assert benchmark(route.guard, request) is None
        assert request.user == "ann"


def test_list_unchanged(benchmark: BenchmarkFixture, app: TestApp) -> None:
    with app:
        _register(app)
        route, params = app.app.generation.site.router.find("GET", "/get-list")
        request = Request(RequestHead("GET", "/get-list", Headers([("Host", "a")])), "127.0.0.1", params)
        answer = benchmark(route.handler, request)
        assert isinstance(answer, Response) and answer.body.endswith(b'"total_peers":1000}')


def test_renewal(benchmark: BenchmarkFixture, app: TestApp) -> None:
    """A peer says again what is known: body in, answer out."""
    with app:
        _register(app)
        handler = app.app.generation.site.router.find("POST", "/submit-info")[0].handler
        bodies = [json.dumps(peer).encode() for peer in peers(PEERS)]
        numbers = count()
        head = RequestHead("POST", "/submit-info", Headers([("Host", "a")]))

        def renew() -> object:
            request = Request(head, "127.0.0.1", {})
            request.body = bodies[next(numbers) % PEERS]
            return handler(request)

        answer = benchmark(renew)
        assert isinstance(answer, Response) and answer.status == 200


def test_list_after_a_change(benchmark: BenchmarkFixture, app: TestApp) -> None:
    """A peer moves, and somebody asks for the list of 1,000."""
    with app:
        _register(app)
        find = app.app.generation.site.router.find
        submit, listing = find("POST", "/submit-info")[0].handler, find("GET", "/get-list")[0].handler
        ask = Request(RequestHead("GET", "/get-list", Headers([("Host", "a")])), "127.0.0.1", {})
        head = RequestHead("POST", "/submit-info", Headers([("Host", "a")]))
        ports = count()

        def change() -> object:
            request = Request(head, "127.0.0.1", {})
            request.body = b'{"peer_id":"00000001","ip":"192.168.0.2","port":%d}' % (1 + next(ports) % 60_000)
            submit(request)
            return listing(ask)

        answer = benchmark(change)
        assert isinstance(answer, Response) and answer.status == 200


def _register(app: TestApp) -> None:
    for peer in peers(PEERS):
        assert app.post("/submit-info", json=peer).status == 200
