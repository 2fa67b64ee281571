"""The lock for tasks."""

from __future__ import annotations

from reactor import Task, sleep
from reactor.core.lock import Lock
from reactor.testing import FakeReactor


def holders(reactor: FakeReactor, lock: Lock, said: list[str], names: str) -> dict[str, Task[None]]:
    async def hold(name: str) -> None:
        async with lock:
            said.append(name)
            await sleep(1.0)
            said.append(name.upper())

    return {name: reactor.spawn(hold(name)) for name in names}


def test_one_at_a_time_in_the_order_they_came() -> None:
    reactor, said = FakeReactor(), list[str]()
    holders(reactor, Lock(reactor), said, "abc")
    reactor.advance(10)
    assert said == list("aAbBcC")


def test_who_is_cancelled_while_it_waits_loses_its_place_and_the_others_none() -> None:
    reactor, said = FakeReactor(), list[str]()
    tasks = holders(reactor, Lock(reactor), said, "abc")
    tasks["b"].cancel()
    reactor.advance(10)
    assert said == list("aAcC")


def test_who_is_cancelled_just_when_its_turn_comes_passes_it_on() -> None:
    reactor, said = FakeReactor(), list[str]()
    lock = Lock(reactor)
    tasks = holders(reactor, lock, said, "abc")
    lock._pass_on()  # b's turn has come, and it does not know yet
    tasks["b"].cancel()
    reactor.advance(0.5)
    assert said == list("ac")


def test_who_is_cancelled_while_it_holds_lets_go() -> None:
    reactor, said = FakeReactor(), list[str]()
    tasks = holders(reactor, Lock(reactor), said, "ab")
    tasks["a"].cancel()
    reactor.advance(10)
    assert said == list("abB")
