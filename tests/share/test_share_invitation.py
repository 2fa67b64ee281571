"""What the others are told, for each kind of network and terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import segno

from reactor.certificate import fingerprint, make_certificate, write_pair
from reactor.config import Config
from share import invitation
from share.invitation import BORDER, Invitation, qr_code

NETWORKS = {"192.168.1.40": "wlan0", "10.0.0.2": "eth1"}
PLAIN = "[server]\nlisten = 0.0.0.0:8000, [::]:8000\n"
TLS = PLAIN + "listen_tls = 0.0.0.0:8443\ntls_cert = cert.pem\ntls_key = key.pem\n"


class Terminal(io.StringIO):
    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(invitation, "has_local_names", lambda: False)


def text(config: str, networks: dict[str, str] = NETWORKS, directory: Path | None = None, guests: bool = False) -> str:
    made = Invitation(Config(config, "share.ini", directory or Path()), networks, "admin", guests=guests)
    return "\n".join(made.lines(io.StringIO()))


def test_the_likeliest_address_comes_first_and_the_others_with_their_interface() -> None:
    said = text(PLAIN)
    assert "\n    http://192.168.1.40:8000/\n" in said
    assert "\n  or http://10.0.0.2:8000/ (eth1)\n" in said
    assert 'make peer PORT=9101 ARGS="--tracker 192.168.1.40:8000"' in said
    assert "sudo ufw allow 8000/tcp" in said and "firewall-cmd --add-port=8000/tcp" in said


def test_a_name_is_told_where_something_answers_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitation, "has_local_names", lambda: True)
    assert f"  or http://{invitation.local_name()}:8000/" in text(PLAIN)


def test_without_a_network_only_this_machine_is_promised() -> None:
    said = text(PLAIN, {})
    assert "no network" in said and "http://localhost:8000/" in said
    assert "ufw" not in said and "tracker" not in said


def test_one_address_that_is_listened_to_is_the_one_that_is_told() -> None:
    assert "\n    http://10.9.9.9:8123/\n" in text("[server]\nlisten = 10.9.9.9:8123\n")
    assert "\n    http://[fd00::1]:8123/\n" in text("[server]\nlisten = [fd00::1]:8123\n")
    assert "no network" in text("[server]\nlisten = 127.0.0.1:8123\n")


def test_the_chat_is_where_they_are_sent_if_there_is_one() -> None:
    assert "http://192.168.1.40:8000/chat/" in text(PLAIN + "[plugin:chat]\n")


def test_with_tls_the_fingerprint_and_both_ports_are_told(tmp_path: Path) -> None:
    made = make_certificate(["localhost"])
    write_pair(made, tmp_path / "cert.pem", tmp_path / "key.pem")
    said = text(TLS, directory=tmp_path)
    assert "\n    https://192.168.1.40:8443/\n" in said
    assert re.sub(r"\s", "", fingerprint(made.certificate)) in re.sub(r"\s", "", said)
    assert "TCP ports 8000 and 8443 have to be open" in said
    assert "(not encrypted)" in said


def test_guests_are_told_of_only_if_there_are_any() -> None:
    assert "typing a name" in text(PLAIN, guests=True)
    assert "typing a name" not in text(PLAIN)


# -- the QR code -------------------------------------------------------------------------------------------------------

URL = "http://192.168.1.40:8000/chat/"
MODULES = [[bool(module) for module in row] for row in segno.make(URL, error="l", micro=False).matrix_iter(1, BORDER)]


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_half_blocks_are_the_modules_of_the_code() -> None:
    lines = [plain(line) for line in qr_code(URL, Terminal("utf-8"))]
    rows: list[list[bool]] = []
    for line in lines[:-1]:
        rows += [[char in "▀█" for char in line], [char in "▄█" for char in line]]
    assert rows[: len(MODULES)] == MODULES
    assert not any(map(any, rows[len(MODULES) :]))


def test_a_terminal_that_knows_ascii_only_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = qr_code(URL, Terminal("ascii"))
    assert all(line.isascii() for line in lines)
    rows = [[colour == "40" for colour in re.findall(r"\x1b\[(40|107)m  ", line)] for line in lines[:-1]]
    assert rows == MODULES


@pytest.mark.parametrize(("encoding", "width"), [("utf-8", len(MODULES) - 1), ("latin-1", 2 * len(MODULES) - 1)])
def test_a_terminal_that_is_too_narrow_gets_none(monkeypatch: pytest.MonkeyPatch, encoding: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert qr_code(URL, Terminal(encoding)) == []
    monkeypatch.setenv("COLUMNS", str(width + 1))
    assert qr_code(URL, Terminal(encoding)) != []


def test_what_is_no_terminal_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert qr_code(URL, io.StringIO()) == []
    monkeypatch.setenv("TERM", "dumb")
    assert qr_code(URL, Terminal("utf-8")) == []
