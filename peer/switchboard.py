"""The nodes that one program holds, at one address: whoever calls one of them is put through, from outside and inside.

    from outside   socket -> Porter ┐
                                    ├─ handshake.to -> node
    from inside    pipe   -> Porter ┘
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from peer.errors import FrameError
from peer.link import Link
from peer.node import Node
from peer.pipe import pipe
from peer.porter import Porter
from peer.turns import Turns
from reactor.core.address import Address, is_loopback
from reactor.core.dial import Names, dial
from reactor.core.lan import lan_address
from reactor.core.loop import Reactor

# Calls inside the program that are put through in one turn of the loop; each has some 0.4 ms of greetings behind it.
# All who are held in one large channel dial each other at once when it begins: eight thousand calls.
CALLS_A_TURN: Final = 8

class Switchboard:
    """`address` is where others can dial the nodes; `nodes` are by their ids."""

    def __init__(self, reactor: Reactor, names: Names, seconds: float = 10.0) -> None:
        """A dial may take so many seconds."""
        self.address = Address("127.0.0.1", 0)
        self.nodes: dict[str, Node] = {}
        self._reactor = reactor
        self._names = names
        self._seconds = seconds
        self._turns = Turns(reactor, CALLS_A_TURN)

    def listens_at(self, addresses: list[Address], advertised: str = "") -> None:
        """Where connections come in. Told to others is `advertised`, else the address of this machine on its network if
        any of them can be reached from there.
        """
        wide = [address for address in addresses if not is_loopback(address.host)]
        address = (wide or addresses)[0]
        host = advertised or address.host
        if host in ("0.0.0.0", "::"):
            host = lan_address() or "127.0.0.1"
        self.address = Address(host, address.port)

    def find(self, to: str) -> Node:
        """FrameError if there is no such node, or it is not clear which."""
        if to in self.nodes:
            return self.nodes[to]
        if to:
            raise FrameError("which_peer", "nobody of that id is here")
        if len(self.nodes) != 1:
            raise FrameError("which_peer", "a port for several peers: a handshake says in `to` which of them it means")
        return next(iter(self.nodes.values()))

    def answer(self, address: object = None) -> Porter:
        """The protocol for a connection that has come in."""
        return Porter(self._reactor, self.find)

    async def connect(self, address: Address, factory: Callable[[], Link]) -> Link:
        """A `Connect` for the nodes: to each other without a socket. DialError."""
        if address == self.address:
            await self._turns.next()
            link = factory()
            pipe(self._reactor, link, self.answer(), where=address)
            return link
        return await dial(self._reactor, self._names, address, factory, seconds=self._seconds)
