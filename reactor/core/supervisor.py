"""What systemd wants to hear of a service of `Type=notify`: that it is ready, which process it is, and that it stops.

One datagram to the socket that NOTIFY_SOCKET names (sd_notify(3)); without it nobody listens, and nothing is said.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def tell_supervisor(environment: Mapping[str, str], *lines: str) -> None:
    """Say `READY=1` or the like. Who cannot be told is not waited for."""
    where = environment.get("NOTIFY_SOCKET", "")
    if where[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.sendto("\n".join(lines).encode(), os.fsencode(where.replace("@", "\0", 1)))
        except OSError:
            pass
