"""A computer with a person, a program and a disk, and the tracker that they all ask."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

from disk import Disk, DiskStore
from machine import Machine

from peer.contact import Contact
from peer.delivery.audience import Deaf
from peer.delivery.letters import FAILED, Letter
from peer.errors import PeerError
from peer.link import Link
from peer.node import Listed, Node, Settings
from peer.storage.store import Entry
from reactor.core.address import Address
from reactor.core.timers import NEVER
from reactor.testing import FakeClock

if TYPE_CHECKING:
    from world import World

PORT: Final = 9000
CLOSED: Final = "k"  # a channel that has a key; the others are open
CHANNELS: Final = ("x", "y", CLOSED)
# A third of the real times, so that a schedule is over sooner.
RENEW: Final = 10.0
TTL: Final = 30.0
IDLE: Final = 20.0
# How long a program that ends waits for its links.
PATIENCE: Final = 2.0


class Tracker:
    """Who is where, as they said it last. `is_up`: it answers."""

    def __init__(self, clock: FakeClock) -> None:
        self.is_up = True
        self.key = "first key"
        self._clock = clock
        self._entries: dict[str, tuple[Listed, float]] = {}

    def register(self, entry: Listed) -> None:
        self._entries[entry.peer_id] = entry, self._clock.now + TTL

    def remove(self, peer_id: str) -> None:
        self._entries.pop(peer_id, None)

    def forget_all(self) -> None:
        self._entries.clear()

    def listed(self) -> list[Listed]:
        return [entry for entry, until in self._entries.values() if until > self._clock.now]


class Person(Deaf):
    """An Audience: who sits at a machine, in one run of the program."""

    _runs = count(1)

    def __init__(self, host: Host) -> None:
        self.run = next(self._runs)
        self._host = host
        self._world = host.world

    def message(self, entry: Entry) -> None:
        self._world.oracle.show(self._host.name, self._host.disk, self._world.name_of(entry.author), entry)

    def progress(self, letter: Letter, peer_id: str) -> None:
        state, reason = letter.states[peer_id], letter.reasons.get(peer_id, "")
        name = self._world.name_of(peer_id)
        text = letter.entry.text
        self._world.note(f"{self._host.name}: {text} to {name} is {state.value} {reason}".rstrip(), deep=True)
        if text in self._world.oracle.messages:  # else it is being written just now
            self._world.oracle.tell(self._host.name, self.run, text, name, state, reason)

    def connected(self, contact: Contact, link: Link) -> None:
        self._world.note(f"{self._host.name}: connected to {self._world.name_of(contact.peer_id)}", deep=True)

    def disconnected(self, contact: Contact, why: str) -> None:
        self._world.note(f"{self._host.name}: lost {self._world.name_of(contact.peer_id)}, {why}", deep=True)


class Host:
    """A machine with a program and a disk; `machine` and `node` are new with each start."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = "abcdefghijklmnopqrstuvwxyz"[number]
        self.peer_id = self.name * 8
        self.address = Address(f"10.0.0.{number + 1}", PORT)
        self.channels = {channel for channel in CHANNELS if world.chance.random() < 0.5}  # where the person wants to be
        self.is_up = False
        self.is_leaving = False
        self.disk = Disk(world.chance)
        self.machine: Machine
        self.node: Node
        self._store: DiskStore

    @property
    def is_away(self) -> bool:
        """Nobody can do anything there just now."""
        return self.is_leaving or self.machine.stopped_until > self.world.clock.now

    def start(self, *, lost_disk: bool = False) -> None:
        world = self.world
        if lost_disk:
            self.disk = Disk(world.chance)
        if world.chance.random() < 0.1:
            self.address = Address(self.address.host, self.address.port + 1)
        self.is_up, self.is_leaving = True, False
        self.machine = world.add_machine(self.address.host)
        self._store = DiskStore(self.machine, self.disk, world.reactor, world.chance, world.slowest_disk)
        self.node = Node(
            self.machine, self.peer_id, self.name, self._store, world.network.connect_from(self.address.host),
            Person(self), settings=Settings(idle=IDLE), unix_time=world.unix_time, timestamp=lambda: "now",
            chance=random.Random(world.chance.random()), listen_port=self.address.port,
        )  # fmt: skip
        world.network.listeners[self.address] = self._accept
        self._renew()

    def _accept(self) -> Link:
        return self.node.accept()

    # -- the tracker's client ----------------------------------------------------------------------------------------

    def _renew(self) -> None:
        self.machine.call_later(RENEW * self.world.chance.uniform(0.8, 1.2), self._renew)
        self._ask()

    def _ask(self) -> None:
        """Register with all that is true by then; the answer takes its time, too."""
        self.machine.call_later(self._trip(), self._register)

    def _trip(self) -> float:
        return self.world.chance.random() ** 2

    def _register(self) -> None:
        tracker = self.world.tracker
        if tracker.is_up and not self.is_leaving:
            tracker.register(Listed(self.peer_id, self.name, self.address, tuple(sorted(self.channels))))
            self.machine.call_later(self._trip(), self._answered, tracker.listed(), tracker.key)

    def _answered(self, listed: list[Listed], key: str) -> None:
        if self.is_leaving:
            return
        joined = self.channels.difference(self.node.channels)
        for channel in sorted(joined):
            self.node.join(channel, key if channel == CLOSED else "")
        self.node.keys({CLOSED: key})
        self.node.listed(listed)
        for channel in sorted(joined):
            self.node.dial_members(channel)

    # -- what a person does ------------------------------------------------------------------------------------------

    def join(self, channel: str) -> None:
        """The node hears of it when the tracker has agreed."""
        self.channels.add(channel)
        self._ask()

    def leave(self, channel: str) -> None:
        self.channels.discard(channel)
        self.node.leave(channel)
        self._ask()

    def send(self, other: Host, text: str) -> None:
        self._write(lambda: self.node.send(other.peer_id, text))

    def say(self, channel: str, text: str) -> None:
        self._write(lambda: self.node.say(channel, text))

    def broadcast(self, text: str) -> None:
        self._write(lambda: self.node.broadcast(text))

    def _write(self, how: Callable[[], Letter]) -> None:
        """Nothing if the node does not take it."""
        try:
            letter = how()
        except PeerError:
            return
        text = letter.entry.text
        oracle, hosts = self.world.oracle, self.world.by_id
        oracle.written(text, self.name, self.disk, {hosts[id_].name: hosts[id_].disk for id_ in letter.states})
        for id_, reason in letter.reasons.items():  # told while it was being written
            oracle.tell(self.name, 0, text, hosts[id_].name, FAILED, reason)

    # -- the end of a program ----------------------------------------------------------------------------------------

    def quit(self) -> None:
        """As a person ends it: the tracker is told, and so are the peers, for as long as they take."""
        self.is_leaving = True
        if self.world.tracker.is_up:
            self.world.tracker.remove(self.peer_id)
        del self.world.network.listeners[self.address]
        self.node.close().on_done(lambda _: self._over())
        self.machine.call_later(PATIENCE, self._over)

    def _over(self) -> None:
        if not self.is_up:
            return
        self._store.close()
        for end in self.world.network.some_ends(self.address.host):
            self.world.network.die(end, self.world.chance.random() * 0.1)
        self._ended()

    def die(self, heard_after: Callable[[], float], *, power: bool) -> None:
        """At once: nobody is told by it, and what was not safe is lost."""
        network = self.world.network
        network.listeners.pop(self.address, None)
        if power:
            network.off.add(self.address.host)
        for end in network.some_ends(self.address.host):
            network.die(end, NEVER if power else heard_after())
        self._store.crash()
        self._ended()

    def _ended(self) -> None:
        self.is_up = False
        self.world.remove_machine(self.machine)
        self.world.oracle.ended(self.name, self.disk)
