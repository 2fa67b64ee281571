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
    "busy": 503,
}

# Seconds, by status. A registration that is not renewed frees its place within the minute or two that `ttl` is; of
# the passwords that wait for their hash, one is done in a fraction of a second.
RETRY_AFTER: Final = {429: 60, 503: 1}


class Refused(HTTPError):
    """`code` is a key of STATUS; `path` says which field of the payload is meant, as in `$.channels[2]`."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        status = STATUS[code]
        retry = [("Retry-After", str(RETRY_AFTER[status]))] if status in RETRY_AFTER else []
        super().__init__(status, f"{path}: {message}" if path else message, retry)
        self.code = code
        self.path = path
