"""What a browser or a JSON client is shown: the 401 page with the login form, and the cookies that go with an answer.

The page is `login.html` beside this file, a `string.Template`; whatever is put into it is escaped here and nowhere
else. Where somebody wanted to go goes through the form as its field `next`, and is never believed on the way back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template

from reactor import HTTPError, Request, Response, format_cookie

HTML = "text/html; charset=utf-8"
NO_STORE = ("Cache-Control", "no-store")
# Nothing but our own style and pictures, no script, and in nobody's frame: a form for passwords needs no more.
POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
)
OF_A_PAGE = (NO_STORE, POLICY)

# A path of this site: "//host" and "/\\host" are other sites to a browser, which also drops line breaks and tabs.
_is_our_path = re.compile(r"/(?![/\\])[!-\[\]-~]{0,1000}").fullmatch


def our_path(text: str) -> str:
    """Where somebody may be sent on to: `text`, if it is a path of this site, else ""."""
    return text if _is_our_path(text) else ""


def wants_json(request: Request) -> bool:
    """A program, not a browser: it accepts JSON and says nothing of HTML."""
    accept = request.headers.get("accept")
    return "application/json" in accept and "text/html" not in accept


class Pages:
    """Answers in the words of one configuration: its realm, its cookie, its scheme. Who `lets_in_as_guest` sees the
    guests' form as well, which leads to `guest_page`.
    """

    def __init__(
        self, *, realm: str, cookie: str, reference: bool,
        lets_in_as_guest: Callable[[Request], bool] = lambda request: False, guest_page: str = "/",
    ) -> None:  # fmt: skip
        self.cookie = cookie
        self.guest_page = guest_page
        self.lets_in_as_guest = lets_in_as_guest
        self._auth_path = "/index.html" if reference else "/"
        self._reference = reference
        self._template = _template("login.html")
        self._guests = _template("guest.html")
        self._cookie_challenge = ("WWW-Authenticate", f'Cookie realm="{realm}", form-action="/login"')
        self._basic_challenge = ("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"')

    # -- pages -------------------------------------------------------------------------------------------------------

    def login_form(
        self, title: str, message: str, name: str = "", *, goal: str = "", wrong: bool = False, guests: bool = False,
        guest: str = "",
    ) -> str:  # fmt: skip
        """`wrong` shows the message as what went wrong. The cursor waits in the first field that is empty. Who logs in
        is sent on to `goal`, if it is a path of this site. With `guests` their form is there too, with the name `guest`
        in it.
        """
        # The cookie of the reference scheme is for one path only, and would not be sent along to another.
        goal = "" if self._reference else our_path(goal)
        return self._template.substitute(
            title=escape(title), message=escape(message), tone="wrong" if wrong else "quiet", name=escape(name),
            name_focus="" if name else " autofocus", password_focus=" autofocus" if name else "",
            next=f'\n      <input type="hidden" name="next" value="{escape(goal)}">' if goal else "",
            guests=self._guests.substitute(next=escape(self.guest_page), guest=escape(guest)) if guests else "",
        )  # fmt: skip

    def refused(self, request: Request) -> Response:
        """401 for a path that wants a login, with the form that leads back to it."""
        challenges = self._challenges("authorization" in request.headers.index)
        if wants_json(request):
            return self._json_error("log in first, at /login", challenges)
        guests = self.lets_in_as_guest(request)
        message = "This page is for people with an account."
        page = self.login_form("Please log in", message, goal=_wanted(request), guests=guests)
        return Response.html(page, 401, [*challenges, *OF_A_PAGE])

    def wrong(self, request: Request, name: str, goal: str, json: bool) -> Response:
        """401 for a login that failed. The same words for a wrong name and a wrong password."""
        message = "That name and password do not belong together."
        challenges = self._challenges("authorization" in request.headers.index)
        if json:
            return self._json_error(message, challenges)
        guests = self.lets_in_as_guest(request)
        page = self.login_form("Login failed", message, name[:64], goal=goal, wrong=True, guests=guests)
        return Response.html(page, 401, [*challenges, *OF_A_PAGE])

    def wait(self, request: Request, error: HTTPError, name: str, goal: str) -> Response:
        """The form again for who has been wrong too often."""
        guests = self.lets_in_as_guest(request)
        page = self.login_form("Not yet", _sentence(error), name[:64], goal=goal, wrong=True, guests=guests)
        return Response.html(page, error.status, [*error.headers, *OF_A_PAGE])

    def no_guest(self, error: HTTPError, name: str) -> Response:
        """The form again for a guest who cannot come in under that name, or not now."""
        page = self.login_form("Not yet", _sentence(error), wrong=True, guests=True, guest=name[:64])
        return Response.html(page, error.status, [*error.headers, *OF_A_PAGE])

    def _challenges(self, basic: bool) -> list[tuple[str, str]]:
        # Basic only to who sent Authorization: a browser that sees it opens its own dialog instead of the page.
        return [self._cookie_challenge, self._basic_challenge] if basic else [self._cookie_challenge]

    @staticmethod
    def _json_error(message: str, challenges: list[tuple[str, str]]) -> Response:
        body = {"status": "error", "error": {"code": "unauthorized", "message": message}}
        return Response.json(body, 401, [*challenges, NO_STORE])

    # -- cookies -----------------------------------------------------------------------------------------------------

    def login_cookies(self, token: str | None, secure: bool) -> list[tuple[str, str]]:
        """`auth=true` because clients look for it, and the session, which is what counts."""
        cookies = [format_cookie("auth", "true", path=self._auth_path)]
        if token is not None:
            cookies.append(format_cookie(self.cookie, token, http_only=True, same_site="Lax", secure=secure))
        return [("Set-Cookie", cookie) for cookie in cookies]

    def logout_cookies(self, secure: bool) -> list[tuple[str, str]]:
        gone = format_cookie(self.cookie, "", max_age=0, http_only=True, same_site="Lax", secure=secure)
        return [("Set-Cookie", format_cookie("auth", "", path=self._auth_path, max_age=0)), ("Set-Cookie", gone)]


def _wanted(request: Request) -> str:
    """The page that somebody wanted to see; "" for the first one, which answers each login anyway."""
    head = request.head
    if head.method not in ("GET", "HEAD") or head.path == "/":
        return ""
    return f"{head.path}?{head.query}" if head.query else head.path


def _sentence(error: HTTPError) -> str:
    return error.message[:1].upper() + error.message[1:] + "."


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(name).read_text("utf-8"))


class IndexPage:
    """The page a login is answered with: a file, read at the start and again when it has changed."""

    CHECK_SECONDS = 1.0

    def __init__(self, path: Path) -> None:
        """OSError if it cannot be read."""
        self.path = path
        self.body = path.read_bytes()
        self._stamp = self._look()
        self._checked = float("-inf")

    def current(self, now: float) -> bytes:
        """The file's content, at most a second old. The last one that could be read, if it cannot be now."""
        if now - self._checked >= self.CHECK_SECONDS:
            self._checked = now
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self.body, self._stamp = self.path.read_bytes(), stamp
            except OSError:
                pass
        return self.body

    def _look(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size
