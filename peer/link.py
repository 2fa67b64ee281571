"""One connection with one peer: the protocol joined to a transport, within limits of time and memory.

    bytes -> Connection -> messages -> the owner (a node) -> messages -> bytes

A link knows nothing of streams, channels or other links. It greets, tells its owner what comes, notices when the
other side has gone silent, and ends in words: `why` is what a person is told. State belongs to the link and never to
the peer's id, so what a dying link still does cannot touch the one that has taken its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from peer.delivery.outbox import MOST
from peer.errors import FrameError
from peer.messages import (
    Ack,
    Broadcast,
    Bye,
    Channels,
    Chat,
    Error,
    Handshake,
    HandshakeAck,
    Hello,
    Membership,
    Message,
    Ping,
    Pong,
    Refuse,
    Unknown,
)
from peer.pipe import End
from peer.protocol import ACCEPTOR, CLOSED, DIALLER, HELLO_WAIT, OPEN, Connection, Role
from reactor.core.loop import Reactor
from reactor.core.timers import NEVER, Timer
from reactor.core.transport import LOW_WATER, Transport
from reactor.errors import DialError

# How long the other side may take to read why it is let go.
LINGER = 2.0
# One turn of the loop takes so many messages of one link.
MESSAGES_A_TURN = 64
# Bytes of messages that a link which is held remembers until it is released; the last one may end beyond.
MOST_KEPT = 65_536
# What ends a link.
ENDS = (Bye, Error)
# What says only that somebody is there.
SIGNS_OF_LIFE = (Ack, Ping, Pong)

_NO_PAGE = b"This is the port of a chat peer; it has no pages.\n"
_NO_HTTP = (
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: peer/1\r\nConnection: Upgrade, close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(_NO_PAGE), _NO_PAGE)
)


@dataclass(frozen=True)
class Limits:
    """Seconds, and bytes a second. The reasons are in docs/peer-protocol.md."""

    handshake: float = 10.0
    ping_after: float = 10.0
    away_after: float = 20.0
    lost_after: float = 30.0
    least_rate: int = 500  # while bytes wait
    rate_window: float = 10.0


# What a person can do something about.
_WORDS = {
    "": "no reason given",
    "in_use": "in_use: another program with our id is linked to it",
    "own_id": "own_id: it has the same id as this peer",
    "busy": "busy: it has no room for more links",
    "storage": "storage: it cannot keep messages just now",
    "timeout": "timeout: it had heard nothing from us for a while",
}


def _in_words(reason: str) -> str:
    return _WORDS.get(reason, reason)


class Goodbye(Exception):
    """Raised by an owner that does not want the link: the other side is told `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Owner(Protocol):
    """Who holds links. `greet` comes first and at most once, then `opened`, then the rest, then `lost`, exactly once
    (also for a link that never opened).
    """

    def greet(self, link: Link, hello: Hello) -> HandshakeAck | None:
        """Whether the other side is welcome, and for an acceptor the answer. Raises FrameError or Goodbye."""

    def opened(self, link: Link) -> None: ...
    def received(self, link: Link, message: Message, resumed: bool) -> None:
        """`resumed`: it was announced in the handshake as left from before."""

    def drained(self, link: Link) -> None: ...
    def away(self, link: Link) -> None:
        """Its `is_away` is another."""

    def lost(self, link: Link) -> None: ...


class Link:
    """A protocol in the sense of `core.transport`."""

    __slots__ = ("__weakref__", "_deadline", "_heard", "_is_held", "_is_known", "_kept", "_kept_size", "_limits",
                 "_owner", "_ping_at", "_pings", "_probes", "_rate", "_reactor", "_taken", "_transport", "_written",
                 "address", "answer", "claims", "handshake", "is_away", "is_unattended", "is_used", "offered",
                 "opened_at", "protocol", "ready", "resumed", "round_trip", "talked_at", "why")  # fmt: skip

    def __init__(self, reactor: Reactor, owner: Owner, limits: Limits, handshake: Handshake | None = None) -> None:
        """With a `handshake`, which it sends first, it is the dialler's."""
        self.handshake = handshake
        self.answer: HandshakeAck | None = None  # ours, as an acceptor
        self.protocol = Connection(ACCEPTOR if handshake is None else DIALLER)
        self.address = ("", 0)  # the other end
        self.ready = reactor.future()  # of a dialler: open, or the DialError that says why not
        self.why = ""
        self.opened_at = 0.0
        self.talked_at = reactor.now  # when something that is no sign of life went either way
        self.is_used = False  # something but greetings and resumed messages has come
        self.is_away = False
        self.is_unattended = False  # the other side says that its user is away
        self.claims: Sequence[Membership] = ()  # the channels that the other side says it is in
        self.offered = 0  # so many of our next texts were announced as left from before; the other side counts alike
        self.resumed = 0  # so many of the next texts were announced as resumed
        self.round_trip: float | None = None  # seconds
        self._reactor = reactor
        self._owner = owner
        self._limits = limits
        self._transport: Transport
        self._deadline = reactor.deadline(self._silent)
        self._rate = reactor.deadline(self._check_rate)
        self._heard = reactor.now
        self._is_known = handshake is not None
        self._is_held = False
        self._kept: deque[Message | Unknown] = deque()  # what has come while it was held
        self._kept_size = 0
        self._written = self._taken = 0
        self._pings, self._ping_at = 0, 0.0
        self._probes: list[tuple[Timer, Callable[[bool], object]]] = []

    @property
    def role(self) -> Role:
        return self.protocol.role

    @property
    def hello(self) -> Hello:
        """Theirs. Only once it is there."""
        assert self.protocol.hello is not None
        return self.protocol.hello

    @property
    def peer_id(self) -> str:
        """Who it is; "" before the handshake."""
        return self.protocol.hello.who if self.protocol.hello is not None else ""

    @property
    def is_open(self) -> bool:
        return self.protocol.state is OPEN and not self._transport.is_closing

    @property
    def is_closing(self) -> bool:
        """Whether nothing more will come of it."""
        return self._transport.is_closing

    @property
    def is_original(self) -> bool:
        return self.protocol.is_original

    @property
    def has_room(self) -> bool:
        """Whether what was kept back may be sent now."""
        return self.is_open and self._transport.unsent < LOW_WATER

    @property
    def nonces(self) -> tuple[str, str]:
        """The dialler's and the acceptor's."""
        if self.handshake is not None:
            return self.handshake.nonce, self.hello.nonce
        return self.hello.nonce, self.answer.nonce if self.answer is not None else ""

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Nothing if the link is not open any more."""
        if self.is_open:
            if type(message) not in SIGNS_OF_LIFE:
                self.talked_at = self._reactor.now
            self._write(self.protocol.send(message))

    def send_frame(self, frame: bytes) -> int:
        """Send an encoded text. The link's `taken` is at or above the number when the system has all of it."""
        self.talked_at = self._reactor.now
        self._write(frame)
        return self._written

    @property
    def taken(self) -> int:
        """How many bytes the system has taken."""
        return self._written - self._transport.unsent

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)
        if self._transport.unsent and self._rate.at > self._reactor.now + self._limits.rate_window:
            self._taken = self.taken
            self._rate.move(self._reactor.now + self._limits.rate_window)

    def _check_rate(self) -> None:
        """A slow friend must not hold memory for ever: what it did not acknowledge is kept elsewhere."""
        if not self._transport.unsent:
            return
        taken = self.taken - self._taken
        if taken < self._limits.least_rate * self._limits.rate_window:
            self._give_up("overflow", f"takes less than {self._limits.least_rate} bytes a second")
        else:
            self._taken = self.taken
            self._rate.move(self._reactor.now + self._limits.rate_window)

    def _give_up(self, reason: str, why: str) -> None:
        """Close now: what waits would have to go out first."""
        self.why = self.why or why
        if self.is_open:
            self._write(self.protocol.send(Bye(reason=reason)))
        self._transport.abort()

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self, reason: str, why: str = "") -> None:
        """Say `bye reason`, and close. `why` is for our side."""
        self._end(Bye(reason=reason), why or reason)

    def fail(self, error: FrameError) -> None:
        """Say what was wrong, and close."""
        self._end(Error(code=error.code, message=str(error)[:500]), f"it broke the protocol ({error})")

    def _end(self, last: Message, why: str) -> None:
        if self.protocol.state is CLOSED:
            return
        self.why = self.why or why
        if self.protocol.state in (HELLO_WAIT, OPEN) and not self._transport.is_closing:
            self._transport.write(self.protocol.send(last))
        self._deadline.move(self._reactor.now + self._limits.handshake)
        self._transport.close(LINGER)

    def abort(self, why: str = "") -> None:
        self.why = self.why or why
        self._transport.abort()

    # -- events of the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        transport.stall_limit = self._limits.lost_after
        transport.on_drained = self._drained
        if isinstance(transport.peer, tuple):
            self.address = (str(transport.peer[0]), int(transport.peer[1]))
        self._heard = self._reactor.now
        self._deadline.move(self._reactor.now + self._limits.handshake)
        if self.handshake is not None:
            self._write(self.protocol.send(self.handshake))

    def data_received(self, data: bytes) -> None:
        self._heard = self._reactor.now
        if self.is_away:
            self.is_away = False
            self._owner.away(self)
        self._answer_probes(alive=True)
        if not self._is_known and self._is_no_peer(data):
            return
        self.protocol.receive_data(data)
        self._take_some()

    def _is_no_peer(self, data: bytes) -> bool:
        """The first byte tells who has come: `{` a peer, a letter a browser, 0x16 somebody who wants TLS."""
        self._is_known = True
        if data[:1].isalpha():
            self._transport.write(_NO_HTTP)
            self.why = "it speaks HTTP"
            self._transport.close(LINGER)
        elif data[:1] == b"\x16":
            self.abort("it speaks TLS")
        return self._transport.is_closing

    def hold(self) -> None:
        """Take nothing more until `release`, but that the other side ends the link."""
        self._is_held = True

    def release(self) -> None:
        """Go on; nothing if it was not held."""
        if self._is_held:
            self._is_held = False
            self._reactor.call_soon(self._take_some)

    def _take_some(self) -> None:
        """Some of the messages that are there; others want their turn too."""
        try:
            for _ in range(MESSAGES_A_TURN):
                if self._is_held and self._kept_size >= MOST_KEPT:
                    break
                message = self._next()
                if message is None:
                    self._transport.resume_reading()
                    return
                if self._is_held and type(message) not in ENDS:
                    self._kept.append(message)
                    self._kept_size += self.protocol.size
                else:
                    _TAKERS[type(message)](self, message)
        except FrameError as error:
            self.fail(error)
        except Goodbye as goodbye:
            self.close(goodbye.reason)
        else:
            self._transport.pause_reading()
            if not self._is_held:
                self._reactor.call_soon(self._take_some)

    def _next(self) -> Message | Unknown | None:
        if self._kept and not self._is_held:
            return self._kept.popleft()
        return self.protocol.next_message()

    def _greet(self, hello: Hello) -> None:
        self.answer = answer = self._owner.greet(self, hello)
        now = self._reactor.now
        self.opened_at = self.talked_at = now
        self.resumed = min(hello.backlog, MOST)
        if answer is not None:
            self._write(self.protocol.send(answer))
        if self.is_original or isinstance(self._transport, End):  # who is in this process does not go unheard
            self._deadline.move(NEVER)
            self._transport.keep_alive(60, 15, 4)
        else:
            self._deadline.move(now + self._limits.ping_after)
        self.claims = [Membership(name) for name in hello.channels]  # their proofs come later
        self._owner.opened(self)
        self.ready.set_result(None)

    def _take_text(self, text: Chat | Broadcast) -> None:
        resumed = self.resumed > 0
        if resumed:
            self.resumed -= 1
        else:
            self.is_used = True
        self.talked_at = self._reactor.now
        self._owner.received(self, text, resumed)

    def _take_ack(self, ack: Ack) -> None:
        self.is_used = True
        self._owner.received(self, ack, False)

    def _take_refuse(self, refuse: Refuse) -> None:
        self.is_used = True
        self.talked_at = self._reactor.now
        self._owner.received(self, refuse, False)

    def _take_channels(self, channels: Channels) -> None:
        self.claims = list({claim.name: claim for claim in channels.channels}.values())
        self.is_unattended = channels.away
        self.talked_at = self._reactor.now
        self._owner.received(self, channels, False)

    def _take_ping(self, ping: Ping) -> None:
        self.is_used = True
        self.send(Pong(n=ping.n))

    def _take_pong(self, pong: Pong) -> None:
        self.is_used = True
        if pong.n == self._pings:
            self.round_trip = self._reactor.now - self._ping_at

    def _take_bye(self, bye: Bye) -> None:
        self._let_go(f"it said goodbye ({_in_words(bye.reason)})")

    def _take_error(self, error: Error) -> None:
        if error.code == "unsupported":
            self.is_used = True
            self.talked_at = self._reactor.now
        else:
            self._let_go(f"it reported an error ({error.code}: {error.message[:200]})")

    def _take_unknown(self, unknown: Unknown) -> None:
        if self.protocol.is_answered(unknown):
            self.send(Error(code="unsupported", message=unknown.kind[:100]))

    def _let_go(self, why: str) -> None:
        self.why = self.why or why
        self._transport.close()

    def eof_received(self) -> None:
        self._let_go("it closed the connection")

    def pause_writing(self) -> None:
        self._give_up("overflow", "reads too slowly: too much waited for it")

    def resume_writing(self) -> None: ...

    def _drained(self) -> None:
        self._rate.move(NEVER)
        if self.is_open:
            self._owner.drained(self)

    def connection_lost(self, error: OSError | None) -> None:
        if not self.why:
            reason = error.strerror or str(error) if error is not None else ""
            self.why = f"the connection was lost ({reason.lower()})" if reason else "the connection was lost"
        self.protocol.close()
        self._deadline.close()
        self._rate.close()
        self._answer_probes(alive=False)
        self.ready.set_error(DialError(self.why))
        _ = self.ready.error  # whoever waits hears of it, and it is no loss if nobody does
        self._owner.lost(self)

    # -- signs of life -----------------------------------------------------------------------------------------------

    def ping(self) -> None:
        self._pings += 1
        self._ping_at = self._reactor.now
        self.send(Ping(n=self._pings))

    def probe(self, seconds: float, tell: Callable[[bool], object]) -> None:
        """Ask whether it lives; `tell(alive)` comes once: as soon as anything is heard, or after so many seconds."""
        timer = self._reactor.call_later(seconds, self._unanswered, tell)
        self._probes.append((timer, tell))
        self.ping()

    def _unanswered(self, tell: Callable[[bool], object]) -> None:
        self._probes = [probe for probe in self._probes if probe[1] is not tell]
        tell(False)

    def _answer_probes(self, *, alive: bool) -> None:
        if self._probes:
            probes, self._probes = self._probes, []
            for timer, tell in probes:
                timer.cancel()
                self._reactor.call_soon(tell, alive)

    def _silent(self) -> None:
        """The deadline has come; it may be early, as what is heard does not move it."""
        limits, now, heard = self._limits, self._reactor.now, self._heard
        state = self.protocol.state
        if state is not OPEN:
            words = f"no handshake within {limits.handshake:g} s: does something else listen there?"
            self.abort(words if state is HELLO_WAIT else "")
            return
        # Compared as the times that the deadline was moved to: a difference may be rounded to just below its step.
        steps = [heard + step for step in (limits.ping_after, limits.away_after, limits.lost_after)]
        if now >= steps[2]:
            self._give_up("timeout", f"no sign of life for {limits.lost_after:g} s")
            return
        if now >= steps[0] and self._ping_at <= heard:
            self.ping()
        if now >= steps[1] and not self.is_away:
            self.is_away = True
            self._owner.away(self)
        self._deadline.move(next(step for step in steps if step > now))


_TAKERS: Final[dict[type, Callable[[Link, Any], None]]] = {
    Handshake: Link._greet, HandshakeAck: Link._greet, Chat: Link._take_text, Broadcast: Link._take_text,
    Ack: Link._take_ack, Refuse: Link._take_refuse, Channels: Link._take_channels, Ping: Link._take_ping,
    Pong: Link._take_pong, Bye: Link._take_bye, Error: Link._take_error, Unknown: Link._take_unknown,
}  # fmt: skip
