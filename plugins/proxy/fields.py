"""The header fields of a message that is passed on: what belongs to one connection stays there (RFC 9110 7.6.1).

A message is never copied. Its head is written anew from what our parser has understood, with framing of our own, so
there is nothing in it that the next parser could understand in another way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from reactor import CHUNKED, Headers, Request, RequestHead, ResponseHead

# RFC 9110 7.6.1, and the two of RFC 9112 6 that our own framing replaces.
HOP_BY_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "content-length",
    "proxy-authenticate", "proxy-authorization",
})  # fmt: skip
FORWARDING: Final = frozenset({
    "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-server",
    "x-forwarded-prefix", "x-forwarded-by", "x-real-ip", "x-client-ip", "x-original-forwarded-for",
})  # fmt: skip
# `Connection: authorization` would let a client take away what the server behind decides by. What is meant for the last
# recipient is no connection option (RFC 9110 7.6.1), so these stay, whatever that field says.
PROTECTED: Final = FORWARDING | frozenset({
    "accept", "accept-encoding", "accept-language", "access-control-request-headers", "access-control-request-method",
    "age", "allow", "authorization", "cache-control", "content-disposition", "content-encoding", "content-language",
    "content-location", "content-range", "content-security-policy", "content-type", "cookie", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "last-modified", "location", "max-forwards", "origin", "pragma", "range", "referer", "retry-after",
    "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "server", "set-cookie", "strict-transport-security",
    "trailer", "user-agent", "vary", "via", "www-authenticate",
})  # fmt: skip
# `Proxy` becomes HTTP_PROXY for a CGI program, and then names the proxy that this takes (CVE-2016-5385).
_ANEW: Final = HOP_BY_HOP | {"host", "expect", "via", "proxy"}
_BODY_EXPECTED: Final = ("POST", "PUT", "PATCH")
_ORIGIN: Final = re.compile("[^:]*://[^/?]*")
_VARIABLE: Final = re.compile(r"\$[A-Za-z_]+|\{\{ *[A-Za-z_]+ *\}\}")


def listed(headers: Headers) -> frozenset[str]:
    """What `Connection` says belongs to the connection, and may say."""
    if "connection" not in headers.index:
        return frozenset()
    return frozenset(headers.tokens("connection")) - PROTECTED


@lru_cache(1024)  # the same few names come with every request
def canonical(name: str) -> str:
    """A name as programs compare it: CGI and WSGI know no difference between `-` and `_`, so neither may be used to get
    around a rule for the other.
    """
    name = name.lower()
    return name.replace("_", "-") if "_" in name else name


# -- requests --------------------------------------------------------------------------------------------------------


class Variables:
    """What a value of proxy_set_header may have in it. ValueError for any other variable."""

    OF_REQUEST: Final = frozenset({"remote_addr", "scheme", "proxy_add_x_forwarded_for", "request_id"})
    KNOWN: Final = OF_REQUEST | {"host", "http_host"}

    def __init__(self, text: str) -> None:
        self._text = text
        names = {self._name(word) for word in _VARIABLE.findall(text)}
        unknown = sorted(names - self.KNOWN)
        if unknown:
            raise ValueError(f"there is no variable ${unknown[0]}; there are ${', $'.join(sorted(self.KNOWN))}")
        self.is_of_request = not names.isdisjoint(self.OF_REQUEST)
        self._is_constant = not names

    @staticmethod
    def _name(word: str) -> str:
        return word.strip("${} ").lower()

    def fill(self, request: Request) -> str:
        """The value for one request."""
        if self._is_constant:
            return self._text
        return _VARIABLE.sub(lambda match: self._value(self._name(match.group()), request), self._text)

    @staticmethod
    def _value(name: str, request: Request) -> str:
        if name == "remote_addr":
            return request.client
        if name == "scheme":
            return "https" if request.secure else "http"
        if name == "proxy_add_x_forwarded_for":
            return forwarded_for(request)
        if name == "request_id":
            return request.id
        return host_of(request.head)


def host_of(head: RequestHead) -> str:
    """The Host to pass on: as it was sent, unless the target names another (RFC 9112 3.2.2)."""
    sent = head.headers.index.get("host", "")
    return sent if head.target[0] == "/" or sent.lower() == head.host else head.host


def target_of(head: RequestHead) -> str:
    """In origin form, as the client wrote it; an absolute one loses its authority, which is in Host."""
    target = head.target
    if target[0] == "/":
        return target
    if head.path == "*":
        return "*"
    path = _ORIGIN.sub("", target, count=1)
    return path if path[:1] == "/" else "/" + path


def write_request(
    request: Request, name: str, overridden: frozenset[str], set_headers: Iterable[tuple[str, str]]
) -> str:
    """The head of a request as it goes on, but for forwarding fields, framing and the empty line. `name` is ours in
    Via; `set_headers` replace all of their name.
    """
    head = request.head
    headers = head.headers
    index = headers.index
    lines = [f"{head.method} {target_of(head)} HTTP/1.1\r\n"]
    if "host" not in overridden:
        lines.append(f"Host: {host_of(head)}\r\n")
    dropped = _dropped(overridden)
    if "connection" in index:
        dropped = dropped | listed(headers)
    lines += [f"{field}: {value}\r\n" for field, value in headers.as_written() if canonical(field) not in dropped]
    lines += [f"{field}: {value}\r\n" for field, value in set_headers]
    before = index["via"] + ", " if "via" in index else ""
    lines.append(f"Via: {before}{'1.0' if head.version < 11 else '1.1'} {name}\r\n")
    if head.expects_continue:
        lines.append("Expect: 100-continue\r\n")
    if "te" in index and "trailers" in headers.tokens("te"):
        lines.append("TE: trailers\r\n")
    return "".join(lines)


@lru_cache(256)
def _dropped(overridden: frozenset[str]) -> frozenset[str]:
    return _ANEW | FORWARDING | overridden


def framing(head: RequestHead, upgrade: bool) -> str:
    """What a request says of its body and of its connection, and the empty line."""
    parts = []
    if head.length == CHUNKED:
        parts.append("Transfer-Encoding: chunked\r\n")
    elif head.length or head.method in _BODY_EXPECTED or "content-length" in head.headers.index:
        parts.append(f"Content-Length: {head.length}\r\n")
    if upgrade:
        parts.append("Connection: Upgrade\r\nUpgrade: websocket\r\n")
    elif "te" in head.headers.index and "trailers" in head.headers.tokens("te"):
        parts.append("Connection: TE\r\n")
    parts.append("\r\n")
    return "".join(parts)


# -- where it came from ----------------------------------------------------------------------------------------------


def forwarded_for(request: Request) -> str:
    """X-Forwarded-For with our peer at its end, and before it who is known to be behind that."""
    return _joined(_before(request, "x-forwarded-for", request.client), request.peer)


def _before(request: Request, field: str, client: str) -> str:
    """What goes before our own word in `field`. Of the fields that a trusted proxy has sent only the one in which it
    speaks is its own: another may be the client's, and is made anew of what is known.
    """
    if request.believed == field:
        return request.headers.get(field)
    return client if request.client != request.peer else ""


def _joined(before: str, own: str) -> str:
    return f"{before}, {own}" if before and own else before or own


def forwarding(request: Request, overridden: frozenset[str]) -> str:
    """The forwarding fields for the server behind. What was there stays only if a trusted proxy had written it."""
    peer, secure, host = request.peer, request.secure, host_of(request.head)
    if not request.believed:
        return _fresh_forwarding(peer, secure, host, overridden)
    elements = _joined(_before(request, "forwarded", f"for={_node(request.client)}"), _element(peer, secure, host))
    if request.believed == "x-forwarded-for":
        host = request.headers.get("x-forwarded-host", host)
    return _written(forwarded_for(request), secure, host, elements, overridden)


@lru_cache(1024)
def _fresh_forwarding(peer: str, secure: bool, host: str, overridden: frozenset[str]) -> str:
    """For a request that comes from the client itself, as far as anybody knows."""
    return _written(peer, secure, host, _element(peer, secure, host), overridden)


def _written(addresses: str, secure: bool, host: str, elements: str, overridden: frozenset[str]) -> str:
    lines = (
        ("X-Forwarded-For", addresses), ("X-Forwarded-Proto", "https" if secure else "http"),
        ("X-Forwarded-Host", host), ("Forwarded", elements),
    )  # fmt: skip
    return "".join(f"{name}: {value}\r\n" for name, value in lines if value and name.lower() not in overridden)


def _element(peer: str, secure: bool, host: str) -> str:
    """What we say ourselves in Forwarded (RFC 7239)."""
    return f"for={_node(peer)};proto={'https' if secure else 'http'}" + (f';host="{host}"' if host else "")


def _node(address: str) -> str:
    """RFC 7239 6."""
    if not address:
        return "unknown"
    return f'"[{address}]"' if ":" in address else address


# -- answers ---------------------------------------------------------------------------------------------------------


def answer_head(head: ResponseHead, method: str, name: str, more: Sequence[tuple[str, str]] = ()) -> ResponseHead:
    """The head of an answer as it goes back."""
    version = "1.0" if head.version < 11 else "1.1"
    pairs = [*_end_to_end(head.headers), *more]
    pairs.append(("Via", f"{version} {name}"))
    return ResponseHead(head.status, Headers(pairs), length=_length(head, method), reason=head.reason.strip(" \t"))


def interim_head(head: ResponseHead) -> ResponseHead:
    """The same for a 1xx."""
    return ResponseHead(head.status, Headers(_end_to_end(head.headers)), reason=head.reason.strip(" \t"))


def _end_to_end(headers: Headers) -> list[tuple[str, str]]:
    dropped = HOP_BY_HOP | listed(headers) if "connection" in headers.index else HOP_BY_HOP
    return [(name, value) for name, value in headers.as_written() if name.lower() not in dropped]


def _length(head: ResponseHead, method: str) -> int | None:
    """What our own framing is to say: of a HEAD and a 304 what they say of the body they do not have."""
    if method == "HEAD" or head.status == 304:
        text = head.headers.get("content-length")
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    assert head.length is not None
    return head.length if head.length >= 0 else None


def trailer_fields(trailers: Headers) -> Headers:
    """Fields behind a body, as they go on: none that frames, routes or authorises (RFC 9110 6.5.1)."""
    if not len(trailers):
        return trailers
    refused = HOP_BY_HOP | PROTECTED
    return Headers([(name, value) for name, value in trailers.as_written() if canonical(name) not in refused])
