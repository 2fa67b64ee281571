"""What a handler's result means: the Response that it stands for.

    {"a": 1}  ["a"]                  JSON
    "text"  b"bytes"                 as they are; a whole page (<!doctype html>, <html>) as one
    None                             no body
    (404, "nothing here")            a status, and any of these
    (200, {"a": 1}, {"id": "7"})     and cookies
    Response(…)                      itself
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reactor.http.message import HTML, TEXT, Response
from reactor.sansio.cookies import format_cookie

# What the server says itself of every answer.
_SERVERS_OWN = frozenset({"connection", "content-length", "date", "transfer-encoding"})
_PAGES = ("<!doctype html", "<html")
_LONGEST_START = 64  # characters in which a page shows that it is one
_WITHOUT_BODY = (204, 304)


class Draft:
    """What a handler that takes a `response` may say beside its result, or instead of one: `status_code` (`status`),
    `headers` and `cookies` (both name -> value), `body` (`content`, anything that may be a result).
    """

    def __init__(self) -> None:
        self.status_code = 200
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}
        self.body: Any = None

    @property
    def status(self) -> int:
        """The same as `status_code`."""
        return self.status_code

    @status.setter
    def status(self, status: int) -> None:
        self.status_code = status

    @property
    def content(self) -> Any:
        """The same as `body`."""
        return self.body

    @content.setter
    def content(self, content: Any) -> None:
        self.body = content

    _content = content


def as_response(result: Any, draft: Draft | None = None) -> Response:
    """The Response for what a handler gave, with what it told `draft`. TypeError, in words, if it means nothing;
    LocalProtocolError for headers and cookies that must not be sent.
    """
    draft = draft or Draft()
    if isinstance(result, Response):
        return result.with_headers(*_lines(draft, ())) if draft.headers or draft.cookies else result
    status, data, cookies = _parts(result, draft)
    if data is None or data is draft:
        data = draft.body
    lines = list(_lines(draft, cookies))
    if status in _WITHOUT_BODY:
        return Response.empty(status, lines)
    body, content_type = _encoded(data)
    given = [value for name, value in draft.headers.items() if name.lower() == "content-type"]
    return Response(body, status, lines, content_type=given[-1] if given else content_type)


def _parts(result: Any, draft: Draft) -> tuple[int, Any, Any]:
    if not isinstance(result, tuple):
        return draft.status_code, result, ()
    if len(result) not in (2, 3) or isinstance(result[0], bool) or not isinstance(result[0], int):
        kinds = ", ".join(type(part).__name__ for part in result)
        raise TypeError(f"a handler gave ({kinds}): a tuple is (status, data) or (status, data, cookies)")
    return result[0], result[1], result[2] if len(result) == 3 else ()


def _encoded(data: Any) -> tuple[bytes | str, str | None]:
    """The body, and its type as far as it shows."""
    if data is None:
        return b"", None
    if isinstance(data, dict | list):
        response = Response.json(data)
        return response.body, response.headers["content-type"]
    if isinstance(data, str):
        return data, HTML if _is_page(data[:_LONGEST_START]) else TEXT
    if isinstance(data, bytes | bytearray | memoryview):
        data = bytes(data)
        return data, HTML if _is_page(data[:_LONGEST_START].decode("latin-1")) else None
    raise TypeError(
        f"a handler gave a thing of type {type(data).__name__}: a result is a dict, list, str, bytes, None, Response, "
        f"(status, data) or (status, data, cookies)"
    )


def _is_page(start: str) -> bool:
    return start.lstrip("\ufeff \t\r\n").lower().startswith(_PAGES)


def _lines(draft: Draft, cookies: Any) -> Iterator[tuple[str, str]]:
    """The header lines beside those that go with the body."""
    for name, value in draft.headers.items():
        if name.lower() not in _SERVERS_OWN and name.lower() != "content-type":
            yield name, str(value)
    for line in (*_cookie_lines(draft.cookies), *_cookie_lines(cookies)):
        yield "Set-Cookie", line


def _cookie_lines(cookies: Mapping[str, Any] | Iterable[str] | str | None) -> Iterator[str]:
    """From name -> value, or whole `name=value; Path=/` lines. A value with attributes behind it is left as it is."""
    if isinstance(cookies, str):
        yield cookies
    elif isinstance(cookies, Mapping):
        for name, value in cookies.items():
            text = str(value)
            yield f"{name}={text}" if ";" in text else format_cookie(name, text)
    elif cookies is not None:
        yield from cookies
