"""The access log: one line an answer whatever a client sends, in two formats; and what requests are called."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import IO, Any

import pytest
from plugin_files import Modules

from reactor.access import MOST_TOGETHER, AccessLog, Format, open_stream
from reactor.errors import StartError
from reactor.http.message import Request
from reactor.http.router import Router
from reactor.http.server import HTTPServer, Settings, Site
from reactor.log import Log
from reactor.sansio.head import RequestHead, ResponseHead
from reactor.sansio.headers import Headers
from reactor.testing import EPOCH, FakeReactor, TestApp


class Written:
    """An access log whose lines stay here."""

    def __init__(self, form: Format = "combined", details: bool = True) -> None:
        self.reactor = FakeReactor()
        self.batches: list[str] = []
        self.access = AccessLog(
            self.reactor, Log(self._write), None, form, details, lambda: EPOCH + self.reactor.clock.now - 1000.0
        )

    def _write(self, stream: IO[str] | None, lines: str | None, count: int = 1) -> None:
        assert lines is not None
        assert lines.count("\n") + 1 == count
        self.batches.append(lines)

    @property
    def lines(self) -> list[str]:
        self.access.flush()
        return "\n".join(self.batches).split("\n") if self.batches else []

    def note(
        self, head: RequestHead | None, status: int = 200, sent: int = 12, user: str | None = None,
        took: float = 0.0, client: str = "10.0.0.1", at_once: bool = True,
    ) -> None:  # fmt: skip
        request = Request(head, client, {}) if head is not None else None
        if request is not None:
            request.user = user
        now = self.reactor.clock.now
        if request is None or not at_once:
            self.access.note([], now, [(head, request, client, status, sent, now - took)])
            return
        request._answer = ResponseHead(status, Headers([]), length=sent)
        self.access.note([request], now - took, [])


def head(target: str = "/x?a=1", **fields: str) -> RequestHead:
    pairs = [("host", "a"), *((name.replace("_", "-"), value) for name, value in fields.items())]
    return RequestHead("GET", target, Headers(pairs))


NASTY = 'evil" \x1b\\ \xe9 \x7f\x9b\u2028\u202e'
COMBINED = re.compile(r'(\S+) - (\S+) \[([^]]+)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)" (\d+) (\S+)')


def test_a_line_is_the_combined_format_with_duration_and_name() -> None:
    log = Written()
    log.note(head(referer="http://b/", user_agent="curl/8"), took=0.0015, user="ann b")
    log.note(head(), 404, 0, client="::1")
    log.note(None, 400, 95)
    first, second, third = log.lines
    found = COMBINED.fullmatch(first)
    assert found is not None
    assert found.groups()[:2] == ("10.0.0.1", "ann\\x20b")
    assert found.groups()[3:8] == ("GET /x?a=1 HTTP/1.1", "200", "12", "http://b/", "curl/8")
    assert abs(int(found[9]) - 1500) <= 1
    assert second.startswith("::1 - - [")
    assert '"GET /x?a=1 HTTP/1.1" 404 0 "-" "-" ' in second
    assert third.endswith('"-" 400 95 "-" "-" 0 -')


def test_the_combined_format_is_the_one_that_every_tool_reads() -> None:
    log = Written(details=False)
    for at_once in (True, False):
        log.note(head(referer="http://b/", user_agent="curl/8"), took=0.0015, user="ann", at_once=at_once)
    line = '10.0.0.1 - ann [14/Nov/2023:22:13:20 +0000] "GET /x?a=1 HTTP/1.1" 200 12 "http://b/" "curl/8"'
    assert [re.sub(r"\[.*?\]", "[14/Nov/2023:22:13:20 +0000]", found) for found in log.lines] == [line, line]


@pytest.mark.parametrize("details", [True, False])
@pytest.mark.parametrize("form", ["combined", "json"])
def test_an_answer_at_once_is_told_like_any_other(form: Format, details: bool) -> None:
    lines = []
    for at_once in (True, False):
        log = Written(form, details)
        shared = head(referer=NASTY)
        for user, client in ((None, "10.0.0.1"), ("ann", "10.0.0.1"), ("ann", "10.0.0.2"), (None, "10.0.0.1")):
            for status, sent in ((200, 12), (200, 12), (404, 3)):
                log.note(shared, status, sent, user, 0.25, client, at_once)
        lines.append([re.sub(r"[0-9a-f]{12}-[0-9a-f]+", "NAME", line) for line in log.lines])
    assert len(lines[0]) == 12
    assert lines[0] == lines[1]


def test_thousands_may_be_answered_in_one_turn_and_each_keeps_its_name() -> None:
    log = Written("json")
    shared, answer = head(), ResponseHead(200, Headers([]), length=2)
    requests = [Request(shared, "10.0.0.1", {}) for _ in range(5000)]
    asked_before = requests[7].id
    for request in requests:
        request._answer = answer
    log.access.note(requests, log.reactor.clock.now, [])
    names = [json.loads(line)["id"] for line in log.lines]
    assert len(set(names)) == 5000
    assert names == [request.id for request in requests]
    assert names[7] == asked_before


def test_nobody_writes_a_line_or_a_quotation_mark_into_it() -> None:
    log = Written()
    log.note(head(user_agent=NASTY, referer='" 200 0'), user='a" \n200')
    [line] = log.lines
    assert COMBINED.fullmatch(line)
    assert "evil\\x22 \\x1b\\x5c é \\x7f\\x9b\\u2028\\u202e" in line
    assert "a\\x22\\x20\\x0a200" in line


def test_a_line_of_json_is_one_object_and_plain_ascii() -> None:
    log = Written("json")
    log.note(head(user_agent=NASTY), took=0.25, user='ü"\n')
    log.note(None, 400, 95)
    first, second = log.lines
    assert first.isascii() and first.isprintable()
    found = json.loads(first)
    assert found.pop("id")
    assert found == {
        "time": "2023-11-14T22:13:20Z", "client": "10.0.0.1", "user": 'ü"\n', "method": "GET", "target": "/x?a=1",
        "version": "1.1", "status": 200, "sent": 12, "referer": None, "agent": NASTY, "duration_us": 250000,
    }  # fmt: skip
    assert json.loads(second)["target"] is None


def test_without_details_json_is_an_object_all_the_same() -> None:
    log = Written("json", details=False)
    for at_once in (True, False):
        log.note(head(), at_once=at_once)
    for line in log.lines:
        assert list(json.loads(line)) == [
            "time", "client", "user", "method", "target", "version", "status", "sent", "referer", "agent",
        ]  # fmt: skip


@pytest.mark.parametrize("at_once", [True, False])
def test_a_client_without_an_address_is_told_as_one_that_is_not_known(at_once: bool) -> None:
    combined, objects = Written(), Written("json")
    for log in (combined, objects):
        log.note(head(), client="", at_once=at_once)
    found = COMBINED.fullmatch(combined.lines[0])
    assert found is not None and found[1] == "-"
    assert json.loads(objects.lines[0])["client"] is None


def test_what_is_remembered_of_a_head_never_tells_another_answer() -> None:
    log = Written()
    shared = head()
    for status, sent in ((200, 1), (200, 2), (304, 2), (200, 1)):
        log.note(shared, status, sent)
    assert [line.split('"')[2] for line in log.lines] == [" 200 1 ", " 200 2 ", " 304 2 ", " 200 1 "]
    other = Written("json")
    other.note(shared)
    assert json.loads(other.lines[0])["status"] == 200


def test_the_time_of_a_line_is_that_of_its_second() -> None:
    log = Written("json")
    log.note(head())
    log.reactor.clock.now += 0.9
    log.note(head())
    log.reactor.clock.now += 0.2
    log.note(head())
    assert [json.loads(line)["time"][-3:] for line in log.lines] == ["20Z", "20Z", "21Z"]


def test_lines_go_together_and_wait_a_tenth_of_a_second_at_the_most() -> None:
    log = Written()
    log.note(head())
    log.note(head())
    log.reactor.advance(0.05)
    assert log.batches == []
    log.reactor.advance(0.06)
    assert [batch.count("\n") + 1 for batch in log.batches] == [2]
    for _ in range(MOST_TOGETHER + 1):
        log.note(head())
    assert [batch.count("\n") + 1 for batch in log.batches] == [2, MOST_TOGETHER]
    log.reactor.advance(1)
    assert [batch.count("\n") + 1 for batch in log.batches] == [2, MOST_TOGETHER, 1]


def test_a_user_whom_utf_8_cannot_write_costs_nobody_a_line(tmp_path: Path) -> None:
    log = Written()
    for user in ("ann", "\ud800", "bob"):
        log.note(head(), user=user)
    stream = open_stream("access.log", tmp_path, None)
    assert stream is not None
    with stream:
        stream.write("\n".join(log.lines))
    users = [line.split()[2] for line in (tmp_path / "access.log").read_text().splitlines()]
    assert users == ["ann", "\\ud800", "bob"]


def test_a_file_that_cannot_be_opened_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot write the access log no/such/two.log: No such file"):
        open_stream("no/such/two.log", tmp_path, None)


def test_addresses_of_clients_are_the_same_object_and_kept_within_bounds() -> None:
    server = HTTPServer(FakeReactor(), Site(Router(), Settings()))
    first = server.client_of(("".join(("192.0.2", ".1")), 1))
    assert server.client_of(("".join(("192.0", ".2.1")), 2)) is first
    for number in range(5000):
        server.client_of((f"2001:db8::{number:x}", 1))
    assert len(server._clients) <= 1024
    assert server.client_of("") == ""


# -- what requests are called ----------------------------------------------------------------------------------------

FAILING = """
    '''Fails, waits, refuses.'''
    from reactor import HTTPError, Request, Response, sleep

    def setup(plugin, options):
        def fail(request):
            raise ValueError("a bug")
        async def fail_later(request):
            await sleep(0.2)
            raise ValueError("a late bug")
        async def stream(request):
            async def pieces():
                yield b"abc"
                await sleep(1)
                yield b"def"
            return Response.streaming(pieces())
        plugin.route("GET", "/fail", fail)
        plugin.route("GET", "/late", fail_later)
        plugin.route("GET", "/id", lambda request: Response(request.id))
        plugin.route("GET", "/named/{name}", lambda request: Response(request.params["name"]))
        plugin.route("GET", "/stream", stream)
"""
PROXY = {"X-Forwarded-For": "192.0.2.7", "X-Request-ID": "from-the-proxy.7"}


def make(modules: Modules, tmp_path: Path, **server: str) -> TestApp:
    options = {"access_log": "access.log", "access_log_format": "json", "access_log_details": "yes", **server}
    app = TestApp({"plugin:x": {"use": modules.write(FAILING)}}, state_dir=tmp_path, server=options, directory=tmp_path)
    app.app.observer.open(app.app.generation.config)  # a TestApp has no start that opens it
    app.app.observer.use(app.app.generation)
    return app


def noted(app: TestApp) -> list[dict[str, Any]]:
    app.advance(0.2)
    return [json.loads(line) for line in app.log_lines if line.startswith("{")]


@pytest.mark.parametrize(("target", "waited"), [("/fail", 0.0), ("/late", 0.2)])
def test_the_traceback_of_a_request_and_its_line_have_one_name(
    modules: Modules, tmp_path: Path, target: str, waited: float
) -> None:
    with make(modules, tmp_path) as app:
        assert app.get(target).status == 500
        [entry] = noted(app)
        assert any(f"an error in the handler of GET {target} (request {entry['id']})" in line for line in app.log_lines)
        assert entry["status"] == 500
        assert entry["duration_us"] == pytest.approx(waited * 1e6, abs=110_000 if waited else 0)


def test_a_name_is_taken_from_trusted_proxies_only(modules: Modules, tmp_path: Path) -> None:
    with make(modules, tmp_path, trusted_proxies="10.0.0.0/8") as app:
        assert app.get("/id", headers=PROXY, client="10.1.2.3").text == "from-the-proxy.7"
        for client, headers in (
            ("192.0.2.1", PROXY),
            ("10.1.2.3", {**PROXY, "X-Request-ID": "two words"}),
            ("10.1.2.3", {**PROXY, "X-Request-ID": "x" * 129}),
            ("10.1.2.3", {**PROXY, "X-Request-ID": ""}),
        ):
            name = app.get("/id", headers=headers, client=client).text
            assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", name)
        entries = noted(app)
        assert [entry["client"] for entry in entries] == ["192.0.2.7", "192.0.2.1", *["192.0.2.7"] * 3]
        assert entries[0]["id"] == "from-the-proxy.7"
        assert len({entry["id"] for entry in entries}) == 5


def test_a_name_is_sent_only_if_that_is_wanted(modules: Modules, tmp_path: Path) -> None:
    with make(modules, tmp_path) as app:
        assert "x-request-id" not in app.get("/id").headers
    with make(modules, tmp_path, send_request_id="yes") as app:
        names = []
        for target in ("/id", "/fail", "/late", "/stream", "/nothing"):
            answer = app.get(target)
            [name] = answer.headers.all("x-request-id")
            names.append(name)
        assert [entry["id"] for entry in noted(app)] == names


def test_a_request_that_cannot_be_read_has_not_the_name_of_the_one_before(modules: Modules, tmp_path: Path) -> None:
    with make(modules, tmp_path, send_request_id="yes") as app:
        transport = app.connect()
        transport.feed(b"GET /id HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
        app.advance(1)
        assert transport.sent.count(b"X-Request-ID") == 1
        assert transport.sent.count(b"HTTP/1.1") == 2
        assert [entry["id"] for entry in noted(app)][1] == "-"


def test_a_path_that_cannot_be_decoded_is_noted_like_any_other(modules: Modules, tmp_path: Path) -> None:
    options = {"send_request_id": "yes", "trusted_proxies": "10.0.0.0/8"}
    with make(modules, tmp_path, **options) as app:
        answer = app.get("/named/%ff", headers=PROXY, client="10.1.2.3")
        assert (answer.status, answer.headers.all("x-request-id")) == (400, ["from-the-proxy.7"])
        transport = app.connect()
        transport.feed(b"".join(b"GET /named/%b HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in (b"a", b"%ff", b"b")))
        first, *others = noted(app)
        assert (first["client"], first["id"], first["status"]) == ("192.0.2.7", "from-the-proxy.7", 400)
        assert [entry["status"] for entry in others] == [200, 400, 200]
        assert re.findall(rb"X-Request-ID: (\S+)", transport.sent) == [entry["id"].encode() for entry in others]


def test_what_is_answered_behind_a_turn_that_took_long_has_not_taken_long(modules: Modules, tmp_path: Path) -> None:
    with make(modules, tmp_path) as app:
        transport, other = app.connect(), app.connect()
        transport.feed(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        app.app.server.on_error = lambda error, where: ask_meanwhile()

        def ask_meanwhile() -> None:
            app.clock.now += 3
            app.reactor.call_soon(other.feed, b"GET /id HTTP/1.1\r\nHost: a\r\n\r\n")

        app.advance(4)  # which the handler takes three of
        durations = {entry["target"]: entry["duration_us"] for entry in noted(app)}
        assert durations["/id"] == 0
        assert durations["/late"] == pytest.approx(3.2e6, abs=1e5)


def test_a_stream_is_noted_at_its_end_with_its_bytes(modules: Modules, tmp_path: Path) -> None:
    with make(modules, tmp_path) as app:
        transport = app.connect()
        transport.feed(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert noted(app) == []
        app.advance(1)
        [entry] = noted(app)
        assert (entry["status"], entry["sent"]) == (200, 6)
        assert entry["duration_us"] == pytest.approx(1e6, abs=1e5)


def test_names_are_made_by_the_thousand_and_never_twice() -> None:
    from reactor.http.request_id import new_id

    names = [new_id() for _ in range(10_000)]
    assert len(set(names)) == 10_000
