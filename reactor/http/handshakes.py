"""The TLS side of an HTTP server: connections that have been accepted and are not secure yet.

Most of what knocks at such a port without a key is somebody who typed `http://`, so who speaks plainly is answered
plainly. A handshake has its deadline, and takes a place that a client could have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

from reactor.core.address import Address, peer_text
from reactor.core.certificates import ServerTLS
from reactor.core.last_words import LastWords
from reactor.core.loop import Reactor
from reactor.core.tls import Handshake, TLSTransport
from reactor.core.transport import ConnectionProtocol, Transport

if TYPE_CHECKING:
    import socket

_WORDS: Final = b"This port speaks HTTPS: write https:// before the address.\n"
PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_WORDS), _WORDS)
)


class Handshakes:
    """`tls` says which listeners are secure, and with what; another mapping is a reload. `failed`, `expired` and
    `plain` count those that broke off, that took too long, and that did not speak TLS.
    """

    def __init__(
        self, reactor: Reactor, new_connection: Callable[[], ConnectionProtocol],
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """`on_failure()` is called when one has ended that did not become a connection."""
        self.tls: Mapping[Address, ServerTLS] = {}
        self.under_way: dict[Handshake | LastWords, None] = {}  # in the order they came
        self.failed = self.expired = self.plain = 0
        self.on_debug: Callable[[str], object] = lambda text: None
        self._reactor = reactor
        self._new_connection = new_connection
        self._on_failure = on_failure

    def begin(self, sock: socket.socket, peer: object, tls: ServerTLS, seconds: float) -> None:
        """Shake hands with who was let in, for up to `seconds`; then it is a connection like any other."""
        self.under_way[Handshake(self._reactor, sock, peer, tls, seconds, self._ended)] = None

    def _ended(self, handshake: Handshake) -> None:
        del self.under_way[handshake]
        if handshake.socket is not None:
            TLSTransport(self._reactor, handshake.socket, handshake.peer, self._new_connection())
            return
        if handshake.spoken[:1].isalpha():
            Transport(self._reactor, handshake.plain, handshake.peer, LastWords(PLAIN_ANSWER, self.under_way))
        elif handshake.spoken:
            handshake.plain.close()
        self._count(handshake)

    def _count(self, handshake: Handshake) -> None:
        self.plain += bool(handshake.spoken)
        self.expired += handshake.has_expired
        self.failed += bool(handshake.failure) and not handshake.has_expired
        reason = handshake.failure or "it does not speak TLS"
        self.on_debug(f"no TLS with {peer_text(handshake.peer)}: {reason}")
        self._on_failure()

    def abort(self, most: int | None = None) -> int:
        """Drop the oldest `most`, or all; how many there were."""
        oldest = list(islice(self.under_way, most))
        for handshake in oldest:
            del self.under_way[handshake]
            handshake.abort()
        return len(oldest)
