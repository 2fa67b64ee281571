"""tools/need-debian.sh: silent where the programs are, else it says which packages to install."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "need-debian.sh"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH of its own, where `id -u` says that we are not root."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "there").write_text("#!/bin/sh\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    return tmp_path


def need(programs: Path, *names: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/sh", SCRIPT, *names], env={"PATH": str(programs)}, capture_output=True, text=True, timeout=10
    )
    return done.returncode, done.stdout, done.stderr


def test_what_is_there_is_no_word_worth(programs: Path) -> None:
    assert need(programs, "there") == (0, "", "")


def test_what_is_missing_is_named_to_who_may_not_install_it(programs: Path) -> None:
    words = "these programs are needed: one two. On Debian: sudo apt-get install one two\n"
    assert need(programs, "one", "there", "two") == (1, "", words)
