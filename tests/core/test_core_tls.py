"""TLS between two buffers: OpenSSL's client at one end, TLSSocket on a wire in memory at the other."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from reactor.certificate import make_certificate, write_pair
from reactor.core.certificates import ServerTLS
from reactor.core.selector import WRITE
from reactor.core.tls import PIECE, TLSSocket, TLSTransport
from reactor.core.transport import Transport
from reactor.testing import FakeReactor


class Wire:
    """What TLSSocket takes for a socket. `room` bytes go out before it is full."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.sent = bytearray()
        self.room = 1 << 30
        self.has_ended = False

    def fileno(self) -> int:
        return 1000

    def setsockopt(self, level: int, option: int, value: object) -> None: ...
    def close(self) -> None: ...

    def recv(self, size: int) -> bytes:
        if not self.incoming and not self.has_ended:
            raise BlockingIOError
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def send(self, data: bytes | memoryview) -> int:
        size = min(self.room, len(data))
        if not size:
            raise BlockingIOError
        self.sent += data[:size]
        self.room -= size
        return size


class Ends:
    """A client and a TLSSocket that have shaken hands."""

    def __init__(self, tls: ServerTLS, context: ssl.SSLContext) -> None:
        self.wire = Wire()
        self.server = TLSSocket(cast(Any, self.wire), tls)
        self._to_client, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._to_client, self._to_server, server_hostname="localhost")
        while not self.server.is_secure:
            self.ask(self.client.do_handshake)
            self.server.shake_hands(self.from_client())
            self.server.push()
            self.to_client()
        self.ask(self.client.do_handshake)

    def ask(self, function: Callable[[], object]) -> None:
        try:
            function()
        except ssl.SSLWantReadError:
            pass

    def from_client(self) -> bytes:
        return self._to_server.read()

    def to_client(self) -> None:
        self._to_client.write(bytes(self.wire.sent))
        self.wire.sent.clear()

    def deliver(self) -> None:
        self.wire.incoming += self.from_client()

    def client_reads(self) -> bytes:
        self.to_client()
        data = bytearray()
        try:
            while piece := self.client.read(1 << 20):
                data += piece
        except ssl.SSLWantReadError:
            pass
        return bytes(data)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServerTLS, ssl.SSLContext]:
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    write_pair(make_certificate(["localhost"]), cert, key)
    return ServerTLS([(cert, key)]), ssl.create_default_context(cafile=str(cert))


@pytest.fixture
def ends(contexts: tuple[ServerTLS, ssl.SSLContext]) -> Ends:
    return Ends(*contexts)


def test_all_whole_records_come_at_once_and_nothing_is_left_behind(ends: Ends) -> None:
    for number in range(5):
        ends.client.write(bytes([number]) * 1000)
    ends.deliver()
    assert ends.server.recv(65536) == b"".join(bytes([number]) * 1000 for number in range(5))
    assert not ends.server.has_more
    with pytest.raises(BlockingIOError):
        ends.server.recv(65536)


def test_a_record_that_comes_byte_by_byte_is_told_when_it_is_whole(ends: Ends) -> None:
    ends.client.write(b"drop by drop")
    data = ends.from_client()
    for byte in data[:-1]:
        ends.wire.incoming.append(byte)
        with pytest.raises(BlockingIOError):
            ends.server.recv(65536)
    ends.wire.incoming.append(data[-1])
    assert ends.server.recv(65536) == b"drop by drop"


def test_what_came_with_the_handshake_is_known_to_be_there(contexts: tuple[ServerTLS, ssl.SSLContext]) -> None:
    ends = Ends(*contexts)
    ends.client.write(b"early")
    ends.server._incoming.write(ends.from_client())  # as if it had come in one piece with their Finished
    assert ends.server.has_more
    assert ends.server.recv(65536) == b"early"
    assert not ends.server.has_more


def test_a_piece_counts_as_sent_when_all_of_its_ciphertext_is_out(ends: Ends) -> None:
    data = bytes(range(256)) * 1024
    ends.wire.room = 1000
    with pytest.raises(BlockingIOError):
        ends.server.send(data)
    ends.wire.room = PIECE // 2
    with pytest.raises(BlockingIOError):
        ends.server.send(data)
    ends.wire.room = 1 << 30
    assert ends.server.send(data) == PIECE
    assert ends.client_reads() == data[:PIECE]


def test_nothing_to_send_is_nothing_on_the_wire(ends: Ends) -> None:
    assert ends.server.send(b"") == 0
    assert ends.wire.sent == b""


@pytest.mark.parametrize("with_data", [True, False])
def test_the_peers_goodbye_is_the_end_even_right_behind_data(ends: Ends, with_data: bool) -> None:
    if with_data:
        ends.client.write(b"last words")
    ends.ask(ends.client.unwrap)
    ends.deliver()
    if with_data:
        assert ends.server.recv(65536) == b"last words"
        assert ends.server.has_more  # and the system has nothing to read
    assert ends.server.recv(65536) == b""
    assert not ends.server.has_more
    assert ends.server.send(b"I am still here") > 0
    assert ends.client_reads() == b"I am still here"


def test_an_end_without_goodbye_is_an_end(ends: Ends) -> None:
    ends.wire.has_ended = True
    assert ends.server.recv(65536) == b""
    assert not ends.server.has_more


def test_our_goodbye_goes_out_behind_what_waits_and_reading_goes_on(ends: Ends) -> None:
    ends.wire.room = 10
    with pytest.raises(BlockingIOError):
        ends.server.send(b"hello")
    assert not ends.server.say_goodbye()
    ends.wire.room = 1 << 30
    ends.server.send(b"hello")
    ends.client.write(b"and you?")
    ends.deliver()
    assert ends.server.recv(65536) == b"and you?"
    assert ends.client_reads() == b"hello"  # and then `read` said b"", the end
    ends.ask(ends.client.unwrap)
    ends.deliver()
    assert ends.server.recv(65536) == b""


def test_a_forged_record_ends_the_connection_with_an_alert(ends: Ends) -> None:
    ends.client.write(b"true")
    data = bytearray(ends.from_client())
    data[-1] ^= 1
    ends.wire.incoming += data
    with pytest.raises(ssl.SSLError, match=r"BAD_RECORD_MAC|DECRYPTION_FAILED"):
        ends.server.recv(65536)
    ends.to_client()
    with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
        ends.client.read(100)


def test_old_versions_are_refused(contexts: tuple[ServerTLS, ssl.SSLContext], recwarn: Any) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"UNSUPPORTED_PROTOCOL|TLSV1_ALERT_PROTOCOL_VERSION"):
        Ends(contexts[0], old)
    recwarn.clear()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_and_neither_renegotiates(tmp_path: Path, version: ssl.TLSVersion) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_pair(make_certificate(["localhost"]), cert, key)
    tls = ServerTLS([(cert, key)])
    context = ssl.create_default_context(cafile=str(cert))
    context.minimum_version = context.maximum_version = version
    ends = Ends(tls, context)
    assert ends.client.version() == version.name.replace("_", ".")
    assert tls.context.options & ssl.OP_NO_RENEGOTIATION
    ends.server.send(b"hello")
    assert ends.client_reads() == b"hello"


class Losing:
    """A protocol that hears of the end only."""

    def __init__(self) -> None:
        self.lost: OSError | None = None

    def connection_made(self, transport: Transport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, error: OSError | None) -> None:
        self.lost = error


def test_who_takes_a_piece_bit_by_bit_is_not_stalled_and_who_takes_nothing_is(ends: Ends) -> None:
    reactor, protocol = FakeReactor(), Losing()
    transport = TLSTransport(reactor, ends.server, None, protocol)
    transport.stall_limit = 10.0
    ends.wire.room = 0
    transport.write(bytes(PIECE))
    for _ in range(20):
        reactor.advance(9.0)
        ends.wire.room = 100
        transport._ready(WRITE)
    assert transport.unsent == PIECE and not transport.is_closing
    reactor.advance(10.5)
    assert isinstance(protocol.lost, TimeoutError)


def test_a_close_whose_goodbye_finds_no_room_waits_for_it_within_the_limit(ends: Ends) -> None:
    reactor, protocol = FakeReactor(), Losing()
    transport = TLSTransport(reactor, ends.server, None, protocol)
    transport.stall_limit = 10.0
    ends.wire.room = 0
    transport.close()
    reactor.advance(9.0)
    assert not ends.wire.sent
    ends.wire.room = 1000
    transport._ready(WRITE)
    reactor.settle()
    ends.to_client()
    assert ends.client.read(1) == b""  # what it says for a goodbye, and for nothing else
