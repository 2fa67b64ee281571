"""What a page is told and what it may ask: the whole server in memory, and time that passes when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_pages import ChatApp, Page


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[ChatApp]:
    with ChatApp(tmp_path, auth={"session_ttl": "600"}) as app:
        yield app


def both_in(chat: ChatApp, channel: str = "dev") -> tuple[Page, Page]:
    ann, bob = chat.page(chat.admin()), chat.page(chat.guest("Bob"))
    for page in (ann, bob):
        page.do("join", channel=channel)
    chat.advance(1)
    return ann, bob


def test_people_in_a_channel_hear_each_other(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    id_ = ann.say("#dev", "hello")
    chat.advance(0.2)
    assert bob.texts == ["hello"]
    assert ann.states(id_)[-1] == ("delivered", 1, 1)
    (told,) = bob.all("message")
    message = told["message"]
    assert (message["from"], message["name"], message["to"], message["mine"]) == (ann.id, "admin", "#dev", False)
    assert "key" not in message
    assert ann.all("message")[0]["message"]["key"] == "key hello"


def test_the_message_is_told_before_its_answer_and_states_behind(chat: ChatApp) -> None:
    ann, _ = both_in(chat)
    ann.told.clear()
    ann.say("#dev", "hello")
    types = [told["type"] for told in ann.told if told["type"] in ("message", "done", "state")]
    assert types[:2] == ["message", "done"]


def test_the_same_key_is_the_same_message(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    assert ann.say("#dev", "once", "k1") == ann.say("#dev", "once", "k1")
    assert ann.say("#dev", "once", "k2") != ann.say("#dev", "once", "k1")
    chat.advance(3)
    assert bob.texts == ["once", "once"]


def members(page: Page, id_: str) -> set[str]:
    """As the page was told last."""
    told = [told["conversation"]["members"] for told in page.all("conversation") if told["conversation"]["id"] == id_]
    return set(told[-1])


@pytest.mark.parametrize(
    "policies", [({"policy": "password", "password": "x"},), ({"policy": "invited"}, {"policy": "open"})]
)
def test_a_new_policy_costs_a_channel_no_member_and_no_message(
    chat: ChatApp, policies: tuple[dict[str, str], ...]
) -> None:
    ann, bob = both_in(chat)
    chat.advance(12)  # so that nobody renews just now
    for policy in policies:
        ann.do("policy", channel="dev", **policy)
        id_ = ann.say("#dev", "for members")
        assert members(ann, "#dev") == {ann.id, bob.id}
        chat.advance(1)
        assert ann.states(id_)[-1] == ("delivered", 1, 1)
        id_ = bob.say("#dev", "from a member")
        chat.advance(1)
        assert bob.states(id_)[-1] == ("delivered", 1, 1)
    assert members(ann, "#dev") == members(bob, "#dev") == {ann.id, bob.id}


def test_who_is_put_out_is_out_at_once(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    ann.do("policy", channel="dev", policy="invited")
    chat.advance(1)
    ann.do("remove", channel="dev", peer=bob.id)
    chat.advance(3)
    assert members(ann, "#dev") == {ann.id}
    assert [told["id"] for told in bob.all("gone")] == ["#dev"]
    ann.say("#dev", "alone")
    chat.advance(1)
    assert bob.texts == []


def test_a_guest_is_shown_as_one_to_everybody(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    (person,) = [told["person"] for told in ann.all("person")][-1:]
    assert (person["name"], person["guest"]) == ("Bob", True)
    assert bob.welcome["me"]["guest"]
    listed = chat.app.get("/get-list").json()["peers"]
    assert sorted(peer["username"] for peer in listed) == ["Bob (guest)", "admin"]


def test_a_page_that_comes_back_gets_what_it_has_missed_and_nothing_twice(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    cookie = chat.admin()
    bob.say("#dev", "one")
    since, run = ann.all("message")[-1]["message"]["number"], ann.welcome["run"]
    ann.transport.abort()
    bob.say("#dev", "two")
    again = chat.page(cookie, run=run, since=since)
    assert not again.welcome["full"]
    assert again.texts == ["two"]
    bob.say("#dev", "three")
    chat.advance(0.1)
    assert again.texts == ["two", "three"]


def test_what_happens_while_the_welcome_is_made_is_told_once(chat: ChatApp) -> None:
    """The page reads nothing for a while; meanwhile others talk."""
    ann, bob = both_in(chat)
    cookie = chat.admin()
    page = chat.page(cookie, says_hello=False)
    page.transport.stall = True
    page.send("hello")
    bob.say("#dev", "one")
    bob.say("#dev", "two")
    page.transport.release()
    chat.advance(1)
    assert page.texts == ["one", "two"]
    assert page.id == ann.id


def test_a_page_that_has_missed_too_much_begins_anew(chat: ChatApp) -> None:
    ann, _ = both_in(chat)
    cookie = chat.admin()
    for number in range(1010):
        answer = chat.request("POST", "/broadcast-peer", cookie, json={"message": f"m{number}", "channel": "dev"})
        assert answer.status == 200
    page = chat.page(cookie, run=ann.welcome["run"], since=1)
    assert page.welcome["full"]
    assert page.texts == [f"m{number}" for number in range(960, 1010)]
    answer = page.do("older", to="#dev", before=page.welcome["messages"][0]["number"])
    assert [message["text"] for message in answer["messages"]] == [f"m{number}" for number in range(910, 960)]
    assert answer["more"]


def test_what_was_read_in_one_tab_is_read_in_all(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    other = chat.page(chat.admin())
    bob.say("#dev", "one")
    bob.say("#dev", "two")
    chat.advance(0.1)
    first, second = (told["message"]["number"] for told in ann.all("message"))
    ann.send("read", to="#dev", number=first)
    chat.advance(0.1)
    assert other.all("read") == [{"type": "read", "to": "#dev", "number": first}]
    assert ann.all("read") == []
    (conversation,) = chat.page(chat.admin()).welcome["conversations"]
    assert (conversation["unread"], conversation["read"], conversation["last"]) == (1, first, second)
    ann.send("read", to="#dev", number=2**53)
    ann.send("read", to="#dev", number=first)
    ann.send("read", to="#nowhere", number=1)
    chat.advance(0.1)
    assert [told["number"] for told in other.all("read")] == [first, second]


def test_who_closes_every_page_is_away_after_a_moment(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    assert ann.presence("Bob")[-1] == "here"
    bob.transport.abort()
    chat.advance(4)
    assert ann.presence("Bob")[-1] == "here"  # it may only load the page again
    chat.advance(8)
    assert ann.presence("Bob")[-1] == "away"


def test_a_reload_of_the_page_is_no_absence(chat: ChatApp) -> None:
    ann, bob = chat.page(chat.admin()), None
    cookie = chat.guest("Bob")
    bob = chat.page(cookie)
    for page in (ann, bob):
        page.do("join", channel="dev")
    chat.advance(1)
    bob.transport.abort()
    chat.advance(1)
    chat.page(cookie)
    chat.advance(10)
    assert "away" not in ann.presence("Bob")


def test_a_direct_message_finds_its_way_without_a_channel(chat: ChatApp) -> None:
    ann, bob = chat.page(chat.admin()), chat.page(chat.guest("Bob"))
    chat.advance(1)
    assert ann.presence("Bob") == ["listed"]
    id_ = ann.say(f"@{bob.id}", "psst")
    chat.advance(1)
    assert bob.texts == ["psst"]
    assert ann.states(id_)[-1] == ("delivered", 1, 1)
    assert [told["conversation"]["title"] for told in bob.all("conversation")] == ["admin"]
    assert ann.presence("Bob")[-1] == "here"


def test_nobody_is_called_here_whom_we_have_not_heard(chat: ChatApp) -> None:
    ann, bob = chat.page(chat.admin()), chat.page(chat.guest("Bob"))
    bob.transport.abort()
    chat.advance(20)
    assert ann.presence("Bob") == ["listed"]
    ann.do("open", peer=bob.id)
    chat.advance(1)
    assert ann.presence("Bob")[-1] == "away"


def test_too_many_tabs_close_the_oldest(chat: ChatApp) -> None:
    cookie = chat.admin()
    pages = [chat.page(cookie) for _ in range(17)]
    pages[0].read()
    assert pages[0].code == 4409
    assert all(page.code is None for page in pages[1:])


def test_a_page_that_reads_nothing_is_closed_and_the_others_go_on(chat: ChatApp) -> None:
    ann, _ = both_in(chat)
    cookie = chat.admin()
    slow = chat.page(cookie)
    slow.transport.stall = True
    for number in range(500):
        body = {"message": 4000 * "x", "channel": "dev"}
        assert chat.request("POST", "/broadcast-peer", cookie, json=body).status == 200, number
        if slow.transport.is_closing:
            break
    slow.transport.release()
    chat.advance(10)
    slow.read()
    assert slow.code == 1013
    assert ann.code is None


@pytest.mark.parametrize("text", ["x", "[]", '{"type":"nothing"}', '{"type":"say"}', '{"type":"hello","run":5}'])
def test_who_breaks_the_rules_is_closed(chat: ChatApp, text: str) -> None:
    page = chat.page(chat.admin(), says_hello=False)
    page.send_text(text)
    assert page.code == 1008
    page = chat.page(chat.admin())
    page.send_text(text)
    assert page.code == 1008


def test_a_page_says_hello_once_and_in_text(chat: ChatApp) -> None:
    cookie = chat.admin()
    page = chat.page(cookie)
    page.send("hello")
    assert page.code == 1008
    page = chat.page(cookie)
    page.send_bytes(b"{}")
    assert page.code == 1008


def test_a_page_without_a_hello_is_closed(chat: ChatApp) -> None:
    page = chat.page(chat.admin(), says_hello=False)
    chat.advance(9)
    page.read()
    assert page.code is None
    chat.advance(2)
    page.read()
    assert page.code == 4408


def test_a_ping_is_answered(chat: ChatApp) -> None:
    page = chat.page(chat.admin())
    page.send("ping")
    assert page.all("pong") == [{"type": "pong"}]


def test_requests_come_at_a_pace(chat: ChatApp) -> None:
    page = chat.page(chat.admin())
    for _ in range(60):
        page.transport.feed(page._protocol.send(page_text('{"type":"ping"}')))
    chat.app.reactor.settle()
    assert 50 <= len(page.all("pong")) < 60
    chat.advance(2)
    assert len(page.all("pong")) == 60


def page_text(text: str):  # type: ignore[no-untyped-def]
    from wsproto.events import TextMessage

    return TextMessage(text)


def test_an_open_page_counts_as_use_of_its_login(chat: ChatApp) -> None:
    page = chat.page(chat.admin())
    chat.advance(3000)
    page.read()
    # Nobody answers the pings of the server here, but those of the page would do: the login is what matters.
    assert page.code != 4401


def test_a_login_that_ends_ends_the_pages_and_the_guest(chat: ChatApp, tmp_path: Path) -> None:
    cookie = chat.guest("Bob")
    bob = chat.page(cookie)
    (place,) = (tmp_path / "chat").glob("guest-*")
    assert chat.request("POST", "/logout", cookie).status == 200
    chat.advance(1)
    bob.read()
    assert bob.code == 4401
    chat.advance(3)
    assert not place.exists()
    assert chat.app.get("/get-list").json()["peers"] == []
    late = chat.page(cookie, says_hello=False)
    assert late.code == 4401


def test_there_is_room_for_so_many(tmp_path: Path) -> None:
    with ChatApp(tmp_path, {"max_people": "1"}) as chat:
        ann = chat.page(chat.admin())
        bob = chat.page(chat.guest("Bob"))
        assert (bob.code, bob.reason) == (1013, "1 people are in the chat, which is the limit")
        assert ann.code is None
        answer = chat.request("POST", "/broadcast-peer", chat.guest("Cid"), json={"message": "hi"})
        assert answer.status == 503


def test_a_reload_of_the_server_changes_nothing_for_those_who_are_there(chat: ChatApp) -> None:
    ann, bob = both_in(chat)
    chat.app.reload({**chat.sections, "plugin:tracker": {"interval": "20"}})
    ann.say("#dev", "still here")
    chat.advance(1)
    assert bob.texts == ["still here"]
    cid = chat.page(chat.guest("Cid"))
    cid.do("join", channel="dev")
    chat.advance(2)
    cid.say("#dev", "new here")
    chat.advance(1)
    assert ann.texts == bob.texts == ["still here", "new here"]


def test_the_next_start_holds_everybody_again(tmp_path: Path) -> None:
    with ChatApp(tmp_path) as chat:
        cookie, guest = chat.admin(), chat.guest("Bob")
        ann, bob = chat.page(cookie), chat.page(guest)
        for page in (ann, bob):
            page.do("join", channel="dev")
        ids = {ann.id, bob.id}
        gone = chat.guest("Eve")
        chat.page(gone)
    stray = tmp_path / "chat/guest-of-a-crash"
    stray.mkdir()
    with ChatApp(tmp_path) as chat:
        chat.advance(2)
        listed = chat.app.get("/get-list").json()["peers"]
        assert ids < {peer["peer_id"] for peer in listed}
        assert {tuple(peer["channels"]) for peer in listed if peer["peer_id"] in ids} == {("dev",)}
        assert not stray.exists()
        ann = chat.page(cookie)
        assert ann.id in ids
        assert ann.presence("Bob")[-1] == "away"
        id_ = ann.say("#dev", "good morning")
        chat.advance(1)
        assert ann.states(id_)[-1] == ("delivered", 1, 1)


def test_a_channel_of_ones_own_is_so_after_a_restart_too(tmp_path: Path) -> None:
    with ChatApp(tmp_path) as chat:
        cookie = chat.admin()
        chat.page(cookie).do("join", channel="club")
    with ChatApp(tmp_path) as chat:
        chat.advance(2)
        page = chat.page(cookie)
        (conversation,) = page.welcome["conversations"]
        assert (conversation["id"], conversation["policy"], conversation["owner"]) == ("#club", "open", True)
        page.do("policy", channel="club", policy="invited")
        assert page.all("conversation")[-1]["conversation"]["policy"] == "invited"
