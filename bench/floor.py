"""The floor: the least that a selectors loop in Python can do for a request.

It receives, and sends a constant. It parses nothing, limits nothing and times nothing; a real server is measured by
how close it comes. `python -m bench.floor PORT LENGTH` answers with LENGTH bytes, head and body together; with
`--close` it closes after each answer, with `--batch N` it sends N answers at a time, for clients that ask for N at a
time.
"""

from __future__ import annotations

import argparse
import selectors
import socket

# It sends once and never looks whether all has gone, so a larger answer needs a buffer that holds it.
SMALL = 16 * 1024


def answer(length: int, *, close: bool = False) -> bytes:
    """A valid response of exactly `length` bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    head += b"Connection: close\r\nContent-Length: %06d\r\n\r\n" if close else b"Content-Length: %06d\r\n\r\n"
    size = length - len(head % 0)
    if size < 0:
        raise SystemExit(f"a response is at least {len(head % 0)} bytes long")
    return head % size + b"x" * size


def serve(port: int, response: bytes, close: bool) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)

    def accept() -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(response) > SMALL:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(response))
        selector.register(connection, selectors.EVENT_READ, lambda: receive(connection))

    def receive(connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if data:
            connection.send(response)
        if close or not data:
            selector.unregister(connection)
            connection.close()

    selector.register(listener, selectors.EVENT_READ, accept)
    print(f"Listening on http://127.0.0.1:{port}/", flush=True)
    while True:
        for key, _ in selector.select():
            key.data()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("length", type=int)
    parser.add_argument("--close", action="store_true")
    parser.add_argument("--batch", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    one = answer(arguments.length, close=arguments.close)
    serve(arguments.port, one * arguments.batch, arguments.close)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
