"""Files as they are served: types, folders, conditions, parts, and the cache that must never be seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from static_site import LONG_AGO, NOW, Site, drain, open_files

from plugins.static import cache, files
from plugins.static.cache import Cache
from plugins.static.media import media_type
from reactor.errors import HTTPError

BIG = bytes(range(256)) * 1024
DATE = "Sun, 13 Sep 2020 12:26:40 GMT"


def test_a_file_comes_with_its_type_its_tag_and_its_date(site: Site) -> None:
    answer = site.mount("/ www").get("/assets/style.css")
    assert (answer.status, answer.body) == (200, b"body {}")
    etag = answer.headers["etag"]
    assert etag.startswith('"') and etag.endswith('"') and len(etag) == 26
    assert dict(answer.headers) == {
        "Content-Type": "text/css; charset=utf-8",
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Last-Modified": DATE,
        "Vary": "Accept-Encoding",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }


def test_behind_a_guard_no_shared_cache_keeps_a_file(site: Site) -> None:
    site.mount("/ www guard=login")
    assert site.get("/").headers["cache-control"] == "private, no-cache"
    assert site.get("/big.bin").headers["cache-control"] == "private, no-cache"
    assert site.get("/assets").headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("target", ["/", "/index.html", "/?a=b", "/index.html?"])
def test_the_index_is_the_page_of_its_folder(site: Site, target: str) -> None:
    site.mount("/ www")
    assert site.get(target).body == b"<h1>home</h1>"
    assert site.get(target).headers["content-type"] == "text/html; charset=utf-8"


def test_the_index_may_have_another_name_and_come_later(site: Site) -> None:
    site.mount("/ www", "/a www/assets index=start.html")
    assert site.get("/a/").status == 404
    site.write("assets/start.html", "start")
    assert site.get("/a/").body == b"start"
    assert site.get("/assets/").status == 404


def test_an_index_that_is_a_folder_is_not_found(site: Site) -> None:
    site.write("odd/index.html/x", "x")
    assert site.mount("/ www").get("/odd/").status == 404


def test_a_single_file_has_one_address(site: Site) -> None:
    site.mount("/favicon.ico www/big.bin", "/start www/index.html")
    assert site.get("/start").body == b"<h1>home</h1>"
    assert site.get("/favicon.ico").body == BIG
    assert site.get("/start").headers["content-type"] == "text/html; charset=utf-8"
    assert site.get("/start/").status == 404
    assert site.get("/start/index.html").status == 404


def test_a_single_file_may_be_the_front_page(site: Site) -> None:
    site.mount("/ www/index.html", "/assets www/assets")
    assert site.get("/").body == b"<h1>home</h1>"
    assert site.get("/index.html").status == 404
    assert site.get("/assets/style.css").status == 200


def test_other_methods_are_told_which_there_are(site: Site) -> None:
    site.mount("/ www")
    for target in ("/", "/big.bin"):
        answer = site.get(target, "POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


# -- folders ----------------------------------------------------------------------------------------------------------

REDIRECTS = [
    ("/assets", "/assets/"),
    ("/assets?a=b&c=%2F", "/assets/?a=b&c=%2F"),
    ("/assets?//evil.example", "/assets/?//evil.example"),
    ("/sub/deep", "/sub/deep/"),
    ("/sub/sp%20ace", "/sub/sp%20ace/"),
    ("/sub/100%25", "/sub/100%25/"),
    ("/sub/gr%C3%BCn", "/sub/gr%C3%BCn/"),
    ("/sub/a:b", "/sub/a:b/"),
    ("/mounted", "/mounted/"),
    ("/mounted?x", "/mounted/?x"),
    ("/mounted/evil.example", "/mounted/evil.example/"),
]


@pytest.mark.parametrize(("target", "location"), REDIRECTS)
def test_a_folder_without_its_slash_redirects_and_keeps_the_query(site: Site, target: str, location: str) -> None:
    for name in ("deep", "sp ace", "100%", "grün", "a:b", "evil.example"):
        (site.www / "sub" / name).mkdir(parents=True)
    answer = site.mount("/ www", "/mounted www/sub").get(target)
    assert (answer.status, answer.headers["location"]) == (301, location)


@pytest.mark.parametrize("target", ["//evil.example", "//evil.example/", "///evil.example", "/%2Fevil.example",
                                    "/\\evil.example", "/%5Cevil.example", "//evil.example/%2e%2e",
                                    "//evil.example/..", "/assets//", "/assets//evil.example/.."])  # fmt: skip
def test_no_redirect_leaves_the_host(site: Site, target: str) -> None:
    (site.www / "evil.example").mkdir()
    answer = site.mount("/ www").get(target)
    assert answer.status == 404
    assert "location" not in answer.headers


# -- conditions and parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/", "/big.bin"])
def test_who_has_the_file_gets_304_with_its_validators(site: Site, target: str) -> None:
    site.mount("/ www")
    whole = site.get(target)
    for fields in ({"if_none_match": whole.headers["etag"]}, {"if_modified_since": DATE}, {"if_none_match": "*"}):
        for _ in range(2):
            answer = site.get(target, **fields)
            assert (answer.status, answer.body) == (304, b"")
            assert dict(answer.headers) == {name: whole.headers[name] for name in
                                            ("ETag", "Cache-Control", "Last-Modified", "Vary")
                                            if name in whole.headers}  # fmt: skip
    assert site.get(target, if_none_match='"other"', if_modified_since=DATE).status == 200


@pytest.mark.parametrize("target", ["/copy.bin", "/big.bin"])
@pytest.mark.parametrize(("value", "start", "stop"), [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20),
                                                      ("bytes=4000-", 4000, None), ("bytes=-7", -7, None)])  # fmt: skip
def test_a_range_gives_these_bytes(site: Site, target: str, value: str, start: int, stop: int | None) -> None:
    small = site.write("copy.bin", BIG[:5000]).read_bytes()
    content = small if target == "/copy.bin" else BIG
    site.mount("/ www")
    for _ in range(2):
        answer = site.get(target, range=value)
        first = start % len(content)
        last = len(content) - 1 if stop is None else stop - 1
        assert (answer.status, answer.body) == (206, content[start:stop])
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(content)}"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.response is not None and answer.response.head.length == len(answer.body)
        assert "etag" in answer.headers and "last-modified" in answer.headers


@pytest.mark.parametrize("target", ["/", "/big.bin"])
def test_a_range_behind_the_end_is_416(site: Site, target: str) -> None:
    site.mount("/ www")
    size = len(site.get(target).body)
    answer = site.get(target, range=f"bytes={size}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("target", ["/", "/big.bin"])
def test_too_many_ranges_and_those_of_another_version_get_the_whole_file(site: Site, target: str) -> None:
    site.mount("/ www")
    whole = site.get(target)
    assert site.get(target, range="bytes=0-1" + ",3-4" * 16).body == whole.body
    assert site.get(target, range="bytes=0-1", if_range='"other"').body == whole.body
    assert site.get(target, range="bytes=0-1", if_range=whole.headers["etag"]).body == whole.body[:2]


@pytest.mark.parametrize("target", ["/", "/big.bin"])
def test_head_has_the_length_of_get(site: Site, target: str) -> None:
    site.mount("/ www")
    size = len(site.get(target).body)
    for fields in ({}, {"range": "bytes=0-1"}):
        response = site.raw(target, "HEAD", **fields)
        drain(response)
        assert (response.status, response.head.length) == (200, size)


def test_a_large_file_that_is_not_sent_is_closed(site: Site) -> None:
    site.mount("/ www")
    before = open_files()
    with pytest.raises(HTTPError):
        site.raw("/big.bin", range="bytes=9999999-")
    assert site.raw("/big.bin", if_none_match="*").status == 304
    assert open_files() == before


def test_a_large_file_is_promised_at_the_size_it_had_when_it_was_opened(site: Site) -> None:
    response = site.mount("/ www").raw("/big.bin")
    assert response.file is not None
    with open(site.www / "big.bin", "ab") as file:
        file.write(b"more")
    assert (response.file.offset, response.file.size, response.head.length) == (0, len(BIG), len(BIG))
    assert drain(response) == BIG


def test_a_large_file_that_is_replaced_while_it_is_sent_stays_the_old_one(site: Site) -> None:
    response = site.mount("/ www").raw("/big.bin")
    site.write("new.bin", b"new").rename(site.www / "big.bin")
    assert drain(response) == BIG


def test_an_empty_file_is_a_file(site: Site) -> None:
    site.write("empty.txt", "")
    site.mount("/ www")
    answer = site.get("/empty.txt")
    assert (answer.status, answer.body) == (200, b"")
    assert site.get("/empty.txt", range="bytes=0-").status == 416
    assert site.get("/empty.txt", range="bytes=-1").status == 200


@pytest.mark.parametrize("mtime", [NOW + 1000, -5])
def test_a_date_that_cannot_be_right_is_not_told(site: Site, mtime: int) -> None:
    site.write("odd.txt", "odd", mtime)
    answer = site.mount("/ www").get("/odd.txt")
    assert "last-modified" not in answer.headers
    assert site.get("/odd.txt", if_none_match=answer.headers["etag"]).status == 304


# -- the cache --------------------------------------------------------------------------------------------------------


def test_a_small_file_is_the_same_response_until_it_changes(site: Site) -> None:
    site.mount("/ www")
    first = site.raw("/")
    site.advance(0.5)
    assert site.raw("/") is first
    site.advance(60)
    assert site.raw("/") is first
    site.write("index.html", "changed", LONG_AGO + 1)
    site.advance(1)
    assert site.get("/").body == b"changed"


def test_within_a_second_the_file_is_not_looked_at(site: Site) -> None:
    site.mount("/ www")
    site.get("/")
    (site.www / "index.html").unlink()
    site.advance(0.9)
    assert site.get("/").status == 200
    site.advance(0.1)
    assert site.get("/").status == 404


@pytest.mark.parametrize("change", ["content", "mtime", "replaced", "removed", "mode", "link", "grown"])
def test_every_change_is_seen_after_a_second(site: Site, change: str) -> None:
    page = site.www / "index.html"
    site.mount("/ www")
    etag = site.get("/").headers["etag"]
    match change:
        case "content":
            page.write_bytes(b"<h1>HOME</h1>")
            os.utime(page, (LONG_AGO, LONG_AGO))  # the same size and mtime: ctime tells
        case "mtime":
            os.utime(page, (LONG_AGO + 1, LONG_AGO + 1))
        case "replaced":
            site.write("new.html", "<h1>new!</h1>").rename(page)
        case "removed":
            page.unlink()
        case "mode":
            page.chmod(0)
        case "link":
            page.unlink()
            page.symlink_to("/etc/passwd")
        case "grown":
            page.write_bytes(BIG)
    site.advance(1)
    answer = site.get("/")
    match change:
        case "content":
            assert answer.body == b"<h1>HOME</h1>"
        case "mtime":
            assert answer.headers["etag"] != etag
        case "replaced":
            assert answer.body == b"<h1>new!</h1>"
        case "removed" | "link":
            assert answer.status == 404
        case "mode":
            assert answer.status == (200 if os.geteuid() == 0 else 403)
        case "grown":
            assert answer.body == BIG


def test_a_file_written_twice_within_a_tick_is_read_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock so coarse that no time differs.
    for module in (cache, files):
        monkeypatch.setattr(module, "identity", lambda of: None if isinstance(of, str) else of.st_ino)
    page = site.write("index.html", "one", NOW)
    site.mount("/ www")
    assert site.get("/").body == b"one"
    page.write_bytes(b"two")
    site.advance(1)
    assert site.get("/").body == b"two"


def test_a_file_that_shrinks_while_it_is_read_is_sent_as_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.mount("/ www")
    look = os.fstat

    def look_and_truncate(descriptor: int) -> os.stat_result:
        status = look(descriptor)
        os.truncate(site.www / "index.html", 4)
        return status

    monkeypatch.setattr(os, "fstat", look_and_truncate)
    answer = site.get("/index.html")
    monkeypatch.undo()
    assert answer.body == b"<h1>"
    assert answer.response is not None and answer.response.head.length == 4
    site.write("index.html", "written")
    site.advance(1)
    assert site.get("/index.html").body == b"written"


def test_different_spellings_and_files_do_not_meet_in_the_cache(site: Site) -> None:
    site.write("a b", "space")
    site.write("a%20b", "escaped")
    site.mount("/ www", "/copy www/assets")
    for _ in range(2):
        assert site.get("/a%20b").body == b"space"
        assert site.get("/a%2520b").body == b"escaped"
        assert site.get("/%69ndex.html").body == b"<h1>home</h1>"
        assert site.get("/copy/style.css").body == b"body {}"


def test_the_cache_keeps_within_its_bytes_and_loses_what_nobody_wants(site: Site) -> None:
    for number in range(20):
        site.write(f"{number}.bin", bytes(10_000))
    site.mount("/ www", cache_size=100_000)
    first = site.raw("/0.bin")
    for number in range(1, 20):
        site.advance(2)
        site.raw(f"/{number}.bin")
        assert site.raw("/0.bin") is first  # asked for all the time
    site.advance(2)
    third = site.raw("/3.bin")
    assert site.raw("/3.bin") is third


def test_a_cache_counts_what_it_holds(site: Site) -> None:
    site.mount("/ www")
    route, _ = site.route("/")
    held: Cache = route.handler._cache  # type: ignore[attr-defined]
    site.get("/")
    site.get("/index.html")
    assert held.used == sum(page.weight for page in held.pages.values()) > 0
    site.get("/big.bin")
    assert set(held.pages) == {"/", "/index.html"}
    for address in list(held.pages):
        held.forget(address)
    assert held.used == 0


@pytest.mark.parametrize("options", [{"cache_size": 0}, {"cache_file": 0}])
def test_all_works_without_a_cache(site: Site, options: dict[str, int]) -> None:
    site.mount("/ www", **options)
    for _ in range(2):
        answer = site.get("/")
        assert (answer.status, answer.body) == (200, b"<h1>home</h1>")
        assert site.get("/", if_none_match=answer.headers["etag"]).status == 304
        assert site.get("/", range="bytes=0-3").body == b"<h1>"


# -- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [
    ("index.html", "text/html; charset=utf-8"), ("INDEX.HTM", "text/html; charset=utf-8"),
    ("app.js", "text/javascript; charset=utf-8"), ("app.min.mjs", "text/javascript; charset=utf-8"),
    ("site.webmanifest", "application/manifest+json"), ("m.wasm", "application/wasm"), ("i.svg", "image/svg+xml"),
    ("i.avif", "image/avif"), ("f.woff2", "font/woff2"), ("d.json", "application/json"),
    ("a.tar.gz", "application/gzip"), ("README", "application/octet-stream"), ("html", "application/octet-stream"),
    ("x.unknown", "application/octet-stream"), ("x.", "application/octet-stream"),
])  # fmt: skip
def test_the_last_ending_decides_the_type(name: str, kind: str) -> None:
    assert media_type(name) == kind


def test_the_type_is_that_of_the_name_that_was_asked_for(site: Site, tmp_path: Path) -> None:
    (site.www / "download").symlink_to("index.html")
    assert site.mount("/ www").get("/download").headers["content-type"] == "application/octet-stream"
