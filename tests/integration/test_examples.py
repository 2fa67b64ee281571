"""The examples as people start them: WeApRous programs, the topology with its five programs, an installed plugin."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from server import ENVIRONMENT, ROOT, Server, curl, write_config

EXAMPLES = ROOT / "examples"
TOPOLOGY = EXAMPLES / "topology"
LOGIN = ("-d", "username=admin&password=password")


def started(tmp_path: Path, program: Path, *arguments: object) -> Server:
    """A program that listens, with its output in `tmp_path`."""
    command = [sys.executable, "-W", "always::ResourceWarning", str(program), *map(str, arguments)]
    return Server(tmp_path / "program.ini", command)


def ended(*command: object) -> subprocess.CompletedProcess[str]:
    """A program that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, env=ENVIRONMENT,
    )  # fmt: skip


LOCAL = ("--server-ip", "127.0.0.1", "--server-port", 0)

# -- WeApRous --------------------------------------------------------------------------------------------------------

# As such programs are written, but for the line of the import.
ORIGINAL = """
    import argparse
    import json
    import threading

    from reactor.weaprous import WeApRous

    PORT = 8000

    app = WeApRous()

    @app.route('/login', methods=['POST'])
    def login(headers="guest", body="anonymous"):
        print("Logging in with {} and {}".format(headers, body), flush=True)

    @app.route('/hello', methods=['PUT'])
    def hello(headers, body):
        return json.dumps({"body": body, "agent": headers.get("user-agent")})

    went = threading.Event()

    @app.route('/wait', blocking=True)
    def wait():
        print("waiting", flush=True)
        return str(went.wait(10))

    @app.route('/go', methods=['POST'])
    def go(request, response):
        went.set()

    if __name__ == "__main__":
        parser = argparse.ArgumentParser(prog='Backend')
        parser.add_argument('--server-ip', default='0.0.0.0')
        parser.add_argument('--server-port', type=int, default=PORT)
        args = parser.parse_args()
        app.prepare_address(args.server_ip, args.server_port)
        app.run()
        print("after run", flush=True)
"""


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Such a program, with the reactor where it finds it."""
    (tmp_path / "reactor").symlink_to(ROOT / "reactor")
    program = tmp_path / "start_sampleapp.py"
    program.write_text(textwrap.dedent(ORIGINAL))
    return program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_program_of_the_original_runs_and_ends_as_it_was(original: Path, number: signal.Signals) -> None:
    with started(original.parent, original, *LOCAL) as server:
        assert re.fullmatch(r"Listening on http://127\.0\.0\.1:\d+/ \(Ctrl-C stops\)\n", server.stdout)
        assert curl("-d", "username=a", server.url + "/login").status == 200
        assert "'host': '127.0.0.1" in server.wait_for("Logging in with {") and "and username=a" in server.stdout
        answer = curl("-X", "PUT", "-d", "hi", "-A", "me", server.url + "/hello")
        assert (answer.status, answer.json) == (200, {"body": "hi", "agent": "me"})
        assert curl(server.url + "/hello").header("allow") == "OPTIONS, PUT"
        server.stop(number)
        assert server.stdout.endswith("after run\n")
        assert not list(original.parent.glob("var"))


def test_an_error_of_a_handler_is_in_the_log_with_its_traceback(original: Path) -> None:
    original.write_text(original.read_text().replace("return json.dumps", "return json.nothing"))
    with started(original.parent, original, *LOCAL) as server:
        assert curl("-X", "PUT", server.url + "/hello").status == 500
        server.wait_for("AttributeError: module 'json' has no attribute 'nothing'")
        server.allowed += ["error", "Traceback", "  ", "AttributeError", "^"]


def test_what_blocks_holds_up_nobody(original: Path) -> None:
    with started(original.parent, original, *LOCAL) as server, ThreadPoolExecutor(1) as client:
        waiting = client.submit(curl, server.url + "/wait")
        server.wait_for("waiting")
        assert curl("-X", "POST", server.url + "/go").status == 200  # what it waits for
        assert waiting.result().body == "True"


def test_a_port_in_use_is_one_line(original: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = ended(original, "--server-ip", "127.0.0.1", "--server-port", port)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port}: another program has this port.")
    assert ran.stderr.count("\n") == 1


@pytest.fixture
def guest_book(tmp_path: Path) -> Iterator[Server]:
    with started(tmp_path, EXAMPLES / "weaprous_app.py", "--server-port", 0) as server:
        yield server


def test_the_guest_book_takes_what_is_written(guest_book: Server, tmp_path: Path) -> None:
    url, jar = guest_book.url, tmp_path / "jar"
    assert curl("-X", "PUT", "-d", '{"text": "hi"}', url + "/hello").status == 401
    answer = curl("-c", jar, "-d", "A<nn", url + "/login")
    assert (answer.status, answer.json) == (200, {"welcome": "A<nn"})
    assert re.fullmatch(r"guest=[\w-]+; Path=/; HttpOnly; SameSite=Lax", answer.header("set-cookie"))
    assert curl("-b", jar, "-X", "PUT", "-d", '{"text": "hi & bye"}', url + "/hello").json == {"entries": 1}
    assert curl("-b", jar, "-X", "PUT", "-d", "[]", url + "/hello").status == 400
    page = curl(url + "/")
    assert page.header("content-type") == "text/html; charset=utf-8"
    assert "<li>A&lt;nn: hi &amp; bye" in page.body
    book = curl(url + "/book")
    assert (book.header("cache-control"), book.json) == ("no-store", [{"name": "A<nn", "text": "hi & bye"}])
    assert curl(url + "/report").body == "1 entries\n"


# -- the topology ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "port"),
    [("start_proxy", 8080), ("start_backend", 9000), ("start_sampleapp", 8000), ("start_server", 8001)],
)
def test_a_program_has_the_arguments_and_the_port_of_old(program: str, port: int) -> None:
    ran = ended(TOPOLOGY / f"{program}.py", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "--server-ip" in ran.stdout and re.search(rf"--server-port[^-]*\({port}\)", ran.stdout, re.DOTALL)


def test_two_backends_with_one_state_directory_know_one_login(tmp_path: Path) -> None:
    arguments = ("--server-port", 0, "--state-dir", tmp_path / "var")
    backend = TOPOLOGY / "start_backend.py"
    with started(tmp_path, backend, *arguments) as first, started(tmp_path, backend, *arguments) as second:
        jar = tmp_path / "jar"
        answer = curl("-c", jar, *LOGIN, first.url + "/login")
        assert (answer.status, answer.header("x-backend")) == (200, f"127.0.0.1:{first.port}")
        answer = curl("-b", jar, second.url + "/")
        assert (answer.status, answer.header("x-backend")) == (200, f"127.0.0.1:{second.port}")


def test_a_backend_that_others_can_reach_wants_a_password_first(tmp_path: Path) -> None:
    ran = ended(TOPOLOGY / "start_backend.py", "--server-ip", "0.0.0.0", "--server-port", 0, "--state-dir", tmp_path)
    assert ran.returncode == 1
    assert "error: the demo login admin/password works on loopback only" in ran.stderr


def test_a_peer_registers_with_the_tracker(tmp_path: Path) -> None:
    with started(tmp_path, TOPOLOGY / "start_server.py", 0, "--state-dir", tmp_path) as tracker:
        options = ["--tracker", f"127.0.0.1:{tracker.port}", "--data", tmp_path / "peer", "--listen", "127.0.0.1"]
        peer = subprocess.Popen(
            [sys.executable, TOPOLOGY / "start_peer.py", "0", *map(str, options)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        tracker.wait_for("[ChatApp] Peer registered:")
        assert peer.stdout is not None
        assert any("[Peer] Registered with tracker" in line for line in peer.stdout)
        out, _ = peer.communicate("quit\n", timeout=20)
        assert (peer.returncode, out.count("[Peer] Registered with tracker")) == (0, 0)


def test_a_peer_asks_the_tracker_of_the_topology_unless_told_otherwise(tmp_path: Path) -> None:
    options = ["--data", tmp_path, "--listen", "127.0.0.1", "--id", "just-looking"]
    ran = ended(TOPOLOGY / "start_peer.py", "0", *options)
    assert (ran.returncode, "[Peer] Tracker: 127.0.0.1:8001" in ran.stdout) == (0, True)


def test_the_proxy_takes_the_file_beside_it(tmp_path: Path) -> None:
    with started(tmp_path, TOPOLOGY / "start_proxy.py", "--server-port", 0, "--state-dir", tmp_path) as proxy:
        assert curl("-H", "Host: elsewhere.example", proxy.url + "/").status == 404


FREE = [f"--{name}-port=0" for name in ("proxy", "backend", "backend2", "webapp")]


def test_the_topology_shows_a_login_that_all_know_through_the_proxy(tmp_path: Path) -> None:
    ran = ended(TOPOLOGY / "run.py", *FREE, "--state-dir", tmp_path, "--once")
    assert (ran.returncode, ran.stderr) == (0, "")
    backends = re.findall(r"backend \d \| Listening on http://(\S+)/", ran.stdout)
    line = re.compile(r"^(Logged in|The same login|Through the proxy).*?(?: at | from )(\S+): “Reactor”", re.MULTILINE)
    shown = line.findall(ran.stdout)
    assert shown[:2] == [("Logged in", backends[0]), ("The same login", backends[1])]
    assert sorted(where for _, where in shown[2:]) == sorted(backends)
    assert "by the name webapp.localhost: “Guest book”" in ran.stdout


def test_control_c_ends_the_whole_topology(tmp_path: Path) -> None:
    running = Server(tmp_path / "run.ini", [sys.executable, str(TOPOLOGY / "run.py"), *FREE, f"--state-dir={tmp_path}"])
    try:
        address = running.wait_for("Open http://", 30.0).split()[1]
        ports = [int(port) for port in re.findall(r"Listening on http://127\.0\.0\.1:(\d+)", running.stdout)]
        assert len(ports) == 4
        assert curl(address).status == 401
        running.stop(signal.SIGINT, 15.0)
        assert "All have ended" in running.stdout
        assert [port for port in ports if answers(port)] == []
    finally:
        running.kill()


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_the_topology_ends_if_one_of_it_cannot_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = ended(TOPOLOGY / "run.py", *FREE, f"--webapp-port={port}", "--state-dir", tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "error: webapp has not started\n")
    assert f"cannot listen on 127.0.0.1:{port}" in ran.stdout


# -- a plugin that is installed --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plugin is installed as any package is; nothing is downloaded for it."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("hello") / "hello_plugin"  # building leaves files where it builds
    shutil.copytree(EXAMPLES / "hello_plugin", source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    ran = ended(
        "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
        "--no-build-isolation", "--target", folder, source,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return folder


def test_a_server_finds_an_installed_plugin_by_its_entry_point(site: Path) -> None:
    hello = {"auth": "", "static": "", "tracker": "", "hello": "greeting = Good morning"}
    with Server(write_config(site / "config.ini", hello)) as server:
        answer = curl(server.url + "/hello/Ann")
        assert answer.body == "Good morning Ann, this is your visit number 1.\n"


def test_the_tests_of_the_installed_plugin_pass(site: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", EXAMPLES / "hello_plugin" / "tests"],
        cwd=site, capture_output=True, text=True, timeout=60, env={**ENVIRONMENT, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
