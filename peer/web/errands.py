"""What a program or a page may have done by HTTP: connect, send, broadcast, list, read back.

    POST /connect-peer  /send-peer  /broadcast-peer     GET /get-list  /messages

The same for a peer's own interface and for the peers that a server holds. An answer comes when the outcome is known: a
link that is open, or why it is not; a message with what has become of it for each recipient.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

from peer.chat import Chat
from peer.delivery.letters import Letter
from peer.delivery.receipts import Receipts
from peer.errors import Ambiguous, PeerError
from peer.storage.store import Entry, Store
from peer.trackers.answers import TrackerError
from peer.trackers.several import check_channel
from peer.web.payloads import (
    BroadcastPeer,
    Connected,
    ConnectPeer,
    HistoryQuery,
    Listing,
    ListQuery,
    Messages,
    Posted,
    Refused,
    SendPeer,
    Success,
    check_length,
    decode,
    decode_query,
    recipients,
    respond,
    told,
)
from reactor import Handler, Request, Response
from reactor.core.address import Address
from reactor.core.task import Future
from reactor.errors import DialError, DialTimeout, Overloaded, ReactorError

Answering = Callable[[Request], Awaitable[Success]]


class Errands:
    """For one peer. Each is `answering`: from a request to the answer, or Refused."""

    def __init__(self, chat: Chat, store: Store, receipts: Receipts) -> None:
        self._chat = chat
        self._node = chat.node
        self._store = store
        self._receipts = receipts

    # -- links -------------------------------------------------------------------------------------------------------

    async def connect(self, request: Request) -> Connected:
        asked = decode(ConnectPeer, await request.read())
        peer_id, address, outcome = self._dial(asked)
        try:
            await outcome
        except DialTimeout as error:
            raise Refused("timed_out", str(error)) from None
        except DialError as error:
            raise Refused("unreachable", str(error)) from None
        return Connected(peer_id=peer_id, ip=address.host, port=address.port)

    def _dial(self, asked: ConnectPeer) -> tuple[str, Address, Future[Any]]:
        given = None if asked.ip is None or asked.port is None else Address(asked.ip, asked.port)
        unknown = Refused("unknown_peer", f"nobody has said where {asked.who} is: give ip and port")
        peer_id = self._find(asked.who, unknown) if given is None else self._other(asked.who)
        try:
            return peer_id, *self._chat.connect(peer_id, given)
        except PeerError:
            raise unknown from None

    def _other(self, who: str) -> str:
        if who == self._node.peer_id:
            raise Refused("invalid", "that is this peer itself", "$.peer_id")
        return who

    def _find(self, who: str, unknown: Refused) -> str:
        """The id; `unknown` is raised if nobody is meant."""
        try:
            return self._chat.find(self._other(who))
        except Ambiguous as error:
            raise Refused("ambiguous", str(error)) from None
        except PeerError:
            raise unknown from None

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Posted:
        asked = decode(SendPeer, await request.read())
        check_length(asked.message)
        peer_id = self._find(asked.who, Refused("not_connected", f"Not connected to peer: {asked.who}"))
        try:
            letter = self._node.send(peer_id, asked.message)
        except PeerError as error:
            raise Refused("not_connected", str(error)) from None
        return await self._posted(letter, asked.wait)

    async def broadcast(self, request: Request) -> Posted:
        asked = decode(BroadcastPeer, await request.read())
        check_length(asked.message)
        try:
            letter = (
                self._node.broadcast(asked.message)
                if asked.channel is None
                else self._node.say(asked.channel, asked.message)
            )
        except PeerError as error:
            raise Refused("not_a_member", str(error)) from None
        return await self._posted(letter, asked.wait)

    async def _posted(self, letter: Letter, seconds: float) -> Posted:
        """Not before it is in the history: what was answered with success is not lost by a crash."""
        assert letter.saved is not None
        try:
            await letter.saved
        except ReactorError as error:
            raise Refused("not_kept", f"the message could not be kept: {error}") from None
        await self._receipts.settled(letter, seconds)
        return Posted(id=letter.entry.id, recipients=recipients(letter))

    async def messages(self, request: Request) -> Messages:
        asked = decode_query(HistoryQuery, request.query)
        peer = self._somebody(asked.peer) if asked.peer else ""
        try:
            entries = await self._store.history(asked.channel, peer, asked.limit)
        except Overloaded:
            raise
        except ReactorError as error:
            raise Refused("failed", str(error)) from None
        return Messages(messages=[told(entry, self._letter(entry)) for entry in entries])

    def _somebody(self, who: str) -> str:
        """Who is not known any more may still be in the history."""
        try:
            return self._chat.find(who)
        except Ambiguous as error:
            raise Refused("ambiguous", str(error)) from None
        except PeerError:
            return who

    def _letter(self, entry: Entry) -> Letter | None:
        if entry.author != self._node.peer_id:
            return None
        return self._node.mail.letters.get(entry.id) or self._receipts.get(entry.id)

    # -- the list ----------------------------------------------------------------------------------------------------

    async def list(self, request: Request) -> Listing:
        channel = decode_query(ListQuery, request.query).channel
        if channel:
            _check_channel(channel)
        reason = ""
        try:
            peers = await self._chat.fetch(channel)
        except TrackerError as error:
            reason = str(error)
            peers = [peer for peer in self._chat.trackers.merged if not channel or channel in peer.channels]
        channels = dict.fromkeys(chain.from_iterable(peer.channels for peer in peers))
        return Listing(
            peers=peers, channels=[channel] if channel else list(channels), total_peers=len(peers), fresh=not reason,
            reason=reason,
        )  # fmt: skip


def _check_channel(name: str) -> None:
    try:
        check_channel(name)
    except TrackerError as error:
        raise Refused("invalid", str(error), "$.channel") from None


def handler(answering: Answering) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return respond(await answering(request))
        except Refused as refusal:
            return refusal.response()

    return answer
