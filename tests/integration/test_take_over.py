"""SIGUSR2: a new process takes the place of the old one under load, with what that has kept, or it does not at all."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from page_socket import PageSocket, log_in
from server import Server, Wire, connected, curl, wait_until, write_config
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bench.process import free_port

LOGIN = ("-d", "username=admin&password=password")
WAITING = """
import os
from pathlib import Path
from reactor import Request, Response, StartError, sleep

def setup(plugin, options):
    async def slow(request: Request) -> Response:
        plugin.log.say("slow has begun")
        while not plugin.path("go").exists():
            await sleep(0.02)
        return Response("slow")

    async def socket(ws):
        async for message in ws:
            await ws.send(message)

    def start():
        if plugin.path("fail").exists():
            raise StartError("the disk is on fire")
        if plugin.path("die").exists():
            os._exit(7)

    async def wait():
        while plugin.path("wait").exists():
            await sleep(0.02)

    kept = plugin.keep("words", list, dump=dump(plugin), load=load(plugin))
    plugin.route("GET", "/pid", lambda request: Response(str(os.getpid())))
    plugin.route("POST", "/words", lambda request: Response(str(kept.append(request.body))))
    plugin.route("GET", "/words", lambda request: Response(b",".join(kept)))
    plugin.route("GET", "/slow", slow)
    plugin.websocket("/socket", socket)
    plugin.on_start(start)
    plugin.on_start(wait)

def dump(plugin):
    def dump_words(words):
        if plugin.path("undumpable").exists():
            raise ValueError("these words cannot be said")
        return b",".join(words)
    return dump_words

def load(plugin):
    def load_words(words, data):
        if plugin.path("unloadable").exists():
            raise ValueError("these words cannot be heard")
        words[:] = data.split(b",")
    return load_words
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "waiting_plugin.py").write_text(WAITING)
    return write_config(
        tmp_path / "config.ini", {"static": "", "waiting": "use = waiting_plugin"},
        listen="127.0.0.1:0, unix:x.sock", server="trusted_proxies = unix",
    )  # fmt: skip


class Running:
    """A server and all that take its place; at the end none of them is left."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def pid(self) -> int:
        return int(curl(self.server.url + "/pid").body)

    def take_over(self) -> int:
        """Send the signal to the present one; the process id of the next, once that serves."""
        before = self.pid
        os.kill(before, signal.SIGUSR2)
        wait_until(lambda: self.pid != before, 30.0, lambda: self.server.stderr)
        return self.pid


@contextmanager
def running(config: Path) -> Iterator[Running]:
    server = Server(config)
    try:
        with server:
            yield Running(server)
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGTERM)
            server.process.wait(5.0)
            wait_until(lambda: not has_members(server.process.pid), 5.0, lambda: server.stderr)
            assert server.complaints == []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)


def has_members(group: int) -> bool:
    """Whether a process of the group is alive; those that nobody has waited for yet are not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, _, found = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(found) == group and state != "Z":
                    return True
    return False


class Load(threading.Thread):
    """Asks as fast as it is answered, each fifth time on a connection of its own; keeps what went wrong."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.wrong: list[str] = []
        self.pids: set[str] = set()
        self.asked = 0
        self.slowest = 0.0
        self.over = False

    def run(self) -> None:
        wire: Wire | None = None
        while not self.over:
            began = time.monotonic()
            try:
                wire = wire or Wire(self.port)
                answer = wire.get("/pid")
                self.pids.add(answer.body)
                if answer.status != 200:
                    self.wrong.append(f"{answer.status}")
                self.asked += 1
                ends = answer.header("connection") == "close" or self.asked % 5 == 0
            except Exception as error:  # for the test to fail with, in its own thread
                self.wrong.append(repr(error))
                ends = True
            if ends and wire is not None:
                wire.close()
                wire = None
            self.slowest = max(self.slowest, time.monotonic() - began)
        if wire is not None:
            wire.close()


@contextmanager
def load(port: int, threads: int = 4) -> Iterator[list[Load]]:
    loads = [Load(port) for _ in range(threads)]
    for one in loads:
        one.start()
    try:
        yield loads
    finally:
        for one in loads:
            one.over = True
        for one in loads:
            one.join(15.0)
        assert not any(one.is_alive() for one in loads), "a client still waits for its answer"


def register(server: Server, peer_id: str) -> int:
    body = f'{{"peer_id": "{peer_id}", "ip": "127.0.0.1", "port": 9101, "channels": ["general"], "v": 1}}'
    return curl("-H", "Content-Type: application/json", "-d", body, server.url + "/submit-info").status


def test_under_load_no_request_fails_and_what_was_kept_is_there(config: Path, tmp_path: Path) -> None:
    jar = tmp_path / "jar"
    port = free_port()
    config.write_text(config.read_text() + f"\n[plugin:status]\nlisten = 127.0.0.2:{port}\n")
    with running(config) as run:
        server = run.server
        assert curl("-c", jar, *LOGIN, server.url + "/login").status == 200
        assert register(server, "ann") == 200
        curl("-d", "one", server.url + "/words")
        first = run.pid
        with load(server.port) as loads:
            wait_until(lambda: all(one.asked > 50 for one in loads), 10.0)
            second = run.take_over()
            server.process.wait(10.0)  # with nobody who stays on an old connection, the old one ends at once
            assert server.process.returncode == 0
            third = run.take_over()
            asked = sum(one.asked for one in loads)
            wait_until(lambda: sum(one.asked for one in loads) > asked + 100, 10.0)
        assert [one.wrong for one in loads] == [[]] * len(loads)
        assert set.union(*(one.pids for one in loads)) == {str(pid) for pid in (first, second, third)}
        assert len({first, second, third}) == 3
        assert max(one.slowest for one in loads) < 3.0
        assert curl("-b", jar, server.url + "/whoami").json["username"] == "admin"
        listed = curl(server.url + "/get-list").json
        assert [(peer["peer_id"], peer["channels"]) for peer in listed["peers"]] == [("ann", ["general"])]
        assert curl(server.url + "/words").body == "one"
        by_unix = ("--unix-socket", tmp_path / "x.sock", "-H", "X-Forwarded-For: 127.0.0.1")
        assert curl(*by_unix, "http://localhost/words").body == "one"
        wait_until(lambda: curl(f"http://127.0.0.2:{port}/readyz").status == 200, 5.0)
        wait_until(lambda: server.stderr.count("has taken over") == 2, 5.0, lambda: server.stderr)
        wait_until(lambda: not Path(f"/proc/{second}").exists() or second in zombies(), 5.0)
    assert not (tmp_path / "x.sock").exists()  # the last one takes it along


def test_people_in_the_chat_come_back_to_the_new_process_while_the_old_one_still_drains(
    config: Path, tmp_path: Path
) -> None:
    write_config(
        config, {"static": "", "waiting": "use = waiting_plugin", "chat": "# as it is"}, server="trusted_proxies = unix"
    )
    with running(config) as run, connected(run.server) as slow:
        server = run.server
        cookie = log_in(server.url)
        with PageSocket(server.url, cookie) as page:
            slow.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
            server.wait_for("slow has begun")
            run.take_over()
            assert page.wait_closed()[0] == 1001
        wait_until(lambda: is_held(server.url, cookie, page.id), 5.0)
        assert server.process.poll() is None
        (tmp_path / "go").touch()
        assert slow.read().body == "slow"
        assert server.process.wait(5.0) == 0


def is_held(url: str, cookie: str, peer_id: str) -> bool:
    """Whether the page gets the same peer as before. It tries again while the old process lets go of it."""
    try:
        with PageSocket(url, cookie) as again:
            return again.id == peer_id
    except ConnectionClosed as closed:
        assert closed.rcvd is not None and closed.rcvd.code == 1013
        return False


def zombies() -> list[int]:
    """Processes that have ended and that nobody has waited for: in a container nobody may do so."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    found.append(int(entry.name))
    return found


def test_what_is_under_way_ends_on_the_old_process_and_sockets_hear_1001(config: Path, tmp_path: Path) -> None:
    with running(config) as run, connected(run.server) as slow, connected(run.server) as idle, ExitStack() as stack:
        server = run.server
        assert idle.get("/words").header("connection") == ""
        url = server.url.replace("http://", "ws://") + "/socket"
        page = stack.enter_context(connect(url, proxy=None, compression=None))
        slow.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for("slow has begun")
        first = run.pid
        assert run.take_over() != first
        with pytest.raises(ConnectionClosed) as closed:
            page.recv(timeout=5.0)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
        last = idle.get("/pid")  # it was not cut just when it might have asked
        assert (last.body, last.header("connection")) == (str(first), "close")
        assert idle.is_closed()
        assert server.process.poll() is None
        (tmp_path / "go").touch()
        assert slow.read().body == "slow"
        assert server.process.wait(5.0) == 0


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ("fail", "not taken over, this process goes on: the disk is on fire"),
        ("die", "not taken over, this process goes on: the new process ended with status 7"),
        ("undumpable", "not taken over, this process goes on: what is kept cannot be handed over"),
        ("unloadable", "not taken over, this process goes on: ValueError: these words cannot be heard"),
        ("config", "not taken over, this process goes on: config.ini"),
    ],
)
def test_a_new_process_that_fails_leaves_the_old_one_serving_with_the_reason(
    config: Path, tmp_path: Path, flaw: str, says: str
) -> None:
    with running(config) as run, load(run.server.port, 2) as loads:
        server, first, good = run.server, run.pid, config.read_text()
        if flaw != "config":
            (tmp_path / flaw).touch()
        else:
            config.write_text(good.replace("[plugin:tracker]", "[plugin:tracker]\nttl = soon"))
            says = says.replace("config.ini", str(config))
        os.kill(first, signal.SIGUSR2)
        server.wait_for(says)
        wait_until(lambda: children(first) == [], 10.0)
        asked = sum(one.asked for one in loads)
        wait_until(lambda: sum(one.asked for one in loads) > asked + 20, 10.0)
        assert run.pid == first
        assert (tmp_path / "x.sock").exists()
        server.allowed += server.complaints
        (tmp_path / flaw).unlink(missing_ok=True)
        config.write_text(good)
        server.reload()
        assert run.take_over() != first  # and the next one may
    assert [one.wrong for one in loads] == [[], []]


def children(pid: int) -> list[int]:
    """The processes that it has started and not seen the end of."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(pid):
                    found.append(int(entry.name))
    return found


def test_a_stop_while_another_process_starts_ends_both(config: Path, tmp_path: Path) -> None:
    with running(config) as run:
        (tmp_path / "wait").touch()
        pid = run.pid
        os.kill(pid, signal.SIGUSR2)
        wait_until(lambda: len(children(pid)) == 1, 5.0)
        [child] = children(pid)
        os.kill(pid, signal.SIGUSR2)  # one at a time
        run.server.wait_for("not taken over, this process goes on: a start, a reload or the end is under way")
        run.server.allowed.append("is under way")
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        (tmp_path / "wait").unlink()
        assert run.server.process.wait(10.0) == 0
        wait_until(lambda: not Path(f"/proc/{child}").exists() or child in zombies(), 5.0)
        run.server.allowed.append("the process whose place was to be taken is gone")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", run.server.port), 1).close()


def test_the_variable_of_another_process_is_not_believed(config: Path) -> None:
    server = Server(config, [sys.executable, "-c", "import os, sys\nos.environ['REACTOR_TAKES_OVER'] = '1:0'\n"
                                                   "os.execv(sys.argv[1], sys.argv[1:])",
                             sys.executable, "-m", "reactor", "-c", str(config)])  # fmt: skip
    with server:
        assert curl(server.url + "/words").status == 200
