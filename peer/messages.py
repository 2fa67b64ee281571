"""What peers say to each other, as types; docs/peer-protocol.md in code.

One place turns bytes into these types and back. Unknown fields are ignored; an unknown `type` is an `Unknown`; a known
one with wrong fields is a FrameError that names the field. Original peers send less (no `v`, no ids): `Handshake` and
`Chat` admit that, and `peer.protocol` asks for the rest where version 1 is spoken.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from peer.errors import FrameError

VERSION: Final = 1
# Longer names and ids than the tracker takes would not be shown either.
MAX_NAME: Final = 64
MAX_TEXT: Final = 4_000  # code points
MAX_CHANNELS: Final = 256

DIRECT: Final = "direct"
BROADCAST: Final = "broadcast"

_HEX16 = re.compile(r"[0-9a-f]{32}").fullmatch
_HEX8 = re.compile(r"[0-9a-f]{16}").fullmatch
_surrogate = re.compile("[\ud800-\udfff]")

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # what every JSON reader takes exactly
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Code = Annotated[str, msgspec.Meta(max_length=64)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of their messages that was not taken: `[seq, code]`."""

    seq: Positive
    code: Code


class Have(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What I hold of your stream: all of `epoch` up to `upto`, of which the `refused` were not taken."""

    epoch: str
    upto: Number
    refused: Annotated[tuple[Refusal, ...], msgspec.Meta(max_length=100)] = ()


class _Message(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """Messages hold texts and numbers, so nothing that the collector of cycles would have to look at."""


class _Hello(_Message):
    peer_id: Name | None = None
    from_: Name | None = msgspec.field(default=None, name="from")  # some originals call it so
    to: Name | None = None
    v: Positive | None = None  # None: an original peer
    min_v: Positive = 1
    caps: Annotated[tuple[Code, ...], msgspec.Meta(max_length=64)] = ()
    username: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    instance: str = ""
    epoch: str = ""
    have: Have | None = None
    backlog: Number = 0
    listen_port: Port = 0
    channels: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_CHANNELS)] = ()
    nonce: str = ""
    lamport: Number | None = None  # the largest that the sender has seen
    timestamp: str = ""

    def __post_init__(self) -> None:
        if self.peer_id is None:
            self.peer_id = self.from_
        if self.peer_id is None:
            raise ValueError("peer_id is needed")
        check_printable("peer_id", self.peer_id)
        check_printable("username", self.username)
        for name in self.channels:
            check_printable("a channel's name", name)
        if self.v is not None:
            for what, good in (("instance", _HEX16(self.instance)), ("nonce", _HEX16(self.nonce))):
                if not good:
                    raise ValueError(f"{what} must be 16 bytes in lower-case hex")
            if not _HEX8(self.epoch):
                raise ValueError("epoch must be 8 bytes in lower-case hex")

    @property
    def who(self) -> str:
        """The id, which is always there."""
        assert self.peer_id is not None
        return self.peer_id


class Handshake(_Hello, tag="handshake"):
    """The dialler speaks first."""


class HandshakeAck(_Hello, tag="handshake_ack"):
    """The answer: the link is open."""


class _Text(_Message):
    message: str
    id: Annotated[str, msgspec.Meta(max_length=256)] = ""
    seq: Number = 0
    peer_id: str = ""
    username: str = ""
    channel: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    lamport: Number | None = None
    timestamp: Annotated[str, msgspec.Meta(max_length=64)] = ""

    def __post_init__(self) -> None:
        check_printable("channel", self.channel)
        check_printable("timestamp", self.timestamp)


class Chat(_Text, tag="chat"):
    """To one peer (`channel` is "direct"), or to each member of a channel."""


class Broadcast(_Text, tag="broadcast"):
    """To every open link."""


class Ack(_Message, tag="ack"):
    upto: Number


class Refuse(_Message, tag="refuse"):
    seq: Positive
    code: Code


class Membership(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    name: Name
    proof: Code = ""


class Channels(_Message, tag="channels"):
    """All of the sender's memberships, each time, and whether its user is away."""

    channels: Annotated[list[Membership], msgspec.Meta(max_length=MAX_CHANNELS)]
    away: bool = False


class Ping(_Message, tag="ping"):
    n: Number


class Pong(_Message, tag="pong"):
    n: Number


class Bye(_Message, tag="bye"):
    reason: Code = ""


class Error(_Message, tag="error"):
    code: Code
    message: str = ""


class Unknown(msgspec.Struct):
    """A type that this version does not know."""

    kind: str


Hello = Handshake | HandshakeAck
Text = Chat | Broadcast
Message = Handshake | HandshakeAck | Chat | Broadcast | Ack | Refuse | Channels | Ping | Pong | Bye | Error


class _Loose(msgspec.Struct):
    type: str


_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_loose = msgspec.json.Decoder(_Loose)
_encoder = msgspec.json.Encoder()
KNOWN: Final = frozenset(str(kind.__struct_config__.tag) for kind in Message.__args__)


def decode(data: bytes) -> Message | Unknown:
    """FrameError `bad_json` for what is no JSON object in UTF-8, `bad_frame` for wrong fields."""
    try:
        if not data.isascii():
            data.decode()  # as nobody looks into the fields that are ignored
        return _decode(data)
    except RecursionError:
        raise FrameError("bad_json", "nested too deeply") from None
    except msgspec.ValidationError:
        raise FrameError("bad_frame", "a message is a JSON object with a type") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("bad_json", f"not a JSON object in UTF-8: {error}") from None


def _decode(data: bytes) -> Message | Unknown:
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        kind = _loose.decode(data).type  # raises if what follows the wrong field is no JSON
        if kind in KNOWN:
            raise FrameError("bad_frame", f"{kind}: {error}") from None
        return Unknown(kind[:MAX_NAME])


def encode(message: Message) -> bytes:
    """With its line feed."""
    return _encoder.encode(message) + b"\n"


def encode_tail(text: Text) -> bytes:
    """What is the same in all copies of a text; see `with_seq`."""
    return _encoder.encode(text)[1:] + b"\n"


def with_seq(tail: bytes, seq: int) -> bytes:
    """A copy, ready to be sent. `tail` has no seq of its own: it was encoded with the default."""
    return b'{"seq":%d,%b' % (seq, tail)


def check_printable(what: str, text: str) -> None:
    """ValueError for what could move a cursor, or fake a line."""
    if text and not text.isprintable():
        raise ValueError(f"{what} must be printable")


def plain_text(text: str) -> str:
    """A text as the wire can carry it: lone surrogates, which UTF-8 has not, become U+FFFD."""
    return _surrogate.sub("\ufffd", text)
