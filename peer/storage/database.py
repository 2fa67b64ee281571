"""The file of a history: its tables, and what each change and each question means for them.

Everything here blocks. `peer.storage.history` calls it, in the thread of the writer.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from peer.storage.store import (
    UNACKNOWLEDGED,
    Change,
    Copy,
    Entry,
    Inside,
    Mark,
    Muted,
    Outcome,
    Read,
    Received,
    Saved,
    Sent,
    Settled,
    Shelf,
    conversation_of,
)
from reactor.errors import ReactorError, StartError

# The data directory is locked, so this is a person in a shell, or a backup.
BUSY_SECONDS: Final = 2.0
# Senders whose marks and names are kept: an id costs nothing, so somebody may have a new one for each message. Whose
# mark is gone may send again what it has not been told that we have.
KEEP_SENDERS: Final = 4096
FORGET_EVERY: Final = 1000  # changes

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
    (
        "ALTER TABLE entries ADD COLUMN key TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX entries_by_key ON entries (key) WHERE key <> ''",
        "CREATE INDEX entries_by_arrival ON entries (channel, peer, number)",
        # To how many a message of ours went. Those of them that have neither a copy nor a fate have got it.
        "ALTER TABLE entries ADD COLUMN recipients INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE fates (entry INTEGER NOT NULL, recipient TEXT NOT NULL, fate TEXT NOT NULL,
                               PRIMARY KEY (entry, recipient)) WITHOUT ROWID""",
        """CREATE TRIGGER entries_pruned AFTER DELETE ON entries
           BEGIN DELETE FROM fates WHERE entry = OLD.number; END""",
        "CREATE TABLE reads (conversation TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE muted (peer TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE channels (name TEXT PRIMARY KEY)",
        # Unix time, by which those go that were not used for longest.
        "ALTER TABLE marks ADD COLUMN used INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE names ADD COLUMN used INTEGER NOT NULL DEFAULT 0",
    ),
)

_COLUMNS: Final = ", ".join(Entry._fields)
_PLACES: Final = ", ".join("nullif(?, 0)" if name == "number" else "?" for name in Entry._fields)
_INSERT: Final = f"INSERT INTO entries ({_COLUMNS}, recipients) VALUES ({_PLACES}, ?) ON CONFLICT DO NOTHING"
# What is still on its way stays, however old.
_PRUNE: Final = """DELETE FROM entries WHERE number <= (SELECT max(number) FROM entries) - ?
                   AND NOT EXISTS (SELECT 1 FROM copies WHERE entry = number)"""
_NOW: Final = "CAST(strftime('%s', 'now') AS INTEGER)"
_FORGET: Final = (
    "DELETE FROM marks WHERE sender IN (SELECT sender FROM marks ORDER BY used DESC LIMIT -1 OFFSET ?)",
    "DELETE FROM names WHERE peer IN (SELECT peer FROM names ORDER BY used DESC LIMIT -1 OFFSET ?)",
)

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


class Database:
    """Every call blocks, and is made by one thread at a time: first the loop's, to open it, then the writer's."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.name = f"the history in {path.parent}"
        self._keep = keep
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._until_forgetting = 0

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
        self._file = self._file_there()

    def _file_there(self) -> tuple[int, int] | None:
        """Which file our path leads to now."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

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
        if self._connection is not None and self._file_there() != self._file:
            # The system would let us write on, into a file that is gone with us.
            raise ReactorError(f"{self.name} was moved or removed: end this peer, and start it anew")
        try:
            with self._transaction() as db:
                for change in changes:
                    _WRITE[type(change)](db, change)
                    self._until_forgetting -= 1
                db.execute(_PRUNE, (self._keep,))
                self._forget_some(db)
        except sqlite3.Error as error:
            raise ReactorError(f"{self.name} cannot be written: {_trouble(error)[0]}") from error

    def _forget_some(self, db: sqlite3.Connection) -> None:
        if self._until_forgetting < 0:
            self._until_forgetting = FORGET_EVERY
            for forget in _FORGET:
                db.execute(forget, (KEEP_SENDERS,))

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
        rest = f"WHERE {' AND '.join(conditions)} ORDER BY lamport DESC, author DESC, n DESC, number DESC LIMIT ?"
        return self._entries(rest, *values, max(limit, 0))[::-1]

    def arrived(self, after: int, limit: int) -> list[Entry]:
        return self._entries("WHERE number > ? ORDER BY number LIMIT ?", after, limit)

    def before(self, channel: str, peer: str, number: int, limit: int) -> list[Entry]:
        rest = "WHERE channel = ? AND peer = ? AND number < ? ORDER BY number DESC LIMIT ?"
        return self._entries(rest, channel, peer, number, limit)[::-1]

    def keyed(self, key: str) -> Entry | None:
        found = self._entries("WHERE key <> '' AND key = ? LIMIT 1", key)
        return found[0] if found else None

    def _entries(self, rest: str, *values: Any) -> list[Entry]:
        return [Entry(*row) for row in self._rows(f"SELECT {_COLUMNS} FROM entries {rest}", *values)]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise ReactorError(f"{self.name} cannot be read: {_trouble(error)[0]}") from error

    def shelves(self, own_id: str, reads: Mapping[str, int]) -> list[Shelf]:
        rows = self._rows("SELECT channel, peer, max(number) FROM entries GROUP BY channel, peer")
        return [
            Shelf(channel, peer, last, self._unread(channel, peer, own_id, reads)) for channel, peer, last in rows
        ]

    def _unread(self, channel: str, peer: str, own_id: str, reads: Mapping[str, int]) -> tuple[int, ...]:
        query = """SELECT number FROM entries WHERE channel = ? AND peer = ? AND number > ? AND author <> ?
                   ORDER BY number DESC LIMIT 1000"""
        read = reads.get(conversation_of(channel, peer), 0)
        return tuple(number for (number,) in reversed(self._rows(query, channel, peer, read, own_id)))

    def outcomes(self, ids: Sequence[str]) -> dict[str, Outcome]:
        found = {id_: self._outcome(id_) for id_ in ids}
        return {id_: outcome for id_, outcome in found.items() if outcome is not None}

    def _outcome(self, id_: str) -> Outcome | None:
        author = id_.rsplit(":", 2)[0]
        numbers = self._rows("SELECT number, recipients FROM entries WHERE author = ? AND id = ?", author, id_)
        if not numbers:
            return None
        (number, of), = numbers
        ((waiting,),) = self._rows("SELECT count(*) FROM copies WHERE entry = ?", number)
        fates = self._rows("SELECT recipient, fate FROM fates WHERE entry = ?", number)
        reasons = tuple((recipient, fate) for recipient, fate in fates if fate != UNACKNOWLEDGED)
        # What was sent before recipients were counted has none.
        return Outcome(max(of, waiting + len(fates)), waiting, len(fates) - len(reasons), reasons)

    def _saved(self) -> Saved:
        db = self._db
        epoch, lamport, n = db.execute("SELECT epoch, lamport, n FROM meta").fetchone()
        copies = self._copies()
        return Saved(
            epoch,
            lamport,
            n,
            seqs=dict(db.execute("SELECT recipient, seq FROM seqs").fetchall()),
            marks={sender: _mark(*row) for sender, *row in db.execute(_MARKS)},
            copies=copies,
            names=dict(db.execute("SELECT peer, name FROM names").fetchall()),
            number=db.execute("SELECT ifnull(max(number), 0) FROM entries").fetchone()[0],
            outcomes=self.outcomes(list({copy.entry.id for copy in copies})),
            muted=frozenset(peer for (peer,) in db.execute("SELECT peer FROM muted")),
            channels=tuple(name for (name,) in db.execute("SELECT name FROM channels ORDER BY rowid")),
            reads=dict(db.execute("SELECT conversation, number FROM reads").fetchall()),
        )

    def _copies(self) -> list[Copy]:
        rows = self._db.execute(
            f"""SELECT recipient, seq, made_at, {_COLUMNS} FROM copies JOIN entries ON number = entry
                ORDER BY recipient, seq"""
        )
        return [Copy(Entry(*entry), recipient, seq, made_at) for recipient, seq, made_at, *entry in rows]


_MARKS: Final = "SELECT sender, epoch, upto, refused FROM marks ORDER BY used"


def _mark(epoch: str, upto: int, refused: str) -> Mark:
    return Mark(epoch, upto, tuple((seq, code) for seq, code in json.loads(refused)))


# -- what each change means for the tables. Each may be done again and leaves the same behind. -------------------------


def _write_received(db: sqlite3.Connection, change: Received) -> None:
    sender, (epoch, upto, refused), entry = change
    db.execute(f"REPLACE INTO marks VALUES (?, ?, ?, ?, {_NOW})", (sender, epoch, upto, json.dumps(refused)))
    if entry is not None:
        _write_entry(db, entry)
        if entry.username:
            db.execute(f"REPLACE INTO names VALUES (?, ?, {_NOW})", (entry.author, entry.username))


def _write_sent(db: sqlite3.Connection, change: Sent) -> None:
    entry = change.entry
    _write_entry(db, entry, len(change.copies) + len(change.failed))
    db.execute("UPDATE meta SET n = max(n, ?)", (entry.n,))
    by_id = "SELECT number FROM entries WHERE author = ? AND id = ?"
    (number,) = db.execute(by_id, (entry.author, entry.id)).fetchone()
    copies = [(copy.recipient, copy.seq, number, copy.made_at) for copy in change.copies]
    db.executemany("REPLACE INTO copies VALUES (?, ?, ?, ?)", copies)
    db.executemany("REPLACE INTO fates VALUES (?, ?, ?)", [(number, *failed) for failed in change.failed])
    db.executemany(
        "INSERT INTO seqs VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        [(copy.recipient, copy.seq) for copy in change.copies],
    )


def _write_settled(db: sqlite3.Connection, change: Settled) -> None:
    rows = [(change.recipient, seq) for seq in change.seqs]
    if change.fate:
        keep_fate = """REPLACE INTO fates SELECT entry, recipient, ? FROM copies WHERE recipient = ? AND seq = ?"""
        db.executemany(keep_fate, [(change.fate, *row) for row in rows])
    db.executemany("DELETE FROM copies WHERE recipient = ? AND seq = ?", rows)


def _write_read(db: sqlite3.Connection, change: Read) -> None:
    db.execute("REPLACE INTO reads VALUES (?, ?)", change)


def _write_muted(db: sqlite3.Connection, change: Muted) -> None:
    query = "REPLACE INTO muted VALUES (?)" if change.is_muted else "DELETE FROM muted WHERE peer = ?"
    db.execute(query, (change.peer_id,))


def _write_inside(db: sqlite3.Connection, change: Inside) -> None:
    query = "INSERT INTO channels VALUES (?) ON CONFLICT DO NOTHING"
    db.execute(query if change.is_inside else "DELETE FROM channels WHERE name = ?", (change.channel,))


def _write_entry(db: sqlite3.Connection, entry: Entry, recipients: int = 0) -> None:
    db.execute(_INSERT, (*entry, recipients))
    db.execute("UPDATE meta SET lamport = max(lamport, ?)", (entry.lamport,))


_WRITE: Final[dict[type, Callable[[sqlite3.Connection, Any], None]]] = {
    Received: _write_received,
    Sent: _write_sent,
    Settled: _write_settled,
    Read: _write_read,
    Muted: _write_muted,
    Inside: _write_inside,
}
