"""How long somebody has to wait after wrong logins: plain data, with the time passed in.

Guesses are counted in three places, each forgetting as time passes:

    an account from one network    the delay that stops a guesser: it grows with each failure, a right login ends it
    a network, whatever account    one who tries a few passwords with each of many names
    an account from everywhere     one guesser with many addresses

A delay for the account as a whole would be a lock that anybody can close before its owner. So the last of the three
delays nobody by itself: it makes the first stricter, for networks from which the account has not logged in before.
There the second guess waits already, so the owner who comes from a new place with the right password is let in at once,
and whoever guesses pays for each guess with an address of his own.

A guess is counted when it begins, and taken back if it was right or never made: else a thousand at the same moment
would all be free. Names that nobody has are counted like others, so that a delay does not tell who has an account; it
does to somebody in a network from which that account has logged in, but only while it is besieged.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from reactor import is_loopback, network_of

K = TypeVar("K", bound=Hashable)

# About 250 bytes each. The one that was not touched for the longest falls out: who wants another's out has to fail ten
# thousand times meanwhile, from some three hundred networks.
MAX_COUNTERS: Final = 10_000
# The longest wait: a person goes for a coffee, a guesser gets through 288 passwords a day.
LONGEST: Final = 300.0


class Rule(NamedTuple):
    """`free` failures cost nothing, the next one `first` seconds, and each further one twice as much. One is forgotten
    every `drain` seconds.
    """

    free: int
    first: float
    drain: float

    def delay(self, failures: float) -> float:
        over = math.ceil(failures - self.free)
        return min(LONGEST, self.first * 2.0 ** (over - 1)) if over > 0 else 0.0

    @property
    def most(self) -> float:
        """More failures than this change nothing, and need not be remembered."""
        return self.free + 10


# A browser with a wrong login of its own (Basic) fails with six requests at once.
PAIR: Final = Rule(free=8, first=1.0, drain=300.0)
BESIEGED_PAIR: Final = Rule(free=0, first=30.0, drain=300.0)
# A class of thirty behind one address, who have all mistyped.
NETWORK: Final = Rule(free=30, first=1.0, drain=30.0)
# So many failures with one account, less one a minute, are no person's.
SIEGE: Final = 100.0
SIEGE_DRAIN: Final = 60.0


class Counter:
    """Failures, as of the time `at`, and until when nothing more is tried."""

    __slots__ = ("at", "failures", "until")

    def __init__(self) -> None:
        self.failures = 0.0
        self.at = 0.0
        self.until = 0.0

    def left(self, now: float, drain: float) -> float:
        return max(0.0, self.failures - (now - self.at) / drain)

    def fail(self, now: float, drain: float, most: float) -> float:
        """One more; how many that makes."""
        self.failures = min(most, self.left(now, drain) + 1)
        self.at = now
        return self.failures

    def take_back(self) -> None:
        self.failures = max(0.0, self.failures - 1)
        self.until = 0.0


class Counters(Generic[K]):
    """Key -> Counter, bounded."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counters: dict[K, Counter] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def get(self, key: K) -> Counter | None:
        return self._counters.get(key)

    def touch(self, key: K) -> Counter:
        """The counter of `key`, made if there is none, and now the last to fall out."""
        counter = self._counters.pop(key, None) or Counter()
        self._counters[key] = counter
        if len(self._counters) > self._limit:
            del self._counters[next(iter(self._counters))]
        return counter

    def drop(self, key: K) -> None:
        self._counters.pop(key, None)

    def take_back(self, key: K) -> None:
        counter = self._counters.get(key)
        if counter is not None:
            counter.take_back()


class Attempt(NamedTuple):
    """A login that is under way."""

    name: str
    network: str
    counts_network: bool


class Delays:
    """All that is remembered of wrong logins."""

    def __init__(self, limit: int = MAX_COUNTERS) -> None:
        self._limit = limit
        self._pairs: Counters[tuple[str, str]] = Counters(limit)
        self._networks: Counters[str] = Counters(limit)
        self._accounts: Counters[str] = Counters(limit)
        self._known: dict[tuple[str, str], None] = {}  # from where each account has logged in

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds until a login with this name may be tried from there; 0 for now."""
        network = network_of(address)
        pair, whole = self._pairs.get((name, network)), self._networks.get(network)
        until = max(pair.until if pair else 0.0, whole.until if whole else 0.0)
        return max(0.0, until - now)

    def begin(self, name: str, address: str, now: float) -> Attempt:
        """Somebody tries: a failure, until it is known to be none.

        What comes from this machine is its owner's, or comes through a proxy that nobody has told us to believe
        (`trusted_proxies`): its address is everybody's, and only the account counts.
        """
        network = network_of(address)
        attempt = Attempt(name, network, bool(network) and not is_loopback(network))
        besieged = self._accounts.touch(name).fail(now, SIEGE_DRAIN, 2 * SIEGE) > SIEGE
        self._fail(self._pairs.touch((name, attempt.network)), self._rule(attempt, besieged), now)
        if attempt.counts_network:
            self._fail(self._networks.touch(attempt.network), NETWORK, now)
        return attempt

    def _rule(self, attempt: Attempt, besieged: bool) -> Rule:
        is_new_there = (attempt.name, attempt.network) not in self._known
        return BESIEGED_PAIR if besieged and is_new_there else PAIR

    @staticmethod
    def _fail(counter: Counter, rule: Rule, now: float) -> None:
        counter.until = now + rule.delay(counter.fail(now, rule.drain, rule.most))

    def take_back(self, attempt: Attempt) -> None:
        """It was never made: the server was too busy."""
        self._pairs.take_back((attempt.name, attempt.network))
        self._accounts.take_back(attempt.name)
        if attempt.counts_network:
            self._networks.take_back(attempt.network)

    def succeed(self, attempt: Attempt) -> None:
        """It was right. The network's other failures stay: who has an account may guess at those of others."""
        self.take_back(attempt)
        self.welcome(attempt.name, attempt.network)

    def welcome(self, name: str, address: str) -> None:
        """The owner of the account is there: what was wrong from his network before is forgotten."""
        key = (name, network_of(address))
        self._pairs.drop(key)
        self._known.pop(key, None)
        self._known[key] = None
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
