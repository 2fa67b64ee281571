"""Listening at a path instead of a port: whose the file is, who may use it, and what a crash has left behind.

A socket file outlives the program that made it. So one that is in the way is asked: who answers has it, and what nobody
answers for is stale and removed. The new one is never open to more people than it is to be in the end, and it answers
from the moment when it is there, so that nobody takes it for a stale one in turn.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Final

from reactor.core.address import Address
from reactor.errors import StartError

# What `sun_path` holds on Linux, less its final zero.
LONGEST_PATH: Final = 107
# Until the server is up; then it says its own.
_BACKLOG: Final = 128


class SocketFile:
    """The file of a socket, as it is now; `remove` takes away this very file and no other that came in its place."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = _identity(path)

    def remove(self) -> None:
        """Nothing if it is gone, or somebody else's by now."""
        if self._identity is not None and _identity(self._path) == self._identity:
            os.unlink(self._path)


def _identity(path: str) -> tuple[int, int, int] | None:
    """Numbers of files are used again; together with the time when it was made there is only one of them."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def bind_unix(address: Address, mode: int) -> socket.socket:
    """A socket that listens at `address.path`, with the permissions `mode`; connections wait until they are accepted.
    StartError, in words, if another program listens there, or what is there is no socket.
    """
    if len(os.fsencode(address.path)) > LONGEST_PATH:
        raise StartError(f"cannot listen on {address}: the path is longer than the system allows; choose a shorter one")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(address)
        os.fchmod(sock.fileno(), mode)  # which `bind` gives to the file, less the umask
        sock.bind(address.path)
        sock.listen(_BACKLOG)
        os.chmod(address.path, mode)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise StartError(f"cannot listen on {address}: {_why(error)}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(address: Address) -> None:
    try:
        found = os.lstat(address.path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StartError(f"cannot listen on {address}: there is a file that is no socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # one whose backlog is full would make us wait
        try:
            asking.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(FileNotFoundError):
                os.unlink(address.path)
            return
        except BlockingIOError:
            pass
    raise StartError(f"cannot listen on {address}: another program listens there (`ss -lxp` names it)")


def _why(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "its directory does not exist"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this program may not write to its directory"
    return error.strerror or str(error)
