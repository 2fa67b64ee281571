"""What is counted of the bounds for clients, and of the connections: the names, as the options have them.

A client that comes to a bound costs a counter an increment; nobody else pays anything.
"""

from __future__ import annotations

from typing import Final

LIMITS: Final = (
    "first_byte",  # a new connection that said nothing
    "head_timeout",
    "body_timeout",
    "body_rate",
    "request_timeout",
    "write_timeout",
    "write_rate",
    "keep_alive",
    "max_line",
    "max_head",  # or max_fields
    "max_body",
    "evicted",  # idle, and closed to make room
    "max_connections",  # refused: there was no room
    "proxy_header",  # not sent by a proxy that has to
    "overloaded",  # a 503 of a queue that was full
)
LIMIT_OF_STATUS: Final = {413: "max_body", 414: "max_line", 431: "max_head", 503: "overloaded"}

STATES: Final = (
    "new",  # has not asked anything yet
    "idle",
    "head",  # is being read
    "body",  # is being read
    "answering",
    "closing",
    "websocket",
    "handed_over",
    "handshake",
)
