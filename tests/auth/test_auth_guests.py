"""Guests come in by name alone: from where, under which names, how many, and what they may."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from auth_site import Site, Sites, basic, cookies, sites

from plugins.auth.__main__ import Refused, add
from plugins.auth.guests import is_guest, is_near, key_of, name_of, new_guest
from plugins.auth.store import Store
from reactor import ConfigError
from reactor.testing import Answer, check_plugin

__all__ = ["sites"]

HTML = {"Accept": "text/html"}


class Fields(HTMLParser):
    """The forms of a page: action -> field -> value."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms[values["action"]] = {}
        elif tag == "input":
            self.forms[list(self.forms)[-1]][values["name"]] = values.get("value", "")


def forms(answer: Answer) -> dict[str, dict[str, str]]:
    return Fields(answer.text).forms


def come_in(site: Site, name: str, **more: str) -> Answer:
    return site.app.post("/guest", form={"name": name, **more}, headers=HTML)


def ask(site: Site, client: str = "127.0.0.1", host: str = "chat.lan", **headers: str) -> int:
    """Whether somebody from there may come in; the demo login, which answers loopback only, has a password."""
    return site.app.post("/guest", form={"name": "ann"}, headers={"Host": host, **headers}, client=client).status


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ann", "  ann ", "Zoe\u0308", "日本", "x" * 32, "a b", "bob:#1", "❤️", "<b>&"])
def test_names_that_can_be_seen_are_taken(text: str) -> None:
    guest = new_guest(text)
    assert guest is not None and is_guest(guest.user) and name_of(guest.user) == guest.name
    assert guest.name == guest.name.strip() and len(guest.user) <= 64


@pytest.mark.parametrize(
    "text", ["", "  ", "x" * 33, "a\nb", "a\x00", "a\u202eb", "\u200b", "\u3164", "\u2800\u2800", "\ud800", "x" * 10**6]
)
def test_names_that_cannot_be_shown_or_seen_are_not(text: str) -> None:
    assert new_guest(text) is None


@pytest.mark.parametrize("other", ["ANN", "ａｎｎ", "Ann", "a nn", "ann\u3164", "\u115fann", "ann\ufe0f", "ⓐnn"])
def test_names_that_look_the_same_are_the_same(other: str) -> None:
    assert key_of(other) == key_of("ann")


def test_an_account_is_called_as_it_is() -> None:
    assert (name_of("ann"), name_of("ann#1"), is_guest("ann"), is_guest(None)) == ("ann", "ann#1", False, False)


# -- coming in -------------------------------------------------------------------------------------------------------


def test_a_guest_comes_in_by_form_and_is_sent_on(sites: Sites) -> None:
    site = sites(guests="loopback")
    answer = come_in(site, " Ann ", next="/chat/?a=b#c")
    assert (answer.status, answer.headers["location"]) == (303, "/chat/?a=b#c")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.all("set-cookie")[0] == "auth=true; Path=/"
    who = site.app.get("/whoami", headers={"Cookie": cookies(answer)}).json()
    assert (who["status"], who["name"], who["guest"]) == ("success", "Ann", True)
    assert name_of(who["username"]) == "Ann"


@pytest.mark.parametrize("goal", ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nX: y", "/ b"])
def test_another_site_is_never_where_a_guest_is_sent(sites: Sites, goal: str) -> None:
    answer = come_in(sites(guests="loopback"), "ann", next=goal)
    assert (answer.status, answer.text) == (200, "You are here as ann, a guest.\n")
    assert "location" not in answer.headers and cookies(answer)


def test_a_guest_comes_in_by_json(sites: Sites) -> None:
    site = sites(guests="loopback")
    answer = site.app.post("/guest/", json={"name": "ann"})
    who = answer.json()
    assert (answer.status, who["name"], who["guest"]) == (200, "ann", True)
    assert site.app.get("/people", headers={"Cookie": cookies(answer)}).text == who["username"]
    for body in (b"{", b"[]", b'{"name": 1}', b"{}"):
        assert site.app.post("/guest", body=body, content_type="application/json").status == 400


def test_a_guest_is_let_in_where_people_are_and_not_where_accounts_are(sites: Sites) -> None:
    site = sites(guests="loopback")
    guest, account = site.guest("ann"), site.login()
    assert [site.status(guest, path) for path in ("/people", "/accounts")] == [200, 401]
    assert [site.status(account, path) for path in ("/people", "/accounts")] == [200, 200]
    both = {"Cookie": guest, "Authorization": basic("admin", "password")}
    assert site.app.get("/accounts", headers=both).text == "admin"


def test_a_guest_session_that_only_the_store_knows_is_none_of_an_account(sites: Sites) -> None:
    cookie = sites(guests="loopback").guest("ann")
    other = sites(guests="loopback")
    assert [other.status(cookie, path) for path in ("/accounts", "/people")] == [401, 200]


def test_a_guest_can_leave_and_ends_like_others(sites: Sites) -> None:
    site, heard, users = sites(guests="loopback", session_ttl="10m"), list[str](), list[str]()
    site.app.service("sessions").on_user_end(users.append)
    cookie = site.guest("ann")
    site.watch(heard, Cookie=cookie)
    user = site.requests[-1].user
    site.app.post("/logout", headers={"Cookie": cookie})
    site.app.advance(1)
    assert (heard, users) == (["logout"], [user])
    site.watch(heard, Cookie=site.guest("ann"))
    assert site.requests[-1].user != user  # the same name, and somebody else
    site.app.advance(600.1)
    assert heard == ["logout", "idle"]


def test_guests_survive_a_restart_and_are_no_accounts(sites: Sites) -> None:
    cookie = sites(guests="loopback").guest("ann")
    after = sites(guests="loopback")
    assert after.status(cookie, "/people") == 200
    assert after.app.service("accounts")._state.store.names() == ["admin"]


def test_where_guests_are_off_again_none_is_let_in(sites: Sites) -> None:
    site = sites(guests="loopback")
    cookie = site.guest("ann")
    heard, users = list[str](), list[str]()
    site.watch(heard, Cookie=cookie)
    site.app.service("sessions").on_user_end(users.append)
    site.app.reload(site.sections({}))
    assert site.status(cookie, "/people") == 401
    site.app.advance(1)
    assert (heard, [name_of(user) for user in users]) == (["guests"], ["ann"])
    site.app.reload(site.sections({"guests": "lan"}))
    assert site.status(cookie, "/people") == 401


def test_guests_of_before_are_not_live_where_guests_are_off(sites: Sites) -> None:
    site = sites(guests="loopback")
    site.guest("ann")
    site.login()
    after = sites()
    services = [one.app.service("sessions") for one in (site, after)]
    found = [sessions._plugin.spawn(sessions.live()) for sessions in services]
    for one in (site, after):
        one.app.advance(0)
    assert (len(found[0].result()), found[1].result()) == (2, ["admin"])


@pytest.mark.parametrize(
    "mark", [" (guest)", "(GUEST)", "\uff08\uff47uest\uff09", "( guest )", "\u2768guest\u2769", "(gu\u034fest)"]
)
def test_nobody_is_called_as_guests_are_marked(mark: str) -> None:
    assert new_guest("zoe" + mark) is None
    assert new_guest("zoe" + mark + "2") is not None and new_guest("guest") is not None


# -- whose name ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["admin", "ADMIN", "ａdmin", "admin\u3164"])
def test_the_name_of_an_account_is_taken(sites: Sites, name: str) -> None:
    answer = come_in(sites(guests="loopback"), name)
    assert answer.status == 409 and "Somebody has this name already" in answer.text
    assert forms(answer)["/guest"]["name"] == name
    assert "set-cookie" not in answer.headers


def test_the_name_of_a_guest_is_taken_until_they_leave(sites: Sites) -> None:
    one, two = sites(guests="loopback"), sites(guests="loopback")
    cookie = one.guest("ann")
    assert two.app.post("/guest", json={"name": "Ann"}).status == 409
    one.app.post("/logout", headers={"Cookie": cookie})
    assert come_in(two, "Ann").status == 200


def test_the_name_of_a_guest_who_is_long_gone_is_free(sites: Sites) -> None:
    site = sites(guests="loopback", session_ttl="10m")
    site.guest("ann")
    site.app.clock.now += 720.1  # asleep: nobody has swept
    assert come_in(site, "ann").status == 200


def test_a_guest_can_take_their_own_name_again_and_another_one(sites: Sites) -> None:
    site = sites(guests="loopback", max_guests="1")
    first = site.guest("ann")
    second = site.login({"name": "ann"}, "/guest", first)
    third = site.login({"name": "bob"}, "/guest", second)
    assert [site.status(cookie, "/people") for cookie in (first, second, third)] == [401, 401, 200]
    account = site.login(cookie=third)
    assert [site.status(cookie, "/people") for cookie in (third, account)] == [401, 200]


def test_who_is_refused_stays_who_they_are(sites: Sites) -> None:
    site = sites(guests="loopback")
    cookie = site.guest("ann")
    assert site.app.post("/guest", json={"name": "admin"}, headers={"Cookie": cookie}).status == 409
    assert site.status(cookie, "/people") == 200


def test_a_name_that_cannot_be_is_refused_in_words(sites: Sites) -> None:
    answer = come_in(sites(guests="loopback"), "<b>\n")
    assert answer.status == 200  # what is at the end is trimmed
    answer = come_in(sites(guests="loopback"), "<b>\x00")
    assert answer.status == 400
    assert "A name has 1 to 32 characters that can be seen, and no (guest) at its end." in answer.text
    assert "<b>" not in answer.text


def test_guests_are_bounded(sites: Sites) -> None:
    site = sites(guests="loopback", max_guests="2")
    cookie = site.guest("ann")
    site.guest("bob")
    answer = come_in(site, "cleo")
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    site.app.post("/logout", headers={"Cookie": cookie})
    assert come_in(site, "cleo").status == 200


def test_guests_from_one_address_are_bounded(sites: Sites) -> None:
    site = open_site(sites, guests="lan", max_guests_per_address="2")

    def answer(name: str, address: str) -> int:
        return site.app.post("/guest", json={"name": name}, client=address).status

    assert [answer(name, "10.0.0.7") for name in ("ann", "bob", "cid")] == [200, 200, 429]
    assert [answer(name, "10.0.0.8") for name in ("cid", "dan", "eve")] == [200, 200, 429]
    assert [answer(f"here {n}", "127.0.0.1") for n in range(4)] == [200] * 4


# -- from where ------------------------------------------------------------------------------------------------------


def open_site(sites: Sites, **options: str) -> Site:
    """One whose demo login is gone."""
    return sites(demo="no", **options)


@pytest.mark.parametrize(
    ("where", "client", "status"),
    [
        ("off", "127.0.0.1", 403),
        ("loopback", "127.0.0.1", 200),
        ("loopback", "::1", 200),
        ("loopback", "192.168.1.5", 403),
        ("lan", "127.0.0.1", 200),
        ("lan", "192.168.1.5", 200),
        ("lan", "fe80::1%eth0", 200),
        ("lan", "::ffff:10.0.0.7", 200),
        ("lan", "8.8.8.8", 403),
        ("lan", "2001:db8::1", 403),
        ("lan", "", 403),
    ],
)
def test_guests_come_from_where_they_may(sites: Sites, where: str, client: str, status: int) -> None:
    site = open_site(sites, guests=where)
    assert ask(site, client) == status
    shown = "/guest" in forms(site.app.get("/login", headers={"Host": "chat.lan"}, client=client))
    assert shown == (status == 200)


def test_addresses_of_private_networks_and_no_others_are_near() -> None:
    near = ["10.1.2.3", "172.16.0.1", "172.31.255.1", "192.168.0.1", "169.254.1.1", "127.9.9.9", "::1", "fd00::1"]
    far = ["172.32.0.1", "11.0.0.1", "100.64.0.1", "192.0.2.1", "0.0.0.0", "::", "2001:db8::1", "224.0.0.1", "x.lan"]
    assert all(map(is_near, near)) and not any(map(is_near, far))


def test_who_comes_through_a_proxy_is_judged_by_where_they_come_from(sites: Sites) -> None:
    site = open_site(sites, guests="lan")
    assert ask(site, **{"X-Forwarded-For": "192.168.1.9"}) == 200
    assert ask(site, **{"X-Forwarded-For": "192.168.1.9, 8.8.8.8"}) == 403
    assert ask(site, Forwarded='for="[2001:db8::1]:99"') == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [("192.168.1.2:8000", 200), ("[fe80::1]:8000", 200), ("laptop:8000", 200), ("laptop.local", 200),
     ("chat.test", 200), ("CHAT.home.arpa", 200), ("evil.example", 403), ("evil.example:8000", 403),
     ("lan.evil.example", 403), ("192.168.1.2.evil.example", 403), ("our.example:8000", 200)],
)  # fmt: skip
def test_a_name_that_a_stranger_may_own_opens_no_door(sites: Sites, host: str, status: int) -> None:
    assert ask(open_site(sites, guests="lan", guest_hosts="Our.example"), host=host) == status


def test_another_site_cannot_make_a_guest(sites: Sites) -> None:
    site = sites(guests="loopback")
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert site.app.post("/guest", form={"name": "ann"}, headers=headers).status == 403


def test_while_the_demo_login_is_there_only_this_machine_is_let_in(sites: Sites) -> None:
    site = sites(guests="lan")
    assert ask(site, "192.168.1.5") == 403
    assert ask(site, host="chat.lan") == 403  # under a name of its own only, as logins are
    assert ask(site, host="localhost:8000") == 200


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_form_is_on_each_login_page_where_guests_are_let_in(sites: Sites) -> None:
    site = sites(guests="loopback", guest_page="/room?a=1&b=2")
    answers = [
        site.app.get("/login"),
        site.app.get("/accounts", headers=HTML),
        site.app.post("/login", form={"username": "admin", "password": "x"}, headers=HTML),
        site.app.post("/logout", headers=HTML),
    ]
    for answer in answers:
        assert forms(answer)["/guest"] == {"next": "/room?a=1&b=2", "name": ""}
        assert forms(answer)["/login"].keys() >= {"username", "password"}
    assert forms(sites().app.get("/login")).keys() == {"/login"}


def test_the_contract_is_kept_with_guests_too(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("page")
    options = {"index": str(tmp_path / "index.html"), "guests": "lan", "guest_hosts": "a.example, b.example"}
    check_plugin("plugins.auth", options, state_dir=tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"guests": "all"}, {"max_guests": "0"}, {"guest_page": "//evil.example"}, {"guest_page": "chat"},
     {"guests": "lan", "scheme": "reference"}],
)  # fmt: skip
def test_what_cannot_be_stops_the_start(sites: Sites, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"guest|scheme"):
        sites(**options)


def test_no_account_is_added_that_looks_like_a_guest(tmp_path: Path) -> None:
    store = Store(tmp_path / "accounts.db")
    store.open()
    try:
        with pytest.raises(Refused, match="would look like a guest"):
            add(store, "zoe (Guest)")
        assert store.names() == []
    finally:
        store.close()
