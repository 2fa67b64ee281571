"""Connections of proxies that say first whom a connection is for (`[server] proxy_protocol`), until they have said it.

    accept -> Preface + ProxyHeader -> the client's own address -> TLS, HTTP: as if the client had come directly

Who is in the named networks has to say it, and nobody else can: to them it would be a malformed request. So nobody
chooses an address for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from reactor.core.loop import Reactor
from reactor.core.preface import Preface
from reactor.sansio.proxy_header import ProxyHeader

if TYPE_CHECKING:
    import socket

Admit = Callable[["socket.socket", object], object]


class Prefaces:
    """`under_way` are those that count as connections; `on_failure(peer, reason)` hears of those that said nothing, or
    something else.
    """

    def __init__(self, reactor: Reactor, on_failure: Callable[[object, str], object]) -> None:
        self.under_way: dict[Preface[ProxyHeader], Admit] = {}  # in the order they came
        self._reactor = reactor
        self._on_failure = on_failure

    def begin(self, sock: socket.socket, peer: object, admit: Admit, seconds: float) -> None:
        """Read the header for up to `seconds`; then `admit(sock, peer)`, with the address of the client."""
        self.under_way[Preface(self._reactor, sock, peer, ProxyHeader(), seconds, self._ended)] = admit

    def _ended(self, preface: Preface[ProxyHeader]) -> None:
        admit = self.under_way.pop(preface)
        if preface.failure:
            self._on_failure(preface.peer, preface.failure)
            return
        client = preface.reader.client
        admit(preface.sock, preface.peer if client is None else tuple(client))

    def abort(self, most: int | None = None) -> int:
        """Drop the oldest `most`, or all; how many there were."""
        oldest = list(islice(self.under_way, most))
        for preface in oldest:
            del self.under_way[preface]
            preface.abort()
        return len(oldest)
