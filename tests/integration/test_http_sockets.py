"""The HTTP server and client on real loopback sockets: half-closed clients, resets, early answers, pools, leaks."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from loopback import HOSTS, Loop, descriptors, loop, receive, receive_all, reset

from reactor.core.address import Address
from reactor.core.listener import bind
from reactor.core.offload import Pool
from reactor.core.task import Cancelled, sleep
from reactor.errors import ConnectionLost, DialError, HTTPError, LocalProtocolError, RemoteProtocolError
from reactor.http.client import Client
from reactor.http.message import FilePart, Request, Response
from reactor.http.router import Route, Router
from reactor.http.server import HTTPServer, Settings, Site

__all__ = ["loop"]
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


class Served:
    """A server on loopback with the routes below, and a client of ours."""

    def __init__(self, loop: Loop, host: str = "127.0.0.1", **settings: Any) -> None:
        self.loop = loop
        self.router = Router()
        self.server = HTTPServer(loop.reactor, Site(self.router, Settings(**settings)))
        self.errors: list[BaseException] = []
        self.server.on_error = lambda error, where: self.errors.append(error)
        address = Address(host, 0)
        self.address = self.server.listen(address, bind(address)).address
        self.names = Pool(loop.reactor, "names", threads=1, queue=8)
        self.client = Client(loop.reactor, self.names, per_origin=4)
        self.url = f"http://{self.address}"

    def route(self, methods: str, pattern: str, handler: Any, max_body: int | None = None) -> None:
        self.router.add(Route(tuple(methods.split()), pattern, handler, max_body=max_body))

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address, 5)
        sock.setblocking(False)
        return sock

    def ask(self, method: str, target: str, **more: Any) -> Any:
        return self.loop.run(self.client.request(method, self.url + target, **more))

    def close(self) -> None:
        self.client.close()
        self.server.close()
        self.server.abort()
        self.loop.until(lambda: not self.server.connections)
        self.names.close()


@pytest.fixture
def served(loop: Loop) -> Iterator[Served]:
    served = Served(loop)
    served.route("GET POST", "/echo", lambda request: Response(request.body or b"nothing"))
    yield served
    served.close()
    assert served.errors == []


@pytest.mark.parametrize("host", HOSTS)
def test_a_request_and_its_answer_over_either_family(loop: Loop, host: str) -> None:
    served = Served(loop, host)
    served.route("POST", "/who", lambda request: Response(f"{request.client} {request.body.decode()}"))
    answer = served.ask("POST", "/who", form={"a": "b"})
    assert (answer.status, answer.text) == (200, f"{host} a=b")
    served.close()


def test_a_half_closed_client_gets_all_its_answers(served: Served) -> None:
    async def slow(request: Request) -> Response:
        await sleep(0.02)
        return Response("slow")

    served.route("GET", "/slow", slow)
    with served.connect() as sock:
        sock.send(GET % b"/slow" + GET % b"/echo" + GET % b"/slow")
        sock.shutdown(socket.SHUT_WR)
        data = receive_all(served.loop, sock)
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data.endswith(b"slow")


def test_a_client_that_resets_costs_nothing_and_cancels_its_handler(served: Served) -> None:
    log: list[str] = []

    async def wait(request: Request) -> Response:
        try:
            await sleep(60)
        except Cancelled:
            log.append("cancelled")
            raise
        return Response("")

    served.route("GET", "/wait", wait)
    sock = served.connect()
    sock.send(GET % b"/wait")
    served.loop.until(lambda: served.server.requests)
    reset(sock)
    served.loop.until(lambda: log == ["cancelled"] and not served.server.connections)


@pytest.mark.parametrize("framing", [b"Content-Length: 50000000", b"Transfer-Encoding: chunked"])
def test_a_client_that_sends_too_much_reads_its_413_and_no_reset(served: Served, framing: bytes) -> None:
    with served.connect() as sock:
        sock.send(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if b"chunked" in framing else b"x" * 65536
        answer = bytearray()
        waiting = piece

        def sent_and_read() -> bool:
            nonlocal waiting
            try:
                waiting = waiting[sock.send(waiting) :] or piece
            except BlockingIOError:
                pass
            except OSError:
                return True
            data = receive(sock)
            answer.extend(data or b"")
            return b"\r\n\r\n" in answer

        served.loop.until(sent_and_read)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_thousand_quick_connections_leave_no_descriptor(served: Served) -> None:
    served.ask("GET", "/echo")
    served.client.close()
    served.loop.until(lambda: not served.server.connections)
    before = descriptors()
    for number in range(1000):
        with served.connect() as sock:
            sock.send(GET % b"/echo" if number % 2 else b"GET / HT")
            if number % 5 == 0:
                served.loop.turn()
            if number % 7 == 0:
                reset(sock)
    served.loop.until(lambda: not served.server.connections)
    assert descriptors() == before


def test_a_large_file_goes_out_by_sendfile(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))

    def send(request: Request) -> Response:
        return Response.sending(FilePart(path.open("rb"), 0, 3_000_000))

    served.route("GET", "/file", send)
    before = descriptors()
    assert served.ask("GET", "/file").body == path.read_bytes()
    with served.connect() as sock:  # one that leaves in the middle
        sock.send(GET % b"/file")
        served.loop.until(lambda: receive(sock, 1000))
        reset(sock)
    served.client.close()
    served.loop.until(lambda: not served.server.connections and descriptors() <= before)


# -- the client -------------------------------------------------------------------------------------------------------


def test_connections_are_kept_and_bounded_and_a_waiting_request_gets_its_turn(served: Served) -> None:
    peak = 0

    async def slow(request: Request) -> Response:
        nonlocal peak
        peak = max(peak, len(served.server.connections))
        await sleep(0.01)
        return Response("ok")

    served.route("GET", "/slow", slow)
    tasks = [served.loop.reactor.spawn(served.client.request("GET", served.url + "/slow")) for _ in range(20)]
    served.loop.until(lambda: all(task.done for task in tasks))
    assert {task.result().status for task in tasks} == {200}
    assert peak == 4
    assert len(served.server.connections) == 4


def test_a_request_that_is_given_up_while_it_is_woken_passes_its_turn_on(served: Served) -> None:
    async def slow(request: Request) -> Response:
        await sleep(0.05)
        return Response("ok")

    served.route("GET", "/slow", slow)
    spawn, request = served.loop.reactor.spawn, served.client.request
    busy = [spawn(request("GET", served.url + "/slow")) for _ in range(4)]
    given_up = spawn(request("GET", served.url + "/slow"))
    patient = spawn(request("GET", served.url + "/slow"))
    served.loop.turn()
    [origin] = served.client._origins.values()
    served.loop.until(lambda: len(origin.waiting) == 2)
    origin.waiting[0].on_done(lambda _: given_up.cancel())
    served.loop.until(lambda: patient.done)
    assert patient.result().status == 200
    assert isinstance(given_up.error, Cancelled)
    served.loop.until(lambda: all(task.done for task in busy))


def test_a_kept_connection_that_died_is_replaced_for_methods_that_may_be_repeated(served: Served) -> None:
    for way in ("end", "reset"):
        assert served.ask("GET", "/echo").status == 200
        for connection in list(served.server.connections):  # the server lets go, and the client does not know it yet
            if way == "end":
                connection.close_idle()
            else:
                connection.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.abort()
        assert served.ask("PUT", "/echo").status == 405


def test_a_server_that_leaves_after_the_request_was_sent_is_asked_again_once(loop: Loop) -> None:
    """The race that a keep-alive client cannot avoid: it writes just as the server closes."""
    asked: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    sockets: list[socket.socket] = []

    def accept(sock: socket.socket, peer: object) -> None:
        sockets.append(sock)

        def ready(_: int) -> None:
            data = sock.recv(65536)
            asked.append(data[:4])
            if len(asked) == 2 or not data:
                loop.reactor.unregister(sock.fileno())
                sock.shutdown(socket.SHUT_RDWR)
            else:
                sock.send(answer)

        loop.reactor.register(sock.fileno(), 1, ready)

    listener = loop.listen(accept)
    names = Pool(loop.reactor, "names", threads=1, queue=1)
    client = Client(loop.reactor, names)
    url = f"http://{listener.address}/"
    assert loop.run(client.request("GET", url)).body == b"ok"
    assert loop.run(client.request("GET", url)).body == b"ok"
    assert asked == [b"GET ", b"GET ", b"GET "]
    assert len(sockets) == 2
    asked[:] = [b"POST"]
    with pytest.raises(ConnectionLost):
        loop.run(client.request("POST", url, body=b"x"))
    client.close()
    for sock in sockets:
        if sock.fileno() in loop.reactor._selector.get_map():  # type: ignore[attr-defined]
            loop.reactor.unregister(sock.fileno())
        sock.close()


def test_what_the_client_is_told_when_it_does_not_work(served: Served) -> None:
    async def hang(request: Request) -> Response:
        await sleep(60)
        return Response("")

    served.route("GET", "/hang", hang)
    served.route("GET", "/much", lambda request: Response(b"x" * 100_000))
    with pytest.raises(TimeoutError):
        served.ask("GET", "/hang", timeout=0.05)
    with pytest.raises(RemoteProtocolError, match="larger than the 1000 bytes"):
        served.ask("GET", "/much", limit=1000)
    with pytest.raises(ValueError):
        served.ask("POST", "/echo", json={"a": float("nan")})
    with pytest.raises(ValueError):
        served.ask("GET", "/a b")
    with pytest.raises(LocalProtocolError):
        served.ask("GET", "/echo", headers=[("X", "a\r\nb")])
    with pytest.raises(LocalProtocolError, match="one Host"):
        served.ask("GET", "/echo", headers=[("Host", "a"), ("host", "b")])
    with pytest.raises(ValueError):
        served.loop.run(served.client.request("GET", "https://127.0.0.1/"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(DialError, match="nobody listens"):
            served.loop.run(served.client.request("GET", url))
    assert served.ask("GET", "/echo").status == 200


def test_an_answer_too_large_for_the_handler_that_asked_is_not_its_clients_fault(served: Served) -> None:
    async def fetch(request: Request) -> Response:
        return Response((await served.client.request("GET", served.url + "/much", limit=1000)).body)

    served.route("GET", "/much", lambda request: Response(b"x" * 100_000))
    served.route("GET", "/fetch", fetch)
    assert served.ask("GET", "/fetch").status == 502


def test_a_host_that_the_caller_names_replaces_ours(served: Served) -> None:
    served.route("GET", "/host", lambda request: Response(request.head.host))
    assert served.ask("GET", "/host").text == str(served.address)
    assert served.ask("GET", "/host", headers=[("host", "elsewhere")]).text == "elsewhere"


def test_an_early_answer_does_not_cut_a_request_short(served: Served) -> None:
    got: list[int] = []

    async def early(request: Request) -> Response:
        async def answer() -> AsyncIterator[bytes]:
            yield b"early"
            got.append(len(await request.read()))

        return Response.streaming(answer(), length=5)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            await sleep(0.01)
            yield b"x" * 1000

    served.route("POST", "/early", early)
    assert served.ask("POST", "/early", body=pieces()).body == b"early"
    served.loop.until(lambda: got == [5000])


async def as_far_as_it_comes(request: Request) -> AsyncIterator[bytes]:
    with suppress(HTTPError):
        async for piece in request.chunks():
            yield piece


def test_a_block_that_ends_ends_the_body_that_is_still_being_sent(served: Served) -> None:
    log: list[str] = []

    async def early(request: Request) -> Response:
        return Response.streaming(as_far_as_it_comes(request))

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await sleep(0.01)
        finally:
            log.append("closed")

    async def ask() -> int:
        async with served.client.stream("POST", served.url + "/early", body=pieces()) as answer:
            status = answer.status
        log.append("left")
        return status

    served.route("POST", "/early", early)
    assert served.loop.run(ask()) == 200
    assert log == ["closed", "left"]
    served.loop.until(lambda: not served.server.connections)


def test_the_error_of_a_body_is_raised_at_the_end_of_its_block(served: Served) -> None:
    async def early(request: Request) -> Response:
        return Response.streaming(as_far_as_it_comes(request))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        await sleep(0.02)
        raise KeyError("ours")

    async def ask() -> None:
        async with served.client.stream("POST", served.url + "/early", body=pieces()):
            await sleep(0.05)

    served.route("POST", "/early", early)
    with pytest.raises(KeyError):
        served.loop.run(ask())
    with pytest.raises(KeyError):
        served.ask("POST", "/early", body=pieces())
    served.loop.until(lambda: not served.server.connections)


def test_an_answer_that_is_no_http_is_the_servers_fault(loop: Loop) -> None:
    sockets: list[socket.socket] = []
    listener = loop.listen(lambda sock, peer: (sockets.append(sock), sock.send(b"SSH-2.0-OpenSSH\r\n\r\n")))
    names = Pool(loop.reactor, "names", threads=1, queue=1)
    with pytest.raises((RemoteProtocolError, ConnectionLost)):
        loop.run(Client(loop.reactor, names).request("GET", f"http://{listener.address}/"))
    for sock in sockets:
        sock.close()


def test_streams_pass_through_client_and_server_piece_by_piece(served: Served) -> None:
    async def echo(request: Request) -> Response:
        return Response.streaming(request.chunks())

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(50):
            yield bytes([number]) * 40_000

    async def ask() -> int:
        size = 0
        async with served.client.stream("POST", served.url + "/through", body=pieces()) as answer:
            async for piece in answer.chunks():
                size += len(piece)
        return size

    served.route("POST", "/through", echo, max_body=0)
    assert served.loop.run(ask()) == 50 * 40_000
    assert served.ask("GET", "/echo").status == 200
    assert len(served.server.connections) == 1  # the connection was kept


def test_a_stream_that_is_not_read_to_its_end_costs_its_connection_and_nothing_else(served: Served) -> None:
    async def ask() -> int:
        async with served.client.stream("GET", served.url + "/much") as answer:
            return answer.status

    served.route("GET", "/much", lambda request: Response(b"x" * 10_000_000))
    assert served.loop.run(ask()) == 200
    assert served.ask("GET", "/echo").status == 200
    [origin] = served.client._origins.values()
    assert (origin.open, len(origin.idle)) == (1, 1)


def test_a_block_that_outlasts_its_answer_leaves_the_next_user_of_the_connection_alone(served: Served) -> None:
    """The answer is all there, the connection goes back to the pool and serves another; then the block ends."""

    async def slow(request: Request) -> Response:
        await sleep(0.1)
        return Response("slow")

    async def first() -> bytes:
        async with served.client.stream("GET", served.url + "/echo") as answer:
            body = await answer.read()
            await sleep(0.05)
            return body

    served.route("GET", "/slow", slow)
    task = served.loop.reactor.spawn(first())
    [origin] = served.client._origins.values()
    served.loop.until(lambda: origin.idle)
    other = served.loop.reactor.spawn(served.client.request("GET", served.url + "/slow"))
    served.loop.until(lambda: task.done and other.done)
    assert task.result() == b"nothing"
    assert other.result().text == "slow"
    assert other.result().status == 200
    assert len(served.server.connections) == 1


def test_idle_connections_are_let_go_and_forgotten(served: Served) -> None:
    served.client._idle = 0.05
    served.ask("GET", "/echo")
    [origin] = served.client._origins.values()
    assert len(origin.idle) == 1
    served.loop.until(lambda: not served.server.connections and not served.client._origins)
    assert (origin.open, origin.idle) == (0, [])


def test_an_origin_is_forgotten_when_nothing_is_open_and_nobody_waits(served: Served) -> None:
    """Nor do those who wait for the last connection lose their turn when it goes."""

    async def hang(request: Request) -> Response:
        await sleep(60)
        return Response("")

    served.route("GET", "/hang", hang)
    served.client._per_origin = 1
    spawn, request, origins = served.loop.reactor.spawn, served.client.request, served.client._origins
    busy, given_up, patient = (spawn(request("GET", served.url + path)) for path in ("/hang", "/echo", "/echo"))
    served.loop.until(lambda: served.server.requests)
    given_up.cancel()
    served.loop.turn()
    [origin] = origins.values()
    assert len(origin.waiting) == 1
    busy.cancel()
    served.loop.until(lambda: patient.done)
    assert patient.result().body == b"nothing"
    assert origins
    served.client.close()
    served.loop.until(lambda: not origins)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(DialError):
            served.loop.run(request("GET", f"http://127.0.0.1:{closed.getsockname()[1]}/"))
    assert not origins
    assert isinstance(busy.error, Cancelled)
