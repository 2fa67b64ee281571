"""Why the tracker says no: one table from the code that clients read to the status they get.

`Refused` is an HTTPError, so a plugin that calls the tracker in process and does not catch it answers correctly too.
A refusal is raised before anything has been changed.
"""

from __future__ import annotations

from typing import Final

from reactor import HTTPError

STATUS: Final = {
    "invalid": 400,
    "not_yours": 403,
    "not_owner": 403,
    "wrong_password": 403,
    "not_invited": 403,
    "unknown_peer": 404,
    "unknown_channel": 404,
    "not_a_member": 404,
    "channel_full": 409,
    "too_many_channels": 409,
    "too_many_invites": 409,
    "is_owner": 409,
    "too_long": 413,
    "too_many_peers": 429,
    "too_many_registrations": 429,
    "channel_limit": 429,
    "too_many_attempts": 429,
}

# A registration that is not renewed frees its place within the minute or two that `ttl` is.
RETRY: Final = (("Retry-After", "60"),)


class Refused(HTTPError):
    """`code` is a key of STATUS; `path` says which field of the payload is meant, as in `$.channels[2]`."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        status = STATUS[code]
        super().__init__(status, f"{path}: {message}" if path else message, RETRY if status == 429 else ())
        self.code = code
        self.path = path
