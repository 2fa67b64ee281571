"""What goes over the wire: a struct for each request and answer, and the one decoder that names the wrong field.

Types are checked here; names, addresses and limits are rules and belong to the tracker. Fields that nobody knows are
ignored, because the original clients send more than is needed, and null counts as absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec

from .channels import Policy
from .refused import Refused

T = TypeVar("T")

MAX_USES: Final = 128  # of one invite: as many as a channel has room for
MAX_INVITE_TTL: Final = 30 * 24 * 3600

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Version = Annotated[int, msgspec.Meta(ge=1)]


# -- who asks --------------------------------------------------------------------------------------------------------


class Caller(NamedTuple):
    """Where a request came from. `proves_nothing`: somebody else may have made it come from there."""

    client: str = ""
    proves_nothing: bool = False


INSIDE: Final = Caller()  # another plugin of this process


class Credentials(NamedTuple):
    """Which registration is meant and what proves that it is the caller's. `path` is where the payload names it."""

    name: str
    lease: str | None = None
    caller: Caller = INSIDE
    path: str = "$.peer_id"


class Named(msgspec.Struct, kw_only=True):
    """A request that names a peer, in one of the ways that clients have."""

    peer_id: str | None = None
    peer_address: str | None = None
    username: str | None = None
    lease: str | None = None

    def name(self) -> tuple[str | None, str]:
        """The id and the path of the field it was in."""
        if self.peer_id is not None:
            return self.peer_id, "$.peer_id"
        if self.peer_address is not None:
            return self.peer_address, "$.peer_address"
        return self.username, "$.peer_id" if self.username is None else "$.username"

    def credentials(self, caller: Caller) -> Credentials:
        name, path = self.name()
        if name is None:
            raise Refused("invalid", "is needed", path)
        return Credentials(name, self.lease, caller, path)


# -- requests --------------------------------------------------------------------------------------------------------


class SubmitInfo(Named):
    port: Port
    ip: str | None = None
    channels: list[str] | None = None
    v: Version | None = None


class GetList(msgspec.Struct):
    channel: str | None = None


class AddList(Named):
    channel: str
    password: str | None = None
    invite: str | None = None


class InviteTerms(msgspec.Struct, frozen=True):
    """`uses` peers may come in with it, within `ttl` seconds (None: as long as the option says)."""

    uses: Annotated[int, msgspec.Meta(ge=1, le=MAX_USES)] = 1
    ttl: Annotated[float, msgspec.Meta(ge=1, le=MAX_INVITE_TTL)] | None = None


class SetChannel(Named):
    channel: str
    policy: Policy | None = None
    password: str | None = None
    invite: bool | InviteTerms | None = None
    remove: str | None = None

    def change(self) -> Change:
        terms = InviteTerms() if self.invite is True else self.invite or None
        return Change(self.policy, self.password, terms, self.remove)


class Leave(Named):
    channel: str | None = None


class ConnectPeer(Named):
    """`{"peer_id"}`, or `{"from", "to"}`: who asks may be said, and matters to nobody."""

    to: str | None = None

    def target(self) -> tuple[str, str]:
        name, path = (self.to, "$.to") if self.to is not None else self.name()
        if name is None:
            raise Refused("invalid", "is needed", path)
        return name, path


class Change(NamedTuple):
    """What an owner wants of a channel; None leaves a thing as it is."""

    policy: Policy | None = None
    password: str | None = None
    invite: InviteTerms | None = None
    remove: str | None = None


# -- answers ---------------------------------------------------------------------------------------------------------


class Registered(msgspec.Struct, kw_only=True, omit_defaults=True):
    status: str
    peer_id: str
    observed_ip: str
    interval: float
    ttl: float
    lease: str
    total_peers: int
    channels: tuple[str, ...]
    channel_keys: dict[str, str] = {}  # of the closed channels among them


class Joined(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A channel as its members see it."""

    status: str
    channel: str
    policy: Policy
    owner: str
    members: list[str]
    member_count: int
    channel_key: str | None = None
    invite: str | None = None  # the token, where one was asked for


class Left(msgspec.Struct):
    status: str
    peer_id: str
    channels: tuple[str, ...]
    total_peers: int


class Located(msgspec.Struct):
    status: str
    peer_id: str
    username: str
    ip: str
    port: int


class Failure(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    path: str = ""


class Failed(msgspec.Struct):
    status: str
    error: Failure


# -- bytes to structs ------------------------------------------------------------------------------------------------


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Refused 400 with the path of what is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None
    except RecursionError:
        raise Refused("invalid", "is nested too deeply", "$") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("invalid", f"the body is not JSON: {error}", "$") from None


def _wrong_field(text: str) -> Refused:
    """msgspec says "Expected `int`, got `str` - at `$.port`", but names a missing field in the sentence itself."""
    message, _, path = text.partition(" - at `")
    path = path.rstrip("`") or "$"
    if message.startswith("Object missing required field `"):
        path += "." + message.split("`")[1]
        message = "is needed"
    return Refused("invalid", message.replace("`", ""), path)


encode: Any = msgspec.json.Encoder().encode
