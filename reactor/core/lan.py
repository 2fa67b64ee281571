"""The address of this machine on its network, as others can dial it."""

from __future__ import annotations

import socket

# Addresses for documentation (RFC 5737, RFC 3849): a UDP socket "connected" to one sends nothing, and the system has
# chosen the address it would send from.
_SOMEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def lan_address() -> str | None:
    """That of the interface with the default route; None without a network."""
    for family, target in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((target, 9))
                return str(sock.getsockname()[0])
        except OSError:
            continue
    return None
