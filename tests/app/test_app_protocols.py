"""Connections to the HTTP listeners that are no HTTP: who gets them, what they still cost, and how they end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from plugin_files import Modules

from reactor.describe import describe
from reactor.errors import ConfigError
from reactor.http.connection import NEWCOMER
from reactor.testing import MemoryTransport, TestApp, check_plugin

PLUGIN = '''
    """Says back what it hears, and notes the rest."""
    import msgspec
    from reactor import *
    heard = []
    lines = []

    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        byte: str = "{"
        word: str = "echo"
        bye: bool = True

    class Echo:
        def __init__(self, word, address):
            self.word, self.address = word, address
        def connection_made(self, transport):
            self.transport = transport
            lines.append(self)
            heard.append(f"made {self.address}")
        def data_received(self, data):
            if data == b"{fail":
                raise ValueError("a bad line")
            self.transport.write(self.word.encode() + b" " + data)
        def eof_received(self):
            heard.append("eof")
            self.transport.close()
        def pause_writing(self): heard.append("pause")
        def resume_writing(self): heard.append("resume")
        def connection_lost(self, error):
            heard.append("lost")
            lines.remove(self)

    def setup(plugin, options):
        def factory(address):
            if options.word == "fail":
                raise ValueError("no room")
            return None if options.word == "none" else Echo(options.word, address)

        def bye():
            for line in list(lines):
                line.transport.write(b"bye")
                line.transport.close()

        plugin.protocol(options.byte.encode().decode("unicode_escape").encode("latin-1"), factory)
        if options.bye:
            plugin.on_stop(bye)
'''


class Site:
    def __init__(self, modules: Modules, tmp_path: Path, server: dict[str, str] | None = None, **options: str) -> None:
        self.name = modules.write(PLUGIN)
        self.app = TestApp(self.sections(**options), state_dir=tmp_path / "var", directory=tmp_path, server=server)

    def sections(self, **options: str) -> dict[str, dict[str, str]]:
        return {"plugin:echo": {"use": self.name, **options}}

    @property
    def heard(self) -> list[str]:
        return sys.modules[self.name].heard  # type: ignore[no-any-return]

    def say(self, data: bytes) -> MemoryTransport:
        client = self.app.connect()
        client.feed(data)
        self.app.reactor.settle()
        return client


def counts(app: TestApp) -> tuple[int, int]:
    return len(app.app.server.connections), len(app.app.server.handed)


def test_a_claimed_first_byte_takes_the_whole_connection_out_of_http(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path)
    with site.app as app:
        client = site.say(b"{")
        app.advance(100)  # no deadline of HTTP is left
        client.feed(b"GET / HTTP/1.1\r\n\r\n")
        assert bytes(client.sent) == b"echo {echo GET / HTTP/1.1\r\n\r\n"
        assert counts(app) == (0, 1)
        assert app.app.server.requests == 0
        client.feed_eof()
        app.advance(1)
        assert site.heard == ["made 127.0.0.1:50000", "eof", "lost"]
        assert counts(app) == (0, 0)


@pytest.mark.parametrize("before", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n", b"G"])
@pytest.mark.parametrize("pieces", [True, False])
def test_only_the_very_first_byte_counts(modules: Modules, tmp_path: Path, before: bytes, pieces: bool) -> None:
    site = Site(modules, tmp_path)
    with site.app as app:
        client = app.connect()
        for piece in [before, b'{"a": 1}\r\n\r\n'] if pieces else [before + b'{"a": 1}\r\n\r\n']:
            client.feed(piece)
        app.reactor.settle()
        assert b"HTTP/1.1 400 Bad Request" in client.sent
        assert site.heard == []


def test_what_nobody_has_claimed_is_a_bad_request(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path)
    with site.app:
        assert b"400 Bad Request" in site.say(b"[1]\r\n\r\n").sent
        assert site.heard == []


@pytest.mark.parametrize(("word", "errors"), [("none", 0), ("fail", 1)])
def test_a_connection_that_its_factory_does_not_want_is_closed(
    modules: Modules, tmp_path: Path, word: str, errors: int
) -> None:
    site = Site(modules, tmp_path, word=word)
    with site.app as app:
        client = site.say(b"{")
        assert (client.lost, bytes(client.sent)) == (True, b"")
        assert counts(app) == (0, 0)
        logged = [line for line in app.log_lines if "in the protocol for connections that begin with b'{'" in line]
        assert len(logged) == errors


def test_they_count_among_the_connections_and_are_not_closed_to_make_room(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path, {"max_connections": "3"})
    with site.app as app:
        site.say(b"{")
        site.say(b"{")
        has_room = app.app.server._has_room
        assert has_room()
        idle = app.connect()
        app.advance(NEWCOMER)
        assert has_room()  # because the idle one is closed
        assert idle.is_closing
        site.say(b"{")
        assert not has_room()
        assert counts(app) == (0, 3)


def test_at_the_end_the_plugin_has_its_say_before_they_are_closed(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path)
    with site.app as app:
        client = site.say(b"{")
        start = app.clock.now
    assert bytes(client.sent) == b"echo {bye"
    assert site.heard[-1] == "lost"
    assert app.clock.now == start  # nobody waits for `drain` seconds


def test_what_a_plugin_forgets_is_closed_and_cut_if_it_does_not_read(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path, bye="no")
    with site.app:
        reads, stalls = site.say(b"{"), site.say(b"{")
        stalls.stall = True
        stalls.feed(b"more")
    assert reads.lost and stalls.lost
    assert site.heard.count("lost") == 2


def test_new_connections_meet_the_new_generation_and_old_ones_live_on(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path, bye="no")
    with site.app as app:
        old = site.say(b"{")
        app.reload(site.sections(word="new", bye="no"))
        new = site.say(b"{")
        old.feed(b"!")
        assert (bytes(old.sent), bytes(new.sent)) == (b"echo {echo !", b"new {")
        app.reload(site.sections(byte="}", bye="no"))
        assert b"400 Bad Request" in site.say(b"{\r\n\r\n").sent


@pytest.mark.parametrize(
    ("byte", "why"),
    [("G", "may begin with it"), ("!", "may begin with it"), ("\\r", "may begin with it"), ("{{", "not one byte")],
)
def test_a_byte_that_cannot_be_claimed_stops_the_start(modules: Modules, tmp_path: Path, byte: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Site(modules, tmp_path, byte=byte)


def test_two_plugins_with_one_byte_stop_the_start(modules: Modules, tmp_path: Path) -> None:
    name = modules.write(PLUGIN)
    sections = {"plugin:one": {"use": name}, "plugin:two": {"use": name}}
    with pytest.raises(ConfigError, match=r"connections that begin with b'\{' are already plugin one's"):
        TestApp(sections, state_dir=tmp_path)


def test_one_plugin_cannot_claim_a_byte_twice(modules: Modules, tmp_path: Path) -> None:
    name = modules.write(
        """
        def setup(plugin, options):
            for _ in range(2):
                plugin.protocol(b"{", lambda address: None)
        """
    )
    with pytest.raises(ConfigError, match="twice"):
        TestApp({"plugin:one": {"use": name}}, state_dir=tmp_path)


def test_a_plugin_knows_where_it_listens_and_has_the_reactor(modules: Modules, tmp_path: Path) -> None:
    name = modules.write(
        """
        from reactor import Response
        seen = []

        def setup(plugin, options):
            plugin.on_start(lambda: seen.append((plugin.reactor, plugin.addresses)))
        """
    )
    with TestApp({"plugin:one": {"use": name}}, state_dir=tmp_path, server={"listen": "127.0.0.1:81, [::1]:82"}) as app:
        seen: list[Any] = sys.modules[name].seen
        assert seen == [(app.reactor, [("127.0.0.1", 81), ("::1", 82)])]


def test_check_plugin_tries_what_is_claimed(modules: Modules, tmp_path: Path) -> None:
    name = modules.write(PLUGIN)
    check_plugin(name, state_dir=tmp_path)
    assert sys.modules[name].heard == ["made 127.0.0.1:50000", "eof", "lost"] * 2
    with pytest.raises(AssertionError, match="it logs errors"):
        check_plugin(name, {"word": "fail"}, state_dir=tmp_path)


def test_the_check_shows_what_is_claimed(modules: Modules, tmp_path: Path) -> None:
    site = Site(modules, tmp_path)
    with site.app as app:
        assert "connections that begin with another byte than HTTP\n  '{'  echo\n" in describe(app.app)
