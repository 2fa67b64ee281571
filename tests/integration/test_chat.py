"""People with browsers and people with terminals in one chat: real processes, the page's end of it without a page."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_socket import PageSocket, come_as_guest, log_in
from peers import Peer
from server import ROOT, Server, curl, wait_until, write_config
from websockets.exceptions import InvalidStatus

from bench.process import free_port

PLUGINS = {"auth": f"index = {ROOT}/www/index.html\nguests = loopback", "chat": "# as it is"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """With a port that a server which is started again has once more."""
    return write_config(tmp_path / "config.ini", PLUGINS, listen=f"127.0.0.1:{free_port()}")


@pytest.fixture
def server(config: Path) -> Iterator[Server]:
    with Server(config) as server:
        yield server


def members(page: PageSocket, conversation: str, *ids: str) -> None:
    """Wait until they are the members, if they were not from the beginning."""
    known = [one for one in page.welcome["conversations"] if one["id"] == conversation]
    if known and set(known[0]["members"]) == set(ids):
        return
    page.wait(
        "conversation",
        lambda told: told["conversation"]["id"] == conversation and set(told["conversation"]["members"]) == set(ids),
    )


@pytest.mark.alone
def test_two_browsers_and_a_terminal_talk_in_a_channel(server: Server, tmp_path: Path) -> None:
    ann_cookie, bob_cookie = log_in(server.url), come_as_guest(server.url, "Bob")
    with (
        PageSocket(server.url, ann_cookie) as ann,
        PageSocket(server.url, bob_cookie) as bob,
        Peer(tmp_path, "cid", server.port, "--name", "Cid") as cid,
    ):
        for page in (ann, bob):
            page.do("join", channel="dev")
        cid.join("dev", ann.id, bob.id)
        members(ann, "#dev", ann.id, bob.id, "cid")

        began = time.monotonic()
        id_ = ann.say("#dev", "hello from a page")
        assert bob.wait_text("hello from a page")["name"] == "admin"
        cid.wait_for(f"Message in dev from {ann.id}: hello from a page")
        ann.wait_state(id_, "delivered", 2, 2)
        assert time.monotonic() - began < 1

        cid.ask("say dev hello from a terminal", "Delivered to 2 of 2 in channel dev: hello from a terminal")
        for page in (ann, bob):
            message = page.wait_text("hello from a terminal")
            assert (message["name"], message["from"], message["to"], message["mine"]) == ("Cid", "cid", "#dev", False)

        bob.say("#dev", "me too")
        assert ann.wait_text("me too")["name"] == "Bob (guest)"
        cid.wait_for("me too")


def test_direct_messages_go_both_ways_without_a_channel(server: Server, tmp_path: Path) -> None:
    ann_cookie, bob_cookie = log_in(server.url), come_as_guest(server.url, "Bob")
    with (
        Peer(tmp_path, "cid", server.port) as cid,
        PageSocket(server.url, ann_cookie) as ann,
        PageSocket(server.url, bob_cookie) as bob,
    ):
        ann.wait_person("cid", "listed")
        ann.do("open", peer="cid")
        ann.wait("conversation", lambda told: told["conversation"]["id"] == "@cid")
        id_ = ann.say("@cid", "psst")
        cid.wait_for(f"Message from {ann.id}: psst")
        ann.wait_state(id_, "delivered", 1, 1)
        cid.type(f"send {ann.id} yes?")
        assert ann.wait_text("yes?")["to"] == "@cid"

        ann.say(f"@{bob.id}", "and you")
        assert bob.wait_text("and you")["to"] == f"@{ann.id}"
        assert bob.wait("conversation", lambda told: told["conversation"]["id"] == f"@{ann.id}")
        cid.type("broadcast to all who listen")
        assert ann.wait_text("to all who listen")["to"] == "*"
        ann.say("*", "me too")
        cid.wait_for(f"Broadcast from {ann.id}: me too")


def test_a_message_to_somebody_who_is_not_there_waits_for_them(server: Server, tmp_path: Path) -> None:
    with PageSocket(server.url, log_in(server.url)) as ann:
        with Peer(tmp_path, "cid", server.port) as cid:
            ann.wait_person("cid", "listed")
            ann.do("open", peer="cid")
            ann.wait_person("cid", "here")
            ann.say("@cid", "first")
            cid.wait_for("first")
            ann.forget()  # that it was "connecting" before
            cid.kill()
        ann.wait_person("cid", "connecting")
        id_ = ann.say("@cid", "second")
        assert ann.wait_text("second")["state"]["state"] == "queued"
        with Peer(tmp_path, "cid", server.port) as cid:
            cid.wait_for("second", 60)
            ann.wait_state(id_, "delivered", 1, 1)


def test_an_unknown_peer_is_refused(server: Server) -> None:
    with PageSocket(server.url, log_in(server.url)) as ann:
        for asked in ("open", "say", "mute"):
            fields = {"peer": "nobody"} if asked != "say" else {"to": "@nobody", "text": "hi", "key": "k"}
            if asked == "mute":
                fields["muted"] = True  # type: ignore[assignment]
            answer = ann.ask(asked, **fields)
            assert (answer["type"], answer["code"]) == ("failed", "refused")
        assert ann.ask("say", to="#dev", text="hi", key="k")["message"] == "Not in channel dev: join it first"
        assert ann.ask("say", to=f"@{ann.id}", text="hi", key="k")["message"] == "That is you"


def test_all_tabs_of_a_user_see_the_same(server: Server) -> None:
    cookie = log_in(server.url)
    with (
        PageSocket(server.url, cookie) as one,
        PageSocket(server.url, cookie) as two,
        PageSocket(server.url, come_as_guest(server.url, "Bob")) as bob,
    ):
        assert one.id == two.id
        one.do("join", channel="dev")
        two.wait("conversation", lambda told: told["conversation"]["id"] == "#dev")
        bob.do("join", channel="dev")
        members(one, "#dev", one.id, bob.id)
        id_ = two.say("#dev", "from the second")
        message = one.wait_text("from the second")
        assert message["mine"]
        assert message["key"] == "key from the second"
        for tab in (one, two):
            tab.wait_state(id_, "delivered", 1, 1)
        bob.say("#dev", "read me")
        number = one.wait_text("read me")["number"]
        one.send(type="read", to="#dev", number=number)
        assert two.wait("read")["number"] == number
        with PageSocket(server.url, cookie) as three:
            (conversation,) = three.welcome["conversations"]
            assert (conversation["unread"], conversation["read"], conversation["last"]) == (0, number, number)
        two.do("leave", channel="dev")
        assert one.wait("gone")["id"] == "#dev"


def test_a_page_goes_on_where_it_was(server: Server) -> None:
    cookie = log_in(server.url)
    with PageSocket(server.url, come_as_guest(server.url, "Bob")) as bob:
        with PageSocket(server.url, cookie) as ann:
            assert ann.welcome["full"]
            run = ann.welcome["run"]
            for page in (ann, bob):
                page.do("join", channel="dev")
            members(ann, "#dev", ann.id, bob.id)
            bob.say("#dev", "before")
            since = ann.wait_text("before")["number"]
            with PageSocket(server.url, cookie):  # somebody is there meanwhile
                pass
        bob.say("#dev", "meanwhile")
        wait_until(lambda: "meanwhile" in curl("-H", f"Cookie: {cookie}", server.url + "/messages").body, 5)
        with PageSocket(server.url, cookie, run=run, since=since) as ann:
            assert not ann.welcome["full"]
            assert [message["text"] for message in ann.welcome["messages"]] == ["meanwhile"]
            bob.say("#dev", "after")
            ann.wait_text("after")
            assert [told["message"]["text"] for told in ann.told if told["type"] == "message"] == ["after"]
        with PageSocket(server.url, cookie, run="of another time", since=since) as ann:
            assert ann.welcome["full"]
            assert [message["text"] for message in ann.welcome["messages"]] == ["before", "meanwhile", "after"]
            answer = ann.do("older", to="#dev", before=ann.welcome["messages"][-1]["number"])
            assert [message["text"] for message in answer["messages"]] == ["before", "meanwhile"]
            assert answer["more"] is False


def test_nothing_is_lost_over_a_restart(config: Path, tmp_path: Path) -> None:
    with Server(config) as server:
        cookie, guest = log_in(server.url), come_as_guest(server.url, "Bob")
        with PageSocket(server.url, cookie) as ann, PageSocket(server.url, guest) as bob:
            for page in (ann, bob):
                page.do("join", channel="dev")
            members(ann, "#dev", ann.id, bob.id)
            done = ann.say("#dev", "delivered")
            ann.wait_state(done, "delivered", 1, 1)
            run, since, id_, bob_id = ann.welcome["run"], ann.wait_text("delivered")["number"], ann.id, bob.id
            bob.wait_text("delivered")
            server.send_signal(15)
            assert ann.wait_closed()[0] == 1001
        server.wait_stopped()
    with Server(config) as server, PageSocket(server.url, cookie, run=run, since=since, pending=[done]) as ann:
        assert (ann.id, ann.welcome["full"]) == (id_, False)
        assert ann.welcome["messages"] == []
        (state,) = ann.welcome["states"]
        assert (state["state"], state["delivered"], state["of"]) == ("delivered", 1, 1)
        assert [conversation["id"] for conversation in ann.welcome["conversations"]] == ["#dev"]
        again = ann.say("#dev", "delivered")  # with the key of before: its answer may have been lost
        assert again == done
        members(ann, "#dev", ann.id, bob_id)
        ann.say("#dev", "to a guest whose page is closed")
        with PageSocket(server.url, guest) as bob:
            assert bob.id == bob_id
            wait_until(lambda: _has(bob, "to a guest whose page is closed"), 10)


def _has(page: PageSocket, text: str) -> bool:
    try:
        page.wait_text(text, 0.1)
    except AssertionError:
        return any(message["text"] == text for message in page.welcome["messages"])
    return True


def test_the_end_of_the_login_closes_every_page_and_ends_the_peer(server: Server) -> None:
    cookie = come_as_guest(server.url, "Bob")
    place = server.config.parent / "var/chat"
    with PageSocket(server.url, log_in(server.url)) as ann, PageSocket(server.url, cookie) as bob:
        ann.wait_person("Bob", "listed")
        assert len(list(place.glob("guest-*"))) == 1
        assert curl("-X", "POST", "-H", f"Cookie: {cookie}", server.url + "/logout").status == 200
        assert bob.wait_closed(2)[0] == 4401
        ann.wait_person("Bob", "offline")
        wait_until(lambda: not list(place.glob("guest-*")), 5)
        assert [peer["peer_id"] for peer in curl(server.url + "/get-list").json["peers"]] == [ann.id]
    page = PageSocket(server.url, cookie)
    page.open()
    assert page.wait_closed() == (4401, "log in first")


def test_who_is_not_logged_in_is_told_so(server: Server) -> None:
    for cookie in ("", "auth=true", "auth=true; session=" + 43 * "x"):
        page = PageSocket(server.url, cookie)
        page.open()
        assert page.wait_closed() == (4401, "log in first")
    for path in ("/send-peer", "/broadcast-peer"):
        assert curl("-d", '{"peer_id": "x", "message": "hi"}', server.url + path).status == 401
    state = curl(server.url + "/chat/state").json
    assert state == {"kind": "server", "user": None, "guest": False, "guests": True, "login": "/login"}


def test_a_page_of_another_site_opens_nothing(server: Server) -> None:
    cookie = log_in(server.url)
    with pytest.raises(InvalidStatus) as refused:
        PageSocket(server.url, cookie, origin="http://evil.example")
    assert refused.value.response.status_code == 403


def test_who_does_not_speak_as_a_page_does_is_closed(server: Server) -> None:
    cookie = log_in(server.url)
    for first in ('{"type":"ping"}', "no json", '{"type":"hello","since":-1}'):
        page = PageSocket(server.url, cookie)
        page.socket = page._connecting.__enter__()
        page.socket.send(first)
        assert page.wait_closed()[0] == 1008
    with PageSocket(server.url, cookie) as page:
        page.socket.send(b"\x00")
        assert page.wait_closed()[0] == 1008


def test_somebody_muted_is_not_heard_also_after_a_restart(config: Path) -> None:
    with Server(config) as server:
        cookie, guest = log_in(server.url), come_as_guest(server.url, "Bob")
        with PageSocket(server.url, cookie) as ann, PageSocket(server.url, guest) as bob:
            ann.wait_person("Bob", "listed")
            ann.do("mute", peer=bob.id, muted=True)
            ann.wait("person", lambda told: told["person"]["muted"])
            id_ = bob.say(f"@{ann.id}", "hey")
            state = bob.wait_state(id_, "failed", 0, 1)
            assert state["reasons"] == [{"peer": ann.id, "state": "failed", "reason": "refused: muted"}]
        server.stop()
    with Server(config) as server, PageSocket(server.url, guest) as bob, PageSocket(server.url, cookie) as ann:
        bob.wait_state(bob.say(f"@{ann.id}", "hey again"), "failed", 0, 1)
        ann.do("mute", peer=bob.id, muted=False)
        bob.say(f"@{ann.id}", "and now")
        ann.wait_text("and now")
        assert all(told["message"]["text"] != "hey again" for told in ann.told if told["type"] == "message")


def test_who_has_no_page_open_is_away(server: Server, tmp_path: Path) -> None:
    ann_cookie, bob_cookie = log_in(server.url), come_as_guest(server.url, "Bob")
    with PageSocket(server.url, ann_cookie) as ann, Peer(tmp_path, "cid", server.port) as cid:
        with PageSocket(server.url, bob_cookie) as bob:
            for page in (ann, bob):
                page.do("join", channel="dev")
            cid.join("dev", ann.id, bob.id)
            ann.wait_person("Bob", "here")
            cid.ask_until("peers", "2 peers connected", f'{bob.id} "Bob (guest)": connected')
        ann.forget()
        ann.wait_person("Bob", "away")
        cid.ask_until("peers", "2 peers connected", f'{bob.id} "Bob (guest)": away')
        with PageSocket(server.url, bob_cookie):
            ann.wait_person("Bob", "here")


def test_a_channel_of_ones_own(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", {**PLUGINS, "tracker": "interval = 2s"})  # who is put out hears then
    with (
        Server(config) as server,
        PageSocket(server.url, log_in(server.url)) as ann,
        PageSocket(server.url, come_as_guest(server.url, "Bob")) as bob,
    ):
        ann.do("join", channel="club")
        told = ann.wait("conversation")["conversation"]
        ann.do("policy", channel="club", policy="password", password="sesame")
        told = ann.wait("conversation", lambda told: told["conversation"]["policy"] == "password")["conversation"]
        assert told["owner"]
        assert "club" in bob.do("channels")["channels"]
        assert bob.ask("join", channel="club")["code"] == "wrong_password"
        assert bob.ask("join", channel="club", password="wrong")["code"] == "wrong_password"
        bob.do("join", channel="club", password="sesame")
        members(ann, "#club", ann.id, bob.id)
        ann.say("#club", "inside")
        bob.wait_text("inside")
        ann.do("remove", channel="club", peer=bob.id)
        assert bob.wait("gone")["id"] == "#club"
        ann.do("policy", channel="club", policy="invited")
        assert bob.ask("join", channel="club")["code"] == "not_invited"
        invite = ann.do("invite", channel="club")["invite"]
        bob.do("join", channel="club", invite=invite)


def test_programs_post_as_the_user(server: Server, tmp_path: Path) -> None:
    cookie = log_in(server.url)
    with Peer(tmp_path, "cid", server.port) as cid, PageSocket(server.url, cookie) as ann:
        ann.wait_person("cid", "listed")
        ann.do("open", peer="cid")
        ann.wait_person("cid", "here")
        body = json.dumps({"peer_id": "cid", "message": "by curl", "wait": 5})
        answer = curl("-H", f"Cookie: {cookie}", "-d", body, server.url + "/send-peer").json
        assert answer["recipients"] == {"cid": {"state": "delivered"}}
        cid.wait_for("by curl")
        assert ann.wait_text("by curl")["id"] == answer["id"]
        body = json.dumps({"message": "to all"})
        assert curl("-H", f"Cookie: {cookie}", "-d", body, server.url + "/broadcast-peer").status == 200
        cid.wait_for("to all")
        told = curl("-H", f"Cookie: {cookie}", server.url + "/messages?peer=cid").json["messages"]
        assert [message["message"] for message in told] == ["by curl"]


def test_a_port_with_several_peers_wants_to_know_for_whom(server: Server) -> None:
    hello = {
        "type": "handshake", "peer_id": "nc", "v": 1, "instance": 32 * "0", "epoch": 16 * "0", "nonce": 32 * "0",
    }  # fmt: skip

    def greet(**more: str) -> dict[str, str]:
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            sock.sendall(json.dumps(hello | more).encode() + b"\n")
            return dict(json.loads(sock.makefile().readline()))

    assert greet()["code"] == "which_peer"
    with PageSocket(server.url, log_in(server.url)) as ann:
        assert greet()["peer_id"] == ann.id
        with PageSocket(server.url, come_as_guest(server.url, "Bob")) as bob:
            assert greet()["code"] == "which_peer"
            assert greet(to=bob.id)["peer_id"] == bob.id
            assert greet(to="nobody")["code"] == "which_peer"


def test_a_peer_of_ones_own_has_a_page_for_who_knows_its_token(server: Server, tmp_path: Path) -> None:
    with Peer(tmp_path, "dee", server.port, "--name", "Dee", "--http", "127.0.0.1:0") as dee:
        url, _, token = dee.wait_for("HTTP interface").rpartition(" ")[2].partition("/chat/#token=")
        assert curl(url + "/").header("location") == "/chat/"
        assert curl(url + "/chat/").header("content-security-policy")
        assert curl("-H", "Host: evil.example", url + "/chat/").status == 403
        state = {"kind": "peer", "user": None, "guest": False, "guests": False, "login": "/login"}
        assert curl(url + "/chat/state").json == state
        for wrong in ("", "0" * 32):
            page = PageSocket(url, token=wrong)
            page.open()
            assert page.wait_closed()[0] == 4401
        with pytest.raises(InvalidStatus):
            PageSocket(url, origin="http://evil.example", token=token)
        with (
            PageSocket(url, token=token) as page,
            PageSocket(url, token=token) as other,
            PageSocket(server.url, log_in(server.url)) as ann,
        ):
            assert (page.welcome["me"]["id"], page.welcome["me"]["name"]) == ("dee", "Dee")
            page.do("join", channel="dev")
            ann.do("join", channel="dev")
            members(page, "#dev", "dee", ann.id)
            ann.say("#dev", "to a peer of one's own")
            for tab in (page, other):
                tab.wait_text("to a peer of one's own")
            dee.wait_for(f"Message in dev from {ann.id}: to a peer of one's own")
            dee.type("say dev from the terminal")
            ann.wait_text("from the terminal")
            assert other.wait_text("from the terminal")["mine"]
            page.say("#dev", "from the page")
            ann.wait_text("from the page")
            dee.wait_for("Delivered to 1 of 1 in channel dev: from the page")
            dee.ask("leave dev", "Left channel: dev")
            assert page.wait("gone")["id"] == "#dev"


def test_check_says_how_many_people_the_system_has_room_for(config: Path) -> None:
    line = f"ulimit -n 400; exec {sys.executable} -m reactor -c {config} --check"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, text=True, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "max_people = 200: only 25 are let in" in line]
    assert "max_connections = 236" in done.stdout  # less 64 of the server, and four for each
