"""The protocol as a table: which side may send what, and what state that leads to (RFC 9112).

    client   IDLE --RequestHead--> BODY --Data--> BODY --End--> DONE
    server   IDLE --Interim--> IDLE --ResponseHead--> BODY --Data--> BODY --End--> DONE

A move that is not in TABLE is an error: ours is a LocalProtocolError, theirs a RemoteProtocolError.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from reactor.sansio.framing import Data, End
from reactor.sansio.head import RequestHead, ResponseHead


class Role(Enum):
    __hash__ = object.__hash__

    CLIENT = "client"
    SERVER = "server"


class State(Enum):
    __hash__ = object.__hash__  # in C; Enum's own is a Python call at every look into TABLE

    IDLE = "idle"
    BODY = "body"
    DONE = "done"
    CLOSED = "closed"  # this side sends nothing any more
    SWITCHED = "switched"  # another protocol has taken over
    ERROR = "error"  # this side broke the protocol; nothing it sends is looked at


class Signal(Enum):
    NEED_DATA = "need data"  # feed more bytes
    PAUSED = "paused"  # answer first: the peer's message is complete, what follows it waits
    CLOSED = "closed"  # the peer has ended its side, properly


CLIENT: Final = Role.CLIENT
SERVER: Final = Role.SERVER
IDLE: Final = State.IDLE
BODY: Final = State.BODY
DONE: Final = State.DONE
CLOSED: Final = State.CLOSED
SWITCHED: Final = State.SWITCHED
ERROR: Final = State.ERROR
NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED


class Interim(ResponseHead):
    """A 1xx answer: any number of them may come before the real one (RFC 9110 15.2)."""

    __slots__ = ()


class Close:
    """The end of what one side sends; the other side may still be sending."""

    __slots__ = ()


class Switch:
    """101 was sent and another protocol takes over (RFC 9110 7.8)."""

    __slots__ = ()


Event: TypeAlias = RequestHead | ResponseHead | Data | End
Received: TypeAlias = Event | Signal

TABLE: dict[Role, dict[State, dict[type, State]]] = {
    CLIENT: {
        IDLE: {RequestHead: BODY, Close: CLOSED},
        BODY: {Data: BODY, End: DONE},
        DONE: {Switch: SWITCHED, Close: CLOSED},
        CLOSED: {Close: CLOSED},
        SWITCHED: {},
        ERROR: {Close: CLOSED},
    },
    SERVER: {
        IDLE: {Interim: IDLE, ResponseHead: BODY, Switch: SWITCHED, Close: CLOSED},
        BODY: {Data: BODY, End: DONE},
        DONE: {Close: CLOSED},
        CLOSED: {Close: CLOSED},
        SWITCHED: {},
        ERROR: {Close: CLOSED},
    },
}
