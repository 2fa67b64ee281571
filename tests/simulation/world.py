"""A world in which everything goes wrong that can, in an order that a seed decides, and is then left in peace.

    wrong = World(seed).run()      # [] or what should not have happened, in words

While it is wild, people write, join, leave and connect while links are cut, machines stop, die and come back, disks are
full and the tracker is away. Then all is mended, and after a while each pair must have the links it should, each message
must be settled, and nothing may be left in memory. `log` is what was done; the same seed does the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations, count
from typing import Any, Final

from disk import Disk, DiskStore
from machine import Machine
from network import End, Network
from oracle import Oracle

from peer.contact import Contact
from peer.errors import PeerError
from peer.letters import FAILED, Letter
from peer.link import Link
from peer.node import Listed, Node, Settings
from peer.store import Entry
from reactor.core.address import Address
from reactor.core.timers import NEVER
from reactor.testing import FakeClock, FakeReactor

PORT: Final = 9000
CLOSED: Final = "k"  # a channel that has a key; the others are open
CHANNELS: Final = ("x", "y", CLOSED)
# A third of the real times, so that a schedule is over sooner.
RENEW: Final = 10.0
TTL: Final = 30.0
IDLE: Final = 20.0
# Longer than all that may have to run out: silence, a dial, the longest pause between two, a lease, an idle link.
SETTLING: Final = 200.0
# Each state has to last as long before it is believed.
LASTING: Final = 15.0
# How long a program that ends waits for its links.
PATIENCE: Final = 2.0
MOST_TURNS: Final = 300_000
A_DAY: Final = 25 * 3600.0


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


class Person:
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

    def accepted(self, address: tuple[str, int]) -> None: ...
    def away(self, contact: Contact) -> None: ...
    def trouble(self, text: str) -> None: ...


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
        self.is_up, self.is_leaving = True, False
        self.machine = world.add_machine(self.address.host)
        self._store = DiskStore(self.machine, self.disk, world.reactor, world.chance, world.slowest_disk)
        self.node = Node(
            self.machine, self.peer_id, self.name, self._store, world.network.connect_from(self.address.host),
            Person(self), settings=Settings(idle=IDLE), unix_time=world.unix_time, timestamp=lambda: "now",
            chance=random.Random(world.chance.random()), listen_port=PORT,
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

    def write(self, how: Callable[[str], Letter], text: str) -> str:
        """Why it was not taken; "" if it was."""
        try:
            letter = how(text)
        except PeerError as error:
            return str(error)
        oracle, hosts = self.world.oracle, self.world.by_id
        oracle.written(text, self.name, self.disk, {hosts[id_].name: hosts[id_].disk for id_ in letter.states})
        for id_, reason in letter.reasons.items():  # told while it was being written
            oracle.tell(self.name, 0, text, hosts[id_].name, FAILED, reason)
        return ""

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
        self._later = 0.0  # by how much the wall clock has been put forward
        self._machines: list[Machine] = []
        self._texts = count()
        self.hosts = [Host(self, number) for number in range(self.chance.randint(*profile.hosts))]
        self.by_id = {host.peer_id: host for host in self.hosts}
        self.gone: set[str] = set()  # hosts that do not come back
        for host in self.hosts:
            host.start()

    def unix_time(self) -> float:
        return self.clock.unix_time() + self._later

    def name_of(self, peer_id: str) -> str:
        return self.by_id[peer_id].name

    def note(self, text: str, *, deep: bool = False) -> None:
        if self._deep or not deep:
            self.log.append(f"{self.clock.now - 1000:8.3f}  {text}")

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
            busy = [machine for machine in self._machines if machine.next_turn <= clock.now]
            if busy:
                (busy[0] if len(busy) == 1 else self.chance.choice(busy)).turn_once()
                continue
            due = min([self.reactor.timers.next(), *(machine.next_turn for machine in self._machines)])
            if due > end:
                break
            clock.now = max(clock.now, due)
            if self.reactor.timers.next() <= clock.now:
                self.reactor.settle()
        clock.now = max(clock.now, end)

    # -- the whole of it ---------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """What is wrong at the end of the first part that something is wrong with."""
        parts = (self._be_wild, self._was_paced, self._settle, self._ask_everybody, self._grow_old, self._close_all)
        for part in parts:
            found = part()
            if self.wrong or found:
                return self.wrong + found
        return []

    # -- wild --------------------------------------------------------------------------------------------------------

    def _be_wild(self) -> list[str]:
        chance = self.chance
        if self._profile.storm:
            for host in self.hosts:
                host.join("x")
        self.advance(chance.choice((0, 0.1, 3)))
        names, weights = zip(*ACTIONS, strict=True)
        for name in chance.choices(names, weights, k=chance.randint(*self._profile.actions)):
            getattr(self, f"_do_{name}")()
            self.advance(chance.choice((0, 0, 0.01, 0.1, 0.3, 1, chance.random() * 3, chance.random() * 15)))
            if self.wrong:
                break
        return []

    def _host(self, *, up: bool = True) -> Host | None:
        some = [host for host in self.hosts if host.is_up is up and not (up and host.is_away)]
        return self.chance.choice(some) if some else None

    def _other(self, than: Host) -> Host:
        return self.chance.choice([host for host in self.hosts if host is not than])

    def _text(self, what: str) -> str:
        return f"{what}{next(self._texts)}"

    def _do_send(self) -> None:
        if (host := self._host()) is not None:
            other, text = self._other(host), self._text("send")
            self.note(f"{host.name} {text} to {other.name}")
            host.write(lambda text: host.node.send(other.peer_id, text), text)

    def _do_say(self) -> None:
        if (host := self._host()) is not None and host.node.channels:
            channel, text = self.chance.choice(sorted(host.node.channels)), self._text("say")
            self.note(f"{host.name} {text} in {channel}")
            host.write(lambda text: host.node.say(channel, text), text)

    def _do_broadcast(self) -> None:
        if (host := self._host()) is not None:
            text = self._text("broadcast")
            self.note(f"{host.name} {text}")
            host.write(host.node.broadcast, text)

    def _do_burst(self) -> None:
        if (host := self._host()) is not None:
            other, many = self._other(host), self.chance.choice((6, 12, 20, 120))
            self.note(f"{host.name} sends {many} to {other.name}")
            for _ in range(many):
                host.write(lambda text: host.node.send(other.peer_id, text), self._text("burst"))

    def _do_join(self) -> None:
        if (host := self._host()) is not None:
            channel = self.chance.choice(CHANNELS)
            self.note(f"{host.name} joins {channel}")
            host.join(channel)

    def _do_leave(self) -> None:
        if (host := self._host()) is not None and host.channels:
            channel = self.chance.choice(sorted(host.channels))
            self.note(f"{host.name} leaves {channel}")
            host.leave(channel)

    def _do_connect(self) -> None:
        if (host := self._host()) is not None:
            other = self._other(host)
            self.note(f"{host.name} connects to {other.name}")
            host.node.connect(other.peer_id, other.address)

    def _do_mute(self) -> None:
        if (host := self._host()) is not None:
            other, mute = self._other(host), self.chance.random() < 0.5
            self.note(f"{host.name} {'mutes' if mute else 'hears'} {other.name}")
            host.node.mute(other.peer_id, mute)

    # -- wild: the network -------------------------------------------------------------------------------------------

    def _pair(self) -> tuple[Host, Host]:
        one, other = self.chance.sample(self.hosts, 2)
        return one, other

    def _names(self, end: End) -> str:
        names = {host.address.host: host.name for host in self.hosts}
        return f"{names[end.host]}-{names[end.other.host]}"

    def _do_cut(self) -> None:
        ends = self.network.some_ends()
        if ends:
            end = self.chance.choice(ends)
            how = self.chance.choice(("", "", "silently", "one way"))
            self.note(f"cut {self._names(end)} {how}".rstrip())
            if not how:
                self.network.cut(end)
            else:
                end.is_silent = True
                end.other.is_silent |= how == "silently"

    def _do_cut_all(self) -> None:
        self.note("cut all")
        for end in self.network.some_ends():
            self.network.cut(end)

    def _do_stall(self) -> None:
        ends = self.network.some_ends()
        if ends:
            end, seconds = self.chance.choice(ends), self.chance.random() ** 2 * 40
            self.note(f"stall {self._names(end)} for {seconds:.1f} s")
            end.stall()
            self.reactor.call_later(seconds, end.release)

    def _do_part(self) -> None:
        one, other = self._pair()
        self.note(f"part {one.name} and {other.name}")
        self.network.part(one.address.host, other.address.host)

    def _do_heal(self) -> None:
        self.note("heal")
        self.network.heal()

    def _do_slow_down(self) -> None:
        (one, other), seconds = self._pair(), self.chance.random() * 25
        self.note(f"{one.name} and {other.name} are slow for {seconds:.1f} s")
        self.network.slow_down(one.address.host, other.address.host, seconds)

    # -- wild: machines, disks, the tracker --------------------------------------------------------------------------

    def _do_stop(self) -> None:
        if (host := self._host()) is not None:
            seconds = self.chance.choice((0.5, 5, 15, 45)) * self.chance.random()
            self.note(f"{host.name} stops for {seconds:.1f} s")
            host.machine.stopped_until = self.clock.now + seconds

    def _do_quit(self) -> None:
        if (host := self._host()) is not None:
            self.note(f"{host.name} quits")
            host.quit()

    def _do_kill(self) -> None:
        host = self.chance.choice(self.hosts)
        if host.is_up:
            power = self.chance.random() < 0.25
            slow = self.chance.choice((0.05, 0.2, 20))
            self.note(f"{host.name} {'loses its power' if power else f'is killed, heard within {slow} s'}")
            host.die(lambda: self.chance.random() * slow, power=power)

    def _do_start(self) -> None:
        if (host := self._host(up=False)) is not None:
            self._start(host)

    def _start(self, host: Host) -> None:
        lost_disk = self.chance.random() < 0.2
        self.note(f"{host.name} starts{' with a new disk' if lost_disk else ''}")
        host.start(lost_disk=lost_disk)

    def _do_restart(self) -> None:
        """So quickly that the others may not have noticed."""
        self._do_kill()
        self.advance(self.chance.random())
        self._do_start()

    def _do_disk(self) -> None:
        if (host := self._host()) is not None:
            host.disk.is_full = not host.disk.is_full
            self.note(f"the disk of {host.name} {'is full' if host.disk.is_full else 'has room'}")

    def _do_tracker(self) -> None:
        self.tracker.is_up = not self.tracker.is_up
        self.note(f"the tracker is {'up' if self.tracker.is_up else 'down'}")

    def _do_forget(self) -> None:
        self.note("the tracker forgets")
        self.tracker.forget_all()

    def _do_rekey(self) -> None:
        self.tracker.key = self._text("key")
        self.note(f"{CLOSED} has a new key")

    def _was_paced(self) -> list[str]:
        return [f"{words} was refused for flooding" for words in self.oracle.refused_for_flood]

    # -- peace -------------------------------------------------------------------------------------------------------

    def _settle(self) -> list[str]:
        self._mend()
        found = ["it has not begun"]
        good_since = until = self.clock.now
        until += SETTLING
        while not self.wrong and self.clock.now < until:
            self.advance(3.0)
            found = self._unsettled()
            if found:
                good_since = self.clock.now
            elif self.clock.now - good_since >= LASTING:
                self.note(f"settled after {SETTLING - (until - self.clock.now):.0f} s")
                break
        return found

    def _mend(self) -> None:
        self.note("-- all is mended")
        self.network.heal()
        self.tracker.is_up = True
        gone = self.chance.choice(self.hosts) if len(self.hosts) > 2 and self.chance.random() < 0.3 else None
        for host in self.hosts:
            host.disk.is_full = False
            host.machine.stopped_until = 0.0
            if host is gone:
                self._go(host)
            elif not host.is_up:
                self._start(host)
            elif host.is_leaving:
                host.die(lambda: 0.1, power=False)
                self._start(host)

    def _go(self, host: Host) -> None:
        self.note(f"{host.name} is gone for good")
        self.gone.add(host.name)
        if host.is_up and not host.is_leaving:
            host.quit()
        for other in self.hosts:  # who was asked for by name would be dialled for ever
            if other is not host and other.is_up and host.peer_id in other.node.contacts:
                other.node.contacts[host.peer_id].pinned_at = None

    def _present(self) -> list[Host]:
        return [host for host in self.hosts if host.name not in self.gone]

    def _pairs(self) -> Iterable[tuple[Host, Host]]:
        return combinations(self._present(), 2)

    @staticmethod
    def _shall_be_linked(one: Host, other: Host) -> bool:
        pins = [
            host.node.contacts[peer.peer_id].pinned_at is not None
            for host, peer in ((one, other), (other, one))
            if peer.peer_id in host.node.contacts
        ]
        return any(pins) or not one.channels.isdisjoint(other.channels)

    def _unsettled(self) -> list[str]:
        """What is not as it should be yet."""
        found = [words for one, other in self._pairs() for words in self._check_pair(one, other)]
        found += [words for host in self._present() for words in self._check_rooms(host)]
        found += [f"{end.host} does not know yet that its link is dead" for end in self.network.ends if end.is_silent]
        if found:
            return found
        linked = [pair for pair in self._pairs() if self._shall_be_linked(*pair)]
        names = [(one.name, other.name) for one, other in linked]
        found += self.oracle.judge(self._disks(), {*names, *((other, one) for one, other in names)})
        for host in self._present():
            found += [f"{host.name} {words}" for words in left_over(host)]
        if len(self.network.ends) != 2 * len(linked):
            found.append(f"{len(self.network.ends)} ends of connections for {len(linked)} links")
        return found

    def _disks(self) -> dict[str, Disk]:
        return {host.name: host.disk for host in self.hosts}

    def _check_pair(self, one: Host, other: Host) -> list[str]:
        links = links_of(one, other), links_of(other, one)
        many = 1 if self._shall_be_linked(one, other) else 0
        if any(len(side) != many for side in links):
            return [f"{one.name} and {other.name} have {len(links[0])} and {len(links[1])} links instead of {many}"]
        if many and links[0][0]._transport.other is not links[1][0]._transport:
            return [f"{one.name} and {other.name} hold on to different links"]
        return []

    def _ask_everybody(self) -> list[str]:
        """Now everything must reach everybody that it should."""
        self.note("-- everybody asks everybody")
        wrong, texts = [], []
        for host in self._present():
            for channel in sorted(host.channels):
                texts.append(self._text("all"))
                wrong += filter(None, [host.write(lambda text, c=channel, h=host: h.node.say(c, text), texts[-1])])
            for other in self._present():
                if other is not host and self._shall_be_linked(host, other):
                    texts.append(self._text("last"))
                    wrong += filter(None, [host.write(lambda text, o=other, h=host: h.node.send(o.peer_id, text), texts[-1])])
        if wrong:
            return wrong
        self.advance(20.0)
        for text in texts:
            for name, (state, reason) in self.oracle.messages[text].told.items():
                if state is FAILED and reason != "refused: muted":
                    wrong.append(f"{text!r} to {name} has failed: {reason}")
        return wrong + self._unsettled()

    def _check_rooms(self, host: Host) -> list[str]:
        """Whether it is in its channels and sees who else is."""
        found = []
        if host.channels != set(host.node.channels):
            found.append(f"{host.name} is in {sorted(host.node.channels)} instead of {sorted(host.channels)}")
        for channel in sorted(host.node.channels):
            members = sorted(other.name for other in self._present() if other is not host and channel in other.channels)
            seen = sorted(self.name_of(contact.peer_id) for contact in host.node.members(channel))
            if seen != members:
                found.append(f"{host.name} sees {seen} in {channel} instead of {members}")
        return found

    def _grow_old(self) -> list[str]:
        """What waits for somebody who never came is given up after a day."""
        self._later += A_DAY
        self.advance(LASTING)
        pairs = {(host.name, other.name) for host in self._present() for other in self.hosts}
        wrong = self.oracle.judge(self._disks(), pairs)
        for host in self._present():
            wrong += [f"{host.name} {words}" for words in left_over(host, all_of_it=True)]
        return wrong

    def _close_all(self) -> list[str]:
        """Nothing of a node is left when it has ended, though its reactor goes on."""
        closing = [(host, host.node.close()) for host in self._present()]
        for host, _ in closing:
            host.is_leaving = True
        self.advance(5.0)
        wrong = [f"{host.name} does not end" for host, closed in closing if not closed.done]
        self.advance(LASTING)
        for host, _ in closing:
            left = [timer for timer in host.machine.live_timers if "Host." not in timer]
            wrong += [f"{host.name} has ended and still has {timer}" for timer in left]
        return wrong + [f"{end.host} has an end left" for end in self.network.some_ends()]


def links_of(host: Host, other: Host) -> list[Link]:
    """Those that are there, open or not."""
    contact = host.node.contacts.get(other.peer_id)
    return [] if contact is None else contact.links


def left_over(host: Host, *, all_of_it: bool = False) -> list[str]:
    """What a node at rest should not have. Letters may wait for who is not there, but for `all_of_it`."""
    node: Any = host.node
    contacts = list(node.contacts)
    linked = [contact for contact in contacts if contact.links]
    waiting = contacts if all_of_it else linked
    timers = [timer for timer in host.machine.live_timers if "Host." not in timer]
    return [
        words
        for words, is_wrong in (
            (f"has letters {list(node.mail.letters)}", all_of_it and bool(node.mail.letters)),
            ("has something in an outbox", any(not one.outbox.is_empty or one.outbox._waiting for one in waiting)),
            ("has something that nobody took", any(contact.untaken for contact in contacts)),
            (f"dials {list(node._dialling._attempts)}", bool(node._dialling._attempts)),
            ("has a dial in its queue", bool(node._dialling._queue) or node._dialling._running != 0),
            ("has links that are not open", len(node.links) != sum(len(contact.links) for contact in linked)),
            ("has a wake to come", any(contact.wakes for contact in contacts)),
            ("has probes", any(link._probes for link in node.links)),
            ("sends on no link, or another", any(contact.link not in contact.links for contact in linked)),
            # The review, and for each link its deadline.
            (f"has {len(timers)} timers: {timers}", len(timers) > 1 + len(node.links)),
        )
        if is_wrong
    ]


ACTIONS: Final = (
    ("send", 12.0), ("say", 12.0), ("broadcast", 4.0), ("burst", 1.0), ("join", 5.0), ("leave", 2.0), ("connect", 3.0),
    ("mute", 0.5), ("cut", 5.0), ("cut_all", 1.0), ("stall", 1.0), ("part", 1.0), ("heal", 1.0),
    ("slow_down", 1.5), ("stop", 1.5), ("quit", 1.0), ("kill", 1.5), ("start", 3.0), ("restart", 1.5), ("disk", 0.6),
    ("tracker", 0.6), ("forget", 0.4), ("rekey", 0.5),
)  # fmt: skip

MESH: Final = Profile()
STORM: Final = Profile(hosts=(12, 12), actions=(0, 25), storm=True)
