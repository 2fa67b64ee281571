"""A disk of the simulation and the store on it: what is committed survives a crash, what is under way does not.

It takes its time, as a thread that writes would, and does what `peer.storage.history` does with changes: those that
come while it writes are one transaction, and a write that fails takes with it all that was saved before its callers
heard of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

from machine import Machine

from peer.storage.store import Change, Copy, Entry, Mark, Received, Saved, Sent, Settled, order
from reactor.core.task import Future
from reactor.errors import ReactorError
from reactor.testing import FakeReactor

_numbers = count(1)


class Disk:
    """The tables. `number` tells a disk from the one that takes its place when it is lost."""

    def __init__(self, chance: random.Random) -> None:
        self.number = next(_numbers)
        self.epoch = chance.randbytes(8).hex()
        self.is_full = False
        self.entries: dict[tuple[str, str], Entry] = {}
        self.texts: set[str] = set()
        self.lamport = self.n = 0
        self.seqs: dict[str, int] = {}
        self.marks: dict[str, Mark] = {}
        self.copies: dict[tuple[str, int], Copy] = {}

    def write(self, change: Change) -> None:
        if isinstance(change, Received):
            self.marks[change.sender] = change.mark
            if change.entry is not None:
                self._add(change.entry)
        elif isinstance(change, Sent):
            self._add(change.entry)
            self.n = max(self.n, change.entry.n)
            for copy in change.copies:
                self.copies[copy.recipient, copy.seq] = copy
                self.seqs[copy.recipient] = max(self.seqs.get(copy.recipient, 0), copy.seq)
        elif isinstance(change, Settled):
            for seq in change.seqs:
                self.copies.pop((change.recipient, seq), None)

    def _add(self, entry: Entry) -> None:
        self.entries.setdefault((entry.author, entry.id), entry)
        self.texts.add(entry.text)
        self.lamport = max(self.lamport, entry.lamport)

    def saved(self) -> Saved:
        copies = sorted(self.copies.values(), key=lambda copy: (copy.recipient, copy.seq))
        return Saved(self.epoch, self.lamport, self.n, dict(self.seqs), dict(self.marks), copies)


class DiskStore:
    """A `peer.store.Store`. Whoever crashes lets go of it with `crash`."""

    def __init__(
        self, machine: Machine, disk: Disk, world: FakeReactor, chance: random.Random, slowest: float
    ) -> None:
        """`world` turns while the machine is stopped: its disk goes on. A commit takes up to `slowest` seconds."""
        self._machine, self._disk, self._world, self._chance = machine, disk, world, chance
        self._slowest = slowest
        self._waiting: list[tuple[Change, Future[None]]] = []
        self._writing: list[tuple[Change, Future[None]]] = []
        self._error: ReactorError | None = None
        self._is_gone = False

    def load(self) -> Saved:
        return self._disk.saved()

    def save(self, change: Change) -> Future[None]:
        future: Future[None] = self._machine.future()
        if self._error is not None:
            future.set_error(self._error)
            return future
        self._waiting.append((change, future))
        if not self._writing:
            self._begin()
        return future

    def _begin(self) -> None:
        self._writing, self._waiting = self._waiting, []
        if self._writing:
            self._world.call_later(self._chance.random() ** 2 * self._slowest, self._write)

    def _write(self) -> None:
        """In the thread, so to say."""
        if not self._is_gone:
            if not self._disk.is_full:
                self._commit(self._writing)
            done = self._fail if self._disk.is_full else self._written
            self._world.call_later(self._chance.random() * 0.01, self._machine.call_from_thread, done)

    def _commit(self, changes: list[tuple[Change, Future[None]]]) -> None:
        for change, _ in changes:
            self._disk.write(change)

    def _written(self) -> None:
        for _, future in self._writing:
            future.set_result(None)
        self._begin()

    def _fail(self) -> None:
        self._error = ReactorError("the disk is full")
        for _, future in self._writing + self._waiting:
            future.set_error(self._error)
        self._writing, self._waiting = [], []
        self._machine.call_soon(self._try_again)

    def _try_again(self) -> None:
        self._error = None

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        future: Future[Sequence[Entry]] = self._machine.future()
        future.set_result(sorted(self._disk.entries.values(), key=order)[-limit:])
        return future

    arrived = before = shelves = outcomes = keyed = history  # type: ignore[assignment]

    def close(self) -> None:
        if not self._disk.is_full:
            self._commit(self._writing + self._waiting)
        self.crash()

    def crash(self) -> None:
        """What was under way is lost."""
        self._is_gone = True
