"""The answer to an error: which status it stands for, and how that is told.

A page for who asks for HTML, which browsers do, and JSON for all other programs.
"""

from __future__ import annotations

import html

from reactor.errors import ConnectionLost, HTTPError, Overloaded, RemoteProtocolError
from reactor.http.message import Response
from reactor.sansio.head import REASONS, RequestHead

# It reads well as it is: it has no style of its own, which its policy would have to allow, and its one link outside is
# to the style of the site's pages. Where nothing is served there, the browser's own holds.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {reason}</title>
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


def as_http_error(error: BaseException) -> HTTPError | None:
    """What the client is told of `error`, decided here alone; None for what is our own fault (500, and logged).

    What went wrong behind this server is told without its words: they name hosts that are nobody's business.
    """
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, RemoteProtocolError):
        return HTTPError(error.status, str(error))
    if isinstance(error, Overloaded):
        return HTTPError(503, str(error), [("Retry-After", str(error.retry_after))])
    if isinstance(error, ConnectionLost):  # a DialError too
        return HTTPError(502, "the server behind this one cannot be reached")
    if isinstance(error, TimeoutError):
        return HTTPError(504, "the server behind this one did not answer in time")
    return None


def error_response(error: HTTPError, head: RequestHead | None) -> Response:
    """`head` is None where the request could not be read at all."""
    reason = REASONS.get(error.status, "Error")
    message = error.message or reason
    accept = head.headers.get("accept").lower() if head is not None else ""
    if "text/html" in accept:
        page = _PAGE.format(status=error.status, reason=reason, message=html.escape(message[:1].upper() + message[1:]))
        return Response.html(page, error.status, [*error.headers, ("Content-Security-Policy", _POLICY)])
    body = {"status": "error", "error": {"code": reason.lower().replace(" ", "_"), "message": message}}
    return Response.json(body, error.status, error.headers)
