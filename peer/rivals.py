"""Two links to one peer: which of them stays.

Anybody can claim an id, and everybody who has linked with a peer knows all that it says of itself. So a newcomer is
held: nothing that it says counts, and the link in use stays as long as it shows that it lives. Only one that is dead is
replaced (a crash, another network, a peer that was started anew).

There is one case in which both live and one has to go: a race, in which both ends have dialled each other and neither
link was used yet. Both must come to the same answer without a word, so the end with the larger id decides, and keeps
the link that it dialled itself. The other end is told by the end of one of the two; it asks the older after a while.
"""

from __future__ import annotations

from collections.abc import Callable

from peer.link import Link
from reactor.core.loop import Reactor

# How long a link may take to show that it lives, and how long the end that does not decide waits for the other.
ANSWER = 3.0
DECISION = 10.0


class Rivals:
    """Settles it for one newcomer: `use(link)` makes it the link in use, and listens to it."""

    def __init__(
        self, reactor: Reactor, own_id: str, in_use: Callable[[str], Link | None], use: Callable[[Link], object]
    ) -> None:
        """`in_use(peer_id)` is the link that is in use now."""
        self._reactor = reactor
        self._own_id = own_id
        self._in_use = in_use
        self._use = use

    def settle(self, newcomer: Link, old: Link) -> None:
        """`old` is in use."""
        newcomer.hold()
        if not _is_race(newcomer, old):
            self._ask(newcomer, old)
        elif not self._decides(newcomer):
            self._reactor.call_later(DECISION, self._undecided, newcomer, old)
        elif newcomer.handshake is not None:
            self._replace(newcomer, old)
        else:
            newcomer.close("duplicate")

    def _decides(self, link: Link) -> bool:
        return self._own_id > link.peer_id

    def _ask(self, newcomer: Link, old: Link) -> None:
        old.probe(ANSWER, lambda alive: self._answered(newcomer, old, alive))

    def _answered(self, newcomer: Link, old: Link, alive: bool) -> None:
        if not self._is_between(newcomer, old):
            return
        if not alive:
            self._replace(newcomer, old)
        elif _is_same(newcomer, old) and not self._decides(newcomer):
            # If it is the same peer, the other end has both links too, and may have found ours dead just now.
            self._reactor.call_later(DECISION, self._let_go, newcomer, old)
        else:
            self._let_go(newcomer, old)

    def _undecided(self, newcomer: Link, old: Link) -> None:
        if self._is_between(newcomer, old):
            old.probe(ANSWER, lambda alive: self._let_go(newcomer, old) if alive else self._replace(newcomer, old))

    def _is_between(self, newcomer: Link, old: Link) -> bool:
        """Whether it still is. If another one is in use now, it is between the newcomer and that one."""
        in_use = self._in_use(newcomer.peer_id)
        if not newcomer.is_open or in_use is newcomer:
            return False
        if in_use is old:
            return True
        if in_use is None or not in_use.is_open:
            self._use(newcomer)
        else:
            self.settle(newcomer, in_use)
        return False

    def _let_go(self, newcomer: Link, old: Link) -> None:
        if self._is_between(newcomer, old):
            newcomer.close("duplicate" if _is_same(newcomer, old) else "in_use")

    def _replace(self, newcomer: Link, old: Link) -> None:
        if self._is_between(newcomer, old):
            self._use(newcomer)
            old.close("duplicate")


def _is_same(newcomer: Link, old: Link) -> bool:
    """Whether both lead to the same program, as far as one can say."""
    return old.hello.instance == newcomer.hello.instance


def _is_race(newcomer: Link, old: Link) -> bool:
    return newcomer.role is not old.role and not old.is_used and _is_same(newcomer, old)
