"""The end: a hook or a task that hangs is left behind, and the others still have theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_files import Modules

from reactor import app as app_module
from reactor.errors import StartError
from reactor.testing import TestApp

HANGING = """
    from reactor import Cancelled, sleep
    log = []

    def setup(plugin, options):
        async def hangs():
            await sleep(100_000)

        async def swallows():
            while True:
                try:
                    await sleep(100_000)
                except Cancelled:
                    log.append("swallowed")
                    await sleep(3)

        plugin.on_start(lambda: plugin.spawn(swallows()) and None)
        plugin.on_stop(lambda: log.append("the first hook runs last"))
        plugin.on_stop(hangs)
"""


def test_a_stop_hook_and_a_task_that_hang_hold_nobody_up_for_ever(modules: Modules, tmp_path: Path) -> None:
    name = modules.write(HANGING)
    with TestApp({"plugin:hanging": {"use": name}}, state_dir=tmp_path / "var") as app:
        log = __import__(name).log
    assert log[-1] == "the first hook runs last"
    left_behind = [line for line in app.log_lines if "left behind" in line]
    assert len(left_behind) == 2 and "a stop hook failed" in left_behind[1]


@pytest.mark.parametrize("allowed", [40, 64])
def test_too_few_open_files_are_an_error_that_says_so(
    allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "descriptor_limit", lambda: allowed)
    with pytest.raises(StartError, match=f"allows {allowed} open files.*ulimit"):
        TestApp({}, state_dir=tmp_path / "var")
