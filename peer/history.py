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

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from peer.store import Change, Copy, Entry, Mark, Received, Saved, Sent, Settled
from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.task import Future
from reactor.errors import Overloaded, ReactorError, StartError

T = TypeVar("T")

FILE_NAME: Final = "history.db"
KEEP: Final = 100_000  # entries: some 30 MB
# The data directory is locked, so this is a person in a shell, or a backup.
BUSY_SECONDS: Final = 2.0
# Reads that wait at once. A read takes a millisecond, and those who ask are one terminal and one page.
MOST_READS: Final = 100

# Says that a database is ours, whatever the name of the file: "RPHi".
APPLICATION_ID: Final = 0x52504869
# One entry for each released version of the file, applied in order from `user_version` on. Never change one: add one.
MIGRATIONS: Final = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        "CREATE TABLE meta (epoch TEXT NOT NULL, lamport INTEGER NOT NULL, n INTEGER NOT NULL)",
        "INSERT INTO meta SELECT lower(hex(randomblob(8))), 0, 0",
        # `number` is the order of arrival, by which the oldest go. The author is part of the key, or somebody could
        # keep a message out by sending its id first.
        """CREATE TABLE entries (number INTEGER PRIMARY KEY, id TEXT NOT NULL, author TEXT NOT NULL,
                                 username TEXT NOT NULL, channel TEXT NOT NULL, peer TEXT NOT NULL, text TEXT NOT NULL,
                                 lamport INTEGER NOT NULL, n INTEGER NOT NULL, timestamp TEXT NOT NULL,
                                 UNIQUE (author, id))""",
        "CREATE INDEX entries_in_order ON entries (lamport, author, n)",
        "CREATE INDEX entries_of_channel ON entries (channel, lamport, author, n)",
        "CREATE INDEX entries_with_peer ON entries (peer, lamport, author, n) WHERE peer <> ''",
        """CREATE TABLE copies (recipient TEXT NOT NULL, seq INTEGER NOT NULL, entry INTEGER NOT NULL,
                                made_at REAL NOT NULL, PRIMARY KEY (recipient, seq)) WITHOUT ROWID""",
        "CREATE INDEX copies_of_entry ON copies (entry)",
        "CREATE TABLE seqs (recipient TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE marks (sender TEXT PRIMARY KEY, epoch TEXT NOT NULL, upto INTEGER NOT NULL,
                               refused TEXT NOT NULL) WITHOUT ROWID""",
        "CREATE TABLE names (peer TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID",
    ),
)

# -- the loop's side ---------------------------------------------------------------------------------------------------


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
        self._database = _Database(directory / FILE_NAME, keep)
        # Droppable: a read that nobody waits for makes room. A write always has us waiting.
        self._pool = pool or Pool(reactor, "history", threads=1, queue=MOST_READS + 1, droppable=True)
        self._reads = 0
        self._writing: _Batch | None = None
        self._waiting: _Batch | None = None
        self._error: BaseException | None = None  # a write has failed, and not all have heard of it yet

    def load(self) -> Saved:
        """Makes or migrates the file, and blocks meanwhile. StartError, in a line that says what to do, if it can't."""
        return self._database.open()

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

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        """Sees what was saved before the call. Overloaded if too many ask at once."""
        return self._reactor.spawn(self._read(channel, peer, limit))

    async def _read(self, channel: str, peer: str, limit: int) -> Sequence[Entry]:
        if self._reads >= MOST_READS:
            raise Overloaded("too many ask for the history at once, try again")
        self._reads += 1
        try:
            if (before := self._waiting or self._writing) is not None:
                with suppress(Exception):  # who saved it hears of that
                    await before.done
            return await self._pool.run(self._database.entries, channel, peer, limit)
        finally:
            self._reads -= 1

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


# -- the thread's side -------------------------------------------------------------------------------------------------

_COLUMNS: Final = ", ".join(Entry._fields)
_PLACES: Final = ", ".join("?" * len(Entry._fields))
_INSERT: Final = f"INSERT INTO entries ({_COLUMNS}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING"
# What is still on its way stays, however old.
_PRUNE: Final = """DELETE FROM entries WHERE number <= (SELECT max(number) FROM entries) - ?
                   AND NOT EXISTS (SELECT 1 FROM copies WHERE entry = number)"""

_MOVE: Final = "move it away, and a new, empty one is made"
_MAY_NOT: Final = ("it may not be written", "check who owns it and its directory")
_LOCKED: Final = ("another program has it locked", "end that one")
_TROUBLES: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "check the disk"),
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_PERM: _MAY_NOT,
    sqlite3.SQLITE_READONLY: _MAY_NOT,
    sqlite3.SQLITE_CANTOPEN: _MAY_NOT,
}


def _trouble(error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # above it stands where exactly SQLite met it
    return _TROUBLES.get(code) or (f"it is damaged ({error})", _MOVE)


class _Database:
    """Every call blocks, and is made by one thread at a time: first the loop's, to open it, then the writer's."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.name = f"the history in {path.parent}"
        self._keep = keep
        self._connection: sqlite3.Connection | None = None

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self) -> Saved:
        try:
            return self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Saved:
        try:
            self._create_file()
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()
            return self._saved()
        except OSError as error:
            raise StartError(f"cannot make {self.path} ({error.strerror}): give another --data directory") from error
        except (sqlite3.Error, ValueError, TypeError) as error:  # the latter two: rows that nobody of us has written
            raise StartError("cannot use {}: {}: {}".format(self.path, *_trouble(error))) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _create_file(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # SQLite gives its -wal and -shm files the mode of the main one.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            if self.path.is_file() and self.path.stat().st_mode & 0o077:
                self.path.chmod(0o600)

    def _prepare(self) -> None:
        self._check_ours()  # before anything is written to it
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._migrate()
        report = str(self._pragma("quick_check(1)"))
        if report != "ok":
            raise sqlite3.DatabaseError(report.splitlines()[-1])

    def _check_ours(self) -> None:
        version, application = self._pragma("user_version"), self._pragma("application_id")
        is_used = version or application or self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
        if is_used and application != APPLICATION_ID:
            raise StartError(f"{self.path} belongs to another program: {_MOVE}, or give another --data directory")
        if version > len(MIGRATIONS):
            raise StartError(
                f"{self.path} was written by a newer version of this program (format {version}, known here: "
                f"{len(MIGRATIONS)}): update the program, or give another --data directory"
            )

    def _migrate(self) -> None:
        version = self._pragma("user_version")
        if version < len(MIGRATIONS):
            with self._transaction() as db:
                for statement in (statement for step in MIGRATIONS[version:] for statement in step):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _pragma(self, name: str) -> Any:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ReactorError(f"{self.name} is closed")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Committed when the block ends, rolled back if it raises. IMMEDIATE: wait for the lock first, not half-way."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, changes: Iterable[Change]) -> None:
        """All of them or none: then ReactorError."""
        try:
            with self._transaction() as db:
                for change in changes:
                    _WRITE[type(change)](db, change)
                db.execute(_PRUNE, (self._keep,))
        except sqlite3.Error as error:
            raise ReactorError(f"{self.name} cannot be written: {_trouble(error)[0]}") from error

    # -- reading -------------------------------------------------------------------------------------------------------

    def entries(self, channel: str, peer: str, limit: int) -> list[Entry]:
        """The last ones, in order; each of the three questions has its index."""
        conditions, values = ["1"], []
        if channel:
            conditions.append("channel = ?")
            values.append(channel)
        if peer:
            conditions.append("peer <> '' AND peer = ?")  # the index has only those that are not empty
            values.append(peer)
        query = f"""SELECT {_COLUMNS} FROM entries WHERE {' AND '.join(conditions)}
                    ORDER BY lamport DESC, author DESC, n DESC, number DESC LIMIT ?"""
        try:
            rows = self._db.execute(query, (*values, max(limit, 0))).fetchall()
        except sqlite3.Error as error:
            raise ReactorError(f"{self.name} cannot be read: {_trouble(error)[0]}") from error
        return [Entry(*row) for row in reversed(rows)]

    def _saved(self) -> Saved:
        db = self._db
        epoch, lamport, n = db.execute("SELECT epoch, lamport, n FROM meta").fetchone()
        return Saved(
            epoch,
            lamport,
            n,
            seqs=dict(db.execute("SELECT recipient, seq FROM seqs").fetchall()),
            marks={sender: _mark(*row) for sender, *row in db.execute("SELECT * FROM marks")},
            copies=self._copies(),
            names=dict(db.execute("SELECT peer, name FROM names").fetchall()),
        )

    def _copies(self) -> list[Copy]:
        rows = self._db.execute(
            f"""SELECT recipient, seq, made_at, {_COLUMNS} FROM copies JOIN entries ON number = entry
                ORDER BY recipient, seq"""
        )
        return [Copy(Entry(*entry), recipient, seq, made_at) for recipient, seq, made_at, *entry in rows]


def _mark(epoch: str, upto: int, refused: str) -> Mark:
    return Mark(epoch, upto, tuple((seq, code) for seq, code in json.loads(refused)))


# -- what each change means for the tables. Each may be done again and leaves the same behind. -------------------------


def _write_received(db: sqlite3.Connection, change: Received) -> None:
    sender, (epoch, upto, refused), entry = change
    db.execute("REPLACE INTO marks VALUES (?, ?, ?, ?)", (sender, epoch, upto, json.dumps(refused)))
    if entry is not None:
        _write_entry(db, entry)
        if entry.username:
            db.execute("REPLACE INTO names VALUES (?, ?)", (entry.author, entry.username))


def _write_sent(db: sqlite3.Connection, change: Sent) -> None:
    entry = change.entry
    _write_entry(db, entry)
    db.execute("UPDATE meta SET n = max(n, ?)", (entry.n,))
    by_key = "SELECT number FROM entries WHERE author = ? AND id = ?"
    (number,) = db.execute(by_key, (entry.author, entry.id)).fetchone()
    copies = [(copy.recipient, copy.seq, number, copy.made_at) for copy in change.copies]
    db.executemany("REPLACE INTO copies VALUES (?, ?, ?, ?)", copies)
    db.executemany(
        "INSERT INTO seqs VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        [(copy.recipient, copy.seq) for copy in change.copies],
    )


def _write_settled(db: sqlite3.Connection, change: Settled) -> None:
    rows = [(change.recipient, seq) for seq in change.seqs]
    db.executemany("DELETE FROM copies WHERE recipient = ? AND seq = ?", rows)


def _write_entry(db: sqlite3.Connection, entry: Entry) -> None:
    db.execute(_INSERT, entry)
    db.execute("UPDATE meta SET lamport = max(lamport, ?)", (entry.lamport,))


_WRITE: Final[dict[type, Callable[[sqlite3.Connection, Any], None]]] = {
    Received: _write_received,
    Sent: _write_sent,
    Settled: _write_settled,
}
