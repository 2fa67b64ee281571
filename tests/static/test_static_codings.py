"""Compressed forms: which one is chosen, that each is a version of its own, and that no stale one is sent."""

from __future__ import annotations

import gzip
from random import Random

import pytest
from static_site import LONG_AGO, Answer, Site

from plugins.static.codings import choose, compressed, is_compressible

TEXT = "body { color: black }\n" * 200
BOTH = ("br", "gzip")

CHOICES = [
    (None, "identity"),
    ("", "identity"),
    ("gzip", "gzip"),
    ("GZIP", "gzip"),
    ("x-gzip", "gzip"),
    ("gzip, deflate, br, zstd", "br"),
    ("br;q=0.5, gzip;q=0.8", "gzip"),
    ("br;q=0.8, gzip;q=0.8", "br"),
    ("br;q=0, gzip", "gzip"),
    ("br;q=0.000", "identity"),
    ("*", "br"),
    ("*;q=0", "identity"),
    ("gzip;q=0, *", "br"),
    ("identity", "identity"),
    ("identity;q=1, gzip;q=0.5", "identity"),
    ("identity;q=0.5, gzip;q=0.5", "gzip"),
    ("identity;q=0", "identity"),
    ("gzip;q=2", "identity"),  # no weight: not well-formed, as if it were not there
    ("gzip;q=0.1234", "identity"),
    ("gzip;level=9", "identity"),
    ("gzip ; q=1", "gzip"),
    ("gzipx", "identity"),
    ("deflate", "identity"),
    (",,gzip", "gzip"),
    ("a," * 40 + "gzip", "identity"),  # a bounded number of members is read
]


@pytest.mark.parametrize(("accept", "coding"), CHOICES)
def test_the_coding_is_the_one_that_the_client_likes_best(accept: str | None, coding: str) -> None:
    assert choose(accept, BOTH) == coding


def test_nothing_to_choose_from() -> None:
    assert choose("gzip", ()) == "identity"


@pytest.mark.parametrize(("kind", "is_text"), [("text/css; charset=utf-8", True), ("image/svg+xml", True),
                                               ("image/png", False), ("application/octet-stream", False)])  # fmt: skip
def test_texts_are_compressed_and_pictures_are_not(kind: str, is_text: bool) -> None:
    assert is_compressible(kind) is is_text


def test_what_is_small_or_does_not_shrink_is_left_as_it_is() -> None:
    assert compressed(b"a" * 1023) is None and compressed(b"a" * 1024) is not None
    assert compressed(b"a" * 300_000) is None
    assert compressed(Random(1).randbytes(4000)) is None
    assert compressed(b"a" * 1024) == compressed(b"a" * 1024), "or its tag would lie"


def vary(answer: Answer) -> tuple[str, str]:
    return answer.headers.get("content-encoding"), answer.headers.get("vary")


def test_a_small_text_is_compressed_for_who_can_unpack_it(site: Site) -> None:
    site.write("assets/style.css", TEXT)
    site.mount("/ www")
    for _ in range(2):  # read, and from the cache
        plain = site.get("/assets/style.css")
        assert (plain.body.decode(), vary(plain)) == (TEXT, ("", "Accept-Encoding"))
        packed = site.get("/assets/style.css", accept_encoding="gzip, br")
        assert vary(packed) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(packed.body).decode() == TEXT
        assert packed.headers["content-type"] == "text/css; charset=utf-8"
        assert packed.headers["etag"] != plain.headers["etag"]


def test_each_form_has_its_own_tag_and_304(site: Site) -> None:
    site.write("assets/style.css", TEXT)
    site.mount("/ www")
    plain, packed = site.get("/assets/style.css"), site.get("/assets/style.css", accept_encoding="gzip")
    for accept, mine, other in (("", plain, packed), ("gzip", packed, plain)):
        same = site.get("/assets/style.css", accept_encoding=accept, if_none_match=mine.headers["etag"])
        assert same.status == 304 and same.headers["vary"] == "Accept-Encoding"
        assert same.headers["etag"] == mine.headers["etag"]
        changed = site.get("/assets/style.css", accept_encoding=accept, if_none_match=other.headers["etag"])
        assert changed.status == 200


def test_parts_are_of_the_file_as_it_is(site: Site) -> None:
    site.write("assets/style.css", TEXT)
    site.mount("/ www")
    part = site.get("/assets/style.css", accept_encoding="gzip", range="bytes=0-3")
    assert (part.status, part.body, vary(part)) == (206, b"body", ("", "Accept-Encoding"))


@pytest.mark.parametrize("size", [1, 4000], ids=["small", "large"])
def test_what_was_compressed_before_is_sent(site: Site, size: int) -> None:
    site.write("app.js", "// js\n" * size)
    site.write("app.js.br", b"by brotli" * size, LONG_AGO + 1)
    site.write("app.js.gz", b"by gzip" * size)
    site.mount("/ www", cache_file=1024)
    for _ in range(2):
        assert site.get("/app.js", accept_encoding="gzip, br").body == b"by brotli" * size
        packed = site.get("/app.js", accept_encoding="gzip")
        assert packed.body == b"by gzip" * size and vary(packed) == ("gzip", "Accept-Encoding")
        assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
        assert site.get("/app.js").body == b"// js\n" * size
        assert site.get("/app.js", accept_encoding="br", range="bytes=0-1").body == b"//"


@pytest.mark.parametrize("size", [1, 4000], ids=["small", "large"])
def test_a_compressed_form_that_is_older_than_its_file_is_not_sent(site: Site, size: int) -> None:
    site.write("app.js", "// new\n" * size)
    site.write("app.js.gz", b"of the old one", LONG_AGO - 1)
    site.mount("/ www", cache_file=1024)
    assert site.get("/app.js", accept_encoding="gzip").body == b"// new\n" * size


def test_a_compressed_form_that_comes_later_is_noticed(site: Site) -> None:
    site.write("app.js", "// js")
    site.mount("/ www")
    assert site.get("/app.js", accept_encoding="br").body == b"// js"
    site.write("app.js.br", b"by brotli", LONG_AGO + 1)
    site.advance(1)
    assert site.get("/app.js", accept_encoding="br").body == b"by brotli"
    (site.www / "app.js.br").unlink()
    site.advance(1)
    assert site.get("/app.js", accept_encoding="br").body == b"// js"


def test_a_compressed_form_is_a_file_of_its_own_too(site: Site) -> None:
    site.write("app.js", "// js")
    site.write("app.js.gz", b"by gzip", LONG_AGO)
    answer = site.mount("/ www").get("/app.js.gz", accept_encoding="gzip")
    assert (answer.body, answer.headers["content-type"], vary(answer)[0]) == (b"by gzip", "application/gzip", "")


def test_a_compressed_form_does_not_lead_out_of_the_folder(site: Site) -> None:
    site.write("app.js", "// js")
    (site.directory / "secret").write_text("secret")
    (site.www / "app.js.gz").symlink_to(site.directory / "secret")
    assert site.mount("/ www").get("/app.js", accept_encoding="gzip").body == b"// js"


def test_a_single_file_is_compressed_too(site: Site) -> None:
    site.write("notes.txt", TEXT)
    site.mount("/notes www/notes.txt")
    assert gzip.decompress(site.get("/notes", accept_encoding="gzip").body).decode() == TEXT
