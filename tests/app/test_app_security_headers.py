"""`[server] security_headers` and `hsts`: what every answer of a site tells browsers."""

from __future__ import annotations

import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reactor import ConfigError, Plugin, Request, Response
from reactor.config import Config
from reactor.http.defaults import SECURITY, brought, security_fields
from reactor.sansio.headers import Headers
from reactor.testing import TestApp

NAMES = [name for name, _ in SECURITY]


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"

    async def later(request: Request) -> Response:
        return Response("later")

    def setup(plugin: Plugin, options: None) -> None:
        plugin.route("GET", "/plain", lambda request: Response("plain"))
        plugin.route("GET", "/stream", lambda request: Response.streaming(pieces()))
        plugin.route("GET", "/later", later)
        plugin.route("GET", "/empty", lambda request: Response.empty(304))
        plugin.route("GET", "/own", lambda request: Response("", headers=[("x-frame-options", "DENY")]))

    module = types.ModuleType("headers_for_tests")
    module.setup = setup  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "headers_for_tests", module)


PLUGIN = {"plugin:pages": {"use": "headers_for_tests"}}


@pytest.mark.parametrize("path", ["/plain", "/stream", "/later", "/empty", "/nothing"])
def test_every_kind_of_answer_has_them_once(tmp_path: Path, path: str) -> None:
    with TestApp(PLUGIN, state_dir=tmp_path) as app:
        for _ in range(2):
            answer = app.get(path)
            assert [len(answer.headers.all(name)) for name in [*NAMES, "date"]] == [1] * 5
        app.advance(5)
        assert app.get(path).headers["date"] != answer.headers["date"]


def test_a_request_that_cannot_be_read_is_answered_with_them_too(tmp_path: Path) -> None:
    with TestApp(PLUGIN, state_dir=tmp_path) as app:
        client = app.connect()
        client.feed(b"NONSENSE\r\n\r\n")
        assert b"400 Bad Request" in client.sent and b"X-Content-Type-Options: nosniff\r\n" in client.sent


def test_an_answers_own_field_is_the_only_one_of_its_name(tmp_path: Path) -> None:
    with TestApp(PLUGIN, state_dir=tmp_path) as app:
        answer = app.get("/own")
        assert answer.headers.all("x-frame-options") == ["DENY"]
        assert answer.headers.all("referrer-policy") == ["same-origin"]
        assert app.get("/plain").headers.all("x-frame-options") == ["SAMEORIGIN"]


def test_they_can_be_switched_off(tmp_path: Path) -> None:
    with TestApp(PLUGIN, state_dir=tmp_path, server={"security_headers": "no"}) as app:
        assert not any(name in app.get("/plain").headers for name in NAMES)


def test_hsts_is_sent_over_tls_only() -> None:
    fields = security_fields(True, 3600.0)
    line = b"Strict-Transport-Security: max-age=3600\r\n"
    assert line in fields.lines(None, True) and line not in fields.lines(None, False)
    own = brought(Headers([("strict-transport-security", "max-age=1")]))
    assert line not in fields.lines(own, True)
    assert security_fields(False, 0.0).lines(None, True) == b""


@pytest.mark.parametrize("text", ["hsts = 1h", "hsts = -1"])
def test_hsts_needs_tls(text: str) -> None:
    with pytest.raises(ConfigError, match=r"hsts: .*listen_tls"):
        Config(f"[server]\n{text}\n")


def test_answers_without_any_are_told_quickly() -> None:
    assert brought(Headers([("Content-Type", "text/html")])) is None
