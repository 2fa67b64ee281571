"""What a config may say of listeners and of who stands in front of them, and what the end of a server looks like."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from reactor.config import Config
from reactor.core.supervisor import tell_supervisor
from reactor.errors import ConfigError
from reactor.testing import TestApp

GET = b"GET /get-list HTTP/1.1\r\nHost: localhost\r\n\r\n"


def config(**options: str) -> Config:
    lines = "\n".join(f"{key} = {value}" for key, value in options.items())
    return Config(f"[server]\n{lines}\n", "config.ini", Path("/etc/reactor"))


def test_unix_sockets_stand_beside_ports_and_are_relative_to_the_config() -> None:
    found = config(listen="unix:run/x.sock, 127.0.0.1:80, unix:/run/y.sock", unix_mode="0600")
    assert [str(address) for address in found.listen] == ["127.0.0.1:80"]
    assert [str(address) for address in found.listen_unix] == ["unix:/etc/reactor/run/x.sock", "unix:/run/y.sock"]
    assert [address.path for address in found.listeners] == ["", "/etc/reactor/run/x.sock", "/run/y.sock"]
    assert found.unix_mode == 0o600
    assert found.url(found.listen_unix[1]) == "unix:/run/y.sock"
    assert not found.listens_beyond_loopback
    assert config(listen="unix:x").addresses == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"listen": "unix:"}, "[server] listen: needs a path"),
        ({"listen": "unix:/x, unix:/x"}, "[server] listen: the same address twice"),
        ({"listen_tls": "unix:/x", "tls_cert": "a"}, "[server] listen_tls: a Unix socket stays on this machine"),
        ({"listen_redirect": "127.0.0.1:80"}, "[server] listen_redirect: there is no HTTPS to lead to"),
        (
            {"listen": "", "listen_tls": "[::1]:443", "listen_redirect": "[::1]:443", "tls_cert": "a"},
            "[server] listen_redirect: the same address twice",
        ),
        ({"redirect_port": "65536"}, "[server] redirect_port"),
        ({"unix_mode": "rw"}, "[server] unix_mode: is a mode as chmod has it"),
        ({"unix_mode": "999"}, "[server] unix_mode: is a mode as chmod has it"),
        ({"proxy_protocol": "10.0.0.1/8"}, "[server] proxy_protocol: is a list of networks"),
        ({"trusted_proxies": "Unix"}, "[server] trusted_proxies: is a list of networks"),
        ({"write_rate": "-1"}, "write_rate"),
        ({"request_timeout": "-1s"}, "request_timeout"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_end_says_that_it_has_begun_and_each_answer_that_it_is_the_last() -> None:
    with TestApp({"plugin:tracker": {}}) as app:
        quiet, busy = app.connect(), app.connect()
        quiet.feed(GET)
        busy.feed(GET[:-2])
        assert not app.app.is_draining
        drained = app.app.server.close()
        assert app.app.is_draining
        assert app.app.why_not_ready() == ["the server is stopping"]
        assert quiet.is_closing
        assert not drained.done
        busy.feed(GET[-2:])
        app.reactor.settle()
        assert b"Connection: close\r\n" in busy.sent
        assert drained.done


def test_a_gentle_end_lets_idle_connections_ask_once_more() -> None:
    with TestApp({"plugin:tracker": {}}) as app:
        asks, is_silent = app.connect(), app.connect()
        for transport in (asks, is_silent):
            transport.feed(GET)
            transport.sent.clear()
        drained = app.app.server.close(gently=True)
        assert not asks.is_closing and not is_silent.is_closing
        asks.feed(GET)
        app.reactor.settle()
        assert asks.sent.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in asks.sent
        assert asks.lost and not drained.done
        app.advance(15)
        assert is_silent.lost and is_silent.sent == b""
        assert drained.done


def test_the_supervisor_is_told_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        tell_supervisor({"NOTIFY_SOCKET": str(path)}, "READY=1", f"MAINPID={os.getpid()}")
        assert listening.recv(100) == f"READY=1\nMAINPID={os.getpid()}".encode()
    for nowhere in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": str(path)}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        tell_supervisor(nowhere, "READY=1")


def test_drain_hooks_run_before_the_requests_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "draining_plugin.py").write_text(
        "from reactor import Response, sleep\n"
        "def setup(plugin, options):\n"
        "    async def slow(request):\n"
        "        await sleep(5)\n"
        "        plugin.log.say('answered')\n"
        "        return Response('slow')\n"
        "    plugin.route('GET', '/slow', slow)\n"
        "    plugin.on_drain(lambda: plugin.log.say('drain'))\n"
        "    plugin.on_drain(lambda: 1 / 0)\n"
        "    plugin.on_stop(lambda: plugin.log.say('stop'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with TestApp({"plugin:d": {"use": "draining_plugin"}}, state_dir=tmp_path) as app:
        client = app.connect()
        client.feed(GET.replace(b"/get-list", b"/slow"))
    said = [line for line in app.log_lines if line in ("drain", "answered", "stop")]
    assert said == ["drain", "answered", "stop"]
    assert any("plugin d: a drain hook failed" in line for line in app.log_lines)
    assert client.sent.endswith(b"slow")
