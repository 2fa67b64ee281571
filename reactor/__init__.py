"""The public face: all that a plugin author or embedder may import.

What is not named here may change from one version to the next. `reactor.testing` is public too.
"""

from reactor.core.listener import Address, is_loopback
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Future, Task, sleep, timeout
from reactor.core.timers import NEVER, Deadline
from reactor.errors import (
    ConfigError,
    ConnectionLost,
    DialError,
    HTTPError,
    LocalProtocolError,
    Overloaded,
    ReactorError,
    RemoteProtocolError,
    StartError,
)
from reactor.http.events import ServerEvent, event_stream
from reactor.http.message import FilePart, Guard, Handler, Middleware, Request, Response
from reactor.plugin import Plugin
from reactor.sansio.cookies import format_cookie
from reactor.sansio.headers import Headers

__all__ = [
    "NEVER",
    "Address",
    "Cancelled",
    "ConfigError",
    "ConnectionLost",
    "Deadline",
    "DialError",
    "FilePart",
    "Future",
    "Guard",
    "HTTPError",
    "Handler",
    "Headers",
    "LocalProtocolError",
    "Middleware",
    "Overloaded",
    "Plugin",
    "Reactor",
    "ReactorError",
    "RemoteProtocolError",
    "Request",
    "Response",
    "ServerEvent",
    "StartError",
    "Task",
    "event_stream",
    "format_cookie",
    "is_loopback",
    "sleep",
    "timeout",
]
