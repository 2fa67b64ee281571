"""What `[plugin:proxy]` may say, and what a host may: `host` blocks of proxy.conf and sections `[proxy:NAME]` alike.

What a host leaves out (None) is as `[plugin:proxy]` has it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
OrNone = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
OrNever = Annotated[float, msgspec.Meta(ge=0)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of all hosts, but for `conf`."""

    conf: str = ""  # a file with host blocks
    policy: str = "round-robin"
    max_body: OrNone = 0  # bytes of a request's body; 0: no bound
    connect_timeout: Seconds = 5.0
    response_timeout: Seconds = 60.0  # from the last byte of a request to the first of its answer
    idle_timeout: Seconds = 60.0  # without a byte in the middle of a body
    tunnel_timeout: OrNever = 3600.0  # without a byte on a WebSocket; 0: never
    half_closed: bool = False  # go on for a client that has ended its side; else it is taken for gone
    retries: OrNone = 2  # further tries of an idempotent request
    retry_budget: OrNone = 20  # percent of the requests that may be tried again
    max_connections: AtLeastOne = 1024  # to one server, at once
    queue_timeout: OrNever = 5.0  # that a request waits for one of them
    keep: OrNone = 512  # idle connections to one server
    keep_alive: Seconds = 30.0  # that one stays idle
    max_fails: OrNone = 3  # failures of a server within `fail_window` that put it aside; 0: none does
    fail_window: Seconds = 10.0
    fail_timeout: Seconds = 10.0  # that it is aside
    slow_return: OrNever = 10.0  # in which its share grows to the full one again
    check_path: str = ""  # asked of every server, if given
    check_interval: Seconds = 5.0
    check_timeout: Seconds = 2.0
    check_status: str = "200-399"  # what a good answer has


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One host, with all its names."""

    host: list[str]
    to: list[str]  # URLs of servers, each perhaps with weight=N
    set_header: list[str] = []  # Name value
    guard: str = ""  # of another plugin, such as login
    policy: str | None = None
    max_body: OrNone | None = None
    connect_timeout: Seconds | None = None
    response_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    tunnel_timeout: OrNever | None = None
    half_closed: bool | None = None
    retries: OrNone | None = None
    retry_budget: OrNone | None = None
    max_connections: AtLeastOne | None = None
    queue_timeout: OrNever | None = None
    keep: OrNone | None = None
    keep_alive: Seconds | None = None
    max_fails: OrNone | None = None
    fail_window: Seconds | None = None
    fail_timeout: Seconds | None = None
    slow_return: OrNever | None = None
    check_path: str | None = None
    check_interval: Seconds | None = None
    check_timeout: Seconds | None = None
    check_status: str | None = None


T = TypeVar("T", bound=msgspec.Struct)


def merged(options: Options, part: Part) -> Options:
    """The options as one host has them."""
    own: dict[str, Any] = {
        name: value for name in Options.__struct_fields__ if (value := getattr(part, name, None)) is not None
    }
    return msgspec.structs.replace(options, **own)
