"""The history on disk: one SQLite file in the data directory, written by one helper thread.

What is saved in one turn of the loop becomes one transaction, and what is saved while that is under way the next: the
busier the node, the more changes share a commit. A batch is bounded by back-pressure alone: what is not saved is not
acknowledged, and a sender has no more than an outbox of that under way; a message of ours fills its outbox meanwhile.

WAL with `synchronous = NORMAL`: what is committed is with the kernel and survives `kill -9`. A power cut may take the
last transactions; the other side then tells us, in `have`, the numbers that we must not use again.

A write that fails takes with it what was saved before its callers could hear of that: a mark stands for everything
below it, so it must not be kept when one before it was not. What is saved later is tried anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from peer.storage.database import Database
from peer.storage.store import Change, Entry, Outcome, Saved, Shelf
from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Future
from reactor.errors import Overloaded, ReactorError

T = TypeVar("T")

FILE_NAME: Final = "history.db"
KEEP: Final = 100_000  # entries: some 30 MB
# Reads that wait at once. A read takes a millisecond, and those who ask are one terminal and one page.
MOST_READS: Final = 100


class PoolLike(Protocol):
    """One thread that runs jobs in order: `core.offload.Pool`, or a fake."""

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]: ...
    def close(self) -> bool: ...


@dataclass
class _Batch:
    """The changes of one transaction, and the future that all who saved them share."""

    done: Future[None]
    changes: list[Change] = field(default_factory=list)


class History:
    """A `Store` that outlives the process. `save` fails with a ReactorError that says in words what the disk has."""

    def __init__(self, reactor: Reactor, directory: Path, *, keep: int = KEEP, pool: PoolLike | None = None) -> None:
        """`keep` entries are left when more come. The pool is closed with the history; it must have one thread."""
        self._reactor = reactor
        self._database = Database(directory / FILE_NAME, keep)
        # Droppable: a read that nobody waits for makes room. A write always has us waiting.
        self._pool = pool or Pool(reactor, "history", threads=1, queue=MOST_READS + 1, droppable=True)
        self._reads = 0
        self._writing: _Batch | None = None
        self._waiting: _Batch | None = None
        self._error: BaseException | None = None  # a write has failed, and not all have heard of it yet
        self._opened: Saved | None = None

    def load(self) -> Saved:
        """Makes or migrates the file, and blocks meanwhile, unless it is open. StartError, in a line that says what to
        do, if it cannot.
        """
        saved, self._opened = self._opened, None
        return saved or self._database.open()

    async def open(self) -> None:
        """What `load` blocks for, done in the thread: `load` has it then. StartError, as there."""
        self._opened = await self._pool.run(self._database.open)

    def save(self, change: Change) -> Future[None]:
        """The changes of one transaction share the future."""
        if self._error is not None:
            return self._refused(self._error)
        if self._waiting is None:
            self._waiting = _Batch(self._reactor.future())
            if self._writing is None:
                self._reactor.call_soon(self._write)
        self._waiting.changes.append(change)
        return self._waiting.done

    def _refused(self, error: BaseException) -> Future[None]:
        future = self._reactor.future()
        future.set_error(error)
        return future

    def _write(self) -> None:
        if self._waiting is None or self._writing is not None:
            return
        self._writing, self._waiting = self._waiting, None
        try:
            job = self._pool.run(self._database.write, self._writing.changes)
        except (Overloaded, RuntimeError) as error:  # no thread can be had
            self._failed(error)
        else:
            job.on_done(self._written)

    def _written(self, job: Future[None]) -> None:
        if self._writing is None:
            return  # `close` was faster
        if job.error is not None:
            self._failed(job.error)
            return
        self._writing.done.set_result(None)
        self._writing = None
        self._write()

    def _failed(self, error: BaseException) -> None:
        self._error = error
        for batch in self._take():
            batch.done.set_error(error)
        self._reactor.call_soon(self._try_again)  # behind those who hear of it just now

    def _try_again(self) -> None:
        self._error = None

    def _take(self) -> list[_Batch]:
        """What is not known to be safe, in order; it is the caller's now."""
        batches = [batch for batch in (self._writing, self._waiting) if batch is not None]
        self._writing = self._waiting = None
        return batches

    # -- questions: each sees what was saved before it; Overloaded if too many ask at once ---------------------------

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        return self._ask(self._database.entries, channel, peer, limit)

    def arrived(self, after: int, limit: int) -> Future[Sequence[Entry]]:
        return self._ask(self._database.arrived, after, limit)

    def before(self, channel: str, peer: str, number: int, limit: int) -> Future[Sequence[Entry]]:
        return self._ask(self._database.before, channel, peer, number, limit)

    def shelves(self, own_id: str, reads: Mapping[str, int]) -> Future[Sequence[Shelf]]:
        return self._ask(self._database.shelves, own_id, dict(reads))

    def outcomes(self, ids: Sequence[str]) -> Future[dict[str, Outcome]]:
        return self._ask(self._database.outcomes, tuple(ids))

    def keyed(self, key: str) -> Future[Entry | None]:
        return self._ask(self._database.keyed, key)

    def _ask(self, question: Callable[..., T], *args: Any) -> Future[Any]:
        return self._reactor.spawn(self._read(question, *args))

    async def _read(self, question: Callable[..., T], *args: Any) -> T:
        if self._reads >= MOST_READS:
            raise Overloaded("too many ask for the history at once, try again")
        self._reads += 1
        try:
            if (before := self._waiting or self._writing) is not None:
                with suppress(Exception):  # who saved it hears of that
                    await before.done
            return await self._pool.run(question, *args)
        finally:
            self._reads -= 1

    # -- the end -----------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """As `close`, where the pool is others' too: it does not block, and leaves the pool open."""
        while (batch := self._waiting or self._writing) is not None:
            with suppress(Exception):  # who saved it hears of that
                await batch.done
        await self._pool.run(self._database.close)

    def close(self) -> None:
        """Blocks until all that was saved is written. ReactorError if it could not be, as its futures say too."""
        if not self._pool.close():
            raise ReactorError(f"{self._database.name} cannot be closed: the disk does not answer")
        # The thread has ended, so this one may take its place. It may have written the first batch already without the
        # loop having heard: the same changes once more, in order, leave the file as it is.
        unsafe = [change for batch in (self._writing, self._waiting) if batch for change in batch.changes]
        try:
            if unsafe:
                self._database.write(unsafe)
        except Exception as error:
            self._failed(error)
            raise
        finally:
            self._database.close()
        for batch in self._take():
            batch.done.set_result(None)
