"""The floor: the least that a selectors loop in Python can do for a request.

It receives, and sends a constant. It parses nothing, limits nothing and times nothing; a real server is measured by
how close it comes. `python -m bench.floor PORT LENGTH` answers with LENGTH bytes, head and body together.
"""

from __future__ import annotations

import selectors
import socket
import sys


def answer(length: int) -> bytes:
    """A valid response of exactly `length` bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %06d\r\n\r\n"
    size = length - len(head % 0)
    if size < 0:
        raise SystemExit(f"a response is at least {len(head % 0)} bytes long")
    return head % size + b"x" * size


def serve(port: int, length: int) -> None:
    response = answer(length)
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)

    def accept() -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, lambda: receive(connection))

    def receive(connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if data:
            connection.send(response)
        else:
            selector.unregister(connection)
            connection.close()

    selector.register(listener, selectors.EVENT_READ, accept)
    print(f"Listening on http://127.0.0.1:{port}/", flush=True)
    while True:
        for key, _ in selector.select():
            key.data()


if __name__ == "__main__":
    try:
        serve(int(sys.argv[1]), int(sys.argv[2]))
    except KeyboardInterrupt:
        pass
