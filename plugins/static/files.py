"""A mount at work: request in, file out.

Most requests are for small files that have been asked for in the last second: `Files.__call__` answers them with a
response that is ready. All else goes through `_look`, which opens the file. The file system is asked on the loop's
own thread: for local files this is a memory access in nearly every case, and cheaper than waking a helper.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

from plugins.static.cache import SETTLED, Cache, Page, identity
from plugins.static.conditional import Validators, format_date, judge
from plugins.static.media import media_type
from plugins.static.mount import Mount
from plugins.static.paths import IsFolder, Opened, not_found, open_inside
from reactor import FilePart, Request, Response


class Clock(NamedTuple):
    """Both clocks of the plugin: what intervals are measured with, and the one that files are dated by."""

    monotonic: Callable[[], float]
    unix: Callable[[], float]


class Files:
    """The handler of one mount. `others` are the mounted folders that have another guard than this one."""

    def __init__(self, mount: Mount, cache: Cache, clock: Clock, small: int, others: tuple[str, ...] = ()) -> None:
        """Files of up to `small` bytes go through `cache`."""
        self.mount = mount
        self.root = str(mount.root)
        self.others = others
        self.small = small
        self._index = mount.index if mount.is_folder else ""
        self._cache = cache
        self._ready = cache.pages
        self._now = clock.monotonic
        self._unix = clock.unix
        # RFC 9111 5.2.2: keep it, but ask before using it again; behind a guard no shared cache keeps it.
        self._caching = ("Cache-Control", "private, no-cache" if mount.guard else "no-cache")

    def __call__(self, request: Request) -> Response:
        head = request.head
        page = self._ready.get(head.path)
        if page is None or page.check_at <= self._now():
            return self._look(request)
        return self._from_page(request, page) if head.is_conditional else page.whole

    def at_prefix(self, request: Request) -> Response:
        """The mount's address without its last slash."""
        return self._redirect(request, "")

    # -- finding it --------------------------------------------------------------------------------------------------

    def _look(self, request: Request) -> Response:
        page = self._cache.checked(request.path, self._now())
        if page is not None:
            return self._from_page(request, page)
        asked = self._path(request)
        path = asked + self._index if not asked or asked.endswith("/") else asked
        try:
            opened = open_inside(self.root, path, self.others)
        except IsFolder:
            if path != asked or not asked:
                raise not_found() from None  # the index is a folder, or a single file has become one
            return self._redirect(request, asked)
        if opened.stat.st_size > self.small:
            return self._from_file(request, opened, path)
        page = self._read(opened, path)
        self._cache.add(request.path, page, self._now())
        return self._from_page(request, page)

    def _path(self, request: Request) -> str:
        """The path below the mount, decoded. The exact routes have no parameter and nothing that was encoded."""
        rest = request.params.get("path")
        return request.path[len(self.mount.prefix) :] if rest is None else rest

    def _redirect(self, request: Request, path: str) -> Response:
        """To the folder's address with its slash, or the links on its page would lead beside it.

        The location is made anew from what was found, and has one slash at its beginning: a browser that is given
        two of them reads the name of a host.
        """
        location = self.mount.prefix + quote(path, safe="/!$&'()*+,;=:@~") + ("/" if path else "")
        if request.head.query:
            location += "?" + request.head.query
        return Response.redirect(location, 301, [self._caching])

    # -- answering ---------------------------------------------------------------------------------------------------

    def _read(self, opened: Opened, path: str) -> Page:
        """A small file as a page. One that is being written goes out as it was found; the next look, which compares
        with what it was before the reading, sees that it changed.
        """
        status = opened.stat
        with opened.file as file:
            body = file.read(status.st_size)
        has_settled = self._unix() - status.st_mtime >= SETTLED
        validators = self._validators(status)
        whole = Response(body, 200, self._headers(validators), content_type=self._type(path))
        place = os.path.join(self.root, path) if path else self.root
        same = identity(status) if has_settled else None
        return Page(whole, self._not_modified(validators), validators, place, same)

    def _from_page(self, request: Request, page: Page) -> Response:
        body = page.whole.body
        verdict = judge(request.method, request.headers.index, page.validators, len(body))
        if verdict.status == 304:
            return page.unchanged
        if verdict.status == 200:
            return page.whole
        headers = [*page.whole.headers, _content_range(verdict.start, verdict.size, len(body))]
        return Response(body[verdict.start : verdict.start + verdict.size], 206, headers)

    def _from_file(self, request: Request, opened: Opened, path: str) -> Response:
        """A large file. The response has the file and closes it; on every other way out it is closed here."""
        file, size = opened.file, opened.stat.st_size
        try:
            validators = self._validators(opened.stat)
            verdict = judge(request.method, request.headers.index, validators, size)
            if verdict.status == 304:
                file.close()
                return self._not_modified(validators)
            headers = self._headers(validators)
            if verdict.status == 206:
                headers.append(_content_range(verdict.start, verdict.size, size))
            part = FilePart(file, verdict.start, verdict.size)
            return Response.sending(part, verdict.status, headers, content_type=self._type(path))
        except BaseException:
            file.close()
            raise

    def _validators(self, status: os.stat_result) -> Validators:
        # A digest, because the number of an inode is nobody's business.
        version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}".encode()
        modified = int(status.st_mtime)
        # RFC 9110 8.8.2.1: no Last-Modified in the future. Such a file has its tag.
        has_date = 0 <= modified <= self._unix()
        return Validators(f'"{blake2b(version, digest_size=12).hexdigest()}"', modified if has_date else None)

    def _type(self, path: str) -> str:
        return media_type(os.path.basename(path or self.root))

    def _headers(self, validators: Validators) -> list[tuple[str, str]]:
        return [*self._common(validators), ("Accept-Ranges", "bytes"), ("X-Content-Type-Options", "nosniff")]

    def _not_modified(self, validators: Validators) -> Response:
        return Response.empty(304, self._common(validators))

    def _common(self, validators: Validators) -> list[tuple[str, str]]:
        """What a 304 repeats (RFC 9110 15.4.5), so that a cache can refresh what it has."""
        headers = [("ETag", validators.etag), self._caching]
        if validators.modified is not None:
            headers.append(("Last-Modified", format_date(validators.modified)))
        return headers


def _content_range(start: int, size: int, total: int) -> tuple[str, str]:
    return "Content-Range", f"bytes {start}-{start + size - 1}/{total}"
