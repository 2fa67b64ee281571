"""The public face: all that a plugin author or embedder may import.

What is not named here may change from one version to the next. `reactor.testing` is public too.
"""

from reactor.config import load as load_config
from reactor.core.address import Address, is_loopback
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
from reactor.http.client import Client, ClientResponse
from reactor.http.events import ServerEvent, event_stream
from reactor.http.message import FilePart, Guard, Handler, Middleware, Request, Response
from reactor.log import Log, escape
from reactor.plugin import Plugin
from reactor.sansio.cookies import format_cookie
from reactor.sansio.headers import Headers

__all__ = [
    "NEVER",
    "Address",
    "Cancelled",
    "Client",
    "ClientResponse",
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
    "Log",
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
    "escape",
    "event_stream",
    "format_cookie",
    "is_loopback",
    "load_config",
    "sleep",
    "timeout",
]
