"""Generations: a reload swaps config, plugins and routes at once, keeps what is kept, and a bad one changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from plugin_files import Modules

from reactor.errors import ConfigError, ReactorError, StartError
from reactor.testing import MemoryTransport, TestApp

PLUGIN = """
    import msgspec
    from reactor import *
    log = []

    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        word: str = "first"
        fail: str = ""
        keep: bool = True

    def setup(plugin, options):
        if options.fail == "setup":
            raise ConfigError("cannot be so", key="fail")
        if options.keep:
            counter = plugin.keep(
                "counter", lambda: log.append("made") or [0],
                start=lambda value: log.append("kept start"), stop=lambda value: log.append("kept stop"),
            )
        else:
            counter = [0]

        def count(request):
            counter[0] += 1
            return Response(f"{options.word} {counter[0]}")

        async def slow(request):
            await sleep(10)
            return Response(f"slow {options.word}")

        async def tidy(request):
            try:
                await sleep(1e9)
            finally:
                await sleep(1)
                log.append(f"{options.word} tidied")

        def start():
            log.append(f"{options.word} start")
            if options.fail == "start":
                raise StartError("no disk")

        async def wait():
            if options.fail == "wait":
                await sleep(5)
            if options.fail == "hang":
                await sleep(1e9)

        plugin.route("GET", "/count", count)
        plugin.route("GET", "/slow", slow)
        plugin.route("GET", "/tidy", tidy)
        plugin.route("GET", "/" + options.word, count)
        plugin.every(1, lambda: log.append(f"{options.word} tick"))
        plugin.on_start(start)
        plugin.on_start(wait)
        plugin.on_stop(lambda: log.append(f"{options.word} stop"))
"""
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


class Server:
    def __init__(self, modules: Modules, tmp_path: Path) -> None:
        self.name = modules.write(PLUGIN)
        self.tmp_path = tmp_path
        self.app = TestApp(self.sections(), state_dir=tmp_path / "var", directory=tmp_path)

    def sections(self, **options: str) -> dict[str, dict[str, str]]:
        return {"plugin:p": {"use": self.name, **options}}

    @property
    def log(self) -> list[Any]:
        log: list[Any] = sys.modules[self.name].log
        return log

    def reload(self, **options: str) -> None:
        self.app.reload(self.sections(**options))


@pytest.fixture
def server(modules: Modules, tmp_path: Path) -> Server:
    return Server(modules, tmp_path)


def take(client: MemoryTransport) -> bytes:
    data = bytes(client.sent)
    client.sent.clear()
    return data.rpartition(b"\r\n\r\n")[2]


def test_a_reload_swaps_routes_and_options_and_keeps_state_and_connections(server: Server) -> None:
    with server.app as app:
        client = app.connect()
        client.feed(GET % b"/count")
        assert take(client) == b"first 1"
        server.reload(word="second")
        client.feed(GET % b"/count")
        assert take(client) == b"second 2"
        assert app.get("/first").status == 404
        assert app.get("/second").status == 200
        assert server.log == ["made", "kept start", "first start", "second start", "first stop"]
    assert server.log[-2:] == ["second stop", "kept stop"]
    assert server.log.count("kept stop") == 1


def test_a_request_in_flight_ends_on_the_old_table_and_only_then_that_stops(server: Server) -> None:
    with server.app as app:
        client = app.connect()
        client.feed(GET % b"/slow")
        server.reload(word="second")
        client.feed(GET % b"/slow")
        assert "first stop" not in server.log
        app.advance(10)
        assert take(client) == b"slow first"
        assert "first stop" in server.log
        app.advance(10)
        assert take(client) == b"slow second"


def test_the_timers_of_the_old_generation_end_and_those_of_the_new_begin(server: Server) -> None:
    with server.app as app:
        app.advance(2)
        server.reload(word="second")
        server.log.clear()
        app.advance(3)
        assert server.log == ["second tick"] * 3


@pytest.mark.parametrize("fail", ["setup", "start"])
def test_a_reload_that_fails_leaves_the_old_generation_untouched(server: Server, fail: str) -> None:
    with server.app as app:
        assert app.get("/count").text == "first 1"
        with pytest.raises((ConfigError, StartError)):
            server.reload(word="second", fail=fail)
        assert "first stop" not in server.log
        assert "kept stop" not in server.log
        assert ("second stop" in server.log) is (fail == "start")
        assert app.get("/count").text == "first 2"
        server.log.clear()
        app.advance(2)
        assert server.log == ["first tick"] * 2
        server.reload(word="third")
        assert app.get("/count").text == "third 3"


@pytest.mark.parametrize(
    "sections",
    [
        {"plugin:q": {"use": "no_such_module_here"}},
        {"plugin:p": {"use": "reactor"}},
        {"server2": {"a": "b"}},
        {"plugin:tracker": {"nonsense": "1"}},
    ],
)
def test_a_config_that_is_wrong_changes_nothing(server: Server, sections: dict[str, dict[str, str]]) -> None:
    with server.app as app:
        with pytest.raises(ConfigError):
            app.reload(sections)
        assert app.get("/count").text == "first 1"
        assert server.log == ["made", "kept start", "first start"]


def test_what_the_new_generation_does_not_keep_stops_with_the_old_one(server: Server) -> None:
    with server.app as app:
        assert app.get("/count").text == "first 1"
        server.reload(keep="no")
        assert server.log[-2:] == ["first stop", "kept stop"]
        server.reload()
        assert app.get("/count").text == "first 1"
        assert server.log.count("made") == 2


def test_a_plugin_that_is_taken_out_stops_and_one_that_comes_starts(server: Server) -> None:
    with server.app as app:
        app.reload({"plugin:tracker": {}})
        assert app.get("/count").status == 404
        assert app.get("/get-list").status == 200
        assert server.log[-2:] == ["first stop", "kept stop"]


def test_two_reloads_at_once_are_one_and_an_error(server: Server) -> None:
    with server.app as app:
        first = app.reactor.spawn(app.app.reload(app._config(server.sections(word="second", fail="wait"))))
        second = app.reactor.spawn(app.app.reload(app._config(server.sections(word="third"))))
        assert isinstance(second.error, ReactorError)
        app.advance(5)
        assert first.error is None
        assert app.get("/count").text == "second 1"


def test_a_stop_while_a_reload_is_under_way_undoes_it(server: Server) -> None:
    with server.app as app:
        reloading = app.reactor.spawn(app.app.reload(app._config(server.sections(word="second", fail="hang"))))
        app.advance(1)
    assert reloading.done
    assert server.log.count("second stop") == server.log.count("first stop") == server.log.count("kept stop") == 1
    assert server.log[-1] == "kept stop"


def test_no_reload_begins_once_the_end_has(server: Server) -> None:
    with server.app as app:
        pass
    reloading = app.reactor.spawn(app.app.reload(app._config(server.sections(word="second"))))
    assert isinstance(reloading.error, ReactorError)


def test_an_old_generation_that_is_still_busy_at_the_end_is_stopped_once(server: Server) -> None:
    with server.app as app:
        client = app.connect()
        client.feed(GET % b"/slow")
        server.reload(word="second")
        server.reload(word="third")
    log = server.log
    assert [log.count(f"{word} stop") for word in ("first", "second", "third")] == [1, 1, 1]
    assert log[-1] == "kept stop"


def test_at_the_end_the_handlers_of_all_generations_tidy_up_before_these_stop(server: Server) -> None:
    with server.app as app:
        for word in ("second", "third"):
            app.connect().feed(GET % b"/tidy")
            server.reload(word=word)
        server.log.clear()
    assert [line for line in server.log if line.endswith("tidied")] == ["first tidied", "second tidied"]
    for word in ("first", "second"):
        assert server.log.index(f"{word} tidied") < server.log.index(f"{word} stop")
    assert not any("was left behind" in line for line in server.app.log_lines)


def test_settings_of_the_new_config_hold_for_new_requests(server: Server) -> None:
    with server.app as app:
        app._server["max_body"] = "5"
        server.reload()
        assert app.post("/nothing", body=b"123456").status == 413


def test_the_access_log_follows_the_config_and_a_bad_one_is_refused(server: Server, tmp_path: Path) -> None:
    def asked(app: TestApp) -> int:
        app.advance(1)
        return sum("GET /count HTTP/1.1" in line for line in app.log_lines)

    with server.app as app:
        app._server["access_log"] = "one.log"
        server.reload()
        app.get("/count")
        assert asked(app) == 1
        app._server["access_log"] = "no/such/directory/two.log"
        with pytest.raises(StartError, match="cannot write the access log"):
            server.reload(word="second")
        assert app.get("/count").text == "first 2"
        assert asked(app) == 2
        assert "second stop" in server.log
        app._server["access_log"] = "off"
        server.reload()
        app.get("/count")
        assert asked(app) == 2


def test_hundred_reloads_keep_nothing_of_the_old_generations(server: Server) -> None:
    import gc
    import weakref

    with server.app as app:
        old: list[weakref.ref[Any]] = []
        for number in range(100):
            old.append(weakref.ref(app.app.generation))
            server.reload(word=f"w{number}")
        gc.collect()
        assert sum(ref() is not None for ref in old) == 0
        assert app.get("/count").text == "w99 1"
