"""Server-sent events (WHATWG HTML 9.2): a response that stays open and says something now and then.

    async def ticks(request):
        async def events():
            while True:
                yield ServerEvent("tick", id="7")
                await sleep(1)
        return event_stream(events())
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from reactor.errors import LocalProtocolError
from reactor.http.message import Response


class ServerEvent(NamedTuple):
    """One event. `data` may have many lines; `event` and `id` may not; `retry` is in milliseconds."""

    data: str
    event: str = ""
    id: str = ""
    retry: int | None = None

    def encode(self) -> bytes:
        """Raises LocalProtocolError for a line break in a name or id, which would begin another field."""
        if any(char in self.event + self.id for char in "\r\n\0"):
            raise LocalProtocolError("an event's name and id hold no line break and no NUL")
        lines = [f"event: {self.event}"] if self.event else []
        lines += [f"id: {self.id}"] if self.id else []
        lines += [f"retry: {self.retry}"] if self.retry is not None else []
        # "\r" ends a line in this format as well, so it must not reach the wire inside one.
        lines += [f"data: {line}" for line in self.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
        return ("\n".join(lines) + "\n\n").encode()


def event_stream(events: AsyncIterator[ServerEvent | str]) -> Response:
    """A response that sends `events` as they come. When the client leaves, the iterator is closed."""
    return Response.streaming(
        _encoded(events),
        headers=[("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")],
        content_type="text/event-stream; charset=utf-8",
    )


async def _encoded(events: AsyncIterator[ServerEvent | str]) -> AsyncIterator[bytes]:
    if not hasattr(events, "aclose"):
        async for event in events:
            yield _encode(event)
        return
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            yield _encode(event)


def _encode(event: ServerEvent | str) -> bytes:
    return (event if isinstance(event, ServerEvent) else ServerEvent(event)).encode()
