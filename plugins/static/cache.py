"""Small files, held as finished responses until they change.

A page is believed for a second (`HOLD`); after that the next request for it looks whether the file is still the same
one. The order of the table is that of these looks, not of the requests, so that a hit costs one dictionary lookup and
one comparison of clocks, and the page that falls out when room is needed is one that nobody has wanted for longest.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final, NamedTuple

from plugins.static.conditional import Validators
from reactor import Response

# Seconds. A changed file shows after this long at most; a page costs at most one `stat` in this time.
HOLD: Final = 1.0

# Seconds. File systems count time in ticks: a file that was written a moment ago may be written again without a new
# mtime. Until it has rested this long, only reading it tells whether it changed.
SETTLED: Final = 2.0

# What a page costs beside its bytes: the responses, their heads, the key.
_OVERHEAD: Final = 2048

Identity = tuple[int, int, int, int, int]


def identity(of: os.stat_result | str) -> Identity | None:
    """What stays equal as long as nobody writes to a file, replaces it or changes its rights; None: it is not there."""
    try:
        status = os.stat(of) if isinstance(of, str) else of
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Form(NamedTuple):
    """A file's answers in one coding: `whole` for most, `unchanged` for who has it already. `kind`: its media type."""

    whole: Response
    unchanged: Response
    validators: Validators
    kind: str


class Page:
    """A small file: as it is, and compressed, by coding. It is good as long as its sources stay as they were."""

    __slots__ = ("check_at", "codings", "form", "others", "sources")

    def __init__(self, form: Form, others: dict[str, Form], sources: dict[str, Identity | None] | None) -> None:
        """`sources` are the files that it depends on, by name; None for a file that has not settled yet."""
        self.form = form
        self.others = others
        self.codings = tuple(others)
        self.sources = sources
        self.check_at = 0.0

    @property
    def weight(self) -> int:
        return sum(len(form.whole.body) + _OVERHEAD for form in (self.form, *self.others.values()))

    def is_current(self) -> bool:
        return self.sources is not None and all(identity(place) == was for place, was in self.sources.items())


class Cache:
    """Pages by the address they are asked for, `size` bytes of them at most."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self.pages: OrderedDict[str, Page] = OrderedDict()

    def checked(self, address: str, now: float) -> Page | None:
        """The page if its file is still the same (good for another while then); else it is forgotten."""
        page = self.pages.get(address)
        if page is None:
            return None
        if not page.is_current():
            self.forget(address)
            return None
        page.check_at = now + HOLD
        self.pages.move_to_end(address)
        return page

    def add(self, address: str, page: Page, now: float) -> None:
        """Remember `page`, and forget as many old ones as that needs."""
        self.forget(address)
        page.check_at = now + HOLD
        self.pages[address] = page
        self.used += page.weight
        while self.used > self.size:
            self.forget(next(iter(self.pages)))

    def forget(self, address: str) -> None:
        page = self.pages.pop(address, None)
        if page is not None:
            self.used -= page.weight
