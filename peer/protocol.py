"""One link's conversation, as a table: which message may come, and may be sent, in which state.

    HELLO_WAIT -> OPEN -> CLOSING -> CLOSED

Bytes in, messages out; no socket and no clock. The dialler speaks first, and the answer opens the link. After an
`error` or a `bye` of ours nothing that comes is looked at any more; after one of theirs, nothing is sent.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from peer.errors import FrameError
from peer.framing import Framer
from peer.messages import (
    VERSION,
    Ack,
    Broadcast,
    Bye,
    Channels,
    Chat,
    Error,
    Handshake,
    HandshakeAck,
    Hello,
    Message,
    Ping,
    Pong,
    Refuse,
    Unknown,
    decode,
    encode,
)
from reactor.errors import LocalProtocolError


class Role(Enum):
    __hash__ = object.__hash__  # that of Enum is written in Python, and the tables are asked for every message

    DIALLER = "dialler"
    ACCEPTOR = "acceptor"


class State(Enum):
    __hash__ = object.__hash__

    HELLO_WAIT = "waiting for the handshake"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Unsupported(Error, tag="error"):
    """The one error that closes nothing. Only a name for the tables: on the wire it is an Error of this code."""


DIALLER: Final = Role.DIALLER
ACCEPTOR: Final = Role.ACCEPTOR
HELLO_WAIT: Final = State.HELLO_WAIT
OPEN: Final = State.OPEN
CLOSING: Final = State.CLOSING
CLOSED: Final = State.CLOSED

Moves = dict[State, dict[type, State]]

_talk: dict[type, State] = dict.fromkeys(
    (Chat, Broadcast, Ack, Refuse, Channels, Ping, Pong, Unsupported, Unknown), OPEN
)

# What the other side may send. In CLOSING all of it is dropped, and only the end is awaited.
RECEIVED: Final[dict[Role, Moves]] = {
    DIALLER: {
        # An original peer answers in its own way, which may be a handshake.
        HELLO_WAIT: {HandshakeAck: OPEN, Handshake: OPEN, Bye: CLOSED, Error: CLOSED},
        OPEN: {**_talk, Bye: CLOSED, Error: CLOSED},
        CLOSING: {},
        CLOSED: {},
    },
    ACCEPTOR: {
        HELLO_WAIT: {Handshake: OPEN, Bye: CLOSED, Error: CLOSED},
        OPEN: {**_talk, Bye: CLOSED, Error: CLOSED},
        CLOSING: {},
        CLOSED: {},
    },
}

# What we may send. The acceptor is OPEN by the handshake, and answers it at once.
SENT: Final[dict[Role, Moves]] = {
    DIALLER: {
        HELLO_WAIT: {Handshake: HELLO_WAIT, Bye: CLOSING, Error: CLOSING},
        OPEN: {**_talk, Bye: CLOSING, Error: CLOSING},
        CLOSING: {},
        CLOSED: {},
    },
    ACCEPTOR: {
        HELLO_WAIT: {Bye: CLOSING, Error: CLOSING},
        OPEN: {**_talk, HandshakeAck: OPEN, Bye: CLOSING, Error: CLOSING},
        CLOSING: {},
        CLOSED: {},
    },
}

# So many unknown types are answered on one link; who has more of them is not asking.
MOST_UNKNOWN: Final = 32
# All that an original peer understands.
ORIGINAL: Final = (Handshake, HandshakeAck, Chat, Broadcast)


class Connection:
    """`hello` is the other side's handshake once it has come. `is_original`: it is a peer of the original system, which
    does not frame, acknowledge or ping. `size` is that of the last message, in bytes.
    """

    __slots__ = ("_framer", "_unknown", "hello", "is_original", "role", "size", "state")

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = HELLO_WAIT
        self.hello: Hello | None = None
        self.is_original = False
        self.size = 0
        self._framer = Framer()
        self._unknown: set[str] = set()

    def receive_data(self, data: bytes) -> None:
        if self.state in (HELLO_WAIT, OPEN):
            self._framer.feed(data)

    def next_message(self) -> Message | Unknown | None:
        """The next message, None if it is not all there. FrameError: answer it (`send(Error(code, …))`) and close;
        nothing more comes out.
        """
        text = self._framer.next() if self.state in (HELLO_WAIT, OPEN) else None
        if text is None:
            return None
        self.size = len(text)
        message = decode(text)
        self._move(message)
        return message

    def is_answered(self, unknown: Unknown) -> bool:
        """Whether it gets an `error unsupported`, as the first of its type does."""
        if unknown.kind in self._unknown or len(self._unknown) >= MOST_UNKNOWN or self.is_original:
            return False
        self._unknown.add(unknown.kind)
        return True

    def _move(self, message: Message | Unknown) -> None:
        state = RECEIVED[self.role][self.state].get(kind_of(message))
        if state is None:
            raise FrameError("bad_state", f"no {name_of(message)} while {self.state.value}")
        if self.state is HELLO_WAIT and isinstance(message, Handshake | HandshakeAck):
            self._meet(message)
        self.state = state

    def _meet(self, hello: Hello) -> None:
        self.is_original = hello.v is None
        if self.role is DIALLER and isinstance(hello, Handshake) and not self.is_original:
            raise FrameError("bad_state", "a handshake was answered with a handshake")
        if hello.v is not None and not hello.min_v <= VERSION <= hello.v:
            raise FrameError("version", f"version {VERSION} is spoken here, not {hello.min_v} to {hello.v}")
        self.hello = hello
        self._framer.by_lines = not self.is_original

    def send(self, message: Message) -> bytes:
        """The bytes of a message; b"" for one that an original peer would not understand."""
        state = SENT[self.role][self.state].get(kind_of(message))
        if state is None:
            raise LocalProtocolError(f"the {self.role.value} cannot send {name_of(message)} while {self.state.value}")
        self.state = state
        return b"" if self.is_original and not isinstance(message, ORIGINAL) else encode(message)

    def close(self) -> None:
        """The connection under it is gone."""
        self.state = CLOSED


def kind_of(message: Message | Unknown) -> type:
    """The type by which the tables know it."""
    if isinstance(message, Error) and message.code == "unsupported":
        return Unsupported
    return type(message)


def name_of(message: Message | Unknown) -> str:
    return message.kind if isinstance(message, Unknown) else str(type(message).__struct_config__.tag)
