"""The public fakes keep their promises, and check_plugin finds what it is there to find."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from plugin_files import Modules

from reactor.core.task import sleep
from reactor.core.transport import HIGH_WATER
from reactor.testing import EPOCH, FakeClock, FakeReactor, InlinePool, MemoryTransport, TestApp, check_plugin


class Recorder:
    """A protocol that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def connection_made(self, transport: object) -> None:
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> None:
        self.heard.append("eof")

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")

    def connection_lost(self, error: OSError | None) -> None:
        self.heard.append(("lost", error))


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


def test_time_passes_only_when_told_to() -> None:
    clock = FakeClock()
    assert (clock(), clock.unix_time()) == (clock(), EPOCH)
    clock.now += 5
    assert clock.unix_time() == EPOCH + 5


def test_an_inline_pool_runs_jobs_in_the_next_turn_and_carries_errors(reactor: FakeReactor) -> None:
    pool = InlinePool(reactor)
    good, bad = pool.run(int, "5"), pool.run(int, "x")
    assert not good.done
    reactor.settle()
    assert good.result() == 5
    assert isinstance(bad.error, ValueError)


def test_a_memory_transport_keeps_the_contract_of_a_real_one(reactor: FakeReactor) -> None:
    protocol = Recorder()
    transport = MemoryTransport(reactor, protocol)
    transport.feed(b"one")
    transport.pause_reading()
    transport.feed(b"two")
    transport.feed_eof()
    reactor.settle()
    assert protocol.heard == ["made", b"one"]
    transport.resume_reading()
    reactor.settle()
    transport.resume_reading()
    reactor.settle()
    assert protocol.heard == ["made", b"one", b"two", "eof"]
    transport.abort()
    transport.abort()
    transport.feed(b"late")
    reactor.settle()
    assert protocol.heard[4:] == [("lost", None)]


def test_a_stalled_transport_has_water_marks(reactor: FakeReactor) -> None:
    protocol = Recorder()
    transport = MemoryTransport(reactor, protocol)
    transport.stall = True
    transport.write(b"x" * HIGH_WATER)
    reactor.settle()
    assert protocol.heard == ["made"]
    transport.write(b"y")
    transport.write(b"z")
    reactor.settle()
    assert protocol.heard == ["made", "pause"]
    assert (transport.unsent, bytes(transport.sent)) == (HIGH_WATER + 2, b"")
    transport.release()
    reactor.settle()
    assert protocol.heard == ["made", "pause", "resume"]
    assert len(transport.sent) == HIGH_WATER + 2


def test_a_file_that_waits_is_done_when_it_is_out_or_never_will_be(reactor: FakeReactor) -> None:
    for way in ("release", "abort"):
        done: list[str] = []
        transport = MemoryTransport(reactor, Recorder())
        transport.stall = True
        transport.sendfile(io.BytesIO(b"0123456789"), 2, 3, lambda done=done: done.append("done"))  # type: ignore[misc]
        reactor.settle()
        assert done == []
        getattr(transport, way)()
        reactor.settle()
        assert done == ["done"]
        assert bytes(transport.sent) == (b"234" if way == "release" else b"")


def test_a_close_waits_for_what_is_stalled(reactor: FakeReactor) -> None:
    protocol = Recorder()
    transport = MemoryTransport(reactor, protocol)
    transport.stall = True
    transport.write(b"last words")
    transport.close()
    transport.write(b"dropped")
    reactor.settle()
    assert not transport.lost
    transport.release()
    reactor.settle()
    assert (bytes(transport.sent), protocol.heard[-1]) == (b"last words", ("lost", None))


def test_code_that_is_fed_runs_inside_the_reactor(reactor: FakeReactor) -> None:
    class Sleeper(Recorder):
        def data_received(self, data: bytes) -> None:
            reactor.spawn(sleep(1)).on_done(lambda _: self.heard.append("slept"))

    protocol = Sleeper()
    MemoryTransport(reactor, protocol).feed(b"x")
    reactor.advance(1)
    assert protocol.heard == ["made", "slept"]


def test_a_test_app_asks_in_every_way(tmp_path: Path, modules: Modules) -> None:
    name = modules.write("""
        from reactor import Response
        def show(request):
            return Response(f"{request.client} {request.headers.get('content-type')} {request.body.decode()}")
        def setup(plugin, options):
            plugin.route("GET POST PUT DELETE", "/x", show)
    """)
    with TestApp({"plugin:x": {"use": name}}, state_dir=tmp_path / "var") as app:
        assert app.get("/x", client="10.1.2.3").text == "10.1.2.3  "
        assert app.post("/x", form={"a": "ü"}).text.endswith(" application/x-www-form-urlencoded a=%C3%BC")
        assert app.put("/x", json=[1]).text.endswith(" application/json [1]")
        assert app.request("DELETE", "/x", body=b"b", content_type="text/css").text.endswith(" text/css b")
        assert app.request("HEAD", "/x").body == b""
        assert app.get("/x", headers=[("Host", "other")]).status == 200


GOOD = '''
    """A plugin."""
    import msgspec
    from reactor import Response

    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        a: int = 1

    def setup(plugin, options):
        plugin.route("GET", "/x/{name}[/]", lambda request: Response(request.params["name"]))
        plugin.route("POST", "/y/{rest...}", lambda request: Response(request.json()))
'''

BAD = [
    ("lambda request: Response(request.params", "lambda request: Response(request.parms", "answers 500"),
    ('"""A plugin."""', "pass", "no docstring"),
    ("frozen=True, ", "", "frozen=True"),
    ("(msgspec.Struct, frozen=True, forbid_unknown_fields=True)", "", "no msgspec.Struct"),
    ("def setup(", "def set_up(", "has no setup"),
]


def test_check_plugin_is_content_with_a_good_plugin(tmp_path: Path, modules: Modules) -> None:
    check_plugin(modules.write(GOOD), {"a": "2"}, state_dir=tmp_path / "var")


@pytest.mark.parametrize(("good", "bad", "words"), BAD)
def test_check_plugin_says_which_part_of_the_contract_a_plugin_breaks(
    tmp_path: Path, modules: Modules, good: str, bad: str, words: str
) -> None:
    assert good in GOOD
    with pytest.raises(AssertionError, match=words):
        check_plugin(modules.write(GOOD.replace(good, bad)), state_dir=tmp_path / "var")


@pytest.mark.parametrize("plugin", ["tracker"])
def test_the_built_in_plugins_pass(tmp_path: Path, plugin: str) -> None:
    check_plugin(f"plugins.{plugin}", state_dir=tmp_path / "var")
