"""All is mended and left alone: what must be true then, and stay so.

Each pair has the links it should and no more, everybody sees who is in a channel, each message is settled, and nothing
is left in memory. Then everything must reach everybody; what waits for nobody is given up; and a node that ends leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from disk import Disk
from host import Host

from peer.delivery.letters import FAILED
from peer.link import Link

if TYPE_CHECKING:
    from world import World

# Longer than all that may have to run out: silence, a dial, the longest pause between two, a lease, an idle link.
SETTLING: Final = 200.0
# A state has to last as long before it is believed.
LASTING: Final = 15.0
A_DAY: Final = 25 * 3600.0


class Peace:
    """Each part returns in words what is wrong at its end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gone: set[str] = set()  # hosts that do not come back

    def settle(self) -> list[str]:
        self._mend()
        found = ["it has not begun"]
        good_since = until = self._world.clock.now
        until += SETTLING
        while not self._world.wrong and self._world.clock.now < until:
            self._world.advance(3.0)
            found = self._unsettled()
            if found:
                good_since = self._world.clock.now
            elif self._world.clock.now - good_since >= LASTING:
                self._world.note(f"settled after {SETTLING - (until - self._world.clock.now):.0f} s")
                break
        return found

    def _mend(self) -> None:
        self._world.note("-- all is mended")
        self._world.network.heal()
        self._world.tracker.is_up = True
        hosts, chance = self._world.hosts, self._world.chance
        gone = chance.choice(hosts) if len(hosts) > 2 and chance.random() < 0.3 else None
        for host in hosts:
            host.disk.is_full = False
            host.machine.stopped_until = 0.0
            if host is gone:
                self._go(host)
            elif not host.is_up:
                self._world.start(host)
            elif host.is_leaving:
                host.die(lambda: 0.1, power=False)
                self._world.start(host)
        for host in self._present():
            for contact in host.node.contacts:  # who was asked for at an address that is not theirs any more
                if contact.pinned_at is not None:
                    contact.pinned_at = self._world.by_id[contact.peer_id].address

    def _go(self, host: Host) -> None:
        self._world.note(f"{host.name} is gone for good")
        self._gone.add(host.name)
        if host.is_up and not host.is_leaving:
            host.quit()
        for other in self._world.hosts:  # who was asked for by name would be dialled for ever
            if other is not host and other.is_up and host.peer_id in other.node.contacts:
                other.node.contacts[host.peer_id].pinned_at = None

    def _present(self) -> list[Host]:
        return [host for host in self._world.hosts if host.name not in self._gone]

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
        if found:
            return found
        if any(end.is_silent for end in self._world.network.ends):
            return ["somebody does not know yet that a link is dead"]
        linked = [pair for pair in self._pairs() if self._shall_be_linked(*pair)]
        names = [(one.name, other.name) for one, other in linked]
        found += self._world.oracle.judge(self._disks(), {*names, *((other, one) for one, other in names)})
        for host in self._present():
            found += [f"{host.name} {words}" for words in left_over(host)]
        if len(self._world.network.ends) != 2 * len(linked):
            found.append(f"{len(self._world.network.ends)} ends of connections for {len(linked)} links")
        return found

    def _disks(self) -> dict[str, Disk]:
        return {host.name: host.disk for host in self._world.hosts}

    def _check_pair(self, one: Host, other: Host) -> list[str]:
        links = links_of(one, other), links_of(other, one)
        many = 1 if self._shall_be_linked(one, other) else 0
        if any(len(side) != many for side in links):
            return [f"{one.name} and {other.name} have {len(links[0])} and {len(links[1])} links instead of {many}"]
        ends: list[Any] = [link._transport for side in links for link in side]
        if many and ends[0].other is not ends[1]:
            return [f"{one.name} and {other.name} hold on to different links"]
        return []

    def ask_everybody(self) -> list[str]:
        """Now everything must reach everybody that it should."""
        self._world.note("-- everybody asks everybody")
        texts: list[str] = []
        for host in self._present():
            for channel in sorted(host.channels):
                texts.append(self._world.text("all"))
                host.say(channel, texts[-1])
            for other in self._present():
                if other is not host and self._shall_be_linked(host, other):
                    texts.append(self._world.text("last"))
                    host.send(other, texts[-1])
        self._world.advance(20.0)
        return [words for text in texts for words in self._check_answer(text)] + self._unsettled()

    def _check_answer(self, text: str) -> list[str]:
        message = self._world.oracle.messages.get(text)
        if message is None:
            return [f"{text!r} could not be written"]
        return [
            f"{text!r} to {name} has failed: {reason}"
            for name, (state, reason) in message.told.items()
            if state is FAILED and reason != "refused: muted"
        ]

    def _check_rooms(self, host: Host) -> list[str]:
        """Whether it is in its channels and sees who else is."""
        found = []
        if host.channels != set(host.node.channels):
            found.append(f"{host.name} is in {sorted(host.node.channels)} instead of {sorted(host.channels)}")
        for channel in sorted(host.node.channels):
            members = sorted(other.name for other in self._present() if other is not host and channel in other.channels)
            seen = sorted(self._world.name_of(contact.peer_id) for contact in host.node.members(channel))
            if seen != members:
                found.append(f"{host.name} sees {seen} in {channel} instead of {members}")
        return found

    def grow_old(self) -> list[str]:
        """What waits for somebody who never came is given up after a day."""
        self._world.later += A_DAY
        self._world.advance(LASTING)
        pairs = {(host.name, other.name) for host in self._present() for other in self._world.hosts}
        wrong = self._world.oracle.judge(self._disks(), pairs)
        for host in self._present():
            wrong += [f"{host.name} {words}" for words in left_over(host, all_of_it=True)]
        return wrong

    def close_all(self) -> list[str]:
        """Nothing of a node is left when it has ended, though its reactor goes on."""
        closing = [(host, host.node.close()) for host in self._present()]
        for host, _ in closing:
            host.is_leaving = True
        self._world.advance(5.0)
        wrong = [f"{host.name} does not end" for host, closed in closing if not closed.done]
        self._world.advance(LASTING)
        for host, _ in closing:
            left = [timer for timer in host.machine.live_timers if "Host." not in timer]
            wrong += [f"{host.name} has ended and still has {timer}" for timer in left]
        return wrong + [f"{end.host} has an end left" for end in self._world.network.some_ends()]


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
