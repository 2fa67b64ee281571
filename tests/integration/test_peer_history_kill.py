"""A process that saves and says what is safe is killed at random moments: what it said is there, and nothing half-done.

Run as a program, this file is that process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from server import ENVIRONMENT, ROOT, wait_until

from peer.identity import Identity
from peer.storage.history import History
from peer.storage.store import Copy, Entry, Mark, Received, Saved, Sent, Settled
from reactor.core.loop import Reactor
from reactor.core.task import Future
from reactor.errors import StartError

EPOCH = "00112233aabbccdd"
ROUNDS = 8
IN_FLIGHT = 20


def entry(author: str, n: int) -> Entry:
    return Entry(f"{author}:{EPOCH}:{n}", author, author, "direct", "bob", "hello " * 50, n, n, "2026-01-01T00:00:00Z")


# -- the process that is killed ----------------------------------------------------------------------------------------


class Talker:
    """Sends message n, takes their message n, and has message n - 10 settled; a line is written when one is safe."""

    def __init__(self, reactor: Reactor, history: History, saved: Saved) -> None:
        self._history = history
        self._n = saved.n
        self._upto = saved.marks["bob"].upto if "bob" in saved.marks else 0
        for _ in range(IN_FLIGHT):
            reactor.call_soon(self.step)

    def step(self) -> None:
        self._n, self._upto = self._n + 1, self._upto + 1
        mine, theirs = entry("me", self._n), entry("bob", self._upto)
        saves = (
            ("sent", self._n, Sent(mine, (Copy(mine, "bob", self._n, 1000.5),))),
            ("received", self._upto, Received("bob", Mark(EPOCH, self._upto), theirs)),
            ("settled", self._n - 10, Settled("bob", (self._n - 10,))),
        )
        for what, number, change in saves:
            self._history.save(change).on_done(says(f"{what} {number}\n"))
        self._history.save(Settled("nobody", ())).on_done(lambda _: self.step())


def says(line: str) -> Callable[[Future[None]], None]:
    def say(future: Future[None]) -> None:
        future.result()
        os.write(1, line.encode())

    return say


def main(directory: Path) -> None:
    identity = Identity.open(directory, "me")
    reactor = Reactor()
    history = History(reactor, directory)
    Talker(reactor, history, history.load())
    reactor.run()
    identity.close()


# -- the test ----------------------------------------------------------------------------------------------------------


def run_and_kill(directory: Path, output: Path, seconds: float) -> dict[str, set[int]]:
    """What it said to be safe, by kind."""
    with output.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, __file__, str(directory)], cwd=ROOT, env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, stdout=stdout,
        )  # fmt: skip
    try:
        wait_until(lambda: b"received" in output.read_bytes(), 30.0, lambda: "it says nothing", process)
        with pytest.raises(StartError, match=rf"another peer \(pid {process.pid}\) uses"):
            Identity.open(directory)
        time.sleep(seconds)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    said: dict[str, set[int]] = {"sent": set(), "received": set(), "settled": set()}
    for line in output.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            what, number = line.split()
            said[what].add(int(number))
    return said


def read(directory: Path) -> tuple[Saved, set[str]]:
    """What the next run finds, and the ids of all entries."""
    Identity.open(directory).close()  # the lock went with the process
    reactor = Reactor()
    history = History(reactor, directory)
    saved = history.load()
    entries = reactor.run_until(history.history(limit=1_000_000))
    history.close()
    reactor.close()
    assert len(entries) == len({one.id for one in entries})
    return saved, {one.id for one in entries}


def test_what_was_said_to_be_safe_is_there_after_kill_9(tmp_path: Path) -> None:
    random = Random(4)
    said: dict[str, set[int]] = {"sent": set(), "received": set(), "settled": set()}
    epochs = set()
    for number in range(ROUNDS):
        before = len(said["sent"])
        more = run_and_kill(tmp_path / "data", tmp_path / f"{number}.out", random.uniform(0, 0.3))
        said = {what: said[what] | more[what] for what in said}
        saved, ids = read(tmp_path / "data")
        epochs.add(saved.epoch)
        assert len(said["sent"]) > before
        assert {entry("me", n).id for n in said["sent"]} <= ids
        assert {entry("bob", n).id for n in said["received"]} <= ids
        assert saved.n == saved.seqs["bob"] >= max(said["sent"])
        assert saved.marks["bob"].upto >= max(said["received"])
        # One transaction, one truth: counters, entries and copies agree, whatever was said.
        assert ids == {entry("me", n).id for n in range(1, saved.n + 1)} | {
            entry("bob", n).id for n in range(1, saved.marks["bob"].upto + 1)
        }
        kept = [copy.seq for copy in saved.copies]
        assert kept == list(range(max(1, saved.n - 9), saved.n + 1))
        assert said["settled"].isdisjoint(kept)
    assert len(epochs) == 1


def test_close_leaves_nothing_in_the_queue_of_a_real_thread(tmp_path: Path) -> None:
    reactor = Reactor()
    history = History(reactor, tmp_path)
    history.load()
    futures = []
    for n in range(1, 201):
        mine = entry("me", n)
        futures.append(history.save(Sent(mine, (Copy(mine, "bob", n, 1000.5),))))
        if n % 20 == 0:
            reactor.call_soon(reactor.stop)
            reactor.run()
    history.close()
    assert all(future.done and future.error is None for future in futures)
    reactor.call_soon(reactor.stop)
    reactor.run()  # what the thread had queued for the loop comes too late, and does no harm
    reactor.close()
    saved, ids = read(tmp_path)
    assert (saved.n, len(saved.copies), len(ids)) == (200, 200, 200)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
