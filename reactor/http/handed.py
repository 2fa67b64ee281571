"""Connections of the HTTP listeners that are not HTTP: a plugin has claimed their first byte.

    first byte -> site.claims -> factory(address) -> the plugin's protocol, which has the connection from then on

The server has nothing to say in such a connection. It counts it, because it takes a place that a client could have,
and closes it at the end; so the plugin's protocol is told everything but its first and last event directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from reactor.core.address import Address
from reactor.core.transport import ConnectionProtocol, Transport
from reactor.sansio.headers import TOKEN

if TYPE_CHECKING:
    from reactor.http.server import HTTPServer

ProtocolFactory = Callable[[Address], ConnectionProtocol | None]
Claims = Mapping[int, ProtocolFactory]

NO_CLAIMS: Final[Claims] = {}
_begins_request = re.compile(rf"{TOKEN}|[\r\n]".encode()).fullmatch


def can_begin_http(byte: bytes) -> bool:
    """Whether a request may begin with it: with its method, or with the empty line that is forgiven (RFC 9112 2.2)."""
    return _begins_request(byte) is not None


class HandedOver:
    """A connection whose protocol is a plugin's."""

    __slots__ = ("_protocol", "_server", "data_received", "eof_received", "pause_writing", "resume_writing",
                 "transport")  # fmt: skip

    def __init__(self, server: HTTPServer, protocol: ConnectionProtocol) -> None:
        self._server = server
        self._protocol = protocol
        self.transport: Transport
        self.data_received = protocol.data_received
        self.eof_received = protocol.eof_received
        self.pause_writing = protocol.pause_writing
        self.resume_writing = protocol.resume_writing

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self._server.handed[self] = None
        self._protocol.connection_made(transport)

    def connection_lost(self, error: OSError | None) -> None:
        self._server.left(self)
        self._protocol.connection_lost(error)
