"""The transport on real sockets, with TLS and without: order, water marks, files, and each way a connection can end."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import Loop, Recorder, connected, descriptors, receive, receive_all, reset
from loopback import either_loop as loop

from reactor.core.transport import HIGH_WATER, LINGER_BYTES, READS, RECV_SIZE, Pace

__all__ = ["loop"]


def test_what_is_written_arrives_in_order_however_much(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol, buffer=8192) as client:
        pieces = [bytes([number % 256]) * (number * 97) for number in range(200)]
        for piece in pieces:
            protocol.transport.write(piece)
        protocol.transport.write(b"")
        protocol.transport.close()
        protocol.transport.write(b"dropped")
        assert receive_all(loop, client) == b"".join(pieces)
        loop.until(lambda: protocol.lost)
        assert protocol.error is None
        assert protocol.heard[0] == "made"
        assert protocol.heard.count("lost") == 1


def test_the_water_marks_are_told_once_each_and_never_from_inside_write(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol, buffer=4096) as client:
        protocol.transport.write(b"x" * (HIGH_WATER + 1_000_000))
        assert protocol.heard == ["made"]
        loop.turn()
        assert protocol.heard == ["made", "pause"]
        protocol.transport.write(b"y")
        assert protocol.transport.unsent > HIGH_WATER
        loop.until(lambda: (receive(client), "resume" in protocol.heard)[1])
        assert protocol.heard == ["made", "pause", "resume"]
        assert protocol.transport.unsent < HIGH_WATER


def test_a_pause_and_a_resume_within_one_turn_are_both_told_and_in_order(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        transport = protocol.transport
        client.settimeout(5)
        transport.write(b"x" * 8_000_000)
        while transport.unsent:  # all of it goes out before the ready queue has its turn
            client.recv(1 << 20)
            transport._flush()
        loop.turn()
        assert protocol.heard == ["made", "pause", "resume"]


def test_reading_can_be_paused_and_goes_on(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        protocol.transport.pause_reading()
        client.send(b"later")
        loop.wait(0.05)
        assert protocol.data == b""
        protocol.transport.resume_reading()
        loop.until(lambda: protocol.data == b"later")


def test_one_turn_takes_a_share_of_what_has_arrived_and_no_more(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        client.setblocking(False)
        sent = 0
        try:
            while True:
                sent += client.send(bytes(65536))
        except BlockingIOError:
            pass
        share = len(READS) * RECV_SIZE
        assert sent > share
        loop.turn()
        at_least = 0 if loop.secure else RECV_SIZE  # a full buffer of ciphertext is less than one of data
        assert at_least < len(protocol.data) <= share
        loop.until(lambda: (loop.secure and client.flush(), len(protocol.data) == sent)[1])


@pytest.mark.parametrize("stop", [lambda p: p.transport.pause_reading(), lambda p: p.transport.abort()])
def test_who_stops_reading_gets_no_more_in_the_same_turn(loop: Loop, stop: Callable[[Recorder], object]) -> None:
    protocol = Recorder(lambda protocol, data: stop(protocol))
    with connected(loop, protocol) as client:
        client.send(bytes(200_000))
        loop.until(lambda: protocol.data)
        loop.wait(0.02)
        assert len(protocol.data) <= RECV_SIZE


def test_the_end_of_the_peer_is_told_once_and_it_can_still_be_answered(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        loop.until(lambda: "eof" in protocol.heard)
        protocol.transport.resume_reading()
        loop.wait(0.05)
        assert protocol.heard == ["made", "eof"]
        protocol.transport.write(b"answer")
        protocol.transport.close()
        assert receive_all(loop, client) == b"answer"


def test_an_ended_stream_does_not_spin(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        client.shutdown(socket.SHUT_WR)
        loop.until(lambda: "eof" in protocol.heard)
        turns = 0

        def select(timeout: float | None = None) -> list[object]:
            nonlocal turns
            turns += 1
            return real(timeout)

        real = loop.reactor._selector.select
        loop.reactor._selector.select = select  # type: ignore[method-assign,assignment]
        loop.reactor.call_later(0.2, loop.reactor.stop)
        loop.reactor.run()
        assert turns < 10


def test_write_eof_ends_our_side_and_we_go_on_reading(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        protocol.transport.write(b"all I have")
        protocol.transport.write_eof()
        assert receive_all(loop, client) == b"all I have"
        client.send(b"thanks")
        loop.until(lambda: protocol.data == b"thanks")


def test_abort_drops_what_waits_and_is_told_once(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol, buffer=4096):
        protocol.transport.write(b"x" * 1_000_000)
        error = OSError("our reason")
        protocol.transport.abort(error)
        protocol.transport.abort()
        protocol.transport.close()
        assert (protocol.transport.unsent, protocol.transport.is_closing) == (0, True)
        loop.until(lambda: protocol.lost)
        assert protocol.error is error
        assert protocol.heard == ["made", "lost"]


def test_a_reset_is_an_error_that_is_told_and_nothing_else(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        reset(client)
        loop.until(lambda: protocol.lost)
        assert isinstance(protocol.error, ConnectionResetError)
        protocol.transport.write(b"too late")
        protocol.transport.resume_reading()
        loop.turn()


def test_a_write_to_who_is_gone_ends_the_connection(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        protocol.transport.pause_reading()
        reset(client)
        loop.until(lambda: (protocol.transport.write(b"x"), protocol.lost)[1])
        assert protocol.error is not None


@pytest.mark.parametrize("queued", [False, True])
def test_what_a_peer_has_said_before_its_reset_is_there_though_it_takes_no_more(loop: Loop, queued: bool) -> None:
    protocol = Recorder()
    with connected(loop, protocol, buffer=4096) as client:
        if queued:
            protocol.transport.write(b"x" * 1_000_000)
        client.send(b"enough")
        reset(client)
        protocol.transport.write(b"more")
        if queued:
            protocol.transport._flush()  # the write meets the reset before the read does
        assert protocol.transport.is_closing and protocol.transport.unread == b"enough"
        loop.until(lambda: protocol.lost)
        assert protocol.data == b"" and protocol.error is not None


def test_a_protocol_that_fails_costs_its_own_connection_only(loop: Loop) -> None:
    def fail(protocol: Recorder, data: bytes) -> None:
        raise ValueError("bug")

    bad, good = Recorder(fail), Recorder()
    with connected(loop, bad) as one, connected(loop, good) as two:
        one.send(b"x")
        two.send(b"y")
        loop.until(lambda: bad.lost and good.data == b"y")
    assert [str(error) for error in loop.errors] == ["bug"]
    loop.errors.clear()


# -- files ------------------------------------------------------------------------------------------------------------


def test_files_go_out_between_writes_in_order(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 8000)
    protocol = Recorder()
    done: list[str] = []
    with connected(loop, protocol, buffer=8192) as client, path.open("rb") as file:
        transport = protocol.transport
        transport.write(b"before")
        transport.sendfile(file, 100, 1_500_000, lambda: done.append("one"))
        transport.sendfile(file, 0, 0, lambda: done.append("empty"))
        transport.write(b"between")
        transport.sendfile(file, 7, 3, lambda: done.append("two"))
        transport.write(b"after")
        transport.close()
        content = path.read_bytes()
        expected = b"before" + content[100:1_500_100] + b"between" + content[7:10] + b"after"
        assert receive_all(loop, client) == expected
        loop.until(lambda: len(done) == 3)
        assert done == ["one", "empty", "two"]


def test_a_file_that_became_shorter_cuts_the_connection(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    protocol = Recorder()
    done: list[str] = []
    with connected(loop, protocol), path.open("rb") as file:
        protocol.transport.sendfile(file, 0, 500, lambda: done.append("done"))
        loop.until(lambda: protocol.lost and done)
        assert "became shorter" in str(protocol.error)


@pytest.mark.parametrize("way", ["abort", "closed", "peer"])
def test_a_file_is_done_when_it_never_will_be(loop: Loop, tmp_path: Path, way: str) -> None:
    path = tmp_path / "file"
    with path.open("wb") as sparse:
        sparse.truncate(50_000_000)
    protocol = Recorder()
    done: list[str] = []
    with connected(loop, protocol, buffer=4096) as client, path.open("rb") as file:
        if way == "closed":
            protocol.transport.close()
        protocol.transport.sendfile(file, 0, 50_000_000, lambda: done.append("done"))
        assert done == []
        if way == "abort":
            protocol.transport.abort()
        elif way == "peer":
            reset(client)
        loop.until(lambda: done)
        assert done == ["done"]


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_lingering_close_lets_the_peer_read_the_answer_and_not_a_reset(loop: Loop) -> None:
    """A plain close with unread bytes resets the connection, and the reset overtakes the answer."""
    protocol = Recorder(lambda protocol, data: (protocol.transport.write(b"413"), protocol.transport.close(2.0)))
    with connected(loop, protocol) as client:
        client.setblocking(True)
        client.settimeout(0.2)
        client.send(b"x" * 200_000)
        loop.turn()
        for _ in range(5):
            client.send(b"x" * 1000)
            loop.turn()
        client.setblocking(False)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(loop, client) == b"413"
        loop.until(lambda: protocol.lost)
        assert protocol.error is None


def test_a_lingering_close_ends_in_time_and_at_a_bound(loop: Loop) -> None:
    silent = Recorder(lambda protocol, data: protocol.transport.close(0.1))
    with connected(loop, silent) as client:
        client.send(b"x")
        loop.until(lambda: silent.lost)
    flooding = Recorder(lambda protocol, data: protocol.transport.close(60.0))
    with connected(loop, flooding) as client:
        sent = 0

        def flood() -> bool:
            nonlocal sent
            try:
                sent += client.send(b"x" * 65536)
            except BlockingIOError:
                pass
            except OSError:
                return True
            return flooding.lost

        loop.until(flood)
        loop.until(lambda: flooding.lost)
        assert sent >= LINGER_BYTES


def test_a_lingering_close_to_who_has_ended_already_is_over_at_once(loop: Loop) -> None:
    protocol = Recorder()
    with connected(loop, protocol) as client:
        client.shutdown(socket.SHUT_WR)
        loop.until(lambda: "eof" in protocol.heard)
        protocol.transport.write(b"bye")
        protocol.transport.close(60.0)
        assert receive_all(loop, client) == b"bye"
        loop.until(lambda: protocol.lost)


def test_no_descriptor_is_left_of_a_hundred_connections(loop: Loop) -> None:
    before = descriptors()
    for number in range(100):
        protocol = Recorder(lambda protocol, data: protocol.transport.close())
        with connected(loop, protocol) as client:
            client.send(b"x")
            if number % 3 == 0:
                protocol.transport.abort()
    assert descriptors() == before


def test_a_connection_that_is_handed_over_is_a_new_one_to_who_gets_it(loop: Loop) -> None:
    new = Recorder(lambda protocol, data: protocol.transport.write(b"new " + data))
    old = Recorder(lambda protocol, data: protocol.transport.hand_over(new, data[4:]))
    with connected(loop, old) as client:
        old.transport.on_drained = lambda: None
        client.sendall(b"old rest")
        loop.until(lambda: new.data)
        assert (bytes(new.data), new.heard, new.transport) == (b"rest", ["made"], old.transport)
        assert new.transport.on_drained is None
        client.sendall(b" and more")
        loop.until(lambda: len(new.data) > 4)
        client.shutdown(socket.SHUT_WR)
        loop.until(lambda: "eof" in new.heard)
        new.transport.close()
        assert receive_all(loop, client) == b"new restnew  and more"
        loop.until(lambda: new.lost)
        assert (old.heard, new.heard) == (["made"], ["made", "eof", "lost"])
        old.heard.append("lost")  # what `connected` waits for, and who hands over never hears


def test_who_gets_a_connection_reads_and_hears_of_its_end_and_of_what_waits(loop: Loop) -> None:
    old, new = Recorder(), Recorder()
    with connected(loop, old, buffer=4096) as client:
        transport = old.transport
        client.shutdown(socket.SHUT_WR)
        loop.until(lambda: "eof" in old.heard)
        transport.write(b"x" * (HIGH_WATER + 1_000_000))
        transport.hand_over(new)
        loop.turn()
        assert (old.heard, new.heard) == (["made", "eof"], ["made", "eof", "pause"])
        loop.until(lambda: (receive(client), "resume" in new.heard)[1])
        old.heard.append("lost")


def test_reading_that_was_paused_goes_on_after_a_hand_over(loop: Loop) -> None:
    old, new = Recorder(), Recorder()
    with connected(loop, old) as client:
        old.transport.pause_reading()
        client.sendall(b"hello")
        assert old.transport.hand_over(new)
        loop.until(lambda: new.data)
        assert (bytes(old.data), bytes(new.data)) == (b"", b"hello")
        old.heard.append("lost")


def test_what_is_closing_or_lost_is_not_handed_over(loop: Loop) -> None:
    for end in ("close", "abort"):
        old, new = Recorder(), Recorder()
        with connected(loop, old):
            getattr(old.transport, end)()
            assert not old.transport.hand_over(new, b"data")
            loop.until(lambda old=old: old.lost)  # type: ignore[misc]
        assert new.heard == [] and not new.data


def test_who_fails_when_it_gets_a_connection_costs_that_one_only(loop: Loop) -> None:
    def fail(protocol: Recorder, data: bytes) -> None:
        raise ValueError("not mine")

    old, new = Recorder(), Recorder(fail)
    with connected(loop, old) as client:
        assert old.transport.hand_over(new, b"data")
        loop.until(lambda: new.lost)
        assert receive_all(loop, client) == b""
        old.heard.append("lost")
    assert [str(error) for error in loop.errors] == ["not mine"]
    loop.errors.clear()


# -- a peer that takes its bytes slowly --------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize(("each", "is_cut"), [(200, True), (4000, False)])
def test_a_peer_is_cut_for_its_pace_and_not_for_the_size_of_a_record(
    loop: Loop, each: int, is_cut: bool
) -> None:
    """20,000 bytes a second are asked for; it takes 10,000, or 200,000: less than a piece of TLS in the grace."""
    protocol = Recorder()
    with connected(loop, protocol, buffer=4096) as client:
        sock = client.sock if loop.secure else client  # what it takes is not looked at
        protocol.transport.pace = Pace(20_000, 0.2)
        protocol.transport.write(bytes(4 * 1024 * 1024))
        for _ in range(150 if is_cut else 40):
            receive(sock, each)
            loop.wait(0.02)
            if protocol.lost:
                break
        assert protocol.lost is is_cut
        if is_cut:
            assert protocol.error is not None
            assert protocol.error.errno == errno.ETIME
