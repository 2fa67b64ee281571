"""The file of a history when it grows, and when it goes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import peer.storage.database as database_module
from peer.storage.database import Database
from peer.storage.store import Entry, Mark, Received
from reactor.errors import ReactorError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "data" / "history.db", 1000)
    database.open()
    yield database
    database.close()


def received(sender: str, n: int = 1, *, refused: bool = False) -> Received:
    entry = Entry(f"{sender}:e:{n}", sender, sender.title(), "direct", sender, "hi", n, n, "")
    return Received(sender, Mark("e", n), None if refused else entry)


def test_of_senders_without_end_the_last_are_known(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "KEEP_SENDERS", 10)
    monkeypatch.setattr(database_module, "FORGET_EVERY", 20)
    for number in range(200):
        database.write([received(f"p{number}", refused=number % 2 > 0)])
    database.close()
    saved = database.open()
    assert len(saved.marks) <= 10 + 21 and len(saved.names) <= 10 + 21


def test_who_was_heard_of_last_is_not_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "KEEP_SENDERS", 3)
    database.write([received("bob", 1)])
    for number in range(10):
        database.write([received(f"p{number}")])
    database._db.execute("UPDATE marks SET used = used - 100")
    database._db.execute("UPDATE names SET used = used - 100")
    database.write([received("bob", 2)])
    database._until_forgetting = 0
    database.write([received("cay")])
    database.close()
    saved = database.open()
    assert saved.marks["bob"] == Mark("e", 2) and {"bob", "cay"} < saved.marks.keys() and len(saved.marks) == 3
    assert saved.names.keys() == saved.marks.keys()


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_what_nobody_could_find_again_is_not_taken_for_safe(database: Database, tmp_path: Path, how: str) -> None:
    database.write([received("bob")])
    if how == "removed":
        shutil.rmtree(tmp_path / "data")
    else:
        (tmp_path / "data").rename(tmp_path / "elsewhere")
    if how == "replaced":
        shutil.copytree(tmp_path / "elsewhere", tmp_path / "data")
    for n in (2, 3):
        with pytest.raises(ReactorError, match=r"the history in .*/data was moved or removed: end this peer"):
            database.write([received("bob", n)])


def test_a_directory_that_comes_back_is_written_to_again(database: Database, tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(ReactorError):
        database.write([received("bob", 1)])
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    database.write([received("bob", 1)])
