"""Plugins as modules that a test writes: named once, imported like any third party's, gone after the test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

_number = count()


class Modules:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[str] = []

    def write(self, source: str, name: str = "") -> str:
        """A module with this text; its name."""
        name = name or f"made_plugin_{next(_number)}"
        (self.directory / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        self.made.append(name)
        return name


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    directory = tmp_path / "modules"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    made = Modules(directory)
    yield made
    for name in made.made:
        sys.modules.pop(name, None)
