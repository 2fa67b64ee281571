"""WebSocket frames as a server sees them (RFC 6455 5, RFC 7692): bytes in, whole messages and bytes to send out.

    frames = Frames(max_message=64 * 1024)
    frames.receive(bytes)               # then look at: messages, pongs, data_to_send(), state, is_over
    frames.send_close(1000, "bye")

Framing is the sans-I/O layer of `websockets`; what it leaves to its users is here: fragments are joined, and text is
checked to be UTF-8. Both happen where a frame is received and before the next one is looked at, so that a verdict does
not depend on how TCP has cut the bytes. Fragments are joined as they come: a million empty ones cost what one costs.

Nothing but this file imports `websockets`, and only who serves a WebSocket imports this file.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Generator, Sequence
from typing import Final

from websockets.exceptions import InvalidHeader, NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import BINARY, CLOSE, CONT, PONG, TEXT, Frame
from websockets.headers import build_extension, parse_extension
from websockets.protocol import Protocol, Side, State
from websockets.streams import StreamReader

from reactor.errors import HTTPError, LocalProtocolError

try:
    from websockets.speedups import apply_mask
except ImportError:  # where it was not compiled
    from websockets.utils import apply_mask

__all__ = ["Frames", "agree_on_deflate"]

# RFC 7692 7.1: a window of 4 KiB in both directions, and a client that cannot promise that goes without. With zlib's
# own sizes a connection would cost 300 KiB; chat messages are small, and larger windows gain them little.
WINDOW_BITS: Final = 12
MEMORY_LEVEL: Final = 5

_utf8_decoder = codecs.getincrementaldecoder("utf-8")
# The layer below has nothing to tell that we would not hear of anyway.
_silent = logging.getLogger("reactor.websocket")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class _Reader(StreamReader):
    """Knows whether it stands between two frames."""

    is_between = False

    def at_eof(self) -> Generator[None, None, bool]:
        """Asked by the parser between frames only."""
        self.is_between = True
        is_over = yield from super().at_eof()
        self.is_between = False
        return is_over


class Frames(Protocol):
    """One connection's frames. A mistake of the peer's makes the Close frame that tells it (1002, 1007, 1009), and
    nothing behind it is looked at.

    `messages` are those that have come, text as `str`; `pongs` what pongs have brought. Who takes them clears the list.
    """

    reader: _Reader

    def __init__(self, max_message: int, extensions: Sequence[Extension] = ()) -> None:
        """`max_message` in bytes holds for what comes and for what it is when it is inflated."""
        super().__init__(Side.SERVER, state=State.OPEN, max_size=max_message, logger=_silent)
        self.extensions = list(extensions)
        self.reader = _Reader()
        self.parser = self.parse()
        next(self.parser)
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self._joined: bytearray | None = None  # a message of which not all fragments have come
        self._decoder: codecs.IncrementalDecoder | None = None  # if it is text

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer. Most are one short message, whole; for these there is a short way, and what it does
        not know goes the long one.
        """
        if not self._receive_message(data):
            self.receive_data(data)

    def _receive_message(self, data: bytes) -> bool:
        """Whether `data` was exactly one good message of less than 64 KiB, and nothing else is going on."""
        size = len(data) - 6
        if size < 0 or not self.reader.is_between or self.eof_sent:
            return False
        first, second = data[0], data[1]
        if second == 0xFE:
            begin, size, said = 4, size - 2, int.from_bytes(data[2:4], "big")
        else:
            begin, said = 2, second ^ 0x80 if second != 0xFF else -1  # 127: eight bytes of length follow
        if (
            said != size or first not in (0x81, 0x82) or self.current_size is not None
            or self.max_message_size is None or size > self.max_message_size
        ):  # fmt: skip
            return False
        payload = apply_mask(data[begin + 4 :], data[begin : begin + 4])
        try:
            self.messages.append(payload if first == 0x82 else payload.decode())
        except UnicodeDecodeError:
            return False
        return True

    def recv_frame(self, frame: Frame) -> None:
        """A frame that is well-formed in itself has come. What this raises decides the code of the Close frame."""
        if frame.opcode is CLOSE:
            self.current_size = None  # it may come between two fragments (RFC 6455 5.4), and no more of them will
        super().recv_frame(frame)  # its place among the others; pongs and close frames are answered
        self.events.clear()
        opcode = frame.opcode
        if opcode is CONT:
            self._join(frame)
        elif opcode is TEXT or opcode is BINARY:
            if frame.fin:
                self.messages.append(str(frame.data, "utf-8") if opcode is TEXT else bytes(frame.data))
            else:
                self._joined = bytearray()
                self._decoder = _utf8_decoder() if opcode is TEXT else None
                self._join(frame)
        elif opcode is PONG:
            self.pongs.append(bytes(frame.data))

    def _join(self, frame: Frame) -> None:
        joined = self._joined
        assert joined is not None
        joined += frame.data
        if self.max_message_size is not None and len(joined) > self.max_message_size:
            raise PayloadTooBig(len(joined), self.max_message_size)
        if self._decoder is not None:
            self._decoder.decode(bytes(frame.data), frame.fin)
        if frame.fin:
            self.messages.append(bytes(joined) if self._decoder is None else joined.decode())
            self._joined = self._decoder = None

    @property
    def deflates(self) -> bool:
        """Whether messages go out compressed. None needs to be (RFC 7692 6), and behind a Close of theirs none can."""
        return bool(self.extensions) and self.state is State.OPEN

    @property
    def is_over(self) -> bool:
        """Nothing more is read: both have said Close, or the peer has made a mistake. TCP's connection is to end."""
        return self.eof_sent

    @property
    def their_close(self) -> tuple[int, str] | None:
        """Code and reason of the peer's Close frame; 1005 where it had none."""
        return None if self.close_rcvd is None else (int(self.close_rcvd.code), self.close_rcvd.reason)

    @property
    def our_close(self) -> tuple[int, str] | None:
        """The same of ours."""
        return None if self.close_sent is None else (int(self.close_sent.code), self.close_sent.reason)

    def say_close(self, code: int, reason: str) -> None:
        """Begin the close handshake; LocalProtocolError for a code or reason that no frame may have (RFC 6455 7.4)."""
        try:
            self.send_close(code, reason)
        except ProtocolError as error:
            raise LocalProtocolError(f"no WebSocket is closed with {code} {reason!r}: {error}") from None

    def deflated(self, message: str | bytes) -> bytes:
        """The frame of a message, compressed, before either side has said Close."""
        if isinstance(message, str):
            self.send_text(message.encode())
        else:
            self.send_binary(message)
        return b"".join(self.data_to_send())


_deflate = ServerPerMessageDeflateFactory(
    server_max_window_bits=WINDOW_BITS,
    client_max_window_bits=WINDOW_BITS,
    require_client_max_window_bits=True,
    compress_settings={"memLevel": MEMORY_LEVEL},
)


def agree_on_deflate(offers: str) -> tuple[str, list[Extension]]:
    """The first offer of permessage-deflate in a Sec-WebSocket-Extensions that suits us: our answer, and what does it.
    Empty where none does; HTTPError 400 for a field that cannot be read.
    """
    try:
        parsed = parse_extension(offers) if offers else []
    except InvalidHeader as error:
        raise HTTPError(400, f"Sec-WebSocket-Extensions cannot be read: {error}") from None
    for name, parameters in parsed:
        if name != _deflate.name:
            continue
        try:
            agreed, extension = _deflate.process_request_params(parameters, [])
        except NegotiationError:
            continue
        return build_extension([(name, agreed)]), [extension]
    return "", []
