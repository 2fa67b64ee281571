"""The tables of `auth.db`, as the steps that lead from nothing to them; see `store.py` for what they are for."""

from __future__ import annotations

from typing import Final

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
    (
        # What `ended` will say of the session; set before it is deleted.
        "ALTER TABLE sessions ADD COLUMN why TEXT NOT NULL DEFAULT 'logout'",
        "ALTER TABLE ended ADD COLUMN name TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE ended ADD COLUMN why TEXT NOT NULL DEFAULT 'logout'",
        # The sessions that no account has; `key` is what two guests cannot share (see guests.py).
        "CREATE TABLE guests (key TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE) WITHOUT ROWID",
        "DROP TRIGGER session_ended",
        """CREATE TRIGGER session_ended AFTER DELETE ON sessions BEGIN
               INSERT INTO ended (digest, name, why) VALUES (old.digest, old.name, old.why);
               DELETE FROM guests WHERE digest = old.digest;
           END""",
        "DROP TRIGGER account_removed",
        """CREATE TRIGGER account_removed AFTER DELETE ON accounts BEGIN
               UPDATE sessions SET why = 'account' WHERE name = old.name;
               DELETE FROM sessions WHERE name = old.name;
           END""",
        "DROP TRIGGER password_changed",
        """CREATE TRIGGER password_changed AFTER UPDATE OF changed ON accounts BEGIN
               UPDATE sessions SET why = 'password' WHERE name = old.name;
               DELETE FROM sessions WHERE name = old.name;
           END""",
    ),
    (
        # Where a session was started from, for its owner to know it by.
        "ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE sessions ADD COLUMN browser TEXT NOT NULL DEFAULT ''",
    ),
)
