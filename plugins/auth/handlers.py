"""`/login`, `/logout` and `/whoami`."""

from __future__ import annotations

import msgspec

from plugins.auth.guards import HostCheck, refuse_foreign
from plugins.auth.pages import HTML, NO_STORE, IndexPage, Pages, wants_json
from plugins.auth.service import Accounts, Sessions, Verified
from plugins.auth.sessions import digest_of
from reactor import HTTPError, Plugin, Request, Response


class Credentials(msgspec.Struct):
    """What a login says about itself. Whatever else is in the body is not looked at: who somebody is follows from the
    session alone, never from a body.
    """

    username: str = ""
    password: str = ""


class JSONCredentials(msgspec.Struct):
    username: str
    password: str


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
        return Credentials(form.get("username", ""), form.get("password", ""))
    try:
        sent = msgspec.json.decode(request.body, type=JSONCredentials)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HTTPError(400, f'send {{"username": "…", "password": "…"}}: {error}') from None
    return Credentials(sent.username, sent.password)


class Login:
    """`POST /login`, by form or JSON: both cookies and the index page, or the 401 page."""

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
        who = await self._accounts.verify(sent.username, sent.password)
        cookies = await self._let_in(who, request) if who else None
        if who is None or cookies is None:
            return self._pages.wrong(request, sent.username, json)
        headers = [*cookies, NO_STORE]
        if json:
            return Response.json({"status": "success", "username": who.name}, 200, headers)
        return Response(self._index.current(self._plugin.monotonic()), 200, headers, content_type=HTML)

    async def _let_in(self, who: Verified, request: Request) -> list[tuple[str, str]] | None:
        if self._sessions is None:
            return self._pages.login_cookies(None, request.secure)
        token = await self._sessions.start(who, request.cookies.get(self._pages.cookie))
        return None if token is None else self._pages.login_cookies(token, request.secure)


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
        return Response.html(self._pages.login_form("Logged out", "You are logged out."), 200, headers)


def who_am_i(request: Request) -> Response:
    """`GET /whoami`, behind the guard "login"."""
    return Response.json({"status": "success", "username": request.user}, headers=[NO_STORE])
