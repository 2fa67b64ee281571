"""The files of the page: a few dozen small ones, read once, and answered from memory with a strict policy.

The policy lets the page load what is beside it and nothing else: no script or style inside the HTML, nothing from
another host, no frame around it. So even a text that would become HTML by a mistake of ours could run nothing.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Final

from reactor import HTTPError, Request, Response

DIRECTORY: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".json": "application/json",
    ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8", ".wav": "audio/wav",
    ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".woff2": "font/woff2",
}  # fmt: skip
POLICY: Final = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "media-src 'self'",
    "font-src 'self'", "connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'self'",
    "frame-ancestors 'none'",
))  # fmt: skip
GUARDED: Final = (
    ("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"), ("Cache-Control", "no-cache"),
)  # fmt: skip


class PageFiles:
    """The handler of `{path...}` below the page's address."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        """Reads them all; OSError if that cannot be done."""
        self._files = {
            path.relative_to(directory).as_posix(): _response(path)
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path.suffix in MEDIA_TYPES
        }
        if INDEX not in self._files:
            raise FileNotFoundError(f"{directory} has no {INDEX}")

    def __call__(self, request: Request) -> Response:
        whole = self._files.get(request.params.get("path", "") or INDEX)
        if whole is None:
            raise HTTPError(404, "the page has no such file")
        tags = request.headers.get("if-none-match")
        etag = dict(whole.headers)["ETag"]
        if tags and (tags.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))):
            return Response.empty(304, [("ETag", etag), *GUARDED])
        return whole


def _response(path: Path) -> Response:
    body = path.read_bytes()
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    media_type = MEDIA_TYPES[PurePosixPath(path.name).suffix]
    return Response(body, 200, [("ETag", etag), *GUARDED], content_type=media_type)
