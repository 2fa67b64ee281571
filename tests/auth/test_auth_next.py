"""Who logs in gets where they wanted to go, and nobody is sent to another site."""

from __future__ import annotations

import re
from html import unescape

import pytest
from auth_site import RIGHT, Sites, cookies, sites

from reactor.testing import Answer

__all__ = ["sites"]

HTML = {"Accept": "text/html"}


def next_of(answer: Answer) -> str:
    """What the login form of a page would send as `next`; "" if it has no such field."""
    [form] = re.findall(r'<form method="post" action="/login">.*?</form>', answer.text, re.DOTALL)
    found = re.findall(r'<input type="hidden" name="next" value="([^"]*)">', form)
    return unescape(found[0]) if found else ""


def test_a_login_leads_back_to_the_page_that_wanted_it(sites: Sites) -> None:
    site = sites()
    page = site.app.get("/accounts?a=1&b=%22", headers=HTML)
    assert page.status == 401 and next_of(page) == "/accounts?a=1&b=%22"
    answer = site.app.post("/login", form={**RIGHT, "next": next_of(page)}, headers=HTML)
    assert (answer.status, answer.headers["location"]) == (303, "/accounts?a=1&b=%22")
    assert answer.headers["cache-control"] == "no-store"
    assert site.status(cookies(answer)) == 200


def test_it_is_not_forgotten_by_a_mistake_or_by_a_wait(sites: Sites) -> None:
    site = sites()
    answers = [
        site.app.post("/login", form={"username": "admin", "password": "x", "next": "/a"}, headers=HTML)
        for _ in range(10)
    ]
    assert [answer.status for answer in answers] == [401] * 9 + [429]
    assert {next_of(answer) for answer in answers} == {"/a"}


def test_a_link_to_the_login_can_say_it(sites: Sites) -> None:
    assert next_of(sites().app.get("/login?next=%2Faccounts%3Fa%3D1")) == "/accounts?a=1"


@pytest.mark.parametrize("ask", [("GET", "/login"), ("POST", "/accounts"), ("GET", "/whoami")])
def test_without_it_the_index_page_answers_the_login_as_ever(sites: Sites, ask: tuple[str, str]) -> None:
    site = sites()
    goal = next_of(site.app.request(*ask, headers=HTML))
    assert goal == ("/whoami" if ask[1] == "/whoami" else "")
    answer = site.app.post("/login", form=RIGHT)
    assert (answer.status, answer.text) == (200, "the page")


@pytest.mark.parametrize(
    "goal",
    ["https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/a\\..\\b",
     "javascript:alert(1)", "evil.example", "@evil.example", "", " /a", "/a b", "/\t/evil.example", "/\n/evil.example",
     "/a\r\nSet-Cookie: session=x", "/\x00", "/é", "/\u2044evil.example", "/" + "a" * 1001],
)  # fmt: skip
def test_another_site_is_never_where_a_login_leads(sites: Sites, goal: str) -> None:
    site = sites()
    answer = site.app.post("/login", form={**RIGHT, "next": goal})
    assert (answer.status, answer.text) == (200, "the page") and "location" not in answer.headers
    assert next_of(site.app.post("/login", form={"username": "a", "password": "x", "next": goal}, headers=HTML)) == ""


@pytest.mark.parametrize("query", ["//evil.example", "%2F%2Fevil.example", "/%5Cevil.example", "%22%3E%3Cscript%3E",
                                   "/%0D%0ALocation:%20//evil.example", "https://evil.example"])  # fmt: skip
def test_nor_where_a_link_to_the_login_does(sites: Sites, query: str) -> None:
    assert next_of(sites().app.get(f"/login?next={query}")) == ""


def test_what_was_wanted_is_escaped_in_the_page(sites: Sites) -> None:
    wanted = "/accounts?a='&amp;<script>alert(1)</script>"
    page = sites().app.get(wanted, headers=HTML)
    assert page.status == 401 and next_of(page) == wanted
    assert "<script>" not in page.text and "a='" not in page.text


def test_programs_are_sent_nowhere(sites: Sites) -> None:
    site = sites()
    answer = site.app.post("/login", json={**RIGHT, "next": "/accounts"})
    assert answer.status == 200 and answer.json()["username"] == "admin"
    answer = site.app.post("/login", form={**RIGHT, "next": "/accounts"}, headers={"Accept": "application/json"})
    assert answer.status == 200 and answer.json()["username"] == "admin"


def test_the_cookie_of_the_reference_scheme_is_for_one_page_and_leads_nowhere(sites: Sites) -> None:
    site = sites(scheme="reference")
    assert next_of(site.app.get("/accounts", headers=HTML)) == ""
    assert next_of(site.app.get("/login?next=/accounts")) == ""
