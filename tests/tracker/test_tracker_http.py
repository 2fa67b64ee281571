"""The tracker in a whole app: routes, the timer, a reload, and the guard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.tracker.service import Service
from reactor import ConfigError
from reactor.testing import TestApp, check_plugin


@pytest.fixture
def app(tmp_path: Path) -> Iterator[TestApp]:
    with TestApp({"plugin:tracker": {}}, state_dir=tmp_path) as app:
        yield app


def test_the_plugin_keeps_the_contract(tmp_path: Path) -> None:
    check_plugin("plugins.tracker", {"ttl": "2m", "max_per_address": "0"}, state_dir=tmp_path)


def test_a_session_of_an_original_client(app: TestApp) -> None:
    who = b'{"peer_id":"65113e1d","ip":"0.0.0.0","port":9101}'
    for method in ("PUT", "POST"):
        for path in ("/submit-info", "/submit-info/", "/submit_info", "/submit_info/"):
            answer = app.request(method, path, body=who, content_type="text/plain", client="192.168.1.3")
            assert (answer.status, answer.headers.get("content-type")) == (200, "application/json")
    for slash in ("", "/"):
        body = b'{"peer_id":"65113e1d","channel":"lobby"}'
        joined = app.post("/add-list" + slash, body=body, content_type="text/plain", client="192.168.1.3")
        assert joined.json()["members"] == ["65113e1d"]
        assert app.post("/get-list" + slash, body=b"").json()["total_peers"] == 1
        assert app.get(f"/get-list{slash}?channel=lobby").json()["peers"][0]["ip"] == "192.168.1.3"
        found = app.post("/connect-peer" + slash, json={"from": "x", "to": "65113e1d"})
        assert (found.json()["ip"], found.json()["port"]) == ("192.168.1.3", 9101)
        assert app.post("/channel" + slash, body=body, client="192.168.1.3").json()["owner"] == "65113e1d"
    assert app.post("/leave/", body=b'{"peer_id":"65113e1d"}', client="192.168.1.3").json()["total_peers"] == 0
    said = [line for line in app.log_lines if "[ChatApp]" in line]
    assert said == ["[ChatApp] Peer registered: 65113e1d at 192.168.1.3:9101 (total peers: 1)"]


def test_failures_have_their_status_and_a_body_that_can_be_read(app: TestApp) -> None:
    answer = app.post("/add-list", json={"peer_id": "nobody", "channel": "x"}, headers={"Accept": "text/html"})
    assert answer.status == 404
    assert answer.json() == {
        "status": "error",
        "error": {
            "code": "unknown_peer",
            "message": "$.peer_id: no peer of this name is registered",
            "path": "$.peer_id",
        },
    }
    assert app.put("/submit-info", body=b"[" * 60_000).status == 400
    assert app.post("/add-list", body=b" " * 70_000).status == 413
    assert app.put("/submit-info", body=b" " * 70_000).status == 413


def test_a_peer_that_is_silent_for_its_ttl_is_gone(app: TestApp) -> None:
    app.put("/submit-info", json={"peer_id": "a", "port": 9101, "channels": ["x"]})
    app.advance(89)
    assert app.get("/get-list").json()["total_peers"] == 1
    app.advance(2)
    assert app.get("/get-list").json() == {"status": "success", "peers": [], "channels": [], "total_peers": 0}


def test_a_channel_with_a_password(app: TestApp) -> None:
    lease = app.put("/submit-info", json={"peer_id": "a", "port": 1, "v": 1, "channels": ["x"]}).json()["lease"]
    change = {"peer_id": "a", "lease": lease, "channel": "x", "policy": "password", "password": "Sesame"}
    key = app.post("/channel", json=change).json()["channel_key"]
    app.put("/submit-info", json={"peer_id": "b", "port": 2})
    assert app.post("/add-list", json={"peer_id": "b", "channel": "x", "password": "no"}).status == 403
    joined = app.post("/add-list", json={"peer_id": "b", "channel": "x", "password": "Sesame"})
    assert joined.json()["channel_key"] == key


def test_password_attempts_are_forgotten_after_a_minute(tmp_path: Path) -> None:
    with TestApp({"plugin:tracker": {"password_attempts": "1"}}, state_dir=tmp_path) as app:
        app.put("/submit-info", json={"peer_id": "a", "port": 1, "channels": ["x"]})
        change = {"peer_id": "a", "channel": "x", "policy": "password", "password": "Sesame"}
        assert app.post("/channel", json=change).status == 200
        assert app.post("/channel", json=change).status == 429
        app.advance(61)
        assert app.post("/channel", json=change).status == 200


def test_forwarding_headers_take_the_right_of_the_address(app: TestApp) -> None:
    app.put("/submit-info", json={"peer_id": "old", "port": 1})
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert app.post("/leave", json={"peer_id": "old"}, headers={header: "127.0.0.1"}).status == 403
    assert app.post("/leave", json={"peer_id": "old"}).status == 200


@pytest.mark.parametrize(
    "page",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
     {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9000"}],
)  # fmt: skip
def test_a_page_of_another_site_does_not_speak_for_the_address_of_its_visitor(
    app: TestApp, page: dict[str, str]
) -> None:
    """A browser sends whatever a page tells it to, as text/plain and without asking us, from where its user sits."""
    app.put("/submit-info", json={"peer_id": "old", "port": 1})
    for path, body in (
        ("/leave", '{"peer_id": "old"}'), ("/submit-info", '{"peer_id": "old", "port": 1, "ip": "192.0.2.66"}'),
        ("/add-list", '{"peer_id": "old", "channel": "x"}'), ("/channel", '{"peer_id": "old", "channel": "x"}'),
    ):  # fmt: skip
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
            assert app.post(path, body=body.encode(), content_type=kind, headers=page).status == 403
    assert app.get("/get-list").json()["peers"] == [
        {"peer_id": "old", "username": "old", "ip": "127.0.0.1", "port": 1, "channels": []}
    ]
    made = app.post("/submit-info", json={"peer_id": "made", "port": 2}, headers=page)
    assert app.post("/leave", json={"peer_id": "made"}).status == 403  # nor is what it makes known by the address
    assert app.post("/leave", json={"peer_id": "made", "lease": made.json()["lease"]}, headers=page).status == 200


def test_our_own_pages_do(app: TestApp) -> None:
    app.put("/submit-info", json={"peer_id": "old", "port": 1})
    own = {"Host": "localhost:8000", "Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert app.post("/leave", json={"peer_id": "old"}, headers=own).status == 200


def test_a_reload_loses_nobody(app: TestApp) -> None:
    lease = app.put("/submit-info", json={"peer_id": "a", "port": 1, "v": 1, "channels": ["x"]}).json()["lease"]
    app.reload({"plugin:tracker": {"ttl": "600", "interval": "60"}})
    answer = app.put("/submit-info", json={"peer_id": "a", "port": 1, "v": 1, "lease": lease}).json()
    assert (answer["ttl"], answer["channels"]) == (600, ["x"])
    app.advance(595)
    assert app.get("/get-list").json()["total_peers"] == 1
    app.advance(10)
    assert app.get("/get-list").json()["total_peers"] == 0


def test_other_plugins_get_the_service(app: TestApp) -> None:
    service = app.service("tracker")
    assert isinstance(service, Service)
    service.register("held", "10.0.0.5", 8000, username="Ann")
    assert app.get("/get-list").json()["peers"][0]["username"] == "Ann"


GUARD = '''
"""A guard for tests: whoever says so is logged in."""
from reactor import HTTPError

def setup(plugin, options):
    def login(request):
        if "authorization" not in request.headers:
            raise HTTPError(401, "who are you?")
    plugin.guard("login", login)
'''


def test_a_login_can_be_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tracker_test_guard.py").write_text(GUARD)
    monkeypatch.syspath_prepend(tmp_path)
    sections = {"plugin:tracker": {"require_login": "yes"}, "plugin:door": {"use": "tracker_test_guard"}}
    with TestApp(sections, state_dir=tmp_path) as app:
        for path in ("/submit-info", "/get-list", "/add-list", "/channel", "/leave", "/connect-peer"):
            assert app.post(path, json={}).status == 401
        assert app.get("/get-list").status == 401
        assert app.get("/get-list", headers={"Authorization": "yes"}).status == 200


def test_a_login_cannot_be_required_where_nobody_can_log_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="login"):
        TestApp({"plugin:tracker": {"require_login": "yes"}}, state_dir=tmp_path)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"ttl": "30"}, "ttl"),
        ({"interval": "75"}, "ttl"),
        ({"ttl": "0"}, "ttl"),
        ({"max_peers": "0"}, "max_peers"),
        ({"max_per_address": "-1"}, "max_per_address"),
        ({"ttl": "soon"}, "ttl"),
        ({"tll": "90"}, "tll"),
    ],
)
def test_a_wrong_option_stops_the_start_and_is_named(tmp_path: Path, options: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TestApp({"plugin:tracker": options}, state_dir=tmp_path)
    assert key in str(caught.value)
