"""The public face: all that a plugin author or embedder may import.

What is not named here may change from one version to the next. `reactor.testing` is public too.
"""

from reactor.config import coerce
from reactor.config import load as load_config
from reactor.core.address import Address, is_loopback, network_of
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Future, Task, sleep, timeout
from reactor.core.timers import NEVER, Deadline
from reactor.core.transport import ConnectionProtocol, Transport
from reactor.errors import (
    ConfigError,
    ConnectionLost,
    DialError,
    DialTimeout,
    HTTPError,
    LocalProtocolError,
    Overloaded,
    ReactorError,
    RemoteProtocolError,
    StartError,
)
from reactor.http.client import Client, ClientResponse
from reactor.http.deferred import Deferred, Producer, Reply
from reactor.http.events import ServerEvent, event_stream
from reactor.http.message import FilePart, Guard, Handler, Middleware, Request, Response
from reactor.http.origins import is_foreign
from reactor.http.upstream import UpstreamConnection
from reactor.http.websocket import WebSocket, broadcast
from reactor.log import Log, escape
from reactor.metrics import Counter, Gauge, Histogram
from reactor.own_listener import OwnListener
from reactor.plugin import Plugin
from reactor.sansio.cookies import format_cookie
from reactor.sansio.head import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from reactor.sansio.headers import Headers, check_field
from reactor.sansio.memo import AnswerMemo

__all__ = [
    "CHUNKED",
    "NEVER",
    "UNTIL_CLOSE",
    "Address",
    "AnswerMemo",
    "Cancelled",
    "Client",
    "ClientResponse",
    "ConfigError",
    "ConnectionLost",
    "ConnectionProtocol",
    "Counter",
    "Deadline",
    "Deferred",
    "DialError",
    "DialTimeout",
    "FilePart",
    "Future",
    "Gauge",
    "Guard",
    "HTTPError",
    "Handler",
    "Headers",
    "Histogram",
    "LocalProtocolError",
    "Log",
    "Middleware",
    "Overloaded",
    "OwnListener",
    "Plugin",
    "Producer",
    "Reactor",
    "ReactorError",
    "RemoteProtocolError",
    "Reply",
    "Request",
    "RequestHead",
    "Response",
    "ResponseHead",
    "ServerEvent",
    "StartError",
    "Task",
    "Transport",
    "UpstreamConnection",
    "WebSocket",
    "broadcast",
    "check_field",
    "coerce",
    "escape",
    "event_stream",
    "format_cookie",
    "is_foreign",
    "is_loopback",
    "load_config",
    "network_of",
    "sleep",
    "timeout",
]
