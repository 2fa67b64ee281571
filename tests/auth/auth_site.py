"""The login plugin with a third party's beside it, which keeps the requests that the guards let in."""

from __future__ import annotations

import base64
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reactor import Plugin, Request, Response
from reactor.testing import Answer, TestApp

RIGHT = {"username": "admin", "password": "password"}


class Site:
    """One process. Several of them share the state directory."""

    def __init__(self, directory: Path, options: dict[str, str]) -> None:
        self.requests: list[Request] = []
        module = types.ModuleType(f"holds_requests_{id(self)}")
        module.setup = self._setup  # type: ignore[attr-defined]
        self._use = module.__name__
        sys.modules[self._use] = module
        self.app = TestApp(self.sections(options), state_dir=directory / "var", directory=directory)
        self.app.__enter__()

    def sections(self, options: dict[str, str]) -> dict[str, dict[str, str]]:
        return {"plugin:auth": options, "plugin:held": {"use": self._use}}

    def _setup(self, plugin: Plugin, options: None) -> None:
        def hold(request: Request) -> Response:
            self.requests.append(request)
            return Response(request.user or "")

        for path, guard in (("/accounts", "login"), ("/people", "person"), ("/all", None)):
            plugin.route("GET POST", path, hold, guard=guard)

    def close(self) -> None:
        self.app.__exit__(None, None, None)
        del sys.modules[self._use]

    def login(self, form: dict[str, str] | None = None, path: str = "/login", cookie: str = "") -> str:
        """The Cookie header for what follows."""
        return cookies(self.app.post(path, form=form or RIGHT, headers={"Cookie": cookie} if cookie else {}))

    def guest(self, name: str) -> str:
        return self.login({"name": name}, "/guest")

    def status(self, cookie: str, path: str = "/accounts") -> int:
        return self.app.get(path, headers={"Cookie": cookie}).status

    def watch(self, heard: list[str], path: str = "/people", **headers: str) -> Callable[[], None]:
        """Watch the login of a new request."""
        assert self.app.get(path, headers=headers).status == 200
        unwatch: Callable[[], None] = self.app.service("sessions").watch(self.requests[-1], heard.append)
        return unwatch


def cookies(answer: Answer) -> str:
    assert answer.status in (200, 303), answer
    return "; ".join(line.partition(";")[0] for line in answer.headers.all("set-cookie"))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


Sites = Callable[..., Site]


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("the page")
    made: list[Site] = []

    def start(**options: str) -> Site:
        made.append(Site(tmp_path, options))
        return made[-1]

    yield start
    for site in made:
        site.close()
