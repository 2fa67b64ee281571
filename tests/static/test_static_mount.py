"""The option `mount`: what a line may say, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
from static_site import Site

from plugins.static.mount import Mount, parse_mounts
from reactor.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "www" / "my files").mkdir(parents=True)
    (tmp_path / "www" / "icon.ico").write_bytes(b"icon")
    return tmp_path


def test_a_line_names_an_address_a_folder_and_settings(folder: Path) -> None:
    lines = ["/assets  www", "/    www   guard=login  index=start.html", "", "/icon.ico www/icon.ico",
             '/x/.well-known/ "www/my files"']  # fmt: skip
    assert parse_mounts(lines, folder.joinpath) == [
        Mount("/assets/", folder / "www", None, "index.html", "no-cache", False),
        Mount("/", folder / "www", "login", "start.html", "private, no-cache", False),
        Mount("/icon.ico", folder / "www/icon.ico", None, "index.html", "no-cache", False),
        Mount("/x/.well-known/", folder / "www/my files", None, "index.html", "no-cache", False),
    ]


CACHES = [
    ("cache=10m", "max-age=600"),
    ("cache=7d", "max-age=604800"),
    ("cache=immutable", "max-age=31536000, immutable"),
    ("cache=no-store", "no-store"),
    ("cache=1h guard=login", "private, max-age=3600"),
    ("cache=no-store guard=login", "no-store"),
]


@pytest.mark.parametrize(("settings", "value"), CACHES)
def test_a_mount_may_say_how_long_its_files_are_good(folder: Path, settings: str, value: str) -> None:
    [mount] = parse_mounts([f"/ www {settings}"], folder.joinpath)
    assert mount.cache == value


WRONG = [
    ("/assets", "wants an address and a folder"),
    ("assets www", "is not an address"),
    ("//evil www", "is not an address"),
    ("/a//b www", "is not an address"),
    ("/../a www", "is not an address"),
    ("/a/. www", "is not an address"),
    ("/{path...} www", "is not an address"),
    ("/a%20b www", "is not an address"),
    ("/ä www", "is not an address"),
    ("/a www/none", "does not exist"),
    ("/a www/none/x", "does not exist"),
    ("/a /dev/null", "is neither a folder nor a file"),
    ("/a/ www/icon.ico", "is a file, so its address has no / at the end"),
    ("/a www/my files", "'files' is not a setting"),
    ("/a www color=red", "'color=red' is not a setting (they are guard=, index="),
    ("/a www guard=", "guard= has no value"),
    ("/a www cache=soon", "cache= is a time such as 10m, 1h or 7d, or one of no-cache, no-store, immutable"),
    ("/a www cache=10", "cache= is a time"),
    ("/a www listing=maybe", "listing= is yes or no"),
    ("/a www guard=a guard=b", "guard= is there twice"),
    ("/a www index=../secret", "index= is the plain name of a file"),
    ("/a www index=.htpasswd", "index= is the plain name of a file"),
    ('/a "www', "a quotation mark is not closed"),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_line_is_quoted_with_what_is_wrong_in_it(folder: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_mounts([line], folder.joinpath)
    assert caught.value.key == "mount"
    assert message in str(caught.value)
    assert repr(line) in str(caught.value)


def test_one_address_is_mounted_once(folder: Path) -> None:
    with pytest.raises(ConfigError, match="/a/ is mounted already"):
        parse_mounts(["/a www", "/a/ www"], folder.joinpath)


def test_no_mount_at_all_is_an_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="say what to serve"):
        parse_mounts([""], folder.joinpath)


@pytest.mark.parametrize("line", ["/ .", "/ ..", "/ www/..", "/ /", "/ var", "/ link"])
def test_a_folder_around_the_config_or_the_databases_is_refused(site: Site, line: str) -> None:
    (site.directory / "var").mkdir()
    (site.directory / "link").symlink_to(site.directory)
    with pytest.raises(ConfigError, match="nothing but what may be seen") as caught:
        site.mount(line)
    assert caught.value.key == "mount"


def test_a_guard_stands_on_every_route_of_its_mount(site: Site) -> None:
    site.mount("/assets www/assets", "/ www guard=login", "/private www guard=door")
    guards = {route.pattern: route.guard_name for route in site.router.routes}
    assert guards == {
        "/assets": "", "/assets/{path...}": "",
        "/": "login", "/index.html": "login", "/{path...}": "login",
        "/private": "door", "/private/": "door", "/private/index.html": "door", "/private/{path...}": "door",
    }  # fmt: skip


def test_mounts_that_meet_do_not_collide(site: Site) -> None:
    site.write("other.html", "other")
    site.mount("/ www", "/index.html www/other.html", "/assets www/assets", "/assets/index.html www/other.html")
    assert site.get("/").body == b"<h1>home</h1>"
    assert site.get("/index.html").body == b"other"
    assert site.get("/assets/index.html").body == b"other"
