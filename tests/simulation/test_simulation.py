"""Whatever the network, the machines and the people do: each message is shown once or reported failed, each pair ends
with one link, and nothing stays in memory. `make simulate` does the same 10,000 times.
"""

from __future__ import annotations

import pytest
from simulate import report, world_of

SCHEDULES = 300
BLOCK = 20


@pytest.mark.parametrize("first", range(0, SCHEDULES, BLOCK))
def test_after_any_schedule_each_message_is_settled_and_each_pair_has_the_links_it_should(first: int) -> None:
    for seed in range(first, first + BLOCK):
        assert not (words := report(seed)), words


def test_the_same_seed_does_the_same() -> None:
    one, other = world_of(7, deep=True), world_of(7, deep=True)
    assert one.run() == other.run()
    assert one.log == other.log


def test_what_can_go_wrong_does() -> None:
    logs = []
    for seed in range(200, 210):
        world = world_of(seed)
        world.run()
        logs += world.log
    for what in ("cut ", "is killed", "loses its power", "stops for", "part ", "the disk", "the tracker", "quits"):
        assert any(what in line for line in logs), what
