"""Wrong logins are slowed down, right ones are cheap, and a user's sessions are bounded, listed and revocable."""

from __future__ import annotations

import sqlite3
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from auth_site import Site, Sites, basic, cookies, sites

from plugins.auth.browsers import browser_name
from plugins.auth.schema import MIGRATIONS
from plugins.auth.store import Expiry, Store
from reactor import Overloaded, Plugin, Response
from reactor.testing import Answer

__all__ = ["sites"]

WRONG = {"username": "admin", "password": "guessed"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

Try = Callable[[Site, str, str], Answer]


def by_form(site: Site, name: str, password: str) -> Answer:
    return site.app.post("/login", form={"username": name, "password": password}, headers={"Accept": "text/html"})


def by_json(site: Site, name: str, password: str) -> Answer:
    return site.app.post("/login", json={"username": name, "password": password})


def by_basic(site: Site, name: str, password: str) -> Answer:
    return site.app.get("/accounts", headers={"Authorization": basic(name, password)})


WAYS = pytest.mark.parametrize("way", [by_form, by_json, by_basic])


def store_of(site: Site) -> Store:
    store: Store = site.app.service("accounts")._state.store
    return store


def count_hashes(site: Site) -> list[str | None]:
    """What is verified from now on."""
    hashed: list[str | None] = []
    passwords = site.app.service("accounts")._passwords
    verify = passwords.verify

    def counting(stored: str | None, secret: bytes) -> bool:
        hashed.append(stored)
        return bool(verify(stored, secret))

    passwords.verify = counting
    return hashed


def set_password(site: Site, name: str, password: str) -> None:
    """As the command line does it, in another process."""
    other = Store(store_of(site).path)
    other.open()
    stored = site.app.service("accounts")._passwords.hash(password.encode())
    if not other.set_password(name, stored, 1.0):
        assert other.add_account(name, stored, 1.0)
    other.close()


# -- delays ----------------------------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_who_is_wrong_too_often_has_to_wait_and_nothing_is_hashed(sites: Sites, way: Try, name: str) -> None:
    site = sites()
    assert [way(site, name, "guessed").status for _ in range(9)] == [401] * 9
    hashed = count_hashes(site)
    answer = way(site, name, "password")
    assert answer.status == 429 and 1 <= int(answer.headers["retry-after"]) <= 2
    assert hashed == []
    assert answer.headers.all("set-cookie") == []


def test_the_ways_share_one_count(sites: Sites) -> None:
    site = sites()
    for _ in range(3):
        assert {way(site, "admin", "guessed").status for way in (by_form, by_json, by_basic)} == {401}
    assert {way(site, "admin", "guessed").status for way in (by_form, by_json, by_basic)} == {429}


def test_people_see_the_form_again_and_programs_json(sites: Sites) -> None:
    site = sites()
    for _ in range(9):
        by_form(site, "admin", "guessed")
    page, data = by_form(site, "admin", "guessed"), by_json(site, "admin", "guessed")
    assert "Too many wrong logins: try again in" in page.text and 'value="admin"' in page.text
    assert data.json()["status"] == "error" and data.json()["error"]["code"] == "too_many_requests"


@WAYS
def test_after_the_wait_the_right_password_is_let_in_and_all_is_forgotten(sites: Sites, way: Try) -> None:
    site = sites()
    for _ in range(9):
        way(site, "admin", "guessed")
    site.app.advance(float(way(site, "admin", "guessed").headers["retry-after"]))
    assert way(site, "admin", "password").status == 200
    assert [way(site, "admin", "guessed").status for _ in range(9)] == [401] * 9


def test_a_guesser_elsewhere_locks_nobody_out(sites: Sites) -> None:
    site = sites()
    set_password(site, "admin", "better")
    site.app.advance(1)
    for _ in range(20):
        site.app.post("/login", form=WRONG, client="192.0.2.7")
    assert site.app.post("/login", form=WRONG, client="192.0.2.7").status == 429
    assert site.app.post("/login", form={"username": "admin", "password": "better"}).status == 200


def test_a_name_that_can_be_nobodys_is_not_counted(sites: Sites) -> None:
    site = sites()
    assert [by_form(site, "a:b", "x").status for _ in range(30)] == [401] * 30


def test_who_finds_the_server_too_busy_has_not_been_wrong(sites: Sites) -> None:
    class Full:
        def run(self, function: object, *args: object) -> object:
            raise Overloaded("too much is waiting")

        def close(self) -> bool:
            return True

    site = sites()
    pool = site.app.app.pools["hash"]
    site.app.app.pools["hash"] = Full()  # type: ignore[assignment]
    assert [by_form(site, "admin", "guessed").status for _ in range(30)] == [503] * 30
    site.app.app.pools["hash"] = pool
    assert by_form(site, "admin", "password").status == 200


def test_a_session_goes_on_while_logins_wait(sites: Sites) -> None:
    site = sites()
    cookie = site.login()
    for _ in range(20):
        by_form(site, "admin", "guessed")
    assert site.status(cookie) == 200


def test_delays_outlive_a_reload(sites: Sites) -> None:
    site = sites()
    for _ in range(9):
        by_form(site, "admin", "guessed")
    site.app.reload(site.sections({"realm": "other"}))
    assert by_form(site, "admin", "guessed").status == 429


# -- the same time, and a login that is cheap --------------------------------------------------------------------------


@WAYS
def test_a_name_that_nobody_has_costs_the_same_hash(sites: Sites, way: Try) -> None:
    site = sites(remember="0")
    hashed = count_hashes(site)
    assert way(site, "nobody", "x").status == way(site, "admin", "x").status == 401
    assert way(site, "admin", "password").status == 200
    assert len(hashed) == 3 and hashed[0] is None and hashed[1]


@WAYS
def test_a_login_that_was_right_a_moment_ago_costs_no_hash(sites: Sites, way: Try) -> None:
    site = sites()
    assert way(site, "admin", "password").status == 200
    hashed = count_hashes(site)
    for again in (by_form, by_json, by_basic):
        assert again(site, "admin", "password").status == 200
    assert hashed == []
    assert way(site, "admin", "guessed").status == 401 and len(hashed) == 1
    site.app.advance(300)
    assert way(site, "admin", "password").status == 200 and len(hashed) == 2


@WAYS
def test_a_password_changed_by_another_process_is_forgotten_within_a_second(sites: Sites, way: Try) -> None:
    site = sites()
    assert way(site, "admin", "password").status == 200
    set_password(site, "admin", "better")
    site.app.advance(1)
    assert way(site, "admin", "password").status == 401
    assert way(site, "admin", "better").status == 200


@WAYS
def test_an_account_removed_by_another_process_is_too(sites: Sites, way: Try) -> None:
    site = sites()
    set_password(site, "ann", "secret")
    assert way(site, "ann", "secret").status == 200
    other = Store(store_of(site).path)
    other.open()
    other.remove_account("ann")
    other.close()
    site.app.advance(1)
    assert way(site, "ann", "secret").status == 401


def test_a_session_is_never_started_on_the_word_of_an_old_password(sites: Sites) -> None:
    site = sites()
    assert by_form(site, "admin", "password").status == 200
    set_password(site, "admin", "better")
    assert by_form(site, "admin", "password").status == 401  # at once, not within a second
    assert by_basic(site, "admin", "password").status == 401  # and now nothing is remembered


def test_a_password_that_changes_while_it_is_hashed_is_not_remembered(sites: Sites) -> None:
    site = sites()
    passwords = site.app.service("accounts")._passwords
    verify = passwords.verify

    def slow(stored: str | None, secret: bytes) -> bool:
        passwords.verify = verify
        right = bool(verify(stored, secret))
        set_password(site, "admin", "better")
        site.app.reactor.spawn(site.app.service("sessions").follow())
        site.app.reactor.settle()
        return right

    passwords.verify = slow
    assert by_basic(site, "admin", "password").status == 200  # it was right when it was asked
    assert by_basic(site, "admin", "password").status == 401


def test_other_changes_on_the_disk_forget_nobody(sites: Sites) -> None:
    site = sites()
    by_basic(site, "admin", "password")
    set_password(site, "ann", "secret")
    site.app.advance(1)
    hashed = count_hashes(site)
    assert by_basic(site, "admin", "password").status == 200 and hashed == []


# -- sessions: bounded, listed, revoked ------------------------------------------------------------------------------


def listed(site: Site, **headers: str) -> list[dict[str, Any]]:
    answer = site.app.get("/sessions", headers=headers)
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    sessions: list[dict[str, Any]] = answer.json()["sessions"]
    return sessions


def test_my_sessions_are_listed_with_where_they_are_from(sites: Sites) -> None:
    site = sites()
    set_password(site, "admin", "better")
    site.app.advance(1)
    right = {"username": "admin", "password": "better"}
    there = cookies(site.app.post("/login", form=right, headers={"User-Agent": FIREFOX}, client="192.0.2.7"))
    site.app.advance(120)
    here = cookies(site.app.post("/login", form=right))
    first, second = listed(site, Cookie=here)
    assert first["current"] and not second["current"]
    assert (first["address"], first["browser"]) == ("127.0.0.1", "")
    assert (second["address"], second["browser"]) == ("192.0.2.7", "Firefox on Linux")
    assert first["since"] - second["since"] == 120
    assert len(first["id"]) == 12 and first["id"] not in here and second["id"] not in there
    site.app.advance(30)
    assert site.status(there) == 200
    assert [session["current"] for session in listed(site, Cookie=there)] == [True, False]
    assert listed(site, Authorization=basic("admin", "better"))[0]["current"] is False


def test_only_who_has_an_account_sees_sessions_and_only_their_own(sites: Sites) -> None:
    site = sites(guests="loopback")
    set_password(site, "ann", "secret")
    site.login()
    ann = site.login({"username": "ann", "password": "secret"})
    assert [session["current"] for session in listed(site, Cookie=ann)] == [True]
    assert site.app.get("/sessions").status == 401
    assert site.app.get("/sessions", headers={"Cookie": site.guest("eve")}).status == 401


def revoke(site: Site, cookie: str, **body: object) -> Answer:
    return site.app.post("/sessions/revoke", json=body, headers={"Cookie": cookie})


def test_one_session_is_revoked_by_its_id(sites: Sites) -> None:
    site = sites()
    here, there = site.login(), site.login()
    other = next(session["id"] for session in listed(site, Cookie=here) if not session["current"])
    heard: list[str] = []
    site.watch(heard, "/accounts", Cookie=there)
    assert revoke(site, here, id=other).json() == {"status": "success", "revoked": 1}
    assert (site.status(here), site.status(there)) == (200, 401)
    assert heard == ["revoked"]
    assert revoke(site, here, id=other).status == 404


def test_all_others_or_all_are_revoked(sites: Sites) -> None:
    site = sites()
    one, two, three = site.login(), site.login(), site.login()
    assert revoke(site, one, others=True).json()["revoked"] == 2
    assert [site.status(cookie) for cookie in (one, two, three)] == [200, 401, 401]
    site.login()
    assert revoke(site, one, all=True).json()["revoked"] == 2
    assert site.status(one) == 401


def test_a_form_revokes_too(sites: Sites) -> None:
    site = sites()
    one, two = site.login(), site.login()
    answer = site.app.post("/sessions/revoke", form={"others": "true"}, headers={"Cookie": one})
    assert answer.json()["revoked"] == 1 and site.status(two) == 401


@pytest.mark.parametrize(
    "body", [{}, {"all": True, "others": True}, {"id": "x", "all": True}, {"all": "yes"}, {"id": 5}]
)
def test_what_is_to_be_revoked_has_to_be_said_once(sites: Sites, body: dict[str, object]) -> None:
    site = sites()
    cookie = site.login()
    assert revoke(site, cookie, **body).status == 400
    assert site.status(cookie) == 200


def test_nobody_revokes_the_sessions_of_others(sites: Sites) -> None:
    site = sites()
    set_password(site, "ann", "secret")
    admin, ann = site.login(), site.login({"username": "ann", "password": "secret"})
    of_admin = listed(site, Cookie=admin)[0]["id"]
    assert revoke(site, ann, id=of_admin).status == 404
    assert revoke(site, ann, others=True).json()["revoked"] == 0
    assert site.status(admin) == 200
    store = store_of(site)
    digests = [line.digest for line in store.sessions_of("admin", Expiry(0.0, 0.0))]
    assert store.revoke_sessions("ann", digests) == 0


def test_another_site_revokes_nothing(sites: Sites) -> None:
    site = sites()
    cookie = site.login()
    headers = {"Cookie": cookie, "Origin": "http://evil.example"}
    assert site.app.post("/sessions/revoke", form={"all": "true"}, headers=headers).status == 403
    known = {"Authorization": basic("admin", "password"), "Sec-Fetch-Site": "cross-site"}
    assert site.app.post("/sessions/revoke", form={"all": "true"}, headers=known).status == 403
    assert site.status(cookie) == 200


def test_what_another_process_revokes_ends_here_within_a_second(sites: Sites) -> None:
    one, two = sites(), sites()
    cookie = one.login()
    assert two.status(cookie) == 200
    assert revoke(one, cookie, all=True).json()["revoked"] == 1
    two.app.advance(1)
    assert two.status(cookie) == 401


def test_over_the_bound_the_one_that_was_used_least_recently_goes(sites: Sites) -> None:
    site = sites(max_sessions="3")
    cookies = []
    for _ in range(3):
        cookies.append(site.login())
        site.app.advance(100)
    assert site.status(cookies[0]) == 200
    heard: list[str] = []
    site.watch(heard, "/accounts", Cookie=cookies[1])
    site.app.advance(70)  # the use is written down by then
    assert site.status(cookies[0]) == 200
    site.app.advance(1)
    newest = site.login()
    site.app.advance(1)
    assert [site.status(cookie) for cookie in [*cookies, newest]] == [200, 200, 401, 200] and heard == []


def test_a_session_that_makes_room_says_so(sites: Sites) -> None:
    site = sites(max_sessions="1")
    heard: list[str] = []
    old = site.login()
    site.watch(heard, "/accounts", Cookie=old)
    site.app.advance(100)
    new = site.login()
    site.app.advance(1)
    assert (site.status(old), site.status(new), heard) == (401, 200, ["displaced"])


def test_the_bound_is_of_each_account(sites: Sites) -> None:
    site = sites(max_sessions="1")
    set_password(site, "ann", "secret")
    cookies = [site.login(), site.login({"username": "ann", "password": "secret"})]
    site.app.advance(1)
    assert [site.status(cookie) for cookie in cookies] == [200, 200]


def test_sessions_from_before_the_list_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    with sqlite3.connect(path, isolation_level=None) as db:
        for statements in MIGRATIONS[:2]:
            for statement in statements:
                db.execute(statement)
        db.execute("PRAGMA user_version = 2")
        db.execute("INSERT INTO accounts VALUES ('ann', 'hash', 1.0)")
        db.execute("INSERT INTO sessions (digest, name, created, last_used) VALUES (x'01', 'ann', 2.0, 3.0)")
    db.close()
    store = Store(path)
    store.open()
    assert store.sessions_of("ann", Expiry(0.0, 0.0)) == [(b"\1", 2.0, 3.0, "", "")]
    store.close()


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0",
         "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
         "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Version/17.0 Safari/604.1",
         "Safari on iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("python-requests/2.32 (evil)", "python-requests/2.32"),
        ("", ""),
        ("\xff\x1b[31m" + "x" * 500, "?[31m" + "x" * 35),
    ],
)  # fmt: skip
def test_a_browser_is_called_by_a_short_name(agent: str, name: str) -> None:
    assert browser_name(agent) == name


# -- what browsers are told ------------------------------------------------------------------------------------------

EVERYWHERE = {
    "x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN", "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}  # fmt: skip


def shields(answer: Answer) -> dict[str, list[str]]:
    return {name: answer.headers.all(name) for name in EVERYWHERE}


@pytest.mark.parametrize("target", ["/login", "/accounts", "/nothing", "/all", "/whoami"])
def test_every_answer_tells_browsers_what_not_to_do(sites: Sites, target: str) -> None:
    site = sites()
    for accept in ("text/html", "application/json"):
        answer = site.app.get(target, headers={"Accept": accept})
        assert shields(answer) == {name: [value] for name, value in EVERYWHERE.items()}
    assert "strict-transport-security" not in answer.headers


def test_our_own_pages_have_a_policy_without_scripts(sites: Sites) -> None:
    site = sites(guests="loopback")
    html = {"Accept": "text/html"}
    pages = [
        site.app.get("/login", headers=html), site.app.get("/accounts", headers=html), by_form(site, "admin", "wrong"),
        site.app.post("/logout", headers=html), site.app.get("/nothing", headers=html),
        site.app.post("/guest", form={"name": ""}, headers=html), *[by_form(site, "ann", "x") for _ in range(10)],
    ]  # fmt: skip
    assert [page.status for page in pages[:6]] == [200, 401, 401, 200, 404, 400] and pages[-1].status == 429
    for page in pages:
        policies = page.headers.all("content-security-policy")
        assert len(policies) == 1 and "default-src 'none'" in policies[0] and "frame-ancestors 'none'" in policies[0]
        assert "script-src" not in policies[0] and "unsafe" not in policies[0]


def test_an_answer_that_says_it_itself_keeps_its_own_and_gets_the_rest(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    def setup(plugin: Plugin, options: None) -> None:
        own = [("X-Frame-Options", "DENY"), ("referrer-policy", "no-referrer")]
        plugin.route("GET", "/own", lambda request: Response("", 200, own))

    module = types.ModuleType("shielded_for_tests")
    module.setup = setup  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shielded_for_tests", module)
    site = sites()
    site.app.reload({**site.sections({}), "plugin:shielded": {"use": "shielded_for_tests"}})
    for _ in range(2):
        told = shields(site.app.get("/own"))
        assert told["x-frame-options"] == ["DENY"] and told["referrer-policy"] == ["no-referrer"]
        assert told["x-content-type-options"] == ["nosniff"]
