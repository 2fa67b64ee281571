"""What a page in a browser and the program behind it say to each other over a WebSocket, as types; docs/chat.md has it.

One JSON object in a text message. What a page asks for with a `ref` gets exactly one `done` or `failed`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from peer.delivery.letters import FAILED, SENT, Letter
from peer.errors import FrameError
from peer.messages import MAX_NAME, Name
from peer.storage.store import Entry, Outcome, conversation_of

SUBPROTOCOL: Final = "reactor-chat.1"
MAX_PENDING: Final = 500
# A text of 4,000 characters, each escaped as two times \uXXXX at the worst, and some fields.
MAX_MESSAGE: Final = 64 * 1024
GUEST_MARK: Final = " (guest)"  # behind the name of a guest, for everybody to see, whatever they see it with

Ref = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Place = Annotated[str, msgspec.Meta(max_length=MAX_NAME + 1, pattern=r"^(\*$|[#@].)")]  # `#channel`, `@peer_id`, `*`
Short = Annotated[str, msgspec.Meta(max_length=256)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


# -- from the page -----------------------------------------------------------------------------------------------------


class _Asked(msgspec.Struct, tag_field="type"):
    pass


class Hello(_Asked, tag="hello"):
    """First. `run` and `since` say what the page has; `pending` are messages whose state may have changed."""

    token: Short = ""
    run: Short = ""
    since: Number = 0
    pending: Annotated[tuple[Short, ...], msgspec.Meta(max_length=MAX_PENDING)] = ()


class Say(_Asked, tag="say"):
    """The same `key` again is the same message."""

    ref: Ref
    key: Key
    to: Place
    text: str


class Join(_Asked, tag="join"):
    ref: Ref
    channel: Name
    password: Short | None = None
    invite: Short | None = None


class Leave(_Asked, tag="leave"):
    ref: Ref
    channel: Name


class Policy(_Asked, tag="policy"):
    ref: Ref
    channel: Name
    policy: Literal["open", "password", "invited"]
    password: Short | None = None


class Invite(_Asked, tag="invite"):
    ref: Ref
    channel: Name


class Remove(_Asked, tag="remove"):
    ref: Ref
    channel: Name
    peer: Name


class Mute(_Asked, tag="mute"):
    ref: Ref
    peer: Name
    muted: bool


class Read(_Asked, tag="read"):
    to: Place
    number: Number


class Older(_Asked, tag="older"):
    ref: Ref
    to: Place
    before: Number


class Open(_Asked, tag="open"):
    ref: Ref
    peer: Name


class Channels(_Asked, tag="channels"):
    ref: Ref


class Ping(_Asked, tag="ping"):
    pass


Request = Say | Join | Leave | Policy | Invite | Remove | Mute | Older | Open | Channels
Asked = Hello | Request | Read | Ping


# -- to the page -------------------------------------------------------------------------------------------------------


class Recipient(msgspec.Struct, omit_defaults=True):
    peer: str
    state: str
    reason: str = ""


class State(msgspec.Struct):
    id: str
    state: str
    delivered: int
    of: int
    reasons: list[Recipient]


class Message(msgspec.Struct, omit_defaults=True):
    number: int
    id: str
    to: str
    from_: str = msgspec.field(name="from")
    name: str
    text: str
    at: str
    order: tuple[int, str, int]
    mine: bool
    key: str = ""
    state: State | None = None


class Person(msgspec.Struct):
    id: str
    name: str
    state: str
    guest: bool
    muted: bool
    why: str = ""


class Conversation(msgspec.Struct):
    id: str
    title: str
    policy: str | None
    owner: bool
    members: list[str]
    unread: int
    read: int
    last: int


class Me(msgspec.Struct):
    id: str
    name: str
    guest: bool
    address: str


class _Told(msgspec.Struct, tag_field="type"):
    pass


class Welcome(_Told, tag="welcome", kw_only=True):
    v: int = 1
    run: str
    me: Me
    now: str
    full: bool
    conversations: list[Conversation]
    people: list[Person]
    messages: list[Message]
    states: list[State]


class Spoken(_Told, tag="message"):
    message: Message


class Become(_Told, tag="state"):
    state: State


class Seen(_Told, tag="person"):
    person: Person


class Opened(_Told, tag="conversation"):
    conversation: Conversation


class Gone(_Told, tag="gone"):
    id: str


class ReadUpTo(_Told, tag="read"):
    to: str
    number: int


class Notice(_Told, tag="notice"):
    text: str
    level: str = "info"


class Pong(_Told, tag="pong"):
    pass


class Done(_Told, tag="done", omit_defaults=True):
    ref: int
    id: str = ""  # of what was said
    invite: str = ""
    messages: list[Message] | None = None
    more: bool | None = None
    channels: list[str] | None = None


class Failed(_Told, tag="failed"):
    ref: int
    code: str
    message: str


class Where(msgspec.Struct):
    """Where a page is, asked before it says hello. In a peer nobody is known before the token is shown."""

    kind: str  # server or peer
    user: str | None = None
    guest: bool = False
    guests: bool = False  # whether people may come in by name alone
    login: str = "/login"


Told = (
    Welcome | Spoken | Become | Seen | Opened | Gone | ReadUpTo | Notice | Pong | Done | Failed
)  # fmt: skip


_decoder: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)
_encoder = msgspec.json.Encoder()


def decode(text: str | bytes) -> Asked:
    """FrameError for what no page of ours says."""
    if isinstance(text, bytes):
        raise FrameError("bad_frame", "messages are text")
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FrameError("bad_frame", str(error)) from None


def encode(told: Told) -> str:
    return _encoder.encode(told).decode()


# -- entries and letters as a page has them ----------------------------------------------------------------------------


def message(entry: Entry, own_id: str, state: State | None = None) -> Message:
    return Message(
        number=entry.number, id=entry.id, to=conversation_of(entry.channel, entry.peer), from_=entry.author,
        name=entry.username, text=entry.text, at=entry.timestamp, order=(entry.lamport, entry.author, entry.n),
        mine=entry.author == own_id, key=entry.key, state=state,
    )  # fmt: skip


def state_of_letter(letter: Letter) -> State:
    """What is known of each of its recipients."""
    recipients = [
        Recipient(peer_id, state.value, letter.reasons.get(peer_id, "")) for peer_id, state in letter.states.items()
    ]
    before = letter.before.reasons if letter.before is not None else ()
    recipients += [Recipient(peer_id, FAILED.value, reason) for peer_id, reason in before]
    return _state(letter.entry.id, letter.outcome, recipients, is_sent=letter.count(SENT) > 0)


def state_of_outcome(id_: str, outcome: Outcome) -> State:
    """Of a message that nothing more is known of than what was kept."""
    recipients = [Recipient(peer_id, FAILED.value, reason) for peer_id, reason in outcome.reasons]
    return _state(id_, outcome, recipients, is_sent=outcome.unacknowledged > 0)


def _state(id_: str, outcome: Outcome, recipients: list[Recipient], *, is_sent: bool) -> State:
    if outcome.delivered or not outcome.of:
        word = "delivered"
    elif is_sent:
        word = "sent"
    else:
        word = "queued" if outcome.waiting else "failed"
    if outcome.reasons and not outcome.waiting:  # nothing more will come of it
        word = "failed"
    return State(id_, word, outcome.delivered, outcome.of, recipients)


def plain_name(username: str) -> tuple[str, bool]:
    """A name without the mark of guests, and whether it had it."""
    name = username.removesuffix(GUEST_MARK)
    return name, name != username
