"""Who takes part: a table of names, command lines, and how each is asked for its version.

Ours comes with two measures: the floor below which no Python loop gets, and the reference with a thread for each
connection. In a command, `{python}` and the like are filled in for one start; what is empty then is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from bench.competitors import nginx
from bench.process import ROOT, SERVER_CORE, Server, free_port, running

PASSWORD: Final = "password"
FILES: Final = {"1k.bin": 1024, "10m.bin": 10 * 1024 * 1024}


class Kind(Enum):
    OURS = "ours"
    FLOOR = "floor"
    REFERENCE = "reference"
    PYTHON = "Python"
    NATIVE = "native"


@dataclass(frozen=True)
class Setup:
    """What one start is for. `length` is that of the floor's answers; `accounts` are beside admin."""

    folder: Path
    port: int
    length: int = 0
    close: bool = False
    batch: int = 1
    accounts: int = 0

    def fill(self, argument: str) -> str:
        return argument.format(
            python=sys.executable, folder=self.folder, port=self.port, length=self.length,
            close="--close" if self.close else "", batch=self.batch, accounts=self.accounts,
        )  # fmt: skip


def nothing(setup: Setup) -> None:
    pass


@dataclass(frozen=True)
class Contender:
    """`answers` are the names of what it can be asked for (see scenarios.Ask); `prepare` writes what it reads at its
    start. `counts`: it tells at `/count` how many requests it had.
    """

    name: str
    kind: Kind
    command: tuple[str, ...]
    version: tuple[str, ...]
    answers: frozenset[str] = frozenset({"ok", "list"})
    prepare: Callable[[Setup], None] = nothing
    counts: bool = False

    def shown(self) -> str:
        """The command line for the record, without the paths of this machine."""
        words = map(Setup(Path("DIR"), 8000).fill, self.command)
        return " ".join(Path(word).name if Path(word).is_absolute() else word for word in words if word)

    def find_version(self) -> str:
        """What it says of itself, in a line; "" if it is not here."""
        command = [Setup(Path(), 0).fill(argument) for argument in self.version]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        words = (ran.stdout + ran.stderr).strip().splitlines()
        return words[-1].rpartition("/")[2] if words and ran.returncode == 0 else ""


# -- what ours and nginx read at their start -------------------------------------------------------------------------

_CONFIG: Final = """\
[server]
listen = 127.0.0.1:{port}
state_dir = {folder}/var
keep_alive = 1h
head_timeout = 1h
backlog = 4096

[plugin:auth]
index = {root}/www/index.html

[plugin:static]
mount =
    /files   {folder}/files
    /assets  {root}/www/assets
    /        {root}/www  guard=login

[plugin:tracker]
ttl = 1d
max_per_address = 0

[plugin:bench]
use = bench.plugin
"""


def prepare_reactor(setup: Setup) -> None:
    """The default config, with limits that outlast a measurement."""
    write_files(setup.folder / "files")
    text = _CONFIG.format(port=setup.port, folder=setup.folder, root=ROOT)
    (setup.folder / "config.ini").write_text(text)
    if setup.accounts:
        add_accounts(setup.folder / "var", setup.accounts)


def add_accounts(state: Path, count: int) -> None:
    """Admin and user0, user1, … with one password, hashed once."""
    from plugins.auth.passwords import Passwords
    from plugins.auth.store import FILE_NAME, Store

    store, stored = Store(state / FILE_NAME), Passwords().hash(PASSWORD.encode())
    store.open()
    for name in ["admin", *(f"user{number}" for number in range(count))]:
        store.add_account(name, stored, time.time())
    store.close()


def write_files(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, size in FILES.items():
        (folder / name).write_bytes(os.urandom(1024) * (size // 1024))


def prepare_nginx(setup: Setup) -> None:
    write_files(setup.folder / "files")
    nginx.write_config(setup.folder, setup.port, setup.folder / "files")


# -- the table -------------------------------------------------------------------------------------------------------


def _module(name: str) -> tuple[str, ...]:
    return ("{python}", "-c", f"from importlib.metadata import version; import {name}; print(version('{name}'))")


_PYTHON: Final = ("{python}", "-c", "import platform; print('Python', platform.python_version())")
_UVICORN: Final = (
    "{python}", "-m", "uvicorn", "bench.competitors.asgi:app", "--host", "127.0.0.1", "--port", "{port}",
    "--no-access-log", "--log-level", "critical", "--lifespan", "off", "--ws", "none", "--no-server-header",
    "--timeout-keep-alive", "3600", "--backlog", "4096",
)  # fmt: skip
_GRANIAN: Final = (
    "{python}", "-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--no-log", "--no-ws",
    "--http", "1", "--workers", "1", "--runtime-threads", "1", "--runtime-mode", "st", "--backlog", "4096",
    "--backpressure", "20000",
)  # fmt: skip
# Debian keeps it where only root looks.
_NGINX: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
_EVERYTHING: Final = frozenset({"ok", "list", "page", "login", "submit", "body", "static"})

CONTENDERS: Final = (
    Contender(
        "reactor", Kind.OURS, ("{python}", "-m", "reactor", "-c", "{folder}/config.ini"), _PYTHON, _EVERYTHING,
        prepare_reactor, counts=True,
    ),
    Contender(
        "floor", Kind.FLOOR,
        ("{python}", "-m", "bench.floor", "{port}", "{length}", "{close}", "--batch", "{batch}"), _PYTHON,
        frozenset({"ok", "list", "page"}),
    ),
    Contender(
        "threads", Kind.REFERENCE,
        ("{python}", "-m", "bench.reference", "{port}", "{close}", "--accounts", "{accounts}", "--idle", "3600",
         "--ttl", "86400"),
        _PYTHON, _EVERYTHING - {"static"}, counts=True,
    ),
    Contender(
        "uvicorn", Kind.PYTHON, (*_UVICORN, "--loop", "uvloop", "--http", "httptools"), _module("uvicorn"),
    ),
    Contender(
        "uvicorn-h11", Kind.PYTHON, (*_UVICORN, "--loop", "asyncio", "--http", "h11"), _module("uvicorn"),
    ),
    Contender(
        "granian-asgi", Kind.PYTHON,
        (*_GRANIAN, "--interface", "asgi", "--loop", "uvloop", "bench.competitors.asgi:app"), _module("granian"),
    ),
    Contender(
        "granian-wsgi", Kind.PYTHON,
        (*_GRANIAN, "--interface", "wsgi", "--blocking-threads", "1", "bench.competitors.wsgi:app"),
        _module("granian"),
    ),
    Contender(
        "gunicorn", Kind.PYTHON,
        ("{python}", "-m", "gunicorn", "bench.competitors.wsgi:app", "--bind", "127.0.0.1:{port}", "--workers", "1",
         "--worker-class", "gthread", "--threads", "4", "--worker-connections", "19000", "--keep-alive", "3600",
         "--timeout", "0", "--graceful-timeout", "1", "--backlog", "4096", "--log-level", "critical"),
        _module("gunicorn"),
    ),
    Contender(
        "tornado", Kind.PYTHON, ("{python}", "-m", "bench.competitors.tornado_app", "{port}"), _module("tornado"),
    ),
    Contender(
        "aiohttp", Kind.PYTHON, ("{python}", "-m", "bench.competitors.aiohttp_app", "{port}"), _module("aiohttp"),
    ),
    Contender(
        "waitress", Kind.PYTHON, ("{python}", "-m", "bench.competitors.wsgi", "waitress", "{port}"),
        _module("waitress"),
    ),
    Contender(
        "bjoern", Kind.PYTHON, ("{python}", "-m", "bench.competitors.wsgi", "bjoern", "{port}"), _module("bjoern"),
    ),
    Contender(
        "nginx", Kind.NATIVE, (_NGINX, "-p", "{folder}", "-c", "{folder}/nginx.conf", "-e", "stderr"), (_NGINX, "-v"),
        frozenset({"ok", "list", "static"}), prepare_nginx, counts=True,
    ),
)  # fmt: skip
BY_NAME: Final = {contender.name: contender for contender in CONTENDERS}


@contextmanager
def started(
    contender: Contender, *, length: int = 0, close: bool = False, batch: int = 1, accounts: int = 0,
    cores: tuple[int, ...] = (SERVER_CORE,),
) -> Iterator[Server]:  # fmt: skip
    """The contender on a free port, with a folder of its own that goes when it does."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        setup = Setup(Path(folder), free_port(), length, close, batch, accounts)
        contender.prepare(setup)
        command = [argument for argument in map(setup.fill, contender.command) if argument]
        with running(command, setup.port, cores) as server:
            yield server
