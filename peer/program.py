"""The peer as a program: everything it is made of, put together on one reactor, and taken apart in order.

    terminal -> Commands -> Chat -> Node -> links
                    Web  ->   |       |
                           Trackers  Store
"""

from __future__ import annotations

import random
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from peer.chat import Chat
from peer.clock import SteadyTime, timestamp
from peer.delivery.audience import Audience, Fan
from peer.delivery.receipts import Receipts
from peer.identity import Identity
from peer.link import Link
from peer.messages import MAX_TEXT
from peer.node import Node, Settings
from peer.storage.history import History
from peer.storage.memory import MemoryStore
from peer.storage.store import Store
from peer.terminal.commands import Commands
from peer.terminal.lines import Lines
from peer.terminal.output import Output
from peer.terminal.shell import Shell
from peer.trackers.answers import Listed
from peer.trackers.several import Callbacks, Trackers
from peer.trackers.tracker import Facts
from peer.web.desk import Desk
from peer.web.interface import Web, bind_loopback
from reactor import Handler
from reactor.core.address import Address
from reactor.core.descriptors import descriptor_limit
from reactor.core.dial import dial
from reactor.core.lan import lan_address
from reactor.core.listener import Listener, bind
from reactor.core.loop import Reactor
from reactor.core.offload import Pool
from reactor.core.transport import Transport
from reactor.errors import ReactorError
from reactor.http.client import Client

BACKLOG = 128
# Open beside the links: the terminal, the loop, the history, connections to trackers, and the pages of --http.
OTHER_FILES = 64


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    port: int
    listen: str = "0.0.0.0"
    trackers: tuple[Address, ...] = (Address("127.0.0.1", 8000),)
    name: str = ""
    peer_id: str = ""
    advertise: str = ""
    history: bool = True
    user: str = ""
    password: str = ""
    daemon: bool = False
    http: Address | None = None  # our own interface, for this machine
    settings: Settings = field(default_factory=Settings)


class Front(Protocol):
    """Where commands come from."""

    def close(self) -> None:
        """Take no more, and give back what it has of the terminal."""


class Program:
    """`start` may raise StartError; after it, `close` gives everything back."""

    def __init__(
        self, reactor: Reactor, options: Options, output: Output, *, directory: Path | None, lines: Lines | None = None,
        files: Handler | None = None,
    ) -> None:  # fmt: skip
        """`lines` is told what happens, if that is more than lines for `output`. `files` answers for the page."""
        self.reactor = reactor
        self.options = options
        self.output = output
        self._chance = random.SystemRandom()
        self._names = Pool(reactor, "names", threads=2, queue=256, droppable=True)
        self._client = Client(reactor, self._names, per_origin=4)
        self.identity = (
            Identity.open(directory, options.peer_id)
            if directory is not None
            else Identity.ephemeral(self._chance, options.peer_id)
        )
        self.store = self._open_store(directory)
        self._listener = self._listen()
        self.lines = lines or Lines(output)
        self._receipts = Receipts(reactor)
        self._files = files
        self._desk = Desk(reactor, self.store)
        self.node = self._make_node()
        self.lines.node = self.node
        self.trackers = self._make_trackers()
        self.node.wants_keys = self.trackers.renew
        self.chat = Chat(self.node, self.trackers)
        self.commands = Commands(self.chat, self.lines, self.store, output, self.quit)
        self.shell: Shell | None = None
        self.front: Front | None = None
        self.web: Web | None = None
        self._ending = False

    def _open_store(self, directory: Path | None) -> Store:
        if self.options.history and directory is not None:
            return History(self.reactor, directory)
        return MemoryStore(self.reactor, self._chance.randbytes(8).hex())

    def _listen(self) -> Listener:
        sock = bind(Address(self.options.listen, self.options.port))
        return Listener(
            self.reactor, sock, self._accepted, has_room=lambda: self.node.make_room(),
            on_trouble=lambda text: self.output.line(f"[Peer] {text}"),
        )  # fmt: skip

    def _make_node(self) -> Node:
        options, identity = self.options, self.identity
        audience: Audience = self.lines if options.http is None else Fan(self.lines, self._receipts, self._desk)
        settings = replace(options.settings, seeks=options.http is not None, max_links=self._room_for_links())
        return Node(
            self.reactor, identity.peer_id, options.name or identity.peer_id, self.store, self._dial,
            audience, settings=settings, unix_time=SteadyTime(), timestamp=timestamp, chance=self._chance,
            listen_port=self._listener.address.port,
        )  # fmt: skip

    def _room_for_links(self) -> int:
        wanted, allowed = self.options.settings.max_links, descriptor_limit()
        room = max(1, allowed - OTHER_FILES)
        if room < wanted:
            words = f"This system lets us open {allowed} files: {room} links at the most, not {wanted} (`ulimit -n`)"
            self.output.line(f"[Peer] {words}")
        return min(wanted, room)

    def _make_trackers(self) -> Trackers:
        callbacks = Callbacks(self.output.line, self._listed, self._removed, lambda keys: self.node.keys(keys))
        return Trackers(
            self.reactor, self._client, self.options.trackers, self._facts, callbacks, random=self._chance,
            leases=self.identity.leases, lan_address=lan_address, user=self.options.user,
            password=self.options.password,
        )  # fmt: skip

    def _facts(self) -> Facts:
        node, options = self.node, self.options
        ip = options.advertise or options.listen
        return Facts(node.peer_id, node.username, node.listen_port, ip, tuple(node.channels))

    def _listed(self, peers: list[Listed]) -> None:
        self.chat.learn(peers)
        if self.web is not None:
            self._desk.listed(peers)

    def _removed(self, channel: str, why: str) -> None:
        self.output.line(f"[Peer] Out of channel {channel}: {why}")
        self._desk.notice(f"You are out of channel {channel}: {why}", "error")
        self.node.leave(channel)

    # -- connections -------------------------------------------------------------------------------------------------

    async def _dial(self, address: Address, factory: Callable[[], Link]) -> Link:
        return await dial(self.reactor, self._names, address, factory, seconds=self.options.settings.link.handshake)

    def _accepted(self, sock: Any, address: tuple[str, int]) -> None:
        self.lines.accepted(address[:2])
        Transport(self.reactor, sock, address[:2], self.node.accept())

    # -- running -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen and register. Who gives commands is the `front`, which is closed first when we end."""
        if self.options.http is not None:
            self.web = self._serve(self.options.http)
        self._listener.start(BACKLOG)
        self._banner()
        self.trackers.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.reactor.on_signal(number, self.quit)

    def read(self, stdin: int | None) -> None:
        """Take commands from a descriptor, if there is one."""
        self.front = self.shell = Shell(
            self.reactor, stdin, self.commands.run, self.input_ended,
            on_too_long=lambda: self.output.line(
                f"[Peer] That line is too long, and was left out: a message has {MAX_TEXT} characters at the most"
            ),
        )  # fmt: skip
        self.shell.start()

    def _banner(self) -> None:
        line, address = self.output.line, self._listener.address
        line(f"[Peer] {self.node.peer_id} ({self.node.username}) listens for peers on {address}")
        names = ", ".join(self.trackers.names)
        line(f"[Peer] Tracker: {names or 'none'}")
        line("[Peer] Messages go unencrypted, and ids are claims: for networks you trust. `help` lists the commands")
        if self.web is not None:
            line(f"[Peer] HTTP interface: {self.web.url}")

    def _serve(self, address: Address) -> Web:
        sock, address = bind_loopback(address)
        token = secrets.token_hex(16)  # only here, and on the terminal
        web = Web(
            self.reactor, self.chat, self.store, self._receipts, address=address, token=token, desk=self._desk,
            files=self._files,
        )  # fmt: skip
        self._desk.address = lambda: f"{self._facts().ip}:{self.node.listen_port}"
        self.reactor.spawn(self._open_desk())
        web.server.on_trouble = lambda text: self.output.line(f"[Peer] {text}")
        web.server.listen(address, sock)
        return web

    async def _open_desk(self) -> None:
        try:
            await self._desk.open(self.chat)
        except ReactorError as error:
            self.output.line(f"[Peer] {error}")

    def input_ended(self) -> None:
        """Nobody gives commands any more: flush and quit, unless we are to go on."""
        if not self.options.daemon:
            if self.shell is not None:
                self.shell.stop()
            self.reactor.spawn(self._flush_and_quit())

    async def _flush_and_quit(self) -> None:
        await self.chat.flush()
        self.quit()

    def quit(self) -> None:
        """End, from a command, a signal or the end of the input; a second time changes nothing."""
        if not self._ending:
            self._ending = True
            self.reactor.spawn(self._quit())

    async def _quit(self) -> None:
        if self.front is not None:
            self.front.close()
        self._listener.close()
        if self.web is not None:
            await self.web.close()
        told = await self.chat.close()
        self._client.close()
        if self.trackers.names:
            words = "The tracker was told that we leave" if told else "The tracker could not be told that we leave"
            self.output.line(f"[Peer] {words}")
        self.output.line("[Peer] Left. Goodbye!")
        self.reactor.stop()

    def close(self) -> None:
        """Everything that was said to be safe is, when this returns; what could not be made safe is said."""
        try:
            self.store.close()
        except ReactorError as error:
            self.output.line(f"[Peer] {error}")
        self._names.close(timeout=0.5)
        self.identity.close()
