"""Ten peers in five channels, killed and started again at random; then each has the links and the members it should.

CHAOS_SECONDS is how long the killing goes on; CHAOS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

from peers import Peer
from server import Server, curl, wait_until, write_config

from bench.process import free_port

SECONDS = float(os.environ.get("CHAOS_SECONDS", "6"))
SEED = os.environ.get("CHAOS_SEED", "")
SETTLE = 90.0
NODES, CHANNELS = 10, 5


class Member:
    """One who is killed and comes back, at the same port, with the same data, in the same channels."""

    def __init__(self, folder: Path, number: int, tracker: int, channels: list[str]) -> None:
        self.peer_id = f"{number:08x}"
        self.channels = channels
        self._folder = folder
        self._tracker = tracker
        self._port = free_port()
        self.peer = self._start()

    def _start(self) -> Peer:
        peer = Peer(self._folder, self.peer_id, self._tracker, "--no-history", port=self._port)
        peer.__enter__()
        peer.type(*(f"join {channel}" for channel in self.channels))
        return peer

    def restart(self) -> None:
        self.peer.kill()
        self.peer = self._start()

    def linked(self) -> set[str]:
        """Who it says it is connected to, each as often as it should be: once."""
        first = self.peer.ask("peers", "peers connected")
        count = int(first.split()[1])
        if count:
            wait_until(lambda: len(self._listed(first)) >= count, 5, lambda: self.peer.text, self.peer.process)
        found = self._listed(first)[:count]
        assert len(set(found)) == len(found), found
        return set(found)

    def _listed(self, first: str) -> list[str]:
        behind = self.peer.text.rpartition(first + "\n")[2].splitlines()
        return [line[2:10] for line in behind if line.startswith("- ") and ": connected" in line]


def listed(server: Server, channel: str) -> set[str]:
    return {peer["peer_id"] for peer in curl(f"{server.url}/get-list?channel={channel}").json["peers"]}


def should_be_linked(members: list[Member], one: Member) -> set[str]:
    return {other.peer_id for other in members if other is not one and set(other.channels) & set(one.channels)}


def test_after_the_chaos_everybody_has_the_links_and_members_it_should(tmp_path: Path) -> None:
    chance = random.Random(SEED or None)
    with ExitStack() as stack:
        server = stack.enter_context(Server(write_config(tmp_path / "config.ini", {"auth": "", "static": ""})))
        members: list[Member] = []
        stack.callback(lambda: [member.peer.kill() for member in members])
        for number in range(NODES):
            channels = chance.sample([f"channel{n}" for n in range(CHANNELS)], 2)
            members.append(Member(tmp_path, number, server.port, channels))
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            chance.choice(members).restart()
            time.sleep(chance.random() * 0.3)
        _wait_for_peace(members)
        for n in range(CHANNELS):
            name = f"channel{n}"
            # Who is found and linked by the others may still be on its way to the tracker.
            theirs = {member.peer_id for member in members if name in member.channels}
            wait_until(lambda name=name, theirs=theirs: listed(server, name) == theirs, 30.0)  # type: ignore[misc]
        for member in members:
            member.peer.type("quit")
        for member in members:
            assert member.peer.process.wait(15) == 0
            assert "Traceback" not in member.peer.text


def _wait_for_peace(members: list[Member]) -> None:
    deadline = time.monotonic() + SETTLE
    while True:
        wrong = {
            member.peer_id: (have, want)
            for member in members
            if (have := member.linked()) != (want := should_be_linked(members, member))
        }
        if not wrong:
            return
        assert time.monotonic() < deadline, wrong
        time.sleep(1.0)
