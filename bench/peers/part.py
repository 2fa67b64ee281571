"""One part of the measurement, as a process of its own. Each prints JSON, a line for each answer.

    python -m bench.peers.part mesh NODES
        A full mesh, once.
    python -m bench.peers.part together LINKS SECONDS ROUNDS
        A sender and its receivers on one reactor, and a bare loop in turn.
    python -m bench.peers.part node|threads
        A sender: prints its port, then does what it is told on standard input: `links N`, to wait for them;
        `full SECONDS WINDOW`; `paced NUMBER RATE BEGIN`, and then a byte for each broadcast when it is due, the first
        at BEGIN by the monotonic clock.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bench.peers.bare import Bare
from bench.peers.nodes import A_NUMBER, CHANNEL, House, Speaker, until
from bench.peers.results import Figures
from bench.peers.threads import ThreadSpeaker
from peer.delivery.audience import Deaf
from peer.messages import Ack, encode
from reactor.core.garbage import collect_seldom
from reactor.core.loop import Reactor
from reactor.core.selector import READ
from reactor.core.task import Future

STEADY = 0.5  # seconds a mesh must stay as it is before it counts


def say(answer: Any) -> None:
    print(msgspec.json.encode(answer).decode(), flush=True)


def resident() -> int:
    """Bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def times(number: int, rate: float, begin: float) -> list[float]:
    """When each of so many broadcasts is due."""
    return [begin + one / rate for one in range(number)]


# -- a full mesh -----------------------------------------------------------------------------------------------------


def mesh(nodes: int) -> None:
    """Seconds of the clock and of the processor, from when all hear of all until each pair has exactly one link."""
    reactor = Reactor()
    houses = [House(reactor, f"peer-{number:03}", Deaf()) for number in range(nodes)]
    for house in houses:
        house.node.join(CHANNEL)
    clock, cpu = time.perf_counter(), time.process_time()
    listed = [house.listed for house in houses]
    for house in houses:
        house.node.listed(listed)
    came: dict[str, float] = {}

    def stays() -> bool:
        if not all(is_meshed(house, nodes) for house in houses):
            came.clear()
        elif not came:
            came["seconds"], came["cpu"] = time.perf_counter() - clock, time.process_time() - cpu
        return bool(came) and time.perf_counter() - clock > came["seconds"] + STEADY

    until(reactor, stays)
    say(came)


def is_meshed(house: House, nodes: int) -> bool:
    """Whether it has one link with each other, and none that is not open."""
    links = house.node.links
    return len(links) == nodes - 1 == len({link.peer_id for link in links if link.is_open})


# -- all in one process ----------------------------------------------------------------------------------------------


def together(links: int, seconds: float, rounds: int) -> None:
    reactor = Reactor()
    speaker = Speaker(reactor)
    speaker.house = House(reactor, "speaker", speaker)
    for number in range(links):
        house = House(reactor, f"hearer-{number:03}", Deaf())
        house.node.connect("speaker", speaker.house.listener.address)
    speaker.wait_for(lambda: speaker.links == links)
    speaker.full(seconds / 4, 1)
    bare = Bare(links, speaker.frame, encode(Ack(upto=A_NUMBER)))
    say({"frame": len(speaker.frame)})
    for _ in range(rounds):
        say({"node": speaker.full(seconds, 1), "bare": bare.full(seconds)})
    bare.close()


# -- a sender --------------------------------------------------------------------------------------------------------


class Sender(Protocol):
    @property
    def links(self) -> int: ...
    def full(self, seconds: float, window: int) -> Figures: ...
    def paced(self, dues: Sequence[float]) -> Figures: ...
    def wait_for(self, predicate: Callable[[], bool]) -> object: ...


def node() -> None:
    reactor = Reactor()
    speaker = Speaker(reactor)
    speaker.house = House(reactor, "speaker", speaker)
    serve(speaker, speaker.house.listener.address.port, lambda: line_by(reactor))


def line_by(reactor: Reactor) -> str:
    """The next line of standard input; the reactor turns until it comes."""
    came: Future[str] = reactor.future()
    reactor.register(0, READ, lambda _: came.set_result(read_line()))
    try:
        return reactor.run_until(came)
    finally:
        reactor.unregister(0)


def read_line() -> str:
    """Not a byte more: what follows is not for us."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode()


def threads() -> None:
    speaker = ThreadSpeaker()
    speaker.listen()
    serve(speaker, speaker.port, read_line)


def serve(sender: Sender, port: int, line: Callable[[], str]) -> None:
    say({"port": port})
    while words := line().split():
        match words:
            case ["links", number]:
                sender.wait_for(lambda number=int(number): sender.links == number)  # type: ignore[misc]
                say({"resident": resident()})
            case ["full", seconds, window]:
                say(sender.full(float(seconds), int(window)))
            case ["paced", number, rate, begin]:
                say(sender.paced(times(int(number), float(rate), float(begin))))


def main() -> None:
    collect_seldom()  # as the peer's program does
    match sys.argv[1:]:
        case ["mesh", nodes]:
            mesh(int(nodes))
        case ["together", links, seconds, rounds]:
            together(int(links), float(seconds), int(rounds))
        case ["node"]:
            node()
        case ["threads"]:
            threads()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
