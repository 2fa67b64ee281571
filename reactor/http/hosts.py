"""Requests that go to one handler for the name they were sent to, whatever their path: virtual hosts.

    Host: shop.example:8080  ->  the host "shop.example:8080", else "shop.example", else the router's paths
"""

from __future__ import annotations

from reactor.errors import RemoteProtocolError
from reactor.http.router import Route, RouteError
from reactor.sansio.target import parse_authority


def host_key(name: str) -> str:
    """The same for all spellings of a name. RouteError for what is none."""
    try:
        host, port = parse_authority(name)
    except RemoteProtocolError:
        raise RouteError(f"{name!r} is no host: a name, perhaps with a port, such as app.local:8080") from None
    return host if port is None else f"{host}:{port}"


class Hosts:
    """Add routes by name, then `find`. A name without a port is for every port; where a request names no port, one
    with a port matches too, the first that was added.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self._without_port: dict[str, Route] = {}

    def add(self, name: str, route: Route) -> None:
        """Raises RouteError for what is no name, or one that is taken."""
        key = host_key(name)
        if key in self.routes:
            raise RouteError(f"the host {key} is already {self.routes[key].owner}'s")
        self.routes[key] = route
        self._without_port.setdefault(parse_authority(key)[0], route)

    def find(self, host: str) -> Route | None:
        """`host` is the authority of a request, in lower case."""
        route = self.routes.get(host)
        return route if route is not None else self._find_slowly(host)

    def _find_slowly(self, host: str) -> Route | None:
        if not host:
            return None
        name, port = parse_authority(host)
        if port is None:
            return self._without_port.get(name)
        return self.routes.get(f"{name}:{port}") or self.routes.get(name)
