"""The server as a process: what a person sees who starts it, logs in with curl, reloads it and stops it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from server import ROOT, START_SECONDS, Answer, Server, connected, curl, wait_until, write_config

LOGIN = ("-d", "username=admin&password=password")

# A plugin as a third party writes one: it answers when a file is there, and says when it has begun.
SLOW = """
from pathlib import Path
import msgspec
from reactor import Plugin, Request, Response, sleep

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    word: str = "first"

def setup(plugin: Plugin, options: Options) -> None:
    async def slow(request: Request) -> Response:
        plugin.log.say("slow has begun")
        while not plugin.path("go").exists():
            await sleep(0.02)
        return Response(options.word)

    plugin.route("GET", "/slow", slow)
    plugin.route("GET", "/word", lambda request: Response(options.word))
    plugin.on_stop(lambda: plugin.log.say(f"{options.word} has stopped"))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that do not stop it."""
    with Server(write_config(tmp_path_factory.mktemp("run") / "config.ini")) as server:
        yield server


@pytest.fixture
def slow_config(tmp_path: Path) -> Path:
    (tmp_path / "slow_plugin.py").write_text(SLOW)
    return configure(tmp_path / "config.ini")


def configure(config: Path, word: str = "first", plugins: Mapping[str, str] | None = None, **others: str) -> Path:
    """The slow plugin and the tracker; no login and no files, unless a test asks for them, to start in less time."""
    slow = f"use = slow_plugin\nword = {word}"
    return write_config(config, {"auth": "", "static": "", "slow": slow, **(plugins or {})}, **others)


def log_in(server: Server, jar: Path) -> Answer:
    answer = curl("-c", jar, *LOGIN, server.url + "/login")
    assert answer.status == 200
    return answer


def who(server: Server, jar: Path) -> int:
    return curl("-b", jar, server.url + "/whoami").status


# -- the start -------------------------------------------------------------------------------------------------------


def test_the_start_prints_the_demo_login_and_the_address_to_open(shared: Server) -> None:
    login, address = shared.stdout.splitlines()[:2]
    assert login.startswith("Demo login: admin / password")
    assert address.startswith(f"Listening on {shared.url}/ ")
    assert shared.port > 0
    assert shared.stderr == ""


def test_the_accounts_are_readable_by_their_owner_only(shared: Server) -> None:
    state = shared.config.parent / "var"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}


# -- curl logs in ----------------------------------------------------------------------------------------------------


def test_a_form_logs_in_and_answers_with_both_cookies_and_the_page(shared: Server, tmp_path: Path) -> None:
    answer = log_in(shared, tmp_path / "jar")
    auth, session = answer.all("set-cookie")
    assert auth == "auth=true; Path=/"
    assert session.startswith("session=")
    assert session.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert answer.body == (ROOT / "www/index.html").read_text()
    assert curl("-b", tmp_path / "jar", shared.url + "/").body == answer.body
    assert curl("-b", tmp_path / "jar", shared.url + "/index.html").body == answer.body


def test_json_logs_in_and_is_answered_in_json(shared: Server) -> None:
    body = '{"username": "admin", "password": "password"}'
    answer = curl("-H", "Content-Type: application/json", "-d", body, shared.url + "/login/")
    assert answer.json == {"status": "success", "username": "admin"}
    assert len(answer.all("set-cookie")) == 2


def test_basic_opens_a_page_for_one_request(shared: Server) -> None:
    assert curl("-u", "admin:password", shared.url + "/whoami").json["username"] == "admin"
    refused = curl("-u", "admin:wrong", shared.url + "/whoami")
    assert refused.status == 401
    assert [value.split()[0] for value in refused.all("www-authenticate")] == ["Cookie", "Basic"]


def test_a_wrong_password_gets_the_form_again_and_no_cookie(shared: Server) -> None:
    answer = curl("-d", "username=admin&password=wrong", shared.url + "/login")
    assert (answer.status, answer.all("set-cookie")) == (401, [])
    assert '<form method="post" action="/login">' in answer.body


@pytest.mark.parametrize("path", ["/", "/index.html", "/whoami", "/whoami/", "/no-such-page"])
def test_without_a_login_there_is_only_the_401_page(shared: Server, path: str) -> None:
    answer = curl(shared.url + path)
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Cookie realm="reactor", form-action="/login"'
    assert '<form method="post" action="/login">' in answer.body


@pytest.mark.parametrize("cookie", ["auth=true", "auth=true; session=1", "auth=true; session=" + "A" * 43])
def test_a_forged_cookie_opens_nothing(shared: Server, cookie: str) -> None:
    assert curl("-b", cookie, shared.url + "/").status == 401
    assert curl("-b", cookie, shared.url + "/whoami").status == 401


def test_two_logins_have_two_session_ids_and_each_ends_alone(shared: Server, tmp_path: Path) -> None:
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    assert log_in(shared, ann).all("set-cookie")[1] != log_in(shared, bob).all("set-cookie")[1]
    stolen = tmp_path / "stolen"
    stolen.write_text(ann.read_text())
    logout = curl("-b", ann, "-c", ann, "-X", "POST", shared.url + "/logout")
    assert logout.status == 200
    assert who(shared, ann) == who(shared, stolen) == 401
    assert who(shared, bob) == 200


def test_the_name_in_a_body_does_not_say_who_somebody_is(shared: Server, tmp_path: Path) -> None:
    log_in(shared, tmp_path / "jar")
    answer = curl("-b", tmp_path / "jar", "-X", "GET", "-d", '{"username": "root"}', shared.url + "/whoami")
    assert answer.json["username"] == "admin"


def test_curl_gets_the_standard_answers_of_http(shared: Server) -> None:
    assert curl("-X", "DELETE", shared.url + "/whoami").header("allow") == "GET, HEAD, OPTIONS"
    assert curl("-I", shared.url + "/login").body == ""
    assert curl("-H", "Host: a b", shared.url + "/login").status == 400
    assert curl("--http1.0", shared.url + "/login").status == 200


# -- sessions and processes ------------------------------------------------------------------------------------------


def test_a_session_survives_kill_9_and_a_restart(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini")
    with Server(config) as first:
        log_in(first, tmp_path / "jar")
        first.kill()
    with Server(config) as second:
        assert who(second, tmp_path / "jar") == 200


def test_two_processes_share_logins_logouts_and_passwords(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini")
    jar = tmp_path / "jar"
    with Server(config) as one, Server(config) as two:
        log_in(one, jar)
        assert who(two, jar) == 200
        copy = tmp_path / "copy"
        copy.write_text(jar.read_text())
        curl("-b", jar, "-X", "POST", two.url + "/logout")
        assert who(two, copy) == 401
        wait_until(lambda: who(one, copy) == 401, 3.0)

        log_in(two, jar)
        assert who(one, jar) == 200
        set_password(config, "a longer one")
        wait_until(lambda: who(one, jar) == who(two, jar) == 401, 3.0)
        assert curl(*LOGIN, one.url + "/login").status == 401


def set_password(config: Path, password: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "plugins.auth", "-c", str(config), "passwd", "admin"],
        cwd=ROOT, input=password + "\n", text=True, check=True, capture_output=True, timeout=10,
    )  # fmt: skip


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_at_once_where_nothing_is_under_way(tmp_path: Path, number: signal.Signals) -> None:
    with Server(write_config(tmp_path / "config.ini")) as server, connected(server) as idle, connected(server) as new:
        assert idle.get("/login").status == 200
        started = time.monotonic()
        server.stop(number)
        assert time.monotonic() - started < 1.0
        assert idle.is_closed()
        assert new.is_closed()


def test_a_request_in_flight_gets_its_answer_before_the_end(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        wire.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for("slow has begun")
        server.send_signal(signal.SIGTERM)
        server.wait_for("stopping")
        (slow_config.parent / "go").touch()
        answer = wire.read()
        assert (answer.status, answer.body) == (200, "first")
        assert answer.header("connection") == "close"
        assert wire.is_closed()
        server.wait_stopped(2.0)
        assert "first has stopped" in server.stdout


def test_a_second_signal_does_not_wait_for_a_request_in_flight(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        wire.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for("slow has begun")
        server.send_signal(signal.SIGINT)
        server.wait_for("stopping: up to 30 s for 1 connection")
        server.stop(signal.SIGINT, 2.0)
        assert "first has stopped" in server.stdout


@pytest.mark.alone
def test_a_request_that_outlasts_the_drain_time_is_cut(tmp_path: Path, slow_config: Path) -> None:
    configure(slow_config, server="drain = 300ms")
    with Server(slow_config) as server, connected(server) as wire:
        wire.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for("slow has begun")
        started = time.monotonic()
        server.stop()
        assert 0.2 < time.monotonic() - started < 2.0


def test_nobody_new_is_let_in_while_the_server_stops(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        wire.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for("slow has begun")
        server.send_signal(signal.SIGTERM)
        server.wait_for("stopping")
        with pytest.raises(ConnectionRefusedError), connected(server):
            pass
        (slow_config.parent / "go").touch()
        server.wait_stopped()


@pytest.mark.parametrize("milliseconds", [100, 200, 250, 300, 400])
def test_a_signal_during_the_start_leaves_no_traceback(tmp_path: Path, milliseconds: int) -> None:
    server = Server(write_config(tmp_path / "config.ini"))
    try:
        time.sleep(milliseconds / 1000)
        server.send_signal(signal.SIGTERM)
        assert server.process.wait(START_SECONDS) in (0, -signal.SIGTERM)  # the latter: Python itself was not up yet
        assert server.complaints == []
    finally:
        server.kill()


# -- SIGHUP ----------------------------------------------------------------------------------------------------------


def test_a_reload_takes_new_options_and_plugins_and_keeps_connections_and_sessions(
    slow_config: Path, tmp_path: Path
) -> None:
    jar = tmp_path / "jar"
    (tmp_path / "hello_plugin.py").write_text(
        "from reactor import Response\n"
        "def setup(plugin, options):\n"
        "    plugin.route('GET', '/hello', lambda request: Response('hello'))\n"
    )
    auth = f"index = {ROOT}/www/index.html"
    configure(slow_config, plugins={"auth": auth})
    with Server(slow_config) as server, connected(server) as wire:
        log_in(server, jar)
        assert wire.get("/word").body == "first"
        assert wire.get("/hello").status == 404
        configure(slow_config, "second", {"auth": f"{auth}\nrealm = other", "hello": "use = hello_plugin"})
        server.reload()
        assert wire.get("/word").body == "second"
        assert wire.get("/hello").body == "hello"
        assert wire.get("/whoami").header("www-authenticate") == 'Cookie realm="other", form-action="/login"'
        assert who(server, jar) == 200
        server.wait_for("first has stopped")


def test_a_plugin_that_is_taken_out_takes_its_routes_along(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        assert wire.get("/get-list").status == 200
        configure(slow_config, plugins={"tracker": ""})
        server.reload()
        assert wire.get("/get-list").status == 404


@pytest.mark.parametrize(
    ("section", "text", "says"),
    [
        ("tracker", "ttl = soon", "[plugin:tracker] ttl: "),
        ("tracker", "tll = 60", "[plugin:tracker] tll: unknown option: did you mean ttl?"),
        ("missing", "# nothing", "[plugin:missing]: there is no module plugins.missing"),
        ("broken", "use = broken_plugin", "ZeroDivisionError"),
        ("failing", "use = failing_plugin", "the disk is on fire"),
    ],
)
def test_a_config_that_is_wrong_changes_nothing(slow_config: Path, section: str, text: str, says: str) -> None:
    (slow_config.parent / "broken_plugin.py").write_text("1 / 0\n")
    (slow_config.parent / "failing_plugin.py").write_text(
        "from reactor import StartError\n"
        "def setup(plugin, options):\n"
        "    plugin.on_start(fail)\n"
        "def fail():\n"
        "    raise StartError('the disk is on fire')\n"
    )
    with Server(slow_config) as server, connected(server) as wire:
        configure(slow_config, "second", {section: text})
        server.reload("not reloaded, the old configuration stays: ")
        if section == "broken":
            server.wait_for("    ZeroDivisionError: ")  # the last line of its traceback
        lines = [line for line in server.complaints if not line.startswith("    ")]
        assert len(lines) == 1
        assert says in lines[0]
        assert (len(server.complaints) > 1) is (section == "broken")  # a plugin's bug has its traceback, nothing else
        assert wire.get("/word").body == "first"
        server.allowed += server.complaints
        configure(slow_config, "third")
        server.reload()
        assert wire.get("/word").body == "third"


def test_a_request_in_flight_ends_on_the_configuration_it_began_with(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as old, connected(server) as new:
        old.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for("slow has begun")
        configure(slow_config, "second")
        server.reload()
        assert new.get("/word").body == "second"
        assert "first has stopped" not in server.stdout
        (slow_config.parent / "go").touch()
        assert old.read().body == "first"
        server.wait_for("first has stopped")
        assert old.get("/word").body == "second"


def test_a_reload_moves_to_another_address(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        old_port = server.port
        assert wire.get("/word").body == "first"
        configure(slow_config, "second", listen="127.0.0.2:0")
        server.reload()
        line = server.wait_for("Listening on http://127.0.0.2:")
        assert curl(line.split()[2] + "word").body == "second"
        assert wire.get("/word").body == "second"
        with pytest.raises(ConnectionRefusedError), connected(server):
            pass
        assert server.port == old_port


def test_a_reload_to_a_port_in_use_changes_nothing(slow_config: Path, tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, Server(slow_config) as server, connected(server) as wire:
        configure(slow_config, "second", listen=f"127.0.0.1:{taken.getsockname()[1]}")
        server.allowed.append("another program has this port")
        server.reload("not reloaded, the old configuration stays: cannot listen on")
        assert wire.get("/word").body == "first"


def test_of_several_signals_in_a_row_the_last_file_counts(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        for number in range(10):
            configure(slow_config, f"word-{number}")
            server.send_signal(signal.SIGHUP)
        wait_until(lambda: wire.get("/word").body == "word-9", 10.0, lambda: server.stderr)


def test_a_reload_opens_the_access_log_anew(slow_config: Path, tmp_path: Path) -> None:
    configure(slow_config, server="access_log = access.log")
    with Server(slow_config) as server, connected(server) as wire:
        wire.get("/word?old")
        (tmp_path / "access.log").rename(tmp_path / "access.log.1")  # as logrotate does it
        server.reload()
        wire.get("/word?new")
        server.stop()
    assert '"GET /word?old HTTP/1.1" 200 5 ' in (tmp_path / "access.log.1").read_text()
    assert '"GET /word?new HTTP/1.1" 200 5 ' in (tmp_path / "access.log").read_text()


def test_a_stop_during_a_reload_stops(slow_config: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck_plugin.py").write_text(
        "from reactor import sleep\n"
        "def setup(plugin, options):\n"
        "    async def start():\n"
        "        plugin.log.say('stuck in the start')\n"
        "        await sleep(60)\n"
        "    plugin.on_start(start)\n"
    )
    with Server(slow_config) as server, connected(server) as wire:
        configure(slow_config, plugins={"stuck": "use = stuck_plugin"})
        server.send_signal(signal.SIGHUP)
        server.wait_for("stuck in the start")
        assert wire.get("/word").body == "first"  # meanwhile the old one serves
        server.stop()


def test_many_reloads_leave_nothing_behind(slow_config: Path) -> None:
    with Server(slow_config) as server, connected(server) as wire:
        server.reload()
        before = (server.descriptors, server.threads)
        for _ in range(20):
            server.reload()
        assert wire.get("/word").body == "first"
        wait_until(  # not more: what the first reload has replaced may still have been ending
            lambda: server.descriptors <= before[0] and server.threads <= before[1], 10.0,
            lambda: f"{(server.descriptors, server.threads)}, before {before}",
        )  # fmt: skip
