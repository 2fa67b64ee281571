"""What somebody may try against the login who knows how it is made; test_auth_delays.py has the delays."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from auth_site import RIGHT, Sites, basic, cookies, sites

from plugins.auth import store as store_module
from plugins.auth.store import Store
from reactor import StartError
from reactor.config import load
from reactor.core.offload import Pool
from reactor.testing import TestApp

__all__ = ["sites"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:9000"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
]  # fmt: skip
KINDS = ["application/x-www-form-urlencoded", "application/json", "text/plain", "multipart/form-data; boundary=x", ""]


def guess(app: TestApp, name: str = "ann", client: str = "192.0.2.7", password: str = "guessed", **headers: str) -> int:
    form = {"username": name, "password": password}
    return app.post("/login", form=form, client=client, headers=headers).status


def open_to_all(app: TestApp, name: str = "ann") -> TestApp:
    """Take the demo login away, which lets nobody in from elsewhere, and give `name` an account."""
    state = app.service("accounts")._state
    state.store.remove_account("admin")
    state.store.add_account(name, app.service("accounts")._passwords.hash(b"secret"), 1.0)
    state.demo_unsure = True
    app.advance(1)
    return app


# -- around the delays -----------------------------------------------------------------------------------------------


def test_spellings_of_one_name_share_one_count(sites: Sites) -> None:
    app = open_to_all(sites().app, "zoë")
    spellings = [unicodedata.normalize(form, "zoë") for form in ("NFC", "NFD")]
    assert len(set(spellings)) == 2
    assert [guess(app, spellings[number % 2]) for number in range(9)] == [401] * 9
    assert {guess(app, spelling) for spelling in spellings} == {429}


@pytest.mark.parametrize("other", ["ANN", "Ann", " ann", "ann ", "ann\t", "ann\u200b", "ａnn", "ann\x00"])
def test_a_name_that_only_looks_the_same_is_nobodys(sites: Sites, other: str) -> None:
    app = open_to_all(sites().app)
    assert (guess(app, other, password="secret"), guess(app, "ann", password="secret")) == (401, 200)


@pytest.mark.parametrize("field", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "Client-IP"])
def test_forwarding_headers_make_nobody_a_newcomer(sites: Sites, field: str) -> None:
    app = open_to_all(sites().app)
    statuses = [guess(app, **{field: f"for=198.51.100.{n}" if field == "Forwarded" else f"198.51.100.{n}"})
                for n in range(10)]  # fmt: skip
    assert statuses == [401] * 9 + [429]


def test_behind_a_trusted_proxy_each_client_is_counted_and_none_chooses_who_it_is(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("the page")
    server = {"trusted_proxies": "10.0.0.9"}
    with TestApp({"plugin:auth": {}}, state_dir=tmp_path / "var", directory=tmp_path, server=server) as app:
        open_to_all(app)
        through = [
            guess(app, client="10.0.0.9", **{"X-Forwarded-For": f"198.51.100.{n}, 192.0.2.7"}) for n in range(10)
        ]
        assert through == [401] * 9 + [429]
        assert guess(app, client="10.0.0.9", password="secret", **{"X-Forwarded-For": "192.0.2.8"}) == 200


def test_who_leaves_before_the_answer_has_guessed(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    app = sites().app
    monkeypatch.setattr(Pool, "_start_thread", lambda pool: None)  # the thread is busy all the time
    idle = app.app.pools["hash"]
    app.app.pools["hash"] = app.app._start_pool("hash")
    body = b"username=admin&password=wrong"
    for _ in range(9):
        transport = app.connect()
        transport.feed(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        app.reactor.settle()
        transport.abort()
        app.reactor.settle()
    app.app.pools["hash"] = idle
    assert guess(app, "admin", "127.0.0.1", password="password") == 429


def test_somebody_with_a_session_or_elsewhere_is_not_locked_out(sites: Sites) -> None:
    app = open_to_all(sites().app)
    form = {"username": "ann", "password": "secret"}
    cookie = cookies(app.post("/login", form=form, client="192.0.2.7"))
    while guess(app) == 401:  # from her own network: somebody behind the same router
        pass
    assert app.get("/accounts", headers={"Cookie": cookie}, client="192.0.2.7").status == 200
    assert guess(app, password="secret") == 429  # but a new login from there has to wait
    assert guess(app, client="198.51.100.1", password="secret") == 200


# -- other sites -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestApp]:
    """The server as `config.ini` has it, with guests."""
    sections = {section.name: section.values for section in load(ROOT / "config.ini").plugins}
    sections["plugin:auth"] = {**sections["plugin:auth"], "guests": "loopback"}
    sections["plugin:status"] = {}
    with TestApp(sections, state_dir=tmp_path_factory.mktemp("whole") / "var", directory=ROOT) as app:
        yield app


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: " ".join(*page.items()))
def test_another_site_changes_nothing_on_any_route(whole: TestApp, page: dict[str, str], kind: str) -> None:
    cookie = cookies(whole.post("/login", form=RIGHT))
    asked = 0
    for route in whole.app.generation.site.router.routes:
        path = route.pattern.replace("[/]", "").replace("{path...}", "x")
        for method in set(route.methods) - {"GET", "HEAD", "OPTIONS"}:
            headers = {**page, "Cookie": cookie, "Host": "localhost:8000"}
            answer = whole.request(method, path, body=b'{"all": true}', content_type=kind, headers=headers)
            assert (answer.status, answer.headers.all("set-cookie")) == (403, []), f"{method} {path}"
            asked += 1
    assert asked > 12
    assert whole.get("/whoami", headers={"Cookie": cookie}).status == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/login", "/guest"])
def test_another_site_logs_nobody_in_even_without_a_cookie(whole: TestApp, path: str, kind: str) -> None:
    for body in (
        b"username=admin&password=password&name=eve",
        b'{"username":"admin","password":"password","name":"e"}',
    ):
        for page in PAGES:
            answer = whole.post(path, body=body, content_type=kind, headers=page)
            assert (answer.status, answer.headers.all("set-cookie")) == (403, [])


# -- cookies ---------------------------------------------------------------------------------------------------------


def test_a_cookie_that_no_neighbour_can_plant_may_be_asked_for(sites: Sites) -> None:
    """`__Host-` (RFC 6265bis 4.1.3.2): browsers take it only with Secure, with Path=/ and without Domain."""
    site = sites(cookie="__Host-session")
    [_, cookie] = site.app.post("/login", form=RIGHT, secure=True).headers.all("set-cookie")
    attributes = cookie.split("; ")
    assert attributes[0].startswith("__Host-session=") and {"Secure", "Path=/", "HttpOnly"} < set(attributes)
    assert not [attribute for attribute in attributes if attribute.startswith("Domain")]


@pytest.mark.parametrize("text", ["session=", "session=" + "é" * 43, 'session="' + "a" * 43 + '"', "session", "=;;,"])
def test_a_cookie_that_is_none_of_ours_opens_nothing_and_breaks_nothing(sites: Sites, text: str) -> None:
    site = sites()
    assert site.status(text) == 401
    assert site.status(f"x={text}; {site.login()}") == 200
    assert not [line for line in site.app.log_lines if "Traceback" in line]


@pytest.mark.parametrize(
    "text",
    [
        "Basic",
        "Basic !",
        "Basic YWRtaW4=",
        "Basic /zr/",
        "Bearer YWRtaW46cGFzc3dvcmQ=",
        basic("admin", "password\r\nSet-Cookie: a=b"),
        basic("admin\x00", "password"),
    ],
)
def test_a_basic_login_that_is_none_opens_nothing_and_breaks_nothing(sites: Sites, text: str) -> None:
    site = sites()
    assert site.app.get("/accounts", headers={"Authorization": text}).status == 401
    assert not [line for line in site.app.log_lines if "Traceback" in line]


# -- a store that fails ----------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds the file locked does not wait for it."""
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.0)


def lock(directory: Path) -> sqlite3.Connection:
    """As a stuck program does, or a person in a shell."""
    holder = sqlite3.connect(directory / "var" / "auth.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def test_a_first_start_with_a_locked_file_says_so_once_and_has_no_traceback(tmp_path: Path, impatient: None) -> None:
    (tmp_path / "index.html").write_text("the page")
    store = Store(tmp_path / "var" / "auth.db")
    store.open()
    store.close()
    holder = lock(tmp_path)
    app = TestApp({"plugin:auth": {"index": "index.html"}}, state_dir=tmp_path / "var", directory=tmp_path)
    with pytest.raises(StartError, match=r"auth\.db is locked by another program: end that, then try again"):
        app.__enter__()
    assert app.log_lines == []  # the program writes the StartError
    app.__exit__(None, None, None)
    holder.close()


def test_while_the_file_is_locked_sessions_go_on_and_a_stop_has_no_traceback(
    sites: Sites, tmp_path: Path, impatient: None
) -> None:
    site = sites()
    cookie = site.login()
    holder = lock(tmp_path)
    site.app.advance(30)
    assert site.status(cookie) == 200
    assert [site.app.post(path, form=RIGHT, headers={"Cookie": cookie}).status for path in ("/login", "/logout")] == [
        503, 503
    ]  # fmt: skip
    assert site.app.get("/accounts", headers={"Authorization": basic("admin", "password")}).status == 200
    site.app.reload(site.sections({}))
    site.app.advance(5)
    assert site.status(cookie) == 200
    site.app.__exit__(None, None, None)
    errors = [line for line in site.app.log_lines if "error" in line.lower() or "Traceback" in line]
    assert errors and all("nobody can log in" in line and "is locked by another program" in line for line in errors)
    holder.close()


def test_who_was_there_all_the_time_is_not_taken_for_idle_when_the_file_can_be_written_again(
    sites: Sites, tmp_path: Path, impatient: None
) -> None:
    site = sites(session_ttl="600")
    cookie, left = site.login(), site.login()
    holder = lock(tmp_path)
    for _ in range(80):
        site.app.advance(9.9)
        assert site.status(cookie) == 200
    holder.close()
    site.app.reactor.spawn(site.app.service("sessions").expire())  # before the next look that would have saved it
    site.app.reactor.settle()
    site.app.advance(70)
    assert (site.status(cookie), site.status(left)) == (200, 401)
    store: Store = site.app.service("accounts")._state.store
    assert len(store.sessions_of("admin", store_module.Expiry(0.0, 0.0))) == 1


def test_while_nothing_can_be_written_my_sessions_are_listed(sites: Sites, tmp_path: Path, impatient: None) -> None:
    site = sites()
    cookie = site.login()
    holder = lock(tmp_path)
    site.app.advance(70)
    assert site.status(cookie) == 200  # a use that waits to be written down
    answer = site.app.get("/sessions", headers={"Cookie": cookie})
    assert answer.status == 200 and len(answer.json()["sessions"]) == 1
    holder.close()


# -- processes that share a state directory -------------------------------------------------------------------------


def test_a_process_that_lets_no_guests_in_ends_those_of_all_when_it_starts(sites: Sites) -> None:
    one = sites(guests="loopback")
    before = one.guest("ann")
    other = sites()
    other.app.advance(1)
    one.app.advance(1)
    assert one.status(before, "/people") == 401
    after = one.guest("ann")
    other.app.advance(120)
    assert one.status(after, "/people") == 200  # it looks once
    assert other.status(after, "/people") == 401  # and never lets them in itself
