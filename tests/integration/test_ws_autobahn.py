"""The Autobahn test suite against a server of ours: all of framing, and a part of what takes long.

What is left out are the large messages (9.*) and most sizes of compression (12.*, 13.*), which take minutes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import kosoku
import pytest
from server import Server, write_config

PLUGIN = '''
"""Says everything back."""

def setup(plugin, options):
    async def echo(ws):
        async for message in ws:
            ws.send(message)
            await ws.drained()

    for path in ("/", "/{rest...}"):
        plugin.websocket(path, echo, max_message=1024 * 1024, deflate=True)
'''
CASES = [*(f"{group}.*" for group in range(1, 8)), "10.*", "12.1.1", "12.3.5", "13.1.1", "13.3.5", "13.7.1"]
# 6.4.3 and 6.4.4 cut one frame, and we look at text once the frame is whole. 7.1.6 and 7.13.* ask what is not defined.
NOT_STRICT = {"6.4.3", "6.4.4"}
NOT_DEFINED = {"7.1.6", "7.13.1", "7.13.2"}


async def run(server: Server) -> list[kosoku.CaseResult]:
    try:
        return await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{server.port}/", CASES, concurrency=4)
    except kosoku.FailureError as error:
        return list(error.results)


# The suite leaves its own data files to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file.*kosoku:ResourceWarning")
def test_the_autobahn_suite(tmp_path: Path) -> None:
    (tmp_path / "echoes.py").write_text(PLUGIN)
    plugins = {"auth": "", "static": "", "tracker": "", "echo": "use = echoes"}
    with Server(write_config(tmp_path / "config.ini", plugins)) as server:
        results = asyncio.run(run(server))
    assert len(results) > 250
    bad = [f"{case.case_id}: {case.result} {case.result_close}" for case in results if not case.passed]
    assert bad == []
    odd = {case.case_id for case in results if case.behavior.value != "OK" or case.behavior_close.value != "OK"}
    assert odd <= NOT_STRICT | NOT_DEFINED
