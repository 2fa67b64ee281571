"""share.ini is the text of another config with some options changed, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactor.config import Config
from reactor.core.address import Address
from reactor.errors import StartError
from share import settings

TEXT = """\
# the server of room 4
[server]
listen = 127.0.0.1:8000   # for now
LISTEN_TLS =
    127.0.0.1:1
    127.0.0.1:2

state_dir = data  # beside it

[plugin:auth]
Demo = yes
session_ttl = 30m

[plugin:tracker]
"""


def derived(text: str = TEXT, secure: bool = False, guests: bool = False) -> Config:
    base = Config("[server]\nstate_dir = data\n" + text[text.index("[plugin") :], "room.ini", Path("/srv/room"))
    plain = [Address("0.0.0.0", 8000), Address("::", 8000)]
    tls = [Address("0.0.0.0", 8443)] if secure else []
    return Config(settings.derived(base, text, plain, tls, guests=guests), "share.ini", Path("/srv/room"))


def test_it_listens_to_others_and_has_no_demo_login() -> None:
    config = derived()
    assert config.listen == [Address("0.0.0.0", 8000), Address("::", 8000)]
    assert (config.listen_tls, config.server.tls_cert) == ([], [])
    assert config.state_dir == Path("/srv/room/data")
    auth, tracker = config.plugins
    assert auth.values == {"demo": "no", "session_ttl": "30m"}
    assert tracker.name == "plugin:tracker"


def test_with_tls_and_guests() -> None:
    config = derived(secure=True, guests=True)
    assert config.listen_tls == [Address("0.0.0.0", 8443)]
    assert config.server.tls_cert == ["data/tls/cert.pem"]
    assert config.server.tls_key == ["data/tls/key.pem"]
    assert config.plugins[0].values["guests"] == "lan"


def test_what_its_owner_has_written_stays() -> None:
    text = settings.with_options(TEXT, "server", {"listen": "0.0.0.0:80", "listen_tls": None})
    assert text == TEXT.replace("listen = 127.0.0.1:8000   # for now\n", "").replace(
        "LISTEN_TLS =\n    127.0.0.1:1\n    127.0.0.1:2\n", ""
    ).replace("[server]\n", "[server]\nlisten = 0.0.0.0:80\n")


def test_a_section_that_is_not_there_is_added() -> None:
    assert settings.with_options("[plugin:tracker]\n", "server", {"listen": "a"}).endswith("[server]\nlisten = a\n")


def test_without_accounts_nothing_is_said_of_them() -> None:
    config = derived("[server]\n[plugin:tracker]\n", guests=True)
    assert [section.name for section in config.plugins] == ["plugin:tracker"]


def test_ports_can_be_moved() -> None:
    config = derived(secure=True)
    text = settings.moved(config._text, config, {8000: 8001, 8443: 8444})
    other = Config(text, "share.ini", Path("/srv/room"))
    assert other.addresses == [Address("0.0.0.0", 8001), Address("::", 8001), Address("0.0.0.0", 8444)]
    assert other.plugins == config.plugins


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    settings.write(tmp_path / "share.ini", "mine")
    with pytest.raises(StartError, match="made by somebody else"):
        settings.write(tmp_path / "share.ini", "yours")
    assert (tmp_path / "share.ini").read_text() == "mine"
