"""What the plugin shows, and to whom: in memory, on the addresses of the server and on one of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from exposition import Exposition

from reactor.errors import ConfigError
from reactor.plugin import Plugin
from reactor.sansio.headers import Headers
from reactor.sansio.http1 import CLIENT, Connection, End, RequestHead
from reactor.testing import Answer, MemoryTransport, TestApp, check_plugin

PROXIED = {"X-Forwarded-For": "192.0.2.7"}


def shown(app: TestApp) -> Exposition:
    answer = app.get("/metrics")
    assert answer.headers.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return Exposition(answer.text)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Another plugin, that counts, and is ready or not."""
    told = SimpleNamespace(why=None)

    def setup(plugin: Plugin, options: None) -> None:
        asked = plugin.metrics.counters("asked_total", "Questions.", kind=("good", "bad"))
        plugin.metrics.gauge("length", "Of it.", lambda: 3)
        plugin.ready(lambda: told.why() if callable(told.why) else told.why)
        plugin.on_start(lambda: asked["good"].add())

    module = ModuleType("another_plugin")
    module.setup = setup  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_plugin", module)
    yield told


SECTIONS = {"plugin:status": {}, "plugin:other": {"use": "another_plugin"}}


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_plugin("plugins.status", state_dir=tmp_path)


def test_it_is_alive_and_ready(tmp_path: Path) -> None:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path) as app:
        for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
            answer = app.get(path, client="192.0.2.1")
            assert (answer.status, answer.text, answer.headers.get("cache-control")) == (200, text, "no-store")


def test_it_is_not_ready_while_a_plugin_says_why(tmp_path: Path, other: SimpleNamespace) -> None:
    def fail() -> str:
        raise ValueError("a bug in the check")

    with TestApp(SECTIONS, state_dir=tmp_path) as app:
        assert app.get("/readyz").status == 200
        for why, words in (
            ("the database is away", "plugin other: the database is away"),
            (fail, "plugin other: its check failed: ValueError: a bug in the check"),
        ):
            other.why = why
            answer = app.get("/readyz")
            assert (answer.status, answer.text) == (503, f"not ready\n{words}\n")
            assert app.get("/readyz", client="192.0.2.1").text == "not ready\n"
            assert shown(app).value("reactor_ready") == 0
        other.why = None
        assert app.get("/readyz").status == 200
        assert app.get("/healthz").status == 200


@pytest.mark.parametrize(
    ("allow", "client", "headers", "status"),
    [
        ("", "127.0.0.1", {}, 200),
        ("", "::1", {}, 200),
        ("", "::ffff:127.0.0.1", {}, 200),
        ("", "10.0.0.1", {}, 403),
        ("", "127.0.0.1", PROXIED, 403),
        ("", "127.0.0.1", {"Forwarded": "for=unknown"}, 403),
        ("10.0.0.0/8", "10.0.0.1", {}, 200),
        ("10.0.0.0/8", "127.0.0.1", {}, 403),
        ("10.0.0.0/8, 192.0.2.7", "10.0.0.1", PROXIED, 200),
    ],
)
def test_the_numbers_are_for_who_is_allowed(
    tmp_path: Path, allow: str, client: str, headers: dict[str, str], status: int
) -> None:
    with TestApp({"plugin:status": {"allow": allow} if allow else {}}, state_dir=tmp_path) as app:
        assert app.get("/metrics", client=client, headers=headers).status == status


def test_who_asks_through_a_trusted_proxy_is_judged_himself(tmp_path: Path) -> None:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path, server={"trusted_proxies": "127.0.0.1"}) as app:
        assert app.get("/metrics", headers=PROXIED).status == 403
        assert app.get("/metrics", headers={"X-Forwarded-For": "::1"}).status == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [({"allow": "10.0.0.0/99"}, "allow: is a list of networks"), ({"listen": "127.0.0.1:99999"}, "listen: "),
     ({"port": "1"}, "unknown option")],
)  # fmt: skip
def test_a_mistake_is_told_with_its_key(tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TestApp({"plugin:status": options}, state_dir=tmp_path)


def use(app: TestApp) -> None:
    """A TestApp has no start that does it."""
    app.app.observer.use(app.app.generation)


def test_requests_are_counted_by_method_and_class_with_their_bytes(tmp_path: Path) -> None:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path) as app:
        use(app)
        app.get("/healthz")
        app.request("HEAD", "/healthz")
        app.post("/nothing", body=b"12345")
        app.request("BREW", "/healthz")
        found = shown(app)
        for method, status in (("GET", "2xx"), ("HEAD", "2xx"), ("POST", "4xx"), ("other", "5xx")):
            assert found.value("reactor_http_requests_total", method=method, status=status) == 1
        assert found.value("reactor_http_request_duration_seconds", "_count") == 4
        assert found.value("reactor_http_request_body_bytes_total") == 5
        assert found.value("reactor_http_response_body_bytes_total") > 3
        assert len(found.families["reactor_http_requests_total"].samples) == 8 * 5


def test_a_status_that_there_is_not_counts_as_a_servers_mistake(tmp_path: Path) -> None:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path) as app:
        use(app)
        for status in (599, 600, 999):  # as a server behind the proxy may send them
            app.app.server.answered = [(None, None, "", status, 0, 0.0)]
            app.app.server.tell_answered()
        assert shown(app).value("reactor_http_requests_total", method="other", status="5xx") == 3


def test_without_anybody_who_looks_nothing_is_counted(tmp_path: Path) -> None:
    with TestApp({}, state_dir=tmp_path) as app:
        use(app)
        assert app.app.server.at_once is None


def test_connections_limits_and_pools_are_shown(tmp_path: Path) -> None:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path, server={"max_connections": "50"}) as app:
        app.connect()
        waiting = app.connect()
        waiting.feed(b"GET / HTTP/1.1\r\nHo")
        app.app.pool("work")
        found = shown(app)
        assert found.value("reactor_connections", state="new") == 2  # one of them asks just now
        assert found.value("reactor_connections", state="head") == 1
        assert found.value("reactor_connections_limit") == 50
        assert found.value("reactor_pool_queue_length", pool="work") == 0
        app.advance(20)
        found = shown(app)
        assert found.value("reactor_limits_reached_total", limit="first_byte") == 1
        assert found.value("reactor_limits_reached_total", limit="head_timeout") == 1
        assert found.value("reactor_limits_reached_total", limit="handshake_timeout") == 0


def test_the_lag_of_the_loop_is_how_late_a_timer_comes(tmp_path: Path) -> None:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path) as app:
        use(app)
        app.advance(1.0)
        assert shown(app).value("reactor_loop_lag_seconds", "_count") == 4
        app.clock.now += 3.25  # a turn of three seconds
        app.advance(0)
        found = shown(app)
        assert found.value("reactor_loop_lag_seconds", "_bucket", le="1.0") == 4
        assert found.value("reactor_loop_lag_seconds", "_bucket", le="5.0") == 5


def test_what_plugins_count_is_shown_and_survives_a_reload(tmp_path: Path, other: SimpleNamespace) -> None:
    with TestApp(SECTIONS, state_dir=tmp_path) as app:
        assert shown(app).value("other_asked_total", kind="good") == 1
        app.reload(SECTIONS)
        found = shown(app)
        assert found.value("other_asked_total", kind="good") == 2
        assert found.value("other_length") == 3
        app.reload({"plugin:status": {}})
        assert "other_asked_total" not in shown(app).families


# -- an address of its own -------------------------------------------------------------------------------------------

OWN = {"plugin:status": {"listen": "127.0.0.1:0"}, "plugin:other": {"use": "another_plugin"}}


def ask_own(app: TestApp, path: str) -> Answer:
    """At the address of its own, without a socket."""
    [listener] = app.app.generation.own_listeners
    asking = Connection(CLIENT)
    transport = MemoryTransport(app.reactor, listener.entrance.server.new_connection())
    transport.feed(asking.send(RequestHead("GET", path, Headers([("Host", "a")]))) + asking.send(End()))
    return app._read_answer(asking, transport)


def test_an_address_of_its_own_has_all_and_that_of_the_server_nothing(tmp_path: Path, other: SimpleNamespace) -> None:
    with TestApp(OWN, state_dir=tmp_path) as app:
        assert [app.get(path).status for path in ("/healthz", "/readyz", "/metrics")] == [404, 404, 404]
        assert [ask_own(app, path).status for path in ("/healthz", "/readyz", "/metrics", "/x")] == [200, 200, 200, 404]
        assert any("Status on http://127.0.0.1:" in line for line in app.log_lines)


def test_it_says_that_the_server_stops(tmp_path: Path, other: SimpleNamespace) -> None:
    with TestApp(OWN, state_dir=tmp_path) as app:
        app.app.server.draining = True
        assert ask_own(app, "/readyz").text == "not ready\nthe server is stopping\n"
        app.app.server.draining = False


def test_a_reload_keeps_the_socket_and_answers_anew(tmp_path: Path, other: SimpleNamespace) -> None:
    with TestApp(OWN, state_dir=tmp_path) as app:
        [before] = app.app.generation.own_listeners
        app.reload({**OWN, "plugin:status": {"listen": "127.0.0.1:0", "allow": "10.0.0.0/8"}})
        [after] = app.app.generation.own_listeners
        assert after.entrance is before.entrance
        assert after is not before
        assert ask_own(app, "/metrics").status == 403
