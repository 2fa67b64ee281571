"""Attacks on the path: nothing but regular files of the mount's own folder is ever opened, and nothing waits."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from static_site import Site, open_files

from plugins.static import paths
from plugins.static.paths import IsFolder, check_path, is_inside, open_inside
from reactor.errors import HTTPError, Overloaded

SECRET = b"the secret"

ESCAPES = [
    "/../secret.txt", "/%2e%2e/secret.txt", "/%2E./secret.txt", "/.%2e/secret.txt", "/..%2fsecret.txt",
    "/%2e%2e%2fsecret.txt", "/%252e%252e/secret.txt", "/%252e%252e%252fsecret.txt", "/..%5csecret.txt",
    "/..\\secret.txt", "/%5c..%5csecret.txt", "/..%c0%afsecret.txt", "/%c0%ae%c0%ae/secret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt", "/%uff0e%uff0e/secret.txt", "/assets/../../secret.txt",
    "/assets/..%2f..%2fsecret.txt", "/assets/%2e%2e/%2e%2e/secret.txt", "/./../secret.txt", "/..;/secret.txt",
    "/..%00/secret.txt", "/%2e%2e%00/secret.txt", "/.../secret.txt", "/%ef%bc%8e%ef%bc%8e/secret.txt",
    "/..%0d%0a/secret.txt", "//secret.txt", "/%2fsecret.txt", "///etc/passwd", "//etc/passwd", "/%2fetc/passwd",
    "/assets//etc/passwd", "/assets/%2fetc%2fpasswd", "/../www-old/secret.txt", "/..%2fwww-old/secret.txt",
    "/proc/self/environ", "/~root/", "/assets/../www-old/secret.txt",
]  # fmt: skip


@pytest.fixture
def walled(site: Site) -> Site:
    """The site with things around it that must not be reached."""
    (site.directory / "secret.txt").write_bytes(SECRET)
    (site.directory / "www-old").mkdir()
    (site.directory / "www-old" / "secret.txt").write_bytes(SECRET)
    return site.mount("/ www", "/assets www/assets")


@pytest.mark.parametrize("target", ESCAPES)
def test_no_spelling_of_dot_dot_leads_out(walled: Site, target: str) -> None:
    answer = walled.get(target)
    assert answer.status in (400, 404)
    assert SECRET not in answer.body


HIDDEN = ["/.env", "/.git/config", "/assets/.hidden", "/%2egit/config", "/.", "/./index.html", "/assets/./style.css",
          "/assets//style.css", "//index.html", "/index.html/", "/index.html/x", "/index.html%00", "/index.html%00.css",
          "/index.html%0a", "/index.html%7f", "/index.html.", "/index.html%20", "/INDEX.HTML", "/index.html::$DATA",
          "/assets%2fstyle.css", "/assets%5cstyle.css", "/assets/", "/assets/.", "/assets/%2e/"]  # fmt: skip


@pytest.mark.parametrize("target", HIDDEN)
def test_what_is_hidden_or_misspelt_is_not_found(walled: Site, target: str) -> None:
    for name in (".env", ".git/config", "assets/.hidden"):
        walled.write(name, SECRET)
    assert walled.get(target).status == 404


@given(st.text(max_size=40))
def test_a_path_that_passes_the_first_wall_has_only_plain_names(path: str) -> None:
    try:
        check_path(path)
    except HTTPError as error:
        assert error.status == 404
    else:
        assert os.path.normpath(path) == (path or ".")
        assert not os.path.isabs(path)
        assert not any(name.startswith(".") for name in path.split("/"))


@pytest.mark.parametrize(("path", "inside"), [("/srv/www", True), ("/srv/www/a", True), ("/srv/www-old/a", False),
                                              ("/srv/ww", False), ("/srv", False), ("/", False)])  # fmt: skip
def test_a_sibling_with_the_same_beginning_is_outside(path: str, inside: bool) -> None:
    assert is_inside(path, "/srv/www") is inside
    assert is_inside(path, "/")


@pytest.mark.parametrize("target", ["x" * 255 + ".html", "x" * 300, "/".join(["x"] * 3000), "%C3%A9" * 200])
def test_a_name_too_long_is_not_found(walled: Site, target: str) -> None:
    assert walled.get("/" + target).status == 404


def test_a_name_that_is_not_utf_8_is_refused_and_one_that_is_works(walled: Site) -> None:
    walled.write("grüße 100%.txt", "hello")
    assert walled.get("/gr%C3%BC%C3%9Fe%20100%25.txt").body == b"hello"
    assert walled.get("/gr%FC%DFe.txt").status == 400


# -- links ------------------------------------------------------------------------------------------------------------


def test_a_link_works_as_long_as_it_stays_inside(walled: Site) -> None:
    (walled.www / "main.css").symlink_to("assets/style.css")
    (walled.www / "a").symlink_to("assets")
    assert walled.get("/main.css").body == b"body {}"
    assert walled.get("/a/style.css").body == b"body {}"
    assert walled.get("/a").headers["location"] == "/a/"


@pytest.mark.parametrize("goal", ["../secret.txt", "../www-old/secret.txt", "/etc/passwd", "assets/../../secret.txt"])
def test_a_link_that_leads_out_is_not_found(walled: Site, goal: str) -> None:
    (walled.www / "way").symlink_to(goal)
    assert walled.get("/way").status == 404


@pytest.mark.parametrize("goal", ["..", "../www-old", "/", "/proc/self/root"])
def test_a_linked_folder_outside_is_not_even_redirected_to(walled: Site, goal: str) -> None:
    (walled.www / "way").symlink_to(goal)
    assert walled.get("/way").status == 404
    assert walled.get("/way/").status == 404
    assert walled.get("/way/secret.txt").status == 404


def test_links_in_a_circle_and_to_nowhere_are_not_found(walled: Site) -> None:
    (walled.www / "a").symlink_to("b")
    (walled.www / "b").symlink_to("a")
    (walled.www / "self").symlink_to(".")
    (walled.www / "gone").symlink_to("nothing")
    assert [walled.get(target).status for target in ("/a", "/a/x", "/gone")] == [404, 404, 404]
    assert walled.get("/self/self/self/index.html").status == 200


def test_the_mounted_folder_may_be_a_link_that_is_changed(site: Site) -> None:
    for release in ("one", "two"):
        (site.directory / release).mkdir()
        (site.directory / release / "index.html").write_text(release)
    current = site.directory / "current"
    current.symlink_to("one")
    site.mount("/ current")
    assert site.get("/").body == b"one"
    current.unlink()
    current.symlink_to("two")
    site.advance(1)
    assert site.get("/").body == b"two"


# -- races ------------------------------------------------------------------------------------------------------------


def race(site: Site, path: str, swap: str, goal: str) -> int:
    """The status for `path` when `swap` becomes a link to `goal` after it was resolved and before it is opened."""
    resolved = os.path.realpath

    def resolve_and_swap(name: str, *, strict: bool = False) -> str:
        real = resolved(name, strict=strict)
        if str(name).endswith(path):
            (site.www / swap).rename(site.www / "moved")
            (site.www / swap).symlink_to(goal)
        return real

    with patch.object(paths.os.path, "realpath", resolve_and_swap), pytest.raises(HTTPError) as caught:
        open_inside(str(site.www), path)
    return caught.value.status


def test_a_file_swapped_for_a_link_while_it_is_opened_is_not_found(walled: Site) -> None:
    assert race(walled, "index.html", "index.html", "../secret.txt") == 404


def test_a_folder_swapped_for_a_link_while_it_is_opened_is_not_found(walled: Site) -> None:
    walled.write("assets/secret.txt", "harmless")
    assert race(walled, "assets/secret.txt", "assets", "..") == 404


@pytest.mark.parametrize("other", ["fifo", "link"])
def test_a_file_swapped_at_the_last_moment_is_neither_waited_for_nor_served(walled: Site, other: str) -> None:
    page = walled.www / "index.html"
    open_it = os.open

    def swap_and_open(name: str, flags: int, **where: int) -> int:
        if name == "index.html":
            page.unlink()
            os.mkfifo(page) if other == "fifo" else page.symlink_to("../secret.txt")
        return open_it(name, flags, **where)

    before = open_files()
    with patch.object(paths.os, "open", swap_and_open), pytest.raises(HTTPError, match="nothing at this address"):
        open_inside(str(walled.www), "index.html")
    assert open_files() == before


# -- other things than files ------------------------------------------------------------------------------------------


def test_fifos_sockets_and_devices_are_not_found_at_once(walled: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(walled.www / "fifo")
    monkeypatch.chdir(walled.www)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert walled.get("/fifo").status == 404
        assert walled.get("/socket").status == 404
    with pytest.raises(HTTPError, match="nothing at this address"):
        open_inside("/dev", "null")


def test_a_folder_is_told_apart_from_a_file(walled: Site) -> None:
    with pytest.raises(IsFolder):
        open_inside(str(walled.www), "assets")


@pytest.mark.parametrize(("number", "status"), [(errno.EACCES, 403), (errno.EPERM, 403), (errno.EMFILE, 503),
                                                (errno.ENOENT, 404), (errno.ESTALE, 404)])  # fmt: skip
def test_what_the_system_says_becomes_a_status(walled: Site, number: int, status: int) -> None:
    with patch.object(paths.os, "open", side_effect=OSError(number, "no")):
        answer = walled.get("/index.html")
    assert answer.status == status


def test_a_broken_disk_is_our_error(walled: Site) -> None:
    with patch.object(paths.os, "open", side_effect=OSError(errno.EIO, "no")), pytest.raises(OSError, match="no"):
        walled.get("/index.html")


def test_too_many_open_files_is_overload(walled: Site) -> None:
    with patch.object(paths.os, "open", side_effect=OSError(errno.EMFILE, "no")), pytest.raises(Overloaded):
        open_inside(str(walled.www), "index.html")


def test_a_large_file_is_closed_where_its_compressed_form_cannot_be_opened(walled: Site) -> None:
    real = os.open

    def open_but(path: str, *arguments: Any, **more: Any) -> int:
        if path == "big.bin.br":
            raise OSError(errno.EMFILE, "no")
        return real(path, *arguments, **more)

    walled.write("big.bin.br", "small")
    before = open_files()
    with patch.object(paths.os, "open", open_but):
        assert walled.get("/big.bin", accept_encoding="br").status == 503
    assert open_files() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_is_forbidden(walled: Site) -> None:
    walled.write("locked.txt", "x").chmod(0)
    assert walled.get("/locked.txt").status == 403


# -- guards -----------------------------------------------------------------------------------------------------------


def test_a_guarded_folder_is_reached_through_its_own_mount_only(site: Site) -> None:
    site.write("private/diary.txt", "dear diary")
    (site.www / "alias").symlink_to("private")
    site.mount("/ www", "/private www/private guard=login")
    assert site.route("/private/diary.txt")[0].guard_name == "login"
    assert site.get("/private/diary.txt").status == 200
    assert site.get("/alias/diary.txt").status == 404
    assert site.get("/alias").status == 404
    assert site.get("/index.html").status == 200


def test_an_open_folder_below_a_guarded_one_stays_open(site: Site) -> None:
    site.mount("/ www guard=login", "/assets www/assets")
    assert site.get("/assets/style.css").status == 200
    assert site.route("/assets/style.css")[0].guard_name == ""
    assert site.route("/index.html")[0].guard_name == "login"


@pytest.mark.parametrize("target", ["/private/x", "/privat%65/x", "/private", "/private/", "/private/../private/x"])
def test_no_spelling_of_a_guarded_address_misses_the_guard(site: Site, target: str) -> None:
    site.write("private/x", "x")
    site.mount("/ www", "/private www/private guard=login")
    assert site.route(target)[0].guard_name == "login"


@pytest.mark.parametrize("target", ["//private/x", "/./private/x", "/private%2fx", "/PRIVATE/x"])
def test_what_falls_to_the_outer_mount_does_not_find_the_inner_file(site: Site, target: str) -> None:
    site.write("private/x", "x")
    site.mount("/ www", "/private www/private guard=login")
    assert site.get(target).status == 404


def test_no_descriptor_stays_open_whatever_happens(walled: Site) -> None:
    (walled.www / "way").symlink_to("../secret.txt")
    os.mkfifo(walled.www / "fifo")
    before = open_files()
    for target in ("/", "/way", "/fifo", "/assets", "/assets/none", "/none/none", "/index.html/x", "/big.bin"):
        walled.get(target)
    assert open_files() == before


def test_the_secrets_of_these_tests_are_there(walled: Site) -> None:
    assert (walled.directory / "secret.txt").read_bytes() == SECRET
    assert Path("/etc/passwd").exists()
