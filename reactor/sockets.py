"""The listening sockets of an App: bound anew, inherited, or about to make room for others; and their files.

One object for each App, over all its generations. Who listens is the business of `http.server`; here is where the
sockets come from, and what is left to do when they go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reactor.core.address import Address
from reactor.core.inherited import Inherited, where
from reactor.core.listener import UNIX_MODE, bind, share_port
from reactor.core.unix_socket import SocketFile

if TYPE_CHECKING:
    import socket


class Sockets:
    """`bound` says for each address that was asked for where the system has put it."""

    def __init__(self, inherited: Inherited | None = None) -> None:
        self.bound: dict[Address, Address] = {}
        self._inherited = inherited or Inherited()
        self._files: dict[Address, SocketFile] = {}
        self._promised: list[Address] = []  # whose files are ours once all has worked
        self._sharing: list[socket.socket] = []

    def bind(
        self, addresses: Iterable[Address], mode: int = UNIX_MODE, leaving: Iterable[socket.socket] = ()
    ) -> dict[Address, socket.socket]:
        """Get each, or none: StartError closes those that worked. The ports of `leaving`, which are to be closed soon,
        can be had too, until `settle`.
        """
        sockets: dict[Address, socket.socket] = {}
        try:
            for address in addresses:
                sockets[address] = self.bind_one(address, mode, leaving)
        except BaseException:
            for address, sock in sockets.items():
                sock.close()
                self.left(address)
            raise
        return sockets

    def bind_one(
        self, address: Address, mode: int = UNIX_MODE, leaving: Iterable[socket.socket] = ()
    ) -> socket.socket:
        """The socket that was inherited for `address`, or a new one; StartError."""
        given = self._inherited.take(address)
        if given is not None:
            sock = given.sock
            self._promised += [address] if given.owns_file else []
        else:
            rivals = [rival for rival in (*leaving, *self._inherited.left) if _contest(rival, address)]
            for rival in rivals:
                share_port(rival, True)
            self._sharing += rivals
            sock = bind(address, mode=mode, shares_port=bool(rivals))
            self._sharing += [sock] if rivals else []
            if address.path:
                self._files[address] = SocketFile(address.path)
        self.bound[address] = where(sock)
        return sock

    def settle(self) -> list[str]:
        """All are in place: ports are shared no longer, and what was inherited and nobody wants is closed; what that
        was, in words.
        """
        for sock in self._sharing:
            if sock.fileno() >= 0:
                share_port(sock, False)
        self._sharing.clear()
        return self._inherited.close()

    def take_files(self) -> None:
        """What was promised to us is ours: the process before us goes."""
        self._files.update((address, SocketFile(address.path)) for address in self._promised if address.path)
        self._promised.clear()

    def left(self, address: Address) -> None:
        """A socket is closed: its file goes too, if it is ours."""
        file = self._files.pop(address, None)
        if file is not None:
            file.remove()

    def left_all(self) -> None:
        """The same of all."""
        for address in list(self._files):
            self.left(address)

    def owns_file(self, address: Address) -> bool:
        """Whether whoever gets the socket is to remove its file."""
        return address in self._files

    def leave_files(self) -> None:
        """They are another process's from now on."""
        self._files.clear()


def _contest(sock: socket.socket, address: Address) -> bool:
    """Whether both are for one port, perhaps one of them for all addresses of the machine."""
    there = where(sock)
    return not address.path and not there.path and address.port == there.port != 0
