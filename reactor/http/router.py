"""Which handler a request goes to. Exact paths in one table first, then patterns, then prefix mounts.

    /get-list[/]          an exact path, with and without its last slash
    /user/{name}          one segment, given to the handler decoded as params["name"]
    /files/{path...}      the rest of the path, which may be empty: a mount

Segments are decoded one by one, exactly once, after the match: an escaped slash never makes a new segment. A rest
whose segments hold an escaped slash or a NUL does not match at all, so that no handler has to think of it. Of two
patterns that match, the one with the longer literal beginning wins; of the same shape there is only one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Final

from reactor.errors import HTTPError, ReactorError, RemoteProtocolError
from reactor.http.message import Guard, Handler, Request, Response
from reactor.sansio.target import decode_segment, normal_path

# The methods a route may use (RFC 9110 9, RFC 5789). Another one is 501 everywhere: CONNECT is for proxies, and TRACE
# shows a script the cookies it must not see.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")

NO_PARAMS: Final[Mapping[str, str]] = {}


class RouteError(ReactorError):
    """A pattern that is none, or one that is there already."""


class Route:
    """One method set and pattern with its handler. `wait_for_body` is False for `async` handlers, `takes_stream` True
    for a plain one that is called at the head all the same and reads what follows itself.
    """

    __slots__ = ("guard", "guard_name", "handler", "max_body", "methods", "owner", "pattern", "takes_stream",
                 "wait_for_body")  # fmt: skip

    def __init__(
        self,
        methods: tuple[str, ...],
        pattern: str,
        handler: Handler,
        *,
        guard: Guard | None = None,
        guard_name: str = "",
        max_body: int | None = None,
        owner: str = "",
        takes_stream: bool = False,
    ) -> None:
        self.methods = methods
        self.pattern = pattern
        self.handler = handler
        self.guard = guard
        self.guard_name = guard_name
        self.max_body = max_body
        self.owner = owner
        self.takes_stream = takes_stream
        self.wait_for_body = not is_async(handler)


def is_async(handler: object) -> bool:
    """Whether calling it gives a coroutine."""
    call = getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


_optional_slash = "[/]"
_param = re.compile(r"\{([a-z_][a-z0-9_]*)(\.\.\.)?\}")


def _is_normal(pattern: str) -> bool:
    """Whether a path in normal form can look like this."""
    path = _param.sub("", pattern)
    try:
        return path.isascii() and path.isprintable() and not set(path) & set(" ?#") and normal_path(path) == path
    except RemoteProtocolError:  # an escape that is none
        return False


class _Pattern:
    """A path with parameters; `table` has a route for each method."""

    __slots__ = ("literal", "match", "parameters", "rest", "table")

    def __init__(self, shape: re.Pattern[str], literal: str, rest: str | None) -> None:
        self.match = shape.fullmatch
        self.parameters = shape.groups
        self.literal = literal
        self.rest = rest
        self.table: dict[str, Route] = {}


class Router:
    """Add routes, then `find`. The table is not changed while it serves: a reload makes a new one."""

    def __init__(self, make_fallback: Callable[[Handler], Route] | None = None) -> None:
        """`make_fallback` makes a route of the handlers that answer 404 and 405, so that guards and middleware of the
        whole site see these requests too.
        """
        self._make_fallback = make_fallback or (lambda handler: Route((), "", handler))
        self.routes: list[Route] = []
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[_Pattern] = []
        self._by_shape: dict[str, _Pattern] = {}
        self._fallbacks: dict[tuple[str, frozenset[str]], Route] = {}

    def add(self, route: Route) -> None:
        """Raises RouteError for a bad pattern, or a method and pattern that are taken (naming who has it)."""
        for table in self._tables(route.pattern):
            for method in route.methods:
                self._put(table, method, route)
            if "GET" in route.methods:
                table.setdefault("HEAD", route)
        self.routes.append(route)

    @staticmethod
    def _put(table: dict[str, Route], method: str, route: Route) -> None:
        other = table.get(method)
        if other is not None and method in other.methods:
            raise RouteError(f"{method} {route.pattern} is already a route of {other.owner or 'this program'}")
        table[method] = route

    def _tables(self, pattern: str) -> list[dict[str, Route]]:
        if not pattern.startswith("/"):
            raise RouteError(f"the pattern {pattern!r} does not begin with /")
        if not _is_normal(pattern):
            raise RouteError(f"no path is ever like {pattern!r}: percent-encode what is not ASCII, and nothing else")
        plain = pattern.removesuffix(_optional_slash)
        variants = [plain] if plain == pattern else [plain, plain + "/"]
        return [self._table(variant) for variant in variants]

    def _table(self, pattern: str) -> dict[str, Route]:
        if not _param.search(pattern):
            if re.search(r"[{}\[\]]", pattern):
                raise RouteError(f"the pattern {pattern!r} has a bracket that belongs to no parameter")
            return self._exact.setdefault(pattern, {})
        compiled, shape = _compile(pattern)
        known = self._by_shape.get(shape)
        if known is None:
            known = self._by_shape[shape] = compiled
            self._patterns.append(compiled)
            # Patterns of one segment before mounts, the more literal first, then the one with fewer parameters.
            self._patterns.sort(key=lambda p: (p.rest is not None, -len(p.literal), p.parameters))
        return known.table

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and its decoded parameters. Where nothing fits, a route that answers 404, 405, OPTIONS or 501."""
        table = self._exact.get(path)
        if table is not None:
            route = table.get(method)
            if route is not None:
                return route, NO_PARAMS
        return self._find_slowly(method, path, table)

    def _find_slowly(
        self, method: str, path: str, exact: dict[str, Route] | None
    ) -> tuple[Route, Mapping[str, str]]:
        if exact is not None:
            return self._fallback(method, frozenset(exact)), NO_PARAMS
        for pattern in self._patterns:
            match = pattern.match(path)
            params = _decode(match.groupdict(), pattern.rest) if match else None
            if params is None:
                continue
            route = pattern.table.get(method)
            if route is not None:
                return route, params
            # The most literal pattern decides: a wider one must not answer for the methods this one does not have.
            return self._fallback(method, frozenset(pattern.table)), NO_PARAMS
        return self._fallback(method, frozenset(METHODS if path == "*" else ())), NO_PARAMS

    def _fallback(self, method: str, allowed: frozenset[str]) -> Route:
        """Made once for a method and what is allowed. Clients cannot make the table grow: they have the methods that
        are known and one for all others, and the sets of methods are those of the routes.
        """
        key = (method, allowed) if method in METHODS else ("", frozenset[str]())
        route = self._fallbacks.get(key)
        if route is None:
            route = self._fallbacks[key] = self._make_fallback(_answer(*key))
            route.wait_for_body = False  # nor asked for with 100 Continue, to be refused then
        return route


def _compile(pattern: str) -> tuple[_Pattern, str]:
    """The pattern as a regular expression, and its shape: two patterns with one shape match the same paths."""
    regex, shape, position, rest = "", "", 0, None
    for match in _param.finditer(pattern):
        literal = pattern[position : match.start()]
        if not literal.endswith("/"):
            raise RouteError(f"in {pattern!r} a parameter is not a whole segment")
        name, dots = match.groups()
        if f"(?P<{name}>" in regex:
            raise RouteError(f"in {pattern!r} the parameter {name} occurs twice")
        if dots:
            rest = name
            if match.end() != len(pattern):
                raise RouteError(f"in {pattern!r} something follows the rest of the path")
        elif pattern[match.end() : match.end() + 1] not in ("", "/"):
            raise RouteError(f"in {pattern!r} a parameter is not a whole segment")
        regex += re.escape(literal) + (f"(?P<{name}>.*)" if dots else f"(?P<{name}>[^/]+)")
        shape += literal + ("{...}" if dots else "{}")
        position = match.end()
    tail = pattern[position:]
    if re.search(r"[{}\[\]]", tail + shape.replace("{...}", "").replace("{}", "")):
        raise RouteError(f"the pattern {pattern!r} has a bracket that belongs to no parameter")
    literal = pattern[: pattern.index("{")]
    return _Pattern(re.compile(regex + re.escape(tail)), literal, rest), shape + tail


def _decode(groups: Mapping[str, str], rest: str | None) -> Mapping[str, str] | None:
    params = {}
    for name, value in groups.items():
        if name == rest:
            segments = [decode_segment(segment) for segment in value.split("/")]
            if any("/" in segment or "\0" in segment for segment in segments):
                return None
            params[name] = "/".join(segments)
        else:
            params[name] = decode_segment(value)
    return params


def _answer(method: str, allowed: frozenset[str]) -> Handler:
    """What a request gets that no route wants."""
    if method not in METHODS:
        return _failing(501, "this method is not known here")
    if not allowed:
        return _failing(404, "there is nothing at this address")
    allow = ("Allow", ", ".join(sorted(allowed | {"OPTIONS"})))
    if method == "OPTIONS":
        return lambda request: Response.empty(204, [allow])
    return _failing(405, f"{method} is not for this address", allow)


def _failing(status: int, message: str, *headers: tuple[str, str]) -> Handler:
    def fail(request: Request) -> Response:
        raise HTTPError(status, message, headers)

    return fail
