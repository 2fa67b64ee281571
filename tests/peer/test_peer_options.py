"""The command line of a peer: what cannot be is said before anything is opened."""

from __future__ import annotations

import pytest

from peer.__main__ import parse


@pytest.mark.parametrize(
    "given",
    ["--burst 0", "--burst x", "--burst 1.5", "--rate -1", "--rate nan", "--rate inf", "--rate x", "--max-links 0"],
)
def test_a_limit_that_would_stop_all_messages_is_no_limit(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    option, number = given.split()
    with pytest.raises(SystemExit) as ended:
        parse(["9101", f"{option}={number}"])
    assert ended.value.code == 2
    assert f"argument {option}: {number} is no number from " in capsys.readouterr().err


def test_limits_are_taken_as_they_are_given() -> None:
    given = parse(["9101", "--burst", "10", "--rate", "0", "--max-links", "1000"])
    assert (given.burst, given.rate, given.max_links) == (10, 0.0, 1000)
