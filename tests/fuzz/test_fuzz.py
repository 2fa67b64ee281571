"""A short run of each target, what was found before, and whether the fuzzer itself finds what it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from fuzzer import Fuzzer, Target

import reactor.sansio.cookies
from reactor.sansio.cookies import parse_cookies

FOUND = sorted((Path(__file__).resolve().parent / "found").glob("*"))
SECONDS = 5.0
BY_NAME = {target.name: target for target in TARGETS}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_short_run_finds_nothing(name: str) -> None:
    fuzzer = Fuzzer(BY_NAME[name])
    failure = fuzzer.run(SECONDS)
    assert failure is None, f"{failure.error}\n{failure.data!r}"
    assert fuzzer.runs > len(BY_NAME[name].seeds) and len(fuzzer.corpus) > 1


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_before_stays_mended(path: Path) -> None:
    BY_NAME[path.name.rpartition("-")[0]].run(path.read_bytes())


def test_coverage_leads_to_what_chance_would_not_find() -> None:
    """Six characters in order: one in 10^14 by chance."""

    def maze(data: bytes) -> None:
        parse_cookies("a=1")
        _steps(data)

    import test_fuzz

    fuzzer = Fuzzer(Target("maze", maze, [test_fuzz], [b"......"], [b"a"]))
    failure = fuzzer.run(60.0, runs=400_000)
    assert failure is not None and failure.error == "ZeroDivisionError: found"
    assert failure.data == b"[0a:]="


def _steps(data: bytes) -> None:
    if data[0:1] != b"[":
        return
    if data[1:2] != b"0":
        return
    if data[2:3] != b"a":
        return
    if data[3:4] != b":":
        return
    if data[4:5] != b"]":
        return
    if data[5:6] != b"=":
        return
    raise ZeroDivisionError("found")


def test_a_failure_is_made_small() -> None:
    def bad(data: bytes) -> None:
        if b"!" in data:
            raise ValueError("no")

    fuzzer = Fuzzer(Target("bad", bad, [reactor.sansio.cookies], [b"x" * 500 + b"!" + b"y" * 500]))
    failure = fuzzer.run(5.0)
    assert failure is not None and failure.data == b"!"
