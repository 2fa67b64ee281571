"""The servers behind one host, and what all requests to it have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple, Protocol

from reactor import (
    NEVER,
    Deferred,
    HTTPError,
    Plugin,
    Request,
    RequestHead,
    Response,
    ResponseHead,
    Task,
    format_cookie,
)

from .exchange import Exchange
from .fields import Variables, answer_head, canonical, forwarding, framing, write_request
from .options import Options, Part
from .policies import Member, Policy, Sticky
from .upstream import Upstreams

REFUSED: Final = ("CONNECT", "TRACE")  # a tunnel to anywhere; a mirror for cookies that scripts must not see
# A pool of tries beside the share of the requests, so that a few requests can be repeated too.
RESERVE: Final = 256.0


class Timer(Protocol):
    def cancel(self) -> None: ...


class NoTimer:
    """For who waits for nothing."""

    def cancel(self) -> None: ...


class Budget:
    """How many requests may be tried again: a share of all. When every server fails, repeating everything would make
    bad worse.
    """

    def __init__(self, percent: int) -> None:
        self._share = percent / 100
        self._left = RESERVE if percent else 0.0

    def earn(self) -> None:
        """For a request."""
        if self._left < RESERVE:
            self._left += self._share

    def spend(self) -> bool:
        """For a second try; False if there is nothing left for it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Wire(NamedTuple):
    """What was made of a head: kept with it, because clients send the same again and again."""

    group: Group
    peer: str
    secure: bool
    data: bytes


class Group:
    """One host. `handle` is its handler."""

    no_timer: Final[Timer] = NoTimer()

    def __init__(
        self, plugin: Plugin, name: str, part: Part, options: Options, members: Sequence[Member], policy: Policy,
        set_headers: Sequence[tuple[str, Variables]], upstreams: Upstreams, random: Random,
    ) -> None:  # fmt: skip
        """`name` is ours in Via, and in nobody else's."""
        self.reactor = plugin.reactor
        self.part = part
        self.options = options
        self.members = members
        self.budget = Budget(options.retry_budget)
        self.call_later = plugin.reactor.call_later
        self._plugin = plugin
        self._name = name
        self._policy = policy
        self._sticky = policy.cookie if isinstance(policy, Sticky) else ""
        self._set_headers = set_headers
        self._overridden = frozenset(canonical(key) for key, _ in set_headers)
        self._keeps_wires = not any(value.is_of_request for _, value in set_headers)
        self._random = random
        self._upstreams = upstreams
        self._all_well = False
        self._seen = -1  # how many changes of health there had been when we last looked

    # -- requests ----------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        head = request.head
        if head.method in REFUSED:
            raise HTTPError(405, f"{head.method} is not passed on")
        if "via" in head.headers.index and self._name in head.headers.index["via"]:
            raise HTTPError(508, "this request has been here before: this proxy and another one pass it in a circle")
        return Deferred(Exchange(self, request))

    def wants_tunnel(self, head: RequestHead) -> bool:
        """Only WebSockets: an upgrade to anything else, such as h2c, would get around every rule there is here."""
        return bool(head.upgrade) and head.upgrade.lower() == "websocket" and not head.length

    def wire(self, request: Request, upgrade: bool) -> bytes:
        """The bytes of a request's head as they go on."""
        head = request.head
        kept = head.attached
        if (
            isinstance(kept, Wire) and kept.group is self
            and kept.peer == request.peer and kept.secure is request.secure
        ):  # fmt: skip
            return kept.data
        data = self._make_wire(request, upgrade)
        if self._keeps_wires and not head.forwarded:
            head.attached = Wire(self, request.peer, request.secure, data)
        return data

    def _make_wire(self, request: Request, upgrade: bool) -> bytes:
        own = [(name, text) for name, value in self._set_headers if (text := value.fill(request))]
        text = write_request(request, self._name, self._overridden, own)
        return (text + forwarding(request, self._overridden) + framing(request.head, upgrade)).encode("latin-1")

    def dial(self, address: Any, factory: Callable[[], Any], seconds: float) -> Task[Any]:
        """See `Plugin.dial`; beside all generations, as what is dialled is."""
        return self.reactor.spawn(self._plugin.dial(address, factory, seconds=seconds))

    # -- servers -----------------------------------------------------------------------------------------------------

    def choose(self, request: Request, tried: Sequence[Member]) -> Member | None:
        """Who gets it: one that is well and has not had it yet. None if that cannot be."""
        members = self.members
        if len(members) == 1:
            return self._only(members[0])
        if self._seen != self._upstreams.changes:
            self._seen = self._upstreams.changes
            self._all_well = all(member.upstream.health.is_well for member in members)
        if tried or not self._all_well:
            members = self._candidates(tried)
            if not members:
                return self._last_resort(tried)
        return self._policy.choose(request, members) if len(members) > 1 else members[0]

    def _only(self, member: Member) -> Member | None:
        """One that is alone is never put aside, as nobody would get anything then. Its checks count."""
        health = member.upstream.health
        return member if health.is_well or health.back_at != NEVER else None

    def _candidates(self, tried: Sequence[Member]) -> list[Member]:
        shares = [(member, member.upstream.health.share) for member in self.members if member not in tried]
        able = [(member, share) for member, share in shares if share]
        whole = any(share == 1.0 for _, share in able)
        return [member for member, share in able if not whole or share == 1.0 or self._random.random() < share]

    def _last_resort(self, tried: Sequence[Member]) -> Member | None:
        """Nobody is well: the one that has been aside longest, unless checks say that it is down."""
        members = [member for member in self.members if member not in tried] or list(self.members)
        best = min(members, key=lambda member: member.upstream.health.back_at)
        return best if best.upstream.health.back_at != NEVER else None

    # -- answers -----------------------------------------------------------------------------------------------------

    def answer_head(self, request: Request, head: ResponseHead, member: Member | None) -> ResponseHead:
        """The head of an answer as it goes back."""
        if self._sticky and member is not None and request.cookies.get(self._sticky) != member.key:
            return answer_head(head, request.method, self._name, [self._sticky_cookie(request, member)])
        if request.method == "HEAD":
            return answer_head(head, "HEAD", self._name)
        kept = head.attached
        if kept.__class__ is not ResponseHead:
            kept = head.attached = answer_head(head, "", self._name)
        assert isinstance(kept, ResponseHead)
        return kept

    def _sticky_cookie(self, request: Request, member: Member) -> tuple[str, str]:
        value = format_cookie(self._sticky, member.key, http_only=True, same_site="Lax", secure=request.secure)
        return "Set-Cookie", value

    def switch_headers(self, request: Request, head: ResponseHead, member: Member) -> list[tuple[str, str]]:
        """Of the 101 for the client."""
        passed = [pair for pair in answer_head(head, "", self._name).headers if pair[0].lower() not in ("date", "via")]
        if self._sticky and request.cookies.get(self._sticky) != member.key:
            passed.append(self._sticky_cookie(request, member))
        return [("Upgrade", "websocket"), ("Connection", "Upgrade"), *passed]
