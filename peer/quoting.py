"""Ids, names and channels of others as they stand in a line: as they are, or in quotes.

Whoever chooses an id may choose `65113e1d: hi`, `you`, or one that looks like somebody else's in another script.
Between quotes such a one is seen for what it is; what is in no need of quotes has nothing that could end it, or go on
as a line of the program. Control characters are left to `reactor.escape`, as in all that is shown.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# The colon is for ids that are addresses, as original peers may have them: 10.0.0.3:9101, [::1]:9101.
_plain_id = re.compile(r"(?:[A-Za-z0-9_.@+-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?").fullmatch
_SIGNS: Final = frozenset("_.@+-#'\u2019&")
# Letters and marks that nobody sees: fillers, joiners, variation selectors (`Default_Ignorable_Code_Point`).
_unseen = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
).search
# What the program itself calls somebody.
_TAKEN: Final = ("you",)


def show_id(peer_id: str) -> str:
    """ASCII only, so that no two ids look alike; what is not plain in quotes, as JSON has it."""
    is_plain = _plain_id(peer_id) and not _is_taken(peer_id)
    return peer_id if is_plain else _quote(peer_id).encode("ascii", "backslashreplace").decode()


def show_name(name: str) -> str:
    """The name of a person or a channel: words of any script with single spaces between them, or in quotes."""
    is_plain = all(map(_is_word, name.split(" "))) and not _is_taken(name) and not _unseen(name)
    return name if is_plain else _quote(name)


def _quote(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _is_taken(text: str) -> bool:
    return text.casefold() in _TAKEN


def _is_word(word: str) -> bool:
    """With marks: in some scripts a vowel is one."""
    return bool(word) and all(one.isalnum() or one in _SIGNS or unicodedata.category(one)[0] == "M" for one in word)
