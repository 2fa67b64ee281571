"""The guards: who is it ("login"), where does the request come from ("same-origin"), and the fence around all of it.

A browser sends cookies, and a Basic login it remembers, with every request to us, whichever site caused it. So a
request that changes something is refused if the browser says that another site caused it: `Sec-Fetch-Site` says so on
https and loopback, `Origin` everywhere. Scripts can forge neither, and what is no browser (curl, a peer) sends none.
For cookies the fence sees to that on every route of the server, whichever plugin it belongs to; Basic is looked at
where it opens the door.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Final

from plugins.auth.pages import Pages
from plugins.auth.service import Accounts, Sessions, State
from plugins.auth.sessions import digest_of
from reactor import Guard, HTTPError, Plugin, Request, Response, is_loopback

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# With the reference scheme nobody can be told from anybody else.
ANYBODY: Final = "anybody"

SET_PASSWORD: Final = "python -m plugins.auth passwd admin"


# -- same origin -----------------------------------------------------------------------------------------------------


def is_foreign(request: Request) -> bool:
    """Whether a browser says that another site made this request. Another port on the same host is another site too:
    cookies do not know ports.
    """
    index = request.headers.index
    if index.get("sec-fetch-site", "none") not in ("same-origin", "none"):  # none: typed in or bookmarked
        return True
    origin = index.get("origin")
    return origin is not None and not _is_own(origin, request)


def _is_own(origin: str, request: Request) -> bool:
    scheme, separator, authority = origin.lower().partition("://")
    port = {"http": ":80", "https": ":443"}.get(scheme)
    if not separator or port is None:  # "null" (a sandboxed frame, a file) is foreign as well
        return False
    if request.secure and scheme != "https":
        return False
    # Without TLS here the scheme may still be https, if a proxy in front of us ends it.
    return bool(authority) and authority.removesuffix(port) == request.head.host.removesuffix(port)


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
    plugin: Plugin, sessions: Sessions, accounts: Accounts, pages: Pages, check_host: HostCheck, *, reference: bool
) -> Guard:
    """The guard "login": sets `request.user`, or answers 401.

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
        if session is not None:
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
        if session is not None:
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
        who = await accounts.verify(*credentials) if credentials else None
        if who is None:
            return pages.refused(request)
        request.user = who.name
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
        if head.method == "GET" and request.client == "127.0.0.1" and not head.forwarded:
            return
        if head.method not in SAFE_METHODS and "cookie" in head.headers.index:
            refuse_foreign(request)
        if (state.demo or reference) and not _is_from_here(request):
            raise HTTPError(403, _why(reference, "it answers its own machine only"))

    return guard


def _is_from_here(request: Request) -> bool:
    return is_loopback(request.client) and (
        not request.head.forwarded or all(map(is_loopback, forwarded_clients(request)))
    )


_forwarded_for = re.compile(r'(?:^|[;,])\s*for\s*=\s*("[^"]*"|[^;,]*)', re.IGNORECASE)


def forwarded_clients(request: Request) -> list[str]:
    """The addresses that the forwarding headers name, without ports, whoever wrote them."""
    headers = request.headers
    named = _forwarded_for.findall(headers.get("forwarded"))
    named += headers.get("x-forwarded-for").split(",")
    named += headers.get("x-real-ip").split(",")
    return [address for text in named if (address := _without_port(text.strip(' \t"')))]


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


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
