"""Accounts and sessions on disk: one SQLite file, shared by all processes with the same state directory.

Every call blocks and belongs into the "store" pool. The rules that must hold whoever changes the file live in the
schema, as triggers: a new password or a removed account ends the sessions, and each session that ends leaves a line
in `ended`. That log is how the other processes learn of it: they look at `PRAGMA data_version` once a second (a few
microseconds) and, only if it moved, read the lines they have not seen.

WAL keeps readers and the writer apart and survives `kill -9`. `synchronous` is FULL: with NORMAL a power cut could
bring back a password that was changed or a session that was logged out, and logins are rare enough for an fsync each.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from reactor import StartError

FILE_NAME: Final = "auth.db"

# Another process writes for milliseconds; one that holds the file for longer is stuck, or a person in a shell.
BUSY_SECONDS: Final = 5.0
# How long an `ended` line is kept. A process that did not look for longer checks all of its sessions instead.
ENDED_SECONDS: Final = 3600

# One entry for each released version of the file, applied in order from `user_version` on. Never change one: add one.
MIGRATIONS: Final = (
    (
        "CREATE TABLE accounts (name TEXT PRIMARY KEY, password TEXT NOT NULL, changed REAL NOT NULL) WITHOUT ROWID",
        """CREATE TABLE sessions (digest BLOB PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL,
                                  last_used REAL NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX sessions_by_name ON sessions (name)",
        """CREATE TABLE ended (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL,
                               at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)))""",
        """CREATE TRIGGER session_ended AFTER DELETE ON sessions
               BEGIN INSERT INTO ended (digest) VALUES (old.digest); END""",
        """CREATE TRIGGER account_removed AFTER DELETE ON accounts
               BEGIN DELETE FROM sessions WHERE name = old.name; END""",
        # On `changed`, not on `password`: hashing the same password anew, with a higher cost, ends nothing.
        """CREATE TRIGGER password_changed AFTER UPDATE OF changed ON accounts
               BEGIN DELETE FROM sessions WHERE name = old.name; END""",
    ),
)


class SessionRow(NamedTuple):
    """A session as stored; times in Unix seconds."""

    name: str
    created: float
    last_used: float


class Changes(NamedTuple):
    """What others have changed. `live` is None, or (after a long sleep) all digests that are still good."""

    ended: list[bytes]
    live: set[bytes] | None = None


class Store:
    """Open it, call it from one thread at a time, close it. `sqlite3.Error` where the disk or the file fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes = 0  # transactions that have put something on the disk; any thread may read it
        self._connection: sqlite3.Connection | None = None
        self._version = 0  # data_version when we last looked
        self._seen = 0  # the last line of `ended` that we have read

    # -- opening -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Creates or migrates the file. StartError, in a line that says what to do, if that is not possible."""
        try:
            self._create_file()
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()
            self._version, self._seen = self._data_version(), self._newest()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise StartError(self._explain(error)) from error
        except StartError:
            self.close()
            raise

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
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o600)

    def _prepare(self) -> None:
        self._enter_wal()
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._user_version()
        if version > len(MIGRATIONS):
            raise StartError(
                f"{self.path} was written by a newer version of this program (format {version}, known here: "
                f"{len(MIGRATIONS)}): update the program, or set another [server] state_dir"
            )
        if version < len(MIGRATIONS):
            self._migrate()
        report = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if report != "ok":
            raise sqlite3.DatabaseError(str(report).splitlines()[-1])

    def _enter_wal(self) -> None:
        # SQLite does not wait, whatever the timeout, while another process makes the same switch: so we do.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _migrate(self) -> None:
        with self._transaction() as db:
            # Read again: while we waited for the lock another process may have done it.
            for number, statements in enumerate(MIGRATIONS[self._user_version() :], self._user_version() + 1):
                for statement in statements:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")

    def _user_version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _explain(self, error: Exception) -> str:
        text = str(error)
        if "locked" in text:
            return f"{self.path} is locked by another program: end that, then start again"
        if isinstance(error, OSError) or "unable to open" in text or "readonly" in text:
            return f"cannot open {self.path} ({text}): check that you may write to it and to its directory"
        if isinstance(error, sqlite3.OperationalError):
            return f"cannot use {self.path}: {text}"
        return f"{self.path} is damaged ({text}): move it away or put a backup in its place, then start again"

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError(f"{self.path} is not open")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Committed when the block ends, rolled back if it raises. IMMEDIATE: wait for the lock first, not half-way."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        rows = db.total_changes
        try:
            yield db
            db.execute("COMMIT")
            self.writes += db.total_changes > rows
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # -- accounts ----------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return [name for (name,) in self._db.execute("SELECT name FROM accounts ORDER BY name")]

    def password(self, name: str) -> str | None:
        """The stored hash; None if there is no such account."""
        row = self._db.execute("SELECT password FROM accounts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def add_account(self, name: str, password: str, now: float, *, only_first: bool = False) -> bool:
        """False if the name is taken, or, with `only_first`, if there is any account."""
        condition = "WHERE NOT EXISTS (SELECT 1 FROM accounts)" if only_first else "WHERE true"
        statement = f"INSERT INTO accounts SELECT ?, ?, ? {condition} ON CONFLICT DO NOTHING"
        with self._transaction() as db:
            return db.execute(statement, (name, password, now)).rowcount > 0

    def set_password(self, name: str, password: str, now: float) -> bool:
        """Ends the sessions of that account. False if there is none."""
        with self._transaction() as db:
            changed = db.execute("UPDATE accounts SET password = ?, changed = ? WHERE name = ?", (password, now, name))
            return changed.rowcount > 0

    def remove_account(self, name: str) -> bool:
        """Ends the sessions of that account. False if there is none."""
        with self._transaction() as db:
            return db.execute("DELETE FROM accounts WHERE name = ?", (name,)).rowcount > 0

    # -- sessions ----------------------------------------------------------------------------------------------------

    def add_session(
        self, digest: bytes, name: str, password: str, now: float, replaces: bytes | None = None
    ) -> bool:
        """Start a session and end the one it `replaces`, in one step. False, and nothing is changed, if the account
        does not have the password hash any more that was verified.
        """
        with self._transaction() as db:
            added = db.execute(
                "INSERT INTO sessions SELECT ?, name, ?, ? FROM accounts WHERE name = ? AND password = ?",
                (digest, now, now, name, password),
            )
            if added.rowcount and replaces is not None:
                db.execute("DELETE FROM sessions WHERE digest = ?", (replaces,))
            return added.rowcount > 0

    def session(self, digest: bytes) -> SessionRow | None:
        query = "SELECT name, created, last_used FROM sessions WHERE digest = ?"
        row = self._db.execute(query, (digest,)).fetchone()
        return SessionRow(*row) if row else None

    def end_session(self, digest: bytes) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE digest = ?", (digest,))

    def touch_sessions(self, uses: Iterable[tuple[bytes, float]]) -> None:
        """Note when each was last used; an earlier time than the stored one changes nothing."""
        rows = [(used, digest, used) for digest, used in uses]
        with self._transaction() as db:
            db.executemany("UPDATE sessions SET last_used = ? WHERE digest = ? AND last_used < ?", rows)

    def prune(self, unused_since: float, created_before: float) -> list[bytes]:
        """End what has expired; the digests of those sessions."""
        expired = "FROM sessions WHERE last_used < ? OR created < ?"
        with self._transaction() as db:
            digests = [digest for (digest,) in db.execute(f"SELECT digest {expired}", (unused_since, created_before))]
            if digests:
                db.execute(f"DELETE {expired}", (unused_since, created_before))
            db.execute("DELETE FROM ended WHERE at < strftime('%s', 'now') - ?", (ENDED_SECONDS,))
            return digests

    # -- what others did ---------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """What other processes have changed since the last call; None if nothing, which is told at once."""
        version = self._data_version()
        if version == self._version:
            return None
        seen, newest = self._seen, self._newest()
        query = "SELECT id, digest FROM ended WHERE id > ? AND id <= ? ORDER BY id"
        lines = self._db.execute(query, (seen, newest)).fetchall()
        self._version, self._seen = version, newest
        if newest - seen > len(lines):  # lines are gone that we had not read
            return Changes([], {digest for (digest,) in self._db.execute("SELECT digest FROM sessions")})
        return Changes([digest for _, digest in lines])

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _newest(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'ended'").fetchone()
        return int(row[0]) if row else 0
