"""What the HTTP interface is asked, what it answers, and why it refuses, as types.

Bodies are JSON whatever their Content-Type says. Types are strict, unknown fields are ignored, and null counts as
absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec

from peer.delivery.letters import Letter
from peer.messages import MAX_TEXT, Name
from peer.storage.store import Entry
from peer.trackers.answers import Listed, Port, parse_ip
from reactor import HTTPError, Response

T = TypeVar("T")

MAX_WAIT: Final = 30
MAX_ENTRIES: Final = 1000

Text = Annotated[str, msgspec.Meta(min_length=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)]


# -- refusals --------------------------------------------------------------------------------------------------------

STATUS: Final = {
    "invalid": 400,
    "no_token": 401,
    "foreign_host": 403,
    "foreign_origin": 403,
    "unknown_peer": 404,
    "not_connected": 404,
    "not_a_member": 404,
    "ambiguous": 409,
    "too_long": 413,
    "failed": 500,
    "unreachable": 502,
    "not_kept": 503,
    "timed_out": 504,
}


class Refused(HTTPError):
    """`code` is a key of STATUS; `path` says which field is meant, as in `$.port`."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        challenge = [("WWW-Authenticate", "Bearer")] if code == "no_token" else []
        super().__init__(STATUS[code], f"{path}: {message}" if path else message, challenge)
        self.code = code
        self.path = path

    def response(self) -> Response:
        failure = Failure(code=self.code, message=self.message, path=self.path)
        return respond(Failed(error=failure), self.status, self.headers)


# -- requests --------------------------------------------------------------------------------------------------------


class _Named(msgspec.Struct, kw_only=True):
    """Names a peer in one of the ways that clients have."""

    peer_id: Name | None = None
    peer_address: Name | None = None
    username: Name | None = None

    def __post_init__(self) -> None:
        if not self.who:
            raise ValueError("peer_id is needed")

    @property
    def who(self) -> str:
        return self.peer_id or self.peer_address or self.username or ""


class ConnectPeer(_Named):
    ip: str | None = None
    port: Port | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.ip is None) != (self.port is None):
            raise ValueError("ip and port are given both or neither")
        if self.ip is not None and parse_ip(self.ip) is None:
            raise ValueError("ip must be an IP address")


class SendPeer(_Named):
    """`wait`: so long the answer may wait for what becomes of the message."""

    message: Text
    wait: Seconds = 0


class BroadcastPeer(msgspec.Struct):
    """To the members of a channel, or to everybody who is connected."""

    message: Text
    channel: Name | None = None
    wait: Seconds = 0


def check_length(message: str) -> None:
    if len(message) > MAX_TEXT:
        raise Refused("too_long", f"has {len(message)} characters; {MAX_TEXT} are the most", "$.message")


class ListQuery(msgspec.Struct):
    channel: str = ""


class HistoryQuery(msgspec.Struct):
    """Of a channel, with a peer, or all."""

    channel: str = ""
    peer: str = ""
    limit: Limit = 50

    def __post_init__(self) -> None:
        if self.channel and self.peer:
            raise ValueError("give channel or peer, not both")


# -- answers ---------------------------------------------------------------------------------------------------------


class Success(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="status", tag="success"):
    pass


class Connected(Success):
    peer_id: str
    ip: str
    port: int


class Recipient(msgspec.Struct, omit_defaults=True):
    """`state` is queued, sent, delivered or failed; the last has a reason."""

    state: str
    reason: str = ""


class Posted(Success):
    """`recipients` by their id; nobody, if nobody is there."""

    id: str
    recipients: dict[str, Recipient]


class Listing(Success):
    """As the tracker's. `fresh` is false for the last list that was had; then `reason` says why there is no new one."""

    peers: list[Listed]
    channels: list[str]
    total_peers: int
    fresh: bool
    reason: str = ""


class Told(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One message of the history. `peer_id` is who wrote it, `peer` the other side of a direct one; one of our own has
    its recipients, as far as that is still known.
    """

    id: str
    peer_id: str
    username: str
    channel: str
    message: str
    timestamp: str
    lamport: int
    peer: str = ""
    recipients: dict[str, Recipient] | None = None


class Messages(Success):
    """The newest last."""

    messages: list[Told]


class Failure(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    path: str = ""


class Failed(msgspec.Struct, tag_field="status", tag="error"):
    error: Failure


def recipients(letter: Letter) -> dict[str, Recipient]:
    return {
        peer_id: Recipient(state.value, letter.reasons.get(peer_id, "")) for peer_id, state in letter.states.items()
    }


def told(entry: Entry, letter: Letter | None) -> Told:
    return Told(
        id=entry.id, peer_id=entry.author, username=entry.username, channel=entry.channel, message=entry.text,
        timestamp=entry.timestamp, lamport=entry.lamport, peer=entry.peer,
        recipients=None if letter is None else recipients(letter),
    )  # fmt: skip


# -- bytes to types and back -----------------------------------------------------------------------------------------


def decode(kind: type[T], body: bytes) -> T:
    """Refused 400 with the path of what is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None
    except RecursionError:
        raise Refused("invalid", "is nested too deeply", "$") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("invalid", f"the body is not JSON: {error}", "$") from None


def decode_query(kind: type[T], query: Mapping[str, str]) -> T:
    """The same for what stands behind the `?`."""
    try:
        return msgspec.convert(dict(query), type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None


def _wrong_field(text: str) -> Refused:
    """msgspec says "Expected `int`, got `str` - at `$.port`", but names a missing field in the sentence itself."""
    message, _, path = text.partition(" - at `")
    path = path.rstrip("`") or "$"
    if message.startswith("Object missing required field `"):
        path += "." + message.split("`")[1]
        message = "is needed"
    return Refused("invalid", message.replace("`", ""), path)


def respond(answer: msgspec.Struct, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    fresh = ("Cache-Control", "no-store")
    return Response(msgspec.json.encode(answer), status, (fresh, *headers), content_type="application/json")
