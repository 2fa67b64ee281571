"""One tracker: our registration there, kept alive, and what it says of the others.

A cycle is: register, or renew; be in the channels that we should be in; fetch the list. A good one is repeated at the
interval that the tracker asks for, a failed one after 1, 2, 5, 15, 30, 30, … seconds, both with jitter. A line is said
when things change and not for each failure.

What changes our registration goes through one lock: a renewal that overtakes a join would undo it.

A renewal leaves the channels as the tracker has them, so that a member who was removed sees it in the answer. Only a
tracker that does not know us (any more) is told all of them, so it is asked for us before.

A tracker that was restarted makes the channels anew, open ones all of them. What was closed stays closed between those
who have its key: they keep it until the tracker gives out another one, or they join again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from peer.identity import Leases
from peer.trackers.answers import Done, Joined, Listed, Refused, Registered, Taken, TrackerError
from reactor.core.address import is_loopback
from reactor.core.lock import Lock
from reactor.core.loop import Reactor
from reactor.core.task import Future, Task, timeout
from reactor.errors import ReactorError

T = TypeVar("T")

BACK_OFF: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
JITTER: Final = 0.2
FASTEST, SLOWEST = 0.5, 600.0  # seconds between renewals, whatever the tracker asks for
FAREWELL: Final = 2.0  # seconds that leaving may take

_channel_path = re.compile(r"\$\.channels(?:\[([0-9]{1,4})\])?").fullmatch


class Facts(NamedTuple):
    """Who registers. `ip` is where others can dial us: what the user advertises, or the address we listen on. `0.0.0.0`
    and `::` mean that we listen on all there are, "" that it is for the tracker to see.
    """

    peer_id: str
    username: str
    port: int
    ip: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Us:
    """What all trackers share. `pending` are channels that are being joined or left just now, each once a command: such
    a one stays as a tracker has it, until the facts say what came of it.
    """

    facts: Callable[[], Facts]
    leases: Leases
    lan_address: Callable[[], str | None]
    random: Random
    pending: list[str]


class Asking(Protocol):
    """Asks one tracker: `TrackerClient`, or whoever has a tracker in the same program. `name` is how it is called in
    lines and among the leases; `is_local`: it is on this machine.
    """

    name: str
    is_local: bool

    async def post(self, path: str, kind: type[T], **fields: Any) -> T:
        """What docs/tracker-api.md has at that path; a field that is None is not sent. TrackerError."""

    async def list(self, channel: str = "") -> Taken:
        """Everybody, or the members of a channel. TrackerError."""

    def nonsense(self, why: str) -> TrackerError: ...


class Listener(Protocol):
    """Who hears what a Tracker finds out."""

    def say(self, line: str) -> object: ...
    def went_up(self, tracker: Tracker) -> object: ...
    def went_down(self, tracker: Tracker) -> object: ...
    def was_listed(self, tracker: Tracker) -> object: ...
    def has_keys(self, tracker: Tracker) -> object: ...
    def put_out(self, tracker: Tracker, channel: str, why: str) -> object: ...


class Tracker:
    """`listed` is its last list, `channels` what it has us in, `keys` those of the closed ones, `observed_ip` where it
    sees us come from. `is_registered`: it has taken our registration, and may have it still while it is down.
    """

    def __init__(self, reactor: Reactor, client: Asking, us: Us, listener: Listener) -> None:
        self.name = client.name
        self.is_up = False
        self.is_registered = False
        self.observed_ip = ""
        self.channels: tuple[str, ...] = ()
        self.keys: dict[str, str] = {}
        self._lost_keys: dict[str, str] = {}  # of closed channels, by a tracker that does not know of them any more
        self.listed: tuple[Listed, ...] = ()
        self._reactor = reactor
        self._client = client
        self._us = us
        self._listener = listener
        self._lock = Lock(reactor)
        self._task: Task[None] | None = None
        self._again: Future[None] = reactor.future()  # done: the next cycle need not wait
        self._interval = FASTEST
        self._lease = us.leases.get(self.name) or ""
        self._claimed: str | None = None  # the address of our last registration
        self._barred: set[str] = set()  # channels that this tracker does not let us in, until we join anew
        self._trouble = ""  # what kind of trouble was told last
        self._left_out = 0

    def start(self) -> None:
        self._task = self._reactor.spawn(self._run())

    def close(self) -> None:
        """Ask no more. The registration lives until it expires, if `leave_all` has not ended it."""
        if self._task is not None:
            self._task.cancel()

    def renew(self) -> None:
        """Now, and not when it is due: something has changed."""
        self._again.set_result(None)

    # -- the cycle ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        while True:
            self._again = self._reactor.future()
            try:
                await self._cycle()
                failures, wait = 0, self._interval
            except Exception as error:
                self._went_down(error)
                failures, wait = failures + 1, BACK_OFF[min(failures, len(BACK_OFF) - 1)]
            await self._pause(wait * self._us.random.uniform(1 - JITTER, 1 + JITTER))

    async def _cycle(self) -> None:
        async with self._lock:
            await self._register()
        taken = await self._client.list()
        self._went_up()
        self._take_list(taken)

    async def _pause(self, seconds: float) -> None:
        timer = self._reactor.call_later(seconds, self.renew)
        try:
            await self._again
        finally:
            timer.cancel()

    def _went_up(self) -> None:
        self._trouble = ""
        if not self.is_up:
            self.is_up = True
            self._listener.went_up(self)

    def _went_down(self, error: Exception) -> None:
        """A tracker that says no is another trouble than one that cannot be asked, and is told too."""
        if self.is_up:
            self.is_up = False
            self._listener.went_down(self)
        if not isinstance(error, TrackerError):  # ours: it must not cost us the registration
            self._reactor.unhandled(error, f"while registering with tracker {self.name}")
            return
        trouble = "refused" if isinstance(error, Refused) else "down"
        if trouble != self._trouble:
            self._trouble = trouble
            words = f"Tracker {self.name} refuses: {error}" if trouble == "refused" else str(error)
            self._listener.say(f"[Peer] {words}; trying again")

    # -- registering, with the lock held -----------------------------------------------------------------------------

    async def _register(self) -> None:
        """Register, or renew, and be in the channels that we should be in; where that is not so is told."""
        if await self._is_known():
            before = self.channels
            await self._submit(None)
            for channel in self._wanted():
                if channel in before and channel not in self.channels:
                    self._put_out(channel, f"tracker {self.name} says that we are no longer in it")
        else:
            self.is_registered, self.channels = False, ()
            self._barred.clear()
            self._lost_keys.update(self.keys)
            await self._submit(self._wanted())
            self._say_what_was_lost()
        if set(self._wanted()) != set(self.channels) or self._claim() != self._claimed:
            await self._submit(self._wanted())

    async def _is_known(self) -> bool:
        """Whether the tracker has our registration still: not if it was restarted, or has not heard of us for long."""
        if not self.is_registered or not self._us.facts().channels:  # without channels a new one is as good
            return self.is_registered
        try:
            await self._client.post("/connect-peer", Done, peer_id=self._us.facts().peer_id)
        except Refused as refusal:
            if refusal.code != "unknown_peer":
                raise
            return False
        return True

    def _wanted(self) -> list[str]:
        """The channels that this tracker should have us in."""
        channels, pending = self._us.facts().channels, self._us.pending
        self._barred.intersection_update(channels)
        wanted = [name for name in channels if name not in self._barred and name not in pending]
        return wanted + [name for name in self.channels if name in pending]

    def _claim(self) -> str | None:
        """The address that others shall dial; None is the one that the tracker sees."""
        ip = self._us.facts().ip
        if ip not in ("0.0.0.0", "::"):
            return ip or None
        is_local = is_loopback(self.observed_ip) if self.observed_ip else self._client.is_local
        return self._us.lan_address() if is_local else None

    async def _submit(self, channels: list[str] | None) -> None:
        """None leaves the channels as they are. Those that we are not let in are left out, and told."""
        while True:
            try:
                self._take(await self._send(channels))
                break
            except Refused as refusal:
                channels = self._without_refused(channels, refusal)
        for channel in channels or ():
            if channel not in self.channels:
                self._put_out(channel, f"tracker {self.name} does not have us in it")

    async def _send(self, channels: list[str] | None) -> Registered:
        facts = self._us.facts()
        self._claimed = self._claim()
        self._keep_lease(self._lease or secrets.token_hex(16))  # before it is sent: the answer may be lost
        answer = await self._client.post(
            "/submit-info", Registered, v=1, peer_id=facts.peer_id, username=facts.username or None, port=facts.port,
            ip=self._claimed, channels=channels, lease=self._lease,
        )  # fmt: skip
        if answer.peer_id != facts.peer_id:
            raise self._client.nonsense("it has registered somebody else")
        return answer

    def _take(self, answer: Registered) -> None:
        self.is_registered = True
        self.observed_ip = answer.observed_ip
        self.channels = answer.channels
        for channel in answer.channel_keys:
            self._lost_keys.pop(channel, None)
        kept = {name: key for name, key in self._lost_keys.items() if name in self.channels}
        self.keys = {**kept, **answer.channel_keys}
        # The jitter must not carry a renewal past the end of the registration.
        self._interval = min(max(min(answer.interval, answer.ttl * 2 / 3), FASTEST), SLOWEST)
        self._keep_lease(answer.lease)
        self._listener.has_keys(self)

    def _say_what_was_lost(self) -> None:
        for channel in sorted(self._lost_keys.keys() & set(self.channels)):
            self._listener.say(
                f"[Peer] Tracker {self.name} has forgotten that channel '{channel}' is closed: its members go on among "
                "themselves. Who owns it should set its policy again"
            )

    def _without_refused(self, channels: list[str] | None, refusal: Refused) -> list[str]:
        """Raises what is not about a channel. Too many in all: the last one goes."""
        match = _channel_path(refusal.path)
        at = int(match[1] or -1) if match else 0
        if match is None or not channels or at >= len(channels):
            raise refusal
        self._put_out(channels[at], str(refusal))
        return [name for name in channels if name != channels[at]]

    def _put_out(self, channel: str, why: str) -> None:
        self._barred.add(channel)
        self._forget(channel)
        self._listener.put_out(self, channel, why)

    def _keep_lease(self, lease: str) -> None:
        if lease != self._lease:
            self._lease = lease
            try:
                self._us.leases.set(self.name, lease)
            except ReactorError as error:
                self._listener.say(f"[Peer] {error}")

    # -- what commands ask for ---------------------------------------------------------------------------------------

    async def fetch(self, channel: str = "") -> tuple[Listed, ...]:
        """Everybody, or the members of a channel. TrackerError, as from all of these."""
        taken = await self._client.list(channel)
        if not channel:
            self._take_list(taken)
        self._answered()
        return taken.peers

    async def join(self, channel: str, password: str | None, invite: str | None) -> Joined:
        async with self._lock:
            joined = await self._own("/add-list", Joined, channel=channel, password=password, invite=invite)
            self._barred.discard(channel)
            self._entered(channel, joined.channel_key)
        self._answered()
        return joined

    async def leave(self, channel: str) -> None:
        async with self._lock:
            try:
                await self._post("/leave", Done, channel=channel)
            except Refused as refusal:
                if refusal.code != "unknown_peer":  # who is not there is in no channel
                    raise
            self._forget(channel)

    async def configure(self, channel: str, **change: Any) -> Joined:
        async with self._lock:
            joined = await self._own("/channel", Joined, channel=channel, **change)
            self._entered(channel, joined.channel_key)
            return joined

    async def leave_all(self) -> bool:
        """End our registration and ask no more; whether the tracker was told, in time."""
        try:
            async with timeout(FAREWELL), self._lock:
                await self._post("/leave", Done)
        except Refused as refusal:
            return refusal.code == "unknown_peer"
        except (TrackerError, TimeoutError):
            return False
        finally:
            self.close()
        return True

    async def _own(self, path: str, kind: type[T], **fields: Any) -> T:
        """About our registration, which is made anew if the tracker has lost it."""
        try:
            return await self._post(path, kind, **fields)
        except Refused as refusal:
            if refusal.code != "unknown_peer":
                raise
        await self._register()
        return await self._post(path, kind, **fields)

    async def _post(self, path: str, kind: type[T], **fields: Any) -> T:
        lease = self._lease or None
        return await self._client.post(path, kind, peer_id=self._us.facts().peer_id, lease=lease, **fields)

    def _answered(self) -> None:
        """It is there: if it was not before, that is no reason to wait any longer."""
        if not self.is_up:
            self.renew()

    # -- what it says ------------------------------------------------------------------------------------------------

    def _entered(self, channel: str, key: str | None) -> None:
        self._forget(channel)
        self.channels = (*self.channels, channel)
        if key is not None:
            self.keys = {**self.keys, channel: key}
        self._listener.has_keys(self)

    def _forget(self, channel: str) -> None:
        self._lost_keys.pop(channel, None)
        self.channels = tuple(name for name in self.channels if name != channel)
        self.keys = {name: key for name, key in self.keys.items() if name != channel}

    def _take_list(self, taken: Taken) -> None:
        if taken.left_out and not self._left_out:
            words = "make no sense, or are too many, and are left out"
            self._listener.say(f"[Peer] {taken.left_out} of the peers that tracker {self.name} lists {words}")
        self._left_out = taken.left_out
        self.listed = taken.peers
        self._listener.was_listed(self)
