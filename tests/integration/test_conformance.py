"""The tables of tests/conformance against a real server: whole and byte by byte, in plain and over TLS.

A row is a request as it goes over the wire, and what may be answered:

    name, section, level   which rule it is of; MUST, SHOULD, or hardening (not asked for, and known from attacks)
    request                text, each character a byte; or a list of texts and of {text, times}
    answers                the statuses that are right
    body, fields, has, without, head, interim, count, last, closes, plain    what else has to be so: see `Row`

Behind every request stands a probe. If the request was refused, or asked for the end of the connection, the probe must
never be answered: it may be anything, of anybody. Otherwise it must be, exactly once.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from server import ROOT, Server, write_config
from tls_client import client_context, make_pair

TABLES = sorted((ROOT / "tests" / "conformance").glob("*.toml"))
PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# After these nobody knows where the next request begins.
REFUSALS = frozenset({400, 413, 414, 431, 505})
SECONDS = 20.0

SITE = '''"""What the tables ask for."""

from collections.abc import AsyncIterator

from reactor import Plugin, Request, Response


async def pieces() -> AsyncIterator[bytes]:
    for piece in (b"one", b" ", b"two"):
        yield piece


def fail(request: Request) -> Response:
    raise RuntimeError("as it should")


def setup(plugin: Plugin, options: None) -> None:
    plugin.route("GET", "/", lambda request: Response("ok"))
    plugin.route("GET", "/probe", lambda request: Response("the probe"))
    plugin.route("GET", "/host", lambda request: Response(request.head.host))
    plugin.route("POST", "/echo", lambda request: Response(request.body))
    plugin.route("GET", "/stream", lambda request: Response.streaming(pieces()))
    plugin.route("GET", "/empty", lambda request: Response.empty())
    plugin.route("GET", "/fail", fail)
    plugin.route("GET", "/cookies", lambda request: Response("&".join(map("=".join, request.cookies.items()))))
'''


@dataclass
class Row:
    name: str
    section: str
    level: str
    request: str | list[str | dict[str, Any]]
    answers: list[int]
    body: str | None = None  # of the first answer
    fields: dict[str, str] = field(default_factory=dict)  # of the first answer; "" must not be there
    has: list[str] = field(default_factory=list)  # fields that must be there
    without: str = ""  # what no answer may hold
    head: bool = False  # the answer is one to HEAD
    interim: bool | None = None  # whether a 100 must come
    count: int = 1  # so many requests
    last: int = 0  # the status of the last one, where it differs
    closes: bool = False  # the connection ends, though nothing was wrong
    plain: bool = False  # makes no sense over TLS

    @property
    def wire(self) -> bytes:
        parts = self.request if isinstance(self.request, list) else [self.request]
        texts = [part if isinstance(part, str) else part["text"] * part["times"] for part in parts]
        return "".join(texts).encode("latin-1")


ROWS = [Row(**row) for table in TABLES for row in tomllib.loads(table.read_text())["case"]]


@dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int, ssl.SSLContext]]:
    """One that listens in plain, the port on which it speaks TLS, and who trusts it."""
    directory = tmp_path_factory.mktemp("conformance")
    (directory / "conformance_site.py").write_text(SITE)
    pair = make_pair(directory / "pair")
    lines = f"listen_tls = 127.0.0.2:0\ntls_cert = {pair.cert}\ntls_key = {pair.key}"
    plugins = {"auth": "", "static": "", "tracker": "", "site": "use = conformance_site"}
    with Server(write_config(directory / "config.ini", plugins, server=lines)) as running:
        running.allowed = ["as it should", "Traceback", 'File "', "    ", "GET /fail"]
        port = re.search(r"https://127\.0\.0\.2:(\d+)", running.wait_for("https://"))
        assert port is not None
        yield running, int(port[1]), client_context(pair.cert)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("is_slow", [False, True], ids=["whole", "byte by byte"])
def test_every_row_of_the_tables(server: tuple[Server, int, ssl.SSLContext], is_tls: bool, is_slow: bool) -> None:
    running, tls_port, context = server
    rows = [row for row in ROWS if not (is_tls and row.plain)]
    port = tls_port if is_tls else running.port
    wrong = asyncio.run(_all(rows, port, context if is_tls else None, is_slow))
    assert not wrong, "\n".join(wrong)


def test_the_tables_are_well_formed() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) >= 200
    assert {row.level for row in ROWS} == {"MUST", "SHOULD", "hardening"}
    assert all(row.section.startswith("RFC ") for row in ROWS)


async def _all(rows: list[Row], port: int, context: ssl.SSLContext | None, is_slow: bool) -> list[str]:
    found = await asyncio.gather(*(_try(row, port, context, is_slow) for row in rows))
    return [words for words in found if words]


async def _try(row: Row, port: int, context: ssl.SSLContext | None, is_slow: bool) -> str:
    try:
        async with asyncio.timeout(SECONDS):
            received = await _exchange(_pieces(row, is_slow), port, context, is_slow)
    except TimeoutError:
        return f"{row.name}: the connection was not closed"
    try:
        wrong = _judge(row, _parse(row, received))
    except (ValueError, KeyError) as error:
        wrong = f"no answer that can be read ({error!r})"
    return f"{row.name} ({row.section}, {row.level}): {wrong}\n    {received[:300]!r}" if wrong else ""


def _pieces(row: Row, is_slow: bool) -> list[bytes]:
    """What goes over the wire, piece by piece. Where the request asks for the end, the probe comes with its last byte:
    bytes that come behind the end are answered with a reset, and that would be a race.
    """
    wire, last = row.wire + PROBE, b""
    if not is_slow:
        return [wire]
    if row.closes:
        wire, last = row.wire[:-1], row.wire[-1:] + PROBE
    step = 1 if len(wire) < 2000 else 997
    return [wire[at : at + step] for at in range(0, len(wire), step)] + [last] * bool(last)


async def _exchange(pieces: list[bytes], port: int, context: ssl.SSLContext | None, is_slow: bool) -> bytes:
    """All that comes back until the end."""
    host = "127.0.0.2" if context else "127.0.0.1"
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host if context else None)
    received = bytearray()
    reading = asyncio.ensure_future(_read(reader, received))
    try:
        for piece in pieces:
            if reading.done():
                break
            writer.write(piece)
            await writer.drain()
            if is_slow:
                await asyncio.sleep(0.001)
        await reading
    except ConnectionError:  # it has closed; what it said before is there
        await reading
    finally:
        reading.cancel()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
    return bytes(received)


async def _read(reader: asyncio.StreamReader, received: bytearray) -> None:
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionError:
        received += b"(and then the connection was reset)"


def _parse(row: Row, received: bytes) -> tuple[bool, list[Answer]]:
    """Whether a 100 came, and the final answers."""
    interim, answers, rest = False, [], received
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        version, code, _ = start.split(" ", 2)
        if not end or version != "HTTP/1.1":
            raise ValueError(start)
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        if code == "100":
            interim = True
            continue
        has_body = not (row.head and not answers) and code not in ("204", "304")
        body, rest = _body(fields, rest) if has_body else (b"", rest)
        answers.append(Answer(int(code), fields, body))
    return interim, answers


def _body(fields: dict[str, str], rest: bytes) -> tuple[bytes, bytes]:
    if fields.get("transfer-encoding") != "chunked":
        length = int(fields["content-length"]) if "content-length" in fields else len(rest)
        if len(rest) < length:
            raise ValueError("a body that is cut off")
        return rest[:length], rest[length:]
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            return body, rest


def _judge(row: Row, read: tuple[bool, list[Answer]]) -> str:
    """What is wrong; "" if nothing is."""
    interim, answers = read
    probes = sum(1 for answer in answers if answer.body == b"the probe")
    answers = [answer for answer in answers if answer.body != b"the probe"]
    if len(answers) != row.count:
        return f"{len(answers)} answers instead of {row.count}"
    expected = [row.answers] * (row.count - 1) + [[row.last] if row.last else row.answers]
    for answer, right in zip(answers, expected, strict=True):
        if answer.status not in right:
            return f"answered {answer.status} instead of {right}"
    must_close = row.closes or answers[-1].status in REFUSALS
    must_go_on = answers[-1].status < 400 and not row.closes
    if probes and must_close:
        return "the probe behind it was answered"
    if must_go_on and probes != 1:
        return f"the probe behind it was answered {probes} times"
    return _judge_first(row, interim, answers[0])


def _judge_first(row: Row, interim: bool, first: Answer) -> str:
    if row.interim is not None and interim is not row.interim:
        return f"100 Continue: {interim}"
    if row.body is not None and first.status == 200 and first.body.decode("latin-1") != row.body:
        return f"the body is {first.body!r}"
    for name, value in row.fields.items():
        if first.fields.get(name, "") != value:
            return f"{name} is {first.fields.get(name)!r}"
    missing = [name for name in row.has if name not in first.fields]
    if missing:
        return f"without {missing}"
    return f"it says {row.without!r}" if row.without and row.without.encode() in first.body else ""
