"""The tracker over HTTP: decode, ask the tracker, encode.

Failures carry their real status and a body that the original's clients can read, whatever they accept. Only joining
and configuring a channel can wait (for a password to be hashed), so only they are `async`; the list, which is asked
for most, is an object that is there already.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from reactor import HTTPError, Request, Response, is_foreign

from .lists import FRESH, JSON, Lists
from .messages import (
    AddList,
    Caller,
    ConnectPeer,
    Failed,
    Failure,
    GetList,
    Leave,
    Left,
    Located,
    SetChannel,
    SubmitInfo,
    decode,
    encode,
)
from .names import check_channel
from .refused import Refused
from .tracker import Tracker

# The largest sensible payload: 32 channels of 64 four-byte characters, escaped.
MAX_BODY: Final = 64 * 1024

_submit_info = msgspec.json.Decoder(SubmitInfo)
_get_list = msgspec.json.Decoder(GetList)
_add_list = msgspec.json.Decoder(AddList)
_set_channel = msgspec.json.Decoder(SetChannel)
_leave = msgspec.json.Decoder(Leave)
_connect_peer = msgspec.json.Decoder(ConnectPeer)


def failure(error: HTTPError) -> Response:
    if isinstance(error, Refused):
        what = Failure(error.code, error.message, error.path)
    else:
        what = Failure("invalid", error.message)
    return success(Failed("error", what), error.status, error.headers)


def success(answer: msgspec.Struct, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(encode(answer), status, (*FRESH, *headers), content_type=JSON)


def answering(handler: Callable[[Endpoints, Request], Response]) -> Callable[[Endpoints, Request], Response]:
    @functools.wraps(handler)
    def answer(self: Endpoints, request: Request) -> Response:
        try:
            return handler(self, request)
        except HTTPError as error:
            return failure(error)

    return answer


Waiting = Callable[["Endpoints", Request], Awaitable[Response]]


def answering_later(handler: Waiting) -> Waiting:
    @functools.wraps(handler)
    async def answer(self: Endpoints, request: Request) -> Response:
        try:
            return await handler(self, request)
        except HTTPError as error:
            return failure(error)

    return answer


def caller(request: Request) -> Caller:
    return Caller(request.client, request.forwarded or is_foreign(request))


class Endpoints:
    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._lists = Lists(tracker.registry)

    @answering
    def submit_info(self, request: Request) -> Response:
        asked = decode(_submit_info, request.body)
        peer_id, path = asked.name()
        registered = self._tracker.register(
            asked.port, caller=caller(request), peer_id=peer_id, id_path=path, ip=asked.ip, username=asked.username,
            channels=asked.channels, lease=asked.lease, original=asked.v is None,
        )  # fmt: skip
        return success(registered)

    def get_list(self, request: Request) -> Response:
        if not request.head.query:
            return self._lists.everybody()
        return self._get_channel(request)

    @answering
    def _get_channel(self, request: Request) -> Response:
        return self._list_of(request.query.get("channel"))

    @answering
    def post_list(self, request: Request) -> Response:
        if not request.body.strip():
            return self._lists.everybody()
        return self._list_of(decode(_get_list, request.body).channel)

    def _list_of(self, channel: str | None) -> Response:
        return self._lists.channel(check_channel(channel, "$.channel")) if channel else self._lists.everybody()

    @answering_later
    async def add_list(self, request: Request) -> Response:
        asked = decode(_add_list, await request.read(MAX_BODY))
        who = asked.credentials(caller(request))
        return success(
            await self._tracker.join(who, asked.channel, password=asked.password, invite=asked.invite)
        )  # fmt: skip

    @answering_later
    async def channel(self, request: Request) -> Response:
        asked = decode(_set_channel, await request.read(MAX_BODY))
        who = asked.credentials(caller(request))
        return success(await self._tracker.configure(who, asked.channel, asked.change()))

    @answering
    def leave(self, request: Request) -> Response:
        asked = decode(_leave, request.body)
        peer = self._tracker.leave(asked.credentials(caller(request)), asked.channel)
        channels = () if asked.channel is None else peer.entry.channels
        return success(Left("success", peer.peer_id, channels, self._tracker.total))

    @answering
    def connect_peer(self, request: Request) -> Response:
        entry = self._tracker.find(*decode(_connect_peer, request.body).target())
        return success(Located("success", entry.peer_id, entry.username, entry.ip, entry.port))
