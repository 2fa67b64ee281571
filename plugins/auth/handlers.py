"""`/login`, `/guest`, `/logout`, `/whoami` and `/sessions`."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from plugins.auth.accounts import Accounts, TooManyWrong
from plugins.auth.browsers import browser_name
from plugins.auth.guards import GuestGate, HostCheck, refuse_foreign
from plugins.auth.guests import MAX_GUEST_NAME, Guest, Room, is_guest, name_of, new_guest
from plugins.auth.pages import HTML, NO_STORE, POLICY, IndexPage, Pages, our_path, wants_json
from plugins.auth.service import Sessions
from plugins.auth.sessions import digest_of, session_id
from plugins.auth.store import SessionLine, Where
from plugins.auth.watches import Verified
from reactor import HTTPError, Plugin, Request, Response

T = TypeVar("T")


class Credentials(msgspec.Struct):
    """What a login says about itself. Whatever else is in the body is not looked at: who somebody is follows from the
    session alone, never from a body.
    """

    username: str = ""
    password: str = ""
    next: str = ""  # of a form: where to go


class JSONCredentials(msgspec.Struct):
    username: str
    password: str


class JSONGuest(msgspec.Struct):
    name: str


def is_json(request: Request) -> bool:
    """By its type, or (some clients call JSON text/plain) by its first character where no form is announced."""
    kind = request.headers.get("content-type").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return True
    return kind in ("", "text/plain") and request.body.lstrip().startswith(b"{")


def read_credentials(request: Request, json: bool) -> Credentials:
    """HTTPError 400 for JSON that is not what it should be. A form without its fields is just a wrong login."""
    if not json:
        form = request.form()
        return Credentials(form.get("username", ""), form.get("password", ""), our_path(form.get("next", "")))
    sent = read_json(request, JSONCredentials, '{"username": "…", "password": "…"}')
    return Credentials(sent.username, sent.password)


def read_json(request: Request, kind: type[T], example: str) -> T:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HTTPError(400, f"send {example}: {error}") from None


class Login:
    """`POST /login`, by form or JSON: both cookies and the index page, or where a form says `next`; or the 401 page."""

    def __init__(
        self, plugin: Plugin, accounts: Accounts, sessions: Sessions | None, pages: Pages, index: IndexPage,
        check_host: HostCheck,
    ) -> None:  # fmt: skip
        """Without `sessions` it is the reference scheme: `auth=true` is all there is."""
        self._plugin = plugin
        self._accounts = accounts
        self._sessions = sessions
        self._pages = pages
        self._index = index
        self._check_host = check_host

    async def __call__(self, request: Request) -> Response:
        refuse_foreign(request)  # or another site could log its visitors in under a name of its choice
        self._check_host(request)
        await request.read()
        json = is_json(request)
        sent = read_credentials(request, json)
        json = json or wants_json(request)
        try:
            who = await self._accounts.verify(sent.username, sent.password, request.client)
        except TooManyWrong as error:
            if json:
                raise
            return self._pages.wait(request, error, sent.username, sent.next)
        cookies = await self._let_in(who, request) if who else None
        if who is None or cookies is None:
            return self._pages.wrong(request, sent.username, sent.next, json)
        headers = [*cookies, NO_STORE]
        if json:
            return Response.json({"status": "success", "username": who.name}, 200, headers)
        if sent.next:
            return Response("", 303, [*headers, ("Location", sent.next)])
        return Response(self._index.current(self._plugin.monotonic()), 200, headers, content_type=HTML)

    async def _let_in(self, who: Verified, request: Request) -> list[tuple[str, str]] | None:
        if self._sessions is None:
            return self._pages.login_cookies(None, request.secure)
        token = await self._sessions.start(who, request.cookies.get(self._pages.cookie), where_from(request))
        return None if token is None else self._pages.login_cookies(token, request.secure)


class GuestLogin:
    """`POST /guest`, by form or JSON: both cookies for who has no account, and where to go."""

    def __init__(self, sessions: Sessions, pages: Pages, check_host: HostCheck, gate: GuestGate, room: Room) -> None:
        self._sessions = sessions
        self._pages = pages
        self._check_host = check_host
        self._gate = gate
        self._room = room

    async def __call__(self, request: Request) -> Response:
        refuse_foreign(request)
        self._check_host(request)
        refusal = self._gate(request)
        if refusal is not None:
            raise HTTPError(403, refusal)
        await request.read()
        json = is_json(request)
        form = {} if json else request.form()
        name = read_json(request, JSONGuest, '{"name": "…"}').name if json else form.get("name", "")
        try:
            guest, token = await self._let_in(name, request)
        except HTTPError as error:
            if json or wants_json(request):
                raise
            return self._pages.no_guest(error, name)
        headers = [*self._pages.login_cookies(token, request.secure), NO_STORE]
        if json or wants_json(request):
            return Response.json({"status": "success", **describe(guest.user)}, 200, headers)
        goal = our_path(form.get("next", ""))
        if goal:
            return Response("", 303, [*headers, ("Location", goal)])
        return Response(f"You are here as {guest.name}, a guest.\n", 200, headers)

    async def _let_in(self, name: str, request: Request) -> tuple[Guest, str]:
        """HTTPError 400, 409, 429 or 503, in words for the guest."""
        guest = new_guest(name)
        if guest is None:
            words = f"a name has 1 to {MAX_GUEST_NAME} characters that can be seen, and no (guest) at its end"
            raise HTTPError(400, words)
        cookie = request.cookies.get(self._pages.cookie)
        answer, token = await self._sessions.start_guest(guest, self._room, cookie, request.client)
        if answer == "taken":
            raise HTTPError(409, "somebody has this name already; take another one")
        if answer == "full":
            raise HTTPError(503, "there is no room for more guests just now", [("Retry-After", "60")])
        if answer == "crowded":
            words = f"{self._room.of_network} guests are here from your address already, which is the limit"
            raise HTTPError(429, words, [("Retry-After", "60")])
        return guest, token


class Logout:
    """`POST /logout`: the session ends in all processes, both cookies are taken back. Without a login it is a no-op."""

    def __init__(self, sessions: Sessions, pages: Pages) -> None:
        self._sessions = sessions
        self._pages = pages

    async def __call__(self, request: Request) -> Response:
        digest = digest_of(request.cookies.get(self._pages.cookie))
        if digest is not None and await self._sessions.find(digest) is not None:
            await self._sessions.end(digest)
        headers = [*self._pages.logout_cookies(request.secure), NO_STORE]
        if wants_json(request):
            return Response.json({"status": "success"}, 200, headers)
        guests = self._pages.lets_in_as_guest(request)
        page = self._pages.login_form("Logged out", "You are logged out.", guests=guests)
        return Response.html(page, 200, [*headers, POLICY])


def who_am_i(request: Request) -> Response:
    """`GET /whoami`, behind the guard "person"."""
    assert request.user is not None
    return Response.json({"status": "success", **describe(request.user)}, headers=[NO_STORE])


def describe(user: str) -> dict[str, Any]:
    """`username` is who it is, `name` what to call them: the same for accounts."""
    return {"username": user, "name": name_of(user), "guest": is_guest(user)}


def where_from(request: Request) -> Where:
    """What its owner is to know a session by."""
    return Where(request.client, browser_name(request.headers.get("user-agent")))


# -- one's own sessions ------------------------------------------------------------------------------------------------


class Revocation(msgspec.Struct):
    """Which sessions are to end: one, all, or all but the one that asks."""

    id: str = ""
    all: bool = False
    others: bool = False


class OwnSessions:
    """`GET /sessions`, behind the guard "login": the sessions of who asks."""

    def __init__(self, sessions: Sessions, pages: Pages) -> None:
        self._sessions = sessions
        self._pages = pages

    async def __call__(self, request: Request) -> Response:
        assert request.user is not None
        own = self.own(request)
        lines = await self._sessions.of(request.user)
        return Response.json(
            {"status": "success", "sessions": [describe_session(line, line.digest == own) for line in lines]},
            headers=[NO_STORE],
        )

    def own(self, request: Request) -> bytes | None:
        """The session that this request came with; none with Basic."""
        return digest_of(request.cookies.get(self._pages.cookie))


class Revoke(OwnSessions):
    """`POST /sessions/revoke`, by form or JSON: `id`, or `all`, or `others`."""

    async def __call__(self, request: Request) -> Response:
        await request.read()
        assert request.user is not None
        asked = read_revocation(request)
        own = self.own(request)
        lines = await self._sessions.of(request.user)
        if asked.id:
            chosen = [line.digest for line in lines if session_id(line.digest) == asked.id.lower()]
            if not chosen:
                raise HTTPError(404, "you have no such session (any more)")
        else:
            chosen = [line.digest for line in lines if asked.all or line.digest != own]
        count = await self._sessions.revoke(request.user, chosen)
        return Response.json({"status": "success", "revoked": count}, headers=[NO_STORE])


def read_revocation(request: Request) -> Revocation:
    """HTTPError 400 unless it asks for exactly one of the three."""
    example = '{"id": "…"}, {"others": true} or {"all": true}'
    if is_json(request):
        asked = read_json(request, Revocation, example)
    else:
        form = request.form()
        asked = Revocation(form.get("id", ""), form.get("all") == "true", form.get("others") == "true")
    if bool(asked.id) + asked.all + asked.others != 1:
        raise HTTPError(400, f"send {example}")
    return asked


def describe_session(line: SessionLine, current: bool) -> dict[str, Any]:
    return {
        "id": session_id(line.digest), "since": round(line.created), "last_used": round(line.last_used),
        "address": line.address, "browser": line.browser, "current": current,
    }  # fmt: skip
