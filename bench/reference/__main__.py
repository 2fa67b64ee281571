"""`python -m bench.reference PORT`: the thread-per-connection server, on loopback."""

from __future__ import annotations

import argparse
import socket

from bench.reference.accounts import Accounts
from bench.reference.peers import Peers
from bench.reference.server import Server
from bench.reference.site import Site


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reference", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--close", action="store_true", help="one request a connection, as the original system")
    parser.add_argument("--accounts", type=int, default=0, help="user0, user1, … beside admin, with its password")
    parser.add_argument("--idle", type=float, default=15.0, help="seconds that a connection may be silent")
    parser.add_argument("--ttl", type=float, default=90.0, help="seconds that a registration lives")
    arguments = parser.parse_args()
    names = ["admin", *(f"user{number}" for number in range(arguments.accounts))]
    site = Site(Accounts(names, "password"), Peers(arguments.ttl))
    with socket.create_server(("127.0.0.1", arguments.port), backlog=4096) as listener:
        print(f"Listening on http://127.0.0.1:{arguments.port}/", flush=True)
        Server(site, close=arguments.close, idle=arguments.idle).serve(listener)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
