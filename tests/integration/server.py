"""Real servers for the tests: `python -m reactor` as a process of its own, and what talks to it.

    with Server(config) as server:            # the port that the system chose, once the server listens
        answer = curl(server.url + "/whoami")
        server.stop()                         # status 0, and nothing but "info" lines on standard error

Output goes to files and not to pipes: nothing blocks, and a test can look at what was said so far.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# None of these is waited for where all is well; a busy machine may need far longer than an idle one.
START_SECONDS = 30.0
STOP_SECONDS = 15.0
CLOSE_SECONDS = 10.0

# No proxy of the environment may come between, and no proxy of ours may be needed.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
_INFO = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d info: ")


def write_config(
    path: Path, plugins: Mapping[str, str] | None = None, *, listen: str = "127.0.0.1:0", server: str = ""
) -> Path:
    """A config with login, files and tracker, as `config.ini` has them. `plugins` adds sections or replaces them; an
    empty one takes a section away. The state directory is `var` beside the file. A server that reads the file meanwhile
    has the one before.
    """
    sections = {
        "auth": f"index = {ROOT}/www/index.html",
        "static": f"mount =\n    /assets  {ROOT}/www/assets\n    /        {ROOT}/www  guard=login",
        "tracker": "# as it is",
    }
    sections.update(plugins or {})
    parts = [f"[server]\nlisten = {listen}\nstate_dir = var\n{server}\n"]
    parts += [f"[plugin:{name}]\n{text}\n" for name, text in sections.items() if text]
    new = path.with_name(path.name + ".new")
    new.write_text("\n".join(parts))
    return new.replace(path)


def command(config: Path) -> list[str]:
    """How the server is started here; a warning about something left open counts as a complaint."""
    return [sys.executable, "-W", "always::ResourceWarning", "-m", "reactor", "-c", str(config)]


class Server:
    """A server process from its first line to its end. Whatever happens in the `with` block, it is gone after it."""

    def __init__(
        self, config: Path, command_line: list[str] | None = None, *, pass_fds: Sequence[int] = ()
    ) -> None:
        """`command_line` replaces `python -m reactor`. Modules beside the config can be plugins (`use = NAME`)."""
        self.config = config
        self.allowed: list[str] = []  # parts of lines on standard error that a test expects
        self.url = ""
        self.port = 0
        number = len(list(config.parent.glob("*.stdout")))
        self._stdout = config.parent / f"{config.stem}-{number}.stdout"
        self._stderr = config.parent / f"{config.stem}-{number}.stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command_line or command(config), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                env={**ENVIRONMENT, "PYTHONPATH": str(config.parent)}, start_new_session=True,
                pass_fds=pass_fds,
            )  # fmt: skip

    def __enter__(self) -> Server:
        try:
            self.wait_until_listening()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None and self.process.poll() is None:
                self.stop()
        finally:
            self.kill()

    # -- what it says ------------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def complaints(self) -> list[str]:
        """Lines on standard error that are neither information nor what the test allows. That the server was held up is
        the machine's fault, if nothing else is wrong.
        """
        lines = [line for line in self.stderr.splitlines() if line and not _INFO.match(line)]
        allowed = (*self.allowed, "nobody has been served for")
        return [line for line in lines if not any(part in line for part in allowed)]

    def wait_for(self, text: str, seconds: float = START_SECONDS) -> str:
        """The first line, on either output, with `text` in it."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in (self.stdout + self.stderr).splitlines() if text in line]
            return bool(found)

        wait_until(look, seconds, lambda: f"no line with {text!r}:\n{self.stdout}\n{self.stderr}", self.process)
        return found[0]

    def wait_until_listening(self) -> None:
        match = re.search(r"http://127\.0\.0\.1:(\d+)", self.wait_for("Listening on"))
        assert match is not None, self.stdout
        self.url, self.port = match.group(), int(match.group(1))

    # -- signals -----------------------------------------------------------------------------------------------------

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def reload(self, says: str = "info: reloaded") -> None:
        """SIGHUP, and wait for one more line with `says` in it."""
        before = self.stderr.count(says)
        self.send_signal(signal.SIGHUP)
        wait_until(
            lambda: self.stderr.count(says) > before, STOP_SECONDS, lambda: f"no {says!r}:\n{self.stderr}", self.process
        )  # fmt: skip

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> None:
        """End it as people do, and expect that it ended well."""
        self.send_signal(number)
        self.wait_stopped(seconds)

    def wait_stopped(self, seconds: float = STOP_SECONDS) -> None:
        status = self.process.wait(seconds)
        assert status == 0, f"exit status {status}:\n{self.stderr}"
        assert not self.complaints, self.complaints

    def kill(self) -> None:
        """End it and all that it started, without asking."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    # -- what the system knows of it ---------------------------------------------------------------------------------

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def wait_until(
    condition: Callable[[], bool],
    seconds: float,
    failure: Callable[[], str] = lambda: "it did not come true in time",
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Look every 10 ms. Fails at once if `process` ends before."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = process is not None and process.poll() is not None
        if ended and condition():  # it was said, and then the end came
            return
        assert not ended, f"the process ended: {failure()}"
        assert time.monotonic() < deadline, failure()
        time.sleep(0.01)


def refused(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected not to start, to its end."""
    return subprocess.run(
        [*command(config), *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=START_SECONDS, env={**ENVIRONMENT, "PYTHONPATH": str(config.parent)},
    )  # fmt: skip


# -- clients -------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: str

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name: str) -> str:
        """The one value of a header; "" without it."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def curl(*arguments: str | Path) -> Answer:
    """The answer that curl gets, called as people call it."""
    ran = subprocess.run(
        ["curl", "--disable", "--silent", "--show-error", "--include", "--max-time", "10", *map(str, arguments)],
        capture_output=True, timeout=15, env=ENVIRONMENT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    return parse_answer(ran.stdout.decode())


def parse_answer(text: str) -> Answer:
    """Of one answer as it came over the wire, after interim ones (1xx)."""
    head, _, body = text.partition("\r\n\r\n")
    lines = head.split("\r\n")
    status = int(lines[0].split()[1])
    if status < 200:
        return parse_answer(body)
    pairs = [line.partition(":") for line in lines[1:]]
    return Answer(status, [(name.lower(), value.strip()) for name, _, value in pairs], body)


class Wire:
    """A connection on which a test writes the bytes itself and reads one answer at a time."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def get(self, path: str) -> Answer:
        self.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return self.read()

    def read(self) -> Answer:
        """The next answer; its length must be announced by Content-Length."""
        while b"\r\n\r\n" not in self._rest:
            self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        answer = parse_answer(head.decode() + "\r\n\r\n")
        size = int(answer.header("content-length"))
        while len(self._rest) < size:
            self._receive(f" of the {size} bytes behind {head!r}")
        body, self._rest = self._rest[:size], self._rest[size:]
        return answer._replace(body=body.decode())

    def _receive(self, where: str = ", before the end of a head") -> None:
        data = self.sock.recv(65536)
        assert data, f"the connection ended after {self._rest!r}{where}"
        self._rest += data

    def is_closed(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Whether the server ends the connection within that time, without another byte."""
        self.sock.settimeout(seconds)
        try:
            return not self._rest and self.sock.recv(1) == b""
        except TimeoutError:
            return False

    def close(self) -> None:
        self.sock.close()


@contextmanager
def connected(server: Server) -> Iterator[Wire]:
    wire = Wire(server.port)
    try:
        yield wire
    finally:
        wire.close()
