"""What goes wrong between peers, with the code that the other side is told."""

from __future__ import annotations

from reactor.errors import ReactorError, RemoteProtocolError


class FrameError(RemoteProtocolError):
    """The other side broke the protocol: it gets `error` with `code` and the message, and the link is closed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PeerError(ReactorError):
    """What the person asked for cannot be done; `str()` says why, in words to show as they are."""


class Ambiguous(PeerError):
    """More than one peer may be meant."""
