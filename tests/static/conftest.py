"""The site that every test of the static files has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from static_site import Site, open_files


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with an index page, a style sheet and a large file; no descriptor may be left at the end."""
    (tmp_path / "www").mkdir()
    made = Site(tmp_path)
    made.write("index.html", "<h1>home</h1>")
    made.write("assets/style.css", "body {}")
    made.write("big.bin", bytes(range(256)) * 1024)
    before = open_files()
    yield made
    assert open_files() == before
