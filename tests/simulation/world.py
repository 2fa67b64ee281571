"""A world in which everything goes wrong that can, in an order that a seed decides, and is then left in peace.

    wrong = World(seed).run()      # [] or what should not have happened, in words

While it is wild, people write, join, leave and connect while links are cut, machines stop, die and come back, disks are
full and the tracker is away. `log` is what was done; the same seed does the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count
from typing import Final

from host import Host, Tracker
from machine import Machine
from network import Network
from oracle import Oracle
from peace import Peace
from wild import Wild

from reactor.testing import FakeClock, FakeReactor

# In one `advance`: who needs more is going round in a circle.
MOST_TURNS: Final = 300_000


@dataclass(frozen=True)
class Profile:
    """How large and how wild."""

    hosts: tuple[int, int] = (2, 6)
    actions: tuple[int, int] = (10, 100)
    storm: bool = False  # everybody joins at once


class World:
    def __init__(self, seed: int, profile: Profile = Profile(), *, deep: bool = False) -> None:
        """`deep`: the log has what people are told as well."""
        self.seed = seed
        self.chance = random.Random(f"world {seed}")
        self.clock = FakeClock()
        self.reactor = FakeReactor(self.clock)
        self.network = Network(self.reactor, self.chance, slowest=self.chance.choice((0.02, 0.2, 2.0)))
        self.slowest_disk = self.chance.choice((0.005, 0.05, 0.5))
        self.tracker = Tracker(self.clock)
        self.oracle = Oracle()
        self.log: list[str] = []
        self.errors: list[str] = []
        self._profile = profile
        self._deep = deep
        self.later = 0.0  # by how much the wall clock has been put forward
        self._machines: list[Machine] = []
        self._texts = count()
        self.hosts = [Host(self, number) for number in range(self.chance.randint(*profile.hosts))]
        self.by_id = {host.peer_id: host for host in self.hosts}
        for host in self.hosts:
            host.start()

    def unix_time(self) -> float:
        return self.clock.unix_time() + self.later

    def name_of(self, peer_id: str) -> str:
        return self.by_id[peer_id].name

    def note(self, text: str, *, deep: bool = False) -> None:
        if self._deep or not deep:
            self.log.append(f"{self.clock.now - 1000:8.3f}  {text}")

    def text(self, what: str) -> str:
        """A text that nobody has written yet."""
        return f"{what}{next(self._texts)}"

    def start(self, host: Host) -> None:
        lost_disk = self.chance.random() < 0.2
        host.start(lost_disk=lost_disk)
        self.note(f"{host.name} starts at {host.address.port}{' with a new disk' if lost_disk else ''}")

    # -- time --------------------------------------------------------------------------------------------------------

    def add_machine(self, host: str) -> Machine:
        machine = Machine(self.clock, random.Random(self.chance.random()))
        machine.on_error = self._error
        self.network.machines[host] = machine
        self.network.off.discard(host)
        self._machines.append(machine)
        return machine

    def remove_machine(self, machine: Machine) -> None:
        machine.is_dead = True
        self._machines.remove(machine)

    def _error(self, error: BaseException, where: str) -> None:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = f"{at.tb_frame.f_code.co_filename.rpartition('/')[2]}:{at.tb_lineno}" if at is not None else "?"
        self.errors.append(f"an error reached the loop {where}, {place}: {error!r}")

    @property
    def wrong(self) -> list[str]:
        return self.errors + self.oracle.wrong

    def advance(self, seconds: float) -> None:
        """Machines that have something to do at the same time have it in any order."""
        clock, end = self.clock, self.clock.now + seconds
        turns = 0
        while not self.errors:
            turns += 1
            if turns > MOST_TURNS:
                self.errors.append(f"no rest within {turns} turns")
            busy = [machine for machine in self._machines if machine.due <= clock.now]
            if busy:
                (busy[0] if len(busy) == 1 else self.chance.choice(busy)).turn_once()
                continue
            due = min([self.reactor.timers.next(), *(machine.due for machine in self._machines)])
            if due > end:
                break
            clock.now = max(clock.now, due)
            if self.reactor.timers.next() <= clock.now:
                self.reactor.settle()
        clock.now = max(clock.now, end)

    # -- the whole of it ---------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """What is wrong at the end of the first part that something is wrong with."""
        peace = Peace(self)
        for part in (self._be_wild, peace.settle, peace.ask_everybody, peace.grow_old, peace.close_all):
            found = part()
            if self.wrong or found:
                return self.wrong + found
        return []

    def _be_wild(self) -> list[str]:
        if self._profile.storm:
            for host in self.hosts:
                host.join("x")
        self.advance(self.chance.choice((0, 0.1, 3)))
        Wild(self).run(self.chance.randint(*self._profile.actions))
        return [f"{words} was refused for flooding" for words in self.oracle.refused_for_flood]


MESH: Final = Profile()
DUEL: Final = Profile(hosts=(2, 3), actions=(50, 200))
STORM: Final = Profile(hosts=(12, 12), actions=(0, 25), storm=True)
