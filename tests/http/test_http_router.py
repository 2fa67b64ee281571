"""Which route a request finds: exact paths, then patterns, then mounts; and what it gets where none fits."""

from __future__ import annotations

import pytest

from reactor.errors import HTTPError, RemoteProtocolError
from reactor.http.message import Handler, Request, Response
from reactor.http.router import Route, RouteError, Router
from reactor.sansio.head import RequestHead
from reactor.sansio.headers import Headers


def answer(request: Request) -> Response:
    return Response("")


def router_with(*routes: str) -> Router:
    """Of lines such as "GET,POST /path"; each route has its line as owner."""
    router = Router()
    for line in routes:
        methods, pattern = line.split()
        router.add(Route(tuple(methods.split(",")), pattern, answer, owner=line))
    return router


def found(router: Router, target: str, method: str = "GET") -> tuple[str, dict[str, str]]:
    head = RequestHead(method, target, Headers([("host", "a")]))
    route, params = router.find(method, head.path)
    return route.owner.partition(" ")[2], dict(params)


def refusal(router: Router, target: str, method: str = "GET") -> tuple[int, str]:
    head = RequestHead(method, target, Headers([("host", "a")]))
    route, params = router.find(method, head.path)
    try:
        response = route.handler(Request(head, "1.2.3.4", params))
    except HTTPError as error:
        return error.status, dict(error.headers).get("Allow", "")
    assert isinstance(response, Response)
    return response.status, response.headers.get("allow")


def test_what_answers_where_no_route_does_is_made_once_whatever_clients_send() -> None:
    made: list[Route] = []

    def make(handler: Handler) -> Route:
        made.append(Route((), "", handler))
        return made[-1]

    router = Router(make)
    for pattern in ("/one", "/two", "/user/{name}"):
        router.add(Route(("GET",), pattern, answer))
    for number in range(50):
        for path in (f"/no/{number}", "/one", "/two", f"/user/{number}"):
            for method in ("GET", "DELETE", f"M{number}"):
                router.find(method, path)
    assert len(made) == 4  # 404 to GET and to DELETE, 405 to DELETE, 501
    assert refusal(router, "/one", "DELETE") == (405, "GET, HEAD, OPTIONS")
    assert refusal(router, "/no", "DELETE") == (404, "")
    assert refusal(router, "/one", "M1") == refusal(router, "/no", "M2") == (501, "")


SITE = router_with(
    "GET /", "GET /get-list[/]", "PUT,POST /submit-info[/]", "GET /user/{name}", "DELETE /user/{name}",
    "GET /user/me", "GET /user/{name}/posts/{post}", "GET /user/{name}/posts/new", "GET /files/{path...}",
    "GET /files/special/{path...}", "GET /files/{name}", "GET /caf%C3%A9",
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "pattern", "params"),
    [
        ("/", "/", {}),
        ("/?a=1", "/", {}),
        ("/get-list", "/get-list[/]", {}),
        ("/get-list/", "/get-list[/]", {}),
        ("/get%2Dlist", "/get-list[/]", {}),  # an unreserved character, escaped or not, is the same
        ("/user/ann", "/user/{name}", {"name": "ann"}),
        ("/user/me", "/user/me", {}),  # exact before patterns
        ("/user/m%65", "/user/me", {}),
        ("/user/J%C3%BCrgen", "/user/{name}", {"name": "Jürgen"}),
        ("/user/a%2Fb", "/user/{name}", {"name": "a/b"}),  # an escaped slash makes no new segment
        ("/user/a%252Fb", "/user/{name}", {"name": "a%2Fb"}),  # decoded once
        ("/user/..", "/user/{name}", {"name": ".."}),
        ("/user/%2e%2e", "/user/{name}", {"name": ".."}),
        ("/user/a+b", "/user/{name}", {"name": "a+b"}),
        ("/user/ann/posts/7", "/user/{name}/posts/{post}", {"name": "ann", "post": "7"}),
        ("/user/ann/posts/new", "/user/{name}/posts/new", {"name": "ann"}),  # fewer parameters first
        ("/files/", "/files/{path...}", {"path": ""}),
        ("/files/a", "/files/{name}", {"name": "a"}),  # one segment before a mount
        ("/files/a/b//c/", "/files/{path...}", {"path": "a/b//c/"}),
        ("/files/special/x/y", "/files/special/{path...}", {"path": "x/y"}),
        ("/files/a%20b/c", "/files/{path...}", {"path": "a b/c"}),
        ("/caf%c3%a9", "/caf%C3%A9", {}),
        ("http://a/user/ann?x", "/user/{name}", {"name": "ann"}),
    ],
)
def test_a_path_finds_the_most_literal_route(target: str, pattern: str, params: dict[str, str]) -> None:
    assert found(SITE, target) == (pattern, params)


@pytest.mark.parametrize(
    "target",
    [
        "/nothing", "/get-list//", "/Get-list", "/user", "/user/", "/user/a/b", "//", "/files", "/filesystem",
        "/files/a%2Fb/c", "/files/a/%00",  # a rest with an escaped slash or a NUL fits no mount
    ],
)  # fmt: skip
def test_a_path_without_a_route_is_404(target: str) -> None:
    assert refusal(SITE, target) == (404, "")


def test_a_path_that_is_no_utf_8_is_the_clients_fault() -> None:
    with pytest.raises(RemoteProtocolError, match="UTF-8"):
        found(SITE, "/user/%ff")


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("DELETE", "/", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/get-list/", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/submit-info", 405, "OPTIONS, POST, PUT"),
        ("PUT", "/user/ann", 405, "DELETE, GET, HEAD, OPTIONS"),
        ("DELETE", "/user/me", 405, "GET, HEAD, OPTIONS"),  # the wider pattern does not answer for it
        ("OPTIONS", "/", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/user/ann", 204, "DELETE, GET, HEAD, OPTIONS"),
        ("OPTIONS", "/nothing", 404, ""),
        ("OPTIONS", "*", 204, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ("BREW", "/", 501, ""),
        ("TRACE", "/", 501, ""),
        ("get", "/", 501, ""),
        ("BREW", "/nothing", 501, ""),
    ],
)
def test_a_method_that_a_path_does_not_have_is_told_which_it_has(
    method: str, target: str, status: int, allow: str
) -> None:
    assert refusal(SITE, target, method) == (status, allow)


def test_head_comes_with_get_and_an_own_one_replaces_it_in_any_order() -> None:
    assert found(router_with("GET /a"), "/a", "HEAD")[0] == "/a"
    for order in (("GET /a", "HEAD /a"), ("HEAD /a", "GET /a")):
        router = router_with(*order)
        head = RequestHead("HEAD", "/a", Headers())
        assert router.find("HEAD", head.path)[0].owner == "HEAD /a"
        assert router.find("GET", head.path)[0].owner == "GET /a"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GET /a", "GET /a"),
        ("GET,POST /a", "PUT,POST /a"),
        ("GET /a[/]", "GET /a/"),
        ("GET /u/{name}", "GET /u/{id}"),  # another name is the same shape
        ("GET /f/{path...}", "GET /f/{rest...}"),
        ("HEAD /a", "HEAD /a"),
    ],
)
def test_the_same_method_and_path_twice_names_who_has_it(first: str, second: str) -> None:
    with pytest.raises(RouteError, match="is already a route of") as caught:
        router_with(first, second)
    assert first in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "a", "*", "/{", "/}", "/a[/", "/[b]", "/{name", "/{Name}", "/{1}", "/x{name}", "/{name}x", "/{a}{b}",
        "/{path...}/b", "/{path...}[/]", "/{a}/{a}", "/{a...}/{a...}", "/ü", "/a b", "/%41", "/%zz", "/a?b", "/a#b",
        "/%2f", "/a\nb", "/a\x7f",
    ],
)  # fmt: skip
def test_a_pattern_that_no_path_could_match_is_refused(pattern: str) -> None:
    with pytest.raises(RouteError):
        Router().add(Route(("GET",), pattern, answer))


def test_a_mount_at_the_root_takes_what_nobody_else_has() -> None:
    router = router_with("GET /{path...}", "GET /a", "GET /x/{y}")
    assert found(router, "/")[1] == {"path": ""}
    assert found(router, "/a") == ("/a", {})
    assert found(router, "/x/1") == ("/x/{y}", {"y": "1"})
    assert found(router, "/x/1/2") == ("/{path...}", {"path": "x/1/2"})


def test_fallbacks_are_made_by_whoever_asked_for_it() -> None:
    made: list[Route] = []

    def make(handler: object) -> Route:
        made.append(Route((), "", answer, owner="fallback"))
        return made[-1]

    router = Router(make)
    assert router.find("GET", "/nothing")[0].owner == "fallback"
    assert len(made) == 1


def test_a_long_path_of_many_segments_is_matched_quickly() -> None:
    router = router_with("GET /a/{b}/{c}/{d}/{e}", "GET /a/{rest...}")
    path = "/a" + "/x" * 4000
    assert found(router, path)[0] == "/a/{rest...}"
