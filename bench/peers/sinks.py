"""The far ends of a sender that is measured: peers by their handshake, which acknowledge what comes and do no more.

They must cost less than what they measure, so they look for the number of the last message in what a `recv` brought,
and decode nothing else. On standard input they are told the port to dial and how many there are to be; a line says when
the last of them is linked.
"""

from __future__ import annotations

import secrets
import select
import socket
import sys
from typing import Final

from peer.messages import VERSION, Handshake, Ping, Pong, decode, encode

RECEIVE: Final = 64 * 1024  # as the transport does, and for its reason
NUMBERED: Final = b'{"seq":'


class Sink:
    """One of them, linked when it has been made."""

    def __init__(self, port: int, name: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(encode(_handshake(name)))
        self._rest = b""
        while b"\n" not in self._rest:
            self._rest += self._receive()
        self._rest = self._rest.partition(b"\n")[2]
        self.sock.settimeout(None)

    def _receive(self) -> bytes:
        data = self.sock.recv(RECEIVE)
        if not data:
            raise ConnectionError("the sender has closed a link")
        return data

    def ready(self) -> None:
        data = self._rest + self._receive()
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        at = data.rfind(NUMBERED, 0, end)
        if at >= 0:
            number = data[at + len(NUMBERED) : data.index(b",", at)]
            self.sock.sendall(b'{"type":"ack","upto":%b}\n' % number)
        else:
            self._take_others(data[:end])

    def _take_others(self, data: bytes) -> None:
        for line in data.splitlines():
            message = decode(line)
            if isinstance(message, Ping):
                self.sock.sendall(encode(Pong(n=message.n)))


def _handshake(name: str) -> Handshake:
    return Handshake(
        peer_id=name, v=VERSION, username=name, instance=secrets.token_hex(16), epoch=secrets.token_hex(8),
        nonce=secrets.token_hex(16),
    )  # fmt: skip


def main() -> None:
    epoll = select.epoll()
    sinks: dict[int, Sink] = {}
    epoll.register(0, select.EPOLLIN)
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor:
                sinks[descriptor].ready()
                continue
            words = sys.stdin.readline().split()
            if not words:
                return
            port, number = map(int, words)
            while len(sinks) < number:
                sink = Sink(port, f"sink-{len(sinks)}")
                sinks[sink.sock.fileno()] = sink
                epoll.register(sink.sock.fileno(), select.EPOLLIN)
            print(len(sinks), flush=True)


if __name__ == "__main__":
    main()
