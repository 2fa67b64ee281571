"""What a request is called, so that its lines in all the logs it passes can be found by one word.

A name is the process's own beginning and a number: unlike any other, cheap, and no secret. Who names many at once takes
a block of names: one beginning for all, and as many endings, which need not be made. A name that came with the request
is taken over from trusted proxies only (`Request.believe`), and only if it is harmless wherever it is written.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, repeat
from operator import add
from typing import Final

from reactor.sansio.headers import Headers

FIELD: Final = "X-Request-ID"

_beginning: Final = secrets.token_hex(6)
_blocks: Final = count()
_endings: Final = [f"{number:03x}" for number in range(4096)]

# UUIDs, ULIDs, base64, and what else proxies make; nothing that a log, a shell or a page could take amiss.
_is_harmless = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}").fullmatch


def _all_names() -> Iterator[Iterator[str]]:
    """4,096 names at a time: a number is formatted once for all of them, and what remains is a concatenation in C."""
    while True:
        yield map(add, repeat(new_block()), _endings)


def new_block() -> str:
    """What only the names of one block begin with."""
    return f"{_beginning}-{next(_blocks):x}"


def endings(least: int) -> Sequence[str]:
    """What the names of a block end with, for so many at least. Up to 4,096 cost nothing."""
    return _endings if least <= len(_endings) else [f".{number:x}" for number in range(least)]


# `new_id()` is a name that no other request has.
new_id: Final[Callable[[], str]] = chain.from_iterable(_all_names()).__next__


def given_id(headers: Headers) -> str:
    """The name in a request's own fields; "" if there is none that can be used."""
    given = headers.get(FIELD.lower())
    return given if _is_harmless(given) else ""


def id_line(name: str) -> bytes:
    """The line that tells it in the answer."""
    return f"{FIELD}: {name}\r\n".encode("ascii")
