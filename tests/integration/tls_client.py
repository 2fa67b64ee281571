"""A TLS client for the tests: a non-blocking socket's face over OpenSSL, and the certificates that go with it."""

from __future__ import annotations

import functools
import socket
import ssl
import tempfile
from pathlib import Path
from typing import NamedTuple

from reactor.certificate import fingerprint, make_certificate, write_pair
from reactor.core.certificates import ServerTLS


class Pair(NamedTuple):
    cert: Path
    key: Path
    fingerprint: str


def make_pair(directory: Path, *names: str, days: int = 30) -> Pair:
    """A certificate for these names, or for this machine, in a directory of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    made = make_certificate(names or ("localhost", "127.0.0.1", "127.0.0.2"), days)
    write_pair(made, directory / "cert.pem", directory / "key.pem")
    return Pair(directory / "cert.pem", directory / "key.pem", fingerprint(made.certificate))


@functools.cache
def loopback_tls() -> tuple[ServerTLS, ssl.SSLContext]:
    """What both ends of a connection in one process need."""
    with tempfile.TemporaryDirectory() as directory:
        pair = make_pair(Path(directory) / "pair")
        return ServerTLS([(pair.cert, pair.key)]), client_context(pair.cert)


def client_context(cert: Path) -> ssl.SSLContext:
    """Trusts this certificate alone."""
    return ssl.create_default_context(cafile=str(cert))


class TLSClient:
    """`sock` is connected. `step` goes on with the handshake; then it is used like a socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str = "localhost") -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._waiting = b""
        self.is_secure = False
        self.was_cut = False  # the connection ended without close_notify

    def step(self) -> bool:
        """Whether the handshake is over."""
        if not self.is_secure:
            try:
                self.tls.do_handshake()
                self.is_secure = True
            except ssl.SSLWantReadError:
                pass
        self.flush()
        if not self.is_secure and not self._waiting:
            self._feed()
        return self.is_secure and not self._waiting

    def _feed(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def flush(self) -> None:
        """Send what waits; BlockingIOError is nobody's business here."""
        self._waiting += self._outgoing.read()
        try:
            while self._waiting:
                self._waiting = self._waiting[self.sock.send(self._waiting) :]
        except BlockingIOError:
            pass

    def send(self, data: bytes) -> int:
        """All of it is taken, or BlockingIOError."""
        self.flush()
        if self._waiting:
            raise BlockingIOError
        size = self.tls.write(data)
        self.flush()
        return size

    def sendall(self, data: bytes) -> None:
        assert self.send(data) == len(data)

    def recv(self, size: int) -> bytes:
        """Plain bytes, b"" at the end; as the socket is, it waits or raises BlockingIOError."""
        self.flush()
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                self.was_cut = True
                return b""

    def shutdown(self, how: int) -> None:
        """Our close_notify, and no end of the socket's own."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self.flush()

    def setblocking(self, flag: bool) -> None:
        self.sock.setblocking(flag)

    def settimeout(self, seconds: float) -> None:
        self.sock.settimeout(seconds)

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self.sock.setsockopt(level, option, value)

    def close(self) -> None:
        self.sock.close()
