"""Three real peers and a real tracker walk through every command, and through what can go wrong; by their lines."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import Peer
from server import Server, curl, wait_until, write_config

from bench.process import free_port

A, B, C = "aaaa1111", "bbbb2222", "cccc3333"


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Server]:
    with Server(write_config(tmp_path / "config.ini", {"auth": "", "static": ""})) as server:
        yield server


def listed(server: Server, channel: str = "") -> list[str]:
    answer = curl(f"{server.url}/get-list?channel={channel}" if channel else f"{server.url}/get-list")
    return sorted(peer["peer_id"] for peer in answer.json["peers"])


def test_three_people_chat(tmp_path: Path, tracker: Server) -> None:
    port = tracker.port
    with Peer(tmp_path, A, port, "--name", "Ann") as ann, Peer(tmp_path, B, port, "--name", "Bob") as bob:
        for peer in (ann, bob):
            peer.wait_for("[Peer] Registered with tracker")
        ann.ask("list", "[Peer] Retrieved 2 peers from tracker", "Active peers:")
        assert f"- {B} (127.0.0.1:{bob.port}) Bob" in ann.lines or ann.wait_for(f"- {B} (127.0.0.1:{bob.port})")

        ann.ask("join class", "[Peer] Joined channel: class", "[Peer] Auto-connecting to peers in channel 'class'...",
                "[Peer] Retrieved 1 peers from tracker",
                "[Peer] Auto-connected to 0 peers in channel 'class'")  # fmt: skip
        bob.ask("join class", "[Peer] Joined channel: class", "[Peer] Retrieved 2 peers from tracker",
                f"[Peer] Connecting to peer {A} at 127.0.0.1:{ann.port}", f"[Peer] Connected to peer: {A}",
                "[Peer] Auto-connected to 1 peers in channel 'class'")  # fmt: skip
        ann.wait_for("[Peer] New P2P connection from (127.0.0.1, ")
        ann.wait_for(f"[Peer] Handshake from peer: {B}")
        assert listed(tracker, "class") == [A, B]

        ann.ask(f"send {B} hello   Bob", f"[Peer] Sent message to {B}: hello   Bob",
                f"[Peer] Delivered to {B}: hello   Bob")  # fmt: skip
        bob.wait_for(f"[Peer] Message from {A}: hello   Bob")
        bob.ask("send Ann by name", f"[Peer] Delivered to {A}: by name")
        bob.ask("send aaa by prefix", f"[Peer] Delivered to {A}: by prefix")
        ann.wait_for(f"[Peer] Message from {B}: by prefix")

        with Peer(tmp_path, C, port) as cid:
            cid.wait_for("[Peer] Registered with tracker")
            cid.ask(f"connect {A} 127.0.0.1 {ann.port}", f"[Peer] Connecting to peer {A} at 127.0.0.1:{ann.port}",
                    f"[Peer] Connected to peer: {A}")  # fmt: skip
            ann.wait_for(f"[Peer] Handshake from peer: {C}")
            ann.ask("broadcast to all", "[Peer] Broadcasted to 2 peers: to all", "[Peer] Delivered to 2 of 2: to all")
            for peer in (bob, cid):
                peer.wait_for(f"[Peer] Broadcast from {A}: to all")
            ann.ask("say class to the class", "[Peer] Sent message to channel class: to the class",
                    "[Peer] Delivered to 1 of 1 in channel class: to the class")  # fmt: skip
            bob.wait_for(f"[Peer] Message in class from {A}: to the class")
            assert "to the class" not in cid.text
            cid.ask("join class", "[Peer] Auto-connected to 1 peers in channel 'class'")
            bob.wait_for(f"[Peer] Handshake from peer: {C}")
            cid.ask("say class three", "[Peer] Delivered to 2 of 2 in channel class: three")
            for peer in (ann, bob):
                peer.wait_for(f"[Peer] Message in class from {C}: three")
            ann.ask("peers", "[Peer] 2 peers connected", f"- {B} Bob: connected, round trip ", f"- {C}: connected")
            ann.ask("channels", "[Peer] In 1 channel", "- class (3 members, 2 connected)")
            ann.ask("history class", "[Peer] 2 messages in channel class", "you in class: to the class",
                    f"{C} in class: three")  # fmt: skip
            ann.ask("history bbbb", f"you to {B}: hello   Bob", f"{B}: by name")
            cid.ask("leave class", "[Peer] Left channel: class")
            wait_until(lambda: "(2 members" in ann.ask("channels", "- class ("), 10.0, lambda: ann.text, ann.process)
            ann.ask("say class two again", "[Peer] Delivered to 1 of 1 in channel class: two again")
            cid.quit()
            ann.wait_for(f"[Peer] Disconnected from peer: {C}")
        assert listed(tracker) == [A, B]
        bob.quit()
        assert "[Peer] The tracker was told that we leave" in bob.lines
        assert listed(tracker) == [A]


def test_what_a_person_gets_wrong_is_said_in_a_line(tmp_path: Path, tracker: Server) -> None:
    with Peer(tmp_path, A, tracker.port) as ann, Peer(tmp_path, B, tracker.port) as bob:
        ann.ask("dance", "Commands:", "quit", "[Peer] Unknown command: dance")
        ann.ask("send bbbb2222 hello", "[Peer] Not connected to peer: bbbb2222")
        ann.ask("send", "[Peer] Usage: send <peer_id> <message>")
        ann.ask("say nowhere hello", "[Peer] Not in channel nowhere: join it first")
        ann.ask("leave nowhere", "[Peer] Not in channel nowhere")
        ann.ask(f"connect {B} 127.0.0.1 x", "[Peer] x is no port")
        port = free_port()
        ann.ask(f"connect {B} 127.0.0.1 {port}", f"[Peer] Failed to connect to {B}: nobody listens at 127.0.0.1:{port}")
        ann.ask(f"connect {C} 127.0.0.1 {bob.port}", f"[Peer] Failed to connect to {C}: the peer there is {B}")
        ann.ask(f"connect {A} 127.0.0.1 {ann.port}", "[Peer] That is this peer itself")
        ann.ask("join direct", "[Peer] Failed to join channel direct")
        with Peer(tmp_path, "bbbb9999", tracker.port) as third:
            third.wait_for("[Peer] Registered with tracker")
            ann.ask("list", "[Peer] Retrieved 3 peers from tracker")
            ann.ask("send bbbb hello", "[Peer] bbbb is ambiguous: ")


def test_a_link_that_was_lost_comes_back_and_brings_what_waited(tmp_path: Path) -> None:
    """The other one is killed, and comes back at the same port with its data."""
    port = free_port()
    with Peer(tmp_path, A, None) as ann:
        with Peer(tmp_path, B, None, port=port) as bob:
            ann.ask(f"connect {B} 127.0.0.1 {port}", f"[Peer] Connected to peer: {B}")
            ann.ask("send bbbb one", f"[Peer] Delivered to {B}: one")
            bob.kill()
        ann.wait_for(f"[Peer] Disconnected from peer: {B}")
        ann.ask("send bbbb two", f"[Peer] Not connected to peer: {B} (queued)")
        with Peer(tmp_path, B, None, port=port) as bob:
            bob.wait_for(f"[Peer] Message from {A}: two")
            ann.wait_for(f"[Peer] Delivered to {B}: two")
            bob.ask("history", "[Peer] 2 messages", f"{A}: one", f"{A}: two")
            assert f"Message from {A}: one" not in bob.text
            ann.quit()
            assert "[Peer] The tracker" not in ann.text


def test_a_peer_killed_with_messages_waiting_sends_them_after_its_restart(tmp_path: Path) -> None:
    port = free_port()
    with Peer(tmp_path, A, None) as ann, Peer(tmp_path, B, None, port=port) as bob:
        ann.ask(f"connect {B} 127.0.0.1 {port}", f"[Peer] Connected to peer: {B}")
        ann.ask("send bbbb one", f"[Peer] Delivered to {B}: one")
        bob.kill()
        ann.wait_for(f"[Peer] Disconnected from peer: {B}")
        ann.ask("send bbbb two", "(queued)")
        ann.ask("history", f"you to {B}: two")  # it is on the disk
        ann.kill()
    with Peer(tmp_path, B, None, port=port) as bob, Peer(tmp_path, A, None) as ann:
        ann.ask("history", "[Peer] 2 messages", f"you to {B}: one", f"you to {B}: two")
        ann.ask(f"connect {B} 127.0.0.1 {port}", f"[Peer] Connected to peer: {B}", f"[Peer] Delivered to {B}: two")
        bob.wait_for(f"[Peer] Message from {A}: two")
        assert sum("Message from" in line for line in bob.lines) == 1


def test_the_tracker_is_down_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    with Peer(tmp_path, A, port) as ann, Peer(tmp_path, B, port) as bob:
        ann.wait_for(f"[Peer] Tracker 127.0.0.1:{port} cannot be reached")
        ann.ask("list", "[Peer] ")
        ann.ask("join class", "[Peer] Failed to join channel class: ")
        ann.ask(f"connect {B} 127.0.0.1 {bob.port}", f"[Peer] Connected to peer: {B}")
        ann.ask("send bbbb without a tracker", f"[Peer] Delivered to {B}: without a tracker")
        plugins = {"auth": "", "static": "", "tracker": "interval = 2s"}
        config = write_config(tmp_path / "config.ini", plugins, listen=f"127.0.0.1:{port}")
        with Server(config) as server:
            for peer in (ann, bob):
                peer.wait_for("[Peer] Registered with tracker", 40)
            ann.ask("join class", "[Peer] Joined channel: class")
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(10)
        ann.ask("send bbbb still here", f"[Peer] Delivered to {B}: still here")
        with Server(config) as server:
            wait_until(lambda: A in listed(server, "class"), 60, lambda: ann.text, ann.process)
        ann.quit()
        assert "[Peer] The tracker could not be told that we leave" in ann.lines


def test_the_end_of_the_input_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    with Peer(tmp_path, B, None) as bob:
        with Peer(tmp_path, A, None) as ann:
            assert ann.process.stdin is not None
            ann.type(f"connect {B} 127.0.0.1 {bob.port}", *(f"send bbbb {n}" for n in range(8)))
            ann.process.stdin.close()
            assert ann.process.wait(15) == 0
            assert [line for line in ann.lines if "Delivered" in line] == [
                f"[Peer] Delivered to {B}: {n}" for n in range(8)
            ]
        bob.wait_for(f"[Peer] Message from {A}: 7")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_quit(tmp_path: Path, tracker: Server, number: signal.Signals) -> None:
    with Peer(tmp_path, A, tracker.port) as ann:
        ann.wait_for("[Peer] Registered with tracker")
        ann.process.send_signal(number)
        ann.wait_for("[Peer] The tracker was told that we leave")
        ann.wait_for("[Peer] Left. Goodbye!")
        assert ann.process.wait(10) == 0
    assert listed(tracker) == []
