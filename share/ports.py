"""Ports that are free, found by binding them for a moment."""

from __future__ import annotations

from typing import Final

from reactor.core.address import Address
from reactor.core.listener import PortTaken, bind
from reactor.errors import StartError

PLAIN: Final = 8000
SECURE: Final = 8443
# How many ports, from the wanted one on, are tried.
TRIES: Final = 20

EVERYWHERE: Final = ("0.0.0.0", "::")


def hosts(wanted: list[str]) -> list[str]:
    """What is wanted, or all addresses of the families that this machine has."""
    return wanted or [host for host in EVERYWHERE if _can_listen(host)]


def _can_listen(host: str) -> bool:
    try:
        bind(Address(host, 0)).close()
    except StartError:
        return False
    return True


def free_port(on: list[str], wanted: int, taken: set[int] | None = None) -> int:
    """The first from `wanted` on that nobody has on any of the hosts, and that is not in `taken`; StartError if there
    is none among the next ones. What else is wrong with an address is for the server to say.
    """
    for port in range(wanted, min(wanted + TRIES, 65536)):
        if port not in (taken or ()) and not any(_is_taken(Address(host, port)) for host in on):
            return port
    raise StartError(f"the ports {wanted} to {wanted + TRIES - 1} are all taken: name another one with --port")


def _is_taken(address: Address) -> bool:
    try:
        bind(address).close()
    except PortTaken:
        return True
    except StartError:
        pass
    return False


def replacements(addresses: list[Address]) -> dict[int, int]:
    """For each port of these that another program has, a free one."""
    found: dict[int, int] = {}
    ports = {address.port for address in addresses}
    for port in sorted(ports - {0}):
        free = free_port([address.host for address in addresses if address.port == port], port, ports - {port})
        if free != port:
            found[port] = free
            ports.add(free)
    return found
