"""Section 1 of the interfaces, sentence by sentence, through the whole server."""

from __future__ import annotations

import base64
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.auth import Options
from reactor import ConfigError, Overloaded, Plugin, Response, StartError
from reactor.core.offload import Pool
from reactor.testing import Answer, TestApp, check_plugin

PAGE = "<h1>the page</h1>"
RIGHT = {"username": "admin", "password": "password"}
WRONG = {"username": "admin", "password": "wrong"}
CHALLENGE = 'Cookie realm="reactor", form-action="/login"'
BASIC_CHALLENGE = 'Basic realm="reactor", charset="UTF-8"'


@pytest.fixture(autouse=True)
def pages_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another plugin with a page behind the guard, as a third party would write it."""

    def setup(plugin: Plugin, options: None) -> None:
        plugin.route("GET", "/", lambda request: Response.html(PAGE), guard="login")
        plugin.route("GET", "/index.html", lambda request: Response.html(PAGE), guard="login")
        plugin.route("POST", "/change", lambda request: Response(request.user or ""), guard="login")
        plugin.route("POST", "/open-change", lambda request: Response("done"), guard="same-origin")

    module = types.ModuleType("pages_for_tests")
    module.setup = setup  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pages_for_tests", module)


Start = Callable[..., TestApp]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an app; several of them share the state directory, as processes would."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text(PAGE)
    running: list[TestApp] = []

    def start(options: dict[str, str] | None = None, **server: str) -> TestApp:
        app = TestApp(sections(options), state_dir=tmp_path / "var", server=server, directory=tmp_path)
        app.__enter__()
        running.append(app)
        return app

    yield start
    for app in running:
        app.__exit__(None, None, None)


def sections(options: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    return {"plugin:auth": options or {}, "plugin:pages": {"use": "pages_for_tests"}}


@pytest.fixture
def app(start: Start) -> TestApp:
    return start()


def login(app: TestApp, form: dict[str, str] | None = None, **more: str) -> str:
    """Logs in; gives the Cookie header for what follows."""
    answer = app.post("/login", form=form or RIGHT, headers=more)
    assert answer.status == 200, answer
    return "; ".join(line.partition(";")[0] for line in answer.headers.all("set-cookie"))


def status(app: TestApp, cookie: str, **headers: str) -> int:
    return app.get("/", headers={"Cookie": cookie, **headers}).status


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def add(app: TestApp, name: str, password: str) -> None:
    """An account from the command line, so to speak."""
    accounts = app.service("accounts")
    stored = accounts._passwords.hash(password.encode())
    assert accounts._state.store.add_account(name, stored, 0.0)


# -- the login -------------------------------------------------------------------------------------------------------


def test_the_plugin_keeps_its_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index.html"
    index.write_text(PAGE)
    check_plugin("plugins.auth", {"index": str(index)}, state_dir=tmp_path)


@pytest.mark.parametrize("path", ["/login", "/login/"])
def test_a_right_login_is_answered_with_both_cookies_and_the_index_page(app: TestApp, path: str) -> None:
    answer = app.post(path, form=RIGHT)
    assert answer.status == 200 and answer.text == PAGE
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    auth, session = answer.headers.all("set-cookie")
    assert auth == "auth=true; Path=/"
    pair, *attributes = session.split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax"]
    name, _, value = pair.partition("=")
    assert name == "session" and len(base64.urlsafe_b64decode(value + "=")) == 32


def test_the_body_of_a_login_may_be_json(app: TestApp) -> None:
    answer = app.post("/login", json=RIGHT)
    assert answer.status == 200 and answer.json() == {"status": "success", "username": "admin"}
    assert len(answer.headers.all("set-cookie")) == 2


def test_json_may_call_itself_text_and_say_more(app: TestApp) -> None:
    body = b'{"username": "admin", "password": "password", "remember": [1]}'
    assert app.post("/login", body=body, content_type="text/plain").json()["status"] == "success"
    assert app.post("/login", body=body).json()["status"] == "success"


@pytest.mark.parametrize("form", [WRONG, {"username": "nobody", "password": "password"}, {"username": "admin"}, {}])
def test_a_wrong_login_is_answered_with_401_and_the_page(app: TestApp, form: dict[str, str]) -> None:
    answer = app.post("/login", form=form)
    assert answer.status == 401
    assert answer.headers.all("www-authenticate") == [CHALLENGE]
    assert answer.headers.all("set-cookie") == []
    assert "do not belong together" in answer.text and 'action="/login"' in answer.text


def test_a_wrong_json_login_is_answered_in_json(app: TestApp) -> None:
    answer = app.post("/login", json=WRONG)
    assert answer.status == 401 and answer.json()["error"]["code"] == "unauthorized"
    assert answer.headers.all("www-authenticate") == [CHALLENGE]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"username": "admin"}', b'{"username": 1, "password": "x"}', b"\xff" * 10,
             b'{"username": "a", "password": "b", "x": ' + b"[" * 15_000],
)  # fmt: skip
def test_json_that_is_no_login_is_400(app: TestApp, body: bytes) -> None:
    assert app.post("/login", body=body, content_type="application/json").status == 400


def test_a_form_may_accept_json(app: TestApp) -> None:
    headers = {"Accept": "application/json"}
    assert app.post("/login", form=RIGHT, headers=headers).json()["username"] == "admin"
    assert app.post("/login", form=WRONG, headers=headers).json()["status"] == "error"
    assert app.get("/", headers=headers).json()["status"] == "error"
    assert app.get("/", headers={"Accept": "text/html, application/json"}).text.startswith("<!doctype html>")


def test_with_a_login_the_page_is_given_and_without_it_the_form(app: TestApp) -> None:
    cookie = login(app)
    for path in ("/", "/index.html"):
        assert app.get(path, headers={"Cookie": cookie}).text == PAGE
        answer = app.get(path)
        assert answer.status == 401 and '<form method="post" action="/login">' in answer.text
        assert answer.headers.all("www-authenticate") == [CHALLENGE]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("PUT", "/login", "GET, HEAD, OPTIONS, POST"), ("DELETE", "/whoami", "GET, HEAD, OPTIONS"),
     ("GET", "/logout", "OPTIONS, POST")],
)  # fmt: skip
def test_a_method_that_a_path_does_not_have_is_405(app: TestApp, method: str, path: str, allow: str) -> None:
    answer = app.request(method, path)
    assert answer.status == 405 and answer.headers["allow"] == allow


def test_the_form_can_be_asked_for(app: TestApp) -> None:
    answer = app.get("/login")
    assert answer.status == 200 and 'name="password"' in answer.text


def test_what_was_typed_comes_back_escaped(app: TestApp) -> None:
    answer = app.post("/login", form={"username": '"><script>alert(1)</script>', "password": "x"})
    assert answer.status == 401 and "<script>" not in answer.text
    assert "&quot;&gt;&lt;script&gt;" in answer.text


def test_the_page_has_no_script_and_nothing_from_elsewhere(app: TestApp) -> None:
    page = app.get("/").text
    assert "<script" not in page and "style=" not in page and "//" not in page.replace("<!doctype", "")


def test_whoami_names_who_is_logged_in(app: TestApp) -> None:
    cookie = login(app)
    for path in ("/whoami", "/whoami/"):
        answer = app.get(path, headers={"Cookie": cookie}).json()
        assert answer == {"status": "success", "username": "admin", "name": "admin", "guest": False}
        assert app.get(path).status == 401


def test_a_changed_index_page_is_seen_within_a_second(app: TestApp, tmp_path: Path) -> None:
    login(app)
    (tmp_path / "www" / "index.html").write_text("another page")
    app.advance(1)
    assert app.post("/login", form=RIGHT).text == "another page"
    (tmp_path / "www" / "index.html").unlink()
    app.advance(1)
    assert app.post("/login", form=RIGHT).text == "another page"


# -- what opens the door ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookie",
    ["auth=true", "auth=true; session=", "auth=true; session=true", "session=admin", "auth=true; session=" + "A" * 43,
     "session=" + "\xff" * 43, "session=" + "x" * 8000, ";;;=;session", 'session="' + "A" * 41 + '"'],
)  # fmt: skip
def test_a_forged_cookie_opens_nothing(app: TestApp, cookie: str) -> None:
    login(app)
    assert status(app, cookie) == 401


def test_the_session_alone_opens_the_door(app: TestApp) -> None:
    auth, session = login(app).split("; ")
    assert status(app, session) == 200
    assert status(app, auth) == 401


def test_each_login_has_an_id_of_its_own(app: TestApp) -> None:
    assert len({login(app) for _ in range(5)}) == 5


def test_the_owner_of_a_session_comes_from_the_session_and_from_nothing_else(app: TestApp) -> None:
    """Defect 3: the originals took it from the body."""
    add(app, "ann", "secret")
    cookie = login(app, {"username": "ann", "password": "secret", "user": "admin", "owner": "admin"})
    for body in (b'{"username": "admin"}', b"username=admin&user=admin"):
        answer = app.post("/change?username=admin", body=body, headers={"Cookie": cookie + "; username=admin"})
        assert answer.text == "ann"


def test_the_first_of_two_names_in_a_form_counts(app: TestApp) -> None:
    add(app, "ann", "secret")
    body = b"username=ann&password=secret&username=admin&password=password"
    answer = app.post("/login", body=body, content_type="application/x-www-form-urlencoded")
    cookie = answer.headers.all("set-cookie")[1].partition(";")[0]
    assert app.get("/whoami", headers={"Cookie": cookie}).json()["username"] == "ann"


def test_the_cookies_name_is_an_option(start: Start) -> None:
    app = start({"cookie": "door"})
    cookie = login(app)
    assert "door=" in cookie and status(app, cookie) == 200
    assert status(app, cookie.replace("door=", "session=")) == 401


@pytest.mark.parametrize("name", ["auth", "a b", "a;b", ""])
def test_a_cookie_name_that_cannot_be_is_refused(start: Start, name: str) -> None:
    with pytest.raises(ConfigError, match="cookie"):
        start({"cookie": name})


# -- Basic -----------------------------------------------------------------------------------------------------------


def test_basic_is_a_login_for_that_request_only(app: TestApp) -> None:
    answer = app.get("/whoami", headers={"Authorization": basic("admin", "password")})
    assert answer.json()["username"] == "admin" and answer.headers.all("set-cookie") == []
    assert app.get("/whoami").status == 401


@pytest.mark.parametrize(
    "value", [basic("admin", "wrong"), basic("nobody", "password"), "Basic !!!", "Bearer abc", "Basic",
              basic("admin\0", "password"), basic("", "")],
)  # fmt: skip
def test_who_sends_authorization_and_is_wrong_is_told_of_basic_too(app: TestApp, value: str) -> None:
    answer = app.get("/", headers={"Authorization": value})
    assert answer.status == 401
    assert answer.headers.all("www-authenticate") == [CHALLENGE, BASIC_CHALLENGE]


def test_names_and_passwords_of_all_letters_pass_through_basic(app: TestApp) -> None:
    add(app, "Zo\u00eb", "p\u00e4ss:w\u00f6rd")
    answer = app.get("/whoami", headers={"Authorization": basic("Zoe\u0308", "pa\u0308ss:wo\u0308rd")})
    assert answer.json()["username"] == "Zo\u00eb"


# -- the end of a session --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/logout", "/logout/"])
def test_logout_ends_the_session_and_takes_both_cookies_back(app: TestApp, path: str) -> None:
    cookie = login(app)
    answer = app.post(path, headers={"Cookie": cookie})
    assert answer.status == 200 and "logged out" in answer.text
    gone = answer.headers.all("set-cookie")
    assert [line.partition(";")[0] for line in gone] == ["auth=", "session="]
    assert all("Max-Age=0" in line and "Path=/" in line for line in gone)
    assert status(app, cookie) == 401


def test_logout_without_a_login_is_no_error(app: TestApp) -> None:
    assert app.post("/logout").status == 200
    assert app.post("/logout", headers={"Accept": "application/json"}).json() == {"status": "success"}


def test_logout_ends_only_this_session(app: TestApp) -> None:
    first, second = login(app), login(app)
    app.post("/logout", headers={"Cookie": first})
    assert (status(app, first), status(app, second)) == (401, 200)


def test_an_id_from_before_the_login_never_works_after_it(app: TestApp) -> None:
    planted = login(app)
    cookie = login(app, Cookie=planted)
    assert cookie != planted
    assert (status(app, planted), status(app, cookie)) == (401, 200)


def test_an_id_that_somebody_made_up_is_never_taken_over(app: TestApp) -> None:
    planted = "session=" + "A" * 43
    assert planted not in login(app, Cookie=planted)
    assert status(app, planted) == 401


def test_a_wrong_login_leaves_the_session_as_it_was(app: TestApp) -> None:
    cookie = login(app)
    assert app.post("/login", form=WRONG, headers={"Cookie": cookie}).status == 401
    assert status(app, cookie) == 200


def test_a_session_ends_without_use_and_lives_with_it(start: Start) -> None:
    app = start({"session_ttl": "10m"})
    cookie = login(app)
    for _ in range(4):
        app.advance(9 * 60)
        assert status(app, cookie) == 200
    app.advance(10 * 60)
    assert status(app, cookie) == 401


def test_a_session_ends_in_any_case(start: Start) -> None:
    app = start({"session_max": "30m", "session_ttl": "10m"})
    cookie = login(app)
    for _ in range(5):
        app.advance(5.5 * 60)
        assert status(app, cookie) == 200
    app.advance(5.5 * 60)
    assert status(app, cookie) == 401


def test_expired_sessions_leave_memory_and_disk(start: Start) -> None:
    app = start({"session_ttl": "1m"})
    heard: list[bytes] = []
    app.service("sessions").on_end(lambda digest, name: heard.append(digest))
    login(app)
    digest = next(iter(app.service("sessions").table.known))
    app.advance(180)
    assert heard == [digest]
    assert not app.service("sessions").table.known
    assert app.service("accounts")._state.store.session(digest) is None


# -- restarts, reloads, other processes ------------------------------------------------------------------------------


def test_a_session_survives_a_restart(start: Start, tmp_path: Path) -> None:
    with TestApp(sections(), state_dir=tmp_path / "var", directory=tmp_path) as before:
        cookie = login(before)
    assert status(start(), cookie) == 200


def test_idle_expiry_is_right_across_a_restart(start: Start, tmp_path: Path) -> None:
    options = sections({"session_ttl": "10m"})
    with TestApp(options, state_dir=tmp_path / "var", directory=tmp_path) as before:
        unused = login(before)
        cookie = login(before)
        before.advance(9 * 60)
        assert status(before, cookie) == 200
    after = start({"session_ttl": "10m"})
    after.advance(9 * 60)
    after.clock.now += 5 * 60  # five minutes down
    assert status(after, unused) == 401
    assert status(after, cookie) == 200


def test_a_session_of_another_process_is_found_in_one_lookup(start: Start) -> None:
    one, two = start(), start()
    cookie = login(one)
    asked = count_lookups(two)
    assert [status(two, cookie) for _ in range(3)] == [200] * 3
    assert len(asked) == 1


def count_lookups(app: TestApp) -> list[bytes]:
    store = app.service("accounts")._state.store
    asked: list[bytes] = []
    lookup = store.session

    def counted(digest: bytes) -> object:
        asked.append(digest)
        return lookup(digest)

    store.session = counted
    return asked


@pytest.mark.parametrize("how", ["logout", "password", "remove"])
def test_what_another_process_ends_is_noticed_within_a_second(start: Start, how: str) -> None:
    one, two = start(), start()
    cookie = login(one)
    assert status(two, cookie) == 200
    heard: list[str] = []
    two.service("sessions").on_end(lambda digest, name: heard.append(name))
    store = one.service("accounts")._state.store
    if how == "logout":
        one.post("/logout", headers={"Cookie": cookie})
    elif how == "password":
        store.set_password("admin", "x", 0.0)
    else:
        store.remove_account("admin")
    two.advance(1)
    assert status(two, cookie) == 401
    assert heard == ["admin"]


def test_use_in_one_process_keeps_the_session_alive_in_the_other(start: Start) -> None:
    options = {"session_ttl": "10m"}
    one, two = start(options), start(options)
    cookie = login(one)
    assert status(two, cookie) == 200
    for _ in range(4):
        one.advance(5 * 60)
        two.advance(5 * 60)
        assert status(one, cookie) == 200
        one.advance(1)
    assert status(two, cookie) == 200


def test_a_reload_keeps_the_sessions_and_takes_the_new_options(app: TestApp) -> None:
    cookie = login(app)
    app.reload(sections({"session_ttl": "20m", "realm": "other"}))
    assert status(app, cookie) == 200
    assert app.get("/").headers["www-authenticate"].startswith('Cookie realm="other"')
    app.advance(21 * 60)
    assert status(app, cookie) == 401


def test_a_password_changed_between_check_and_entry_lets_nobody_in(app: TestApp) -> None:
    accounts = app.service("accounts")
    verify = accounts._passwords.verify

    def slow(stored: str | None, password: bytes) -> bool:
        right: bool = verify(stored, password)
        accounts._state.store.set_password("admin", "changed", 0.0)
        return right

    accounts._passwords.verify = slow
    answer = app.post("/login", form=RIGHT)
    assert answer.status == 401 and answer.headers.all("set-cookie") == []


# -- load ------------------------------------------------------------------------------------------------------------


def test_a_login_that_finds_the_hash_queue_full_gets_503(start: Start) -> None:
    app = start({"remember": "0"})

    class Full:
        def run(self, function: object, *args: object) -> object:
            raise Overloaded("too much is waiting")

        def close(self) -> bool:
            return True

    cookie = login(app)
    app.app.pools["hash"] = Full()  # type: ignore[assignment]
    answer = app.post("/login", form=RIGHT)
    assert answer.status == 503 and answer.headers["retry-after"]
    assert app.get("/", headers={"Authorization": basic("admin", "password")}).status == 503
    assert status(app, cookie) == 200


def test_connections_that_come_with_one_unknown_id_share_one_lookup(start: Start) -> None:
    one, two = start(), start()
    cookie = login(one)
    asked = count_lookups(two)
    transports = [two.connect() for _ in range(6)]
    for transport in transports:
        transport.feed(f"GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n".encode())
    transports[0].abort()  # who asked first leaves
    two.reactor.settle()
    assert len(asked) == 1
    assert all(b"200 OK" in transport.sent for transport in transports[1:])


def test_made_up_ids_queue_a_bounded_number_of_lookups_and_hurt_nobody_who_is_known(app: TestApp) -> None:
    cookie = login(app)
    asked = count_lookups(app)
    transports = [app.connect() for _ in range(200)]
    for number, transport in enumerate(transports):
        transport.feed(f"GET / HTTP/1.1\r\nHost: h\r\nCookie: session={number:043}\r\n\r\n".encode())
    assert status(app, cookie) == 200
    assert len(asked) == 64
    answers = [bytes(transport.sent[9:12]) for transport in transports]
    assert answers.count(b"401") == 64 and answers.count(b"503") == 136


def test_an_id_that_the_store_does_not_know_is_not_asked_for_again_at_once(app: TestApp) -> None:
    asked = count_lookups(app)
    for _ in range(5):
        assert status(app, "session=" + "A" * 43) == 401
    assert len(asked) == 1


@pytest.mark.parametrize("password", ["x" * 1025, "\0" * 2000, "é" * 600])
def test_an_enormous_password_is_not_hashed(app: TestApp, password: str) -> None:
    app.app.pools.pop("hash")
    assert app.post("/login", form={"username": "admin", "password": password}).status == 401
    assert "hash" not in app.app.pools


def test_an_enormous_body_is_refused(app: TestApp) -> None:
    assert app.post("/login", form={"username": "admin", "password": "x" * 100_000}).status == 413


@pytest.mark.parametrize("name", ["admin\0", "\0", " admin", "ad\nmin", "\u202eadmin", "x" * 65, "ADMIN"])
def test_strange_names_are_nobody(app: TestApp, name: str) -> None:
    assert app.post("/login", form={"username": name, "password": "password"}).status == 401


def test_a_form_of_too_many_fields_is_400(app: TestApp) -> None:
    assert app.post("/login", body=b"&" * 2000, content_type="application/x-www-form-urlencoded").status == 400


def test_a_broken_database_is_a_503_and_one_line_in_the_log(app: TestApp) -> None:
    cookie = login(app)
    app.service("accounts")._state.store.close()
    for _ in range(3):
        answer = app.post("/login", form=RIGHT)
        assert answer.status == 503 and answer.headers["retry-after"]
    app.advance(5)
    assert status(app, cookie) == 200  # what is in memory goes on
    assert len([line for line in app.log_lines if "nobody can log in" in line]) == 1
    assert not [line for line in app.log_lines if "Traceback" in line]


def test_a_full_disk_is_said_once_although_reads_go_on(app: TestApp) -> None:
    store = app.service("accounts")._state.store
    fill_up(app)
    for _ in range(3):
        assert app.post("/login", form=RIGHT).status == 503
        assert app.post("/login", form=WRONG).status == 401  # a read, which works
    app.advance(120)  # nothing has expired, so this writes nothing and proves nothing
    assert app.post("/login", form=RIGHT).status == 503
    assert len([line for line in app.log_lines if "nobody can log in" in line]) == 1
    store._db.execute("PRAGMA max_page_count = 1000000")
    login(app)
    fill_up(app)
    assert len([line for line in app.log_lines if "nobody can log in" in line]) == 2


def fill_up(app: TestApp) -> None:
    """The file may not grow; log in until its pages are full."""
    database = app.service("accounts")._state.store._db
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    for _ in range(200):
        if app.post("/login", form=RIGHT).status == 503:
            return
    raise AssertionError("there is still room")


def test_logins_whose_client_is_gone_take_no_place_in_the_hash_queue(
    app: TestApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "_start_thread", lambda pool: None)  # the threads are busy all the time
    pool = app.app.pools["hash"] = app.app._start_pool("hash")
    assert isinstance(pool, Pool)
    for number in range(10, 50):
        body = b'{"username": "user%d", "password": "wrong"}' % number
        transport = app.connect()
        transport.feed(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        app.reactor.settle()
        assert transport.sent == b"" and pool.waiting == 1  # it waits, and is not refused
        transport.abort(ConnectionResetError())
        app.reactor.settle()
        assert pool.waiting == 0


# -- other sites -----------------------------------------------------------------------------------------------------

FOREIGN = [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
           {"Origin": "http://127.0.0.1:9999"}, {"Sec-Fetch-Site": "same-site"}]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/change", "/open-change", "/logout"])
def test_another_site_can_change_nothing_with_our_cookie(app: TestApp, path: str, headers: dict[str, str]) -> None:
    cookie = login(app)
    assert app.post(path, headers={"Cookie": cookie, **headers}).status == 403
    assert status(app, cookie) == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_can_log_nobody_in(app: TestApp, headers: dict[str, str]) -> None:
    answer = app.post("/login", form=RIGHT, headers=headers)
    assert answer.status == 403 and answer.headers.all("set-cookie") == []


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://127.0.0.1:8000"}, {"Sec-Fetch-Site": "same-origin"}])
def test_our_pages_and_what_is_no_browser_can(app: TestApp, headers: dict[str, str]) -> None:
    cookie = login(app, **headers)
    for path in ("/change", "/open-change", "/logout"):
        assert app.post(path, headers={"Cookie": cookie, **headers}).status == 200


def test_another_site_may_still_link_to_us(app: TestApp) -> None:
    assert status(app, login(app), **{"Sec-Fetch-Site": "cross-site"}) == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_can_use_no_remembered_basic_login(app: TestApp, headers: dict[str, str]) -> None:
    known = {"Authorization": basic("admin", "password")}
    assert app.post("/change", headers=known).status == 200
    assert app.post("/change", headers={**known, **headers}).status == 403


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_can_use_our_cookie_on_no_path_of_any_plugin(app: TestApp, headers: dict[str, str]) -> None:
    cookie = login(app)
    app.reload({**sections(), "plugin:tracker": {}})
    peer = {"peer_id": "a", "ip": "10.0.0.5", "port": 9101}
    for path in ("/submit-info", "/nothing"):
        answer = app.post(path, json=peer, headers={"Cookie": cookie, **headers})
        assert answer.status == 403 and "another site" in answer.text
    assert app.get("/get-list").json()["total_peers"] == 0
    assert app.post("/submit-info", json=peer, headers=headers).status == 200  # no cookie: nothing to abuse
    assert app.post("/submit-info", json={**peer, "peer_id": "b"}, headers={"Cookie": cookie}).status == 200


# -- the demo account ------------------------------------------------------------------------------------------------

SAYS_HOW = "python -m plugins.auth passwd admin"


def set_password(app: TestApp, password: str) -> None:
    accounts = app.service("accounts")
    assert accounts._state.store.set_password("admin", accounts._passwords.hash(password.encode()), 0.0)


def test_the_first_run_works_and_says_how_to_log_in(app: TestApp) -> None:
    line = f"Demo login: admin / password (loopback only; set a password with: {SAYS_HOW})"
    assert [said for said in app.log_lines if "Demo login" in said] == [line]


def test_it_is_said_once_and_not_again_at_a_reload(app: TestApp) -> None:
    app.reload(sections())
    assert len([said for said in app.log_lines if "Demo login" in said]) == 1


def test_without_demo_there_is_no_account(start: Start) -> None:
    app = start({"demo": "no"})
    assert app.post("/login", form=RIGHT).status == 401
    assert app.log_lines == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8000", "[::]:8000", "192.168.1.7:8000", "127.0.0.1:8000, 0.0.0.0:8001"])
@pytest.mark.parametrize("demo", ["yes", "no"])
def test_with_the_demo_login_the_server_does_not_start_beyond_loopback(start: Start, listen: str, demo: str) -> None:
    start()
    with pytest.raises(StartError, match=SAYS_HOW) as caught:
        start({"demo": demo}, listen=listen)
    assert "\n" not in str(caught.value)


def test_nor_does_it_on_a_very_first_start(start: Start) -> None:
    with pytest.raises(StartError, match=SAYS_HOW):
        start(listen="0.0.0.0:8000")


def test_with_a_password_it_does(start: Start) -> None:
    set_password(start(), "better")
    app = start(listen="0.0.0.0:8000")
    assert app.log_lines == []
    assert app.get("/", client="192.168.1.7").status == 401
    login(app, {"username": "admin", "password": "better"})


def test_a_client_from_elsewhere_is_refused_and_told_why(app: TestApp) -> None:
    for headers in ({"X-Forwarded-For": "192.168.1.7"}, {"Forwarded": "for=192.168.1.7"}, {"X-Real-IP": "10.0.0.1"}):
        for answer in (app.get("/login", headers=headers), app.get("/nothing", headers=headers)):
            assert answer.status == 403 and SAYS_HOW in answer.text
    assert app.get("/login", headers={"X-Forwarded-For": "127.0.0.1"}).status == 200


def test_a_new_password_opens_the_fence_within_a_second_and_the_old_one_closes_it(start: Start) -> None:
    app, other = start(), start()
    headers = {"X-Forwarded-For": "192.168.1.7"}
    set_password(other, "better")
    app.advance(1)
    assert app.get("/login", headers=headers).status == 200
    set_password(other, "password")
    app.advance(1)
    assert app.get("/login", headers=headers).status == 403


REBOUND = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("sent", [{"form": RIGHT}, {"json": RIGHT}])
def test_a_site_that_points_its_own_name_at_us_cannot_use_the_demo_login(app: TestApp, sent: dict[str, Any]) -> None:
    answer = app.post("/login", headers=REBOUND, **sent)
    assert answer.status == 403 and SAYS_HOW in answer.text and answer.headers.all("set-cookie") == []
    known = {"Authorization": basic("admin", "password")}
    assert app.get("/", headers={**REBOUND, **known}).status == 403
    assert app.get("/", headers={"Host": "localhost:8000", **known}).status == 200
    login(app, Host="chat.localhost:8000", Origin="http://chat.localhost:8000")


def test_with_a_password_of_its_own_the_server_goes_by_any_name(app: TestApp) -> None:
    set_password(app, "better")
    app.service("accounts")._state.demo_unsure = True
    app.advance(1)
    login(app, {"username": "admin", "password": "better"}, Host="chat.lan", Origin="http://chat.lan")


# -- the reference scheme --------------------------------------------------------------------------------------------


def test_the_reference_scheme_sends_its_one_cookie_and_believes_it(start: Start) -> None:
    app = start({"scheme": "reference"})
    answer = app.post("/login", form=RIGHT)
    assert answer.status == 200 and answer.text == PAGE
    assert answer.headers.all("set-cookie") == ["auth=true; Path=/index.html"]
    assert status(app, "auth=true") == 200
    assert status(app, "auth=false") == 401
    assert app.get("/").headers.all("www-authenticate") == [CHALLENGE]
    assert "Path=/index.html" in app.post("/logout").headers.all("set-cookie")[0]


def test_the_reference_scheme_names_nobody(start: Start) -> None:
    app = start({"scheme": "reference"})
    assert app.get("/whoami", headers={"Cookie": "auth=true"}).json()["username"] == "anybody"


def test_the_reference_scheme_is_for_loopback_only(start: Start) -> None:
    set_password(start(), "better")
    with pytest.raises(ConfigError, match=r"scheme: .*loopback"):
        start({"scheme": "reference"}, listen="0.0.0.0:8000")
    app = start({"scheme": "reference"})
    answer = app.get("/", headers={"X-Forwarded-For": "192.168.1.7", "Cookie": "auth=true"})
    assert answer.status == 403 and "scheme = session" in answer.text


def test_another_site_cannot_use_the_reference_cookie(start: Start) -> None:
    app = start({"scheme": "reference"})
    headers = {"Cookie": "auth=true", "Origin": "http://evil.example"}
    assert app.post("/change", headers=headers).status == 403


def test_the_reference_cookie_is_believed_under_a_name_of_this_machine_only(start: Start) -> None:
    app = start({"scheme": "reference"})
    answer = app.get("/", headers={**REBOUND, "Cookie": "auth=true"})
    assert answer.status == 403 and "scheme = session" in answer.text
    assert app.post("/login", form=RIGHT, headers=REBOUND).status == 403


# -- wrong starts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [("index", "missing.html"), ("session_ttl", "0"), ("session_max", "soon"), ("scheme", "none"), ("realm", 'a"b'),
     ("demo", "perhaps"), ("sessions", "1")],
)  # fmt: skip
def test_a_wrong_option_names_itself(start: Start, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[plugin:auth\] {key}: "):
        start({key: value})


def test_a_damaged_database_is_a_start_error(start: Start, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "auth.db").write_bytes(b"x" * 5000)
    with pytest.raises(StartError, match="damaged"):
        start()


def test_under_tls_the_session_cookie_is_secure(app: TestApp) -> None:
    answer: Answer = app.post("/login", form=RIGHT, secure=True)
    assert answer.headers.all("set-cookie")[1].endswith("; Secure")


def test_every_option_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "auth.md").read_text()
    for name in Options.__struct_fields__:
        assert f"| `{name}` |" in text
