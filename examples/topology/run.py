"""The whole topology in one terminal: a proxy, two backends behind it, and a web application. Ctrl-C ends all.

    browser -> proxy :8080 -> backend :9000, backend :9001    (127.0.0.1, localhost)
                           -> web application :8000           (webapp.localhost)

When all are there, it logs in at the first backend and shows that the second knows of it, directly and through the
proxy.
"""

from __future__ import annotations

import argparse
import http.client
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlencode, urlsplit

HERE = Path(__file__).resolve().parent
STATE = HERE.parents[1] / "var" / "topology"
LOGIN = {"username": "admin", "password": "password"}
START_SECONDS = 15.0
STOP_SECONDS = 10.0

BACKENDS = """
host "{name}" {{
    proxy_pass {first};
    proxy_pass {second};
    dist_policy round-robin
}}
"""
WEBAPP = """
host "webapp.localhost" {{
    proxy_pass {webapp};
}}
"""


class Failed(Exception):
    """Something is not as it should be; the message is for the person at the terminal."""


class Process:
    """One of the programs. Its lines are printed with its name before them; from `with` on it listens at `url`."""

    def __init__(self, name: str, program: str, *arguments: object) -> None:
        self.url = ""
        self._name = name
        self._listens = threading.Event()
        # A session of its own: Ctrl-C is told to us alone, and we tell the others in order.
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / program), *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            print(f"{self._name:>9} | {line.rstrip()}", flush=True)
            found = re.search(r"Listening on (http://\S+)/", line)
            if found:
                self.url = found.group(1)
                self._listens.set()
        self._listens.set()  # it has ended: nobody need wait any more

    def __enter__(self) -> Process:
        try:
            if not self._listens.wait(START_SECONDS) or not self.url:
                raise Failed(f"{self._name} has not started")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()  # where it has not ended, or who waits for that was told to end at once
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Visitor:
    """A browser of few words, with the cookies that it was given."""

    def __init__(self) -> None:
        self._cookies: dict[str, str] = {}

    def ask(self, url: str, *, form: dict[str, str] | None = None, host: str = "") -> tuple[str, str]:
        """The title of the page, and which backend says that it is from there. Failed if it is no 200."""
        parts = urlsplit(url)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if host:
            headers["Host"] = host
        body = urlencode(form) if form else None
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        try:
            connection.request("POST" if form else "GET", parts.path, body, headers)
            answer = connection.getresponse()
            page = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"{url} answers {answer.status} {answer.reason}")
        for line in answer.headers.get_all("Set-Cookie", ()):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
        return title.group(1) if title else page.strip(), answer.headers.get("X-Backend", "")


def show(proxy: str, backends: list[str]) -> None:
    """Log in at the first backend; be known to the second, and through the proxy."""
    visitor = Visitor()
    title, where = visitor.ask(backends[0] + "/login", form=LOGIN)
    print(f"\nLogged in as {LOGIN['username']} at {where}: “{title}”")
    title, where = visitor.ask(backends[1] + "/")
    print(f"The same login is known at {where}: “{title}”")
    for _ in range(2):
        title, where = visitor.ask(proxy + "/")
        print(f"Through the proxy, from {where}: “{title}”")
    title, _ = Visitor().ask(proxy + "/", host=f"webapp.localhost:{urlsplit(proxy).port}")
    print(f"Through the proxy, by the name webapp.localhost: “{title}”", flush=True)


def conf(first: str, second: str, webapp: str) -> str:
    """As `proxy.conf` has it, for the addresses that there are."""
    names = {"127.0.0.1": None, "localhost": None, urlsplit(first).netloc.rpartition(":")[0]: None}
    blocks = [BACKENDS.format(name=name, first=first, second=second) for name in names]
    return "".join([*blocks, WEBAPP.format(webapp=webapp)])


def start(given: argparse.Namespace, stack: ExitStack) -> None:
    """Start all, in the order in which they need each other, show what they do, and wait for Ctrl-C."""
    where = ["--server-ip", given.server_ip, "--state-dir", given.state_dir, "--server-port"]
    first = stack.enter_context(Process("backend 1", "start_backend.py", *where, given.backend_port))
    second = stack.enter_context(Process("backend 2", "start_backend.py", *where, given.backend2_port))
    here = ["--server-ip", given.server_ip, "--server-port", given.webapp_port]
    webapp = stack.enter_context(Process("webapp", "start_sampleapp.py", *here))
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "proxy.conf"
    file.write_text(conf(first.url, second.url, webapp.url))
    proxy = stack.enter_context(Process("proxy", "start_proxy.py", *where, given.proxy_port, "--conf", file))
    try:
        show(proxy.url, [first.url, second.url])
    except Failed as error:
        if given.once:
            raise
        print(f"\nNot shown: {error}")  # the demo login may have another password by now
    if not given.once:
        port = urlsplit(proxy.url).port
        print(f"\nOpen {proxy.url}/ or http://webapp.localhost:{port}/ (Ctrl-C ends all)", flush=True)
        signal.pause()


def main() -> int:
    given = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with ExitStack() as stack:
            start(given, stack)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("All have ended", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A proxy, two backends and a web application. Port 0 is a free one.")
    add = parser.add_argument
    add("--server-ip", default="127.0.0.1", metavar="IP", help="where all of them listen (%(default)s)")
    for name, port in (("proxy", 8080), ("backend", 9000), ("backend2", 9001), ("webapp", 8000)):
        add(f"--{name}-port", default=port, type=int, metavar="PORT", help="(%(default)s)")
    add("--state-dir", default=STATE, type=Path, metavar="DIR", help="what the backends share (%(default)s)")
    add("--once", action="store_true", help="end when it has been shown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
