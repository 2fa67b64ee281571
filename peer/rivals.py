"""Two links to one peer: which of them stays.

Both ends must come to the same answer without a word, and an answer that depends on who is quicker leaves both links or
none. So one end decides, the one with the larger id, and the other goes along: it sends on the newest until it is told,
and helps itself only when nothing was decided for a while. Only if the links lead to two different programs (the peer
was started anew, or somebody takes its name) nobody there sees both: then we decide, whoever we are.

* Both fresh and dialled by both ends: a race. The decider keeps the one it dialled itself.
* Both fresh and dialled by the same end: that end has given the older one up. The newer stays.
* The older is in use, or leads to another program: it is asked whether it lives. If it answers it stays, or anybody who
  claims the name could take the place of somebody who is there; if not, the other end has lost it (a crash, another
  network) and the newer takes over. Until then nothing that another program says is listened to.
"""

from __future__ import annotations

from collections.abc import Callable

from peer.link import Link
from reactor.core.loop import Reactor

# How long an older link may take to show that it lives, and how long the other end waits for a decision.
ANSWER = 3.0
DECISION = 10.0


class Rivals:
    """Settles it for one newcomer among the open links to a peer; `use(link)` says which one to send on meanwhile."""

    def __init__(self, reactor: Reactor, own_id: str, use: Callable[[Link], object]) -> None:
        self._reactor = reactor
        self._own_id = own_id
        self._use = use

    def settle(self, newcomer: Link, others: list[Link]) -> None:
        """`others` are open, the oldest first. All but one of the links are closed, now or in a while."""
        *older, old = others
        is_same = old.hello.instance == newcomer.hello.instance
        if is_same and self._own_id < newcomer.peer_id:
            self._take(newcomer)
            self._reactor.call_later(DECISION, self._help_ourselves, newcomer, others)
        elif old.is_used or not is_same:
            if not is_same:
                newcomer.hold()
            old.probe(ANSWER, lambda alive: self._probed(alive, newcomer, old, older))
        elif old.role is newcomer.role or newcomer.handshake is not None:
            self._replace(newcomer, old, older)
        else:
            newcomer.close("duplicate")

    def _probed(self, alive: bool, newcomer: Link, old: Link, older: list[Link]) -> None:
        if not newcomer.is_open:
            return
        if alive and old.is_open:
            newcomer.close("duplicate" if old.hello.instance == newcomer.hello.instance else "in_use")
        else:
            self._replace(newcomer, old, older)

    def _replace(self, newcomer: Link, old: Link, older: list[Link]) -> None:
        """If `old` was itself a newcomer that had not won yet, its rival is the next one's."""
        old.close("duplicate")
        if left := [one for one in older if one.is_open]:
            self.settle(newcomer, left)
        else:
            self._take(newcomer)

    def _take(self, newcomer: Link) -> None:
        self._use(newcomer)
        newcomer.release()

    def _help_ourselves(self, newcomer: Link, others: list[Link]) -> None:
        if newcomer.is_open:
            for old in others:
                old.close("duplicate")
