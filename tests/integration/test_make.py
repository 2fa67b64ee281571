"""`make run` and `make check` in a fresh clone: what somebody has who has just fetched this."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from server import ENVIRONMENT, ROOT, Server, connected, curl, wait_until, write_config

from bench.process import free_port


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last commit, with the virtual environment of this run in place, so that nothing is downloaded."""
    clone = tmp_path_factory.mktemp("make") / "clone"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(clone)],
        check=True, timeout=30, capture_output=True,
    )  # fmt: skip
    environment = clone / ".venv"
    environment.mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith("."):
            (environment / path.name).symlink_to(path)
    (environment / ".run").touch()  # what `make` leaves there when it has installed all that the lock names
    return clone


def test_make_run_starts_prints_and_ends_with_control_c(clone: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.ini", listen=f"127.0.0.1:{free_port()}")
    started = time.monotonic()
    with Server(config, ["make", "-C", str(clone), "--no-print-directory", "run", f"CONFIG={config}"]) as server:
        assert time.monotonic() - started < 5.0
        assert [line.split()[0] for line in server.stdout.splitlines()] == ["Demo", "Listening"]
        assert curl("-d", "username=admin&password=password", server.url + "/login").status == 200
        group = server.process.pid
        os.killpg(group, signal.SIGINT)  # as a terminal does it: to make and to what make has started
        assert server.process.wait(15.0) in (0, 2, -signal.SIGINT)  # make itself may or may not say "interrupted"
        wait_until(lambda: not is_there(group), 15.0)
        server.allowed.append("make: ***")
        assert server.complaints == []
        with pytest.raises(ConnectionRefusedError), connected(server):
            pass


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_make_check_prints_the_routes_of_the_config_that_comes_along(clone: Path) -> None:
    ran = subprocess.run(["make", "-C", clone, "check"], capture_output=True, text=True, timeout=20, env=ENVIRONMENT)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "config.ini is fine." in ran.stdout
    for route in ("POST      /login[/]", "PUT POST  /submit-info[/]", "GET       /assets/{path...}"):
        assert route in ran.stdout
    assert not (clone / "var").exists()


def test_make_without_an_environment_would_make_one_first(clone: Path) -> None:
    ran = subprocess.run(
        ["make", "-C", clone, "-n", "run", "VENV=elsewhere"], capture_output=True, text=True, timeout=20,
        env=ENVIRONMENT,
    )  # fmt: skip
    steps = ["-m venv elsewhere", "pip install", "-m reactor -c config.ini"]
    assert sorted(steps, key=ran.stdout.index) == steps
    assert "--require-hashes -r requirements/run.lock" in ran.stdout


def test_make_help_names_the_commands(clone: Path) -> None:
    ran = subprocess.run(["make", "-C", clone, "help"], capture_output=True, text=True, timeout=20, env=ENVIRONMENT)
    assert {"run", "check", "test", "unit", "integration"} <= {line.split()[0] for line in ran.stdout.splitlines()[1:]}
