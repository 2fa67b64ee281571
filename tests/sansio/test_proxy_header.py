"""The PROXY protocol against its table: whole, byte by byte, at every cut, and with something behind it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from reactor.errors import RemoteProtocolError
from reactor.sansio.proxy_header import LONGEST_BINARY, SIGNATURE, ProxyHeader, crc32c

TABLE = Path(__file__).resolve().parent / "proxy_headers.toml"
CASES = tomllib.loads(TABLE.read_text(encoding="utf-8"))["case"]
GOOD = [case for case in CASES if "client" in case]
FOR_IPV4 = b"\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"


def header_of(case: dict[str, Any]) -> bytes:
    raw: bytes = case["header"].encode("latin-1")
    return SIGNATURE + raw[3:] if raw.startswith(b"SIG") else raw


def feed(pieces: list[bytes]) -> tuple[int, str]:
    """How many bytes were taken, and the verdict: the client, or the error."""
    header, taken = ProxyHeader(), 0
    try:
        for piece in pieces:
            taken += header.feed(piece)
    except RemoteProtocolError as error:
        return 0, f"error: {error}"
    if not header.is_complete:
        return taken, "incomplete"
    return taken, " ".join(map(str, header.client or ()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_row_of_the_table(case: dict[str, Any]) -> None:
    header = header_of(case)
    taken, verdict = feed([header])
    if "client" in case:
        assert (taken, verdict) == (len(header), case["client"])
    else:
        assert verdict.startswith("error: ") and case["error"] in verdict
    assert feed([header[at : at + 1] for at in range(len(header))]) == (taken, verdict)
    for cut in range(len(header)):
        assert feed([header[:cut], header[cut:]]) == (taken, verdict)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["name"])
@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"PROXY UNKNOWN\r\n", b"\n", b"\0"])
def test_not_one_byte_behind_a_header_is_taken(case: dict[str, Any], behind: bytes) -> None:
    header = header_of(case)
    assert feed([header + behind]) == (len(header), case["client"])
    done = ProxyHeader()
    done.feed(header)
    assert done.feed(behind) == 0


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["name"])
def test_a_header_that_is_cut_is_not_complete(case: dict[str, Any]) -> None:
    header = header_of(case)
    for size in range(len(header)):
        assert feed([header[:size]]) == (size, "incomplete")


def test_a_checksum_that_is_right_is_taken() -> None:
    """RFC 3720 B.4 has the vectors of CRC32C."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    zeroed = SIGNATURE + b"\x21\x11\x00\x13" + FOR_IPV4 + b"\x03\x00\x04" + bytes(4)
    header = zeroed[:-4] + crc32c(zeroed).to_bytes(4, "big")
    assert feed([header]) == (len(header), "192.0.2.7 56324")


def test_a_unix_socket_at_the_proxys_end_names_nobody() -> None:
    header = SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216)
    assert feed([header]) == (len(header), "")


def test_the_longest_header_and_one_byte_more() -> None:
    rest = LONGEST_BINARY - 16 - 12 - 3
    tlv = b"\x04" + rest.to_bytes(2, "big") + bytes(rest)
    header = SIGNATURE + b"\x21\x11" + (12 + len(tlv)).to_bytes(2, "big") + FOR_IPV4 + tlv
    assert feed([header]) == (LONGEST_BINARY, "192.0.2.7 56324")
    longer = header[:14] + (12 + len(tlv) + 1).to_bytes(2, "big") + header[16:] + b"\0"
    assert "longer than" in feed([longer])[1]
