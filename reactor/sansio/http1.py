"""HTTP/1.1 as a state table: bytes in, events out, for either role.

    conn = Connection(SERVER)
    conn.receive_data(b"GET / HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n")
    conn.next_event()                           # RequestHead; its length is 0, so it is its own End
    conn.send(ResponseHead(200, Headers(), length=2)) + conn.send(Data(b"hi")) + conn.send(End())

Each side of a connection has a state of its own, moved by what that side sends. `states.TABLE` is the whole protocol;
the code below only finds the events and encodes them. When both sides are DONE and both want to stay, the next cycle
begins; until then, what a client has pipelined waits in the buffer and `next_event` says PAUSED.

A received head with `length == 0` makes both moves at once, and no End follows it: most requests have no body, and
an event that says nothing costs as much as one that does.
"""

from __future__ import annotations

from typing import Final

from reactor.errors import LocalProtocolError, RemoteProtocolError
from reactor.sansio.buffer import ReceiveBuffer
from reactor.sansio.framing import LARGEST_DATA, BodyReader, Data, End, LengthReader, body_reader
from reactor.sansio.head import (
    CHUNKED,
    UNTIL_CLOSE,
    Limits,
    RequestHead,
    ResponseHead,
    parse_response_head,
)
from reactor.sansio.headers import Headers, encode_fields
from reactor.sansio.memo import AnswerMemo, HeadMemo
from reactor.sansio.states import (
    BODY,
    CLIENT,
    CLOSED,
    DONE,
    ERROR,
    IDLE,
    NEED_DATA,
    PAUSED,
    SERVER,
    SWITCHED,
    TABLE,
    Close,
    Event,
    Interim,
    Received,
    Role,
    Signal,
    State,
    Switch,
)

_UNBOUNDED: Final = -3  # what we send is chunked or ends with the connection: no count to keep
_NO_REQUESTS: Final = HeadMemo(Limits(), entries=0)
_NO_ANSWERS: Final = AnswerMemo(entries=0)


class Connection:
    """One HTTP/1.x connection, in one role. Holds no socket: give it what arrives, send what it returns.

    Raises `RemoteProtocolError(status)` from `next_event` when the peer broke the protocol (again at every later
    call: nothing behind an error is ever parsed) and `LocalProtocolError` from `send` when we would; a failed `send`
    changes nothing. `has_data` is whether anything waits behind the request head that was returned last.
    """

    __slots__ = ("_answers", "_buffer", "_eof", "_error", "_head", "_is_partial", "_limits", "_line_end", "_memo",
                 "_our_left", "_reader", "_role", "_scanned", "_skipped_blank", "has_data", "keep_alive", "ours",
                 "theirs")  # fmt: skip

    def __init__(
        self,
        role: Role,
        limits: Limits | None = None,
        memo: HeadMemo | None = None,
        answers: AnswerMemo | None = None,
    ) -> None:
        """`memo` may be shared by all connections of a server, `answers` by those to one; each brings its limits."""
        self._role = role
        self._answers = answers or _NO_ANSWERS
        self._memo = memo or (HeadMemo(limits, entries=0) if limits else _NO_REQUESTS)
        self._limits = limits or (self._answers if role is CLIENT else self._memo).limits
        self._buffer = ReceiveBuffer()
        self._eof = False
        self._error: tuple[str, int] | None = None  # words and status; the exception itself would hold us by its frames
        self.ours = IDLE
        self.theirs = IDLE
        self._scanned = 0  # bytes of an incomplete head already searched for its end
        self._line_end = -1  # of an incomplete head
        self._skipped_blank = False
        self._is_partial = False  # the three above hold something
        self.has_data = False  # the buffer may hold something, or the parser may be inside a head
        self._begin()

    def _begin(self) -> None:
        """What holds for one cycle of request and response."""
        self.keep_alive = True
        self._head: RequestHead | None = None  # the request of this cycle, whoever sent it
        self._reader: BodyReader | None = None
        self._our_left = 0

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and wait to be parsed."""
        return len(self._buffer)

    @property
    def announced(self) -> int:
        """Bytes of the peer's body that are sure to follow, or the body is broken: the rest of its length, or of the
        chunk that has begun.
        """
        return self._reader.left if self._reader is not None else 0

    # -- receiving ---------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer. Nothing is parsed before `next_event`, and nothing is kept that never will be."""
        if self.theirs is not ERROR and self.theirs is not CLOSED:
            self.has_data = True
            self._buffer.feed(data)

    def receive_request(self, data: bytes) -> RequestHead | None:
        """The common case in one step: `data` is exactly one good, short head without a body, and nothing else is
        going on. Then this is the same as `receive_data` and `next_event`. Else None, and nothing has changed.
        """
        if self.has_data or self.theirs is not IDLE or self.ours is not IDLE:
            return None
        memo = self._memo
        head = memo.young.get(data) or memo.parse_alone(data)
        if head is None or head.length:
            return None
        self._head = head
        self.keep_alive = head.keep_alive
        self.theirs = DONE
        return head

    def next_known(self) -> RequestHead | None:
        """The common case of a pipeline in one step: what is next in the buffer is a head that is remembered. Then this
        is the same as `next_event`. Else None, and nothing has changed.
        """
        if self.theirs is not IDLE or self.ours is not IDLE or self._is_partial:
            return None
        found = self._buffer.known_head(self._memo.young, self._memo.largest)
        if found is None:
            return None
        head, self.has_data = found
        self._take_request(head)
        return head

    def receive_answer(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """The common case of a client in one step: `data` is exactly one whole answer of known length, nothing else is
        going on, and both sides stay. Then this is the same as `receive_data` and `next_event` until the End, and gives
        head and body. Else None, and nothing has changed.
        """
        if self.theirs is not IDLE or self.ours is not DONE or self._is_partial or self._buffer or not self.keep_alive:
            return None
        end = data.find(b"\r\n\r\n", 0, self._limits.line) + 4
        if end < 4 or self._is_head:
            return None
        try:
            head = self._answers.parse(data[:end])
        except RemoteProtocolError:
            return None
        if head.length != len(data) - end or head.status < 200 or not head.keep_alive:
            return None
        self.ours = self.theirs = IDLE
        self._begin()
        return head, data[end:]

    def receive_piece(self, data: bytes) -> bool:
        """A short way for what comes out of the middle of a body of known length: True if `data` is a piece of it, and
        no more. It is counted then, and is the body's next Data. False, and nothing has changed: `receive_data`.
        """
        reader = self._reader
        if (
            self.theirs is not BODY or not isinstance(reader, LengthReader) or self._buffer
            or not len(data) < reader.left or len(data) > LARGEST_DATA
        ):  # fmt: skip
            return False
        reader.left -= len(data)
        return True

    def receive_eof(self) -> None:
        """The peer will send nothing more (it may still be reading)."""
        self._eof = True

    def next_event(self) -> Received:
        """The next event of the peer, or a Signal that says why there is none."""
        if self._error is not None:
            raise RemoteProtocolError(*self._error)
        theirs = self.theirs
        try:
            if theirs is IDLE:
                return self._next_request() if self._role is SERVER else self._next_response()
            if theirs is BODY:
                return self._next_body()
        except RemoteProtocolError as error:
            if self._role is CLIENT:  # a server's fault, whatever it was, is one status to whoever waits behind us
                error.status = 502
            self.theirs, self._error, self.keep_alive = ERROR, (str(error), error.status), False
            raise
        if theirs is CLOSED:
            return Signal.CLOSED
        return PAUSED

    def _next_request(self) -> Received:
        if self.ours is not IDLE:
            # We have answered before a request was there (408, 503) or closed: that was our last word, and a request
            # that comes now must not be taken for the one it answered (RFC 9112 9.6).
            self.theirs = CLOSED
            return Signal.CLOSED
        memo, buffer = self._memo, self._buffer
        # A short head that is all there needs no thought about sizes or cuts.
        raw = None if self._is_partial else buffer.take_head(memo.largest)
        if raw is None:
            raw = self._take_head()
            if raw is None:
                return self._no_head()
        head = memo.young.get(raw) or memo.parse(raw)
        self.has_data = bool(buffer)
        self._take_request(head)
        return head

    def _take_request(self, head: RequestHead) -> None:
        self._head = head
        self.keep_alive = head.keep_alive
        if head.length:
            self._begin_body(head.length)
        else:
            self.theirs = DONE  # and ours is IDLE, so the cycle cannot be over yet

    def _next_response(self) -> Received:
        if self._head is None:
            return self._unasked()
        raw = self._take_head()
        if raw is None:
            return self._no_head()
        if self._head.method in ("HEAD", "CONNECT"):  # whose answers end with their heads
            head = parse_response_head(raw, self._limits, self._head.method)
        else:
            head = self._answers.parse(raw)
        if head.status < 200:
            if head.status == 101:
                if not self._head.upgrade:
                    raise RemoteProtocolError("101 for a request that asked for no upgrade", 502)
                if self.ours is not DONE:
                    raise RemoteProtocolError("101 before the request was complete", 502)
                self.ours = self.theirs = SWITCHED
            return head
        self.keep_alive = self.keep_alive and head.keep_alive and head.length != UNTIL_CLOSE
        assert head.length is not None
        self._begin_body(head.length)
        return head

    def _begin_body(self, length: int) -> None:
        if length:
            self._reader = body_reader(length, self._limits)
            self.theirs = BODY
        else:
            self.theirs = DONE
            self._end_cycle()

    def _next_body(self) -> Received:
        assert self._reader is not None
        event = self._reader.read(self._buffer)
        if event is None:
            if not self._eof:
                return NEED_DATA
            event = self._reader.at_eof()
        if event.__class__ is End:
            self.has_data = bool(self._buffer)
            self.theirs = DONE
            self._end_cycle()
        return event

    def _unasked(self) -> Received:
        """A client that has asked nothing: bytes are an error, the end is an end."""
        if self._buffer:
            raise RemoteProtocolError("the server sent something that nobody asked for", 502)
        return self._no_head()

    def _no_head(self) -> Received:
        if not self._eof:
            return NEED_DATA
        if self._buffer or (self._role is CLIENT and self._head is not None):
            raise RemoteProtocolError("the connection ended before a complete head")
        self.theirs = CLOSED
        return Signal.CLOSED

    def _take_head(self) -> bytes | None:
        """The bytes of the next head, its empty line included, or None if it is not all there. Sizes are judged here,
        and in an order that gives the same verdict however the bytes were cut: start line first, then the whole.
        """
        buffer, limits = self._buffer, self._limits
        if self._line_end < 0:
            self._line_end = buffer.find(b"\r\n", max(0, self._scanned - 1), limits.line + 2)
        # RFC 9112 2.2: one empty line before a request is forgiven, before a response none.
        if self._line_end == 0 and self._role is SERVER and not self._skipped_blank:
            self._skipped_blank, self._line_end = True, -1
            buffer.skip(2)
            return self._take_head()
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3), limits.head)
        if self._line_end < 0 or end < 0:
            self._check_start_line(self._line_end)
        self._is_partial = end < 0
        if end < 0:
            self._scanned = len(buffer)
            if self._scanned >= limits.head:
                raise RemoteProtocolError(f"header over {limits.head} bytes", 431)
            return None
        self._scanned, self._line_end, self._skipped_blank = 0, -1, False
        return buffer.take(end + 4)

    def _check_start_line(self, end: int) -> None:
        """Refuse a start line as soon as it cannot become a good one: too long, or with a control character in it,
        which a bare LF is. Somebody who speaks TLS or another protocol to us need not wait for a deadline.
        """
        limit = self._limits.line
        start = max(0, self._scanned - 1)  # what was there before is fine, but for a CR at its end
        line = self._buffer.peek(end if end >= 0 else limit + 2)[start:]
        bad = line.translate(None, _LINE_BYTES)
        if bad and not (end < 0 and bad == line[-1:] == b"\r"):  # its LF may be on the way
            raise RemoteProtocolError(f"control character {chr(bad[0])!r} in the start line")
        if end < 0 and start + len(line) > limit + 1:
            raise RemoteProtocolError(f"the start line is over {limit} bytes", 414)

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, event: Event, extra: bytes = b"", *, close: bool = False) -> bytes:
        """Encode what we send. `extra` are ready header lines for a head (the date); `close` says that this is the
        last exchange of the connection.
        """
        if isinstance(event, ResponseHead) and event.status < 200:
            return self._send_interim(event)
        state = self._check_move(type(event))
        if isinstance(event, RequestHead):
            wire = self._send_request(event, close)
        elif isinstance(event, ResponseHead):
            wire = self._send_response(event, extra, close)
        elif isinstance(event, Data):
            wire = self._send_data(event.data)
        else:
            wire = self._send_end(event)
        if state is not self.ours:
            self.ours = state
            self._end_cycle()
        return wire

    def _check_move(self, kind: type) -> State:
        state = TABLE[self._role][self.ours].get(kind)
        if state is None:
            raise LocalProtocolError(f"{self._role.value} cannot send {kind.__name__} while {self.ours.value}")
        return state

    def _send_interim(self, head: ResponseHead) -> bytes:
        self._check_move(Interim)
        if head.status == 101:
            raise LocalProtocolError("101 leaves HTTP: answer with switch()")
        if self._head is None or self._head.version < 11:  # RFC 9110 15.2
            raise LocalProtocolError(f"no HTTP/1.1 request for {head.status} to answer")
        return head.encoded + b"\r\n"

    def _send_request(self, head: RequestHead, close: bool) -> bytes:
        wire = head.encode()
        self._head = head
        self._our_left = _UNBOUNDED if head.length == CHUNKED else head.length
        self.keep_alive = head.keep_alive and not close
        return wire[:-2] + b"Connection: close\r\n\r\n" if close else wire

    def pass_on(self, head: RequestHead) -> None:
        """Make the moves of sending a request whose bytes the caller has made himself of `head`, which he received. One
        without a body is complete then.
        """
        state = self._check_move(RequestHead)
        self._head = head
        self._our_left = _UNBOUNDED if head.length == CHUNKED else head.length
        self.ours = state if head.length else DONE

    def _send_response(self, head: ResponseHead, extra: bytes, close: bool) -> bytes:
        """The head with its framing (RFC 9112 6): a length where it is known, else chunks, else the end."""
        parts = [head.encoded]
        keep_alive = self.keep_alive and head.keep_alive and not close and self.theirs in (BODY, DONE)
        length = head.length
        old = self._head is not None and self._head.version < 11
        if length is None and not head.has_no_body:
            if old:
                keep_alive = False  # HTTP/1.0 knows no chunks: the body ends with the connection
            else:
                parts.append(b"Transfer-Encoding: chunked\r\n")
        elif length is not None and (not head.has_no_body or (head.status == 304 and length)):
            parts.append(b"Content-Length: %d\r\n" % length)
        parts.append(extra)
        if not keep_alive:
            parts.append(b"Connection: close\r\n")
        elif old:
            parts.append(b"Connection: keep-alive\r\n")
        parts.append(b"\r\n")
        self.keep_alive = keep_alive
        if head.has_no_body or self._is_head:
            self._our_left = 0
        else:
            self._our_left = _UNBOUNDED if length is None else length
        return b"".join(parts)

    @property
    def _is_head(self) -> bool:
        return self._head is not None and self._head.method == "HEAD"

    def _send_data(self, data: bytes) -> bytes:
        if self._our_left == _UNBOUNDED and self._we_chunk:
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""  # an empty chunk would be the last one
        self.account(len(data))
        return data

    def account(self, size: int) -> None:
        """Count `size` body bytes that go out by another way than `send` (sendfile). Not for chunked bodies."""
        self._check_move(Data)
        if self._our_left == _UNBOUNDED:
            if self._we_chunk:
                raise LocalProtocolError("a chunked body goes out through send only")
            return
        if size > self._our_left:
            raise LocalProtocolError(f"{size - self._our_left} bytes more than the length that was announced")
        self._our_left -= size

    @property
    def _we_chunk(self) -> bool:
        if self._role is CLIENT:
            return True
        return self._head is None or self._head.version > 10

    def _send_end(self, event: End) -> bytes:
        if self._our_left > 0:
            raise LocalProtocolError(f"{self._our_left} bytes less than the length that was announced")
        if self._our_left == _UNBOUNDED and self._we_chunk:
            return b"0\r\n" + encode_fields(event.trailers) + b"\r\n"
        return b""

    def respond(self, head: ResponseHead, body: bytes, extra: bytes = b"", *, close: bool = False) -> bytes:
        """A whole answer at once: the same bytes and the same moves as `send` of head, Data and End. A body is left
        out where none may be (HEAD, 204, 304).
        """
        if not close and self.respond_plainly(head, len(body)):
            assert head.sized is not None
            return b"".join((head.sized, extra, b"\r\n", body))
        size = head.length
        if size != len(body) and size is not None and not (head.has_no_body or self._is_head):
            raise LocalProtocolError(f"a body of {len(body)} bytes where {size} were announced")
        wire = self.send(head, extra, close=close)
        if self._our_left:
            wire += self._send_data(body)
        return wire + self.send(End())

    def respond_plainly(self, head: ResponseHead, size: int) -> bool:
        """Make all moves of an answer with a body of `size` bytes at once, if nothing about it needs a thought: the
        request is complete and the connection stays. True: its bytes are `head.sized`, header lines of the caller's, an
        empty line and the body. False: nothing has changed, and `respond` knows what to do.
        """
        request = self._head
        if (
            self.theirs is not DONE or self.ours is not IDLE or request is None or not request.is_plain
            or head.sized is None or head.length != size
        ):  # fmt: skip
            return False
        self._head = None
        self.theirs = IDLE  # IDLE -> BODY -> DONE for us, and as theirs is DONE, both begin anew
        return True

    def switch(self, head: ResponseHead, extra: bytes = b"") -> bytes:
        """Answer 101 and leave HTTP; `take_rest` has what the client sent behind its request."""
        state = self._check_move(Switch)
        if self.theirs is not DONE or self._head is None or not self._head.upgrade:
            raise LocalProtocolError("no complete request for an upgrade to answer")
        if head.status != 101:
            raise LocalProtocolError(f"{head.status} does not leave HTTP, 101 does")
        wire = head.encoded + extra + b"\r\n"
        self.ours = self.theirs = state
        return wire

    def take_rest(self) -> bytes:
        """After a switch: the bytes that belong to the other protocol."""
        if self.theirs is not SWITCHED:
            raise LocalProtocolError("bytes of another protocol are only there after a switch")
        return self._buffer.take(len(self._buffer))

    def close(self) -> None:
        """We send nothing more."""
        self.ours = self._check_move(Close)

    def _end_cycle(self) -> None:
        """When both sides are done, start over, or end if either wants to."""
        if self.ours is not DONE or self.theirs is not DONE:
            return
        if self.keep_alive:
            self.ours = self.theirs = IDLE
            self._begin()
        else:
            self.ours = self.theirs = CLOSED


# All that a start line may be made of; what `translate` leaves over is not. A reason may hold tabs.
_LINE_BYTES = bytes(byte for byte in range(256) if (byte >= 0x20 and byte != 0x7F) or byte == 0x09)

__all__ = ["BODY", "CHUNKED", "CLIENT", "CLOSED", "DONE", "ERROR", "IDLE", "NEED_DATA", "PAUSED", "SERVER",
           "SWITCHED", "TABLE", "UNTIL_CLOSE", "Close", "Connection", "Data", "End", "Event", "HeadMemo", "Headers",
           "Interim", "Limits", "Received", "RequestHead", "ResponseHead", "Role", "Signal", "State",
           "Switch"]  # fmt: skip
