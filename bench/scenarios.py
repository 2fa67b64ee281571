"""What is measured, as data: what is asked for, over how many connections, by which tool, of whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bench import wrk
from bench.process import CORES, SERVER_CORE

FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
ALL: Final = ("reactor", "floor", "threads", "nginx", "bjoern", "granian-wsgi", "granian-asgi", "uvicorn", "aiohttp",
              "waitress", "uvicorn-h11", "tornado", "gunicorn")  # fmt: skip
OURS: Final = ("reactor", "floor", "threads")
FAST: Final = tuple(name for name in ALL if name not in ("uvicorn-h11", "tornado", "gunicorn"))
FEW: Final = ("reactor", "floor", "threads", "nginx", "granian-wsgi", "uvicorn")
MANY: Final = ("reactor", "floor", "threads", "nginx", "granian-asgi", "uvicorn", "aiohttp")


@dataclass(frozen=True)
class Scenario:
    """One table of the report.

    `ask` is what a contender has to be able to answer; `tools` are run one after the other: "wrk" for throughput,
    "rate" for latency at `rate` requests a second, "closed" for what wrk cannot check. `series` and `x` put scenarios
    into one picture.
    """

    name: str
    title: str
    ask: str = "ok"
    path: str = "/ok"
    tools: tuple[str, ...] = ("wrk",)
    among: tuple[str, ...] = ALL
    connections: int = 64
    close: bool = False
    script: str = ""
    batch: int = 1
    rate: float = 0.0
    method: str = "GET"
    header: tuple[str, str] | None = None
    body: str = ""
    body_size: int = 0
    vary: int = 1
    peers: int = 20
    accounts: int = 0
    idle: int = 0
    slow: int = 0
    cores: tuple[int, ...] = (SERVER_CORE,)
    series: str = ""
    x: float = 0.0


OK_64: Final = Scenario(
    "ok-64", "Keep-alive, 64 connections, 2 bytes", tools=("wrk", "rate"), rate=2000,
)  # fmt: skip
LIST_64: Final = Scenario("list-64", "Keep-alive, 64 connections, the list of 20 peers", "list", "/get-list")
CLOSE_64: Final = Scenario("close-64", "One connection per request, 64 at a time", close=True)
MAIN: Final = (OK_64, LIST_64, CLOSE_64)


def _unpinned(scenario: Scenario, name: str, title: str) -> Scenario:
    return replace(scenario, name=name, title=title, cores=tuple(CORES), among=("reactor", "threads"))


SINGLE: Final = (
    *MAIN,
    replace(OK_64, name="ok-1", title="Keep-alive, 1 connection, 2 bytes", connections=1, rate=500),
    replace(OK_64, name="ok-1000", title="Keep-alive, 1,000 connections, 2 bytes", connections=1000),
    Scenario("ok-unique", "64 connections, every head different", script=wrk.UNIQUE),
    replace(OK_64, name="ok-busy", title="Latency at 10,000 requests a second", tools=("rate",), rate=10_000,
            among=FAST),
    Scenario("ok-pipelined", "64 connections, 16 requests at a time", script=wrk.PIPELINED, batch=wrk.DEPTH),
    Scenario("page-64", "The page behind the login, 64 connections", "page", "/", among=OURS),
    _unpinned(OK_64, "ok-unpinned", "64 connections, all cores for the server"),
    _unpinned(CLOSE_64, "close-unpinned", "One connection per request, all cores for the server"),
    replace(LIST_64, name="list-1000", title="The list of 1,000 peers, 64 connections", peers=1000, among=OURS),
    Scenario("submit", "POST /submit-info, 20 peers renew", "submit", "/submit-info", among=OURS, script=wrk.SUBMIT),
    Scenario("login-one", "POST /login, one account", "login", "/login", ("closed",), OURS, 8, method="POST",
             header=FORM, body="username=admin&password=password"),
    Scenario("login-many", "POST /login, 200 accounts", "login", "/login", ("closed",), OURS, 8, method="POST",
             header=FORM, body="username=user{n}&password=password", vary=200, accounts=200),
    Scenario("file-1k", "A file of 1 KiB, 64 connections", "static", "/files/1k.bin", among=("reactor", "nginx")),
    Scenario("file-10m", "A file of 10 MiB, 8 connections", "static", "/files/10m.bin", among=("reactor", "nginx"),
             connections=8),
    Scenario("idle-10000", "64 active beside 10,000 idle connections, 2,000 requests a second", tools=("rate",),
             rate=2000, idle=10_000, among=MANY),
    Scenario("slow-500", "64 good beside 500 slow clients, 2,000 requests a second", tools=("rate",), rate=2000,
             slow=500),
)  # fmt: skip

GROWING: Final = (
    *(
        # Not wrk: it would spend the run on opening them.
        Scenario(f"connections-{count}", f"{count:,} connections", among=FEW, connections=count,
                 tools=("closed", "rate"), rate=2000, series="connections", x=count)
        for count in (10, 64, 100, 1_000, 4_000, 10_000)
    ),
    *(
        Scenario(f"peers-{count}", f"The list of {count:,} peers", "list", "/get-list", peers=count, connections=16,
                 among=OURS if count <= 1_000 else ("reactor", "threads"),  # the floor sends once: not a megabyte
                 series="peers", x=count)
        for count in (10, 100, 1_000, 10_000)
    ),
    *(
        Scenario(f"body-{size}", f"A body of {size:,} bytes", "body", "/body", ("closed",), OURS, 4, method="POST",
                 body_size=size, series="body", x=size)
        for size in (1024, 64 * 1024, 1024 * 1024, 16 * 1024 * 1024, 100 * 1024 * 1024)
    ),
)  # fmt: skip

EVERYTHING: Final = (*SINGLE, *GROWING)
BY_NAME: Final = {scenario.name: scenario for scenario in EVERYTHING}


@dataclass(frozen=True)
class Profile:
    scenarios: tuple[Scenario, ...]
    rounds: int
    seconds: int
    among: tuple[str, ...] = ALL


PROFILES: Final = {
    "quick": Profile(MAIN, 3, 1, FEW),
    "main": Profile(MAIN, 5, 2),
    "full": Profile(EVERYTHING, 5, 2),
}

