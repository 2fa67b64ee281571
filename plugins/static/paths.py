"""From the path of a request to an open file, and never to one outside of the mount.

Two walls. The first reads the path alone: every segment must be a plain visible name, so `..`, dot files, empty
segments, backslashes, NUL and other controls end here, in whatever encoding they came (the path has been decoded
exactly once by then, so `%252e` is a name with a percent sign in it).

The second is the file system's answer. Links are followed first, to the real path, which has to lie in the mount's
real folder. Then that path is opened from the folder down, one name at a time, and no step follows a link: whoever
swaps a folder for a link in between gets an error and not another file. What was opened has to be a regular file; it
is looked at before it is opened, because opening a device may do something and opening a FIFO may wait.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, NamedTuple

from reactor import HTTPError, Overloaded

_is_bad_name = re.compile(r"\A\.|[\x00-\x1f\x7f\\]").search

# O_PATH asks only for the right to pass through a folder, as a path lookup does. Not every system has it.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_OF_THE_DISK = frozenset({errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT})


class IsFolder(Exception):
    """The path leads to a folder."""


class Opened(NamedTuple):
    """A regular file inside of the mount. Whoever has it closes it."""

    file: IO[bytes]
    stat: os.stat_result


def not_found() -> HTTPError:
    """The same words for all that is absent, hidden or out of bounds."""
    return HTTPError(404, "there is nothing at this address")


def is_visible(name: str) -> bool:
    """Whether a name in a folder can be asked for."""
    return bool(name) and not _is_bad_name(name)


def check_path(path: str) -> None:
    """The first wall: HTTPError 404 unless `path` is `name/name/name`. An empty path is the folder itself."""
    for name in path.split("/") if path else ():
        if not is_visible(name):
            raise not_found()


def is_inside(path: str, folder: str) -> bool:
    """Whether real `path` is `folder` or below it. Names are compared whole: /srv/www-old is not in /srv/www."""
    return os.path.commonpath((path, folder)) == folder


def open_inside(root: str, path: str, others: Iterable[str] = ()) -> Opened:
    """Open the file `path` of the folder `root`, or `root` itself if it is a file and `path` is empty.

    `others` are folders with a guard of their own: what lies in one of them that is below `root` is not found here.
    Raises IsFolder, HTTPError 404 or 403, or Overloaded; an OSError that speaks of a broken disk passes.
    """
    with _answers():
        return _open_file(*_find(root, path, others))


def names_inside(root: str, path: str, others: Iterable[str], most: int) -> Iterable[tuple[str, bool]]:
    """The names in the folder `path` of `root` that a request can reach, at most so many, and whether each is a folder.
    Raises as `open_inside`; 404 for what is no folder.
    """
    with _answers():
        real, top = _find(root, path, others)
        folder = _open_folder(real, top)
        try:
            readable = os.open(".", _READABLE, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            with os.scandir(readable) as entries:
                visible = [(one.name, one.is_dir()) for one in islice(entries, most) if is_visible(one.name)]
        finally:
            os.close(readable)
    return [(name, is_folder) for name, is_folder in visible if _is_reached(os.path.join(real, name), top, others)]


def _is_reached(path: str, top: str, others: Iterable[str]) -> bool:
    real = os.path.realpath(path)
    return is_inside(real, top) and not has_own_guard(real, top, others)


def _find(root: str, path: str, others: Iterable[str]) -> tuple[str, str]:
    """The real path of what is meant, and of `root`."""
    check_path(path)
    top = os.path.realpath(root, strict=True)
    real = os.path.realpath(os.path.join(top, path), strict=True) if path else top
    if not is_inside(real, top) or has_own_guard(real, top, others):
        raise not_found()
    return real, top


@contextmanager
def _answers() -> Iterator[None]:
    """What the file system says, as what a client is told."""
    try:
        yield
    except OSError as error:
        raise _answer(error) from None
    except ValueError:  # a name that the file system's encoding cannot write
        raise not_found() from None


def has_own_guard(real: str, top: str, others: Iterable[str]) -> bool:
    """Whether `real`, in the mounted folder `top`, lies in one of `others` that is below it."""
    for other in others:
        folder = os.path.realpath(other)
        if folder != top and is_inside(folder, top) and is_inside(real, folder):
            return True
    return False


def _open_file(real: str, top: str) -> Opened:
    """Raises OSError, IsFolder, or 404 for other than files."""
    above, name = os.path.split(real)
    folder = _open_folder(above, top if real != top else above)
    try:
        _check_kind(os.stat(name, dir_fd=folder, follow_symlinks=False))
        descriptor = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        status = os.fstat(descriptor)
        _check_kind(status)  # it may have been replaced since
        return Opened(open(descriptor, "rb", buffering=0), status)
    except BaseException:
        os.close(descriptor)
        raise


def _open_folder(real: str, top: str) -> int:
    """The folder `real`, opened from `top` down without following a link."""
    below = os.path.relpath(real, top).split("/") if real != top else []
    here = os.open(top, _FOLDER)
    try:
        for name in below:
            folder = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = folder
    except BaseException:
        os.close(here)
        raise
    return here


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsFolder
    if not stat.S_ISREG(status.st_mode):
        raise not_found()


def _answer(error: OSError) -> Exception:
    """What a client is told. 403 names no file: it says that one is there which the server may not read."""
    if error.errno in _DENIED:
        return HTTPError(403, "the server may not read this file")
    if error.errno in _TOO_MANY:
        return Overloaded()
    if error.errno in _OF_THE_DISK:
        return error
    return not_found()  # absent, a link in a circle, a name too long, a file used as a folder
