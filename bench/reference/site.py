"""Which request gets which answer. Handlers are plain functions that may block: each has a thread to itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from bench.answers import OK
from bench.reference.accounts import COOKIE, Accounts, Sessions
from bench.reference.peers import NotYoursError, Peers
from bench.reference.wire import Answer, Head, WireError

ROOT: Final = Path(__file__).resolve().parents[2]
MAX_BODY: Final = 64 * 1024
TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
FRESH: Final = ("Cache-Control", "no-store")
CHALLENGE: Final = ("WWW-Authenticate", 'Cookie realm="reactor", form-action="/login"')

# The paths whose body is only counted, however large it is.
COUNTED: Final = frozenset({"/body"})

_encode: Any = msgspec.json.Encoder().encode
Handler = Callable[[Head, bytes, str], Answer]


def failed(status: int, code: str, message: str, *fields: tuple[str, str]) -> Answer:
    body = {"status": "error", "error": {"code": code, "message": message}}
    return Answer(status, _encode(body), JSON, (FRESH, *fields))


class Site:
    """`answer` is called by many threads at once."""

    def __init__(self, accounts: Accounts, peers: Peers, pages: Path = ROOT) -> None:
        self._accounts = accounts
        self._sessions = Sessions()
        self._peers = peers
        self._form = Template((pages / "plugins/auth/login.html").read_text("utf-8"))
        self._index = (pages / "www/index.html").read_bytes()
        self._page = Answer(200, self._index, HTML)
        self._ok = Answer(200, OK, TEXT)
        self._refused = self._form_page(401, "Please log in", "This page is for people with an account.")
        self._login_form = self._form_page(200, "Log in", "Welcome back.")
        self._list = Answer(200, b"", JSON)
        self._table: dict[str, dict[str, Handler]] = {
            "/": {"GET": self.index},
            "/index.html": {"GET": self.index},
            "/login": {"GET": lambda head, body, client: self._login_form, "POST": self.login},
            "/get-list": {"GET": self.get_list, "POST": self.post_list},
            "/submit-info": {"PUT": self.submit_info, "POST": self.submit_info},
            "/submit_info": {"PUT": self.submit_info, "POST": self.submit_info},
            "/ok": {"GET": lambda head, body, client: self._ok},
            "/body": {"POST": lambda head, body, client: Answer(200, b"%d" % head.length, TEXT)},
        }

    def answer(self, head: Head, body: bytes, client: str) -> Answer:
        table = self._table.get(head.path)
        if table is None:
            return self._unknown(head)
        handler = table.get(head.method)
        if handler is None:
            allow = ", ".join(sorted(table))
            return failed(405, "method_not_allowed", f"{head.method} is not for this address", ("Allow", allow))
        return handler(head, body, client)

    def _unknown(self, head: Head) -> Answer:
        """Behind the login, as the folder of files is in our default config."""
        if not self._sessions.is_open(head.fields.get("cookie", "")):
            return self._refused
        return failed(404, "not_found", "there is nothing at this address")

    # -- login -------------------------------------------------------------------------------------------------------

    def index(self, head: Head, body: bytes, client: str) -> Answer:
        return self._page if self._sessions.is_open(head.fields.get("cookie", "")) else self._refused

    def login(self, head: Head, body: bytes, client: str) -> Answer:
        name, password = credentials(head, body)
        if not self._accounts.verify(name, password):
            return self._form_page(401, "Login failed", "That name and password do not belong together.", name)
        session = f"{COOKIE}={self._sessions.start()}; Path=/; HttpOnly; SameSite=Lax"
        cookies = (("Set-Cookie", "auth=true; Path=/"), ("Set-Cookie", session))
        if _is_json(head):
            return Answer(200, _encode({"status": "success", "username": name}), JSON, (*cookies, FRESH))
        return Answer(200, self._index, HTML, (*cookies, FRESH))

    def _form_page(self, status: int, title: str, message: str, name: str = "") -> Answer:
        page = self._form.substitute(
            title=title, message=message, tone="wrong" if name else "quiet", name=_escape(name), guests="", next="",
            name_focus="" if name else " autofocus", password_focus=" autofocus" if name else "",
        )  # fmt: skip
        return Answer(status, page.encode(), HTML, (CHALLENGE, FRESH) if status == 401 else (FRESH,))

    # -- the tracker -------------------------------------------------------------------------------------------------

    def submit_info(self, head: Head, body: bytes, client: str) -> Answer:
        try:
            return Answer(200, self._peers.submit(body, client), JSON, (FRESH,))
        except NotYoursError:
            return failed(403, "not_yours", "its lease is needed")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return failed(400, "invalid", str(error))

    def get_list(self, head: Head, body: bytes, client: str) -> Answer:
        channel = parse_qs(head.query).get("channel", [""])[0] if head.query else ""
        return self._listing(channel)

    def post_list(self, head: Head, body: bytes, client: str) -> Answer:
        if not body.strip():
            return self._listing("")
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return failed(400, "invalid", str(error))
        return self._listing(str(asked.get("channel") or ""))

    def _listing(self, channel: str) -> Answer:
        body = self._peers.listing(channel)
        if body is self._list.body:
            return self._list
        answer = Answer(200, body, JSON, (FRESH,))
        if not channel:
            self._list = answer
        return answer


def credentials(head: Head, body: bytes) -> tuple[str, str]:
    """Name and password of a form or a JSON object. WireError 400 for JSON that is none."""
    if _is_json(head):
        try:
            sent = msgspec.json.decode(body, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise WireError(400, "the body is not what a login sends") from None
    else:
        sent = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    return sent.get("username", ""), sent.get("password", "")


def _is_json(head: Head) -> bool:
    return head.fields.get("content-type", "").partition(";")[0].strip() == "application/json"


def _escape(text: str) -> str:
    return text[:64].replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
