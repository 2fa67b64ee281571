"""Accounts and sessions on disk: one SQLite file, shared by all processes with the same state directory.

Every call blocks and belongs into the "store" pool. The rules that must hold whoever changes the file live in the
schema, as triggers: a new password or a removed account ends the sessions, and each session that ends leaves a line
in `ended`, with whose it was and why. That log is how every process, also the one that did it, learns of it: they look
at `PRAGMA data_version` once a second (a few microseconds) and, only if it moved, read the lines they have not seen.

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
from typing import Final, Literal, NamedTuple

from plugins.auth.guests import Guest, Room, key_of
from plugins.auth.schema import MIGRATIONS
from reactor import StartError

FILE_NAME: Final = "auth.db"

# Another process writes for milliseconds; one that holds the file for longer is stuck, or a person in a shell.
BUSY_SECONDS: Final = 5.0
# How long an `ended` line is kept, and how many: who has an account can make thousands a minute. A process that has
# missed some checks all of its sessions instead.
ENDED_SECONDS: Final = 3600
MOST_ENDED: Final = 10_000


class SessionRow(NamedTuple):
    """A session as stored; times in Unix seconds."""

    name: str
    created: float
    last_used: float


class Where(NamedTuple):
    """Where a session was started: the client's address, and what its browser calls itself, in short."""

    address: str = ""
    browser: str = ""


NOWHERE: Final = Where()


class SessionLine(NamedTuple):
    """A session as its owner sees it; times in Unix seconds."""

    digest: bytes
    created: float
    last_used: float
    address: str
    browser: str


class Ended(NamedTuple):
    """A session that is over; why: logout, replaced, revoked, displaced, idle, age, password, account or guests."""

    digest: bytes
    name: str
    why: str


class Changes(NamedTuple):
    """What is new. `live` is None, or (after a long sleep) all digests that are still good; `by_others` is whether
    another process has changed anything, accounts too.
    """

    ended: list[Ended]
    live: set[bytes] | None
    by_others: bool


class Expiry(NamedTuple):
    """What has expired, in Unix seconds: a session not used since the one, or as old as the other."""

    unused_since: float
    created_before: float


class Store:
    """Open it, call it from one thread at a time, close it. `sqlite3.Error` where the disk or the file fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes = 0  # transactions that have put something on the disk; any thread may read it
        self._connection: sqlite3.Connection | None = None
        self._version = 0  # data_version when we last looked
        self._seen = 0  # the last line of `ended` that we have read
        self._own_ends = False  # we may have written lines since

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
            raise StartError(self.explain(error)) from error
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

    def explain(self, error: Exception) -> str:
        """What has failed and what to do, in one line."""
        text, code = str(error), getattr(error, "sqlite_errorname", "")
        if code == "SQLITE_BUSY" or "locked" in text:
            return f"{self.path} is locked by another program: end that, then try again"
        if code == "SQLITE_FULL" or code.startswith("SQLITE_IOERR"):
            return f"cannot write {self.path} ({text}), and nothing was changed: make room on its disk, then try again"
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
    def _transaction(self, ends: bool = False) -> Iterator[sqlite3.Connection]:
        """Committed when the block ends, rolled back if it raises. IMMEDIATE: wait for the lock first, not half-way.
        `ends`: sessions may end in it.
        """
        db = self._db
        self._own_ends = self._own_ends or ends
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

    def passwords(self, names: Iterable[str]) -> dict[str, str]:
        """The stored hashes of those accounts that there are."""
        found = {name: self.password(name) for name in names}
        return {name: password for name, password in found.items() if password is not None}

    def add_account(self, name: str, password: str, now: float, *, only_first: bool = False) -> bool:
        """False if the name is taken, or, with `only_first`, if there is any account."""
        condition = "WHERE NOT EXISTS (SELECT 1 FROM accounts)" if only_first else "WHERE true"
        statement = f"INSERT INTO accounts SELECT ?, ?, ? {condition} ON CONFLICT DO NOTHING"
        with self._transaction() as db:
            return db.execute(statement, (name, password, now)).rowcount > 0

    def set_password(self, name: str, password: str, now: float) -> bool:
        """Ends the sessions of that account. False if there is none."""
        with self._transaction(ends=True) as db:
            changed = db.execute("UPDATE accounts SET password = ?, changed = ? WHERE name = ?", (password, now, name))
            return changed.rowcount > 0

    def remove_account(self, name: str) -> bool:
        """Ends the sessions of that account. False if there is none."""
        with self._transaction(ends=True) as db:
            return db.execute("DELETE FROM accounts WHERE name = ?", (name,)).rowcount > 0

    # -- sessions ----------------------------------------------------------------------------------------------------

    def add_session(
        self, digest: bytes, name: str, password: str, now: float, replaces: bytes | None = None,
        where: Where = NOWHERE, most: int = 0,
    ) -> bool:  # fmt: skip
        """Start a session and end the one it `replaces`, and of this account's all but the last `most` used (0: no
        bound), in one step. False, and nothing is changed, if the account does not have the password hash any more that
        was verified.
        """
        with self._transaction(ends=True) as db:
            added = db.execute(
                "INSERT INTO sessions (digest, name, created, last_used, address, browser)"
                " SELECT ?, name, ?, ?, ?, ? FROM accounts WHERE name = ? AND password = ?",
                (digest, now, now, *where, name, password),
            )
            if added.rowcount and replaces is not None:
                _end(db, replaces, "replaced")
            if added.rowcount and most:
                _displace(db, name, digest, most)
            return added.rowcount > 0

    def session(self, digest: bytes) -> SessionRow | None:
        query = "SELECT name, created, last_used FROM sessions WHERE digest = ?"
        row = self._db.execute(query, (digest,)).fetchone()
        return SessionRow(*row) if row else None

    def end_session(self, digest: bytes, why: str = "logout") -> None:
        with self._transaction(ends=True) as db:
            _end(db, digest, why)

    def sessions_of(self, name: str, expiry: Expiry) -> list[SessionLine]:
        """Those that have not expired, the last used first."""
        query = (
            "SELECT digest, created, last_used, address, browser FROM sessions"
            " WHERE name = ? AND last_used >= ? AND created >= ? ORDER BY last_used DESC, created DESC"
        )
        return [SessionLine(*row) for row in self._db.execute(query, (name, *expiry))]

    def revoke_sessions(self, name: str, digests: Iterable[bytes]) -> int:
        """End those of `digests` that are sessions of this user; how many were."""
        query = "UPDATE sessions SET why = 'revoked' WHERE digest = ? AND name = ?"
        with self._transaction(ends=True) as db:
            found = [digest for digest in digests if db.execute(query, (digest, name)).rowcount]
            db.executemany("DELETE FROM sessions WHERE digest = ?", [(digest,) for digest in found])
            return len(found)

    def live_names(self, expiry: Expiry) -> list[str]:
        """Who has a session that has not expired."""
        query = "SELECT DISTINCT name FROM sessions WHERE last_used >= ? AND created >= ? ORDER BY name"
        return [name for (name,) in self._db.execute(query, expiry)]

    def without_session(self, names: Iterable[str]) -> list[str]:
        """Those of `names` who have no session any more."""
        query = "SELECT EXISTS (SELECT 1 FROM sessions WHERE name = ?)"
        return [name for name in names if not self._db.execute(query, (name,)).fetchone()[0]]

    def touch_sessions(self, uses: Iterable[tuple[bytes, float]]) -> None:
        """Note when each was last used; an earlier time than the stored one changes nothing."""
        rows = [(used, digest, used) for digest, used in uses]
        with self._transaction() as db:
            db.executemany("UPDATE sessions SET last_used = ? WHERE digest = ? AND last_used < ?", rows)

    def prune(self, expiry: Expiry) -> None:
        """End what has expired."""
        with self._transaction(ends=True) as db:
            _expire(db, expiry)
            db.execute("DELETE FROM ended WHERE at < strftime('%s', 'now') - ?", (ENDED_SECONDS,))
            db.execute("DELETE FROM ended WHERE id <= (SELECT max(id) FROM ended) - ?", (MOST_ENDED,))

    # -- guests ------------------------------------------------------------------------------------------------------

    def add_guest(
        self, digest: bytes, guest: Guest, now: float, expiry: Expiry, room: Room, replaces: bytes | None = None,
        network: str = "",
    ) -> Literal["added", "taken", "full", "crowded"]:  # fmt: skip
        """Start the session of somebody without an account, and end the one it `replaces`, in one step. Or: an account
        or another guest has the name, or there is no room for more guests, or for more of that network.
        """
        with self._transaction(ends=True) as db:
            _expire(db, expiry)
            others = {key for (key,) in db.execute("SELECT key FROM guests WHERE digest IS NOT ?", (replaces,))}
            if guest.key in others or guest.key in map(key_of, self.names()):
                return "taken"
            if len(others) >= room.in_all:
                return "full"
            query = "SELECT count(*) FROM guests JOIN sessions USING (digest) WHERE address = ? AND digest IS NOT ?"
            if network and db.execute(query, (network, replaces)).fetchone()[0] >= room.of_network:
                return "crowded"
            if replaces is not None:
                _end(db, replaces, "replaced")
            row = (digest, guest.user, now, now, network)
            db.execute("INSERT INTO sessions (digest, name, created, last_used, address) VALUES (?, ?, ?, ?, ?)", row)
            db.execute("INSERT INTO guests VALUES (?, ?)", (guest.key, digest))
            return "added"

    def end_guests(self) -> None:
        """All their sessions: none are let in any more."""
        with self._transaction(ends=True) as db:
            db.execute("UPDATE sessions SET why = 'guests' WHERE digest IN (SELECT digest FROM guests)")
            db.execute("DELETE FROM sessions WHERE digest IN (SELECT digest FROM guests)")

    # -- what has changed --------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """What has changed since the last call, sessions that we have ended included; None if nothing, which is told
        at once.
        """
        version = self._data_version()
        by_others = version != self._version
        if not by_others and not self._own_ends:
            return None
        seen, newest = self._seen, self._newest()
        if not by_others and newest == seen:
            self._own_ends = False
            return None
        query = "SELECT id, digest, name, why FROM ended WHERE id > ? AND id <= ? ORDER BY id"
        lines = self._db.execute(query, (seen, newest)).fetchall()
        self._version, self._seen, self._own_ends = version, newest, False
        if newest - seen > len(lines):  # lines are gone that we had not read
            return Changes([], {digest for (digest,) in self._db.execute("SELECT digest FROM sessions")}, by_others)
        return Changes([Ended(*line[1:]) for line in lines], None, by_others)

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _newest(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'ended'").fetchone()
        return int(row[0]) if row else 0


def _end(db: sqlite3.Connection, digest: bytes, why: str) -> None:
    db.execute("UPDATE sessions SET why = ? WHERE digest = ?", (why, digest))
    db.execute("DELETE FROM sessions WHERE digest = ?", (digest,))


def _displace(db: sqlite3.Connection, name: str, newest: bytes, most: int) -> None:
    """End what is too much of this account's; the stored last use may be a minute old, the newest stays anyway."""
    query = "SELECT digest FROM sessions WHERE name = ? AND digest != ? ORDER BY last_used DESC, created DESC"
    for (digest,) in db.execute(f"{query} LIMIT -1 OFFSET ?", (name, newest, most - 1)).fetchall():
        _end(db, digest, "displaced")


def _expire(db: sqlite3.Connection, expiry: Expiry) -> None:
    for condition, why, bound in zip(("last_used < ?", "created < ?"), ("idle", "age"), expiry, strict=True):
        if db.execute(f"UPDATE sessions SET why = ? WHERE {condition}", (why, bound)).rowcount:
            db.execute(f"DELETE FROM sessions WHERE {condition}", (bound,))
