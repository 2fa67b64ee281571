"""Who has shown a login once, and holds on to it, hears in time that it is over."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from auth_site import RIGHT, Site, Sites, basic, sites

from plugins.auth.__main__ import main
from plugins.auth.schema import MIGRATIONS
from plugins.auth.sessions import Session
from plugins.auth.store import SessionRow, Store

__all__ = ["sites"]


def store_of(site: Site) -> Store:
    store: Store = site.app.service("accounts")._state.store
    return store


def command(site: Site, monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = "") -> None:
    """As another process would."""
    monkeypatch.setattr("sys.stdin", type("", (), {"isatty": lambda self: False, "readline": lambda self: password})())
    assert main(["--state-dir", str(store_of(site).path.parent), *arguments]) == 0


def test_a_logout_is_heard_once_and_at_once(sites: Sites) -> None:
    site, heard, other = sites(), list[str](), list[str]()
    cookie = site.login()
    site.watch(heard, Cookie=cookie)
    site.watch(other, Cookie=site.login())
    site.app.post("/logout", headers={"Cookie": cookie})
    assert heard == ["logout"]
    site.app.advance(10)
    assert (heard, other) == (["logout"], [])


def test_another_login_in_the_same_browser_replaces_the_first(sites: Sites) -> None:
    site, heard = sites(), list[str]()
    cookie = site.login()
    site.watch(heard, Cookie=cookie)
    site.login(cookie=cookie)
    assert heard == ["replaced"]


def test_who_has_taken_it_off_hears_nothing(sites: Sites) -> None:
    site, heard, stays = sites(), list[str](), list[str]()
    cookie = site.login()
    unwatch = site.watch(heard, Cookie=cookie)
    site.watch(stays, Cookie=cookie)
    unwatch()
    unwatch()
    site.app.post("/logout", headers={"Cookie": cookie})
    assert (heard, stays) == ([], ["logout"])


def test_disuse_is_heard_to_the_second_and_use_moves_it(sites: Sites) -> None:
    site, heard = sites(session_ttl="10m"), list[str]()
    cookie = site.login()
    site.watch(heard, Cookie=cookie)
    site.app.advance(400)
    assert site.status(cookie) == 200
    site.app.advance(500)
    site.app.service("sessions").touch(site.requests[0])
    site.app.advance(599)
    assert heard == []
    site.app.advance(1.1)
    assert heard == ["idle"]
    assert site.status(cookie) == 401
    assert store_of(site).without_session(["admin"]) == ["admin"]


def test_age_is_heard_to_the_second_whatever_the_use(sites: Sites) -> None:
    site, heard = sites(session_ttl="10m", session_max="20m"), list[str]()
    site.watch(heard, Cookie=site.login())
    for _ in range(3):
        site.app.advance(399)
        site.app.service("sessions").touch(site.requests[0])
    assert heard == []
    site.app.advance(3.1)
    assert heard == ["age"]


def test_touching_what_is_over_brings_nothing_back(sites: Sites) -> None:
    site, heard = sites(session_ttl="10m"), list[str]()
    cookie = site.login()
    site.watch(heard, Cookie=cookie)
    site.app.advance(600.1)
    site.app.service("sessions").touch(site.requests[0])
    assert site.status(cookie) == 401
    assert heard == ["idle"]


def test_use_in_another_process_counts(sites: Sites) -> None:
    one, two, heard = sites(session_ttl="10m"), sites(session_ttl="10m"), list[str]()
    cookie = one.login()
    one.watch(heard, Cookie=cookie)
    for _ in range(8):
        for site in (one, two):
            site.app.advance(200)
        assert two.status(cookie) == 200
    two.app.advance(1)
    assert heard == []
    one.app.advance(601)
    assert heard == ["idle"]


@pytest.mark.parametrize(("how", "why"), [("logout", "logout"), ("passwd", "password"), ("remove", "account")])
def test_what_another_process_does_is_heard_within_a_second(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, how: str, why: str
) -> None:
    one, two, heard = sites(), sites(), list[str]()
    cookie = one.login()
    one.watch(heard, Cookie=cookie)
    if how == "logout":
        two.app.post("/logout", headers={"Cookie": cookie})
    else:
        command(one, monkeypatch, how, "admin", password="new\n")
    one.app.advance(1)
    assert heard == [why]


@pytest.mark.parametrize(("how", "why"), [("passwd", "password"), ("remove", "account")])
def test_basic_has_no_session_and_follows_the_account(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, how: str, why: str
) -> None:
    site, heard, gone = sites(), list[str](), list[str]()
    unwatch = site.watch(gone, Authorization=basic(**RIGHT_BASIC))
    site.watch(heard, Authorization=basic(**RIGHT_BASIC))
    unwatch()
    command(site, monkeypatch, "add", "ann", password="x\n")
    site.app.advance(2)
    assert heard == []
    command(site, monkeypatch, how, "admin", password="new\n")
    site.app.advance(1)
    assert (heard, gone) == ([why], [])


RIGHT_BASIC = {"name": RIGHT["username"], "password": RIGHT["password"]}


def test_a_login_that_was_over_before_is_told_as_well(sites: Sites) -> None:
    site, heard, off = sites(), list[str](), list[str]()
    cookie = site.login()
    assert site.app.get("/people", headers={"Cookie": cookie}).status == 200
    site.app.post("/logout", headers={"Cookie": cookie})
    watch = site.app.service("sessions").watch
    watch(site.requests[-1], heard.append)
    watch(site.requests[-1], off.append)()
    assert heard == []
    site.app.reactor.settle()
    assert (heard, off) == (["over"], [])


def test_who_has_passed_no_guard_has_no_login(sites: Sites) -> None:
    site, heard = sites(), list[str]()
    site.watch(heard, "/all", Cookie=site.login())
    site.app.reactor.settle()
    assert heard == ["over"]


def test_the_reference_scheme_has_no_end(sites: Sites) -> None:
    site, heard = sites(scheme="reference"), list[str]()
    site.watch(heard, Cookie="auth=true")
    site.app.advance(3 * 3600)
    assert heard == []


def test_watches_outlive_a_reload_and_follow_its_options(sites: Sites) -> None:
    site, heard = sites(session_ttl="1h"), list[str]()
    cookie = site.login()
    site.watch(heard, Cookie=cookie)
    site.app.reload(site.sections({"session_ttl": "10m"}))
    site.app.advance(599)
    assert heard == []
    site.app.advance(1.1)
    assert heard == ["idle"]


def test_an_end_is_told_though_the_store_fails(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    site, heard = sites(session_ttl="10m"), list[str]()
    site.watch(heard, Cookie=site.login())

    def fail(*args: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store_of(site), "session", fail)
    monkeypatch.setattr(store_of(site), "end_session", fail)
    site.app.advance(600.1)
    assert heard == ["idle"]


def test_a_watched_session_does_not_fall_out_of_memory(sites: Sites) -> None:
    site, heard = sites(), list[str]()
    table = site.app.service("sessions").table
    table.limit = 3
    cookie = site.login()
    site.watch(heard, Cookie=cookie)
    watched = next(iter(table.known))
    for number in range(10):
        table.add(b"%d" % number, Session("ann", 0.0, 0.0))
    assert watched in table.known and len(table.known) == 3
    assert [digest for digest in table.known if digest != watched] == [b"8", b"9"]


def test_the_last_session_of_a_user_is_told_and_no_other(sites: Sites) -> None:
    one, two, heard = sites(), sites(), list[str]()
    stop = one.app.service("sessions").on_user_end(heard.append)
    first, second = one.login(), two.login()
    one.app.post("/logout", headers={"Cookie": first})
    one.app.advance(1)
    assert heard == []
    two.app.post("/logout", headers={"Cookie": second})
    one.app.advance(1)
    assert heard == ["admin"]
    stop()
    one.app.post("/logout", headers={"Cookie": one.login()})
    one.app.advance(1)
    assert heard == ["admin"]


def test_who_logs_in_again_at_once_has_not_left(sites: Sites) -> None:
    site, heard = sites(), list[str]()
    site.app.service("sessions").on_user_end(heard.append)
    cookie = site.login()
    site.app.post("/logout", headers={"Cookie": cookie})
    site.login()
    site.app.advance(2)
    assert heard == []


def test_after_a_restart_it_is_known_who_is_live_and_heard_when_they_leave(sites: Sites) -> None:
    before = sites(session_ttl="10m")
    before.login()
    after, heard = sites(session_ttl="10m"), list[str]()
    sessions = after.app.service("sessions")
    task = after.app.reactor.spawn(sessions.live())
    after.app.reactor.settle()
    assert task.result() == ["admin"]
    sessions.on_user_end(heard.append)
    after.app.advance(14 * 60)  # nobody has shown this session here: it goes when the store is swept
    assert heard == ["admin"]


def test_a_file_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    with sqlite3.connect(path) as db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute("INSERT INTO accounts VALUES ('ann', 'hash', 1.0)")
        db.execute("INSERT INTO sessions VALUES (x'01', 'ann', 2.0, 3.0)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    store = Store(path)
    store.open()
    assert store.session(b"\x01") == SessionRow("ann", 2.0, 3.0)
    store.set_password("ann", "new", 4.0)
    changes = store.changes()
    assert changes is not None and changes.ended == [(b"\x01", "ann", "password")]
    store.close()
