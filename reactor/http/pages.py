"""The answer to an error: a page for who asks for HTML, which browsers do, and JSON for all other programs."""

from __future__ import annotations

import html

from reactor.errors import HTTPError
from reactor.http.message import Response
from reactor.sansio.head import REASONS, RequestHead

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {reason}</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/style.css">
</head>
<body class="single">
<main class="card">
<p class="quiet">{status}</p>
<h1>{reason}</h1>
<p>{message}</p>
<p class="links"><a href="/">To the first page</a></p>
</main>
</body>
</html>
"""


def error_response(error: HTTPError, head: RequestHead | None) -> Response:
    """`head` is None where the request could not be read at all."""
    reason = REASONS.get(error.status, "Error")
    message = error.message or reason
    accept = head.headers.get("accept").lower() if head is not None else ""
    if "text/html" in accept:
        page = _PAGE.format(status=error.status, reason=reason, message=html.escape(message[:1].upper() + message[1:]))
        return Response.html(page, error.status, error.headers)
    body = {"status": "error", "error": {"code": reason.lower().replace(" ", "_"), "message": message}}
    return Response.json(body, error.status, error.headers)
