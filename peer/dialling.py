"""Dialling: whom, when, and how many at once.

What should be linked and is not is dialled until it is, or until nobody wants it any more: 1, 2, 5, 15, 30, 30, …
seconds apart, with jitter, so that those who lost each other do not come back in step. A few dials run at once and
the others wait for their turn, or joining a large channel would be a stampede. Who has only said itself where it is
comes last: there may be any number of those.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from peer.contact import Contact
from peer.link import Link
from reactor.core.address import Address
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Future, Task
from reactor.core.timers import Timer
from reactor.errors import DialError

STEPS: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
JITTER: Final = 0.2
AT_ONCE: Final = 8

# Connects, and returns the link on its transport; DialError in words.
Connect = Callable[[Address, Callable[[], Link]], Awaitable[Link]]


class Attempt:
    """The dialling of one contact; `outcome` is that of the first dial: the open link, or why there is none."""

    __slots__ = ("address", "contact", "failures", "outcome", "task", "timer")

    def __init__(self, contact: Contact, address: Address, outcome: Future[Link]) -> None:
        self.contact = contact
        self.address = address
        self.outcome = outcome
        self.failures = 0
        self.task: Task[None] | None = None
        self.timer: Timer | None = None


class Dialling:
    def __init__(
        self,
        reactor: Reactor,
        connect: Connect,
        make_link: Callable[[Contact], Link],
        is_wanted: Callable[[Contact], bool],
        chance: random.Random,
        tell: Callable[[Contact], object],
    ) -> None:
        """`is_wanted` is asked before each further dial; `tell` is called when one begins or has failed."""
        self._reactor = reactor
        self._connect = connect
        self._make_link = make_link
        self._is_wanted = is_wanted
        self._chance = chance
        self._tell = tell
        self._attempts: dict[str, Attempt] = {}
        self._queue: deque[Attempt] = deque()
        self._last: deque[Attempt] = deque()  # these come when nobody else waits
        self._running = 0

    def dial(self, contact: Contact, delay: float = 0.0) -> Future[Link]:
        """Dial until it works or is not wanted any more; the outcome of the first dial from now on. Who is being
        dialled already, and waits for the next try, is dialled now.
        """
        address = contact.address
        known = self._attempts.get(contact.peer_id)
        if known is not None and known.address == address and (known.task is not None or not known.outcome.done):
            return known.outcome
        failures = int(delay > 0) if known is None or known.address != address else known.failures
        self.stop(contact)
        outcome: Future[Link] = self._reactor.future()
        if address is None:
            self._fail(outcome, DialError("its address is not known: ask the tracker with `list`"))
            return outcome
        attempt = self._attempts[contact.peer_id] = Attempt(contact, address, outcome)
        attempt.failures = failures
        self._later(attempt, delay)
        self._tell(contact)
        return outcome

    def is_dialling(self, contact: Contact) -> bool:
        return contact.peer_id in self._attempts

    def stop(self, contact: Contact, link: Link | None = None) -> None:
        """It is linked, by `link`, or nobody wants it any more. A dial that is under way when the other end's comes in
        goes on: both ends would drop theirs, and no link would be left. Rivals settle it.
        """
        attempt = self._attempts.pop(contact.peer_id, None)
        if attempt is None:
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.task is not None and link is None:
            attempt.task.cancel()
        if link is not None:
            attempt.outcome.set_result(link)
        else:
            self._fail(attempt.outcome, DialError("it is not wanted any more"))

    @staticmethod
    def _fail(outcome: Future[Link], error: DialError) -> None:
        outcome.set_error(error)
        _ = outcome.error  # nobody needs to wait for it

    def close(self) -> None:
        for attempt in list(self._attempts.values()):
            self.stop(attempt.contact)

    # -- one after the other -----------------------------------------------------------------------------------------

    def _later(self, attempt: Attempt, delay: float) -> None:
        if delay:
            delay *= self._chance.uniform(1 - JITTER, 1 + JITTER)
            attempt.timer = self._reactor.call_later(delay, self._enqueue, attempt)
        else:
            self._enqueue(attempt)

    def _enqueue(self, attempt: Attempt) -> None:
        attempt.timer = None
        (self._queue if attempt.contact.is_vouched_for else self._last).append(attempt)
        self._start_some()

    def _start_some(self) -> None:
        while (queue := self._queue or self._last) and self._running < AT_ONCE:
            attempt = queue.popleft()
            if self._attempts.get(attempt.contact.peer_id) is attempt:
                self._running += 1
                attempt.task = self._reactor.spawn(self._run(attempt))
                attempt.task.on_done(partial(self._over, attempt))

    async def _run(self, attempt: Attempt) -> None:
        try:
            link = await self._connect(attempt.address, lambda: self._make_link(attempt.contact))
            try:
                await link.ready
            except Cancelled:
                link.close("duplicate")
                raise
        except DialError as error:
            self._failed(attempt, error)

    def _over(self, attempt: Attempt, task: Future[None]) -> None:
        self._running -= 1
        attempt.task = None
        if task.error is not None and not isinstance(task.error, Cancelled):  # a mistake of ours, and a failed dial
            self._reactor.unhandled(task.error, f"while dialling {attempt.contact.peer_id}")
            self._failed(attempt, DialError("something went wrong on our side; it has been logged"))
        self._start_some()

    def _failed(self, attempt: Attempt, error: DialError) -> None:
        contact = attempt.contact
        contact.why = str(error)
        self._fail(attempt.outcome, error)
        if self._attempts.get(contact.peer_id) is not attempt:
            return
        if not self._is_wanted(contact):
            del self._attempts[contact.peer_id]
            self._tell(contact)
            return
        delay = STEPS[min(attempt.failures, len(STEPS) - 1)]
        attempt.failures += 1
        attempt.address = contact.address or attempt.address
        self._later(attempt, delay)
        self._tell(contact)
