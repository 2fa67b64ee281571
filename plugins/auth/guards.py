"""The guards: who is it ("login", "person"), where does the request come from ("same-origin"), and the fence around it.

A browser sends cookies, and a Basic login it remembers, with every request to us, whichever site caused it. So a
request that changes something is refused if the browser says that another site caused it (`is_foreign`). For cookies
the fence sees to that on every route of the server, whichever plugin it belongs to; Basic is looked at where it opens
the door.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from plugins.auth.accounts import Accounts
from plugins.auth.guests import From, is_address, let_in_from
from plugins.auth.pages import Pages
from plugins.auth.service import ANYBODY, Sessions, State
from plugins.auth.sessions import digest_of
from reactor import Guard, HTTPError, Plugin, Request, Response, is_foreign, is_loopback

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

SET_PASSWORD: Final = "python -m plugins.auth passwd admin"


# -- same origin -----------------------------------------------------------------------------------------------------


def same_origin(request: Request) -> None:
    """The guard "same-origin": 403 for a request that changes something, with a login in it, from another site."""
    if request.method not in SAFE_METHODS and is_foreign(request):
        index = request.headers.index
        if "cookie" in index or "authorization" in index:
            refuse_foreign(request)


def refuse_foreign(request: Request) -> None:
    """Raises HTTPError 403 for a request from another site, with a login or without (for logging in itself)."""
    if is_foreign(request):
        raise HTTPError(403, "this request comes from another site, and only our own pages may make it")


# -- login -----------------------------------------------------------------------------------------------------------


def parse_basic(authorization: str) -> tuple[str, str] | None:
    """Name and password of `Basic <base64>` (RFC 7617, UTF-8); None for whatever else it is."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(encoded.strip(" "), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):  # ValueError: not ASCII, or not UTF-8 inside
        return None
    return (name, password) if colon else None


def login_guard(
    plugin: Plugin, sessions: Sessions, accounts: Accounts, pages: Pages, check_host: HostCheck, *,
    reference: bool, guests: bool = False,
) -> Guard:  # fmt: skip
    """The guard "login", and with `guests` the guard "person": sets `request.user`, or answers 401.

    It runs for every request to a protected path, so the common case, a session that is in memory, is one function
    that waits for nothing and calls little; it is written as a closure because locals are the fastest names there are.
    """
    known = sessions.table.known
    note_use = sessions.table.note_use
    idle, absolute = sessions.life
    save_every = sessions.life.save_every
    cookie = pages.cookie
    monotonic = plugin.monotonic

    def guard(request: Request) -> Response | Awaitable[Response | None] | None:
        digest = digest_of(request.head.cookies.get(cookie))
        if digest is None:
            return without_session(request)
        session = known.get(digest)
        if session is not None and (guests or not session.is_guest):
            now = monotonic()
            if now - session.last_used < idle and now - session.created < absolute:
                session.last_used = now
                if now - session.saved >= save_every:
                    note_use(digest, session)
                request.user = session.name
                return None
        return look_up(request, digest)

    async def look_up(request: Request, digest: bytes) -> Response | None:
        session = await sessions.find(digest)
        if session is not None and (guests or not session.is_guest):
            sessions.use(digest, session, monotonic())
            request.user = session.name
            return None
        answer = without_session(request)
        return await answer if isinstance(answer, Awaitable) else answer

    def without_session(request: Request) -> Response | Awaitable[Response | None] | None:
        if reference and request.cookies.get("auth") == "true":
            check_host(request)
            request.user = ANYBODY
            return None
        authorization = request.headers.index.get("authorization")
        if authorization is None:
            return pages.refused(request)
        return check_basic(request, authorization)

    async def check_basic(request: Request, authorization: str) -> Response | None:
        same_origin(request)
        check_host(request)
        credentials = parse_basic(authorization)
        who = await accounts.verify(*credentials, request.client) if credentials else None
        if who is None:
            return pages.refused(request)
        request.user = who.name
        sessions.note_basic(request, who)
        return None

    return guard


# -- the fence -------------------------------------------------------------------------------------------------------


def fence(state: State, reference: bool) -> Guard:
    """Every request of the server meets it. Nothing is changed with a cookie of ours from another site; and while
    anybody can log in, nobody from elsewhere comes in: not directly, and not through a proxy on this machine.

    One function for both, and the common case in front: a call costs as much as all that is asked there.
    """

    def guard(request: Request) -> None:
        head = request.head
        if head.method == "GET" and request.client == "127.0.0.1" and not request.forwarded:
            return
        if head.method not in SAFE_METHODS and "cookie" in head.headers.index:
            refuse_foreign(request)
        if (state.demo or reference) and not _is_from_here(request):
            raise HTTPError(403, _why(reference, "it answers its own machine only"))

    return guard


def _is_from_here(request: Request) -> bool:
    return _all_fit(request, is_loopback)


def _all_fit(request: Request, fits: Callable[[str], bool]) -> bool:
    """Whether the client fits, and all whom a proxy that nobody has declared trusted says it has it from."""
    return fits(request.client) and (not request.forwarded or all(map(fits, request.claimed_clients)))


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


# -- guests ----------------------------------------------------------------------------------------------------------

# Why somebody cannot come in as a guest, in words for them; None if they can.
GuestGate = Callable[[Request], str | None]

# Names that no stranger can own (RFC 6761, RFC 6762, RFC 8375), and those that routers and people use like them.
_PRIVATE_NAMES: Final = (".localhost", ".local", ".lan", ".home", ".home.arpa", ".internal", ".test")


def guest_gate(where: From, hosts: Sequence[str]) -> GuestGate:
    """Who may come in by name alone: by address, also of those that forwarding headers name, and by `Host`.

    The host matters because of DNS rebinding: a page on the internet could point its own name at us, come in as a guest
    from its visitor's browser, and read what is said here. An address, or a name that only a private network knows,
    is no such page's. `hosts` are further names of this server.
    """
    fits = let_in_from(where)
    own = {host.lower() for host in hosts}
    places = {"loopback": "this machine", "lan": "the network of this machine"}

    def gate(request: Request) -> str | None:
        if fits is None:
            return "guests are not let in here: log in with an account"
        if not _all_fit(request, fits):
            return f"guests are let in from {places[where]} only"
        host = _without_port(request.head.host)
        if not _is_private_name(host) and host not in own:
            return f"guests are not let in under the name {host!r}, unless the owner adds it to guest_hosts"
        return None

    return gate


def _is_private_name(host: str) -> bool:
    return not host or ":" in host or "." not in host or host.endswith(_PRIVATE_NAMES) or is_address(host)


# -- the host --------------------------------------------------------------------------------------------------------

HostCheck = Callable[[Request], None]


def host_check(state: State, reference: bool) -> HostCheck:
    """Where a password that everybody knows is about to open the door. HTTPError 403, while there is one, for a Host
    that is no name of this machine.

    A site can point its own name at 127.0.0.1 (DNS rebinding). Its page is then our origin to the browser, and its
    client on loopback; only the name is still the site's.
    """

    def check(request: Request) -> None:
        if (state.demo or reference) and not _names_this_machine(request.head.host):
            raise HTTPError(403, _why(reference, "it takes logins only under a name of its own machine: localhost"))

    return check


def _names_this_machine(authority: str) -> bool:
    """Also where there is none: HTTP/1.0 has no Host, and every browser sends one."""
    host = _without_port(authority)
    return not host or host.endswith(".localhost") or is_loopback(host)  # RFC 6761 6.3


def _why(reference: bool, so: str) -> str:
    if reference:
        return (
            f"This server runs the reference login scheme, which anybody can forge, so {so}. "
            "Its owner can set scheme = session under [plugin:auth]."
        )
    return f"This server still has its demo login, so {so}. Its owner can set a password with: {SET_PASSWORD}"
