"""The plugin in the real app: config text in, HTTP out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from static_site import Site, open_files

from reactor.errors import ConfigError
from reactor.testing import TestApp, check_plugin

MOUNTS = """
/assets  www/assets
/        www         guard=login
"""

GUARD = '''"""A door that a header opens."""

from reactor import HTTPError, Plugin, Request


def setup(plugin: Plugin, options: None) -> None:
    def check(request: Request) -> None:
        if request.headers.get("x-key") != "sesame":
            raise HTTPError(401)

    plugin.guard("login", check)
'''

KEY = {"X-Key": "sesame"}
BIG = bytes(range(256)) * 1024


@pytest.fixture
def app(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestApp]:
    (site.directory / "door_for_static.py").write_text(GUARD)
    monkeypatch.syspath_prepend(str(site.directory))
    sections = {"plugin:door": {"use": "door_for_static"}, "plugin:static": {"mount": MOUNTS.strip()}}
    with TestApp(sections, state_dir=site.directory / "var", directory=site.directory) as running:
        yield running


@pytest.mark.parametrize("target", ["/", "/index.html"])
def test_the_page_is_there_for_those_who_may_see_it(app: TestApp, target: str) -> None:
    for _ in range(2):
        assert app.get(target).status == 401
        answer = app.get(target, headers=KEY)
        assert (answer.status, answer.text) == (200, "<h1>home</h1>")
        assert answer.headers.get("cache-control") == "private, no-cache"


def test_an_open_mount_asks_nobody(app: TestApp) -> None:
    assert app.get("/assets/style.css").text == "body {}"
    assert app.get("/assets").headers.get("location") == "/assets/"


def test_what_is_not_there_is_told_to_nobody_who_may_not_see_the_rest(app: TestApp) -> None:
    assert app.get("/none").status == 401
    assert app.get("/assets/none").status == 404
    assert app.get("/%2e%2e/config.ini", headers=KEY).status == 404
    assert app.get("/assets/%2e%2e/index.html", headers=KEY).status == 404


def test_a_large_file_comes_whole_and_in_parts(app: TestApp) -> None:
    assert app.get("/big.bin", headers=KEY).body == BIG
    part = app.get("/big.bin", headers={**KEY, "Range": "bytes=1000-1999"})
    assert (part.status, part.body) == (206, BIG[1000:2000])
    assert part.headers.get("content-length") == "1000"
    assert app.get("/big.bin", headers={**KEY, "Range": f"bytes={len(BIG)}-"}).status == 416


@pytest.mark.parametrize("target", ["/copy.bin", "/big.bin"])
def test_several_parts_come_as_one_answer(app: TestApp, site: Site, target: str) -> None:
    site.write("copy.bin", BIG[:5000])
    whole = app.get(target, headers=KEY).body
    before = open_files()
    answer = app.get(target, headers={**KEY, "Range": "bytes=0-9,1000-1099,-5"})
    assert answer.status == 206 and answer.headers.get("content-length") == str(len(answer.body))
    kind, boundary = answer.headers.get("content-type").split("; boundary=")
    assert kind == "multipart/byteranges"
    start, *parts, end = answer.body.split(b"\r\n--" + boundary.encode())
    assert (start, end) == (b"", b"--\r\n")
    for part, (first, stop) in zip(parts, [(0, 10), (1000, 1100), (len(whole) - 5, len(whole))], strict=True):
        head, body = part.split(b"\r\n\r\n", 1)
        assert body == whole[first:stop]
        assert head.decode().split("\r\n")[1:] == [
            "Content-Type: application/octet-stream", f"Content-Range: bytes {first}-{stop - 1}/{len(whole)}",
        ]  # fmt: skip
    assert open_files() == before


@pytest.mark.parametrize("target", ["/", "/big.bin"])
def test_head_and_304_have_no_body(app: TestApp, target: str) -> None:
    whole = app.get(target, headers=KEY)
    head = app.request("HEAD", target, headers=KEY)
    assert (head.status, head.body) == (200, b"")
    assert head.headers.get("content-length") == str(len(whole.body))
    assert head.headers.get("etag") == whole.headers.get("etag")
    known = app.get(target, headers={**KEY, "If-None-Match": whole.headers.get("etag")})
    assert (known.status, known.body) == (304, b"")


def test_no_file_stays_open_when_the_client_leaves(app: TestApp) -> None:
    before = open_files()
    request = b"GET /big.bin HTTP/1.1\r\nHost: site\r\nX-Key: sesame\r\n\r\n"
    for method in (b"GET", b"HEAD"):
        transport = app.connect()
        transport.stall = True
        transport.feed(request.replace(b"GET", method) * 3)
        transport.abort()
        app.reactor.settle()
    assert open_files() == before


def test_an_error_page_is_the_servers_and_a_wrong_method_is_405(app: TestApp) -> None:
    answer = app.request("DELETE", "/assets/style.css")
    assert (answer.status, answer.headers.get("allow")) == (405, "GET, HEAD, OPTIONS")
    assert app.get("/assets/%ff").status == 400


def test_a_reload_shows_the_new_mounts(app: TestApp, site: Site) -> None:
    app.reload({"plugin:static": {"mount": "/new www"}})
    assert app.get("/new/").text == "<h1>home</h1>"
    assert app.get("/").status == 404


def test_a_wrong_line_names_file_section_and_key(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"config.ini:\d+: \[plugin:static\] mount: .*www/none does not exist"):
        TestApp({"plugin:static": {"mount": "/ www/none"}}, directory=site.directory)


def test_a_guard_that_nobody_declares_stops_the_start(site: Site) -> None:
    with pytest.raises(ConfigError, match="login"):
        TestApp({"plugin:static": {"mount": "/ www guard=login"}}, directory=site.directory)


def test_sizes_are_read_with_their_units(site: Site) -> None:
    options = {"mount": "/ www", "cache_size": "1M", "cache_file": "1k"}
    with TestApp({"plugin:static": options}, state_dir=site.directory / "var", directory=site.directory) as app:
        assert app.get("/big.bin").body == BIG
    with pytest.raises(ConfigError, match="cache_size"):
        TestApp({"plugin:static": {"mount": "/ www", "cache_size": "-1"}}, directory=site.directory)


def test_the_plugin_keeps_the_contract(site: Site, tmp_path: Path) -> None:
    check_plugin("plugins.static", {"mount": f"/ {site.www}"}, state_dir=tmp_path / "var")
