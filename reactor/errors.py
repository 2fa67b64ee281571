"""The exception tree: whose fault it is, and what follows from it.

Every error of ours answers one question at the border where it is raised: who has to act?

* the person who wrote the config or started the program  -> `ConfigError`, `StartError` (one line, no traceback)
* the other side of a connection                          -> `RemoteProtocolError(status)` (answer, then close)
* us, the programmers                                     -> `LocalProtocolError` (logged with its traceback)
* a handler that wants to answer with an error            -> `HTTPError(status)`
* the network or the load                                 -> `DialError`, `ConnectionLost`, `Overloaded`
"""

from __future__ import annotations

from collections.abc import Iterable


class ReactorError(Exception):
    """The root: `except ReactorError` catches all that this package raises on purpose."""


class ConfigError(ReactorError):
    """The configuration is wrong. `str()` is the one line a user needs: file, line, key, and what to do."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, section: str = "", key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.file, self.line, self.section, self.key = file, line, section, key

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file
        what = f"[{self.section}] {self.key}".strip() if self.section else self.key
        return ": ".join(part for part in (where, what, self.message) if part)


class StartError(ReactorError):
    """The machine does not let us start (port in use, unreadable file): one line that says what to do."""


class LocalProtocolError(ReactorError):
    """We tried to send what the protocol forbids: a bug on this side, never the peer's doing."""


class RemoteProtocolError(ReactorError):
    """The peer broke the protocol. `status` is the answer it gets if it is an HTTP client; 502 if it is a server that
    we have asked, for whoever waits behind us.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class HTTPError(ReactorError):
    """Raised by a handler or guard to answer with `status`; `message` is shown to the client."""

    def __init__(self, status: int, message: str = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(message or str(status))
        self.status = status
        self.message = message
        self.headers = tuple(headers)


class Overloaded(ReactorError):
    """A bounded queue is full. Where nobody catches it, an HTTP client gets 503 with `Retry-After`."""

    def __init__(self, message: str = "the server is busy", retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class ConnectionLost(ReactorError):
    """The connection went away before the exchange was complete."""


class DialError(ConnectionLost):
    """No connection could be made; the message says why in words a person can act on."""


class DialTimeout(DialError):
    """Nobody has answered in time."""
