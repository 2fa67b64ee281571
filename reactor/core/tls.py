"""TLS under a transport: what runs on a Transport runs on this one unchanged.

    accept -> Handshake -> TLSSocket -> TLSTransport -> protocol

OpenSSL is kept away from the socket: it works on two buffers in memory, and `TLSSocket` moves the bytes between these
and the socket. To the transport it looks like a socket with plain bytes. Three things follow from TLS, and each has
its place here:

* a record is out or it is not, so a piece counts as sent when its whole ciphertext is (`TLSSocket.send`);
* bytes may be there of which the selector knows nothing (`TLSSocket.has_more`);
* the end is a message (`close_notify`) that has to go out behind all others (`TLSTransport._say_goodbye`).
"""

from __future__ import annotations

import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from reactor.core.certificates import ServerTLS
from reactor.core.loop import Reactor
from reactor.core.selector import READ, WRITE
from reactor.core.transport import RECV_SIZE, ConnectionProtocol, FileSend, Transport

# Plain bytes that are encrypted at once: four records, one system call. It is also what is read of a file in one turn.
PIECE: Final = 64 * 1024
# What a peer may make us say of TLS itself (answers to key updates, alerts) while it does not read.
MOST_CONTROL: Final = 64 * 1024
# The first byte of a connection that begins with a handshake (RFC 8446 5.1).
HANDSHAKE: Final = 0x16


class TLSSocket:
    """A connected, non-blocking socket with a TLS server in front of it, as far as a transport uses a socket.

    What the system raises passes through: BlockingIOError where there is nothing to read or no room to write. What TLS
    raises (`ssl.SSLError`) is an OSError too, and ends the connection.
    """

    __slots__ = ("_ciphertext", "_incoming", "_is_over", "_is_over_told", "_outgoing", "_owed", "_said_goodbye",
                 "_sock", "_tls", "is_secure", "moved")  # fmt: skip

    def __init__(self, sock: socket.socket, tls: ServerTLS) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._ciphertext = memoryview(b"")  # what has left `_outgoing` and not yet gone out
        self._owed = 0  # plain bytes that it stands for, which the caller offers again
        self._is_over = False  # the peer says no more
        self._is_over_told = False
        self._said_goodbye = False
        self.is_secure = False
        self.moved = 0  # bytes that have gone out

    # -- what a transport calls --------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._sock.fileno()

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self._sock.setsockopt(level, option, value)

    def shutdown(self, how: int) -> None:
        """Of the socket itself; `say_goodbye` is the end in TLS."""
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()

    def recv(self, size: int) -> bytes:
        """All that is there in whole records: `size` bounds what is taken from the system. b"" at the end, with
        `close_notify` or without: who speaks over TLS has to frame its messages anyway (RFC 9112 9.8).
        """
        if self._is_over:
            self._is_over_told = True
            return b""
        if not self._incoming.pending:
            self._is_over = not self._take(size)
        data = b"" if self._is_over else self._decrypt(size)
        if self._is_over and not data:
            self._is_over_told = True
        elif not data:
            raise BlockingIOError  # half a record
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt the beginning of `data`, and say how much that is once all of it is out. Until then it raises
        BlockingIOError, and wants the same bytes again, as OpenSSL itself does. With no data: send what is left.
        """
        if data and not self._owed:
            self._owed = self._tls.write(memoryview(data)[:PIECE])
        self._push()
        sent, self._owed = self._owed, 0
        return sent

    # -- what TLS adds -----------------------------------------------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """Whether `recv` has something to say though the system has nothing to read."""
        return not self._is_over_told if self._is_over else self._incoming.pending > 0

    def shake_hands(self, data: bytes) -> None:
        """Go on with the handshake, with what has come; `is_secure` says whether it is done. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.is_secure = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._push_quietly()  # the alert that says why
            raise

    def say_goodbye(self) -> bool:
        """`close_notify`, behind all that was sent. False if it is not all out: then `send(b"")` goes on with it."""
        if not self._said_goodbye:
            self._said_goodbye = True
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # it also looks for the peer's, which need not be there
        try:
            self._push()
        except BlockingIOError:
            return False
        except OSError:
            pass  # gone already, which the next read will say
        return True

    def _take(self, size: int) -> bool:
        """From the system to OpenSSL; False at the end."""
        data = self._sock.recv(size)
        self._incoming.write(data)
        return bool(data)

    def _decrypt(self, size: int) -> bytes:
        pieces: list[bytes] = []
        try:
            # OpenSSL takes from its buffer record by record; nothing is left there means nothing is left at all.
            while not self._is_over and (not pieces or self._incoming.pending):
                pieces.append(self._tls.read(size))
                self._is_over = not pieces[-1]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # what it says of their end once we have said ours
            self._is_over = True
        finally:
            if self._outgoing.pending:
                self._push_quietly()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _push_quietly(self) -> None:
        """Send what TLS has to say itself, or leave it for later, within a bound."""
        try:
            self._push()
        except BlockingIOError:
            if self._outgoing.pending > MOST_CONTROL:
                raise OSError("it makes us speak and does not listen") from None
        except OSError:
            pass  # gone already, which the next read will say

    def _push(self) -> None:
        while self._ciphertext or self._outgoing.pending:
            if not self._ciphertext:
                self._ciphertext = memoryview(self._outgoing.read())
            sent = self._sock.send(self._ciphertext)
            self._ciphertext = self._ciphertext[sent:]
            self.moved += sent

    def push(self) -> bool:
        """Send what waits; whether all of it is out."""
        try:
            self._push()
        except BlockingIOError:
            return False
        return True


class TLSTransport(Transport):
    """A Transport whose bytes are encrypted on their way."""

    __slots__ = ("_tls",)

    is_secure = True

    def __init__(self, reactor: Reactor, sock: TLSSocket, peer: object, protocol: ConnectionProtocol) -> None:
        """`sock` has shaken hands."""
        self._tls = sock
        super().__init__(reactor, sock, peer, protocol)
        self._look_again()  # a request may have come with the last message of the handshake

    def resume_reading(self) -> None:
        super().resume_reading()
        self._look_again()

    def _ready(self, mask: int) -> None:
        super()._ready(mask)
        self._look_again()

    def _look_again(self) -> None:
        if self._reading and self._tls.has_more:
            self._reactor.call_soon(self._ready, READ)

    def _send_some(self, out: deque[memoryview | FileSend]) -> bool:
        before = self._tls.moved
        try:
            return super()._send_some(out)
        except BlockingIOError:
            if self._tls.moved > before:  # the peer takes a piece bit by bit, and is not stalled
                self._watch_stall()
            raise
        finally:
            super()._count(self._tls.moved - before)

    def _count(self, sent: int) -> None:
        """What goes out is counted bit by bit, not when a piece of plain bytes is complete."""

    def _send_of_file(self, item: FileSend, out: deque[memoryview | FileSend]) -> bool:
        """The system cannot encrypt what it sends, so one piece of the file a turn is read and put before the rest."""
        if not item.left:
            out.popleft()
            self._reactor.call_soon(item.on_done)
            return True
        piece = os.pread(item.file.fileno(), min(item.left, PIECE), item.offset)
        if not piece:
            self._fail(item.too_short())
            return False
        item.offset += len(piece)
        item.left -= len(piece)
        out.appendleft(memoryview(piece))
        return False

    # -- the end -----------------------------------------------------------------------------------------------------

    def write_eof(self) -> None:
        if not self._lost and self._out is None:
            self._say_goodbye()

    def _finish_close(self) -> None:
        if self._say_goodbye():
            if self._ended:  # they have said theirs, and nothing is behind that
                self._linger = 0.0
            super()._finish_close()
            self._look_again()

    def _say_goodbye(self) -> bool:
        """False where there is no room for it: then nothing is put at the end of the queue, and goes out behind it."""
        if self._tls.say_goodbye():
            return True
        self._out = deque([memoryview(b"")])
        self.is_direct = False
        self._watch_stall()
        self._update()
        return False


class Handshake:
    """An accepted connection until it is secure. It ends in one of four ways, and `on_end(handshake)` comes once, from
    the loop, unless it was aborted:

    * `socket` is the TLSSocket, and belongs to who is told;
    * `spoken` has what came instead of TLS, and `plain` the socket, which belongs to who is told;
    * `failure` has the reason, in a line;
    * `has_expired`: it took longer than `seconds`.
    """

    __slots__ = ("_fd", "_mask", "_on_end", "_reactor", "_timer", "_tls", "failure", "has_expired", "peer", "plain",
                 "socket", "spoken")  # fmt: skip

    def __init__(
        self, reactor: Reactor, sock: socket.socket, peer: object, tls: ServerTLS, seconds: float,
        on_end: Callable[[Handshake], object],
    ) -> None:  # fmt: skip
        self.peer = peer
        self.plain = sock
        self.socket: TLSSocket | None = None
        self.spoken = b""
        self.failure = ""
        self.has_expired = False
        self._reactor = reactor
        self._fd = sock.fileno()
        self._tls: ServerTLS | TLSSocket = tls  # OpenSSL takes its memory when the first byte is there
        self._on_end = on_end
        self._timer = reactor.call_later(seconds, self._expired)
        self._mask = READ
        reactor.register(self._fd, READ, self._ready)

    def abort(self) -> None:
        """Drop the connection; nobody is told."""
        self._leave()
        self.plain.close()

    def _ready(self, mask: int) -> None:
        if not self._mask:  # dropped in this very turn; the number of its descriptor may be another's by now
            return
        try:
            if mask & READ:
                self._listen()
            if isinstance(self._tls, TLSSocket):
                self._speak(self._tls)
        except (BlockingIOError, InterruptedError):
            pass
        except ssl.SSLError as error:
            self._failed((error.reason or str(error)).replace("_", " ").lower())
        except OSError as error:
            self._failed(error.strerror or str(error))

    def _listen(self) -> None:
        data = self.plain.recv(RECV_SIZE)
        if not data:
            raise OSError("it left")
        if isinstance(self._tls, ServerTLS):
            if data[0] != HANDSHAKE:
                self.spoken = data
                self._end()
                return
            self._tls = TLSSocket(self.plain, self._tls)
        self._tls.shake_hands(data)

    def _speak(self, tls: TLSSocket) -> None:
        is_out = tls.push()
        if is_out and tls.is_secure:
            self.socket = tls
            self._end()
        else:  # what comes behind the handshake is left to the transport
            self._want((0 if tls.is_secure else READ) | (0 if is_out else WRITE))

    def _want(self, mask: int) -> None:
        if mask != self._mask:
            self._mask = mask
            self._reactor.modify(self._fd, mask, self._ready)

    def _expired(self) -> None:
        self.has_expired = True
        self._failed("it took too long")

    def _failed(self, reason: str) -> None:
        self.failure = reason
        self._end()
        self.plain.close()

    def _end(self) -> None:
        self._leave()
        self._on_end(self)

    def _leave(self) -> None:
        self._mask = 0
        self._timer.cancel()
        self._reactor.unregister(self._fd)
