"""The chat peer: people on one network talk directly, over TCP, on the same reactor as the server.

`python -m peer 9101` is the program; `peer.node.Node` is the peer itself, without a terminal, a disk or a network of
its own. docs/peer-protocol.md has the wire.
"""
