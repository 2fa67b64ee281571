"""What an idle kept connection costs in resident memory.

    python -m bench.idle [--connections 10000]

Opens them, sends one request on each and reads its answer, and asks the operating system what the server grew by. The
kernel's own buffers are not in that figure, nor in the promise.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time

from bench.process import reactor

REQUEST = b"GET /get-list HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def connect(port: int, number: int) -> socket.socket:
    """A connection with one answer behind it. Source addresses vary, as one has fewer ports than we want."""
    sock = socket.socket()
    sock.bind((f"127.0.{1 + number // 5_000}.1", 0))
    sock.connect(("127.0.0.1", port))
    sock.sendall(REQUEST)
    if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
        raise SystemExit("the server did not answer 200")
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    count = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        sys.exit(f"{count} connections need a limit of open files above {hard} (ulimit -Hn)")
    with reactor(keep_alive="600") as server:
        warm = [connect(server.port, number) for number in range(100)]
        before = server.resident()
        idle = [connect(server.port, number) for number in range(count)]
        time.sleep(0.5)
        grown = server.resident() - before
        print(f"{len(idle):,} idle connections: {grown / len(idle):.0f} bytes of resident memory each")
        for sock in warm + idle:
            sock.close()


if __name__ == "__main__":
    main()
