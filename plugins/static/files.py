"""A mount at work: request in, file out.

Most requests are for small files that have been asked for in the last second: `Files.__call__` answers them with a
response that is ready. All else goes through `_look`, which opens the file. The file system is asked on the loop's
own thread: for local files this is a memory access in nearly every case, and cheaper than waking a helper.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

from plugins.static import listing
from plugins.static.cache import SETTLED, Cache, Form, Page, identity
from plugins.static.codings import ENDINGS, IDENTITY, choose, compressed, is_compressible
from plugins.static.conditional import Validators, format_date, judge
from plugins.static.media import media_type
from plugins.static.mount import Mount
from plugins.static.paths import IsFolder, Opened, names_inside, not_found, open_inside
from plugins.static.ranges import Parts, content_range
from reactor import FilePart, HTTPError, Request, Response

Pairs = list[tuple[str, str]]
VARY = ("Vary", "Accept-Encoding")


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
        self._caching = ("Cache-Control", mount.cache)

    def __call__(self, request: Request) -> Response:
        head = request.head
        page = self._ready.get(head.path)
        if page is None or page.check_at <= self._now():
            return self._look(request)
        return self._from_page(request, page) if head.is_conditional or page.codings else page.form.whole

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
        except HTTPError as error:
            if error.status == 404 and path != asked and self.mount.listing and not f"/{asked}".endswith("//"):
                return self._list(request, asked)
            raise
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

    def _list(self, request: Request, asked: str) -> Response:
        names = names_inside(self.root, asked.removesuffix("/"), self.others, listing.MOST)
        page = listing.page(names, self.mount.prefix + asked, is_top=not asked)
        caching = "private, no-cache" if self.mount.guard else "no-cache"  # nothing tells when it has changed
        return Response.html(page, 200, [("Cache-Control", caching), ("X-Content-Type-Options", "nosniff")])

    # -- small files -------------------------------------------------------------------------------------------------

    def _read(self, opened: Opened, path: str) -> Page:
        """A small file, and its compressed forms, as a page. A file that is being written goes out as it was found; the
        next look, which compares with what it was before the reading, sees that it changed.
        """
        kind, status = self._type(path), opened.stat
        with opened.file as file:
            body = file.read(status.st_size)
        others = dict(self._read_others(path, status, kind, body))
        varies = is_compressible(kind) or bool(others)
        form = self._form(body, self._validators(status), kind, IDENTITY, varies=varies)
        # The compressed forms beside it belong to what makes the page what it is, whether they are there or not.
        places = [self._place(path), *(self._place(path + ending) for ending in (ENDINGS.values() if path else ()))]
        sources = {place: identity(place) for place in places}
        sources[places[0]] = status_identity = identity(status)
        has_settled = self._unix() - status.st_mtime >= SETTLED and status_identity is not None
        return Page(form, others, sources if has_settled else None)

    def _read_others(self, path: str, status: os.stat_result, kind: str, body: bytes) -> Iterator[tuple[str, Form]]:
        for coding, ending in ENDINGS.items():
            beside = self._open_beside(path + ending, status)
            if beside is not None:
                with beside.file as file:
                    data = file.read(beside.stat.st_size)
                yield coding, self._form(data, self._validators(beside.stat), kind, coding, varies=True)
            elif coding == "gzip" and is_compressible(kind) and (smaller := compressed(body)) is not None:
                yield coding, self._form(smaller, self._validators(status, coding), kind, coding, varies=True)

    def _form(self, body: bytes, validators: Validators, kind: str, coding: str, *, varies: bool) -> Form:
        headers = self._headers(validators, coding, varies=varies)
        common = self._common(validators, varies=varies)
        whole = Response(body, 200, headers, content_type=kind)
        return Form(whole, Response.empty(304, common), validators, kind)

    def _from_page(self, request: Request, page: Page) -> Response:
        form = page.form
        if page.codings and "range" not in request.headers:
            form = page.others.get(choose(request.headers.index.get("accept-encoding"), page.codings), form)
        body = form.whole.body
        verdict = judge(request.method, request.headers.index, form.validators, len(body))
        if verdict.status == 304:
            return form.unchanged
        if verdict.status == 200:
            return form.whole
        headers = [pair for pair in form.whole.headers if pair[0].lower() != "content-type"]
        if len(verdict.spans) > 1:
            parts = Parts(verdict.spans, len(body), form.kind)
            return Response(parts.of(body), 206, headers, content_type=parts.content_type)
        (span,) = verdict.spans
        headers.append(("Content-Range", content_range(span, len(body))))
        return Response(body[span.start : span.stop], 206, headers, content_type=form.kind)

    # -- large files -------------------------------------------------------------------------------------------------

    def _from_file(self, request: Request, opened: Opened, path: str) -> Response:
        """A large file. The response has the file and closes it; on every other way out it is closed here."""
        kind = self._type(path)
        coding, chosen = self._choose(request, opened, path)
        varies = is_compressible(kind) or coding != IDENTITY
        file, size = chosen.file, chosen.stat.st_size
        try:
            validators = self._validators(chosen.stat)
            verdict = judge(request.method, request.headers.index, validators, size)
            if verdict.status == 304:
                file.close()
                return Response.empty(304, self._common(validators, varies=varies))
            headers = self._headers(validators, coding, varies=varies)
            if verdict.status == 200:
                return Response.sending(FilePart(file, 0, size), 200, headers, content_type=kind)
            if len(verdict.spans) > 1:
                parts = Parts(verdict.spans, size, kind)
                return Response.streaming(
                    parts.read(file), 206, headers, content_type=parts.content_type, length=parts.length
                )
            (span,) = verdict.spans
            headers.append(("Content-Range", content_range(span, size)))
            return Response.sending(FilePart(file, *span), 206, headers, content_type=kind)
        except BaseException:
            file.close()
            raise

    def _choose(self, request: Request, opened: Opened, path: str) -> tuple[str, Opened]:
        """A compressed form beside the file that the client likes better, or the file; what is not sent is closed."""
        there = {IDENTITY: opened}
        accept = request.headers.index.get("accept-encoding")
        try:
            if accept and "range" not in request.headers:
                for coding, ending in ENDINGS.items():
                    beside = self._open_beside(path + ending, opened.stat)
                    if beside is not None:
                        there[coding] = beside
            coding = choose(accept, tuple(there)[1:])
            return coding, there.pop(coding)
        finally:
            for other in there.values():
                other.file.close()

    def _open_beside(self, path: str, status: os.stat_result) -> Opened | None:
        """A compressed form, unless it is older than what it was made from."""
        if path.startswith("."):
            return None  # the mount is a single file
        try:
            opened = open_inside(self.root, path, self.others)
        except (IsFolder, HTTPError):
            return None
        if opened.stat.st_mtime_ns < status.st_mtime_ns:
            opened.file.close()
            return None
        return opened

    # -- what is said of them ----------------------------------------------------------------------------------------

    def _validators(self, status: os.stat_result, coding: str = "") -> Validators:
        # A digest, because the number of an inode is nobody's business.
        version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}{coding}".encode()
        modified = int(status.st_mtime)
        # RFC 9110 8.8.2.1: no Last-Modified in the future. Such a file has its tag.
        has_date = 0 <= modified <= self._unix()
        return Validators(f'"{blake2b(version, digest_size=12).hexdigest()}"', modified if has_date else None)

    def _place(self, path: str) -> str:
        return os.path.join(self.root, path) if path else self.root

    def _type(self, path: str) -> str:
        return media_type(os.path.basename(path or self.root))

    def _headers(self, validators: Validators, coding: str, *, varies: bool) -> Pairs:
        headers = self._common(validators, varies=varies)
        headers += [("Accept-Ranges", "bytes"), ("X-Content-Type-Options", "nosniff")]
        if coding != IDENTITY:
            headers.append(("Content-Encoding", coding))
        return headers

    def _common(self, validators: Validators, *, varies: bool) -> Pairs:
        """What a 304 repeats (RFC 9110 15.4.5), so that a cache can refresh what it has."""
        headers = [("ETag", validators.etag), self._caching]
        if validators.modified is not None:
            headers.append(("Last-Modified", format_date(validators.modified)))
        if varies:
            headers.append(VARY)
        return headers
