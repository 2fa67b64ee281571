"""Which status an error stands for, and the page or the JSON that tells it."""

from __future__ import annotations

import re

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
from reactor.http.pages import as_http_error, error_response
from reactor.sansio.head import RequestHead
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


def test_the_page_says_all_without_style_or_script_and_needs_no_file_of_the_site() -> None:
    head = RequestHead("GET", "/x", Headers([("host", "a"), ("accept", "text/html")]))
    page = error_response(HTTPError(404, "there is nothing at this address"), head).body.decode()
    assert "404</p>\n<h1>Not Found</h1>\n<p>There is nothing at this address</p>" in page
    assert re.findall(r"<style|<script|<img|\bstyle=|\bon\w+=", page) == []
    # The one file that it names is for the looks only: without it the browser's own style holds.
    assert re.findall(r"<link[^>]+>", page) == ['<link rel="stylesheet" href="/assets/style.css">']
