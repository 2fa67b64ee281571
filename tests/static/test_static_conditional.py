"""Conditions and ranges as tables: the fields of a request, what is known of the file, the verdict."""

from __future__ import annotations

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.static.conditional import SAME, WHOLE, Validators, Verdict, format_date, judge, parse_date
from plugins.static.ranges import GAP, MOST, Span, parse_ranges
from reactor.errors import HTTPError

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
SECONDS = 784111777
FILE = Validators('"v1"', SECONDS)
PART = Verdict(206, (Span(0, 10),))

VERDICTS = [
    ({}, WHOLE),
    ({"if-none-match": '"v1"'}, SAME),
    ({"if-none-match": 'W/"v1"'}, SAME),
    ({"if-none-match": '"a", W/"v1" , "b"'}, SAME),
    ({"if-none-match": '"a,b","v1"'}, SAME),
    ({"if-none-match": "*"}, SAME),
    ({"if-none-match": '"v2"'}, WHOLE),
    ({"if-none-match": "v1"}, WHOLE),
    ({"if-none-match": '"v1'}, WHOLE),
    ({"if-none-match": 'x"v1x"'}, WHOLE),
    ({"if-none-match": ""}, WHOLE),
    ({"if-none-match": '"v2"', "if-modified-since": DATE}, WHOLE),  # RFC 9110 13.1.3: the tag wins
    ({"if-none-match": '"v1"', "if-modified-since": EARLIER}, SAME),
    ({"if-modified-since": DATE}, SAME),
    ({"if-modified-since": LATER}, SAME),
    ({"if-modified-since": EARLIER}, WHOLE),
    ({"if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT"}, SAME),
    ({"if-modified-since": "Sun Nov  6 08:49:37 1994"}, SAME),
    ({"if-modified-since": "yesterday"}, WHOLE),
    ({"if-modified-since": f"{DATE}, {DATE}"}, WHOLE),  # more than one member
    ({"range": "bytes=0-9"}, PART),
    ({"range": "bytes=0-9", "if-none-match": '"v1"'}, SAME),
    ({"range": "bytes=0-9", "if-range": '"v1"'}, PART),
    ({"range": "bytes=0-9", "if-range": 'W/"v1"'}, WHOLE),  # a weak tag never vouches for bytes
    ({"range": "bytes=0-9", "if-range": '"v2"'}, WHOLE),
    ({"range": "bytes=0-9", "if-range": DATE}, PART),
    ({"range": "bytes=0-9", "if-range": LATER}, WHOLE),  # the same date, not a later one
    ({"range": "bytes=0-9", "if-range": ""}, WHOLE),
    ({"range": "bytes=5000-", "if-range": '"v2"'}, WHOLE),  # ignored before it can be unsatisfiable
    ({"if-range": '"v1"'}, WHOLE),
]


@pytest.mark.parametrize(("fields", "verdict"), VERDICTS)
def test_the_verdict_follows_rfc_9110(fields: dict[str, str], verdict: Verdict) -> None:
    assert judge("GET", fields, FILE, 1000) == verdict


def test_a_range_is_for_get_only() -> None:
    assert judge("HEAD", {"range": "bytes=0-9"}, FILE, 1000) == WHOLE
    assert judge("HEAD", {"range": "bytes=5000-"}, FILE, 1000) == WHOLE


def test_a_file_without_a_date_is_told_apart_by_its_tag_alone() -> None:
    undated = Validators('"v1"', None)
    assert judge("GET", {"if-modified-since": LATER}, undated, 1000) == WHOLE
    assert judge("GET", {"range": "bytes=0-9", "if-range": DATE}, undated, 1000) == WHOLE
    assert judge("GET", {"if-none-match": '"v1"'}, undated, 1000) == SAME


RANGES = [
    ("bytes=0-0", (0, 1)),
    ("bytes=0-99", (0, 100)),
    ("bytes=0-100000", (0, 100)),
    ("bytes=99-", (99, 100)),
    ("bytes=-1", (99, 100)),
    ("bytes=-100", (0, 100)),
    ("bytes=-101", (0, 100)),
    ("Bytes= 10-19 ", (10, 20)),
    ("bytes=0-1,", (0, 2)),  # RFC 9110 5.6.1.2: empty members of a list are nothing
    ("bytes=007-010", (7, 11)),
    # None: as if it were not there
    ("", None),
    ("bytes", None),
    ("bytes=", None),
    ("bytes=-", None),
    ("bytes=5-4", None),
    ("bytes=a-b", None),
    ("bytes=1", None),
    ("bytes=1-2-3", None),
    ("bytes=+1-2", None),
    ("bytes=--1", None),
    ("bytes=0x1-2", None),
    ("bytes=1_0-20", None),
    ("bytes=\u0661-\u0662", None),  # digits of another script, which int() would read
    ("bytes=\xb2-\xb3", None),
    ("bytes = 1-2", None),
    ("bytes=1 -2", None),
    ("lines=1-2", None),
    ("bytes=0-1;3-4", None),
    ("bytes=0-1,x", None),
    ("bytes=,", None),
    ("bytes=0-18446744073709551615", None),
    ("bytes=" + "9" * 5000 + "-", None),
]


@pytest.mark.parametrize(("value", "span"), RANGES)
def test_a_range_is_read_strictly(value: str, span: tuple[int, int] | None) -> None:
    assert parse_ranges(value, 100) == (None if span is None else [Span(span[0], span[1] - span[0])])


@pytest.mark.parametrize(("value", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100),
                                             ("bytes=0-", 0), ("bytes=0-0", 0), ("bytes=-0", 0)])  # fmt: skip
def test_a_range_outside_of_the_file_is_416_and_says_how_long_the_file_is(value: str, size: int) -> None:
    with pytest.raises(HTTPError) as caught:
        parse_ranges(value, size)
    assert caught.value.status == 416
    assert caught.value.headers == (("Content-Range", f"bytes */{size}"),)


def test_the_last_bytes_of_an_empty_file_are_all_of_it() -> None:
    assert parse_ranges("bytes=-5", 0) is None


@given(st.text(alphabet="0123456789-=, bytes", max_size=30), st.integers(0, 10**6))
def test_no_range_leads_out_of_the_file_and_no_byte_is_sent_twice(value: str, size: int) -> None:
    try:
        spans = parse_ranges("bytes=" + value, size) or []
    except HTTPError:
        return
    assert all(0 <= span.start < span.stop <= size for span in spans)
    in_order = sorted(spans)
    assert all(one.stop + GAP < two.start for one, two in pairwise(in_order))


SEVERAL = [
    ("bytes=0-9,500-509", [(0, 10), (500, 10)]),
    ("bytes=500-509, 0-9", [(500, 10), (0, 10)]),  # in the order of the request
    ("bytes=0-9,5-19", [(0, 20)]),
    ("bytes=0-9,30-39", [(0, 40)]),  # closer than the head of a part
    (f"bytes=0-9,{10 + GAP}-", [(0, 1000)]),
    (f"bytes=0-9,{11 + GAP}-", [(0, 10), (11 + GAP, 989 - GAP)]),
    ("bytes=900-,0-0,-100", [(900, 100), (0, 1)]),
    ("bytes=0-9,5000-", [(0, 10)]),  # what lies outside is left out
    ("bytes=0-9,-0", [(0, 10)]),
    ("bytes=" + ",".join(["0-"] * MOST), [(0, 1000)]),
    ("bytes=" + ",".join(["0-"] * (MOST + 1)), None),
    ("bytes=" + "," * 10_000 + "0-", None),
]


@pytest.mark.parametrize(("value", "spans"), SEVERAL)
def test_of_several_ranges_each_byte_is_sent_once(value: str, spans: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(value, 1000) == spans


def test_several_ranges_outside_of_the_file_are_416() -> None:
    with pytest.raises(HTTPError) as caught:
        parse_ranges("bytes=1000-,2000-3000,-0", 1000)
    assert caught.value.status == 416


CHANGED = [
    {"if-match": '"v2"'},
    {"if-match": 'W/"v1"'},  # RFC 9110 13.1.1: compared strongly
    {"if-match": ""},
    {"if-match": '"v2"', "if-none-match": '"v1"'},
    {"if-match": '"v2"', "range": "bytes=5000-"},
    {"if-unmodified-since": EARLIER},
]
UNCHANGED = [
    {"if-match": '"v1"'},
    {"if-match": '"v2", "v1"'},
    {"if-match": "*"},
    {"if-match": '"v1"', "if-unmodified-since": EARLIER},  # 13.1.4: the tag wins
    {"if-unmodified-since": DATE},
    {"if-unmodified-since": LATER},
    {"if-unmodified-since": "yesterday"},
]


@pytest.mark.parametrize("fields", CHANGED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_about_another_version_is_412(fields: dict[str, str], method: str) -> None:
    with pytest.raises(HTTPError) as caught:
        judge(method, fields, FILE, 1000)
    assert caught.value.status == 412


@pytest.mark.parametrize("fields", UNCHANGED)
def test_a_request_about_this_version_goes_on(fields: dict[str, str]) -> None:
    assert judge("GET", fields, FILE, 1000) == WHOLE
    assert judge("GET", {**fields, "if-none-match": '"v1"'}, FILE, 1000) == SAME


DATES = [
    (DATE, SECONDS),
    ("Sunday, 06-Nov-94 08:49:37 GMT", SECONDS),
    ("Sun Nov  6 08:49:37 1994", SECONDS),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ("Tue, 31 Dec 2069 23:59:59 GMT", 3155759999),
    ("Fri, 30 Jun 1972 23:59:60 GMT", 78796799),
    ("Sun, 06 Nov 1994 08:49:37 UTC", None),
    ("Sun, 06 Nov 1994 08:49:37 +0000", None),
    ("Sun, 6 Nov 1994 08:49:37 GMT", None),
    ("Sun, 31 Feb 1994 08:49:37 GMT", None),
    ("Sun, 06 Nov 0000 08:49:37 GMT", None),
    ("Sun, 06 Nov 1994 25:49:37 GMT", None),
    ("sun, 06 nov 1994 08:49:37 gmt", None),
    ("784111777", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "seconds"), DATES)
def test_a_date_is_read_in_the_three_forms_of_rfc_9110_and_no_other(text: str, seconds: int | None) -> None:
    assert parse_date(text) == seconds


@given(st.integers(0, 4_000_000_000))
def test_a_date_that_is_sent_is_read_back(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@pytest.mark.parametrize("piece", ['"a",', '"', 'W/"a" ', 'W/'])
def test_a_long_list_of_tags_costs_linear_time(piece: str) -> None:
    def cost(repeats: int) -> float:
        started = process_time()
        for _ in range(5):
            judge("GET", {"if-none-match": piece * repeats}, FILE, 1000)
        return process_time() - started

    assert min(cost(40_000) for _ in range(3)) < 12 * min(cost(10_000) for _ in range(3)) + 0.01
