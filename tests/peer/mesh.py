"""Nodes on a network in memory, and peers that say whatever a test wants. Time passes only when it is told to."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from wires import Wires

from peer.contact import Contact
from peer.delivery.audience import Deaf
from peer.delivery.letters import Letter
from peer.link import Link
from peer.node import Listed, Node, Settings
from peer.storage.memory import MemoryStore
from peer.storage.store import Change, Entry, Received, Saved, Sent, Settled, Store
from reactor.core.address import Address
from reactor.core.task import Future
from reactor.testing import FakeReactor, MemoryTransport

PORT = 9101
TIMESTAMP = "2024-05-01T12:00:00.000Z"
EPOCH, OTHER_EPOCH = "e0" * 8, "e1" * 8
INSTANCE, OTHER_INSTANCE = "15" * 16, "16" * 16
NONCE = "4e" * 16
Json = dict[str, Any]


class Ears(Deaf):
    """Hears all that a node tells its audience."""

    def __init__(self) -> None:
        self.linked: list[str] = []  # now
        self.said: list[tuple[str, str]] = []  # what happened to links: (what, to whom or why)
        self.entries: list[Entry] = []
        self.progressed: list[tuple[str, str, str]] = []  # (text, recipient, state)
        self.troubles: list[str] = []

    def accepted(self, address: tuple[str, int]) -> None:
        self.said.append(("accepted", address[0]))

    def connected(self, contact: Contact, link: Link) -> None:
        assert contact.peer_id not in self.linked, "connected twice"
        self.linked.append(contact.peer_id)
        self.said.append(("connected", contact.peer_id))

    def disconnected(self, contact: Contact, why: str) -> None:
        self.linked.remove(contact.peer_id)
        self.said.append(("disconnected", why))

    def away(self, contact: Contact) -> None:
        self.said.append(("away", contact.peer_id))

    def message(self, entry: Entry) -> None:
        self.entries.append(entry)

    def progress(self, letter: Letter, peer_id: str) -> None:
        self.progressed.append((letter.entry.text, peer_id, letter.states[peer_id].value))

    def trouble(self, text: str) -> None:
        self.troubles.append(text)

    @property
    def texts(self) -> list[str]:
        return [entry.text for entry in self.entries]

    def states_of(self, text: str, peer_id: str) -> list[str]:
        return [state for of, to, state in self.progressed if (of, to) == (text, peer_id)]


class Disk:
    """A store that outlives its node. While `error` is set nothing can be kept; while `is_slow` nothing is safe yet."""

    def __init__(self, reactor: FakeReactor, epoch: str = EPOCH) -> None:
        self.error: Exception | None = None
        self.is_slow = False
        self.saved = Saved(epoch)
        self.entries: list[Entry] = []
        self._reactor = reactor
        self._waiting: deque[tuple[Future[None], Change]] = deque()

    def load(self) -> Saved:
        saved = self.saved
        copies = sorted(saved.copies, key=lambda copy: (copy.recipient, copy.seq))
        return replace(saved, seqs=dict(saved.seqs), marks=dict(saved.marks), copies=copies)

    def save(self, change: Change) -> Future[None]:
        future: Future[None] = self._reactor.future()
        self._waiting.append((future, change))
        if not self.is_slow:
            self.go_on()
        return future

    def go_on(self) -> None:
        """What has waited is safe now, or never will be."""
        self.is_slow = False
        while self._waiting:
            future, change = self._waiting.popleft()
            if self.error is not None:
                future.set_error(self.error)
            else:
                self._apply(change)
                future.set_result(None)

    def _apply(self, change: Change) -> None:
        saved = self.saved
        if isinstance(change, Received):
            saved.marks[change.sender] = change.mark
        elif isinstance(change, Sent):
            saved.n = change.entry.n
            saved.copies += change.copies
            saved.seqs |= {copy.recipient: copy.seq for copy in change.copies}
        elif isinstance(change, Settled):
            saved.copies = [
                copy
                for copy in saved.copies
                if copy.recipient != change.recipient or copy.seq not in change.seqs
            ]
        if isinstance(change, Received | Sent) and change.entry is not None:
            saved.lamport = max(saved.lamport, change.entry.lamport)
            self.entries.append(change.entry)

    def history(self, channel: str = "", peer: str = "", limit: int = 50) -> Future[Sequence[Entry]]:
        raise NotImplementedError

    arrived = before = shelves = outcomes = keyed = history  # type: ignore[assignment]

    def close(self) -> None: ...


class Mesh:
    """By name: a node's name is its id and its host too. An error that nobody has caught fails the test."""

    def __init__(self, seed: int = 1, *, slowest: float = 0.05) -> None:
        self.reactor = FakeReactor()
        self.errors: list[BaseException] = []
        self.reactor.on_error = lambda error, where: self.errors.append(error)
        self.chance = Random(seed)
        self.wires = Wires(self.reactor, self.chance, slowest)
        self.nodes: dict[str, Node] = {}
        self.ears: dict[str, Ears] = {}
        self.days = 0.0  # the wall clock is ahead by so many

    def unix_time(self) -> float:
        return self.reactor.clock.unix_time() + self.days * 86_400

    def start(
        self, name: str, *channels: str, store: Store | None = None, settings: Settings | None = None,
        username: str = "", port: int = PORT, host: str = "",
    ) -> Node:  # fmt: skip
        """Anew, or again after `kill`."""
        store = store or MemoryStore(self.reactor, self.chance.randbytes(8).hex())
        self.ears[name] = Ears()
        node = self.nodes[name] = Node(
            self.reactor, name, username or name.title(), store, self.wires.connect_from(host or name),
            self.ears[name], settings=settings, unix_time=self.unix_time, timestamp=lambda: TIMESTAMP,
            chance=Random(self.chance.random()), listen_port=port,
        )  # fmt: skip
        if port:
            self.wires.listeners[Address(host or name, port)] = node.accept
        for channel in channels:
            node.join(channel)
        return node

    def kill(self, name: str) -> None:
        """It says goodbye to nobody."""
        self.wires.listeners.pop(Address(name, PORT), None)
        self.wires.cut(name)
        self.nodes.pop(name).close()
        self.advance(0)

    def list_all(self, *, but_for: Sequence[str] = ()) -> None:
        """Everybody hears from a tracker who is where."""
        peers = [
            Listed(name, node.username, Address(name, PORT), tuple(node.channels))
            for name, node in self.nodes.items()
            if name not in but_for
        ]
        for node in self.nodes.values():
            node.listed(peers)

    def link(self, one: str, other: str) -> None:
        """As the user's `connect` does."""
        outcome = self.nodes[one].connect(other, Address(other, PORT))
        self.advance(1)
        assert outcome.done and outcome.error is None

    def advance(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        assert not self.errors, self.errors

    def cut(self, name: str, *, silently: bool = False) -> None:
        """All connections of a peer."""
        self.wires.cut(name, silently=silently)

    def links(self, one: str, other: str) -> list[Link]:
        """Those of `one` that are open."""
        contact = self.nodes[one].contacts.get(other)
        return [link for link in contact.links if link.is_open] if contact is not None else []

    def link_counts(self) -> set[int]:
        """Over all pairs, seen from both ends."""
        return {len(self.links(one, other)) for one in self.nodes for other in self.nodes if one != other}


class Raw:
    """Whoever is at the other end of a connection that a node has accepted; each frame as the test writes it."""

    def __init__(self, mesh: Mesh, node: Node, peer_id: str = "raw", *, epoch: str = EPOCH) -> None:
        self.peer_id, self.epoch, self.seq = peer_id, epoch, 0
        self.mesh = mesh
        self.link = node.accept()
        self.transport = MemoryTransport(mesh.reactor, self.link, (peer_id, 50_000))
        self._taken = 0
        self._found: list[Json] = []

    def feed(self, data: bytes) -> None:
        self.transport.feed(data)
        self.mesh.advance(0)

    def say(self, type_: str, **fields: Any) -> None:
        self.feed(frame(type_, **fields))

    def greet(self, *channels: str, **fields: Any) -> Json:
        """The answer; `frames` has what comes behind it."""
        self.say("handshake", **hello(self.peer_id, epoch=self.epoch, channels=channels) | fields)
        answer, *self._found = self.frames()
        return answer

    def text(self, message: str, channel: str = "direct", **fields: Any) -> bytes:
        """The next one of its stream."""
        self.seq += 1
        type_ = "broadcast" if channel == "broadcast" else "chat"
        more = {"id": f"{self.peer_id}:{self.epoch}:{self.seq}", "seq": self.seq, "peer_id": self.peer_id}
        return frame(type_, **more | {"message": message, "channel": channel} | fields)

    def send(self, message: str, channel: str = "direct", **fields: Any) -> None:
        self.feed(self.text(message, channel, **fields))

    def frames(self, *types: str) -> list[Json]:
        """What has come since the last call, or those of it that are of these types."""
        data = bytes(self.transport.sent[self._taken :])
        self._taken += len(data)
        assert not data or data.endswith(b"\n")
        found = self._found + [json.loads(line) for line in data.splitlines()]
        self._found = []
        return [one for one in found if not types or one["type"] in types]

    @property
    def is_closed(self) -> bool:
        return self.transport.is_closing


class Stub:
    """Whatever listens at an address of the network: `answer(line)` has what it writes for what it reads."""

    def __init__(self, mesh: Mesh, name: str, answer: Callable[[bytes], bytes]) -> None:
        self.read: list[bytes] = []
        self.transport: Any = None
        self.was_lost = 0
        self._answer = answer
        self._unread = b""
        mesh.wires.listeners[Address(name, PORT)] = lambda: self

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self.read.append(line)
            self.transport.write(self._answer(line))

    def eof_received(self) -> None:
        self.transport.close()

    def connection_lost(self, error: OSError | None) -> None:
        self.was_lost += 1


def hello(peer_id: str, *, epoch: str = EPOCH, channels: Sequence[str] = (), **more: Any) -> Json:
    """The fields of a handshake of version 1."""
    return {
        "peer_id": peer_id, "v": 1, "username": peer_id.title(), "instance": INSTANCE, "epoch": epoch,
        "channels": list(channels), "nonce": NONCE, "timestamp": TIMESTAMP, **more,
    }  # fmt: skip


def frame(type_: str, **fields: Any) -> bytes:
    return json.dumps({"type": type_, **fields}).encode() + b"\n"
