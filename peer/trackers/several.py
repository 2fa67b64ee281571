"""All trackers of a peer as one: registered with each, their lists merged, each command asked of all of them at once.

A tracker that is down costs nothing but its line: its last list counts, and what was joined or left meanwhile it hears
when it is back. Two trackers may know a channel of one name, each with its policy; then it takes both to be put out.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import chain
from random import Random
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from peer.identity import Leases
from peer.messages import BROADCAST, DIRECT, MAX_NAME
from peer.trackers.answers import Joined, Listed, Refused, TrackerError
from peer.trackers.client import TrackerClient
from peer.trackers.tracker import Asking, Facts, Tracker, Us
from reactor.core.address import Address
from reactor.core.loop import Reactor
from reactor.core.task import Task
from reactor.http.client import Client

T = TypeVar("T")
Outcome = tuple[Tracker, T | TrackerError]


class Callbacks(NamedTuple):
    """What the peer hears from its trackers.

    * `on_event(line)`: to be shown
    * `on_list(peers)`: all that are listed, ourselves included, after each refresh
    * `on_removed(channel, why)`: no tracker has us any more in a channel that is among our facts
    * `on_keys(keys)`: the keys of all closed channels that we are in, when they have changed
    """

    on_event: Callable[[str], object]
    on_list: Callable[[list[Listed]], object]
    on_removed: Callable[[str, str], object]
    on_keys: Callable[[dict[str, str]], object]


class Trackers:
    """A Listener in the sense of `tracker`. Commands raise TrackerError with the reason in words."""

    def __init__(
        self,
        reactor: Reactor,
        client: Client,
        where: Iterable[Address | str | Asking],
        facts: Callable[[], Facts],
        callbacks: Callbacks,
        *,
        random: Random,
        leases: Leases,
        lan_address: Callable[[], str | None],
        user: str = "",
        password: str = "",
    ) -> None:
        """`facts` are asked for each time; `lan_address` is one of this machine that others can dial, if it has any.
        ValueError for an address in `where` that cannot be asked.
        """
        self._reactor = reactor
        self._callbacks = callbacks
        self._us = Us(facts, leases, lan_address, random, [])
        self._trackers = []
        for one in dict.fromkeys(where):
            asking = (
                TrackerClient(client, one, self.say, user=user, password=password)
                if isinstance(one, Address | str)
                else one
            )
            self._trackers.append(Tracker(reactor, asking, self._us, self))
        self._up: list[Tracker] = []  # in the order in which they took us: of two that differ, the latest counts
        self._first: Tracker | None = None
        self._keys: dict[str, str] = {}
        self._asking: set[Task[Any]] = set()

    def start(self) -> None:
        """Register with all of them, and again and again; failures are lines and no errors."""
        for tracker in self._trackers:
            tracker.start()

    def renew(self) -> None:
        """Tell them now that the facts have changed."""
        for tracker in self._trackers:
            tracker.renew()

    def close(self) -> None:
        """Ask no more; commands that are waiting are cancelled."""
        for tracker in self._trackers:
            tracker.close()
        self._cancel_commands()

    def _cancel_commands(self) -> None:
        for task in self._asking:
            task.cancel()

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """HOST:PORT of each."""
        return [tracker.name for tracker in self._trackers]

    @property
    def is_up(self) -> bool:
        """Whether any of them has answered when it was last asked."""
        return any(tracker.is_up for tracker in self._trackers)

    @property
    def observed_ip(self) -> str:
        """Where the tracker that took us last sees us come from; "" if none ever has."""
        return next((tracker.observed_ip for tracker in reversed(self._by_weight()) if tracker.observed_ip), "")

    @property
    def merged(self) -> list[Listed]:
        """Everybody on the last lists; that of a tracker that is down counts as long as it is."""
        return merge(tracker.listed for tracker in self._by_weight())

    def _by_weight(self) -> list[Tracker]:
        """The lightest first: those that are down, then those that are up in the order they took us."""
        return [*(tracker for tracker in self._trackers if tracker not in self._up), *self._up]

    # -- commands ----------------------------------------------------------------------------------------------------

    async def fetch(self, channel: str = "") -> list[Listed]:
        """Everybody, or the members of a channel, as all trackers that answer have them; TrackerError if none does."""
        if channel:
            check_channel(channel)
        found = dict(_answers(await self._ask(lambda tracker: tracker.fetch(channel))))
        return merge(found[tracker] for tracker in self._by_weight() if tracker in found)

    async def join(self, channel: str, password: str | None = None, invite: str | None = None) -> Joined:
        """Enter the channel wherever it can be. A door that stays shut (403) is no success, whoever else lets us in.

        The channel belongs among the facts as soon as this returns, before anything else is awaited.
        """
        check_channel(channel)
        self._us.pending.append(channel)
        try:
            outcomes = await self._ask(lambda tracker: tracker.join(channel, password, invite))
            _raise_refusal(outcomes, lambda refusal: refusal.status == 403)
            return _joined(_answers(outcomes))
        except TrackerError:
            self.renew()  # those who have let us in take us out again
            raise
        finally:
            self._us.pending.remove(channel)

    async def leave(self, channel: str) -> None:
        """The channel belongs among the facts no longer when this returns, even if it raises: a tracker that could not
        be asked hears of it when it is back.
        """
        check_channel(channel)
        self._us.pending.append(channel)
        try:
            _answers(await self._ask(lambda tracker: tracker.leave(channel)))
        finally:
            self._us.pending.remove(channel)

    async def leave_all(self) -> bool:
        """Out of all lists, for good, within two seconds; whether everybody who had us there was told. Commands that
        are waiting are cancelled: they have the right of way at their trackers.
        """
        self._cancel_commands()
        outcomes = await self._ask(lambda tracker: tracker.leave_all())
        told = [tracker for tracker, outcome in outcomes if outcome is True]
        return bool(told) and all(tracker in told for tracker in self._trackers if tracker.is_registered)

    async def configure(
        self,
        channel: str,
        *,
        policy: str | None = None,
        password: str | None = None,
        invite: bool | dict[str, float] | None = None,
        remove: str | None = None,
    ) -> Joined:
        """As `/channel` of the tracker has it. A refusal of any tracker is raised, though others may have done it."""
        check_channel(channel)
        outcomes = await self._ask(
            lambda tracker: tracker.configure(channel, policy=policy, password=password, invite=invite, remove=remove)
        )
        _raise_refusal(outcomes, lambda refusal: True)
        return _joined(_answers(outcomes))

    async def _ask(self, ask: Callable[[Tracker], Coroutine[Any, Any, T]]) -> list[Outcome[T]]:
        """All at once; what they answer, or why they do not, in their order."""
        tasks = [self._reactor.spawn(_outcome(tracker, ask(tracker))) for tracker in self._trackers]
        self._asking.update(tasks)
        try:
            return [await task for task in tasks]
        finally:
            self._asking.difference_update(tasks)
            for task in tasks:
                task.cancel()  # nothing, if it is done

    # -- what the trackers find out ----------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        self._callbacks.on_event(line)

    def went_up(self, tracker: Tracker) -> None:
        self._up.append(tracker)
        self._first = self._first or tracker
        self.say("[Peer] Registered with tracker" + ("" if tracker is self._first else f" {tracker.name}"))

    def went_down(self, tracker: Tracker) -> None:
        self._up.remove(tracker)

    def was_listed(self, tracker: Tracker) -> None:
        self._callbacks.on_list(self.merged)

    def has_keys(self, tracker: Tracker) -> None:
        keys = dict(chain.from_iterable(one.keys.items() for one in reversed(self._trackers)))  # the first one's count
        if keys != self._keys:
            self._keys = keys
            self._callbacks.on_keys(dict(keys))

    def put_out(self, tracker: Tracker, channel: str, why: str) -> None:
        if any(channel in other.channels for other in self._trackers):
            self.say(f"[Peer] Tracker {tracker.name} does not let us into channel '{channel}': {why}")
        else:
            self._callbacks.on_removed(channel, why)


def merge(lists: Iterable[Sequence[Listed]]) -> list[Listed]:
    """Each peer once, in the order they first appear: as the last list has it, and in the channels of all of them."""
    merged: dict[str, Listed] = {}
    for peer in chain.from_iterable(lists):
        known = merged.get(peer.peer_id, peer)
        if known.channels != peer.channels:
            peer = replace(peer, channels=tuple(dict.fromkeys((*known.channels, *peer.channels))))
        merged[peer.peer_id] = peer
    return list(merged.values())


def check_channel(name: str) -> None:
    """TrackerError for what no tracker takes, so that none needs to be asked."""
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise TrackerError(f"the name of a channel has 1 to {MAX_NAME} printable characters")
    if name in (DIRECT, BROADCAST):
        raise TrackerError(f"'{name}' is no name for a channel: a way of delivery is called so")


async def _outcome(tracker: Tracker, asked: Coroutine[Any, Any, T]) -> Outcome[T]:
    try:
        return tracker, await asked
    except TrackerError as error:
        return tracker, error


def _answers(outcomes: list[Outcome[T]]) -> list[tuple[Tracker, T]]:
    """TrackerError if there is none; a refusal says more than a tracker that is down."""
    answers = [(tracker, outcome) for tracker, outcome in outcomes if not isinstance(outcome, TrackerError)]
    if not answers:
        _raise_refusal(outcomes, lambda refusal: True)
        nobody = "there is no tracker to ask: start with --tracker HOST:PORT"
        raise TrackerError("; ".join(str(error) for _, error in outcomes) or nobody)
    return answers


def _raise_refusal(outcomes: Iterable[Outcome[T]], which: Callable[[Refused], bool]) -> None:
    for _, outcome in outcomes:
        if isinstance(outcome, Refused) and which(outcome):
            raise outcome


def _joined(answers: list[tuple[Tracker, Joined]]) -> Joined:
    """The channel as the first tracker has it, with the members that all of them know."""
    members = chain.from_iterable(joined.members for _, joined in answers)
    return replace(answers[0][1], members=tuple(dict.fromkeys(members)))
