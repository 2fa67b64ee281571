"""The addresses of this machine on its networks, as others can dial them."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

from reactor.core.address import is_loopback

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


# "The address of this interface" (netdevice(7)); both systems answer with name and address in the same places.
_SIOCGIFADDR = {"linux": 0x8915, "darwin": 0xC0206921}


def lan_addresses() -> dict[str, str]:
    """Address -> interface, without loopback: the one with the default route first, which is called "" if it is all
    that the system tells. Of the others IPv4 only. Empty without a network.
    """
    addresses = {first: ""} if (first := lan_address()) is not None and not is_loopback(first) else {}
    for _, interface in socket.if_nameindex():
        address = _address_of(interface)
        if address is not None and not is_loopback(address):
            addresses[address] = interface
    return addresses


def _address_of(interface: str) -> str | None:
    request = _SIOCGIFADDR.get(sys.platform)
    if request is None:
        return None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = fcntl.ioctl(sock.fileno(), request, struct.pack("256s", interface.encode()[:15]))
    except OSError:  # it has none of this family
        return None
    return socket.inet_ntoa(answer[20:24])
