"""The HTTP interface of a real peer, asked with curl: each endpoint, and everybody who must be turned away."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from peers import Peer
from server import ENVIRONMENT, ROOT, Answer, Server, curl, wait_until, write_config

A, B, C = "aaaa1111", "bbbb2222", "cccc3333"


class Web(NamedTuple):
    """The interface of a peer, as its banner names it."""

    url: str
    token: str

    def ask(self, path: str, *options: str, fields: Any = None) -> Answer:
        body = [] if fields is None else ["--data", json.dumps(fields)]
        return curl(*body, *options, "--header", f"Authorization: Bearer {self.token}", self.url + path)


def with_web(peer: Peer) -> Web:
    line = peer.wait_for("[Peer] HTTP interface: ")
    match = re.fullmatch(r"\[Peer\] HTTP interface: (http://127\.0\.0\.1:\d+)/chat/#token=([0-9a-f]{32})", line)
    assert match is not None, line
    return Web(*match.groups())


def failure(answer: Answer) -> tuple[int, str]:
    assert answer.json["status"] == "error"
    return answer.status, answer.json["error"]["code"]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Peer, Web, Peer]]:
    """Ann with an interface, and Bob; neither knows of the other, and there is no tracker."""
    with Peer(tmp_path, A, None, "--http", "127.0.0.1:0", "--name", "Ann") as ann, Peer(tmp_path, B, None) as bob:
        yield ann, with_web(ann), bob


@pytest.mark.parametrize("slash", ["", "/"])
def test_two_peers_chat_through_http(pair: tuple[Peer, Web, Peer], slash: str) -> None:
    ann, web, bob = pair
    where = {"peer_id": B, "ip": "127.0.0.1", "port": bob.port}
    assert failure(web.ask("/send-peer" + slash, fields={"peer_id": B, "message": "x"})) == (404, "not_connected")

    answer = web.ask("/connect-peer" + slash, fields=where)
    assert (answer.status, answer.json) == (200, {"status": "success", **where})
    bob.wait_for(f"[Peer] Handshake from peer: {A}")

    answer = web.ask("/send-peer" + slash, fields={"peer_id": "bbbb", "message": "grüße 🦉", "wait": 9})
    assert answer.json["recipients"] == {B: {"state": "delivered"}}
    bob.wait_for(f"[Peer] Message from {A}: grüße 🦉")
    ann.wait_for(f"[Peer] Delivered to {B}: grüße 🦉")

    answer = web.ask("/broadcast-peer" + slash, fields={"message": "to all", "wait": 9})
    assert answer.json["recipients"] == {B: {"state": "delivered"}}
    bob.wait_for(f"[Peer] Broadcast from {A}: to all")
    bob.ask(f"send {A} thanks", f"[Peer] Delivered to {A}: thanks")

    messages = web.ask("/messages" + slash).json["messages"]
    assert [(one["peer_id"], one["message"]) for one in messages] == [(A, "grüße 🦉"), (A, "to all"), (B, "thanks")]
    assert messages[0]["recipients"] == {B: {"state": "delivered"}} and "recipients" not in messages[2]
    messages = web.ask(f"/messages{slash}?peer={B}&limit=1").json["messages"]
    assert [one["message"] for one in messages] == ["thanks"]
    assert web.ask(f"/messages{slash}?channel=broadcast").json["messages"][0]["message"] == "to all"


def test_channels_and_the_list_go_by_the_tracker(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", {"auth": "", "static": ""})
    with Server(config) as tracker, Peer(tmp_path, A, tracker.port, "--http", "127.0.0.1:0") as ann:
        web = with_web(ann)
        with Peer(tmp_path, B, tracker.port, "--name", "Bob") as bob:
            for peer in (bob, ann):
                peer.wait_for("[Peer] Registered with tracker")
                peer.ask("join class", "[Peer] Auto-connected to")
            for path in ("/get-list", "/get-list/", "/get-list?channel=class"):
                listed = web.ask(path).json
                assert sorted(peer["peer_id"] for peer in listed["peers"]) == [A, B], path
                assert (listed["channels"], listed["total_peers"], listed["fresh"]) == (["class"], 2, True)
            assert web.ask("/connect-peer", fields={"username": "Bob"}).json["port"] == bob.port
            fields = {"message": "to the class", "channel": "class", "wait": 9}
            assert web.ask("/broadcast-peer", fields=fields).json["recipients"] == {B: {"state": "delivered"}}
            bob.wait_for(f"[Peer] Message in class from {A}: to the class")
            answer = web.ask("/broadcast-peer", fields={"message": "x", "channel": "elsewhere"})
            assert failure(answer) == (404, "not_a_member")
            tracker.stop()
            listed = web.ask("/get-list").json
            assert (listed["total_peers"], listed["fresh"]) == (2, False) and listed["reason"]
            fields = {"peer_id": B, "message": "still here", "wait": 9}
            assert web.ask("/send-peer", fields=fields).json["recipients"] == {B: {"state": "delivered"}}


def test_why_a_connection_failed_is_said(pair: tuple[Peer, Web, Peer]) -> None:
    _, web, bob = pair
    with socket.create_server(("127.0.0.1", 0)) as sock:
        nobody = sock.getsockname()[1]
    refused = web.ask("/connect-peer", fields={"peer_id": C, "ip": "127.0.0.1", "port": nobody})
    assert failure(refused) == (502, "unreachable")
    assert f"nobody listens at 127.0.0.1:{nobody} (connection refused)" in refused.body
    wrong = web.ask("/connect-peer", fields={"peer_id": C, "ip": "127.0.0.1", "port": bob.port})
    assert failure(wrong) == (502, "unreachable")
    assert f"the peer there is {B}" in wrong.body
    assert failure(web.ask("/connect-peer", fields={"peer_id": "somebody"})) == (404, "unknown_peer")


def test_who_has_no_token_and_who_comes_from_a_page_is_turned_away(pair: tuple[Peer, Web, Peer]) -> None:
    _, web, bob = pair
    fields = {"peer_id": B, "ip": "127.0.0.1", "port": bob.port}
    assert web.ask("/connect-peer", fields=fields).status == 200
    token = ["--header", f"Authorization: Bearer {web.token}"]
    say = ["--data", '{"message": "forged"}', web.url + "/broadcast-peer"]
    port = web.url.rpartition(":")[2]
    turned_away = {
        "no_token": [[], ["--header", "Authorization: Bearer " + "0" * 32], ["--user", f"x:{web.token}"],
                     ["--cookie", f"token={web.token}"]],
        "foreign_origin": [[*token, "--header", "Origin: https://evil.example"], [*token, "--header", "Origin: null"],
                           [*token, "--header", f"Origin: http://localhost:{port}"],
                           [*token, "--header", "Sec-Fetch-Site: cross-site"]],
        "foreign_host": [[*token, "--header", "Host: evil.example"], [*token, "--header", f"Host: evil.example:{port}"],
                         [*token, "--header", f"Host: evil.example:{port}", "--header",
                          f"Origin: http://evil.example:{port}"]],
    }  # fmt: skip
    for code, attempts in turned_away.items():
        for attempt in attempts:
            answer = curl(*attempt, *say)
            assert failure(answer) == (401 if code == "no_token" else 403, code), attempt
            assert not [name for name, _ in answer.headers if name.startswith("access-control")]
            assert (answer.header("www-authenticate") == "Bearer") == (code == "no_token")
    preflight = curl("--request", "OPTIONS", "--header", "Origin: https://evil.example", "--header",
                     "Access-Control-Request-Method: POST", web.url + "/broadcast-peer")  # fmt: skip
    assert preflight.status == 403
    own = curl(*token, "--header", f"Host: localhost:{port}", "--header", f"Origin: http://localhost:{port}", *say)
    assert own.status == 200
    bob.wait_for(f"[Peer] Broadcast from {A}: forged")
    assert bob.text.count("forged") == 1


def test_a_quit_does_not_wait_for_those_who_wait(pair: tuple[Peer, Web, Peer]) -> None:
    ann, web, bob = pair
    assert web.ask("/connect-peer", fields={"peer_id": B, "ip": "127.0.0.1", "port": bob.port}).status == 200
    bob.kill()
    ann.wait_for(f"[Peer] Disconnected from peer: {B}")
    command = ["curl", "--silent", "--data", json.dumps({"peer_id": B, "message": "hello", "wait": 30}), "--header",
               f"Authorization: Bearer {web.token}", web.url + "/send-peer"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as waiting:
        wait_until(lambda: "hello" in web.ask("/messages").body, 5)
        before = time.monotonic()
        ann.quit()
        assert time.monotonic() - before < 15  # and not for those 30 seconds
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.read())["recipients"] == {B: {"state": "queued"}}


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    with Peer(tmp_path, A, None) as ann:
        ann.ask("peers", "[Peer] 0 peers connected")
        assert "HTTP interface" not in ann.text


@pytest.mark.parametrize(
    ("http", "status", "words"),
    [("0.0.0.0:0", 2, "error: argument --http: others could reach 0.0.0.0:0: give 127.0.0.1:0"),
     ("192.168.1.3:9301", 2, "others could reach 192.168.1.3:9301"), ("9301", 2, "is not HOST:PORT"),
     ("127.0.0.1:TAKEN", 1, "another program has this port")],
)  # fmt: skip
def test_where_it_may_not_listen_the_peer_does_not_start(tmp_path: Path, http: str, status: int, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        http = http.replace("TAKEN", str(sock.getsockname()[1]))
        command = [sys.executable, "-m", "peer", "0", "--no-tracker", "--data", str(tmp_path), "--http", http]
        ran = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, text=True)
    assert ran.returncode == status
    assert words in ran.stderr and "Traceback" not in ran.stderr
    assert "listens for peers" not in ran.stdout
