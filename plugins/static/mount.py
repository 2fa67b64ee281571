"""A line of the option `mount`: which address shows which folder, and on what terms.

    /assets          www/assets
    /                www                 guard=login index=start.html
    /fonts           www/fonts           cache=immutable
    /pub             /srv/pub            listing=yes cache=1h
    /favicon.ico     "www/our icon.ico"
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reactor import ConfigError

SETTINGS: Final = {"guard": "", "index": "index.html", "cache": "no-cache", "listing": "no"}
# What `cache` may say (RFC 9111 5.2.2, RFC 8246), besides a time: how long a client need not ask again.
_CACHES: Final = {"no-cache": "no-cache", "no-store": "no-store", "immutable": "max-age=31536000, immutable"}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# Only characters that stand for themselves in the normal form of a path, so that what is written is what is compared.
_is_prefix = re.compile(r"/|(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+/?").fullmatch
_is_time = re.compile(r"([0-9]{1,6})([smhd])").fullmatch
_is_index = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*").fullmatch


@dataclass(frozen=True, slots=True)
class Mount:
    """`prefix` ends in a slash if `root` is a folder, and not if it is a single file (`/` may be either)."""

    prefix: str
    root: Path
    guard: str | None
    index: str
    cache: str  # the value of Cache-Control
    listing: bool  # of folders without an index

    @property
    def is_folder(self) -> bool:
        return self.root.is_dir()


def parse_mounts(lines: Iterable[str], locate: Callable[[str], Path]) -> list[Mount]:
    """Every line as a Mount, `locate` making a path of what names the folder. ConfigError says which line is wrong."""
    mounts: dict[str, Mount] = {}
    for line in lines:
        if not line.strip():
            continue
        mount = _parse(line.strip(), locate)
        if mount.prefix in mounts:
            raise _wrong(line, f"{mount.prefix} is mounted already")
        mounts[mount.prefix] = mount
    if not mounts:
        raise ConfigError("say what to serve, one mount a line, such as: /assets www/assets", key="mount")
    return list(mounts.values())


def _parse(line: str, locate: Callable[[str], Path]) -> Mount:
    try:
        words = shlex.split(line)
    except ValueError:
        raise _wrong(line, "a quotation mark is not closed") from None
    if len(words) < 2:
        raise _wrong(line, "wants an address and a folder, such as: /assets www/assets")
    prefix, place, *rest = words
    settings = _settings(line, rest)
    root = locate(place)
    guard = settings["guard"] or None
    cache = _cache(line, settings["cache"], guard)
    return Mount(_prefix(line, prefix, root), root, guard, settings["index"], cache, settings["listing"] == "yes")


def _settings(line: str, words: Iterable[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in SETTINGS:
            known = ", ".join(f"{name}=" for name in SETTINGS)
            raise _wrong(line, f"{word!r} is not a setting (they are {known}; a name with spaces goes into quotes)")
        if name in given or not value:
            raise _wrong(line, f"{name}= is there twice" if value else f"{name}= has no value")
        given[name] = value
    if "index" in given and not _is_index(given["index"]):
        raise _wrong(line, "index= is the plain name of a file, such as index.html")
    if given.get("listing", "no") not in ("yes", "no"):
        raise _wrong(line, "listing= is yes or no")
    return SETTINGS | given


def _cache(line: str, value: str, guard: str | None) -> str:
    """RFC 9111 5.2.2: what is behind a guard is kept by no cache that others share."""
    time = _is_time(value)
    known = f"max-age={int(time[1]) * _UNITS[time[2]]}" if time else _CACHES.get(value)
    if known is None:
        raise _wrong(line, f"cache= is a time such as 10m, 1h or 7d, or one of {', '.join(_CACHES)}")
    return f"private, {known}" if guard and known != "no-store" else known


def _prefix(line: str, prefix: str, root: Path) -> str:
    if not _is_prefix(prefix):
        raise _wrong(line, f"{prefix!r} is not an address: it begins with / and has letters, digits and - . _ ~ only")
    try:
        if root.is_dir():
            return prefix if prefix.endswith("/") else prefix + "/"
        if root.is_file():
            if prefix != "/" and prefix.endswith("/"):
                raise _wrong(line, f"{root} is a file, so its address has no / at the end")
            return prefix
        problem = "is neither a folder nor a file" if root.exists() else "does not exist"
    except OSError as error:  # a folder on the way may not be entered
        problem = error.strerror or "cannot be looked at"
    raise _wrong(line, f"{root} {problem}")


def _wrong(line: str, problem: str) -> ConfigError:
    return ConfigError(f"in the line {line.strip()!r}: {problem}", key="mount")
