"""The other architecture, as its best self: one thread for each connection, blocking sockets, no selector.

It is what the system that this project remakes was built like, written anew and without its defects: whole requests
however TCP cuts them, sessions that nobody can forge, peers that expire. It answers `/`, `/login`, `/get-list` and
`/submit-info` as our plugins do, so that a comparison is one of architectures and not of answers.

    python -m bench.reference 8001 [--close] [--accounts N]

    wire.py      a blocking socket -> requests, answers -> bytes
    accounts.py  passwords and sessions, behind a lock
    peers.py     who is registered, behind a lock
    site.py      which request gets which answer
    server.py    the threads

And the chat peer in the same manner, for `python -m bench.peers`:

    link.py      a blocking socket -> messages, messages -> bytes
    peer.py      a thread for each link
"""
