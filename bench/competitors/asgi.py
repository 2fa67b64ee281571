"""For uvicorn and granian: plain ASGI 3."""

from __future__ import annotations

from typing import Any

from bench.answers import JSON, LIST, OK, TEXT


def _events(body: bytes, content_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


ANSWERS = {"/ok": _events(OK, TEXT), "/get-list": _events(LIST, JSON)}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    start, body = ANSWERS[scope["path"]]
    await send(start)
    await send(body)
