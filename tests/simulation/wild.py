"""What people do and what goes wrong: one method for each, in an order that chance decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from host import CHANNELS, CLOSED, Host
from network import End

if TYPE_CHECKING:
    from world import World

# How often each, beside the others.
ACTIONS: Final = (
    ("send", 12.0), ("say", 12.0), ("broadcast", 4.0), ("burst", 1.0), ("join", 5.0), ("leave", 2.0), ("connect", 3.0),
    ("mute", 0.5), ("cut", 5.0), ("cut_all", 1.0), ("stall", 1.0), ("part", 1.0), ("heal", 1.0),
    ("slow_down", 1.5), ("stop", 1.5), ("quit", 1.0), ("kill", 1.5), ("start", 3.0), ("restart", 1.5), ("disk", 0.6),
    ("tracker", 0.6), ("forget", 0.4), ("rekey", 0.5),
)  # fmt: skip


class Wild:
    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, many: int) -> None:
        """So many actions, with pauses that are mostly short."""
        chance = self._world.chance
        names, weights = zip(*ACTIONS, strict=True)
        for name in chance.choices(names, weights, k=many):
            getattr(self, name)()
            self._world.advance(chance.choice((0, 0, 0.01, 0.1, 0.3, 1, chance.random() * 3, chance.random() * 15)))
            if self._world.wrong:
                return

    def _host(self, *, up: bool = True) -> Host | None:
        some = [host for host in self._world.hosts if host.is_up is up and not (up and host.is_away)]
        return self._world.chance.choice(some) if some else None

    def _other(self, than: Host) -> Host:
        return self._world.chance.choice([host for host in self._world.hosts if host is not than])

    def send(self) -> None:
        if (host := self._host()) is not None:
            other, text = self._other(host), self._world.text("send")
            self._world.note(f"{host.name} {text} to {other.name}")
            host.send(other, text)

    def say(self) -> None:
        if (host := self._host()) is not None and host.node.channels:
            channel, text = self._world.chance.choice(sorted(host.node.channels)), self._world.text("say")
            self._world.note(f"{host.name} {text} in {channel}")
            host.say(channel, text)

    def broadcast(self) -> None:
        if (host := self._host()) is not None:
            text = self._world.text("broadcast")
            self._world.note(f"{host.name} {text}")
            host.broadcast(text)

    def burst(self) -> None:
        if (host := self._host()) is not None:
            other, many = self._other(host), self._world.chance.choice((6, 12, 20, 120))
            self._world.note(f"{host.name} sends {many} to {other.name}")
            for _ in range(many):
                host.send(other, self._world.text("burst"))

    def join(self) -> None:
        if (host := self._host()) is not None:
            channel = self._world.chance.choice(CHANNELS)
            self._world.note(f"{host.name} joins {channel}")
            host.join(channel)

    def leave(self) -> None:
        if (host := self._host()) is not None and host.channels:
            channel = self._world.chance.choice(sorted(host.channels))
            self._world.note(f"{host.name} leaves {channel}")
            host.leave(channel)

    def connect(self) -> None:
        if (host := self._host()) is not None:
            other = self._other(host)
            self._world.note(f"{host.name} connects to {other.name}")
            host.node.connect(other.peer_id, other.address)

    def mute(self) -> None:
        if (host := self._host()) is not None:
            other, mute = self._other(host), self._world.chance.random() < 0.5
            self._world.note(f"{host.name} {'mutes' if mute else 'hears'} {other.name}")
            host.node.mute(other.peer_id, mute)

    # -- the network -------------------------------------------------------------------------------------------------

    def _pair(self) -> tuple[Host, Host]:
        one, other = self._world.chance.sample(self._world.hosts, 2)
        return one, other

    def _names(self, end: End) -> str:
        names = {host.address.host: host.name for host in self._world.hosts}
        return f"{names[end.host]}-{names[end.other.host]}"

    def cut(self) -> None:
        ends = self._world.network.some_ends()
        if ends:
            end = self._world.chance.choice(ends)
            how = self._world.chance.choice(("", "", "silently", "one way"))
            self._world.note(f"cut {self._names(end)} {how}".rstrip())
            if not how:
                self._world.network.cut(end)
            else:
                end.is_silent = True
                end.other.is_silent |= how == "silently"

    def cut_all(self) -> None:
        self._world.note("cut all")
        for end in self._world.network.some_ends():
            self._world.network.cut(end)

    def stall(self) -> None:
        ends = self._world.network.some_ends()
        if ends:
            end, seconds = self._world.chance.choice(ends), self._world.chance.random() ** 2 * 40
            self._world.note(f"stall {self._names(end)} for {seconds:.1f} s")
            end.stall()
            self._world.reactor.call_later(seconds, end.release)

    def part(self) -> None:
        one, other = self._pair()
        self._world.note(f"part {one.name} and {other.name}")
        self._world.network.part(one.address.host, other.address.host)

    def heal(self) -> None:
        self._world.note("heal")
        self._world.network.heal()

    def slow_down(self) -> None:
        (one, other), seconds = self._pair(), self._world.chance.random() * 25
        self._world.note(f"{one.name} and {other.name} are slow for {seconds:.1f} s")
        self._world.network.slow_down(one.address.host, other.address.host, seconds)

    # -- machines, disks, the tracker --------------------------------------------------------------------------------

    def stop(self) -> None:
        if (host := self._host()) is not None:
            seconds = self._world.chance.choice((0.5, 5, 15, 45)) * self._world.chance.random()
            self._world.note(f"{host.name} stops for {seconds:.1f} s")
            host.machine.stopped_until = self._world.clock.now + seconds

    def quit(self) -> None:
        if (host := self._host()) is not None:
            self._world.note(f"{host.name} quits")
            host.quit()

    def kill(self) -> None:
        host = self._world.chance.choice(self._world.hosts)
        if host.is_up:
            power = self._world.chance.random() < 0.25
            slow = self._world.chance.choice((0.05, 0.2, 20))
            self._world.note(f"{host.name} {'loses its power' if power else f'is killed, heard within {slow} s'}")
            host.die(lambda: self._world.chance.random() * slow, power=power)

    def start(self) -> None:
        if (host := self._host(up=False)) is not None:
            self._world.start(host)

    def restart(self) -> None:
        """So quickly that the others may not have noticed."""
        self.kill()
        self._world.advance(self._world.chance.random())
        self.start()

    def disk(self) -> None:
        if (host := self._host()) is not None:
            host.disk.is_full = not host.disk.is_full
            self._world.note(f"the disk of {host.name} {'is full' if host.disk.is_full else 'has room'}")

    def tracker(self) -> None:
        self._world.tracker.is_up = not self._world.tracker.is_up
        self._world.note(f"the tracker is {'up' if self._world.tracker.is_up else 'down'}")

    def forget(self) -> None:
        self._world.note("the tracker forgets")
        self._world.tracker.forget_all()

    def rekey(self) -> None:
        self._world.tracker.key = self._world.text("key")
        self._world.note(f"{CLOSED} has a new key")
