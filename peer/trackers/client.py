"""Asking one tracker: a path and fields in, an answer or a reason in words out.

Whatever can go wrong between us ends here, as a TrackerError that names the tracker, or as its own refusal. A tracker
that wants a login gets it when it says so, and its session cookie with every request from then on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

from peer.trackers.answers import Nonsense, Refused, Taken, TrackerError, decode, decode_list, decode_refusal
from reactor.core.address import Address, is_loopback
from reactor.errors import ReactorError, RemoteProtocolError
from reactor.http.client import Client, ClientResponse, split_url

T = TypeVar("T")

SECONDS: Final = 10.0  # for a whole answer
MAX_BODY: Final = 4 * 1024 * 1024  # four times a list of 10,000 peers
MAX_COOKIES: Final = 16

# RFC 6265 4.1.1, as far as it may go back in a header of ours.
_cookie = re.compile(r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}=[!-+\--:<-~]{0,4096})\s*(?:;|\Z)").match


class TrackerClient:
    """`name` is how the tracker is called in lines and among the leases: HOST:PORT, and a path if it has one."""

    def __init__(
        self, client: Client, where: Address | str, say: Callable[[str], object], *, user: str = "", password: str = ""
    ) -> None:
        """`where` may be a URL. ValueError if that is none which can be asked."""
        self.base = f"http://{where}" if isinstance(where, Address) else where.rstrip("/")
        self.name = self.base.removeprefix("http://")
        self.is_local = is_loopback(split_url(self.base)[0].host)
        self._client = client
        self._say = say
        self._user = user
        self._password = password
        self._cookies = ""
        self._warned = False

    async def post(self, path: str, kind: type[T], **fields: Any) -> T:
        """A `field` that is None is not sent. TrackerError."""
        body = await self._ask("POST", path, json={name: value for name, value in fields.items() if value is not None})
        try:
            return decode(kind, body)
        except Nonsense as error:
            raise self.nonsense(str(error)) from None

    async def list(self, channel: str = "") -> Taken:
        """Everybody, or the members of a channel. TrackerError."""
        body = await self._ask("GET", f"/get-list?channel={quote(channel, safe='')}" if channel else "/get-list")
        try:
            return decode_list(body)
        except Nonsense as error:
            raise self.nonsense(str(error)) from None

    def nonsense(self, why: str) -> TrackerError:
        return TrackerError(f"Tracker {self.name} answers nonsense: {why}")

    # -- HTTP --------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str, **content: Any) -> bytes:
        """The body of a 200."""
        cookies = self._cookies
        answer = await self._request(method, path, cookies, **content)
        if answer.status == 401:
            if self._cookies == cookies:  # else somebody has logged in while we were asking
                await self._log_in()
            answer = await self._request(method, path, self._cookies, **content)
        return self._checked(answer).body

    async def _request(self, method: str, path: str, cookies: str = "", **content: Any) -> ClientResponse:
        headers = [("Accept", "application/json")]
        if cookies:
            headers.append(("Cookie", cookies))
        try:
            return await self._client.request(
                method, self.base + path, headers=headers, timeout=SECONDS, limit=MAX_BODY, **content
            )
        except RemoteProtocolError as error:
            raise self.nonsense(str(error)) from None
        except TimeoutError:
            why = f"no answer within {SECONDS:g} s: a firewall, the wrong network, or a machine that is off"
        except ReactorError as error:
            why = str(error)
        raise TrackerError(f"Tracker {self.name} cannot be reached: {why}")

    def _checked(self, answer: ClientResponse) -> ClientResponse:
        """What is no 200 is raised."""
        if answer.status == 401:
            raise self._locked_out()
        if answer.status != 200:
            try:
                raise decode_refusal(answer.status, answer.body)
            except Nonsense as error:
                raise self.nonsense(str(error)) from None
        return answer

    # -- login -------------------------------------------------------------------------------------------------------

    async def _log_in(self) -> None:
        if not self._user:
            raise self._locked_out()
        if not (self.is_local or self._warned):
            self._warned = True
            self._say(f"[Peer] Warning: the password for tracker {self.name} goes over the network unencrypted")
        # Without cookies: a login ends the session that comes with it, and somebody may be asking with that.
        answer = await self._request("POST", "/login", form={"username": self._user, "password": self._password})
        found = map(_cookie, self._checked(answer).headers.all("set-cookie")[:MAX_COOKIES])
        # Their paths are not looked at: all that we ask for there is the tracker.
        self._cookies = "; ".join(cookie[1] for cookie in found if cookie)

    def _locked_out(self) -> Refused:
        if self._user:
            return Refused(f"user or password is wrong for the login as {self._user}", 401, "unauthorized")
        return Refused("a login is needed: start with --user NAME", 401, "unauthorized")
