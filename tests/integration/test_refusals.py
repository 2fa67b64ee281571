"""What does not let the server start: one line that says what to do, and the exit status says whose turn it is."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from server import ROOT, refused, write_config

CONFIG, MACHINE = 2, 1


def assert_refused(ran: subprocess.CompletedProcess[str], status: int, *parts: str) -> None:
    """One line on standard error with all the parts in it, none on standard output."""
    lines = ran.stderr.splitlines()
    assert len(lines) == 1, ran.stderr
    for part in parts:
        assert part in lines[0]
    assert lines[0].startswith("error: ")
    assert ran.stdout == ""
    assert ran.returncode == status


# -- the config ------------------------------------------------------------------------------------------------------


def test_a_missing_config_is_named_with_the_option_that_names_another(tmp_path: Path) -> None:
    config = tmp_path / "none.ini"
    assert_refused(refused(config), CONFIG, str(config), "there is no such file", "-c FILE")


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_bytes(b"\xff\xfe\x00")
    assert_refused(refused(config), CONFIG, "config.ini", "cannot be read")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("listen = 1", 1, "a [section] has to come first"),
        ("[server]\nwhat is this\n", 2, "neither [section] nor key = value"),
        ("[sever]\n", 1, "unknown section"),
        ("[server]\n\nlisten = nowhere:x\n", 3, "[server] listen: 'nowhere:x' is not HOST:PORT"),
        ("[server]\nlisten = 127.0.0.1:99999\n", 2, "[server] listen: port 99999 is above 65535"),
        ("[server]\nkeep_alife = 3\n", 2, "[server] keep_alife: unknown option: did you mean keep_alive?"),
        ("[server]\nmax_body = much\n", 2, "[server] max_body: is a whole number"),
        ("[server]\nmax_head = 0\n", 2, "[server] max_head: "),
        ("[plugin:tracker]\nttl = soon\n", 2, "[plugin:tracker] ttl: is a number of seconds"),
        ("[plugin:tracker]\n# a comment\nrequire_login = perhaps\n", 3, "[plugin:tracker] require_login: is yes or no"),
        ("[plugin:tracker]\nttl = 3\n", 2, "[plugin:tracker] ttl: "),
        ("[plugin:tracker]\nrequire_login = yes\n", 0, "'login'"),
        ("[server]\n[plugin:chess]\n", 2, "[plugin:chess]: there is no module plugins.chess: no such plugin"),
        ("[plugin:x]\nuse = no.such\n", 2, "[plugin:x] use: there is no module no.such"),
        ("[plugin:auth]\nindex = missing.html\n", 2, "/missing.html: No such file"),
        ("[plugin:auth]\nscheme = secret\n", 2, "[plugin:auth] scheme: is session or reference, not"),
        ("[plugin:auth]\ncookie = auth\n", 2, "[plugin:auth] cookie: "),
        ("[plugin:static]\nmount = / missing-directory\n", 2, "[plugin:static] mount: "),
    ],
)
def test_a_wrong_config_is_one_line_with_file_line_and_key(tmp_path: Path, text: str, line: int, says: str) -> None:
    config = tmp_path / "config.ini"
    config.write_text(text)
    where = f"{config}:{line}: " if line else str(config)
    assert_refused(refused(config), CONFIG, where, says)
    assert [path.name for path in tmp_path.iterdir()] == ["config.ini"]  # nothing was made


def test_check_finds_what_a_start_would_find(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[plugin:tracker]\nttl = soon\n")
    assert_refused(refused(config, "--check"), CONFIG, f"{config}:2: [plugin:tracker] ttl: is a number of seconds")


def test_arguments_that_are_not_understood_end_with_status_2(tmp_path: Path) -> None:
    ran = refused(tmp_path / "config.ini", "--fast")
    assert ran.returncode == CONFIG
    assert "unrecognized arguments: --fast" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_check_opens_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write_config(tmp_path / "config.ini", listen=f"127.0.0.1:{taken.getsockname()[1]}")
        ran = refused(config, "--check")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"{config} is fine.\n")
    assert "POST      /login[/]" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["config.ini"]


# -- the machine -----------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_named_with_a_way_to_find_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = refused(write_config(tmp_path / "config.ini", listen=address))
    assert_refused(ran, MACHINE, f"cannot listen on {address}: another program has this port", "ss -ltnp")
    assert not (tmp_path / "var").exists()  # the second of two that were started by mistake touches nothing


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("[server]\nlisten = 192.0.2.1:0\n")  # TEST-NET-1, which nobody has
    assert_refused(refused(tmp_path / "config.ini"), MACHINE, "192.0.2.1:0", "no such address")


def test_a_name_that_this_machine_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("[server]\nlisten = no-such-host.invalid:0\n")  # RFC 6761: there is none
    assert_refused(refused(tmp_path / "config.ini"), MACHINE, "no-such-host.invalid:0", "knows no address of that name")


def test_a_corrupt_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/auth.db").write_bytes(b"this is no database" * 300)
    ran = refused(write_config(tmp_path / "config.ini"))
    assert_refused(ran, MACHINE, "var/auth.db is damaged", "move it away or put a backup in its place")


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "var/auth.db").mkdir(parents=True)
    ran = refused(write_config(tmp_path / "config.ini"))
    assert_refused(ran, MACHINE, "cannot open", "var/auth.db", "check that you may write to it")


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    database = sqlite3.connect(tmp_path / "var/auth.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    ran = refused(write_config(tmp_path / "config.ini"))
    assert_refused(ran, MACHINE, "var/auth.db was written by a newer version of this program")


def test_a_file_where_the_state_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("in the way")
    ran = refused(write_config(tmp_path / "config.ini"))
    assert_refused(ran, MACHINE, "cannot make the state directory", str(tmp_path / "var"), "state_dir")
    assert (tmp_path / "var").read_text() == "in the way"


def test_an_access_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[server]\nlisten = 127.0.0.1:0\naccess_log = no/such/directory\n")
    ran = refused(config)
    assert_refused(ran, MACHINE, "cannot write the access log no/such/directory: No such file", "name another file")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "127.0.0.1:0, 0.0.0.0:0"])
def test_the_demo_account_keeps_the_server_on_loopback(tmp_path: Path, listen: str) -> None:
    ran = refused(write_config(tmp_path / "config.ini", listen=listen))
    assert_refused(ran, MACHINE, "the demo login admin/password works on loopback only",
                   "python -m plugins.auth passwd admin")  # fmt: skip


def test_the_reference_scheme_keeps_the_server_on_loopback(tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "config.ini", {"auth": f"index = {ROOT}/www/index.html\nscheme = reference"}, listen="0.0.0.0:0"
    )
    assert_refused(refused(config), CONFIG, "[plugin:auth] scheme: ", "loopback only")


def test_the_command_that_the_refusal_names_opens_the_server(tmp_path: Path) -> None:
    """As far as the refusal goes: before it listens, the server stops at something else."""
    config = write_config(tmp_path / "config.ini", listen="0.0.0.0:0")
    subprocess.run(
        [sys.executable, "-m", "plugins.auth", "-c", str(config), "passwd", "admin"],
        cwd=ROOT, input="a longer one\n", text=True, check=True, capture_output=True, timeout=10,
    )  # fmt: skip
    (tmp_path / "stop_plugin.py").write_text(
        "from reactor import StartError\n"
        "def setup(plugin, options):\n"
        "    plugin.on_start(stop)\n"
        "def stop():\n"
        "    raise StartError('this far')\n"
    )
    config.write_text(config.read_text() + "\n[plugin:stop]\nuse = stop_plugin\n")
    assert_refused(refused(config), MACHINE, "this far")
