"""One link on a transport in memory and a false clock: greeting, times, slow readers, and every way to end."""

from __future__ import annotations

import errno
import json
import math
from itertools import pairwise
from typing import Any

import pytest

from peer.delivery.outbox import MOST
from peer.errors import FrameError
from peer.link import MESSAGES_A_TURN, MOST_KEPT, Goodbye, Limits, Link
from peer.messages import (
    Ack,
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
    encode,
)
from peer.protocol import ACCEPTOR, DIALLER
from reactor.core.transport import HIGH_WATER, LOW_WATER
from reactor.errors import DialError
from reactor.testing import FakeReactor, MemoryTransport

KEYS: dict[str, Any] = {"v": 1, "instance": "15" * 16, "epoch": "e0" * 8}
OURS = {"peer_id": "us", "nonce": "0a" * 16, **KEYS}
THEIRS = {"peer_id": "far", "nonce": "0f" * 16, **KEYS}
GREETING, ANSWER = Handshake(**THEIRS), HandshakeAck(**THEIRS)
OLD = b'{"type":"handshake","peer_id":"old"}'


class Owner:
    """Notes what it is told; `refusal` is what `greet` raises."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.messages: list[tuple[Message, bool]] = []
        self.refusal: Exception | None = None

    def greet(self, link: Link, hello: Hello) -> HandshakeAck | None:
        self.events.append(f"greet {hello.who}")
        if self.refusal is not None:
            raise self.refusal
        return HandshakeAck(**OURS) if link.role is ACCEPTOR else None

    def opened(self, link: Link) -> None:
        self.events.append("opened")

    def received(self, link: Link, message: Message, resumed: bool) -> None:
        self.messages.append((message, resumed))

    def drained(self, link: Link) -> None:
        self.events.append("drained")

    def away(self, link: Link) -> None:
        self.events.append("away")

    def lost(self, link: Link) -> None:
        self.events.append("lost")


class Line:
    """A link, its owner, and the other end of its transport."""

    def __init__(self, *, dials: bool = False, limits: Limits | None = None, now: float = 1000.0) -> None:
        self.reactor = FakeReactor()
        self.reactor.clock.now = self.reactor.now = now
        self.errors: list[BaseException] = []
        self.reactor.on_error = lambda error, where: self.errors.append(error)
        self.owner = Owner()
        handshake = Handshake(to="far", **OURS) if dials else None
        self.link = Link(self.reactor, self.owner, limits or Limits(), handshake)
        self.transport = MemoryTransport(self.reactor, self.link, ("10.0.0.2", 4000))
        self._taken = 0

    def open(self, **fields: Any) -> Line:
        kind = HandshakeAck if self.link.role is DIALLER else Handshake
        self.feed(kind(**THEIRS | fields))
        assert self.link.is_open
        self.sent()
        return self

    def open_original(self) -> Line:
        self.feed(OLD)
        assert self.link.is_open and self.link.is_original
        self.sent()
        return self

    def feed(self, *what: Message | bytes) -> None:
        self.transport.feed(b"".join(one if isinstance(one, bytes) else encode(one) for one in what))
        self.advance(0)

    def advance(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        assert not self.errors, self.errors

    def sent(self) -> list[dict[str, Any]]:
        """What has gone out since the last call."""
        data = bytes(self.transport.sent[self._taken :])
        self._taken += len(data)
        return [json.loads(line) for line in data.splitlines()]

    def reads(self, size: int) -> None:
        """During a stall the other side takes this much of what waits."""
        transport: Any = self.transport
        transport.sent += transport._held[:size]
        del transport._held[:size]
        transport.progress()

    @property
    def is_lost(self) -> bool:
        assert self.owner.events.count("lost") <= 1
        return "lost" in self.owner.events


def text(number: int = 1, message: str = "hi") -> Chat:
    return Chat(message=message, id=f"far:{'e0' * 8}:{number}", seq=number, peer_id="far", channel="direct")


# -- holding -----------------------------------------------------------------------------------------------------------


def test_a_link_that_is_held_keeps_a_bounded_count_of_bytes_and_goes_on_with_all_when_released() -> None:
    line = Line()
    line.feed(GREETING)
    line.link.hold()
    texts = [text(number, "\U0001f600" + 9_995 * "a") for number in range(1, 30)]
    for one in texts:
        line.feed(one)
    assert MOST_KEPT == 65_536 and not line.transport.reading
    assert len(line.link._kept) == 7 and not line.owner.messages
    line.link.release()
    line.advance(0)
    assert line.owner.messages == [(one, False) for one in texts] and line.transport.reading


# -- the greeting ------------------------------------------------------------------------------------------------------


def test_an_acceptor_says_nothing_before_it_has_heard_the_handshake() -> None:
    line = Line()
    assert not line.sent() and not line.link.is_open and line.link.peer_id == ""
    line.feed(GREETING)
    [answer] = line.sent()
    assert answer["type"] == "handshake_ack" and answer["peer_id"] == "us"
    assert line.owner.events == ["greet far", "opened"]
    assert line.link.is_open and line.link.role is ACCEPTOR and line.link.peer_id == "far"
    assert line.link.address == ("10.0.0.2", 4000)
    assert line.link.nonces == ("0f" * 16, "0a" * 16)  # the dialler's first


def test_a_dialler_speaks_first_and_is_open_with_the_answer() -> None:
    line = Line(dials=True)
    [greeting] = line.sent()
    assert greeting["type"] == "handshake" and greeting["to"] == "far"
    assert not line.link.is_open and not line.link.ready.done
    line.feed(ANSWER)
    assert line.owner.events == ["greet far", "opened"] and not line.sent()
    assert line.link.is_open and line.link.role is DIALLER and line.link.ready.result() is None
    assert line.link.nonces == ("0a" * 16, "0f" * 16)


def test_a_greeting_may_come_byte_by_byte() -> None:
    line = Line()
    for byte in encode(GREETING) + encode(text()):
        line.feed(bytes([byte]))
    assert line.link.is_open and line.owner.messages == [(text(), False)]


@pytest.mark.parametrize("dials", [False, True])
def test_a_greeting_takes_ten_seconds_at_the_most(dials: bool) -> None:
    line = Line(dials=dials)
    line.advance(9.9)
    assert not line.is_lost
    line.advance(0.2)
    assert line.is_lost and line.owner.events == ["lost"]
    assert "no handshake within 10 s" in line.link.why


def test_a_greeting_that_trickles_in_gains_no_time() -> None:
    line = Line()
    for byte in encode(GREETING)[:20]:
        line.feed(bytes([byte]))
        line.advance(0.6)
    assert line.is_lost


def test_who_waits_for_a_link_hears_why_there_is_none() -> None:
    line = Line(dials=True)
    line.advance(11)
    with pytest.raises(DialError, match="no handshake within 10 s"):
        line.link.ready.result()


@pytest.mark.parametrize("dials", [False, True])
@pytest.mark.parametrize(
    ("refusal", "word"),
    [(Goodbye("wrong_peer"), {"type": "bye", "reason": "wrong_peer"}),
     (FrameError("which_peer", "say who"), {"type": "error", "code": "which_peer", "message": "say who"})],
)  # fmt: skip
def test_an_owner_that_does_not_want_the_link_says_so(dials: bool, refusal: Exception, word: dict[str, str]) -> None:
    line = Line(dials=dials)
    line.owner.refusal = refusal
    line.sent()
    line.feed(ANSWER if dials else GREETING, text())
    assert line.sent() == [word]
    assert line.owner.events == ["greet far", "lost"] and not line.owner.messages
    assert dials is isinstance(line.link.ready.error, DialError) or not dials


def test_the_wrong_version_is_an_error_and_the_end() -> None:
    line = Line()
    line.feed(Handshake(**THEIRS | {"v": 3, "min_v": 2}))
    [error] = line.sent()
    assert (error["type"], error["code"]) == ("error", "version") and "2 to 3" in error["message"]
    assert line.owner.events == ["lost"] and "2 to 3" in line.link.why


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST", b"P"])
def test_a_browser_is_told_that_this_is_no_web_server(data: bytes) -> None:
    line = Line()
    line.feed(data)
    assert bytes(line.transport.sent).startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert line.is_lost and "HTTP" in line.link.why


def test_a_tls_hello_is_closed_without_a_word() -> None:
    line = Line()
    line.feed(b"\x16\x03\x01\x02\x00")
    assert not line.transport.sent and line.is_lost and "TLS" in line.link.why


@pytest.mark.parametrize("data", [b"[]", b"\x00\x01", b"\xff", b"}"])
def test_rubbish_gets_an_error(data: bytes) -> None:
    line = Line()
    line.feed(data)
    assert [(one["type"], one["code"]) for one in line.sent()] == [("error", "bad_json")]
    assert line.is_lost


# -- signs of life -----------------------------------------------------------------------------------------------------


def test_silence_is_asked_after_ten_seconds_and_shown_after_twenty_and_ends_the_link_after_thirty() -> None:
    line = Line().open()
    line.advance(9.9)
    assert not line.sent()
    line.advance(0.2)
    assert line.sent() == [{"type": "ping", "n": 1}]
    line.advance(9.7)
    assert not line.link.is_away
    line.advance(0.3)
    assert line.link.is_away and line.owner.events[-1] == "away" and not line.sent()
    line.advance(9.7)
    assert line.link.is_open
    line.advance(0.3)
    assert line.is_lost and "30 s" in line.link.why
    assert line.owner.events == ["greet far", "opened", "away", "lost"]


@pytest.mark.parametrize("what", [Ping(n=7), Pong(n=7), text(), Ack(upto=0), b" ", b"\n", b'{"typ'])
def test_any_traffic_is_a_sign_of_life(what: Message | bytes) -> None:
    line = Line().open()
    line.advance(25)
    assert line.link.is_away
    line.feed(what)
    assert not line.link.is_away
    line.sent()
    line.advance(9.9)
    assert not line.sent()
    line.advance(0.2)
    assert line.sent() == [{"type": "ping", "n": 2}]
    line.advance(19)
    assert line.link.is_open
    line.advance(1)
    assert line.is_lost


def test_who_answers_pings_stays_for_ever_and_its_round_trip_is_known() -> None:
    line = Line().open()
    for n in range(1, 50):
        line.advance(10.05)
        assert line.sent() == [{"type": "ping", "n": n}]
        line.advance(0.25)
        line.feed(Pong(n=n))
        assert line.link.round_trip == pytest.approx(0.3)
    assert line.link.is_open and "away" not in line.owner.events


def test_a_pong_of_an_older_ping_measures_nothing() -> None:
    line = Line().open()
    line.link.ping()
    line.advance(1)
    line.link.ping()
    line.feed(Pong(n=1))
    assert line.link.round_trip is None
    line.feed(Pong(n=2))
    assert line.link.round_trip == 0.0


def test_a_ping_is_answered_with_its_number() -> None:
    line = Line().open()
    line.feed(Ping(n=5), Ping(n=2**53))
    assert line.sent() == [{"type": "pong", "n": 5}, {"type": "pong", "n": 2**53}]


def test_pings_and_pongs_do_not_reach_the_owner() -> None:
    line = Line().open()
    line.feed(Ping(n=5), Pong(n=1), Ack(upto=1), Refuse(seq=1, code="x"))
    assert [message for message, _ in line.owner.messages] == [Ack(upto=1), Refuse(seq=1, code="x")]


def test_times_come_out_whatever_the_clock_says() -> None:
    """Where the clock crosses a power of two, ten seconds later is a hair less than ten seconds away."""
    for start in (1020.0, 2040.0, 4090.0):
        now = math.nextafter(start, math.inf)
        assert (now + 10) - now < 10
        line = Line(now=now).open()
        line.advance(10.5)
        assert line.sent() == [{"type": "ping", "n": 1}]
        line.advance(20)
        assert line.is_lost and line.owner.events.count("away") == 1


def test_what_is_talk_and_what_only_a_sign_of_life() -> None:
    """A link that nobody talks on may be closed as idle."""
    line = Line().open()
    opened = line.link.talked_at
    line.advance(5)
    line.feed(Ping(n=1), Pong(n=0), Ack(upto=0))
    line.link.send(Ack(upto=1))
    line.link.ping()
    assert line.link.talked_at == opened
    line.feed(text())
    assert line.link.talked_at == opened + 5
    line.advance(5)
    line.link.send_frame(encode(text()))
    assert line.link.talked_at == opened + 10
    line.advance(5)
    line.link.send(Refuse(seq=1, code="x"))
    assert line.link.talked_at == opened + 15


# -- the probe ---------------------------------------------------------------------------------------------------------


def test_a_probe_that_is_answered_says_alive_once() -> None:
    line, told = Line().open(), list[bool]()
    line.link.probe(3.0, told.append)
    assert line.sent() == [{"type": "ping", "n": 1}]
    line.advance(2)
    line.feed(Pong(n=1))
    assert told == [True]
    line.feed(Pong(n=1))
    line.advance(5)
    assert told == [True]


def test_anything_answers_a_probe() -> None:
    line, told = Line().open(), list[bool]()
    line.link.probe(3.0, told.append)
    line.feed(text())
    assert told == [True]


def test_a_probe_that_is_not_answered_says_so_after_its_time_and_closes_nothing() -> None:
    line, told = Line().open(), list[bool]()
    line.link.probe(3.0, told.append)
    line.advance(2.9)
    assert not told
    line.advance(0.2)
    assert told == [False] and line.link.is_open
    line.feed(Pong(n=1))
    assert told == [False]


def test_a_lost_link_does_not_live() -> None:
    line, told = Line().open(), list[bool]()
    line.link.probe(3.0, told.append)
    line.transport.abort()
    line.advance(10)
    assert told == [False]


def test_two_probes_are_told_apart() -> None:
    line, told = Line().open(), list[str]()
    line.link.probe(3.0, lambda alive: told.append(f"first {alive}"))
    line.advance(2)
    line.link.probe(3.0, lambda alive: told.append(f"second {alive}"))
    line.advance(2)
    line.feed(Pong(n=2))
    assert told == ["first False", "second True"]


# -- texts -------------------------------------------------------------------------------------------------------------


def test_so_many_texts_as_were_announced_are_resumed() -> None:
    line = Line().open(backlog=2)
    line.feed(text(1), Channels(channels=[]), text(2), text(3))
    assert [resumed for message, resumed in line.owner.messages if isinstance(message, Chat)] == [True, True, False]


def test_nobody_has_more_to_resume_than_an_outbox_holds() -> None:
    """Or who announces a huge number could flood for ever."""
    line = Line().open(backlog=2**53)
    line.feed(*(text(n) for n in range(1, MOST + 51)))
    assert [resumed for _, resumed in line.owner.messages] == MOST * [True] + 50 * [False]


@pytest.mark.parametrize(
    ("what", "is_used"),
    [(Channels(channels=[Membership("x")]), False), (text(), False), (Ack(upto=0), True), (Ping(n=1), True),
     (Pong(n=1), True), (Refuse(seq=1, code="x"), True)],
)  # fmt: skip
def test_a_link_is_fresh_until_something_new_comes(what: Message, is_used: bool) -> None:
    line = Line().open(backlog=1)
    assert not line.link.is_used
    line.feed(what)
    assert line.link.is_used is is_used
    line.feed(text(2), text(3))
    assert line.link.is_used


# -- many at once ------------------------------------------------------------------------------------------------------


def test_a_thousand_messages_in_one_packet_take_several_turns() -> None:
    line = Line().open()
    line.transport.feed(b"".join(encode(text(n)) for n in range(1, 1001)))
    counts = [len(line.owner.messages)]
    while counts[-1] < 1000 and len(counts) < 100:
        line.reactor.turn()
        counts.append(len(line.owner.messages))
    steps = [after - before for before, after in pairwise(counts)]
    assert counts[0] == MESSAGES_A_TURN and max(steps) <= MESSAGES_A_TURN
    assert [message.seq for message, _ in line.owner.messages if isinstance(message, Chat)] == list(range(1, 1001))


def test_types_that_nobody_knows_take_their_turns_too() -> None:
    line = Line().open()
    line.transport.feed(b'{"type":"dance"}\n' * (MESSAGES_A_TURN + 1))
    assert not line.transport.reading
    line.advance(0)
    assert line.transport.reading and [one["message"] for one in line.sent()] == ["dance"]


def test_while_its_messages_wait_for_their_turn_a_link_reads_no_more() -> None:
    line = Line().open()
    line.transport.feed(b"".join(encode(text(n)) for n in range(1, 201)))
    assert not line.transport.reading
    line.transport.feed(encode(text(201)))
    line.advance(0)
    assert line.transport.reading and len(line.owner.messages) == 201


def test_a_link_that_ends_in_the_middle_of_many_messages_takes_no_more_of_them() -> None:
    line = Line().open()
    line.transport.feed(b"".join(encode(text(n)) for n in range(1, 1001)))
    line.link.close("quit")
    line.advance(1)
    assert len(line.owner.messages) == MESSAGES_A_TURN and line.is_lost


def test_the_end_of_the_stream_waits_for_the_messages_before_it() -> None:
    line = Line().open()
    line.transport.feed(b"".join(encode(text(n)) for n in range(1, 201)))
    line.transport.feed_eof()
    line.advance(1)
    assert len(line.owner.messages) == 200 and line.is_lost


def test_ten_megabytes_without_a_line_feed_cost_one_read_more_than_a_line() -> None:
    line = Line().open()
    fed = 0
    line.transport.feed(b'{"type":"chat","message":"')
    while not line.transport.is_closing and fed < 10 * 2**20:
        line.transport.feed(65_536 * b"x")
        fed += 65_536
    assert fed <= 2 * 65_536
    [error] = line.sent()
    assert (error["type"], error["code"]) == ("error", "too_long")
    line.advance(0)
    assert line.is_lost and "65536" in line.link.why


# -- slow readers ------------------------------------------------------------------------------------------------------


def test_a_quarter_of_a_megabyte_unsent_is_an_overflow() -> None:
    line = Line().open()
    line.transport.stall = True
    frame = encode(text(1, 1000 * "x"))
    for _ in range(HIGH_WATER // len(frame)):
        line.link.send_frame(frame)
    line.advance(0)
    assert line.link.is_open
    line.link.send_frame(frame)
    line.advance(0)
    assert line.is_lost and "too slowly" in line.link.why


def test_who_asks_and_never_reads_is_cut_off_at_the_same_mark() -> None:
    line = Line().open()
    line.transport.stall = True
    most = 0
    for _ in range(2000):
        line.transport.feed(b"".join(encode(Ping(n=n)) for n in range(50)))
        most = max(most, line.transport.unsent)
        line.reactor.turn()
        if line.is_lost:
            break
    assert line.is_lost and most < HIGH_WATER + 64 * 1024


def test_less_than_500_bytes_a_second_while_bytes_wait_is_an_overflow() -> None:
    line = Line().open()
    line.transport.stall = True
    line.link.send_frame(encode(text(1, 60_000 * "x")))
    for _ in range(9):
        line.advance(1)
        line.reads(499)
        line.feed(Ping(n=1))
    assert line.link.is_open
    line.advance(1.1)
    assert line.is_lost and "500 bytes a second" in line.link.why


def test_500_bytes_a_second_are_enough() -> None:
    line = Line().open()
    line.transport.stall = True
    line.link.send_frame(encode(text(1, 60_000 * "x")))
    for _ in range(60):
        line.advance(0.95)
        line.reads(500)
        line.feed(Ping(n=1))
    assert line.link.is_open


def test_the_rate_is_taken_anew_for_every_ten_seconds() -> None:
    """Who was quick once is cut off all the same when it stops."""
    line = Line().open()
    line.transport.stall = True
    line.link.send_frame(encode(text(1, 100_000 * "x")))
    line.reads(50_000)
    for _ in range(9):
        line.advance(1)
        line.feed(Ping(n=1))
    assert line.link.is_open
    for _ in range(12):
        line.advance(1)
        line.feed(Ping(n=1))
    assert line.is_lost


def test_what_is_pending_for_a_moment_is_no_overflow() -> None:
    line = Line().open()
    for _ in range(20):
        line.transport.stall = True
        line.link.send_frame(encode(text()))
        line.advance(4)
        line.feed(Ping(n=1))
        line.transport.release()
        line.advance(4)
        line.feed(Ping(n=1))
    assert line.link.is_open


def test_the_owner_hears_when_all_that_waited_has_gone_out() -> None:
    line = Line().open()
    before = line.link.taken
    assert line.link.send_frame(encode(text())) == line.link.taken > before
    line.transport.stall = True
    end = line.link.send_frame(encode(text()))
    assert line.link.taken < end and line.link.has_room
    line.advance(1)
    assert "drained" not in line.owner.events
    line.transport.release()
    line.advance(0)
    assert line.owner.events[-1] == "drained" and line.link.taken == end


def test_there_is_room_below_the_low_water_mark() -> None:
    line = Line().open()
    line.transport.stall = True
    line.link.send_frame((LOW_WATER - 1) * b"x")
    assert line.link.has_room
    line.link.send_frame(b"x")
    assert not line.link.has_room and line.link.is_open
    line.transport.release()
    assert line.link.has_room


# -- the end, both ways ------------------------------------------------------------------------------------------------


def test_our_goodbye_is_said_once_and_nothing_is_heard_after_it() -> None:
    line = Line().open()
    line.transport.stall = True  # so that the transport lives on
    line.link.close("idle", "nobody has talked")
    line.link.close("quit")
    line.link.send(Ping(n=1))
    line.feed(text(), b"\xff rubbish\n")
    assert not line.link.is_open and not line.owner.messages
    line.transport.release()
    line.advance(0)
    assert line.sent() == [{"type": "bye", "reason": "idle"}]
    assert line.is_lost and line.link.why == "nobody has talked"


def test_their_goodbye_ends_the_link_with_its_reason_and_is_not_answered() -> None:
    line = Line().open()
    line.feed(text(), Bye(reason="quit"), text(2))
    assert line.owner.messages == [(text(), False)] and not line.sent()
    assert line.is_lost and line.link.why == "it said goodbye (quit)"


def test_a_goodbye_before_the_handshake_is_heard_too() -> None:
    line = Line(dials=True)
    line.feed(Bye(reason="busy"))
    assert line.owner.events == ["lost"] and "busy" in line.link.why
    with pytest.raises(DialError, match="busy"):
        line.link.ready.result()


def test_our_error_is_said_and_ends_the_link() -> None:
    line = Line().open()
    line.feed(text(), b'{"type":"ping","n":"x"}\n', text(2))
    [error] = line.sent()
    assert (error["type"], error["code"]) == ("error", "bad_frame") and "ping" in error["message"]
    assert line.owner.messages == [(text(), False)]
    assert line.is_lost and "broke the protocol" in line.link.why


def test_an_error_of_the_owner_about_a_message_is_said_too() -> None:
    line = Line().open()

    def refuse(link: Link, message: Message, resumed: bool) -> None:
        raise FrameError("flood", "too many")

    line.owner.received = refuse  # type: ignore[method-assign]
    line.feed(text())
    assert line.sent() == [{"type": "error", "code": "flood", "message": "too many"}] and line.is_lost


def test_their_error_ends_the_link_with_its_words_and_is_not_answered() -> None:
    line = Line().open()
    line.feed(Error(code="flood", message="too many"))
    assert not line.sent() and line.is_lost
    assert "flood" in line.link.why and "too many" in line.link.why


def test_our_words_about_an_error_are_short_however_long_the_frame() -> None:
    line = Line().open()
    line.feed(Error(code="x", message=60_000 * "y"))
    assert line.is_lost and len(line.link.why) < 400
    line = Line()
    line.feed(b'{"type":"' + 60_000 * b"x" + b'"}')
    assert line.is_lost and len(line.link.why) < 400 and len(line.transport.sent) < 1000


@pytest.mark.parametrize("kind", ["handshake", "handshake_ack"])
def test_a_second_handshake_is_not_allowed(kind: str) -> None:
    line = Line().open()
    line.feed(GREETING if kind == "handshake" else ANSWER)
    [error] = line.sent()
    assert (error["code"], line.is_lost) == ("bad_state", True) and kind in error["message"]


def test_the_end_of_the_stream_is_the_end_of_the_link() -> None:
    line = Line().open()
    line.transport.feed_eof()
    line.advance(0)
    assert line.is_lost and line.link.why == "it closed the connection" and not line.sent()


def test_a_connection_that_breaks_says_why() -> None:
    line = Line().open()
    line.transport.abort(OSError(errno.ECONNRESET, "Connection reset by peer"))
    line.advance(0)
    assert line.is_lost and line.link.why == "the connection was lost (connection reset by peer)"
    assert not line.link.is_open


def test_an_aborted_link_is_lost_at_once() -> None:
    line = Line(dials=True)
    line.link.abort("not wanted")
    line.advance(0)
    assert line.is_lost and line.link.why == "not wanted"


def test_who_never_reads_our_goodbye_is_not_waited_for_for_ever() -> None:
    line = Line().open()
    line.transport.stall = True
    line.link.send_frame(encode(text()))
    line.link.close("quit")
    line.advance(10.1)
    assert line.is_lost


def test_a_lost_link_leaves_no_timer_behind() -> None:
    line = Line().open()
    line.transport.stall = True
    line.link.send_frame(encode(text()))
    line.link.probe(3.0, lambda alive: None)
    line.transport.abort()
    line.advance(0)
    assert line.reactor.timers.next() == math.inf
    events = list(line.owner.events)
    line.advance(100)
    assert line.owner.events == events


def test_after_the_end_nothing_is_sent() -> None:
    line = Line().open()
    line.transport.abort()
    line.advance(0)
    line.link.send(Ping(n=1))
    line.link.close("quit")
    line.link.abort()
    assert not line.sent()


# -- unknown types -----------------------------------------------------------------------------------------------------


def test_an_unknown_type_is_answered_once_and_closes_nothing() -> None:
    line = Line().open()
    line.feed(b'{"type":"dance"}\n{"type":"dance","n":2}\n{"type":"sing"}\n', text())
    assert line.sent() == [
        {"type": "error", "code": "unsupported", "message": "dance"},
        {"type": "error", "code": "unsupported", "message": "sing"},
    ]
    assert line.link.is_open and line.owner.messages == [(text(), False)]


def test_that_something_of_ours_is_unsupported_closes_nothing() -> None:
    line = Line().open()
    line.feed(Error(code="unsupported", message="dance"), text())
    assert line.link.is_open and not line.sent()


# -- original peers ----------------------------------------------------------------------------------------------------


def test_an_original_peer_is_answered_in_kind_and_never_pinged() -> None:
    line = Line()
    line.feed(OLD)
    assert [one["type"] for one in line.sent()] == ["handshake_ack"]
    line.advance(3600)
    assert line.link.is_open and not line.sent() and "away" not in line.owner.events


def test_an_original_peer_hears_neither_errors_nor_goodbyes() -> None:
    line = Line().open_original()
    line.link.close("quit")
    line.advance(0)
    assert not line.sent() and line.is_lost
    line = Line().open_original()
    line.feed(b"rubbish")
    assert not line.sent() and line.is_lost and "begins with {" in line.link.why


def test_an_original_peer_that_never_reads_is_cut_off_too() -> None:
    line = Line().open_original()
    line.transport.stall = True
    line.link.send_frame(encode(text()))
    line.advance(10.1)
    assert line.is_lost
