"""WeApRous applications: every shape of a handler, every kind of result, and what is refused in words."""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_files import Modules

from reactor import ConfigError, HTTPError, LocalProtocolError, Response, sleep
from reactor.app import App
from reactor.config import Config
from reactor.http.router import RouteError
from reactor.log import Log
from reactor.results import as_response
from reactor.shapes import VALUES
from reactor.testing import Answer, FakeReactor, TestApp, check_plugin
from reactor.weaprous import WeApRous

COOKIE = {"Cookie": "session=abc; theme=dark", "X-Number": "7"}


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[WeApRous], TestApp]]:
    """A running TestApp for an application."""
    running: list[TestApp] = []

    def serve(app: WeApRous, **sections: dict[str, str]) -> TestApp:
        module = types.ModuleType("a_made_application")
        module.app = app  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        sections = {f"plugin:{name}": values for name, values in sections.items()}
        made = TestApp({"plugin:made": {"use": "a_made_application:app"}, **sections}, state_dir=tmp_path)
        running.append(made)
        return made.__enter__()

    yield serve
    for app in running:
        app.__exit__(None, None, None)


def ask(serving: Callable[[WeApRous], TestApp], function: Any, *, path: str = "/it", target: str = "/it?q=1") -> Answer:
    app = WeApRous()
    app.route(path, methods=["POST"])(function)
    return serving(app).post(target, body="grüße".encode(), headers=COOKIE)


# -- shapes ----------------------------------------------------------------------------------------------------------


def original(headers: Any = "guest", body: Any = "anonymous") -> Any:
    return [headers.get("cookie"), body]


def in_the_other_order(body: Any, headers: Any) -> Any:
    return [headers["COOKIE"], body]


def by_position_only(headers: Any, body: Any, /) -> Any:
    return [headers.get("Cookie"), body]


def by_name_only(*, body: Any, headers: Any) -> Any:
    return [headers["Cookie"], body]


def with_anything(**anything: Any) -> Any:
    assert sorted(anything) == ["body", "headers"]
    return [anything["headers"]["cookie"], anything["body"]]


def with_a_default_of_its_own(headers: Any, body: Any, database: Any = "mine") -> Any:
    assert database == "mine"
    return [headers["cookie"], body]


def request(request: Any) -> Any:
    return [request.headers.get("cookie"), request.body]


def request_by_another_name(r: Any) -> Any:
    return [r.headers.get("cookie"), r.body]


def request_and_body(req: Any, body: Any) -> Any:
    return [req.headers["cookie"], body]


def request_and_response(request: Any, response: Any) -> Any:
    response.body = [request.headers["cookie"], request.body]


def what_it_takes_it_returns(req: Any, resp: Any) -> Any:
    resp.content = [req.headers["cookie"], req.body]
    return resp


async def asynchronous(headers: Any, body: Any) -> Any:
    await sleep(5)
    return [headers["cookie"], body]


class Object:
    def __call__(self, headers: Any, body: Any) -> Any:
        return [headers["cookie"], body]

    def method(self, request: Any) -> Any:
        return [request.headers["cookie"], request.body]


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """It takes another shape than what it wraps."""

    @functools.wraps(function)
    def wrapper(headers: Any, body: Any) -> Any:
        return function(headers, body, "extra")

    return wrapper


SHAPES = [
    original, in_the_other_order, by_position_only, by_name_only, with_anything, with_a_default_of_its_own,
    request, request_by_another_name, request_and_body, request_and_response, what_it_takes_it_returns, asynchronous,
    Object(), Object().method, functools.partial(original), decorated(request_and_body), decorated(asynchronous),
    adapted(lambda headers, body, extra: [headers["cookie"], body]),
]  # fmt: skip


@pytest.mark.parametrize("function", SHAPES, ids=lambda function: getattr(function, "__name__", str(type(function))))
def test_a_handler_gets_what_its_signature_asks_for(serving: Any, function: Any) -> None:
    answer = ask(serving, function)
    assert (answer.status, answer.json()) == (200, ["session=abc; theme=dark", "grüße"])


def test_a_handler_may_take_nothing(serving: Any) -> None:
    assert ask(serving, lambda: "fine").text == "fine"
    assert ask(serving, lambda *nothing: str(nothing)).text == "()"


def test_a_handler_may_take_what_its_path_names(serving: Any) -> None:
    def greet(name: str, headers: Any, body: Any) -> Any:
        return f"{name} {headers['x-number']} {body}"

    assert ask(serving, greet, path="/user/{name}", target="/user/A%20nn").text == "A nn 7 grüße"


def both(headers: Any, payload: Any) -> None: ...
def three(request: Any, response: Any, session: Any) -> None: ...
def only_by_name(*, token: Any) -> None: ...
def of_no_object(self: Any, headers: Any, body: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (both, "both cannot handle requests: nobody can give it 'payload'. A handler takes headers, body, request and "
               "response, or what its path names, {name}"),
        (three, "three cannot handle requests: nobody can give it 'session'"),
        (only_by_name, "nobody can give it 'token'"),
        (of_no_object, "nobody can give it 'self'"),
        (5, "5 cannot handle requests: nothing tells how to call it"),
    ],
)  # fmt: skip
def test_a_function_that_nobody_could_call_is_refused_where_it_is_declared(function: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        WeApRous().route("/user/{name}")(function)
    assert words in str(caught.value)


def test_headers_are_a_dict_that_does_not_care_about_case(serving: Any) -> None:
    def look(headers: Any) -> Any:
        assert isinstance(headers, dict)
        assert headers["X-NUMBER"] == headers.get("x-Number") == dict(headers)["x-number"] == "7"
        assert "X-Number" in headers and "x-nothing" not in headers and 5 not in headers
        assert headers.get("X-Nothing") is None and headers.get("X-Nothing", "-") == "-"
        assert all(name == name.lower() for name in headers)
        with pytest.raises(KeyError):
            headers["x-nothing"]
        headers["X-Mine"] = "1"
        return dict(headers)

    first = ask(serving, look).json()
    assert first["x-mine"] == "1"
    assert ask(serving, look).json() == first  # equal heads are parsed once, and nobody writes into that


def test_a_request_has_all_that_was_asked(serving: Any) -> None:
    def look(request: Any) -> Any:
        assert repr(request) == "<Request POST /a/it?q=1 from 127.0.0.1>"
        return [request.method, request.path, request.url, dict(request.query), dict(request.params), request.client,
                request.user, dict(request.cookies), request.data.decode(), request.form()]  # fmt: skip

    assert ask(serving, look, path="/{where}/it", target="/a/it?q=1").json() == [
        "POST", "/a/it", "/a/it?q=1", {"q": "1"}, {"where": "a"}, "127.0.0.1", None,
        {"session": "abc", "theme": "dark"}, "grüße", {"grüße": ""},
    ]  # fmt: skip


def test_a_body_that_is_no_utf_8_is_text_all_the_same(serving: Any) -> None:
    app = WeApRous()
    app.route("/", ["POST"])(lambda request: [request.body, list(request.data)])
    assert serving(app).post("/", body=b"\xffa").json() == ["\ufffda", [255, 97]]


def test_a_body_that_is_no_json_is_the_clients_mistake(serving: Any) -> None:
    assert ask(serving, lambda request: request.json()).status == 400


# -- results ---------------------------------------------------------------------------------------------------------

HTML, TEXT, JSON = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"

RESULTS = [
    ({"a": "ü"}, 200, JSON, '{"a": "ü"}'),
    ([1, None], 200, JSON, "[1, null]"),
    ({}, 200, JSON, "{}"),
    ("text", 200, TEXT, "text"),
    ("", 200, TEXT, ""),
    ("<b>no page</b>", 200, TEXT, "<b>no page</b>"),
    ("\n<!DOCTYPE html>\n<p>", 200, HTML, "\n<!DOCTYPE html>\n<p>"),
    ("<html><body>", 200, HTML, "<html><body>"),
    (b"<html>", 200, HTML, "<html>"),
    (b"bytes", 200, "", "bytes"),
    (bytearray(b"more"), 200, "", "more"),
    (None, 200, "", ""),
    ((201, {"id": 5}), 201, JSON, '{"id": 5}'),
    ((404, "nothing"), 404, TEXT, "nothing"),
    ((401, None), 401, "", ""),
    ((204, None), 204, "", ""),
    ((204, "dropped"), 204, "", ""),
    ((200, "in", {}), 200, TEXT, "in"),
    (Response.html("<p>", 203), 203, HTML, "<p>"),
]


@pytest.mark.parametrize(("result", "status", "kind", "body"), RESULTS, ids=[repr(row[0])[:30] for row in RESULTS])
def test_a_result_becomes_an_answer(serving: Any, result: Any, status: int, kind: str, body: str) -> None:
    answer = ask(serving, lambda: result)
    assert (answer.status, answer.headers.get("content-type"), answer.text) == (status, kind, body)


COOKIES = [
    ({"auth": "true", "n": 5}, ["auth=true; Path=/", "n=5; Path=/"]),
    ({"session": "abc; HttpOnly; Path=/x"}, ["session=abc; HttpOnly; Path=/x"]),
    ("auth=true; Path=/", ["auth=true; Path=/"]),
    (["a=1", "b=2; Path=/"], ["a=1", "b=2; Path=/"]),
    (None, []),
]


@pytest.mark.parametrize(("cookies", "lines"), COOKIES, ids=lambda value: repr(value)[:30])
def test_a_third_part_of_a_result_is_cookies(cookies: Any, lines: list[str]) -> None:
    assert as_response((200, "in", cookies)).headers.all("set-cookie") == lines


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (5, "a thing of type int"),
        (True, "a thing of type bool"),
        ({1, 2}, "a thing of type set"),
        ((200,), r"a handler gave \(int\): a tuple is \(status, data\)"),
        (("ok", 200), r"a handler gave \(str, int\)"),
        ((True, "x"), r"\(bool, str\)"),
        ((1, 2, 3, 4), "a tuple is"),
        ((200, 5), "a thing of type int"),
        ({"a": {1}}, "set is not JSON serializable"),
    ],
    ids=repr,
)
def test_a_result_that_means_nothing_is_said_in_words(result: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        as_response(result)


@pytest.mark.parametrize("result", [(99, "x"), (200, "x", {"a": "b\r\nc"}), (200, "x", ["a=1\r\nX: y"])], ids=repr)
def test_what_must_not_be_sent_is_not(result: Any) -> None:
    with pytest.raises(LocalProtocolError):
        as_response(result)


def test_a_handler_may_say_it_to_the_response(serving: Any) -> None:
    def say(request: Any, response: Any) -> Any:
        response.status_code = 202
        response.headers["X-Mine"] = "1"
        response.headers["content-type"] = "text/csv"
        response.headers["Content-Length"] = "999"
        response.cookies["a"] = "1"
        return "a,b"

    answer = ask(serving, say)
    assert (answer.status, answer.text) == (202, "a,b")
    assert answer.headers.all("content-type") == ["text/csv"]
    assert answer.headers.all("content-length") == ["3"]
    assert (answer.headers["x-mine"], answer.headers["set-cookie"]) == ("1", "a=1; Path=/")


def test_what_a_handler_says_of_its_status_wins_over_what_it_said_to_the_response(serving: Any) -> None:
    def say(request: Any, response: Any) -> Any:
        response.status = 404
        response._content = b"gone"
        return 410, None

    answer = ask(serving, say)
    assert (answer.status, answer.body) == (410, b"gone")


def test_headers_of_the_response_go_with_a_response_too(serving: Any) -> None:
    def say(request: Any, response: Any) -> Any:
        response.cookies["a"] = "1"
        return Response.redirect("/elsewhere")

    answer = ask(serving, say)
    assert (answer.status, answer.headers["location"]) == (303, "/elsewhere")
    assert answer.headers["set-cookie"] == "a=1; Path=/"


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True])
def test_an_error_of_a_handler_is_500_and_a_traceback(serving: Any, blocking: bool) -> None:
    def fail() -> None:
        raise RuntimeError("the database is away")

    app = WeApRous()
    app.route("/fail", blocking=blocking)(fail)
    running = serving(app)
    answer = running.get("/fail")
    assert answer.status == 500 and "database" not in answer.text
    log = "".join(running.log_lines)
    assert "RuntimeError: the database is away" in log and "in fail" in log


def test_a_handler_may_raise_what_plugins_raise(serving: Any) -> None:
    def fail() -> None:
        raise HTTPError(418, "a teapot")

    assert ask(serving, fail).status == 418


@pytest.mark.parametrize(
    ("path", "methods", "words"),
    [
        ("login", ["GET"], "does not begin with /"),
        ("/a b", ["GET"], "percent-encode"),
        ("/{a", ["GET"], "a bracket"),
        ("/x", ["BREW"], "/x: unknown method 'BREW'. There are GET, HEAD, POST"),
        ("/x", [], "unknown method"),
        ("/taken", ["get"], "GET /taken is already a route of this program"),
    ],
)
def test_a_route_that_cannot_be_is_refused_where_it_is_declared(path: str, methods: list[str], words: str) -> None:
    app = WeApRous()
    app.route("/taken")(lambda: None)
    with pytest.raises(RouteError, match=words):
        app.route(path, methods)(lambda: None)
    assert len(app._routes) == 1


def test_an_async_handler_cannot_be_blocking() -> None:
    with pytest.raises(TypeError, match="asynchronous is async, so no helper thread can run it"):
        WeApRous().route("/", blocking=True)(asynchronous)
    WeApRous(blocking=True).route("/")(asynchronous)  # which only says what the others are


@pytest.mark.parametrize(
    ("ip", "port", "words"),
    [
        ("127.0.0.1", "http", "app.prepare_address('127.0.0.1', 'http'): invalid literal"),
        ("127.0.0.1", 70000, "port 70000 is above 65535"),
        ("127.0.0.1\n[plugin:auth]", 80, "is not HOST:PORT"),
        ("", 80, "is not HOST:PORT"),
    ],
)
def test_an_address_that_is_none_is_one_line(capsys: Any, ip: str, port: Any, words: str) -> None:
    app = WeApRous()
    app.prepare_address(ip, port)
    with pytest.raises(SystemExit) as caught:
        app.run()
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and words in err


def test_without_an_address_it_says_what_to_call(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        WeApRous().run()
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("call app.prepare_address(ip, port) before app.run()\n")


# -- as a plugin -----------------------------------------------------------------------------------------------------

NOTES = '''
    """Notes."""
    from reactor.weaprous import WeApRous

    app = WeApRous()
    notes = []

    @app.route("/notes", methods=["GET", "POST"])
    @app.route("/notes/", methods="GET POST")
    def all_notes(request):
        if request.method == "POST":
            notes.append(request.body)
        return notes

    @app.route("/slow", blocking=True)
    def slow(headers, body):
        return "done"

    @app.route("/big", methods=["PUT"], max_body=10)
    def big(body):
        return str(len(body))
'''


def test_an_application_is_a_plugin(tmp_path: Path, modules: Modules) -> None:
    use = modules.write(NOTES) + ":app"
    sections: dict[str, dict[str, str]] = {"plugin:notes": {"use": use}, "plugin:tracker": {}}
    with TestApp(sections, state_dir=tmp_path) as app:
        app.post("/notes", body=b"one")
        app.reload(sections)
        assert app.post("/notes/", body=b"two").json() == ["one", "two"]
        assert app.get("/slow").text == "done"
        assert app.get("/get-list").status == 200
        assert app.request("DELETE", "/notes").headers["allow"] == "GET, HEAD, OPTIONS, POST"
        assert [app.put("/big", body=bytes(size)).status for size in (10, 11)] == [200, 413]
    check_plugin(use, state_dir=tmp_path)


def test_a_guard_of_another_plugin_may_stand_before_a_route(serving: Any, modules: Modules) -> None:
    guard = modules.write(
        """
        from reactor import Response
        def setup(plugin, options):
            plugin.guard("named", lambda request: setattr(request, "user", "Ann"))
        """
    )
    app = WeApRous()
    app.route("/", guard="named")(lambda request: request.user)
    assert serving(app, guards={"use": guard}).get("/").text == "Ann"


DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "weaprous.md").read_text()


def test_the_programs_of_the_document_do_what_it_says(serving: Any) -> None:
    login, report = (text for text in re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.S | re.M) if "@app" in text)
    space: dict[str, Any] = {"__name__": "not_main"}
    exec(compile(login, "weaprous.md", "exec"), space)
    answer = serving(space["app"]).post("/login", body=b"Ann")
    assert (answer.json(), answer.headers["set-cookie"]) == ({"hello": "Ann"}, "guest=Ann; Path=/")
    assert serving(space["app"]).post("/login").status == 401
    exec(compile(report.replace("time.sleep(1)", ""), "weaprous.md", "exec"), space)
    assert serving(space["app"]).get("/report").text == "done"


@pytest.mark.parametrize("name", VALUES)
def test_the_document_names_what_a_parameter_may_be_called(name: str) -> None:
    assert re.search(rf"^\|.*`{name}`.*\|.*\|$", DOCUMENT, re.M)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("{module}:nothing", "config.ini:2: [plugin:it] use: the module {module} has no nothing"),
        ("{module}:notes", "config.ini:1: [plugin:it]: [] has no setup(plugin, options)"),
        ("no_such_module:app", "use: there is no module no_such_module: no such plugin"),
    ],
)
def test_what_is_no_application_is_said_in_a_line(modules: Modules, use: str, words: str) -> None:
    module = modules.write(NOTES)
    config = Config(f"[plugin:it]\nuse = {use.format(module=module)}\n")
    with pytest.raises(ConfigError) as caught:
        App(FakeReactor(), config, Log(lambda stream, line: None))
    assert words.format(module=module) in str(caught.value)
