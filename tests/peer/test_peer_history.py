from __future__ import annotations

import re
import sqlite3
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import peer.storage.database as database_module
from peer.storage.database import MIGRATIONS
from peer.storage.history import FILE_NAME, MOST_READS, History, PoolLike
from peer.storage.store import Change, Copy, Entry, Mark, Received, Sent, Settled, Store
from reactor.core.task import Future
from reactor.errors import Overloaded, ReactorError, StartError
from reactor.testing import FakeReactor, InlinePool

EPOCH = "00112233aabbccdd"
TIMESTAMP = "2026-01-01T00:00:00.000Z"


class HeldPool:
    """Jobs wait until the test lets them go, one at a time."""

    def __init__(self, reactor: FakeReactor) -> None:
        self._reactor = reactor
        self.jobs: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self.refuses: Exception | None = None

    def run(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        if self.refuses is not None:
            raise self.refuses
        future: Future[Any] = self._reactor.future()
        self.jobs.append((future, function, args))
        return future

    def let_one_go(self) -> None:
        future, function, args = self.jobs.popleft()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_error(error)
        self._reactor.settle()

    def close(self) -> bool:
        return True


class Desk:
    """A history in a directory, from its start to its end."""

    def __init__(self, directory: Path, *, held: bool = False, **options: Any) -> None:
        self.directory = directory
        self.reactor = FakeReactor()
        self.errors: list[BaseException] = []
        self.reactor.on_error = lambda error, where: self.errors.append(error)
        self.held = HeldPool(self.reactor)
        pool: PoolLike = self.held if held else InlinePool(self.reactor)
        self.history = History(self.reactor, directory, pool=pool, **options)
        self.saved = self.history.load()
        self.statements: list[str] = []
        self.connection.set_trace_callback(self.statements.append)

    @property
    def connection(self) -> sqlite3.Connection:
        connection = self.history._database._connection
        assert connection is not None
        return connection

    @property
    def commits(self) -> int:
        return self.statements.count("COMMIT")

    def save(self, *changes: Change) -> None:
        futures = [self.history.save(change) for change in changes]
        self.reactor.settle()
        for future in futures:
            future.result()

    def words_of_save(self, *changes: Change) -> str:
        with pytest.raises(ReactorError) as caught:
            self.save(*changes)
        return str(caught.value)

    def entries(self, channel: str = "", peer: str = "", limit: int = 50) -> Sequence[Entry]:
        future = self.history.history(channel, peer, limit)
        self.reactor.settle()
        return [entry._replace(number=0) for entry in future.result()]

    def ids(self, channel: str = "", peer: str = "", limit: int = 50) -> list[str]:
        return [entry.id for entry in self.entries(channel, peer, limit)]

    def again(self, **options: Any) -> Desk:
        """The next run in the same directory."""
        self.history.close()
        return Desk(self.directory, **options)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path / "data")
    yield opened
    opened.history.close()
    assert opened.errors == []


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path / "held", held=True)
    yield opened
    opened.history.close()
    assert opened.errors == []


def entry(
    n: int, author: str = "me", channel: str = "direct", peer: str = "", text: str = "hello", lamport: int | None = None
) -> Entry:
    if channel == "direct" and not peer:
        peer = "bob" if author == "me" else author
    clock = n if lamport is None else lamport
    return Entry(f"{author}:{EPOCH}:{n}", author, author.title(), channel, peer, text, clock, n, TIMESTAMP)


def sent(n: int, *recipients: str, seq: int = 0, **more: Any) -> Sent:
    message = entry(n, **more)
    return Sent(message, tuple(Copy(message, recipient, seq or n, 1000.5) for recipient in recipients or ("bob",)))


def received(n: int, sender: str = "bob", **more: Any) -> Received:
    return Received(sender, Mark(EPOCH, n), entry(n, author=sender, **more))


def start_words(directory: Path) -> str:
    """The line that a start in this directory ends with."""
    with pytest.raises(StartError) as caught:
        Desk(directory)
    words = str(caught.value)
    assert "\n" not in words
    return words


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_new_history_has_an_epoch_of_its_own_and_keeps_it(desk: Desk, tmp_path: Path) -> None:
    store: Store = desk.history
    assert store is desk.history
    assert re.fullmatch(r"[0-9a-f]{16}", desk.saved.epoch)
    assert (desk.saved.lamport, desk.saved.n, desk.saved.copies) == (0, 0, [])
    other = Desk(tmp_path / "other")
    assert other.saved.epoch != desk.saved.epoch
    next_run = other.again()
    assert next_run.saved == other.saved
    next_run.history.close()


def test_only_the_owner_may_read_the_files_and_the_directory(desk: Desk) -> None:
    desk.save(sent(1))
    assert stat.S_IMODE(desk.directory.stat().st_mode) == 0o700
    files = list(desk.directory.iterdir())
    assert len(files) == 3  # with those of the write-ahead log
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_file_that_others_could_read_is_closed_to_them(desk: Desk) -> None:
    desk.history.close()
    path = desk.directory / FILE_NAME
    path.chmod(0o644)
    Desk(desk.directory).history.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_next_run_has_all_that_was_saved(desk: Desk) -> None:
    mark = Mark(EPOCH, 9, ((7, "flood"), (9, "too_long")))
    desk.save(
        sent(1, "bob", "eve"), received(4, "bob", lamport=17), Received("eve", mark, None), sent(2, "bob", seq=5),
        Settled("eve", (1,)),
    )  # fmt: skip
    next_run = desk.again()
    saved = next_run.saved
    assert (saved.epoch, saved.lamport, saved.n) == (desk.saved.epoch, 17, 2)
    assert saved.seqs == {"bob": 5, "eve": 1}
    assert saved.marks == {"bob": Mark(EPOCH, 4), "eve": mark}
    first, second = entry(1)._replace(number=1), entry(2)._replace(number=3)
    assert saved.copies == [Copy(first, "bob", 1, 1000.5), Copy(second, "bob", 5, 1000.5)]
    assert saved.names == {"bob": "Bob"}
    assert next_run.entries() == [entry(1), entry(2), entry(4, "bob", lamport=17)]
    next_run.history.close()


def test_a_refused_message_leaves_its_mark_and_no_entry(desk: Desk) -> None:
    desk.save(Received("bob", Mark(EPOCH, 3, ((3, "flood"),)), None))
    assert desk.entries() == []
    next_run = desk.again()
    assert next_run.saved.marks == {"bob": Mark(EPOCH, 3, ((3, "flood"),))}
    assert next_run.saved.names == {}
    next_run.history.close()


def test_a_sender_who_begins_anew_has_the_mark_of_the_new_stream(desk: Desk) -> None:
    desk.save(received(900), Received("bob", Mark("f" * 16, 1), entry(1, "bob", lamport=1000)))
    next_run = desk.again()
    assert next_run.saved.marks == {"bob": Mark("f" * 16, 1)}
    next_run.history.close()


def test_a_number_is_not_used_again_when_all_its_copies_are_settled(desk: Desk) -> None:
    desk.save(sent(1), sent(2), Settled("bob", (1, 2)), Settled("nobody", (3,)))
    next_run = desk.again()
    assert next_run.saved.copies == []
    assert (next_run.saved.n, next_run.saved.seqs) == (2, {"bob": 2})
    next_run.history.close()


def test_numbers_never_go_back(desk: Desk) -> None:
    desk.save(sent(5), sent(3))
    next_run = desk.again()
    assert (next_run.saved.n, next_run.saved.lamport, next_run.saved.seqs) == (5, 5, {"bob": 5})
    next_run.history.close()


def test_the_last_name_of_a_peer_counts_and_no_name_is_none(desk: Desk) -> None:
    renamed = received(2)
    assert renamed.entry is not None
    nameless = renamed.entry._replace(id="x", username="")
    desk.save(received(1), renamed._replace(entry=renamed.entry._replace(username="Robert")))
    desk.save(Received("bob", Mark(EPOCH, 3), nameless))
    next_run = desk.again()
    assert next_run.saved.names == {"bob": "Robert"}
    next_run.history.close()


def test_a_message_that_is_saved_twice_is_kept_once_and_nobody_can_take_the_id_of_another(desk: Desk) -> None:
    forged = entry(1, "eve", channel="lobby")._replace(id=entry(1, "bob").id, lamport=2)
    desk.save(Received("eve", Mark(EPOCH, 1), forged), received(1), received(1))
    assert desk.entries() == [entry(1, "bob"), forged]


def test_a_message_without_recipients_is_an_entry_all_the_same(desk: Desk) -> None:
    desk.save(Sent(entry(1, channel="lobby"), ()))
    assert desk.entries("lobby") == [entry(1, channel="lobby")]


# -- reading -----------------------------------------------------------------------------------------------------------


def test_entries_are_in_the_order_of_the_clock_then_author_then_number(desk: Desk) -> None:
    out_of_order = [
        entry(2, "bob", lamport=5), entry(1, "bob", lamport=5), entry(1, "ann", lamport=5), entry(9, "eve", lamport=4)
    ]  # fmt: skip
    desk.save(*(Received(one.author, Mark(EPOCH, one.n), one) for one in out_of_order))
    assert desk.entries() == list(reversed(out_of_order))
    assert desk.entries(limit=2) == [out_of_order[1], out_of_order[0]]
    assert desk.entries(limit=0) == desk.entries(limit=-1) == []


def test_a_channel_and_a_peer_have_their_own_histories(desk: Desk) -> None:
    desk.save(
        sent(1), received(2), received(3, "eve"), received(4, "eve", channel="lobby"),
        sent(5, "eve", channel="broadcast"), sent(6, "bob", "eve", channel="lobby"), sent(7, "eve", peer="eve"),
    )  # fmt: skip
    numbers = {
        question: [one.n for one in desk.entries(*question)]
        for question in [("", ""), ("lobby", ""), ("broadcast", ""), ("direct", ""), ("", "bob"), ("direct", "eve"),
                         ("lobby", "eve"), ("nowhere", ""), ("", "nobody")]
    }  # fmt: skip
    assert numbers == {
        ("", ""): [1, 2, 3, 4, 5, 6, 7], ("lobby", ""): [4, 6], ("broadcast", ""): [5], ("direct", ""): [1, 2, 3, 7],
        ("", "bob"): [1, 2], ("direct", "eve"): [3, 7], ("lobby", "eve"): [], ("nowhere", ""): [], ("", "nobody"): [],
    }  # fmt: skip
    assert [one.n for one in desk.entries("lobby", limit=1)] == [6]


@pytest.mark.parametrize(
    ("question", "index"),
    [(("", ""), "entries_in_order"), (("lobby", ""), "entries_of_channel"), (("direct", "bob"), "entries_with_peer"),
     (("", "bob"), "entries_with_peer")],
)  # fmt: skip
def test_each_question_is_answered_from_its_index_without_sorting(
    desk: Desk, question: tuple[str, str], index: str
) -> None:
    desk.entries(*question)
    (query,) = (text for text in desk.statements if text.startswith("SELECT"))
    plan = " / ".join(row[3] for row in desk.connection.execute("EXPLAIN QUERY PLAN " + query))
    assert f"USING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan


def test_a_read_sees_what_was_saved_before_it(held: Desk) -> None:
    saving = [held.history.save(sent(1))]
    held.reactor.settle()
    saving.append(held.history.save(sent(2)))  # waits behind the first
    reading = held.history.history()
    for _ in range(3):
        assert not reading.done
        held.reactor.settle()
        held.held.let_one_go()
    assert [one.n for one in reading.result()] == [1, 2]
    assert all(future.done for future in saving)


def test_a_read_goes_on_where_the_write_before_it_failed(desk: Desk) -> None:
    desk.save(sent(1))
    desk.connection.execute("PRAGMA query_only = 1")
    failing = desk.history.save(sent(2))
    assert desk.ids() == [entry(1).id]
    assert failing.error is not None


def test_too_many_who_read_at_once_are_told_so_and_writes_are_not_hindered(held: Desk) -> None:
    reading = [held.history.history() for _ in range(MOST_READS)]
    one_more = held.history.history()
    assert isinstance(one_more.error, Overloaded)
    saving = held.history.save(sent(1))
    held.reactor.settle()
    while held.held.jobs:
        held.held.let_one_go()
    assert saving.result() is None
    assert all(future.result() == [] for future in reading)
    later = held.history.history()
    held.held.let_one_go()
    assert len(later.result()) == 1


def test_a_file_that_cannot_be_read_is_told_in_words(desk: Desk) -> None:
    desk.connection.execute("DROP TABLE entries")
    with pytest.raises(ReactorError, match=r"the history in .*data cannot be read: it is damaged \(no such table"):
        desk.entries()


# -- transactions ------------------------------------------------------------------------------------------------------


def test_what_is_saved_in_one_turn_is_one_transaction(desk: Desk) -> None:
    desk.save(*(sent(n) for n in range(1, 50)), received(1))
    assert desk.commits == 1
    desk.save(sent(50))
    assert desk.commits == 2


def test_what_is_saved_while_one_is_written_is_the_next_and_safe_only_then(held: Desk) -> None:
    first = held.history.save(sent(1))
    held.reactor.settle()
    later = []
    for n in range(2, 30):
        later.append(held.history.save(sent(n)))
        held.reactor.settle()
    assert not first.done
    assert len(held.held.jobs) == 1
    held.held.let_one_go()
    assert first.done
    assert not any(future.done for future in later)
    held.held.let_one_go()
    assert all(future.done for future in later)
    assert held.commits == 2
    assert not held.held.jobs


def test_the_oldest_go_when_there_are_too_many_but_not_those_on_their_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path, keep=10)
    desk.save(sent(1), received(2, lamport=1000))
    for n in range(3, 30):
        desk.save(received(n))
    assert [one.n for one in desk.entries()] == [1, *range(20, 30)]
    desk.save(Settled("bob", (1,)), received(30))
    assert [one.n for one in desk.entries()] == list(range(21, 31))
    next_run = desk.again()
    assert (next_run.saved.lamport, next_run.saved.n) == (1000, 1)
    next_run.history.close()


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_in_words_and_nothing_is_half_done(desk: Desk) -> None:
    desk.save(sent(1))
    pages = desk.connection.execute("PRAGMA page_count").fetchone()[0]
    desk.connection.execute(f"PRAGMA max_page_count = {pages}")
    words = desk.words_of_save(received(2), Settled("bob", (1,)), *(sent(n, text="x" * 4000) for n in range(3, 10)))
    assert words == f"the history in {desk.directory} cannot be written: the disk is full"
    assert desk.ids() == [entry(1).id]
    desk.connection.execute("PRAGMA max_page_count = 1000000")
    desk.save(sent(10))
    next_run = desk.again()
    assert [copy.seq for copy in next_run.saved.copies] == [1, 10]
    assert (next_run.saved.marks, next_run.saved.n) == ({}, 10)
    next_run.history.close()


def test_a_file_that_may_not_be_written_or_is_locked_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.0)
    desk = Desk(tmp_path)
    desk.connection.execute("PRAGMA query_only = 1")
    assert desk.words_of_save(sent(1)).endswith("cannot be written: it may not be written")
    desk.connection.execute("PRAGMA query_only = 0")
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert desk.words_of_save(sent(1)).endswith("cannot be written: another program has it locked")
    holder.close()
    desk.save(sent(1))
    desk.history.close()


def test_a_change_that_makes_no_sense_fails_with_its_own_error_and_the_next_is_tried(desk: Desk) -> None:
    with pytest.raises(OverflowError):
        desk.save(sent(2**64))
    desk.save(sent(1))
    assert desk.ids() == [entry(1).id]


def test_what_was_saved_behind_a_failed_change_fails_with_it_until_its_caller_has_heard(held: Desk) -> None:
    """Else the mark of the second message would stand for the first one too, which is lost."""
    held.connection.execute("PRAGMA query_only = 1")
    first = held.history.save(received(1))
    held.reactor.settle()
    waiting = held.history.save(received(2))
    in_between: list[Future[None]] = []
    heard: list[int] = []
    first.on_done(lambda _: in_between.append(held.history.save(received(3))))
    first.on_done(lambda _: heard.append(1))
    waiting.on_done(lambda _: heard.append(2))
    held.held.let_one_go()
    assert heard == [1, 2]
    assert [str(future.error) for future in (first, waiting, *in_between)] == [str(first.error)] * 3
    assert not held.held.jobs
    held.connection.execute("PRAGMA query_only = 0")
    anew = held.history.save(received(1))
    held.reactor.settle()
    held.held.let_one_go()
    assert anew.result() is None


def test_a_thread_that_cannot_be_had_is_a_failed_write(held: Desk) -> None:
    held.held.refuses = RuntimeError("can't start new thread")
    failed = held.history.save(sent(1))
    held.reactor.settle()
    assert "new thread" in str(failed.error)
    held.held.refuses = None
    saved = held.history.save(sent(2))
    held.reactor.settle()
    held.held.let_one_go()
    assert saved.result() is None


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True], ids=["not begun", "written, but the loop has not heard"])
def test_close_writes_what_waits_once(held: Desk, written: bool) -> None:
    saving = [held.history.save(sent(1)), held.history.save(Settled("bob", (1,)))]
    held.reactor.settle()
    saving.append(held.history.save(sent(2)))
    if written:
        _, function, args = held.held.jobs[0]
        function(*args)
    next_run = held.again()
    assert all(future.done and future.error is None for future in saving)
    assert (next_run.saved.n, [copy.seq for copy in next_run.saved.copies]) == (2, [2])
    assert len(next_run.entries()) == 2
    next_run.history.close()
    held.held.let_one_go()  # a late one does no harm
    assert held.errors == []


def test_close_says_so_when_it_cannot_write_and_so_do_the_futures(held: Desk) -> None:
    saving = [held.history.save(sent(1))]
    held.reactor.settle()
    saving.append(held.history.save(sent(2)))
    held.connection.execute("PRAGMA query_only = 1")
    with pytest.raises(ReactorError, match="cannot be written"):
        held.history.close()
    assert all("cannot be written" in str(future.error) for future in saving)


def test_close_does_not_touch_the_file_while_a_thread_hangs_in_it(held: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    saving = held.history.save(sent(1))
    monkeypatch.setattr(held.held, "close", lambda: False)
    with pytest.raises(ReactorError, match="the disk does not answer"):
        held.history.close()
    assert not saving.done
    monkeypatch.undo()


def test_a_closed_history_says_so_and_may_be_closed_again(desk: Desk) -> None:
    desk.history.close()
    desk.history.close()
    assert desk.words_of_save(sent(1)) == f"the history in {desk.directory} is closed"
    with pytest.raises(ReactorError, match="is closed"):
        desk.entries()


# -- files that cannot be used -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + bytes(range(256)) * 32])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    words = start_words(tmp_path)
    assert str(path) in words
    assert "move it away" in words
    assert path.read_bytes() == content


def test_a_page_damaged_in_the_middle_is_noticed_at_the_start(desk: Desk) -> None:
    desk.save(*(sent(n, text="x" * 2000) for n in range(1, 60)))
    desk.history.close()
    path = desk.directory / FILE_NAME
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    assert "is damaged" in start_words(desk.directory)


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM meta", "DROP TABLE names", "UPDATE marks SET refused = '{'", "UPDATE marks SET refused = '[7]'"],
)
def test_rows_that_make_no_sense_are_noticed_at_the_start(desk: Desk, damage: str) -> None:
    desk.save(received(1))
    desk.connection.execute(damage)
    desk.history.close()
    assert "is damaged" in start_words(desk.directory)


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE entries (x)")
    other.close()
    content = path.read_bytes()
    assert re.search(r"history\.db belongs to another program: move it away", start_words(tmp_path))
    assert path.read_bytes() == content


def test_a_file_of_a_newer_program_is_refused_and_left_as_it_is(desk: Desk) -> None:
    desk.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    desk.history.close()
    content = (desk.directory / FILE_NAME).read_bytes()
    assert re.search(r"history\.db was written by a newer version .*: update the program", start_words(desk.directory))
    assert (desk.directory / FILE_NAME).read_bytes() == content


def test_a_file_that_was_made_and_never_filled_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    desk = Desk(tmp_path)
    assert desk.saved.epoch
    desk.history.close()


def test_an_older_file_is_brought_up_to_date_in_one_step(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.save(sent(1))
    newer = (*MIGRATIONS, ("ALTER TABLE meta ADD COLUMN more TEXT",), ("CREATE TABLE seqs (x)",))
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", newer)
        desk.history.close()
        assert "already exists" in start_words(desk.directory)
    unharmed = Desk(desk.directory)
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", newer[:-1])
        migrated = unharmed.again()
    assert (migrated.saved.n, len(migrated.saved.copies)) == (1, 1)
    assert migrated.connection.execute("SELECT more FROM meta").fetchone() == (None,)
    migrated.history.close()


def test_a_locked_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.0)
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    assert "another program has it locked: end that one" in start_words(tmp_path)
    holder.close()


def test_a_directory_in_the_place_of_the_file_or_a_file_in_that_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert "it may not be written: check who owns it" in start_words(tmp_path)
    (tmp_path / "file").touch()
    assert "give another --data directory" in start_words(tmp_path / "file")
    assert "give another --data directory" in start_words(tmp_path / "file" / "below")
