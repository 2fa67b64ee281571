"""What a tracker answers, checked field by field before anybody else sees it.

Whoever answers at a tracker's address may be something else, or hostile. An answer is what docs/tracker-api.md says, or
it is Nonsense. Of a list only the entries that make no sense are left out: one bad peer must not hide the others.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import msgspec

from peer.errors import PeerError
from peer.messages import Name, check_printable

T = TypeVar("T")

MAX_PEERS: Final = 10_000  # of one list; nobody can link with more
MAX_WORDS: Final = 300  # of a reason: it is shown in one line
LONGEST_IP: Final = 45  # eight groups with a dotted quad at the end

Success = Literal["success"]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Lease = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._~+/=-]{1,128}\Z")]
Key = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Words = Annotated[str, msgspec.Meta(max_length=256)]


# -- what can go wrong -----------------------------------------------------------------------------------------------


class TrackerError(PeerError):
    """A tracker could not be asked, or answered nonsense."""


class Refused(TrackerError):
    """The tracker understood, and said no; `str()` is its reason. `path` is the field that is wrong, if it is one."""

    def __init__(self, message: str, status: int, code: str = "", path: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.path = status, code, path


class Nonsense(ValueError):
    """Not what a tracker answers, and in what way."""


# -- answers ---------------------------------------------------------------------------------------------------------


class Done(msgspec.Struct):
    status: Success


class Registered(msgspec.Struct):
    """`channels` is what the tracker has us in; `channel_keys` are those of the closed ones among them."""

    status: Success
    peer_id: Name
    observed_ip: str  # where the tracker sees us come from; "" if it does not know
    interval: Seconds
    ttl: Seconds
    lease: Lease
    channels: tuple[Name, ...]
    channel_keys: dict[Name, Key] = {}

    def __post_init__(self) -> None:
        check_names("channels", *self.channels, *self.channel_keys)
        if self.observed_ip and parse_ip(self.observed_ip) is None:
            raise ValueError("observed_ip must be an IP address")


class Joined(msgspec.Struct):
    """A channel as its members see it. `channel_key` is None while anybody may join."""

    status: Success
    channel: Name
    members: tuple[Name, ...]
    policy: Words = ""
    owner: Words = ""
    channel_key: Key | None = None
    invite: Words | None = None  # the token, where one was asked for

    def __post_init__(self) -> None:
        check_names("members", self.channel, *self.members, self.policy, self.owner, self.invite or "")


class Listed(msgspec.Struct, frozen=True):
    """Somebody who is registered, and where to dial them."""

    peer_id: Name
    username: Name
    ip: str
    port: Port
    channels: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        check_names("names", self.peer_id, self.username, *self.channels)
        if not can_be_dialled(self.ip):
            raise ValueError("ip must be an IP address that can be dialled")


class Taken(NamedTuple):
    """A list as far as it makes sense."""

    peers: tuple[Listed, ...]
    left_out: int


class _Listing(msgspec.Struct):
    status: Success
    peers: list[msgspec.Raw]


class _Failure(msgspec.Struct):
    message: str
    code: Words = ""
    path: Words = ""


class _Failed(msgspec.Struct):
    status: Literal["error"]
    error: _Failure


def check_names(what: str, *names: str) -> None:
    for name in names:
        check_printable(what, name)


@functools.lru_cache(maxsize=MAX_PEERS)  # the same ones come again with each refresh
def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is no literal; the name of an interface behind one (fe80::1%eth0) means nothing elsewhere."""
    if len(text) > LONGEST_IP or "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def can_be_dialled(text: str) -> bool:
    ip = parse_ip(text)
    return ip is not None and not (ip.is_unspecified or ip.is_multicast)


# -- bytes to answers ------------------------------------------------------------------------------------------------


def decode(kind: type[T], body: bytes | msgspec.Raw) -> T:
    """Nonsense with the field that is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Nonsense(str(error).replace("`", "")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Nonsense(f"it is not JSON ({error})") from None


def decode_list(body: bytes) -> Taken:
    """Nonsense if it is no list at all."""
    entries = decode(_Listing, body).peers
    peers = []
    for entry in entries[:MAX_PEERS]:
        try:
            peers.append(decode(Listed, entry))
        except Nonsense:  # counted, by its absence
            continue
    return Taken(tuple(peers), len(entries) - len(peers))


def decode_refusal(status: int, body: bytes) -> Refused:
    """Nonsense if it gives no reason, as whatever is no tracker does not."""
    if 300 <= status < 400:
        raise Nonsense(f"status {status} sends us elsewhere, and a tracker never does")
    try:
        reason = decode(_Failed, body).error
    except Nonsense:
        raise Nonsense(f"status {status} without a reason: is it a tracker, and HTTP (not HTTPS)?") from None
    words = reason.message.removeprefix(f"{reason.path}: ")[:MAX_WORDS]
    return Refused(words or f"status {status}", status, reason.code, reason.path)
