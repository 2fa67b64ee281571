"""A WebSocket for tests, opened in memory by `reactor.testing.TestApp.websocket`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from websockets.frames import BINARY, CLOSE, TEXT, Frame
from websockets.protocol import Protocol, Side, State

if TYPE_CHECKING:
    from reactor.testing import MemoryTransport


class TestSocket:
    """The client's side. What it is sent is in `received`, oldest first; once it is closed, `close_code` and
    `close_reason` say how. Pings are answered.
    """

    __test__ = False

    def __init__(self, transport: MemoryTransport, settle: Callable[[], object], begun: bytes, protocol: str) -> None:
        """`begun` is what came behind the answer to the handshake."""
        self.transport = transport
        self.protocol = protocol
        self._settle = settle
        self._frames = Protocol(Side.CLIENT, state=State.OPEN)
        self._messages: list[str | bytes] = []
        transport.sent[:] = begun

    @property
    def received(self) -> list[str | bytes]:
        """All messages so far. Clear it, and only what comes then is in it."""
        self._take()
        return self._messages

    @property
    def close_code(self) -> int | None:
        """None while it is open; 1005 for a Close without a code, 1006 for a connection that was cut."""
        self._take()
        close = self._frames.close_rcvd
        if close is None:
            return 1006 if self.transport.lost else None
        return int(close.code)

    @property
    def close_reason(self) -> str:
        """What the server gave as one."""
        self._take()
        return self._frames.close_rcvd.reason if self._frames.close_rcvd is not None else ""

    def send(self, message: str | bytes) -> None:
        """Send a message, and let happen what follows from it."""
        if isinstance(message, str):
            self._frames.send_text(message.encode())
        else:
            self._frames.send_binary(message)
        self._flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say Close; nothing if either side has."""
        self._take()
        if self._frames.state is State.OPEN:
            self._frames.send_close(code, reason)
            self._flush()

    def cut(self) -> None:
        """Be gone without a word."""
        self.transport.abort()
        self._settle()

    def _take(self) -> None:
        self._settle()
        while self.transport.sent:
            data = bytes(self.transport.sent)
            self.transport.sent.clear()
            self._frames.receive_data(data)
            for frame in self._frames.events_received():
                assert isinstance(frame, Frame)
                self._note(frame)
            self._flush()

    def _note(self, frame: Frame) -> None:
        if frame.opcode is TEXT:
            self._messages.append(str(frame.data, "utf-8"))
        elif frame.opcode is BINARY:
            self._messages.append(bytes(frame.data))
        elif frame.opcode is not CLOSE:
            assert not frame.data or frame.opcode.name in ("PING", "PONG"), "a server that sends fragments"

    def _flush(self) -> None:
        data = b"".join(self._frames.data_to_send())
        if data and not self.transport.is_closing:
            self.transport.feed(data)
        self._settle()
