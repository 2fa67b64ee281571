"""Forms and query strings: `application/x-www-form-urlencoded` (WHATWG URL 5.1), bounded.

The first value of a repeated name wins in `parse_form`; `parse_pairs` keeps all of them in order.
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from reactor.errors import RemoteProtocolError

FORM_TYPE = "application/x-www-form-urlencoded"

# A form of ours has two fields, a generous one fifty; over 1,000 pairs is somebody filling our dictionaries.
MAX_PAIRS = 1_000


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Decode `a=1&b=2`. Bytes that are no UTF-8 become U+FFFD, as in every browser. Over MAX_PAIRS: 400."""
    if not text:
        return []
    if text.count("&") >= MAX_PAIRS:
        raise RemoteProtocolError(f"more than {MAX_PAIRS} form fields")
    pairs = []
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def parse_form(text: str) -> dict[str, str]:
    """Like `parse_pairs`, as a dictionary; the first value of a name wins."""
    form: dict[str, str] = {}
    for name, value in parse_pairs(text):
        form.setdefault(name, value)
    return form


def _decode(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
