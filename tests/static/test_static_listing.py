"""Folders as pages: only where that is wanted, only what could be asked for, and nobody's name is markup."""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

import pytest
from static_site import Site

from plugins.static import listing


def links(site: Site, target: str) -> list[str]:
    page = site.get(target)
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    return [html.unescape(link) for link in re.findall('href="([^"]*)"', page.body.decode())][1:]  # the style sheet


@pytest.fixture
def pub(site: Site) -> Site:
    site.write("pub/b.txt", "b")
    site.write("pub/a.txt", "a")
    site.write("pub/zoo/x.txt", "x")
    return site


def test_there_are_none_unless_they_are_asked_for(pub: Site) -> None:
    assert pub.mount("/ www").get("/pub/").status == 404


def test_a_folder_without_an_index_shows_its_names_folders_first(pub: Site) -> None:
    pub.mount("/p www/pub listing=yes")
    assert links(pub, "/p/") == ["./zoo/", "./a.txt", "./b.txt"]
    assert links(pub, "/p/zoo/") == ["../", "./x.txt"]
    assert pub.get("/p/zoo").status == 301
    assert [pub.get(target).status for target in ("/p/none/", "/p//", "/p///", "/p/zoo//", "/p//zoo/")] == [404] * 5
    pub.write("pub/index.html", "home")
    assert pub.get("/p/").body == b"home"


def test_what_cannot_be_asked_for_is_not_shown(pub: Site) -> None:
    pub.write("pub/.hidden", "x")
    pub.write("pub/back\\slash", "x")
    pub.write("pub/private/key", "x")
    pub.write("secret", "x")
    (pub.www / "pub/out").symlink_to(pub.www / "secret")
    (pub.www / "pub/in").symlink_to(pub.www / "pub/a.txt")
    (pub.www / "pub/gone").symlink_to(pub.www / "pub/none")
    pub.mount("/p www/pub listing=yes", "/private www/pub/private guard=login")
    shown = links(pub, "/p/")
    assert shown[:1] == ["./zoo/"] and "./in" in shown
    assert not [name for name in shown if re.search("hidden|slash|private|out", name)]
    assert pub.get("/p/private/").status == 404


NAMES = ["<b>alert(1)<b>.txt", '"quoted" & \'so\'.txt', "javascript:alert(1)", "a b%20c?d#e.txt", "ünïcode €.txt"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_and_its_link_leads_to_it(pub: Site, name: str) -> None:
    pub.write(f"pub/odd/{name}", name)
    pub.mount("/p www/pub listing=yes")
    [_, link] = links(pub, "/p/odd/")
    assert link.startswith("./") and unquote(link) == f"./{name}"
    assert pub.get("/p/odd/" + link[2:]).body == name.encode()
    page = pub.get("/p/odd/").body.decode()
    assert html.escape(name) in page and "<b>" not in page


def test_a_name_that_is_no_text_is_shown_all_the_same(pub: Site) -> None:
    (pub.www / "pub/zoo" / b"\xff.txt".decode("utf-8", "surrogateescape")).write_text("x")
    pub.mount("/p www/pub listing=yes")
    assert "./%FF.txt" in links(pub, "/p/zoo/")


def test_a_folder_with_very_many_names_shows_some(pub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST", 20)
    for number in range(50):
        pub.write(f"pub/many/{number}", "")
    pub.mount("/p www/pub listing=yes")
    assert len(links(pub, "/p/many/")) == 1 + 20


def test_a_folder_behind_a_guard_is_kept_by_no_shared_cache(pub: Site) -> None:
    pub.mount("/p www/pub listing=yes guard=login cache=1h")
    assert pub.get("/p/").headers["cache-control"] == "private, no-cache"
