"""A server that begins an answer and never ends it: what an open stream costs who stands before it.

    python -m bench.proxies.streams PORT
"""

from __future__ import annotations

import sys

from reactor.core.address import Address
from reactor.core.listener import Listener, bind
from reactor.core.loop import Reactor
from reactor.core.transport import Transport

BEGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n"


class Stream:
    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            self._head = b""
            self.transport.write(BEGIN)

    def eof_received(self) -> None:
        self.transport.close()

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, error: OSError | None) -> None: ...


def main() -> None:
    reactor = Reactor()
    listener = Listener(
        reactor, bind(Address("127.0.0.1", int(sys.argv[1]))),
        lambda sock, peer: Transport(reactor, sock, peer, Stream()),
    )  # fmt: skip
    listener.start(4096)
    reactor.run()


if __name__ == "__main__":
    main()
