"""The life of a WebSocket: its handler, silence, clients and handlers that are slow, and every way to its end."""

from __future__ import annotations

import pytest
from ws_wire import Said, SocketWire, close, echo, frame, handshake, more, text
from wsproto.events import BytesMessage, TextMessage

from reactor.core.task import Cancelled, Future, sleep, timeout
from reactor.core.transport import HIGH_WATER
from reactor.errors import ConnectionLost, LocalProtocolError
from reactor.http.websocket import INBOX, LATE, WebSocket, broadcast, data_frame
from reactor.http.wsconnection import HANDLER_GRACE, SLICE

END = ("end", None)


async def listen(ws: WebSocket) -> None:
    """Read, and say nothing."""
    async for _ in ws:
        pass


class Noting:
    """A handler that keeps what it gets, and takes it only as far as it is let."""

    def __init__(self) -> None:
        self.got: list[str | bytes] = []
        self.ended: list[tuple[int, str]] = []
        self.gate: Future[None] | None = None

    async def __call__(self, ws: WebSocket) -> None:
        async for message in ws:
            self.got.append(message)
            if self.gate is not None:
                await self.gate
        self.ended.append((ws.close_code, ws.close_reason))


# -- the handler -----------------------------------------------------------------------------------------------------


def test_a_handler_that_returns_closes_in_good_order() -> None:
    async def greet(ws: WebSocket) -> None:
        ws.send("hello")

    wire = SocketWire(greet)
    client = wire.open()
    assert client.heard() == [("text", "hello"), ("close", 1000)]
    client.answer_close()
    assert client.is_closed and not wire.server.connections
    assert wire.server.site.active == 0


def test_an_error_of_the_handler_is_logged_and_tells_the_client_nothing() -> None:
    async def stumble(ws: WebSocket) -> None:
        raise ValueError("a secret")

    wire = SocketWire(stumble)
    client = wire.open()
    assert client.heard() == [("close", 1011)]
    assert "secret" not in client.close_reason
    assert [str(error) for error in wire.errors] == ["a secret"]


def test_who_sends_after_the_end_is_not_punished() -> None:
    async def late(ws: WebSocket) -> None:
        async for _ in ws:
            pass
        ws.send("nobody hears it")
        ws.close(4000)
        await ws.drained()

    wire = SocketWire(late)
    client = wire.open()
    client.send(close(1001, b"leaving"))
    assert client.heard() == [("close", 1001), END]
    assert (wire.socket.close_code, wire.socket.close_reason) == (1001, "leaving")
    assert wire.errors == [] and wire.server.site.active == 0


def test_messages_in_the_inbox_are_still_there_after_the_end() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    client = wire.open()
    handler.gate = Future(wire.reactor)
    client.send(text("a") + text("b") + close())
    assert handler.got == ["a"] and client.is_closed
    handler.gate.set_result(None)
    wire.reactor.settle()
    assert handler.got == ["a", "b"] and handler.ended == [(1000, "")]


def test_who_closes_hears_no_more() -> None:
    got: list[str | bytes] = []

    async def once(ws: WebSocket) -> None:
        async for message in ws:
            got.append(message)
            ws.close(4001, "enough")

    wire = SocketWire(once)
    client = wire.open()
    client.send(text("a") + text("b"))
    assert client.heard() == [("close", 4001)] and client.close_reason == "enough"
    client.send(text("c") + frame(9, b"still answered") + close(4001))
    assert client.raw == b"\x8a\x0estill answered" and client.is_closed
    assert got == ["a"] and wire.socket.close_code == 4001


def test_one_message_can_be_waited_for_with_a_time_limit() -> None:
    got: list[object] = []

    async def first(ws: WebSocket) -> None:
        try:
            async with timeout(10):
                await anext(ws)
        except TimeoutError:
            got.append("late")
        got.append(await anext(ws, None))
        got.append(await anext(ws, None))

    wire = SocketWire(first)
    client = wire.open()
    client.advance(10)
    client.send(text("hello"))
    client.send(close())
    assert got == ["late", "hello", None]


def test_a_message_that_comes_as_its_waiter_is_cancelled_is_not_lost() -> None:
    got: list[str | bytes] = []

    async def impatient(ws: WebSocket) -> None:
        while not got:
            try:
                async with timeout(5):
                    got.append(await anext(ws))
            except TimeoutError:
                pass

    wire = SocketWire(impatient)
    client = wire.open()
    wire.reactor.clock.now += 5  # the message and the limit come in one turn
    client.send(text("here"))
    assert got == ["here"]


def test_two_tasks_cannot_wait_for_the_messages_of_one_socket() -> None:
    wire = SocketWire(listen)
    client = wire.open()

    async def intrude() -> None:
        await anext(wire.socket)

    task = wire.reactor.spawn(intrude())
    assert task.done and isinstance(task.error, RuntimeError)
    client.transport.abort()


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (1006, ""), (999, ""), (5000, ""), (1000, "x" * 124)])
def test_a_close_that_no_frame_may_have_is_our_mistake_and_changes_nothing(code: int, reason: str) -> None:
    wire = SocketWire(listen)
    client = wire.open()
    with pytest.raises(LocalProtocolError):
        wire.socket.close(code, reason)
    assert wire.socket.is_open
    wire.socket.send("still")
    assert client.heard() == [("text", "still")]


# -- a connection that is gone ---------------------------------------------------------------------------------------


def test_a_lost_connection_ends_the_messages() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    client = wire.open()
    client.transport.abort()
    wire.reactor.settle()
    assert handler.ended == [(1006, "the connection was lost")]
    assert not wire.server.connections and wire.server.site.active == 0


def test_a_client_that_ends_without_close_is_told_so() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    client = wire.open()
    client.end()
    assert client.heard() == [("close", 1002), END]
    assert handler.ended[0][0] == 1006


def test_a_handler_that_waits_elsewhere_is_cancelled_after_a_grace() -> None:
    said: list[str] = []

    async def busy(ws: WebSocket) -> None:
        try:
            await sleep(100)
        except Cancelled:
            said.append("cancelled")
            raise

    wire = SocketWire(busy)
    client = wire.open()
    client.send(close())
    client.advance(HANDLER_GRACE - 0.1)
    assert said == [] and wire.server.site.active == 1
    client.advance(0.2)
    assert said == ["cancelled"] and wire.server.site.active == 0
    assert wire.errors == []


def test_a_ping_that_is_never_answered_is_a_lost_connection() -> None:
    async def ask(ws: WebSocket) -> None:
        await ws.ping()

    wire = SocketWire(ask)
    client = wire.open()
    assert [said.kind for said in client.heard()] == ["ping"]
    client.transport.abort()
    wire.reactor.settle()
    assert wire.errors == [] and wire.server.site.active == 0
    with pytest.raises(ConnectionLost):
        wire.reactor.spawn(wire.socket.ping()).result()


# -- silence ---------------------------------------------------------------------------------------------------------


def test_silence_is_answered_with_a_ping_and_more_silence_with_the_end() -> None:
    wire = SocketWire(listen, ping_after=25, pong_timeout=20, close_timeout=5)
    client = wire.open()
    client.advance(24.9)
    assert client.heard() == []
    client.advance(0.2)
    assert client.heard() == [("ping", b"")]
    client.advance(20)
    assert client.heard() == [("close", 1011)]
    assert wire.socket.close_code == 1011
    client.advance(5)
    assert client.is_closed


def test_whatever_is_heard_puts_the_ping_off() -> None:
    wire = SocketWire(listen, ping_after=25)
    client = wire.open()
    for _ in range(5):
        client.advance(20)
        client.send(text("here"))
    assert client.heard() == []
    client.advance(25)
    assert client.heard() == [("ping", b"")]


def test_a_pong_or_anything_else_keeps_it_alive() -> None:
    wire = SocketWire(listen, ping_after=25, pong_timeout=20)
    client = wire.open()
    for answer in (frame(10), text("hm")):
        client.advance(25)
        assert client.heard() == [("ping", b"")]
        client.advance(19)
        client.send(answer)
        client.advance(24)
        assert client.heard() == [] and wire.socket.is_open
        client.send(text("now"))


def test_silence_is_in_order_where_nobody_is_to_be_asked() -> None:
    wire = SocketWire(listen, ping_after=0)
    client = wire.open()
    client.advance(1_000_000)
    assert client.heard() == []


def test_a_client_that_we_do_not_read_is_not_blamed_for_its_silence() -> None:
    handler = Noting()
    wire = SocketWire(handler, ping_after=25, pong_timeout=20)
    client = wire.open()
    handler.gate = Future(wire.reactor)
    client.send(frame(2, bytes(60_000)) * 3)
    assert not client.transport.reading
    client.advance(1000)
    assert client.heard() == [] and wire.socket.is_open
    handler.gate.set_result(None)
    wire.reactor.settle()
    assert client.transport.reading and len(handler.got) == 3


def test_a_ping_of_the_handler_measures_the_way_and_back() -> None:
    took: list[float] = []

    async def measure(ws: WebSocket) -> None:
        took.append(await ws.ping())
        await listen(ws)

    wire = SocketWire(measure)
    client = wire.open()
    [(_, payload)] = client.heard()
    client.send(frame(10, b"another"))
    client.advance(0.25)
    client.send(frame(10, payload))
    assert took == [0.25]


def test_a_pong_answers_the_pings_before_it_too() -> None:
    took: list[float] = []
    wire = SocketWire(listen)
    client = wire.open()

    async def measure() -> None:
        took.append(await wire.socket.ping())

    tasks = [wire.reactor.spawn(measure()) for _ in range(3)]
    payloads = [said.what for said in client.heard()]
    client.send(frame(10, payloads[1]))
    assert len(took) == 2 and not tasks[2].done
    client.send(frame(10, payloads[0]) + frame(10, payloads[2]))
    assert len(took) == 3


# -- the end ---------------------------------------------------------------------------------------------------------


def test_who_does_not_answer_our_close_is_cut() -> None:
    wire = SocketWire(listen, close_timeout=5)
    client = wire.open()
    wire.socket.close(4401, "logged out")
    assert client.heard() == [("close", 4401)]
    client.advance(4.9)
    assert not client.is_closed
    client.advance(0.2)
    assert client.is_closed and not wire.server.connections


def test_a_stop_of_the_server_says_1001_and_waits_for_the_answer() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    clients = [wire.open() for _ in range(3)]
    done = wire.server.close()
    wire.reactor.settle()
    assert [client.heard() for client in clients] == [[("close", 1001)]] * 3
    assert handler.ended == [(1001, "the server is going away")] * 3
    assert not done.done
    for client in clients:
        client.answer_close()
    assert done.done


def test_a_stop_of_the_server_waits_for_nobody_longer_than_the_close_handshake() -> None:
    wire = SocketWire(listen, close_timeout=5)
    wire.open()
    done = wire.server.close()
    wire.reactor.advance(5)
    assert done.done


def test_a_socket_that_opens_while_the_server_stops_is_closed_at_once() -> None:
    async def guard(request: object) -> None:
        await sleep(1)

    wire = SocketWire(listen, guard=guard)
    client = wire.connect()
    client.send(handshake())
    wire.server.close()
    client.advance(1)
    head, _, frames = client.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and frames[2:4] == (1001).to_bytes(2, "big")


def test_an_open_socket_counts_against_the_limit_and_is_never_put_out() -> None:
    wire = SocketWire(listen, server={"max_connections": 2})
    wire.open()
    wire.open()
    assert not wire.server._has_room()
    wire.reactor.settle()
    assert [socket.is_open for socket in wire.sockets] == [True, True]


# -- readers and handlers that are slow ------------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_closed_at_a_bound() -> None:
    wire = SocketWire(listen, max_queue=100_000)
    client = wire.open()
    client.transport.stall = True
    sent = 0
    while wire.socket.is_open:
        wire.socket.send("x" * 1000)
        sent += 1
    assert 100 <= sent <= 100 + 2 * LATE // 1000
    assert wire.socket.close_code == 1013
    client.transport.release()
    assert client.heard()[-1] == ("close", 1013) and client.close_reason == "too slow"
    client.answer_close()
    assert client.is_closed


def test_a_client_that_never_reads_again_is_cut() -> None:
    wire = SocketWire(listen, max_queue=1000, server={"write_timeout": 30})
    client = wire.open()
    client.transport.stall = True
    while wire.socket.is_open:
        wire.socket.send("x" * 1000)
    client.advance(31)
    assert client.transport.lost and not wire.server.connections


def test_who_sends_much_can_wait_for_the_reader() -> None:
    said: list[int] = []

    async def pour(ws: WebSocket) -> None:
        for number in range(20):
            ws.send(bytes(100_000))
            await ws.drained()
            said.append(number)
        await listen(ws)

    wire = SocketWire(pour, max_queue=500_000)
    client = wire.connect()
    client.transport.stall = True
    client.send(handshake())
    assert len(said) == HIGH_WATER // 100_000
    client.transport.release()
    wire.reactor.settle()
    assert len(said) == 20 and wire.socket.is_open


def test_waiting_for_a_reader_ends_with_its_connection() -> None:
    ended: list[bool] = []

    async def pour(ws: WebSocket) -> None:
        while ws.is_open:
            ws.send(bytes(200_000))
            await ws.drained()
        ended.append(True)

    wire = SocketWire(pour)
    client = wire.connect()
    client.transport.stall = True
    client.send(handshake())
    client.transport.abort()
    wire.reactor.settle()
    assert ended == [True]


def test_a_slow_handler_stops_the_reading_and_loses_nothing() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    client = wire.open()
    handler.gate = Future(wire.reactor)
    messages = [f"{number:05}" * 20 for number in range(2000)]
    client.send(b"".join(map(text, messages)))
    assert not client.transport.reading
    assert len(handler.got) == 1
    assert wire.socket._weight <= INBOX + 2 * SLICE
    gate, handler.gate = handler.gate, None
    gate.set_result(None)
    wire.reactor.settle()
    assert handler.got == messages and client.transport.reading


def test_pings_are_answered_while_the_handler_is_busy() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    client = wire.open()
    handler.gate = Future(wire.reactor)
    client.send(text("a") + text("b") + frame(9, b"there?"))
    assert client.heard() == [("pong", b"there?")]


def test_who_pings_without_reading_is_not_read() -> None:
    wire = SocketWire(listen)
    client = wire.open()
    client.transport.stall = True
    for _ in range(100):
        client.send(frame(9, bytes(125)) * 500)
    assert client.transport.unsent < HIGH_WATER + 2 * 65536
    assert not client.transport.reading
    client.transport.release()
    wire.reactor.settle()
    assert len(client.heard()) == 100 * 500


def test_empty_messages_fill_the_inbox_too() -> None:
    handler = Noting()
    wire = SocketWire(handler)
    client = wire.open()
    handler.gate = Future(wire.reactor)
    client.send(text("") * 10_000)
    assert len(wire.socket._inbox) <= INBOX // 64 + SLICE // 6


def test_fragments_without_end_cost_no_more_than_the_limit() -> None:
    wire = SocketWire(echo, max_message=1000)
    client = wire.open()
    client.send(text("a", fin=False) + more("", fin=False) * 10_000 + more("b" * 998, fin=False))
    assert client.heard() == []
    client.send(more("cd"))
    assert client.heard() == [("close", 1009), END]


def test_what_is_sent_in_one_turn_goes_out_in_two_pieces_and_in_order() -> None:
    async def burst(ws: WebSocket) -> None:
        async for message in ws:
            for number in range(int(message)):
                ws.send(f"{number}")
            broadcast([ws], "all")
        ws.send("never")

    wire = SocketWire(burst)
    client = wire.open()
    pieces: list[bytes] = []
    write = client.transport.write
    client.transport.write = lambda data: (pieces.append(data), write(data))[1]  # type: ignore[func-returns-value,method-assign]
    wire.reactor.clock.now += 1
    client.send(text("100"))
    assert len(pieces) == 2
    assert client.heard() == [*(("text", f"{number}") for number in range(100)), ("text", "all")]
    client.send(text("2") + close())
    assert client.heard() == [("text", "0"), ("text", "1"), ("text", "all"), ("close", 1000), END]


# -- compression -----------------------------------------------------------------------------------------------------


def test_both_sides_compress_with_a_context_that_lasts() -> None:
    wire = SocketWire(echo, deflate=True)
    client = wire.open(deflate=True)
    words = "a sentence that comes again and again, " * 20
    sizes = []
    for _ in range(3):
        client.transport.feed(client.oracle.send(TextMessage(words)))
        wire.reactor.settle()
        sizes.append(len(client.raw))
        assert client.heard() == [("text", words)]
    assert sizes[0] < len(words) // 5 and sizes[2] < sizes[0]
    client.say(BytesMessage(b"\x00" * 1000))
    assert client.heard() == [("bytes", b"\x00" * 1000)]


def test_a_broadcast_reaches_those_who_compress_and_those_who_do_not() -> None:
    wire = SocketWire(listen, deflate=True)
    clients = [wire.open(deflate=True), wire.open()]
    wire.sockets[0].send("x" * 500)
    broadcast(wire.sockets, "to all")
    wire.sockets[0].send("y" * 500)
    wire.reactor.settle()
    assert clients[0].heard() == [("text", "x" * 500), ("text", "to all"), ("text", "y" * 500)]
    assert clients[1].heard() == [("text", "to all")]


# -- broadcast -------------------------------------------------------------------------------------------------------


def test_a_broadcast_leaves_out_the_closed_and_closes_the_slow() -> None:
    wire = SocketWire(listen, max_queue=1000)
    clients = [wire.open() for _ in range(4)]
    wire.sockets[1].close()
    clients[2].transport.stall = True
    clients[3].transport.abort()
    for _ in range(3):
        broadcast(set(wire.sockets), "é" * 500)
    wire.reactor.settle()
    assert clients[0].heard() == [("text", "é" * 500)] * 3
    assert clients[1].heard() == [("close", 1000)]
    assert wire.sockets[2].close_code == 1013


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_frame_says_its_length_in_as_few_bytes_as_it_can(size: int) -> None:
    client = SocketWire(listen).open()
    client.transport.sent += data_frame("x" * size) + data_frame(bytearray(size))  # type: ignore[arg-type]
    assert client.heard() == [Said("text", "x" * size), Said("bytes", bytes(size))]
    overhead = len(data_frame(bytes(size))) - size
    assert overhead == (2 if size < 126 else 4 if size < 65536 else 10)
