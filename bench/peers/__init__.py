"""What a peer costs: its mesh, its broadcasts and its links, measured on real sockets on loopback.

    python -m bench.peers [--quick]

    nodes.py     nodes as `python -m peer` has them, and one of them that broadcasts and times it
    threads.py   the same of the thread-per-link peer
    bare.py      the least that a loop can do for a delivery
    sinks.py     the far ends of a sender: they acknowledge, and do nothing else
    part.py      one part of the measurement, as a process of its own
    measure.py   the parts put together, round by round
    results.py   what is stored; report.py writes it into docs/benchmarks.md
"""
