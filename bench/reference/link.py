"""A link of the thread-per-link peer: lines off a blocking socket, and messages back on it, from any thread.

One lock orders the writers. Nobody waits for it who should be reading.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Final

from peer.errors import FrameError
from peer.messages import Ack, Message, Ping, encode, with_seq

MAX_LINE: Final = 65_536  # bytes, with the newline
SILENCE: Final = 10  # seconds: for a dial, a handshake, a write without progress; and before each ping


class Link:
    """A socket, read by its own thread and written by any."""

    def __init__(self, sock: socket.socket, *, dialled: bool) -> None:
        self.dialled = dialled
        self.peer_id = ""  # until the handshake
        self.shown = self.delivered = 0  # messages: of theirs, of ours
        self.upto = self._acknowledged = 0  # their last number that was shown, and that they were told
        self._base = self._seq = 0  # our last number: of the links before, and now
        self._epoch = ""  # theirs
        self._sock = sock
        self._lock = threading.Lock()  # of who writes
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = struct.pack("ll", SILENCE, 0)  # a struct timeval; Python's own limit would cost a `poll` per `recv`
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def open(self, peer_id: str, epoch: str, old: Link | None) -> None:
        """It goes on with the numbers of the link before, which has been ended; with theirs only in the same epoch."""
        if old:
            with old._lock:
                self._base = self._seq = old._seq
            self.upto = old.upto if old._epoch == epoch else 0
        self.peer_id, self._epoch = peer_id, epoch

    def batches(self) -> Iterator[list[bytes]]:
        """Until the end: the whole lines that each `recv` completed, often one, sometimes none."""
        rest = b""
        while data := self._receive():
            *lines, rest = (rest + data).split(b"\n")
            if max(map(len, (*lines, rest))) >= MAX_LINE:
                raise FrameError("too_long", f"a message is longer than {MAX_LINE} bytes")
            yield lines

    def _receive(self) -> bytes:
        """Nothing at the end, after a silence instead of a handshake, and after three silences on an open link."""
        for _ in range(3 if self.peer_id else 1):
            try:
                return self._sock.recv(MAX_LINE)
            except BlockingIOError:
                if self.peer_id:
                    self.write(Ping(n=1))
        return b""

    def write(self, message: Message) -> None:
        with self._lock:
            self._sock.sendall(encode(message))
        self.acknowledge()

    def post(self, tail: bytes) -> bool:
        """A text under its number, which is given inside the lock: numbers are in the order of the bytes."""
        try:
            with self._lock:
                self._seq += 1
                self._sock.sendall(with_seq(tail, self._seq))
            self.acknowledge()
        except OSError:
            self.end()  # half a line may be out, and nothing can follow it
            return False
        return True

    def acknowledge(self) -> None:
        """Say what was shown, but never wait: two sides that stop reading in order to write stand still for good.

        Who has the lock does it afterwards; a socket that is full brings acknowledgements soon, the next occasion.
        """
        while self._acknowledged < (upto := self.upto) and self._write_now(Ack(upto=upto)):
            self._acknowledged = upto

    def acknowledged(self, upto: int) -> None:
        """They have shown ours, up to this one."""
        self.delivered = max(self.delivered, min(upto, self._seq) - self._base)

    def _write_now(self, message: Message) -> bool:
        """False where it would have to wait, for the lock or for room."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            line = encode(message)
            sent = self._sock.send(line, socket.MSG_DONTWAIT)
            if sent < len(line):
                self._sock.sendall(line[sent:])
            return True
        except BlockingIOError:
            return False
        finally:
            self._lock.release()

    def end(self, last: Message | None = None) -> None:
        """Wake everybody who waits on the socket; before that a last word, if it can be said at once."""
        try:
            if last:
                self._write_now(last)
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    def dispose(self) -> None:
        self.end()
        with self._lock:
            self._sock.close()
