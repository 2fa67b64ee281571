"""One user's peer: a real member of the mesh, with its own id, history and registration, that lives in this server.

    the user's pages -> Desk ┐                     ┌-> Switchboard -> other peers, inside and outside
                             ├-> Chat -> Node -----┤
    POST /send-peer -> Errands                     └-> History, in the thread of the store
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any, NamedTuple

from peer.chat import Chat
from peer.clock import SteadyTime, timestamp
from peer.delivery.audience import Fan
from peer.delivery.receipts import Receipts
from peer.identity import Identity
from peer.node import Node, Settings
from peer.storage.history import History, PoolLike
from peer.switchboard import Switchboard
from peer.trackers.answers import Listed, TrackerError
from peer.trackers.several import Callbacks, Trackers
from peer.trackers.tracker import Asking, Facts
from peer.web.desk import Desk
from peer.web.errands import Errands
from peer.web.page import GUEST_MARK
from reactor import Client, Reactor


class User(NamedTuple):
    """`id` is what the login calls them, `name` what people do."""

    id: str
    name: str
    is_guest: bool


class Ground(NamedTuple):
    """What a server has for the peers that it holds. `store` is the one thread that writes all their histories."""

    reactor: Reactor
    store: PoolLike
    client: Client
    trackers: tuple[Asking | str, ...]
    switchboard: Switchboard
    settings: Settings
    unix_time: Callable[[], float]


class Held:
    """Made by `hold`; `close` ends it."""

    def __init__(self, ground: Ground, user: User, directory: Path, identity: Identity, history: History) -> None:
        """`history` is open."""
        self.user = user
        self._ground = ground
        self._directory = directory
        self._identity = identity
        self._history = history
        chance = SystemRandom()
        self.desk = Desk(ground.reactor, history, is_guest=user.is_guest, tells_presence=True)
        receipts = self._receipts = Receipts(ground.reactor)
        self.node = Node(
            ground.reactor, identity.peer_id, user.name + (GUEST_MARK if user.is_guest else ""), history,
            ground.switchboard.connect, Fan(self.desk, receipts), settings=ground.settings,
            unix_time=SteadyTime(ground.unix_time, lambda: ground.reactor.now), timestamp=timestamp, chance=chance,
            listen_port=ground.switchboard.address.port,
        )  # fmt: skip
        for channel in self.node.was_in:
            self.node.join(channel)
        callbacks = Callbacks(self._notice, self._listed, self._removed, self.node.keys)
        self.trackers = Trackers(
            ground.reactor, ground.client, ground.trackers, self._facts, callbacks, random=chance,
            leases=identity.leases, lan_address=lambda: ground.switchboard.address.host,
        )  # fmt: skip
        self.node.wants_keys = self.trackers.renew
        self.chat = Chat(self.node, self.trackers)
        self.errands = Errands(self.chat, history, receipts)

    async def start(self) -> None:
        """Be there for others."""
        self.desk.address = lambda: str(self._ground.switchboard.address)
        await self.desk.open(self.chat)
        self._ground.switchboard.nodes[self.node.peer_id] = self.node
        self.trackers.start()

    async def close(self, code: int, reason: str, *, erase: bool = False) -> None:
        """Say goodbye to everybody, the pages with that code; `erase` leaves nothing behind."""
        self.desk.close(code, reason)
        self._ground.switchboard.nodes.pop(self.node.peer_id, None)
        await self.chat.close()
        self._receipts.close()
        await self._history.end()
        self._identity.close()
        if erase:
            await self._ground.store.run(shutil.rmtree, self._directory, True)

    async def look_around(self) -> None:
        """The list is another one: do not wait until it is asked for again."""
        try:
            await self.trackers.fetch()
        except TrackerError:
            pass  # that is told where the tracker is asked again and again

    # -- what the trackers want to know, and say -----------------------------------------------------------------------

    def _facts(self) -> Facts:
        address, node = self._ground.switchboard.address, self.node
        return Facts(node.peer_id, node.username, address.port, address.host, tuple(node.channels))

    def _notice(self, line: str) -> None:
        if "Registered with" not in line:  # that is how it should be
            self.desk.notice(line)

    def _listed(self, peers: list[Listed]) -> None:
        self.chat.learn(peers)
        self.desk.listed(peers)

    def _removed(self, channel: str, why: str) -> None:
        self.desk.notice(f"You are out of the channel {channel}: {why}", "error")
        self.node.leave(channel)


async def hold(ground: Ground, user: User, directory: Path) -> Held:
    """Begin to hold a peer, with what is in the directory. StartError if it cannot be used."""
    identity: Any = await ground.store.run(Identity.open, directory)
    history = History(ground.reactor, directory, pool=ground.store)
    try:
        await history.open()
        held = Held(ground, user, directory, identity, history)
    except BaseException:
        identity.close()
        raise
    await held.start()
    return held
