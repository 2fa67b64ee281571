"""The answer to an error: which status it stands for, and how that is told.

A page for who asks for HTML, which browsers do, and JSON for all other programs.
"""

from __future__ import annotations

import base64
import hashlib
import html

from reactor.errors import ConnectionLost, HTTPError, Overloaded, RemoteProtocolError
from reactor.http.message import Response
from reactor.sansio.head import REASONS, RequestHead

# It needs nothing: a style that is fetched might come from the very server that cannot be reached, and a browser shows
# nothing until it is there. These are the colours of www/assets/base.css, and its card.
_STYLE = """
:root {
  color-scheme: light dark; --ground: #f4f2ed; --paper: #fffefc; --ink: #23252b; --quiet: #5d616b; --line: #e2ded5;
  --accent: #0d6a60;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15181a; --paper: #1d2124; --ink: #e9e7e2; --quiet: #a9adb3; --line: #30363a; --accent: #74cfbe;
  }
}
body {
  box-sizing: border-box; min-height: 100vh; min-height: 100dvh; margin: 0; padding: 1rem; display: grid;
  place-content: center; background: var(--ground); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.5 -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", system-ui,
    sans-serif;
}
main {
  box-sizing: border-box; width: min(25rem, calc(100vw - 2rem)); padding: clamp(1.5rem, 6vw, 2.25rem);
  border: 1px solid var(--line); border-radius: 1rem; background: var(--paper);
  box-shadow: 0 8px 28px rgb(0 0 0 / 9%);
}
h1 { margin: 0 0 0.35rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 0.5rem; color: var(--quiet); }
h1 + p { color: var(--ink); }
.status { margin: 0; color: var(--accent); font-weight: 700; }
.links { margin: 1.5rem 0 0; }
a { color: var(--accent); text-underline-offset: 0.15em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {reason}</title>
<style>{style}</style>
</head>
<body>
<main>
<p class="status">{status}</p>
<h1>{reason}</h1>
{words}
<p class="links"><a href="/">To the first page</a></p>
</main>
</body>
</html>
"""
# What a person can do, who knows no more than what the message says.
_NOT_YOURS = "Nothing is wrong on your side. Try again in a minute."
_ADVICE = {
    404: "Check the address for a mistake. Perhaps the page has moved, or is gone.",
    408: "Check your connection, and try again.",
    413: "Send less at once.",
    429: "Wait a little, then try again.",
    500: "Nothing is wrong on your side. If it happens again, tell whoever runs this server.",
    502: _NOT_YOURS,
    503: _NOT_YOURS,
    504: _NOT_YOURS,
}


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
    accept = head.headers.get("accept").lower() if head is not None else ""
    if "text/html" in accept:
        page = _PAGE.format(status=error.status, reason=reason, style=_STYLE, words=_words(error))
        return Response.html(page, error.status, [*error.headers, ("Content-Security-Policy", _POLICY)])
    body = {"code": reason.lower().replace(" ", "_"), "message": error.message or reason}
    return Response.json({"status": "error", "error": body}, error.status, error.headers)


def _words(error: HTTPError) -> str:
    """The message as a sentence, and what to do."""
    message = error.message[:1].upper() + error.message[1:]
    sentences = [message if message.endswith((".", "!", "?")) else f"{message}."] if message else []
    sentences += [_ADVICE[error.status]] if error.status in _ADVICE else []
    return "\n".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
