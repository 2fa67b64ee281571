"""The proxy between clients and servers that misbehave: each of them at each stage, and what the other side sees."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.backends import (
    Puppet,
    Strings,
    answering,
    free_port,
    gunicorn,
    kill,
    proxying,
    wait_for_port,
    write_proxy,
)
from tests.integration.server import Answer, Server, connected, curl, wait_until

QUICK = "connect_timeout = 500ms\nresponse_timeout = 500ms\nidle_timeout = 500ms\nqueue_timeout = 500ms"


def ok(body: bytes = b"ok", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), more, body)


# -- what a server answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"\x16\x03\x01 this is no HTTP\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", 502),
        (b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\n Folded: yes\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 502),
        (b"HTTP/2 200 OK\r\n\r\n", 502),
        (b"", 502),
        (b"HTTP/1.1 200", 502),
        (ok() + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond", 200),
        (ok() + b"and more", 200),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(), 200),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 200),
        (b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", 599),
        (b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", 404),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_502_and_what_follows_an_answer_is_nobodys(
    tmp_path: Path, wire: bytes, status: int
) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.read_head()
        connection.send(wire)

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server:
        for _ in range(2):  # nothing of the first is left for the second
            answer = curl("-X", "POST", server.url + "/")
            assert answer.status == status
            if status == 200:
                assert answer.body == "ok"


@pytest.mark.parametrize("cut", [1, 12, 30, 37, 40])
def test_an_answer_in_two_pieces_is_the_same_answer(tmp_path: Path, cut: int) -> None:
    def script(connection: Strings, number: int) -> None:
        while True:
            connection.read_head()
            connection.send(ok()[:cut])
            time.sleep(0.05)
            connection.send(ok()[cut:])

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server, connected(server) as wire:
        assert [wire.get("/").body for _ in range(2)] == ["ok", "ok"]
        assert len(puppet.connections) == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_cut_and_never_ended(tmp_path: Path, wire: bytes) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.read_head()
        connection.send(wire)

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            seen = read_all(client)
        assert seen.startswith(b"HTTP/1.1 200 ") and seen.count(b"HTTP/1.1") == len(puppet.connections) == 1
        assert (b"half" in seen) is (b"half" in wire) and not seen.endswith(b"0\r\n\r\n")


def read_all(client: socket.socket) -> bytes:
    seen = b""
    try:
        while data := client.recv(65536):
            seen += data
    except ConnectionResetError:
        pass
    return seen


def test_trailers_and_interim_answers_pass_and_hop_by_hop_fields_do_not(tmp_path: Path) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.read_body(connection.read_head())
        connection.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\n"
            b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n"
        )

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as client:
            client.sendall(
                b"POST / HTTP/1.1\r\nHost: test\r\nConnection: close, X-Drop, Host, Cookie\r\nTE: trailers\r\n"
                b"X-Drop: 1\r\nCookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n"
                b"Content-Length: 4\r\n\r\n"
            )
            seen = read_all(client).lower()
        assert seen.startswith(b"http/1.1 103 early hints\r\nlink: </a>\r\n\r\nhttp/1.1 200 ok\r\n")
        assert b"x-end: 2" in seen and b"x-hop" not in seen and b"keep-alive" not in seen
        assert seen.endswith(b"2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")
        asked = puppet.heard[0].lower()
        assert b"x-drop" not in asked and b"cookie: a=b" in asked and b"host: test" in asked
        assert asked.endswith(b"2\r\nhi\r\n0\r\nx-sum: 9\r\n\r\n")


def test_a_server_that_wants_no_more_of_a_body_is_heard_though_it_resets_the_connection(tmp_path: Path) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")  # and closes, all unread

    (tmp_path / "body").write_bytes(b"x" * 1_000_000)
    with Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server:
        for _ in range(5):
            answer = curl("-T", f"{tmp_path}/body", "-H", "Expect:", server.url + "/")
            assert (answer.status, answer.body) == (413, "big")


# -- what takes too long, and what is not there ------------------------------------------------------------------------


def test_who_is_not_there_is_502_with_a_page_for_people(tmp_path: Path) -> None:
    with proxying(tmp_path, free_port()) as server:
        answer = curl("-H", "Accept: text/html", server.url + "/")
        assert (answer.status, answer.header("content-type")) == (502, "text/html; charset=utf-8")
        assert "cannot be reached" in answer.body
        assert curl("-H", "Host: unknown.test", server.url + "/").status == 404


def test_who_does_not_answer_in_time_is_504_and_is_let_go(tmp_path: Path) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.wait_for_end()

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port, options=QUICK) as server:
        answer = curl("-H", "Accept: text/html", server.url + "/")
        assert answer.status == 504 and "in time" in answer.body
        assert puppet.connections[0].ended.wait(5)
        assert len(puppet.connections) == 1  # it may be at work on it: asking again would double that


def test_an_answer_that_stops_half_way_is_cut(tmp_path: Path) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.wait_for_end()

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port, options="idle_timeout = 500ms") as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert read_all(client).endswith(b"half")
        assert puppet.connections[0].ended.wait(5)


def test_when_there_are_no_more_connections_the_next_waits_and_then_it_is_503(tmp_path: Path) -> None:
    release = threading.Event()

    def script(connection: Strings, number: int) -> None:
        while True:
            connection.read_head()
            release.wait(10)
            connection.send(ok())

    options = "max_connections = 1\nqueue_timeout = 2s"
    with (
        Puppet(script) as puppet, proxying(tmp_path, puppet.port, options=options) as server,
        connected(server) as first, connected(server) as second, connected(server) as third,
    ):  # fmt: skip
        first.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: bool(puppet.connections), 5)
        answer = second.get("/")
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        third.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        time.sleep(0.1)
        release.set()
        assert (first.read().status, third.read().status) == (200, 200)
        assert len(puppet.connections) == 1


# -- clients that leave --------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("stage", ["waiting", "uploading", "downloading"])
def test_a_client_that_leaves_takes_its_request_along(tmp_path: Path, stage: str, reset: bool) -> None:
    def script(connection: Strings, number: int) -> None:
        head = connection.read_head()
        if b"/downloading" in head:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nbegin")
        connection.wait_for_end()

    with (
        Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as client,
    ):  # fmt: skip
        body = "Content-Length: 100000000\r\n" if stage == "uploading" else ""
        client.sendall(f"POST /{stage} HTTP/1.1\r\nHost: test\r\n{body}\r\n".encode() + b"x" * 1000 * bool(body))
        wait_until(lambda: bool(puppet.connections) and b"\r\n\r\n" in puppet.heard[0], 5)
        if stage == "downloading":
            receive(client, b"begin")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert puppet.connections[0].ended.wait(5)


def test_a_client_that_only_ends_its_side_can_be_answered(tmp_path: Path) -> None:
    def script(connection: Strings, number: int) -> None:
        connection.read_head()
        time.sleep(0.3)
        connection.send(ok())

    with (
        Puppet(script) as puppet, proxying(tmp_path, puppet.port, options="half_closed = yes") as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as client,
    ):  # fmt: skip
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).endswith(b"ok")


# -- tries ---------------------------------------------------------------------------------------


def dropping_first(connection: Strings, number: int) -> None:
    """Answer once, and be gone when the connection is used again; the next connection is as it should be."""
    connection.read_body(connection.read_head())
    connection.send(ok(b"%d" % number))
    if number:
        answering(connection, number)
    connection.read_head()


def test_a_kept_connection_that_was_given_up_is_replaced_where_that_is_safe(tmp_path: Path) -> None:
    with Puppet(dropping_first) as puppet, proxying(tmp_path, puppet.port) as server, connected(server) as wire:
        assert wire.get("/").body == "0"
        wire.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
        assert (wire.read().body, puppet.heard[1][-3:]) == ("1", b"abc")
    with Puppet(dropping_first) as puppet, proxying(tmp_path, puppet.port) as server, connected(server) as wire:
        assert wire.get("/").body == "0"
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
        assert wire.read().status == 502  # it may have been done
        assert len(puppet.connections) == 1


def test_with_two_servers_the_other_one_answers_for_one_that_is_not_there(tmp_path: Path) -> None:
    with Puppet(answering) as puppet, proxying(tmp_path, free_port(), puppet.port) as server, connected(server) as wire:
        assert [wire.get("/").body for _ in range(10)] == ["0"] * 10
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx")
        assert wire.read().body == "0"  # nothing of it had been sent: any method may go elsewhere


def test_checks_take_a_server_out_before_a_request_meets_it_and_bring_it_back(tmp_path: Path) -> None:
    well = threading.Event()

    def script(connection: Strings, number: int) -> None:
        while True:
            head = connection.read_head()
            good = well.is_set() or b"/health" not in head
            connection.send(ok(b"sick") if good else b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n")

    options = "check_path = /health\ncheck_interval = 50ms\ncheck_status = 200\nslow_return = 0"
    with (
        Puppet(script) as sick, Puppet(answering) as puppet,
        proxying(tmp_path, sick.port, puppet.port, options=options) as server, connected(server) as wire,
    ):  # fmt: skip
        server.allowed.append("its checks say")
        server.wait_for("is down now, its checks say")
        assert "sick" not in [wire.get("/").body for _ in range(6)]
        well.set()
        server.wait_for("is up now, its checks say")
        assert "sick" in [wire.get("/").body for _ in range(6)]


# Head and body go out in one `send`, so that an answer is out or has not begun when it is killed: what dies between the
# two can only be cut (test_an_answer_that_breaks_off_is_cut_and_never_ended).
WHOLE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = sys.argv[2], -1
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"goes")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def killable(version: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of a server in a process of its own, and the process."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", WHOLE, str(port), version], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_port(port, process)
        yield port, process
    finally:
        kill(process)


class Load:
    """Eight clients that ask as fast as they are answered, until the end of the `with` block or their first trouble."""

    def __init__(self, server: Server) -> None:
        self.answers: list[Answer] = []
        self.wrong: list[str] = []
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(8)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)
        assert not any(thread.is_alive() for thread in self._threads), "a client still waits for its answer"

    def _run(self) -> None:
        try:
            with connected(self._server) as wire:
                while not self._stop.is_set():
                    self.answers.append(wire.get("/"))
        except Exception as error:  # for the test to fail with, in its own thread
            self.wrong.append(repr(error))

    def wait_for_more(self, count: int) -> None:
        """Until so many more were answered, or one was not."""
        enough = len(self.answers) + count
        wait_until(lambda: bool(self.wrong) or len(self.answers) > enough, 20, self._said)

    def _said(self) -> str:
        return f"only {len(self.answers)} answers\n{self._server.stderr}"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])  # each connection is new, or one that was kept
def test_a_server_that_is_killed_under_load_fails_no_idempotent_request(tmp_path: Path, version: str) -> None:
    with (
        gunicorn(tmp_path) as stays, killable(version) as (port, goes), proxying(tmp_path, stays, port) as server,
        Load(server) as load,
    ):  # fmt: skip
        load.wait_for_more(200)
        kill(goes)
        before = {answer.body == "goes" for answer in load.answers}
        load.wait_for_more(200)
    assert load.wrong == []
    assert [answer for answer in load.answers if answer.status != 200] == []
    assert before == {True, False}  # both had their share


# -- WebSockets and reloads --------------------------------------------------------------------------------------------

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def echoing(connection: Strings, number: int) -> None:
    """101 for /ws, and then everything back; anything else is answered as usual."""
    while True:
        head = connection.read_head()
        if b"Upgrade: websocket" not in head:
            connection.send(ok(b"%d" % number))
            continue
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nearly")
        while True:
            connection.send(connection.sock.recv(65536) or 1 / 0)  # type: ignore[arg-type]


def ends(connection: Strings, number: int) -> None:
    try:
        echoing(connection, number)
    except ZeroDivisionError:
        connection.ended.set()


def receive(client: socket.socket, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        data = client.recv(65536)
        assert data, seen
        seen += data
    return seen


def test_a_websocket_passes_both_ways_and_survives_a_reload(tmp_path: Path) -> None:
    with Puppet(ends) as puppet, Puppet(answering) as other, proxying(tmp_path, puppet.port) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as client, connected(server) as wire:
            assert wire.get("/").body == "0"
            client.sendall(UPGRADE + b"with the head")
            seen = receive(client, b"with the head")
            assert seen.startswith(b"HTTP/1.1 101 ") and seen.lower().count(b"upgrade: websocket") == 1
            assert b"early" in seen
            config = server.config.read_text()
            server.config.write_text(config.replace(str(puppet.port), str(other.port)))
            server.reload()
            assert wire.get("/").body == "0" and other.heard  # the new table, on the old connection
            client.sendall(b"x" * 300_000 + b"end")
            assert len(receive(client, b"end")) == 300_003
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b""
        assert next(one for one in puppet.connections if b"Upgrade" in one.heard).ended.wait(5)


@pytest.mark.parametrize("answer", [ok(), b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"])
def test_without_a_101_nothing_is_tunnelled(tmp_path: Path, answer: bytes) -> None:
    def script(connection: Strings, number: int) -> None:
        while True:
            connection.read_head()
            connection.send(answer)

    with Puppet(script) as puppet, proxying(tmp_path, puppet.port) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as client:
            client.sendall(UPGRADE + b"GET /smuggled HTTP/1.1\r\nHost: other.test\r\n\r\n")
            assert receive(client, b"404 Not Found")  # the second is a request to us, for a host that is unknown
        assert b"smuggled" not in b"".join(puppet.heard)


def test_a_reload_cuts_no_answer(tmp_path: Path) -> None:
    release = threading.Event()

    def script(connection: Strings, number: int) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
        release.wait(10)
        connection.send(b"3\r\nend\r\n0\r\n\r\n")

    with (
        Puppet(script) as slow, Puppet(answering) as puppet, proxying(tmp_path, slow.port) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as client,
    ):  # fmt: skip
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        receive(client, b"begin")
        write_proxy(tmp_path, {"all": f"host = test\nto = http://127.0.0.1:{puppet.port}"})
        server.reload()
        assert curl("-H", "Host: test", server.url + "/").body == "0"
        release.set()
        assert receive(client, b"0\r\n\r\n")


def test_a_wrong_table_changes_nothing_and_says_file_and_line(tmp_path: Path) -> None:
    with Puppet(answering) as puppet:
        conf = tmp_path / "proxy.conf"
        conf.write_text(f'host "test" {{\n  proxy_pass http://127.0.0.1:{puppet.port};\n}}\n')
        with Server(write_proxy(tmp_path, {}, options="conf = proxy.conf")) as server:
            assert curl("-H", "Host: TEST:1", server.url + "/").body == "0"
            conf.write_text('host "test" {\n  proxy_pas http://127.0.0.1:1;\n}\n')
            server.allowed.append("proxy.conf:2")
            server.reload("proxy.conf:2: unknown directive 'proxy_pas': did you mean proxy_pass?")
            assert curl("-H", "Host: test", server.url + "/").body == "0"
