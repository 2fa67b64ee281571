"""The PROXY protocol: what a load balancer says of a connection in front of its first byte, version 1 or 2.

    PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\\r\\n
    \\r\\n\\r\\n\\0\\r\\nQUIT\\n  0x21  0x11  length  source, destination, ports, TLVs

The text is HAProxy's `proxy-protocol.txt`; numbers in comments are its sections. It is read strictly, as there is no
good reason to be lenient with what one has set up oneself, and whoever can forge it chooses their own address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from reactor.errors import RemoteProtocolError

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
# 2.1: "the receiver can use a 108-byte buffer", with the zero of C.
LONGEST_LINE: Final = 107
# Addresses take 216 bytes at the most; the rest is room for TLVs, of which a certificate's name is the longest.
LONGEST_BINARY: Final = 4096

_FIXED: Final = 16  # signature, version and command, family and protocol, length
_LOCAL, _PROXY = 0x20, 0x21
_STREAMS: Final = {0x11: 12, 0x21: 36, 0x31: 216}  # family and protocol: bytes of addresses
_UNSPECIFIED: Final = 0x00
_CRC32C: Final = 0x03

# One space, no leading zeros, no sign (2.1).
_line = re.compile(r"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


class Endpoint(NamedTuple):
    """Whom the connection is for."""

    host: str
    port: int


class ProxyHeader:
    """Feed it until `is_complete`. `client` is None then if the proxy names nobody: it speaks for itself (LOCAL), or
    does not know (UNKNOWN), and the connection is from whom it seems to be from.
    """

    __slots__ = ("_buffer", "client", "is_complete")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.is_complete = False
        self.client: Endpoint | None = None

    def feed(self, data: bytes) -> int:
        """How many of these bytes belong to the header. RemoteProtocolError as soon as it is none, or none that is
        taken.
        """
        taken = 0
        while not self.is_complete and taken < len(data):
            piece = data[taken : taken + self._wanted]
            if self._is_line and b"\n" in piece:
                piece = piece[: piece.index(b"\n") + 1]
            taken += len(piece)
            self._buffer += piece
            self._advance()
        return taken

    @property
    def _is_line(self) -> bool:
        return self._buffer[:1] == b"P"

    @property
    def _wanted(self) -> int:
        """How many more bytes are certainly part of it, or, of a line, may be: its end is looked for."""
        have = len(self._buffer)
        if not have:
            return 1
        if self._is_line:
            return LONGEST_LINE - have
        return (_FIXED if have < _FIXED else self._length) - have

    @property
    def _length(self) -> int:
        return _FIXED + int.from_bytes(self._buffer[14:16], "big")

    def _advance(self) -> None:
        buffer = bytes(self._buffer)
        if buffer[:1] == b"P":
            self._advance_line(buffer)
        elif not SIGNATURE.startswith(buffer[: len(SIGNATURE)]):
            raise RemoteProtocolError("the connection does not begin with a PROXY header")
        elif len(buffer) >= _FIXED:
            if self._length > LONGEST_BINARY:
                raise RemoteProtocolError(f"the PROXY header is longer than {LONGEST_BINARY} bytes")
            if len(buffer) == self._length:
                self.client = _read_binary(buffer)
                self.is_complete = True

    def _advance_line(self, buffer: bytes) -> None:
        if not b"PROXY ".startswith(buffer[:6]):
            raise RemoteProtocolError("the connection does not begin with a PROXY header")
        if buffer.endswith(b"\n"):
            self.client = _read_line(buffer)
            self.is_complete = True
        elif len(buffer) >= LONGEST_LINE:
            raise RemoteProtocolError(f"the PROXY line is longer than {LONGEST_LINE} bytes")


def _read_line(line: bytes) -> Endpoint | None:
    if not line.endswith(b"\r\n"):
        raise RemoteProtocolError("the PROXY line ends without CR")
    text = line[:-2].decode("latin-1")
    if text == "PROXY UNKNOWN" or text.startswith("PROXY UNKNOWN "):  # what follows is to be ignored (2.1)
        return None
    match = _line.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("the PROXY line is malformed")
    family, source, destination, *ports = match.groups()
    if any(int(port) > 65535 for port in ports):
        raise RemoteProtocolError("the PROXY line has a port above 65535")
    kind = IPv4Address if family == "TCP4" else IPv6Address
    try:
        kind(destination)
        return Endpoint(_plain(kind(source)), int(ports[0]))
    except AddressValueError:
        raise RemoteProtocolError(f"the PROXY line has an address that is not {family}") from None


def _read_binary(header: bytes) -> Endpoint | None:
    command, transport = header[12], header[13]
    if command not in (_LOCAL, _PROXY):
        raise RemoteProtocolError("the PROXY header has an unknown version or command")
    if command == _LOCAL:  # its addresses are to be discarded, whatever they are (2.2)
        return None
    if transport == _UNSPECIFIED:
        return None
    size = _STREAMS.get(transport)
    if size is None:
        raise RemoteProtocolError("the PROXY header is not for a stream of a known family")
    addresses, rest = header[_FIXED : _FIXED + size], header[_FIXED + size :]
    if len(addresses) < size:
        raise RemoteProtocolError("the PROXY header is too short for its addresses")
    _check_extras(header, rest)
    if transport == 0x31:  # a Unix socket at their end: there is no address that would mean anything here
        return None
    half = (size - 4) // 2
    source = IPv4Address(addresses[:half]) if transport == 0x11 else IPv6Address(addresses[:half])
    return Endpoint(_plain(source), int.from_bytes(addresses[2 * half : 2 * half + 2], "big"))


def _plain(address: IPv4Address | IPv6Address) -> str:
    """One address is one text, whichever family it travels in."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _check_extras(header: bytes, rest: bytes) -> None:
    """The TLVs fill the rest exactly, and a checksum among them is right."""
    for kind, start, value in _extras(rest):
        if kind == _CRC32C:
            at = len(header) - len(rest) + start
            zeroed = header[:at] + bytes(len(value)) + header[at + len(value) :]
            if len(value) != 4 or crc32c(zeroed) != int.from_bytes(value, "big"):
                raise RemoteProtocolError("the checksum of the PROXY header is wrong")


def _extras(rest: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, position and value of each TLV."""
    at = 0
    while at < len(rest):
        size = int.from_bytes(rest[at + 1 : at + 3], "big")
        if at + 3 + size > len(rest):
            raise RemoteProtocolError("the PROXY header has a TLV that is cut")
        yield rest[at], at + 3, rest[at + 3 : at + 3 + size]
        at += 3 + size


def _make_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


_TABLE: Final = _make_table()


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960, appendix B, as 2.2.3 wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
