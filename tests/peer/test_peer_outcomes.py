"""What both stores know beside the entries: numbers by arrival, what became of our messages, what was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import peer.storage.database as database_module
from peer.storage.history import FILE_NAME, History
from peer.storage.memory import MemoryStore
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
    Sent,
    Settled,
    Shelf,
    Store,
)
from reactor.core.task import Future
from reactor.testing import FakeReactor, InlinePool

EPOCH = "00112233aabbccdd"


class Shop:
    """A store of either kind, and answers at once."""

    def __init__(self, make: Callable[[FakeReactor], Store]) -> None:
        self.reactor = FakeReactor()
        self.store = make(self.reactor)
        self.saved = self.store.load()

    def save(self, *changes: Change) -> None:
        for change in changes:
            self.store.save(change)
        self.reactor.settle()

    def ask(self, future: Future[Any]) -> Any:
        self.reactor.settle()
        return future.result()

    def outcome(self, n: int) -> Outcome | None:
        id_ = f"me:{EPOCH}:{n}"
        found = self.ask(self.store.outcomes([id_]))
        return found.get(id_)  # type: ignore[no-any-return]


@pytest.fixture(params=["disk", "memory"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    def make(reactor: FakeReactor) -> Store:
        if request.param == "disk":
            return History(reactor, tmp_path, pool=InlinePool(reactor))
        return MemoryStore(reactor, EPOCH)

    opened = Shop(make)
    yield opened
    opened.store.close()


def on_disk(directory: Path) -> Shop:
    return Shop(lambda reactor: History(reactor, directory, pool=InlinePool(reactor)))


def entry(n: int, author: str = "me", channel: str = "dev", peer: str = "", key: str = "", number: int = 0) -> Entry:
    return Entry(f"{author}:{EPOCH}:{n}", author, author, channel, peer, f"{author} {n}", n, n, "", number, key)


def sent(n: int, *recipients: str, failed: tuple[tuple[str, str], ...] = (), key: str = "") -> Sent:
    message = entry(n, key=key)
    return Sent(message, tuple(Copy(message, recipient, n, 1.0) for recipient in recipients), failed)


def received(n: int, author: str = "bob", **more: Any) -> Received:
    return Received(author, Mark(EPOCH, n), entry(n, author, **more))


# -- what became of our messages -------------------------------------------------------------------------------------


def test_an_outcome_counts_who_waits_and_who_has_it(shop: Shop) -> None:
    shop.save(sent(1, "ann", "bob", "cid"))
    assert shop.outcome(1) == Outcome(3, waiting=3)
    shop.save(Settled("ann", (1,)), Settled("bob", (1,), "refused: muted"))
    outcome = shop.outcome(1)
    assert outcome == Outcome(3, waiting=1, reasons=(("bob", "refused: muted"),))
    assert outcome.delivered == 1
    shop.save(Settled("cid", (1,), UNACKNOWLEDGED))
    outcome = shop.outcome(1)
    assert outcome == Outcome(3, unacknowledged=1, reasons=(("bob", "refused: muted"),))
    assert outcome.delivered == 1


def test_who_failed_at_once_counts_too(shop: Shop) -> None:
    shop.save(sent(1, "ann", failed=(("bob", "full"),)))
    assert shop.outcome(1) == Outcome(2, waiting=1, reasons=(("bob", "full"),))


def test_a_copy_that_got_another_number_is_still_one(shop: Shop) -> None:
    message = sent(1, "ann", "bob")
    again = Sent(message.entry, (Copy(message.entry, "ann", 9, 1.0),))
    shop.save(message, Settled("ann", (1,)), again)
    assert shop.outcome(1) == Outcome(2, waiting=2)
    shop.save(Settled("ann", (9,)))
    outcome = shop.outcome(1)
    assert outcome is not None
    assert outcome.delivered == 1


def test_of_what_nobody_sent_there_is_no_outcome(shop: Shop) -> None:
    assert shop.outcome(7) is None


def test_the_next_run_knows_what_became_of_those_that_still_wait(tmp_path: Path) -> None:
    shop = on_disk(tmp_path)
    shop.save(sent(1, "ann", "bob"), sent(2, "ann"), Settled("ann", (1, 2)))
    shop.store.close()
    shop = on_disk(tmp_path)
    assert shop.saved.outcomes == {f"me:{EPOCH}:1": Outcome(2, waiting=1)}
    assert shop.outcome(2) == Outcome(1)
    shop.store.close()


def test_the_same_changes_once_more_leave_the_same_behind(tmp_path: Path) -> None:
    shop = on_disk(tmp_path)
    changes: list[Change] = [
        sent(1, "ann", "bob", failed=(("cid", "full"),)), Settled("bob", (1,), "gone"), Read("#dev", 1),
        Muted("bob", True), Inside("dev", True),
    ]  # fmt: skip
    for _ in range(2):
        shop.save(*changes)
    # A copy that was settled is there again when the message comes once more, and is settled again behind it.
    assert shop.outcome(1) == Outcome(3, waiting=1, reasons=(("bob", "gone"), ("cid", "full")))
    shop.store.close()


def test_what_is_pruned_takes_its_outcome_along(tmp_path: Path) -> None:
    shop = Shop(lambda reactor: History(reactor, tmp_path, keep=2, pool=InlinePool(reactor)))
    shop.save(sent(1, failed=(("bob", "full"),)))
    for n in range(2, 6):
        shop.save(received(n))
    assert shop.outcome(1) is None
    shop.store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        assert db.execute("SELECT count(*) FROM fates").fetchone() == (0,)
    db.close()


# -- numbers, conversations ------------------------------------------------------------------------------------------


def test_entries_are_numbered_as_they_come(shop: Shop) -> None:
    shop.save(sent(5), received(1), received(2, number=7), received(3))
    entries = shop.ask(shop.store.arrived(0, 10))
    assert [(one.text, one.number) for one in entries] == [("me 5", 1), ("bob 1", 2), ("bob 2", 7), ("bob 3", 8)]
    assert [one.number for one in shop.ask(shop.store.arrived(2, 1))] == [7]


def test_one_reads_back_in_a_conversation_by_numbers(shop: Shop) -> None:
    shop.save(
        *(received(n) for n in range(1, 6)), received(6, channel="direct", peer="bob"), received(7, channel="other")
    )
    assert [one.number for one in shop.ask(shop.store.before("dev", "", 5, 3))] == [2, 3, 4]
    assert [one.number for one in shop.ask(shop.store.before("dev", "", 2**53, 2))] == [4, 5]
    assert [one.number for one in shop.ask(shop.store.before("direct", "bob", 2**53, 9))] == [6]
    assert shop.ask(shop.store.before("direct", "eve", 2**53, 9)) == []


def test_shelves_have_what_is_not_read_of_others(shop: Shop) -> None:
    shop.save(received(1), received(2), sent(3), received(4), received(5, channel="direct", peer="bob"))
    shelves = shop.ask(shop.store.shelves("me", {"#dev": 1}))
    assert sorted(shelves) == [Shelf("dev", "", 4, (2, 4)), Shelf("direct", "bob", 5, (5,))]


def test_a_message_is_found_by_the_key_that_its_page_gave_it(shop: Shop) -> None:
    shop.save(sent(1, key="k1"), sent(2))
    found = shop.ask(shop.store.keyed("k1"))
    assert (found.text, found.key) == ("me 1", "k1")
    assert shop.ask(shop.store.keyed("k2")) is None
    assert shop.ask(shop.store.keyed("")) is None


def test_the_next_run_knows_channels_marks_and_the_muted(tmp_path: Path) -> None:
    shop = on_disk(tmp_path)
    assert (shop.saved.channels, shop.saved.reads, shop.saved.muted, shop.saved.number) == ((), {}, frozenset(), 0)
    shop.save(
        received(1), Inside("dev", True), Inside("ops", True), Inside("dev", False), Inside("dev", True),
        Read("#dev", 3), Read("#dev", 7), Muted("eve", True), Muted("bob", True), Muted("bob", False),
    )  # fmt: skip
    shop.store.close()
    shop = on_disk(tmp_path)
    saved = shop.saved
    assert (saved.channels, saved.reads, saved.muted) == (("ops", "dev"), {"#dev": 7}, frozenset({"eve"}))
    assert saved.number == 1
    shop.store.close()


# -- beside others ---------------------------------------------------------------------------------------------------


def test_a_history_of_the_first_format_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", database_module.MIGRATIONS[:1])
        db = database_module.Database(tmp_path / FILE_NAME, 100)
        db._create_file()
        db._connection = sqlite3.connect(db.path, isolation_level=None)
        db._prepare()
        row = (1, f"me:{EPOCH}:1", "me", "me", "dev", "", "old", 1, 1, "")
        db._db.execute(f"INSERT INTO entries VALUES ({', '.join('?' * 10)})", row)
        db._db.execute("INSERT INTO copies VALUES ('ann', 1, 1, 1.0)")
        db.close()
    shop = on_disk(tmp_path)
    assert [one.text for one in shop.ask(shop.store.arrived(0, 9))] == ["old"]
    assert shop.outcome(1) == Outcome(1, waiting=1)
    shop.save(Settled("ann", (1,)), sent(2))
    assert [one.number for one in shop.ask(shop.store.arrived(0, 9))] == [1, 2]
    shop.store.close()


def test_histories_may_share_a_thread_and_end_one_by_one(tmp_path: Path) -> None:
    reactor = FakeReactor()
    pool = InlinePool(reactor)
    one, two = (History(reactor, tmp_path / name, pool=pool) for name in ("one", "two"))
    for history in (one, two):
        opening = reactor.spawn(history.open())
        reactor.settle()
        opening.result()
        assert history.load().number == 0
    saving = one.save(received(1))
    ending = reactor.spawn(one.end())
    reactor.settle()
    ending.result()
    saving.result()
    two.save(received(1))
    reactor.settle()
    two.close()
    again = on_disk(tmp_path / "one")
    assert again.saved.number == 1
    again.store.close()
