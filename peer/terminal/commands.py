"""The commands of a peer: a line in, lines out.

Each command is a method with its usage in the table below, which is the help too. What a person has done wrong is a
line that says so, and nothing else happens.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Final

from peer.chat import Chat
from peer.clock import label
from peer.contact import Contact
from peer.errors import Ambiguous, PeerError
from peer.link import Link
from peer.messages import BROADCAST
from peer.quoting import show_id, show_name
from peer.storage.store import Entry, Store
from peer.terminal.lines import Lines
from peer.terminal.output import Output
from reactor.core.address import Address
from reactor.core.task import Future
from reactor.errors import DialError, ReactorError

HISTORY_LINES: Final = 20
LONGEST_LIST: Final = 500  # lines: more than anybody reads
MOST_SHOWN: Final = 10  # channels of one peer
LONGEST_WORD: Final = 60  # shown of a command that is none

USAGE: Final = {
    "list": ("list", "who is registered with the trackers"),
    "join": ("join <channel> [password PASSWORD | invite TOKEN]", "enter a channel and connect to its members"),
    "leave": ("leave <channel>", "leave it"),
    "say": ("say <channel> <message>", "to the members of a channel"),
    "connect": ("connect <peer_id> [<ip> <port>]", "connect directly; without an address, to where the tracker says"),
    "send": ("send <peer_id> <message>", "to one peer; a name or the beginning of an id will do"),
    "broadcast": ("broadcast <message>", "to everybody you are connected to"),
    "peers": ("peers", "who you are connected to, and how well"),
    "channels": ("channels", "the channels you are in, and their members"),
    "history": ("history [<channel> | <peer_id>]", "the last messages"),
    "mute": ("mute <peer_id>", "refuse its messages from now on"),
    "unmute": ("unmute <peer_id>", "take them again"),
    "policy": ("policy <channel> open | invited | password PASSWORD", "who may enter a channel that you own"),
    "invite": ("invite <channel>", "a token that lets one peer into a channel that you own"),
    "remove": ("remove <channel> <peer_id>", "put somebody out of a channel that you own"),
    "help": ("help", "this"),
    "quit": ("quit", "say goodbye and end"),
    "exit": ("exit", "the same"),
}
# Takes nothing behind it: who says "quit that!" where commands are typed does not mean to end.
ALONE: Final = ("list", "peers", "channels", "quit", "exit")
# Words that few sentences begin with, whatever stands behind them, or that may have a password there.
RARE: Final = ("join", "connect", "policy", "broadcast")


class Usage(PeerError):
    """A command was given too much or too little."""

    def __init__(self, command: str) -> None:
        super().__init__(f"Usage: {USAGE[command][0]}")


class Commands:
    def __init__(
        self, chat: Chat, lines: Lines, store: Store, output: Output, on_quit: Callable[[], object]
    ) -> None:
        self._chat = chat
        self._node = chat.node
        self._lines = lines
        self._store = store
        self._line = output.line
        self._quit = on_quit
        self._table: dict[str, Callable[[str], Awaitable[object] | None]] = {
            "list": self._list, "join": self._join, "leave": self._leave, "say": self._say, "connect": self._connect,
            "send": self._send, "broadcast": self._broadcast, "peers": self._peers, "channels": self._channels,
            "history": self._history, "mute": self._mute, "unmute": self._unmute, "policy": self._policy,
            "invite": self._invite, "remove": self._remove, "help": self._help, "quit": self._end, "exit": self._end,
        }  # fmt: skip

    async def run(self, line: str) -> None:
        """Do what the line says, with a slash before it or without. Whatever comes of it is printed; nothing is raised
        for what a person may do.
        """
        name, rest = _split(line)
        if not name:
            return
        name = name.removeprefix("/").lower()
        command = self._table.get(name)
        if command is None:
            self._help("")
            self._line(f"[Peer] Unknown command: {name:.{LONGEST_WORD}}")  # last: the help may fill a screen
            return
        try:
            if rest and name in ALONE:
                raise Usage(name)
            waiting = command(rest)
            if waiting is not None:
                await waiting
        except PeerError as error:
            self._line(f"[Peer] {error}")
        except ReactorError as error:
            self._line(f"[Peer] {name} failed: {error}")

    # -- people ------------------------------------------------------------------------------------------------------

    async def _list(self, rest: str) -> None:
        peers = await self._chat.fetch()
        self._line(f"[Peer] Retrieved {len(peers)} peers from tracker")
        self._line("Active peers:")
        for peer in peers[:LONGEST_LIST]:
            name = f" {show_name(peer.username)}" if peer.username != peer.peer_id else ""
            channels = _in_brackets(peer.channels)
            you = " (you)" if peer.peer_id == self._node.peer_id else ""
            self._line(f"- {show_id(peer.peer_id)} ({Address(peer.ip, peer.port)}){name}{channels}{you}")
        if len(peers) > LONGEST_LIST:
            self._line(f"- and {len(peers) - LONGEST_LIST} more")

    async def _connect(self, rest: str) -> None:
        words = rest.split()
        if len(words) == 3:
            peer_id, port = words[0], words[2]
            if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
                raise PeerError(f"{port} is no port: 1 to 65535")
            address: Address | None = Address(words[1], int(port))
        elif len(words) == 1:
            peer_id, address = self._find(words[0]), None
        else:
            raise Usage("connect")
        address, outcome = self._chat.connect(peer_id, address)
        was_linked = outcome.done
        self._line(f"[Peer] Connecting to peer {show_id(peer_id)} at {address}")
        try:
            link = await outcome
        except DialError as error:
            self._line(f"[Peer] Failed to connect to {show_id(peer_id)}: {error}")
        else:
            if was_linked or link.handshake is None:  # the line of a new link has been said
                self._line(f"[Peer] Connected to peer: {show_id(peer_id)}")

    def _find(self, who: str) -> str:
        """The id that is meant."""
        if who == self._node.peer_id:
            raise PeerError("That is this peer itself")
        try:
            return self._chat.find(who)
        except Ambiguous:
            raise
        except PeerError:
            raise PeerError(f"Nobody is known as {who}: `list` shows who is there") from None

    async def _peers(self, rest: str) -> None:
        await self._chat.measure()
        linked = [contact for contact in self._node.contacts if contact.links or len(contact.outbox)]
        self._line(f"[Peer] {sum(1 for contact in linked if contact.links)} peers connected")
        for contact in linked:
            self._line("- " + self._describe(contact))

    def _describe(self, contact: Contact) -> str:
        name = f" {show_name(contact.username)}" if contact.username not in ("", contact.peer_id) else ""
        parts = [_state_of(contact.link)]
        if len(contact.outbox):
            parts.append(f"{len(contact.outbox)} of your messages not delivered yet")
        if contact.is_muted:
            parts.append("muted")
        return f"{show_id(contact.peer_id)}{name}: {', '.join(parts)}"

    def _mute(self, rest: str) -> None:
        self._set_muted("mute", rest)

    def _unmute(self, rest: str) -> None:
        self._set_muted("unmute", rest)

    def _set_muted(self, command: str, rest: str) -> None:
        if not rest:
            raise Usage(command)
        peer_id = self._find(rest)
        self._node.mute(peer_id, command == "mute")
        self._line(f"[Peer] {command.capitalize()}d: {show_id(peer_id)}")

    # -- messages ----------------------------------------------------------------------------------------------------

    def _send(self, rest: str) -> None:
        who, text = _split(rest)
        if not text:
            raise Usage("send")
        self._lines.posted(self._node.send(self._chat.find(who), text))

    def _say(self, rest: str) -> None:
        channel, text = _split(rest)
        if not text:
            raise Usage("say")
        self._lines.posted(self._node.say(channel, text))

    def _broadcast(self, rest: str) -> None:
        if not rest:
            raise Usage("broadcast")
        self._lines.posted(self._node.broadcast(rest))

    async def _history(self, rest: str) -> None:
        if rest:
            entries, where = await self._found_history(rest)
        else:
            entries, where = await self._store.history(limit=HISTORY_LINES), ""
        self._line(f"[Peer] {counted(len(entries), 'message')}{where}")
        for entry in entries:
            self._line(self._entry(entry))

    async def _found_history(self, what: str) -> tuple[Sequence[Entry], str]:
        """Of a channel, also one we are no longer in, or of a peer, also one that is not known any more."""
        entries = await self._store.history(channel=what, limit=HISTORY_LINES)
        if entries or what in self._node.channels:
            return entries, f" in channel {what}"
        entries = await self._store.history(peer=what, limit=HISTORY_LINES)
        return entries or await self._store.history(peer=self._find(what), limit=HISTORY_LINES), f" with {what}"

    def _entry(self, entry: Entry) -> str:
        is_ours = entry.author == self._node.peer_id
        who = "you" if is_ours else show_id(entry.author)
        if entry.peer:
            where = f" to {show_id(entry.peer)}" if is_ours else ""
        else:
            where = f" in {entry.channel}" if entry.channel != BROADCAST else " (broadcast)"
        return f"{label(entry.timestamp, time.time())} {who}{where}: {entry.text}"

    # -- channels ----------------------------------------------------------------------------------------------------

    async def _join(self, rest: str) -> None:
        words = rest.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1] not in ("password", "invite")):
            raise Usage("join")
        channel = words[0]
        proof = {words[1]: words[2]} if len(words) == 3 else {}
        try:
            await self._chat.join(channel, **proof)
        except PeerError as error:
            raise PeerError(f"Failed to join channel {channel}: {error}") from None
        self._line(f"[Peer] Joined channel: {channel}")
        self._line(f"[Peer] Auto-connecting to peers in channel '{channel}'...")
        peers = await self._chat.fetch(channel)
        self._line(f"[Peer] Retrieved {len(peers)} peers from tracker")
        count = await self._chat.meet(channel, self._dialling)
        self._line(f"[Peer] Auto-connected to {count} peers in channel '{channel}'")

    def _dialling(self, contact: Contact, outcome: Future[Link]) -> None:
        self._line(f"[Peer] Connecting to peer {show_id(contact.peer_id)} at {contact.address}")
        outcome.on_done(lambda outcome: self._dialled(contact, outcome))

    def _dialled(self, contact: Contact, outcome: Future[Link]) -> None:
        if outcome.error is not None:
            self._line(f"[Peer] Failed to connect to {show_id(contact.peer_id)}: {outcome.error}")

    async def _leave(self, rest: str) -> None:
        if not rest:
            raise Usage("leave")
        if rest not in self._node.channels:
            raise PeerError(f"Not in channel {rest}")
        try:
            await self._chat.leave(rest)
        finally:
            self._line(f"[Peer] Left channel: {rest}")

    def _channels(self, rest: str) -> None:
        self._line(f"[Peer] In {counted(len(self._node.channels), 'channel')}")
        for channel in self._node.channels:
            members = self._node.members(channel)
            linked = sum(1 for contact in members if contact.links)
            closed = ", closed" if self._node.channels.is_closed(channel) else ""
            self._line(f"- {channel} ({counted(len(members) + 1, 'member')}, {linked} connected{closed})")

    async def _policy(self, rest: str) -> None:
        words = rest.split()
        password = words[2] if len(words) == 3 and words[1] == "password" else None
        if password is None and (len(words) != 2 or words[1] not in ("open", "invited")):
            raise Usage("policy")
        self._check_in(words[0])
        await self._chat.trackers.configure(words[0], policy=words[1], password=password)
        self._line(f"[Peer] Channel {words[0]} is {words[1]} now")

    def _check_in(self, channel: str) -> None:
        if channel not in self._node.channels:
            raise PeerError(f"Not in channel {channel}: join it first")

    async def _invite(self, rest: str) -> None:
        if not rest or " " in rest:
            raise Usage("invite")
        self._check_in(rest)
        channel = await self._chat.trackers.configure(rest, invite=True)
        self._line(f"[Peer] Invite for channel {rest}, good for one: {channel.invite}")

    async def _remove(self, rest: str) -> None:
        words = rest.split()
        if len(words) != 2:
            raise Usage("remove")
        self._check_in(words[0])
        peer_id = self._find(words[1])
        what = f"{show_id(peer_id)} from channel {words[0]}"
        try:
            await self._chat.trackers.configure(words[0], remove=peer_id)
        except PeerError as error:
            raise PeerError(f"Failed to remove {what}: {error}") from None
        self._line(f"[Peer] Removed {what}")
        await self._chat.fetch()  # or what is said next would wait for its proof until the next list comes

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _help(self, rest: str) -> None:
        self._line("Commands:")
        width = max(len(usage) for usage, _ in USAGE.values())
        for usage, meaning in USAGE.values():
            self._line(f"  {usage:{width}}  {meaning}")

    def _end(self, rest: str) -> None:
        self._quit()


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def looks_meant(text: str, known: Container[str]) -> bool:
    """Whether a line to others was rather meant as a command. `known` are the channels and people that one may name."""
    command, rest = _split(text)
    command = command.lower()
    return command in USAGE and (not rest or command in RARE or _split(rest)[0] in known)


def _split(text: str) -> tuple[str, str]:
    """The first word, and what stands behind it."""
    word, *rest = text.split(maxsplit=1) or [""]
    return word, rest[0].rstrip() if rest else ""


def _in_brackets(channels: Sequence[str]) -> str:
    more = [f"and {len(channels) - MOST_SHOWN} more"] if len(channels) > MOST_SHOWN else []
    return f" [{', '.join([*map(show_name, channels[:MOST_SHOWN]), *more])}]" if channels else ""


def _state_of(link: Link | None) -> str:
    if link is None:
        return "not connected"
    state = "away" if link.is_away or link.is_unattended else "connected"
    if link.is_original:
        state += " (an original peer: it cannot tell what it has got)"
    if link.round_trip is not None:
        state += f", round trip {link.round_trip * 1000:.1f} ms"
    return state
