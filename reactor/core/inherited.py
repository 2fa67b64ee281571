"""Listening sockets that this process was born with: from systemd, or from the server whose place it takes.

    LISTEN_PID=71 LISTEN_FDS=2 LISTEN_FDNAMES=web:admin        descriptors 3 and 4 (sd_listen_fds(3))

A socket is for the listener at whose address it is bound. Its name decides where that is not enough, as for port 0: it
is the address as the config has it, with `-` for `:`, which such a name cannot have.
"""

from __future__ import annotations

import socket
from collections.abc import MutableMapping, Sequence
from typing import Final, NamedTuple

from reactor.core.address import UNIX, Address
from reactor.errors import StartError

FIRST: Final = 3
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Given(NamedTuple):
    """A socket under a name. `owns_file`: the file of a Unix socket is ours to remove."""

    name: str
    sock: socket.socket
    owns_file: bool = False


def name_of(address: Address) -> str:
    """What the socket for `address` is called."""
    return str(address).replace(":", "-")


def where(sock: socket.socket) -> Address:
    """Where a socket is bound, as an Address."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Address(UNIX + (name if isinstance(name, str) else repr(name)), 0)
    return Address(*name[:2])


class Inherited:
    """The sockets that nobody has taken yet."""

    def __init__(self, sockets: Sequence[Given] = ()) -> None:
        self._left = list(sockets)

    def take(self, address: Address) -> Given | None:
        """The one for `address`, which is the caller's from now on."""
        for matches in (lambda given: given.name == name_of(address), lambda given: where(given.sock) == address):
            for given in self._left:
                if matches(given):
                    self._left.remove(given)
                    return given
        return None

    @property
    def left(self) -> list[socket.socket]:
        """Those that nobody has taken."""
        return [given.sock for given in self._left]

    def close(self) -> list[str]:
        """Close what nobody has taken; what it was, in words."""
        words = [f"{given.name} at {where(given.sock)}" for given in self._left]
        for given in self._left:
            given.sock.close()
        self._left.clear()
        return words


def from_environment(environment: MutableMapping[str, str], pid: int) -> Inherited:
    """What systemd has handed over; the variables are taken out, so that no child believes they are for it. StartError
    if they make no sense.
    """
    values = {name: environment.pop(name, "") for name in _VARIABLES}
    if values["LISTEN_PID"] != str(pid):
        return Inherited()
    if not values["LISTEN_FDS"].isdecimal():
        raise StartError(f"LISTEN_FDS is a number of sockets, not {values['LISTEN_FDS']!r}")
    count = int(values["LISTEN_FDS"])
    names = values["LISTEN_FDNAMES"].split(":")
    names += ["unknown"] * (count - len(names))
    return Inherited([Given(name or "unknown", _adopt(FIRST + number))
                      for number, name in enumerate(names[:count])])  # fmt: skip


def from_descriptors(sockets: Sequence[tuple[str, int, bool]]) -> Inherited:
    """The same of names, descriptors, and whether a file is to be removed. StartError."""
    return Inherited([Given(name, _adopt(fd), owns_file) for name, fd, owns_file in sockets])


def _adopt(fd: int) -> socket.socket:
    """The listening socket behind a descriptor; StartError if it is none."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise StartError(f"descriptor {fd} was to be a listening socket: {error.strerror}") from None
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise StartError(f"descriptor {fd} is no listening stream socket (systemd: ListenStream=, Accept=no)")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock
