"""Request and Response: what a handler is given and what it gives back.

From here upward text is `str`; bodies stay `bytes`. A Response is immutable once made, checked when it is made (a
header with a line break in it raises here, at the handler's own line) and may be returned any number of times.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

from reactor.errors import HTTPError, LocalProtocolError
from reactor.http.body import BodyStream, too_large
from reactor.http.defaults import brought
from reactor.http.forwarding import Trust, claimed_clients
from reactor.http.request_id import given_id, new_id
from reactor.sansio.forms import FORM_TYPE, parse_form
from reactor.sansio.head import RequestHead, ResponseHead
from reactor.sansio.headers import Headers

if TYPE_CHECKING:
    from reactor.core.transport import ConnectionProtocol
    from reactor.http.server import HTTPServer, Site

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
# A response keeps its assembled bytes beside its body up to this size; copying a larger one costs less than the send.
LARGEST_WIRE = 16 * 1024
# Heads up to these are kept; see `_common_head`.
LONGEST_COMMON = 256
MOST_COMMON = 8
_NO_TRAILERS = Headers()


class Request:
    """One request. `head` is the parsed head itself: immutable, and shared by equal requests.

    * `params`: what the route's pattern captured, decoded
    * `client`: the address the request came from, as text without a port. Where trusted proxies stand between
      (`[server] trusted_proxies`) it is what they say; `peer` is who has the connection
    * `believed`: the forwarding field that says so, in lower case; "" if there is none, or nobody whom we trust has
      written it. `forwarded`: that there are such fields, and none is believed
    * `secure`: whether it came encrypted, to us or to a trusted proxy
    * `user`: who it is from; None until a guard has said so
    * `id`: what it is called in the logs
    * `body`: the whole body, for plain handlers; `async` handlers call `await request.read()` or iterate `chunks()`
    """

    __slots__ = ("__weakref__", "_answer", "_block", "_body", "_id", "believed", "client", "head", "params", "peer",
                 "secure", "stream", "user")  # fmt: skip

    def __init__(
        self,
        head: RequestHead,
        client: str,
        params: Mapping[str, str],
        stream: BodyStream | None = None,
        secure: bool = False,
    ) -> None:
        self.head = head
        self.params = params
        self.client = self.peer = client
        self.believed = ""
        self.secure = secure
        self.stream = stream
        self.user: str | None = None
        self._body: bytes | None = b"" if stream is None else None
        self._id = ""  # with a name, `_block` has what it begins with
        self._answer: ResponseHead  # for who observes: see `HTTPServer.observe`

    def believe(self, trust: Trust) -> None:
        """Take over what trusted proxies say of where it is from."""
        self.client, self.secure, self.believed = trust.resolve(self.peer, self.secure, self.head.headers)
        if self.believed:
            self._id, self._block = given_id(self.head.headers), ""

    @property
    def forwarded(self) -> bool:
        """See above."""
        return self.head.forwarded and not self.believed

    @property
    def id(self) -> str:
        """What it is called in the logs: what a trusted proxy has called it (X-Request-ID), else a new name, which is
        made when it is first asked for. Unlike any other, but not secret.
        """
        if not self._id:
            self._id, self._block = new_id(), ""
        return self._block + self._id

    @property
    def claimed_clients(self) -> list[str]:
        """All addresses that forwarding fields name, whoever wrote them; "" for what is no address."""
        return claimed_clients(self.head.headers) if self.head.forwarded else []

    @property
    def method(self) -> str:
        """As it was sent: methods are case-sensitive (RFC 9110 9.1)."""
        return self.head.method

    @property
    def path(self) -> str:
        """In normal form, see `sansio.target`; still escaped."""
        return self.head.path

    @property
    def headers(self) -> Headers:
        """The fields of the head, names without regard to case."""
        return self.head.headers

    @property
    def cookies(self) -> Mapping[str, str]:
        """Name -> value. Shared by equal requests: do not change it."""
        return self.head.cookies

    @property
    def query(self) -> Mapping[str, str]:
        """The query string as name -> first value, decoded."""
        return self.head.query_form

    @property
    def body(self) -> bytes:
        """The whole body. An `async` handler must have awaited `read()` first (else LocalProtocolError)."""
        if self._body is None:
            raise LocalProtocolError("the body is not there yet: `await request.read()` first")
        return self._body

    @body.setter
    def body(self, data: bytes) -> None:
        self._body = data

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, awaited; HTTPError 413 over `limit`. May be called again."""
        if self._body is None:
            assert self.stream is not None
            self._body = await self.stream.read(limit)
        elif limit is not None and len(self._body) > limit:
            raise too_large(limit)
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, with back-pressure: the client sends no faster than this is read."""
        if self._body is not None:
            if self._body:
                yield self._body
        else:
            assert self.stream is not None
            async for piece in self.stream.chunks():
                yield piece

    @property
    def trailers(self) -> Headers:
        """Fields behind a chunked body (RFC 9112 7.1.2), once that has been read; else none."""
        return _NO_TRAILERS if self.stream is None else self.stream.trailers

    def form(self) -> dict[str, str]:
        """The body as a form, name -> first value; {} if its Content-Type says that it is none."""
        kind = self.headers.get("content-type").partition(";")[0].strip().lower()
        if kind and kind != FORM_TYPE:
            return {}
        return parse_form(self.body.decode("utf-8", "replace"))

    def json(self) -> Any:
        """The body as JSON, whatever its Content-Type; HTTPError 400 if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, f"the body is not JSON: {error}") from None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.head.target} from {self.client}>"


class FilePart(NamedTuple):
    """`size` bytes of an open file from `offset`; sent with `sendfile` and closed when done or given up."""

    file: IO[bytes]
    offset: int
    size: int


Pairs: TypeAlias = Iterable[tuple[str, str]]


class Response:
    """`Response("text")`, `Response(data, content_type="image/png")`, and the constructors below.

    Content-Length, Transfer-Encoding, Connection and Date are added by the server. Raises LocalProtocolError for
    headers that must not be sent.
    """

    __slots__ = ("_wire", "_wire_date", "body", "file", "head", "is_plain", "stream")

    def __init__(
        self, body: bytes | str = b"", status: int = 200, headers: Pairs = (), *, content_type: str | None = None
    ) -> None:
        """A `str` body goes out as UTF-8, as text/plain unless `content_type` says otherwise."""
        if isinstance(body, str):
            body = body.encode()
            content_type = content_type or TEXT
        elif body.__class__ is not bytes:
            body = bytes(memoryview(body))  # a TypeError for what is no bytes, here, at the handler's own line
        self.body = body
        self.file: FilePart | None = None
        self.stream: AsyncIterable[bytes] | None = None
        self._set_head(status, headers, content_type, len(body))

    def _set_head(self, status: int, headers: Pairs, content_type: str | None, length: int | None) -> None:
        pairs = tuple((name, value) for name, value in headers)
        if content_type:
            pairs = (("Content-Type", content_type), *pairs)
        # A cookie is somebody's secret, and comes once: nothing to keep.
        is_common = all(len(value) <= LONGEST_COMMON and name.lower() != "set-cookie" for name, value in pairs)
        make = _common_head if is_common and len(pairs) <= MOST_COMMON else _final_head
        self.head = make(status, pairs, length)
        self._wire, self._wire_date = b"", b""
        self.is_plain = self.stream is None and self.file is None  # the whole body is there, in `body`

    @property
    def status(self) -> int:
        """200 to 599."""
        return self.head.status

    @property
    def headers(self) -> Headers:
        """What was given; the fields that the server adds are not among them."""
        return self.head.headers

    @classmethod
    def html(cls, body: str, status: int = 200, headers: Pairs = ()) -> Response:
        """`body` as a page, in UTF-8."""
        return cls(body, status, headers, content_type=HTML)

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Pairs = ()) -> Response:
        """`value` as JSON; TypeError or ValueError, as `json.dumps` has them, for what is none."""
        return cls(json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), status, headers, content_type=JSON)

    @classmethod
    def redirect(cls, location: str, status: int = 303, headers: Pairs = ()) -> Response:
        """`location` must be ASCII already (percent-encoded)."""
        if not location.isascii():
            raise LocalProtocolError(f"a redirect to {location!r}, which is not percent-encoded")
        return cls(b"", status, [("Location", location), *headers])

    @classmethod
    def streaming(
        cls,
        chunks: AsyncIterable[bytes],
        status: int = 200,
        headers: Pairs = (),
        *,
        content_type: str | None = None,
        length: int | None = None,
    ) -> Response:
        """A body made while it is sent, no faster than the client reads. Without `length` it goes out in chunks. If
        the client leaves, `chunks` is closed: its `finally` runs.
        """
        response = cls.__new__(cls)
        response.body, response.file, response.stream = b"", None, chunks
        response._set_head(status, headers, content_type, length)
        return response

    @classmethod
    def sending(
        cls, part: FilePart, status: int = 200, headers: Pairs = (), *, content_type: str | None = None
    ) -> Response:
        """Part of an open file, by `sendfile`. The response owns the file now and closes it; return it only once."""
        response = cls.__new__(cls)
        response.body, response.file, response.stream = b"", part, None
        response._set_head(status, headers, content_type, part.size)
        return response

    @classmethod
    def empty(cls, status: int = 204, headers: Pairs = (), *, length: int | None = None) -> Response:
        """No body. `length` is what a 304 says the body would have had."""
        response = cls.__new__(cls)
        response.body, response.file, response.stream = b"", None, None
        response._set_head(status, headers, None, length if status == 304 else 0)
        return response

    def with_headers(self, *pairs: tuple[str, str]) -> Response:
        """The same response with these lines added; the original is unchanged."""
        response = Response.__new__(type(self))
        response.body, response.file, response.stream = self.body, self.file, self.stream
        response._set_head(self.status, [*self.headers, *pairs], None, self.head.length)
        return response

    def wire(self, date: bytes) -> bytes:
        """All bytes of a plain answer with this Date line. A small response that is returned again and again, as those
        of a cache are, is put together once a second.
        """
        if self._wire_date is date:
            return self._wire
        assert self.head.sized is not None
        wire = b"".join((self.head.sized, date, b"\r\n", self.body))
        if len(wire) <= LARGEST_WIRE:
            self._wire, self._wire_date = wire, date
        return wire

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class Switching(Response):
    """101: the connection leaves HTTP, and the protocol that `take_over` makes has it from then on. `headers` name what
    it is, with Upgrade and Connection. Only for a request that has asked for it.
    """

    __slots__ = ("take_over",)

    def __init__(self, headers: Pairs, take_over: Callable[[HTTPServer, Site], ConnectionProtocol]) -> None:
        self.body, self.file, self.stream = b"", None, None
        self.take_over = take_over
        self.head = ResponseHead(101, Headers(headers))
        self._wire, self._wire_date = b"", b""
        self.is_plain = False

    def with_headers(self, *pairs: tuple[str, str]) -> Switching:
        return Switching([*self.headers, *pairs], self.take_over)


def _final_head(status: int, pairs: tuple[tuple[str, str], ...], length: int | None) -> ResponseHead:
    if not 200 <= status <= 599:
        raise LocalProtocolError(f"{status} is not the status of a final response")
    for name, value in pairs:
        if name.lower() in ("connection", "date") and (status, value.lower()) != (426, "upgrade"):
            raise LocalProtocolError(f"header {name} is set by the server")
    head = ResponseHead(status, Headers(pairs), length=length)
    head.attached = brought(head.headers)
    head.encoded  # noqa: B018 - checks every field now, in the handler's own frame
    return head


# A handler's answers mostly differ in their bodies only, so a head is checked and encoded once for all of them. At most
# 512 heads of 2 KiB are kept.
_common_head = lru_cache(maxsize=512)(_final_head)


Handler: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
Guard: TypeAlias = Callable[[Request], Response | Awaitable[Response | None] | None]
Middleware: TypeAlias = Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]
