"""Which status an error stands for, and the page or the JSON that tells it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from reactor.errors import (
    ConfigError,
    ConnectionLost,
    DialError,
    HTTPError,
    LocalProtocolError,
    Overloaded,
    ReactorError,
    RemoteProtocolError,
    StartError,
)
from reactor.http.message import Response
from reactor.http.pages import as_http_error, error_response
from reactor.sansio.head import REASONS, RequestHead
from reactor.sansio.headers import Headers

STATUSES = [
    (HTTPError(418, "a teapot"), 418, "a teapot"),
    (RemoteProtocolError("a bad line"), 400, "a bad line"),
    (RemoteProtocolError("too long", 431), 431, "too long"),
    (Overloaded("full"), 503, "full"),
    (DialError("10.0.0.7:80 refuses"), 502, "the server behind this one cannot be reached"),
    (ConnectionLost("10.0.0.7:80 has closed"), 502, "the server behind this one cannot be reached"),
    (TimeoutError("10.0.0.7"), 504, "the server behind this one did not answer in time"),
]
OURS = [LocalProtocolError("x"), StartError("x"), ConfigError("x"), ReactorError("x"), ValueError("x"), OSError("x")]


@pytest.mark.parametrize(("error", "status", "message"), STATUSES)
def test_an_error_of_the_network_or_the_load_has_its_status(error: Exception, status: int, message: str) -> None:
    told = as_http_error(error)
    assert told is not None
    assert (told.status, told.message) == (status, message)


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_a_fault_of_ours_has_none(error: Exception) -> None:
    assert as_http_error(error) is None


def test_an_http_error_is_told_as_it_is() -> None:
    error = HTTPError(401, "who are you", [("WWW-Authenticate", "Basic")])
    assert as_http_error(error) is error


def test_overload_says_when_to_come_again() -> None:
    told = as_http_error(Overloaded("full", retry_after=7))
    assert told is not None
    assert told.headers == (("Retry-After", "7"),)


def page_of(error: HTTPError) -> Response:
    return error_response(error, RequestHead("GET", "/x", Headers([("host", "a"), ("accept", "text/html")])))


def test_the_page_says_what_is_wrong_and_what_to_do() -> None:
    page = page_of(HTTPError(404, "there is nothing at this address")).body.decode()
    assert "404</p>\n<h1>Not Found</h1>\n<p>There is nothing at this address.</p>\n<p>Check the address" in page


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_page_says_that_it_is_not_the_fault_of_who_sees_it(status: int) -> None:
    assert f"<h1>{REASONS[status]}</h1>\n<p>Nothing is wrong on your side. " in page_of(HTTPError(status)).body.decode()


def test_what_a_message_says_is_text_and_ends_as_a_sentence() -> None:
    page = page_of(HTTPError(400, "is <b> a name?")).body.decode()
    assert "<h1>Bad Request</h1>\n<p>Is &lt;b&gt; a name?</p>\n<p class" in page


def test_the_page_needs_nothing_from_a_server_that_may_not_answer() -> None:
    answer = page_of(HTTPError(502))
    page = answer.body.decode()
    assert re.findall(r"<link|<script|<img|@import|url\(|\bsrc=|\bstyle=|\bon\w+=", page) == []
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in dict(answer.headers)["Content-Security-Policy"]


def test_the_page_has_the_colours_of_the_others() -> None:
    def colours(style: str) -> tuple[set[str], ...]:
        return tuple(set(re.findall(r"--\w+: #\w+", half)) for half in style.split("prefers-color-scheme: dark"))

    base = (Path(__file__).resolve().parents[2] / "www/assets/base.css").read_text()
    own = colours(page_of(HTTPError(404)).body.decode())
    assert [len(names) for names in own] == [6, 6]
    assert all(names <= known for names, known in zip(own, colours(base), strict=True))
