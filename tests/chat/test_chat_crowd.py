"""Many people of one server at one moment: how many are let in, and how their work is spread over turns of the loop."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from memory_pages import ChatApp, Page

from peer.errors import PeerError
from peer.turns import Turns
from peer.web.tries import FREE, LONGEST, MOST_CHANNELS, Tries
from plugins.chat import LOOK_SECONDS
from plugins.chat.house import BETWEEN
from reactor.core.loop import Reactor
from reactor.testing import FakeReactor

PEOPLE = 12


@pytest.fixture
def crowd(tmp_path: Path) -> tuple[ChatApp, list[Page]]:
    with ChatApp(tmp_path) as chat:
        yield chat, [chat.page(chat.guest(f"guest {n}")) for n in range(PEOPLE)]  # type: ignore[misc]


# -- how many --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("files", "people"), [(400, 25), (8, 1), (100_000, 200)])
def test_people_are_bounded_by_the_files_that_the_system_allows(
    files: int, people: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactor.plugin.descriptor_limit", lambda: files)
    with ChatApp(tmp_path) as chat:
        told = [line for line in chat.app.log_lines if "max_people" in line]
        assert len(told) == (people < 200)
        if told:
            assert f"max_people = 200: only {people} are let in" in told[0] and "ulimit -n 3200" in told[0]
        if people == 1:
            pages = [chat.page(chat.guest(name)) for name in ("Ann", "Bob")]
            assert [page.code for page in pages] == [None, 1013]


def test_connections_get_what_is_left_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in ("reactor.plugin", "reactor.app"):
        monkeypatch.setattr(f"{where}.descriptor_limit", lambda: 10_000)
    with ChatApp(tmp_path, {"max_people": "50"}) as chat:
        assert chat.app.app.generation.site.settings.max_connections == 10_000 - 64 - 4 * 50


# -- how fast --------------------------------------------------------------------------------------------------------


def test_work_is_done_in_its_order_and_so_much_in_a_turn() -> None:
    reactor, done = FakeReactor(), list[int]()
    turns = Turns(reactor, 3)

    async def work(number: int) -> None:
        await turns.next()
        done.append(number)

    for number in range(7):
        reactor.spawn(work(number))
    counts = []
    for _ in range(5):
        reactor.turn()
        counts.append(len(done))
    assert done == list(range(7))
    assert max(after - before for before, after in pairwise([0, *counts])) <= 3
    reactor.spawn(work(7))
    reactor.settle()
    assert done[-1] == 7


def test_links_inside_the_server_cost_nothing_while_nobody_speaks(
    crowd: tuple[ChatApp, list[Page]], monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, pages = crowd
    for page in pages:
        page.do("join", channel="dev")
    chat.advance(5)
    calls = 0
    plain = Reactor._call

    def counted(self: Reactor, *args: object) -> None:
        nonlocal calls
        calls += 1
        plain(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Reactor, "_call", counted)
    chat.advance(20)
    assert calls < 20 * PEOPLE * 4  # a ping on each of the 132 links, every ten seconds, would be a thousand more
    id_ = pages[0].say("#dev", "still linked")
    chat.advance(1)
    assert pages[0].states(id_)[-1] == ("delivered", PEOPLE - 1, PEOPLE - 1)


def test_a_round_of_looking_is_over_before_the_next_one_begins(
    crowd: tuple[ChatApp, list[Page]], monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, _ = crowd
    monkeypatch.setattr("plugins.chat.house.BETWEEN", 0.2)
    assert PEOPLE * 0.2 > LOOK_SECONDS > BETWEEN
    looked: list[tuple[str, float]] = []

    async def look(held: object) -> None:
        looked.append((held.user.id, chat.app.clock.now))  # type: ignore[attr-defined]

    monkeypatch.setattr("plugins.chat.held.Held.look_around", look)
    for name in ("Eve", "Dan"):
        chat.page(chat.guest(name))
        chat.advance(0.6)
    chat.advance(10)
    times = [at for _, at in looked]
    assert all(after - before >= 0.19 for before, after in pairwise(times))
    assert {user for user, _ in looked[-PEOPLE - 2 :]} >= {user for user, _ in looked}


# -- wrong passwords of channels ---------------------------------------------------------------------------------------


def test_who_is_wrong_again_and_again_waits_longer_and_longer() -> None:
    reactor = FakeReactor()
    tries = Tries(reactor)
    for _ in range(FREE):
        tries.was_wrong("ops")
        tries.check("ops")
    waits = []
    for _ in range(12):
        tries.was_wrong("ops")
        with pytest.raises(PeerError, match=r"Too many wrong passwords for ops\. Try again in \d+ s"):
            tries.check("ops")
        began = reactor.now
        while True:
            try:
                tries.check("ops")
                break
            except PeerError:
                reactor.advance(1)
        waits.append(reactor.now - began)
    assert waits[:4] == [2, 4, 8, 16] and waits[-1] > LONGEST - 60
    tries.check("other")
    reactor.advance(20 * 3600)
    tries.was_wrong("ops")
    tries.check("ops")


def test_what_is_remembered_of_wrong_passwords_is_bounded() -> None:
    tries = Tries(FakeReactor())
    for number in range(3 * MOST_CHANNELS):
        tries.was_wrong(f"channel {number}")
    assert len(tries._wrong) == MOST_CHANNELS


def test_a_guesser_cannot_wash_out_what_is_remembered_with_channels_of_its_own() -> None:
    tries = Tries(FakeReactor())
    for _ in range(FREE + 1):
        tries.was_wrong("ops")
    for number in range(3 * MOST_CHANNELS):
        tries.was_wrong(f"own {number}")
    with pytest.raises(PeerError, match="Too many wrong passwords for ops"):
        tries.check("ops")


def test_a_guesser_is_put_off_also_under_other_names_and_the_others_are_not(tmp_path: Path) -> None:
    with ChatApp(tmp_path) as chat:
        ann = chat.page(chat.admin())
        ann.do("join", channel="ops")
        ann.do("policy", channel="ops", policy="password", password="right")
        bob = chat.page(chat.guest("Bob"))
        answers = [bob.ask("join", channel="ops", password=f"guess {n}") for n in range(FREE + 2)]
        assert [answer["code"] for answer in answers] == ["wrong_password"] * (FREE + 1) + ["refused"]
        assert "Try again in " in answers[-1]["message"]
        cid = chat.page(chat.guest("Cid"))
        assert cid.ask("join", channel="ops", password="right")["code"] == "refused"
        token = ann.do("invite", channel="ops")["invite"]
        cid.do("join", channel="ops", invite=token)
        chat.advance(5)
        bob.do("join", channel="ops", password="right")
