"""The threads: one accepts, and each connection has one to itself for as long as it lives.

Which is all there is to this architecture: the code of a connection is a loop that reads, answers and writes, and the
system decides who runs. What it costs is measured next door.
"""

from __future__ import annotations

import socket
import threading
from itertools import count

from bench.reference.site import COUNTED, MAX_BODY, TEXT, Site, failed
from bench.reference.wire import Answer, Head, Wire, WireError

# A thread's stack is only reserved, not used; but 8 MiB each, the default, would reserve 80 GB for 10,000.
STACK = 256 * 1024
BUSY = failed(503, "service_unavailable", "no thread is left").encode(close=True)


class Server:
    """`close`: one request a connection, as the original system has it. `idle` bounds silence, in seconds."""

    def __init__(self, site: Site, *, close: bool = False, idle: float = 15.0) -> None:
        self._site = site
        self._close = close
        self._idle = idle
        self._numbers = count()  # `next` is one step for the interpreter, so it needs no lock

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        threading.stack_size(STACK)
        while True:
            try:
                sock, peer = listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return
            try:
                threading.Thread(target=self._connection, args=(sock, peer[0]), daemon=True).start()
            except RuntimeError:  # the system gives no more threads
                sock.send(BUSY)
                sock.close()

    def _connection(self, sock: socket.socket, client: str) -> None:
        with sock:
            try:
                self._talk(Wire(sock, self._idle), client)
            except OSError:
                pass  # the client has left; nobody is waiting for an answer

    def _talk(self, wire: Wire, client: str) -> None:
        close = False
        while not close:
            try:
                head = wire.next_head()
                if head is None:
                    return
                answer = self._answer(wire, head, client)
                close = self._close or not head.keep_alive
            except WireError as error:
                answer, close = failed(error.status, "bad_request", str(error)), True
            wire.send(answer.encode(close))

    def _answer(self, wire: Wire, head: Head, client: str) -> Answer:
        number = next(self._numbers)
        body = b""
        if head.length:
            body = self._body(wire, head)
        if head.path == "/count":
            return Answer(200, b"%d" % number, TEXT)
        return self._site.answer(head, body, client)

    @staticmethod
    def _body(wire: Wire, head: Head) -> bytes:
        if head.fields.get("expect", "").lower() == "100-continue":
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.path in COUNTED:
            wire.skip(head.length)
            return b""
        if head.length > MAX_BODY:
            raise WireError(413, "the body is too large")
        return wire.body(head.length)
