"""Plugins from setup to stop: discovery, routes, guards, middleware, services, timers, hooks, tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from plugin_files import Modules

from reactor.errors import ConfigError, StartError
from reactor.testing import TestApp

LOG = """
    from reactor import *
    log = []
"""


def app_with(tmp_path: Path, *names: str, **sections: dict[str, str]) -> TestApp:
    """An app with one plugin for each module, named after it."""
    plugins = {f"plugin:{name}": {"use": name} for name in names}
    plugins.update({f"plugin:{name}": options for name, options in sections.items()})
    return TestApp(plugins, state_dir=tmp_path / "var", directory=tmp_path)


def log_of(name: str) -> list[Any]:
    log: list[Any] = sys.modules[name].log
    return log


# -- discovery --------------------------------------------------------------------------------------------------------


HELLO = """
    from reactor import Response
    def setup(plugin, options):
        plugin.route("GET", "/" + plugin.name, lambda request: Response(__name__))
"""


def test_a_plugin_is_found_by_use_by_entry_point_and_in_plugins(
    tmp_path: Path, modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_use, by_point = modules.write(HELLO), modules.write(HELLO)
    info = modules.directory / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[reactor.plugins]\npointed = {by_point}\n")
    with app_with(tmp_path, used={"use": by_use}, pointed={}, tracker={}) as app:
        assert app.get("/used").text == by_use
        assert app.get("/pointed").text == by_point
        assert app.get("/get-list").status == 200


def test_use_wins_over_an_entry_point_and_that_over_plugins(tmp_path: Path, modules: Modules) -> None:
    mine, point = modules.write(HELLO), modules.write(HELLO)
    info = modules.directory / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[reactor.plugins]\ntracker = {point}:setup\n")
    with app_with(tmp_path, tracker={}) as app:
        assert app.get("/tracker").text == point
    with app_with(tmp_path, tracker={"use": mine}) as app:
        assert app.get("/tracker").text == mine


BROKEN = [
    ("1 / 0", "ZeroDivisionError: division by zero", "line 1"),
    ("def setup(:", "SyntaxError", "line 1"),
    ("import no_such_module_at_all", "No module named 'no_such_module_at_all'", "line 1"),
    ("from reactor import nothing_of_that_name", "nothing_of_that_name", "line 1"),
    ("x = 1", "has no setup(plugin, options)", ""),
    ("def setup(plugin): pass", "TypeError", ""),
    ("setup = 5", "TypeError", ""),
    ("def setup(plugin, options):\n    raise ValueError('two\\nlines')", "ValueError: two lines", "line 2"),
    ("def setup(plugin, options):\n    open('/no/such/file')", "FileNotFoundError", "line 2"),
    ("class Options: pass\ndef setup(plugin, options): pass", "", ""),
    ("def setup(plugin, options):\n    plugin.route('BREW', '/', None)", "unknown method 'BREW'", ""),
    ("def setup(plugin, options):\n    plugin.route('', '/', None)", "unknown method", ""),
    ("def setup(plugin, options):\n    plugin.route('GET', 'x', lambda r: None)", "does not begin with /", ""),
    ("def setup(plugin, options):\n    plugin.route('GET', '/', lambda r: None, guard='nobody')", "'nobody'", ""),
    ("def setup(plugin, options):\n    plugin.every(0, print)", "every 0 s", ""),
    ("def setup(plugin, options):\n    plugin.guard('g', print)\n    plugin.guard('g', print)", "twice", ""),
    ("def setup(plugin, options):\n    plugin.provide('s', 1)\n    plugin.provide('s', 2)", "already provided", ""),
    ("def setup(plugin, options):\n    plugin.service('db')", "wants the service 'db'", ""),
    ("def setup(plugin, options):\n    plugin.route('GET', '/', print)\n    plugin.route('GET', '/', print)",
     "GET / is already a route of plugin broken", ""),
    ("from reactor import ConfigError\ndef setup(plugin, options):\n    raise ConfigError('too small', key='size')",
     "[plugin:broken] size: too small", ""),
]  # fmt: skip


@pytest.mark.parametrize(("source", "words", "where"), BROKEN, ids=[source[:60] for source, _, _ in BROKEN])
def test_a_broken_plugin_is_one_line_that_names_it(
    tmp_path: Path, modules: Modules, source: str, words: str, where: str
) -> None:
    name = modules.write(source)
    options = {"size": "1"} if "size" in source else {}
    if "Options" in source:
        options = {"a": "1"}
    with pytest.raises(ConfigError) as caught:
        app_with(tmp_path, broken={"use": name, **options} if "size" not in source else {"use": name})
    message = str(caught.value)
    assert "[plugin:broken]" in message
    assert message.startswith("config.ini:")
    assert words in message
    assert where in message
    assert "\n" not in message


@pytest.mark.parametrize("use", ["no_such_module", "reactor.nothing", "a b", ".relative", "os.path.x", "x..y", "ü"])
def test_an_unknown_plugin_is_one_line(tmp_path: Path, use: str) -> None:
    with pytest.raises(ConfigError) as caught:
        app_with(tmp_path, x={"use": use})
    assert str(caught.value).startswith("config.ini:4: [plugin:x] use: ")


def test_two_plugins_cannot_have_one_route_service_or_guard(tmp_path: Path, modules: Modules) -> None:
    for line, words in (
        ("plugin.route('GET', '/a', print)", "GET /a is already a route of plugin one"),
        ("plugin.provide('db', 1)", "the service 'db' is already provided by plugin one"),
        ("plugin.guard('login', print)", "the guard 'login' is already declared by plugin one"),
    ):
        name = modules.write(f"def setup(plugin, options):\n    {line}")
        with pytest.raises(ConfigError, match=words) as caught:
            app_with(tmp_path, one={"use": name}, two={"use": name})
        assert "[plugin:two]" in str(caught.value)


# -- what requests meet -----------------------------------------------------------------------------------------------


GUARDS = LOG + """
    def first(request):
        log.append("everywhere")
        if "x-block" in request.headers:
            return Response("blocked", 403)

    async def login(request):
        log.append("login")
        await sleep(0.1)
        if "x-user" not in request.headers:
            raise HTTPError(401, "who are you?")
        request.user = request.headers["x-user"]

    def handler(request):
        log.append("handler")
        return Response(f"{request.user} {request.body.decode()}")

    def setup(plugin, options):
        plugin.guard("first", first, everywhere=True)
        plugin.guard("login", login)
        plugin.route("GET", "/open", handler)
        plugin.route("GET POST", "/closed", handler, guard="login")
"""


@pytest.mark.parametrize(
    ("target", "headers", "status", "ran"),
    [
        ("/open", {}, 200, ["everywhere", "handler"]),
        ("/open", {"X-Block": "1"}, 403, ["everywhere"]),
        ("/closed", {}, 401, ["everywhere", "login"]),
        ("/closed", {"X-User": "ann"}, 200, ["everywhere", "login", "handler"]),
        ("/closed", {"X-Block": "1", "X-User": "ann"}, 403, ["everywhere"]),
        ("/nothing", {}, 404, ["everywhere"]),
        ("/nothing", {"X-Block": "1"}, 403, ["everywhere"]),  # who is blocked does not learn what is there
    ],
)
def test_guards_run_in_order_and_the_first_refusal_counts(
    tmp_path: Path, modules: Modules, target: str, headers: dict[str, str], status: int, ran: list[str]
) -> None:
    name = modules.write(GUARDS)
    with app_with(tmp_path, name) as app:
        assert app.get(target, headers=headers).status == status
        assert log_of(name) == ran


def test_a_guard_of_another_plugin_serves_in_any_order_of_the_sections(tmp_path: Path, modules: Modules) -> None:
    guarding = modules.write(GUARDS)
    guarded = modules.write("""
        from reactor import Response
        def setup(plugin, options):
            plugin.route("POST", "/mine", lambda r: Response(r.user + r.text if False else r.user), guard="login")
    """)
    for names in ((guarding, guarded), (guarded, guarding)):
        with app_with(tmp_path, *names) as app:
            assert app.post("/mine", body=b"x").status == 401
            assert app.post("/mine", body=b"x", headers={"X-User": "ann"}).text == "ann"


MIDDLEWARE = LOG + """
    async def outer(request, handler):
        log.append("outer in")
        response = await handler(request)
        log.append("outer out")
        return response.with_headers(("X-Outer", "1"))

    async def inner(request, handler):
        log.append("inner in")
        if "x-short" in request.headers:
            return Response("short")
        try:
            return await handler(request)
        except HTTPError as error:
            return Response("mended", error.status)
        finally:
            log.append("inner out")

    def plain(request):
        log.append("handler")
        return Response(request.body or b"none")

    async def waiting(request):
        return Response(await request.read())

    def guard(request):
        log.append("guard")

    def setup(plugin, options):
        plugin.guard("g", guard)
        plugin.middleware(outer)
        plugin.middleware(inner)
        plugin.route("GET POST", "/plain", plain, guard="g")
        plugin.route("POST", "/waiting", waiting)
"""


def test_middleware_is_around_every_handler_and_behind_the_guards(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(MIDDLEWARE)
    with app_with(tmp_path, name) as app:
        answer = app.get("/plain")
        assert (answer.text, answer.headers["x-outer"]) == ("none", "1")
        assert log_of(name) == ["guard", "outer in", "inner in", "handler", "inner out", "outer out"]
        assert app.post("/plain", body=b"abc").text == "abc"
        assert app.post("/waiting", body=b"abc").text == "abc"
        assert app.get("/plain", headers={"X-Short": "1"}).text == "short"
        missing = app.get("/nothing")
        assert (missing.status, missing.text, missing.headers["x-outer"]) == (404, "mended", "1")
        assert app.request("DELETE", "/plain").status == 405


def test_the_answer_to_a_path_that_is_not_there_asks_for_no_body(tmp_path: Path, modules: Modules) -> None:
    for source in (MIDDLEWARE, HELLO):
        with app_with(tmp_path, modules.write(source)) as app:
            client = app.connect()
            client.feed(b"POST /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            app.advance(1)
            assert client.sent.startswith(b"HTTP/1.1 404 ")


# -- services, timers, hooks ------------------------------------------------------------------------------------------


def test_a_service_is_there_for_start_hooks_whatever_the_order(tmp_path: Path, modules: Modules) -> None:
    taker = modules.write(LOG + """
    def setup(plugin, options):
        plugin.on_start(lambda: log.append(plugin.service("db")))
    """)
    giver = modules.write("""
        def setup(plugin, options):
            plugin.provide("db", "the database")
    """)
    with app_with(tmp_path, taker, giver) as app:
        assert log_of(taker) == ["the database"]
        assert app.service("db") == "the database"


def test_a_missing_service_stops_the_start_in_one_line(tmp_path: Path, modules: Modules) -> None:
    name = modules.write("""
        def setup(plugin, options):
            plugin.on_start(lambda: plugin.service("db"))
    """)
    app = app_with(tmp_path, name)
    with pytest.raises(ConfigError, match=f"plugin:{name}.*wants the service 'db'"), app:
        pass


TIMERS = LOG + """
    async def slow():
        log.append("begin")
        await sleep(15)
        log.append("end")

    def failing():
        log.append("failing")
        raise ValueError("timer broke")

    def setup(plugin, options):
        plugin.every(10, slow)
        plugin.every(10, failing)
"""


def test_a_timer_never_runs_beside_itself_and_survives_its_errors(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(TIMERS)
    with app_with(tmp_path, name) as app:
        app.advance(9.9)
        assert log_of(name) == []
        app.advance(0.1)
        app.advance(25)
        log = log_of(name)
        assert log.count("failing") == 3
        assert [entry for entry in log if entry != "failing"] == ["begin", "end", "begin"]
        assert sum("timer broke" in line for line in app.log_lines) >= 3
    before = len(log_of(name))
    app.reactor.advance(100)
    assert len(log_of(name)) == before


HOOKS = LOG + """
    shared = log

    def setup(plugin, options):
        def note(what):
            return lambda: log.append(f"{plugin.name} {what}")

        async def later():
            await sleep(1)
            log.append(f"{plugin.name} start 2")

        plugin.on_start(note("start 1"))
        plugin.on_start(later)
        plugin.on_stop(note("stop 1"))
        plugin.on_stop(note("stop 2"))
        if plugin.name == "c":
            def fail():
                raise StartError("the database is locked")
            plugin.on_start(fail)
"""


def test_hooks_start_in_order_and_stop_in_reverse_order(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(HOOKS)
    with app_with(tmp_path, a={"use": name}, b={"use": name}):
        assert log_of(name) == ["a start 1", "a start 2", "b start 1", "b start 2"]
        log_of(name).clear()
    assert log_of(name) == ["b stop 2", "b stop 1", "a stop 2", "a stop 1"]


def test_a_start_that_fails_half_way_stops_what_was_begun_and_nothing_else(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(HOOKS)
    app = app_with(tmp_path, a={"use": name}, c={"use": name}, d={"use": name})
    with pytest.raises(StartError, match="the database is locked"), app:
        pass
    assert log_of(name) == ["a start 1", "a start 2", "c start 1", "c start 2", "c stop 2", "c stop 1", "a stop 2",
                            "a stop 1"]  # fmt: skip


def test_a_stop_hook_that_fails_is_logged_and_stops_none_of_the_others(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(LOG + """
    def setup(plugin, options):
        def fail():
            raise ValueError("stop broke")
        plugin.on_stop(lambda: log.append("first"))
        plugin.on_stop(fail)
        plugin.on_stop(lambda: log.append("last"))
    """)
    with app_with(tmp_path, name) as app:
        pass
    assert log_of(name) == ["last", "first"]
    assert any("stop broke" in line for line in app.log_lines)


TASKS = LOG + """
    def setup(plugin, options):
        async def forever():
            try:
                await sleep(1e9)
            finally:
                log.append("cancelled")

        async def fail():
            await sleep(1)
            raise ValueError("task broke")

        async def use_pool():
            log.append(await plugin.offload(lambda a, b: a + b, 1, 2))
            try:
                await plugin.offload(int, "x", pool="store")
            except ValueError:
                log.append("error came back")

        def start():
            plugin.spawn(forever())
            plugin.spawn(fail())
            plugin.spawn(use_pool())
        plugin.on_start(start)
        plugin.on_stop(lambda: log.append("stop"))
"""


def test_tasks_end_with_the_generation_and_their_errors_are_logged(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(TASKS)
    with app_with(tmp_path, name) as app:
        app.advance(2)
        assert log_of(name) == [3, "error came back"]
        assert sum("a background task failed" in line for line in app.log_lines) == 1
    assert log_of(name)[2:] == ["cancelled", "stop"]


def test_stop_hooks_wait_for_the_finally_of_a_handler_that_was_cut(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(LOG + """
    async def wait(request):
        try:
            await sleep(1e9)
        finally:
            await sleep(1)
            log.append("tidied up")

    def setup(plugin, options):
        plugin.route("GET", "/wait", wait)
        plugin.on_stop(lambda: log.append("stop"))
    """)
    with app_with(tmp_path, name) as app:
        app.connect().feed(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        app.advance(1)
    assert log_of(name) == ["tidied up", "stop"]


def test_a_handler_may_wait_at_once_in_memory_as_it_may_on_a_socket(tmp_path: Path, modules: Modules) -> None:
    name = modules.write(LOG + """
    async def wait(request):
        await sleep(5)
        return Response("waited")

    def setup(plugin, options):
        plugin.route("GET", "/wait", wait)
    """)
    with app_with(tmp_path, name) as app:
        assert app.get("/wait").text == "waited"


def test_the_state_directory_is_there_from_the_first_start_hook_on_and_private(
    tmp_path: Path, modules: Modules
) -> None:
    name = modules.write(LOG + """
    def setup(plugin, options):
        log.append(plugin.state_dir.exists())
        plugin.on_start(lambda: log.append(plugin.state_dir.stat().st_mode & 0o777))
        log.append(plugin.path("x/y") == plugin.path("x") / "y")
        log.append(str(plugin.path("/abs")))
    """)
    with app_with(tmp_path, name):
        assert log_of(name) == [False, True, "/abs", 0o700]


def test_a_state_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with pytest.raises(StartError, match="cannot make the state directory"), app_with(tmp_path):
        pass
