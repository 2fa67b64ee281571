"""The request target: the four forms of RFC 9112 3.2, taken apart once and normalised once.

A path is compared by its *normal form* (RFC 3986 6.2.2): percent-escapes of unreserved characters are decoded, the
others keep their escape in upper case. So `/%6Cogin` is `/login`, and `/a%2Fb` is never `/a/b`. What a handler gets
as a parameter is decoded from there, exactly once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from reactor.errors import RemoteProtocolError

# Visible ASCII without "#": a fragment is never sent (RFC 9112 3.2.1). Browsers do send " | ^ ` { } unescaped.
_is_visible = re.compile(r"[!\"$-~]+").fullmatch
_escape = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# RFC 3986 3.2.2/3.2.3: a registered name or IPv4 address, or an IP literal in brackets, and a port.
# Never empty, and no userinfo: RFC 9110 4.2.1 and 4.2.4 want both treated as errors. Underscores occur in real names.
_authority = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,255})(?::([0-9]{0,5}))?")
_absolute = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)


class Target(NamedTuple):
    """`path` is in normal form, `query` raw, `authority` only there in absolute and authority form."""

    path: str
    query: str
    authority: str | None = None
    scheme: str | None = None


@lru_cache(256)
def parse_authority(text: str) -> tuple[str, int | None]:
    """`"Example.org:80"` -> `("example.org", 80)`; raises `RemoteProtocolError` for what is not `host[:port]`."""
    match = _authority.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("not a valid host")
    host, port = match.group(1).lower(), match.group(2)
    if port and int(port) > 65535:
        raise RemoteProtocolError("port above 65535")
    return host, int(port) if port else None


def normal_path(path: str) -> str:
    """Normal form of a path that may hold escapes; an escape that is none is an error."""
    if "%" not in path:
        return path
    return _escape.sub(_normal_escape, path)


def _normal_escape(match: re.Match[str]) -> str:
    char = _escaped(match)
    return char if char in _UNRESERVED else match.group().upper()


def _escaped(match: re.Match[str]) -> str:
    """The character (one byte) that an escape stands for."""
    digits = match.group(1)
    if digits is None:
        raise RemoteProtocolError("'%' in the path is not followed by two hex digits")
    return chr(int(digits, 16))


def decode_segment(segment: str) -> str:
    """Percent-decode once, as UTF-8; raises `RemoteProtocolError` if it is not UTF-8."""
    if "%" not in segment:
        return segment
    raw = _escape.sub(_escaped, segment)
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise RemoteProtocolError("the path is not UTF-8") from None


def parse_target(method: str, target: str) -> Target:
    """Take a request target apart. Raises `RemoteProtocolError` (400) for what RFC 9112 3.2 does not allow.

    Absolute form is accepted for every method (3.2.2); its authority wins over Host. Asterisk form goes with OPTIONS
    only, authority form with CONNECT only, and CONNECT with nothing else.
    """
    if not _is_visible(target):
        raise RemoteProtocolError("a character in the request target is not allowed")
    if method == "CONNECT":
        if parse_authority(target)[1] is None:
            raise RemoteProtocolError("CONNECT wants host:port")
        return Target("", "", target)
    if target[0] == "/":
        path, _, query = target.partition("?")
        return Target(normal_path(path), query)
    if target == "*":
        if method != "OPTIONS":
            raise RemoteProtocolError("the target * goes with OPTIONS only")
        return Target("*", "")
    match = _absolute.fullmatch(target)
    if match is None or match.group(1).lower() not in ("http", "https", "ws", "wss"):
        raise RemoteProtocolError("the request target is neither a path nor an http URL")
    scheme, authority, rest = match.groups()
    parse_authority(authority)
    path, _, query = rest.partition("?")
    if path and path[0] != "/":
        raise RemoteProtocolError("the URL's path does not begin with /")
    # RFC 9112 3.2.4: OPTIONS for an authority without path and query is the asterisk form of the last hop.
    default = "*" if method == "OPTIONS" and not rest else "/"
    return Target(normal_path(path) or default, query, authority, scheme.lower())
