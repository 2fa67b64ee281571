"""Cookies (RFC 6265): read leniently as browsers send them, written strictly.

Reading keeps the *first* value of a name: browsers send the most specific path first (5.4), and a cookie that an
attacker planted with a wider path must not replace it.
"""

from __future__ import annotations

import re

from reactor.errors import LocalProtocolError
from reactor.sansio.headers import TOKEN

_is_token = re.compile(TOKEN).fullmatch
_is_value = re.compile(r"[!#-+\--:<-\[\]-~]*").fullmatch  # cookie-octet, RFC 6265 4.1.1
_is_attribute = re.compile(r"[ -:<-~]*").fullmatch  # any character but controls and ";"

# Browsers keep at least 50 cookies a host (RFC 6265 6.1); what is beyond is not ours.
MAX_COOKIES = 128


def parse_cookies(header: str) -> dict[str, str]:
    """`"a=1; b=2"` -> `{"a": "1", "b": "2"}`. What is no pair is left out; surrounding quotes are taken off."""
    cookies: dict[str, str] = {}
    if not header:
        return cookies
    for part in header.split(";", MAX_COOKIES)[:MAX_COOKIES]:
        name, equals, value = part.partition("=")
        name = name.strip(" \t")
        if not equals or not name or name in cookies:
            continue
        value = value.strip(" \t")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        cookies[name] = value
    return cookies


def format_cookie(
    name: str,
    value: str,
    *,
    path: str = "/",
    max_age: int | None = None,
    http_only: bool = False,
    same_site: str | None = None,
    secure: bool = False,
) -> str:
    """The value of a Set-Cookie field (RFC 6265 4.1). `max_age=0` deletes the cookie. Raises `LocalProtocolError`."""
    if not _is_token(name) or not _is_value(value) or not _is_attribute(path):
        raise LocalProtocolError(f"cookie {name!r}: a character in name, value or path is not allowed")
    if same_site not in (None, "Lax", "Strict", "None"):
        raise LocalProtocolError(f"cookie {name!r}: SameSite is Lax, Strict or None, not {same_site!r}")
    parts = [f"{name}={value}", f"Path={path}"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if http_only:
        parts.append("HttpOnly")
    if same_site:
        parts.append(f"SameSite={same_site}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)
