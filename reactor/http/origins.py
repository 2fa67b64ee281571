"""Whether a browser says that another site made a request.

A browser sends cookies, a Basic login it remembers, and its address with every request to us, whichever site caused it.
It also says which that was: `Sec-Fetch-Site` on https and loopback, `Origin` everywhere. Scripts can forge neither, and
what is no browser (curl, a peer) sends none.
"""

from __future__ import annotations

from reactor.http.message import Request


def is_foreign(request: Request) -> bool:
    """Whether a browser says so. Another port on the same host is another site too: cookies do not know ports."""
    index = request.headers.index
    if index.get("sec-fetch-site", "none") not in ("same-origin", "none"):  # none: typed in or bookmarked
        return True
    origin = index.get("origin")
    return origin is not None and not _is_own(origin, request)


def _is_own(origin: str, request: Request) -> bool:
    scheme, separator, authority = origin.lower().partition("://")
    port = {"http": ":80", "https": ":443"}.get(scheme)
    if not separator or port is None:  # "null" (a sandboxed frame, a file) is foreign as well
        return False
    if request.secure and scheme != "https":
        return False
    # Without TLS here the scheme may still be https, if a proxy in front of us ends it.
    return bool(authority) and authority.removesuffix(port) == request.head.host.removesuffix(port)
