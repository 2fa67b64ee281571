"""Another protocol on the HTTP port, on real sockets: who begins with `{` is not HTTP's."""

from __future__ import annotations

import time
from pathlib import Path

from server import Server, Wire, connected, curl, write_config

PLUGIN = '''
"""Lines of JSON are said back; a line `{"bye": 1}` ends the connection."""

lines = {}

class Line:
    def connection_made(self, transport):
        self.transport = transport
        lines[self] = None

    def data_received(self, data):
        self.transport.write(data)
        if b"bye" in data:
            self.transport.close()

    def eof_received(self):
        self.transport.close()

    def pause_writing(self): ...
    def resume_writing(self): ...

    def connection_lost(self, error):
        del lines[self]

def setup(plugin, options):
    def end():
        for line in lines:
            line.transport.write(b'{"bye": 1}')
            line.transport.close()

    plugin.protocol(b"{", lambda address: Line() if address.host == "127.0.0.1" else None)
    plugin.on_start(lambda: plugin.log.say(f"addresses: {plugin.addresses[0]}"))
    plugin.on_stop(end)
'''


def lines_server(tmp_path: Path) -> Server:
    (tmp_path / "lines_for_tests.py").write_text(PLUGIN)
    limits = "head_timeout = 1s\nkeep_alive = 1s\n"
    return Server(write_config(tmp_path / "config.ini", {"lines": "use = lines_for_tests"}, server=limits))


def test_two_protocols_share_a_port_and_their_deadlines_do_not_mix(tmp_path: Path) -> None:
    with lines_server(tmp_path) as server, connected(server) as wire:
        wire.send(b"{")
        assert wire.sock.recv(10) == b"{"
        assert server.wait_for("addresses:") == f"addresses: 127.0.0.1:{server.port}"
        with connected(server) as silent:
            assert silent.is_closed()  # a second without a first byte, and longer than that for the other one
        big = b"x" * 300_000 + b"\n"
        wire.sock.sendall(big)
        received = b""
        while len(received) < len(big):
            received += wire.sock.recv(1 << 20)
        assert received == big
        assert curl(server.url + "/login").status == 200
        wire.send(b'{"bye": 1}')
        assert wire.sock.recv(100) == b'{"bye": 1}'
        assert wire.is_closed()


def test_a_stop_lets_the_plugin_say_goodbye_and_waits_for_nobody(tmp_path: Path) -> None:
    with lines_server(tmp_path) as server:
        wires = [Wire(server.port) for _ in range(3)]
        for wire in wires:
            wire.send(b"{}\n")
            assert wire.sock.recv(10) == b"{}\n"
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3
        for wire in wires:
            assert wire.sock.recv(100) == b'{"bye": 1}'
            assert wire.sock.recv(1) == b""
            wire.close()


def test_a_reload_that_drops_the_plugin_frees_the_byte_and_lets_it_end_what_is_its_own(tmp_path: Path) -> None:
    with lines_server(tmp_path) as server, connected(server) as old:
        old.send(b"{1")
        assert old.sock.recv(10) == b"{1"
        text = server.config.read_text().replace("[plugin:lines]\nuse = lines_for_tests\n", "")
        server.config.write_text(text)
        server.reload()
        # The hook of the old generation has ended what was its own, and nobody claims the byte any more.
        assert old.sock.recv(100) == b'{"bye": 1}'
        with connected(server) as new:
            new.send(b"{}\r\n\r\n")
            assert new.read().status == 400
