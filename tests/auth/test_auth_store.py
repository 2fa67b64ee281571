from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import plugins.auth.store as store_module
from plugins.auth.schema import MIGRATIONS
from plugins.auth.store import Changes, Ended, Expiry, SessionRow, Store
from reactor import StartError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "var" / "auth.db")
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def other(store: Store) -> Iterator[Store]:
    """Another process, as far as SQLite can tell."""
    opened = Store(store.path)
    opened.open()
    yield opened
    opened.close()


def test_only_the_owner_may_read_the_file_and_its_directory(store: Store) -> None:
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    store.add_account("ann", "hash", 1.0)
    for file in store.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_file_that_others_could_read_is_closed_to_them(store: Store) -> None:
    store.close()
    store.path.chmod(0o644)
    store.open()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_an_account_is_added_once(store: Store) -> None:
    assert store.add_account("ann", "hash", 1.0)
    assert not store.add_account("ann", "other", 2.0)
    assert store.password("ann") == "hash"
    assert store.password("bob") is None
    assert store.names() == ["ann"]


def test_the_first_account_is_made_only_where_there_is_none(store: Store, other: Store) -> None:
    assert store.add_account("admin", "hash", 1.0, only_first=True)
    assert not other.add_account("admin", "hash", 1.0, only_first=True)
    assert not other.add_account("root", "hash", 1.0, only_first=True)


def test_a_session_needs_the_password_that_was_verified(store: Store) -> None:
    store.add_account("ann", "old", 1.0)
    store.set_password("ann", "new", 2.0)
    assert not store.add_session(b"1", "ann", "old", 3.0)
    assert not store.add_session(b"1", "bob", "new", 3.0)
    assert store.add_session(b"1", "ann", "new", 3.0)
    assert store.session(b"1") == SessionRow("ann", 3.0, 3.0)


def test_a_new_session_replaces_the_presented_one_or_leaves_it_be(store: Store) -> None:
    store.add_account("ann", "hash", 1.0)
    store.add_session(b"1", "ann", "hash", 3.0)
    assert not store.add_session(b"2", "ann", "wrong", 3.0, b"1")
    assert store.session(b"1")
    assert store.add_session(b"2", "ann", "hash", 3.0, b"1")
    assert store.session(b"1") is None


@pytest.mark.parametrize("how", ["password", "remove"])
def test_a_changed_password_or_a_removed_account_ends_its_sessions_only(store: Store, how: str) -> None:
    for name in ("ann", "bob"):
        store.add_account(name, "hash", 1.0)
        store.add_session(name.encode(), name, "hash", 2.0)
    assert store.set_password("ann", "hash", 3.0) if how == "password" else store.remove_account("ann")
    assert store.session(b"ann") is None
    assert store.session(b"bob") is not None


def test_what_is_not_there_cannot_be_changed(store: Store) -> None:
    assert not store.set_password("ann", "hash", 1.0)
    assert not store.remove_account("ann")
    store.end_session(b"1")


def test_the_time_of_use_only_moves_forward(store: Store) -> None:
    store.add_account("ann", "hash", 1.0)
    store.add_session(b"1", "ann", "hash", 10.0)
    store.touch_sessions([(b"1", 20.0), (b"gone", 20.0)])
    store.touch_sessions([(b"1", 15.0)])
    assert store.session(b"1") == SessionRow("ann", 10.0, 20.0)


def test_what_expired_is_ended_and_named(store: Store) -> None:
    store.add_account("ann", "hash", 1.0)
    for digest, created in ((b"old", 10.0), (b"idle", 50.0), (b"new", 90.0)):
        store.add_session(digest, "ann", "hash", created)
    store.touch_sessions([(b"old", 95.0)])
    store.prune(Expiry(60.0, 20.0))
    assert store.session(b"new") is not None
    news = Changes([Ended(b"idle", "ann", "idle"), Ended(b"old", "ann", "age")], None, by_others=False)
    assert store.changes() == news
    store.prune(Expiry(60.0, 20.0))
    assert store.changes() is None


def test_nothing_changed_is_told_as_nothing(store: Store) -> None:
    store.add_account("ann", "hash", 1.0)  # our own change is no news
    assert store.changes() is None


def test_sessions_that_another_process_ends_are_news_once(store: Store, other: Store) -> None:
    store.add_account("ann", "hash", 1.0)
    store.add_session(b"1", "ann", "hash", 2.0)
    store.add_session(b"2", "ann", "hash", 2.0)
    other.end_session(b"1")
    changes = store.changes()
    assert changes == Changes([Ended(b"1", "ann", "logout")], None, by_others=True)
    assert store.changes() is None
    other.set_password("ann", "new", 3.0)
    changes = store.changes()
    assert changes == Changes([Ended(b"2", "ann", "password")], None, by_others=True)


def test_other_news_ends_no_session(store: Store, other: Store) -> None:
    other.add_account("ann", "hash", 1.0)
    changes = store.changes()
    assert changes is not None and changes.ended == [] and changes.live is None


def test_a_process_that_slept_too_long_gets_all_that_is_left(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_account("ann", "hash", 1.0)
    for digest in (b"1", b"2", b"3"):
        store.add_session(digest, "ann", "hash", 2.0)
    other.end_session(b"1")
    other.end_session(b"2")
    monkeypatch.setattr(store_module, "ENDED_SECONDS", -10)
    other.prune(Expiry(0.0, 0.0))
    changes = store.changes()
    assert changes is not None and changes.live == {b"3"}


def test_who_logs_in_and_out_all_day_does_not_fill_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MOST_ENDED", 10)
    store.add_account("ann", "hash", 1.0)
    for number in range(40):
        store.add_session(b"%d" % number, "ann", "hash", 2.0, most=1)
    store.prune(Expiry(0.0, 0.0))
    assert store._db.execute("SELECT count(*), max(id) FROM ended").fetchone() == (10, 39)
    assert store._db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_a_file_from_a_newer_program_is_refused_in_one_line(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StartError, match=r"newer version .* update the program") as caught:
        store.open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + bytes(range(256)) * 32])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "auth.db"
    path.write_bytes(content)
    with pytest.raises(StartError, match=r"is damaged .*backup") as caught:
        Store(path).open()
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_page_damaged_in_the_middle_is_noticed_at_the_start(store: Store) -> None:
    for number in range(40):
        store.add_account(f"user{number}", "x" * 2000, 1.0)
    store.close()
    data = bytearray(store.path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    store.path.write_bytes(data)
    with pytest.raises(StartError, match="damaged"):
        store.open()


def test_a_directory_in_its_place_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "auth.db").mkdir()
    with pytest.raises(StartError, match="check that you may write"):
        Store(tmp_path / "auth.db").open()


def test_a_file_as_state_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(StartError, match="cannot open"):
        Store(tmp_path / "var" / "auth.db").open()


def test_a_locked_file_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.0)
    path = tmp_path / "auth.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StartError, match="locked by another program"):
        Store(path).open()
    holder.close()


def test_several_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    stores = [Store(tmp_path / "auth.db") for _ in range(8)]
    failed: list[BaseException] = []

    def start(store: Store) -> None:
        try:
            store.open()
            store.add_account("admin", "hash", 1.0, only_first=True)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert stores[0].names() == ["admin"]
    for store in stores:
        store.close()


def test_a_write_that_fails_changes_nothing_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(sqlite3.Error):
        store.add_account("ann", None, 1.0)  # type: ignore[arg-type]
    assert store.add_account("ann", "hash", 1.0)


def test_a_closed_store_says_so_and_may_be_closed_again(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(sqlite3.Error, match="not open"):
        store.names()
