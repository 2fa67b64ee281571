"""A port that several peers share: whom a connection is for stands in its first message, and that one gets it.

    connection -> Porter -> handshake.to -> the node that is meant -> its Link, which has the connection from then on
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from peer.errors import FrameError
from peer.framing import Framer
from peer.link import LINGER, Link
from peer.messages import Error, Handshake, decode, encode
from peer.node import Node
from reactor.core.loop import Reactor
from reactor.core.transport import Transport

# Seconds for the first message.
PATIENCE: Final = 10.0


class Porter:
    """A protocol in the sense of `core.transport`, for one connection."""

    __slots__ = ("_deadline", "_find", "_framer", "_link", "_seen", "_transport")

    def __init__(self, reactor: Reactor, find: Callable[[str], Node]) -> None:
        """`find(to)` has the node; "" is a handshake that does not say for whom. FrameError if nobody is meant."""
        self._find = find
        self._framer = Framer()
        self._seen = b""
        self._link: Link | None = None
        self._transport: Transport
        self._deadline = reactor.deadline(self._silent)
        self._deadline.move(reactor.now + PATIENCE)

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._link is not None:
            self._link.data_received(data)
            return
        self._seen += data
        try:
            self._framer.feed(data)
            text = self._framer.next()
            if text is not None:
                self._hand_over(self._find(_whom(text)))
        except FrameError as error:
            self._refuse(error)

    def _hand_over(self, node: Node) -> None:
        if not node.make_room():
            raise FrameError("busy", "it has no room for more links")
        self._deadline.close()
        self._link, seen, self._seen = node.accept(), self._seen, b""
        self._link.connection_made(self._transport)
        self._link.data_received(seen)

    def _refuse(self, error: FrameError) -> None:
        self._deadline.close()
        self._transport.write(encode(Error(code=error.code, message=str(error)[:500])))
        self._transport.close(LINGER)

    def _silent(self) -> None:
        self._transport.abort()

    def eof_received(self) -> None:
        if self._link is not None:
            self._link.eof_received()
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        if self._link is not None:
            self._link.pause_writing()

    def resume_writing(self) -> None:
        if self._link is not None:
            self._link.resume_writing()

    def connection_lost(self, error: OSError | None) -> None:
        self._deadline.close()
        if self._link is not None:
            self._link.connection_lost(error)


def _whom(text: bytes) -> str:
    message = decode(text)
    if not isinstance(message, Handshake):
        raise FrameError("bad_state", "a connection begins with a handshake")
    return message.to or ""
