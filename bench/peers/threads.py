"""The thread-per-link peer as a sender that is measured; the same questions as to a Speaker of `nodes`.

The main thread writes the broadcasts, as a terminal's would; the links' threads count what is acknowledged. A broadcast
has the same number on every link, as all links are there before the first.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence

from bench.peers.nodes import PATIENCE, TEXT
from bench.peers.results import Figures, figures
from bench.reference.link import Link
from bench.reference.peer import ThreadPeer


class ThreadSpeaker(ThreadPeer):
    def __init__(self) -> None:
        super().__init__("speaker")
        self._posted = 0
        self._due: dict[int, list[float]] = {}  # by number: when it was due, how many are to have it yet
        self._took: list[float] = []
        self._counting = threading.Lock()
        self._finished = threading.Semaphore(0)

    def _take_all(self, link: Link, lines: list[bytes]) -> None:
        before = link.delivered
        super()._take_all(link, lines)
        if link.delivered > before:
            with self._counting:
                for number in range(before + 1, link.delivered + 1):
                    self._count(number)

    def _count(self, number: int) -> None:
        broadcast = self._due.get(number)
        if broadcast is None:
            return
        broadcast[1] -= 1
        if not broadcast[1]:
            self._took.append(time.perf_counter() - broadcast[0])
            del self._due[number]
            self._finished.release()

    def _post(self, due: float, links: int) -> None:
        self._posted += 1
        self._due[self._posted] = [due, links]
        self.broadcast(TEXT)

    def full(self, seconds: float, window: int) -> Figures:
        """As many as it can, with `window` broadcasts under way."""
        links, self._took = self.links, []
        clock, cpu = time.perf_counter(), time.process_time()
        for _ in range(window):
            self._post(time.perf_counter(), links)
        while self._finished.acquire(timeout=PATIENCE) and (now := time.perf_counter()) < clock + seconds:
            self._post(now, links)
        return self._figures(clock, cpu, links, window - 1)

    def paced(self, dues: Sequence[float]) -> Figures:
        """One for each byte of standard input, which comes when the broadcast is due."""
        links, self._took = self.links, []
        cpu, left = time.process_time(), deque(dues)
        while left:
            for _ in os.read(0, len(left)):
                self._post(left.popleft(), links)
        return self._figures(dues[0], cpu, links, len(dues))

    def _figures(self, start: float, cpu: float, links: int, under_way: int) -> Figures:
        """When those that are under way have come too, or will not."""
        while under_way and self._finished.acquire(timeout=PATIENCE):
            under_way -= 1
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        failed = len(self._due) * links
        self._due.clear()
        return figures(self._took, links, seconds, cpu, failed)
