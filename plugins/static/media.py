"""The media type that a file name stands for.

A table of our own: what the system's mime.types says differs from machine to machine, and a script served as
text/plain on one of them does not run there. Text is declared as UTF-8. What is not here goes out as bytes to keep,
and `nosniff` sees to it that no browser guesses.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "application/octet-stream"

_TYPES: Final = {
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs cjs",
    "text/plain": "txt text log conf ini",
    "text/csv": "csv",
    "text/markdown": "md markdown",
    "text/vtt": "vtt",
    "text/calendar": "ics",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/geo+json": "geojson",
    "application/manifest+json": "webmanifest",
    "application/xml": "xml xsl",
    "application/xhtml+xml": "xhtml",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/zip": "zip",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/zstd": "zst",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/epub+zip": "epub",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/svg+xml": "svg",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/x-icon": "ico",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg oga opus",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
    "video/mp2t": "ts",
}

_BY_ENDING: Final = {ending: kind for kind, endings in _TYPES.items() for ending in endings.split()}


def media_type(name: str) -> str:
    """`style.css` -> `text/css; charset=utf-8`. Only the last ending counts: `a.tar.gz` is a gzip file to keep."""
    stem, _, ending = name.rpartition(".")
    kind = _BY_ENDING.get(ending.lower(), UNKNOWN) if stem else UNKNOWN
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
