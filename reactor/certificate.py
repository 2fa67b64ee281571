"""`python -m reactor.certificate NAME…`: a certificate that vouches for itself, for a network without a better one.

No browser trusts it by itself: each shows a warning the first time, and who wants to be sure compares the fingerprint.
From then on what passes is encrypted. Exit status: 0 made, 1 not made (the reason in one line), 2 not understood.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reactor.errors import StartError

# Apple's systems take none that is for longer than 825 days, even if they are told to trust it.
DAYS: Final = 365
# So that it is good on a machine whose clock is a little behind.
BEFORE: Final = timedelta(days=1)

_label = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_host_name = re.compile(rf"(?:\*\.)?{_label}(?:\.{_label})*")


class Made(NamedTuple):
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def make_certificate(names: Sequence[str], days: int = DAYS) -> Made:
    """For these names and addresses, from now on. ValueError, in words, for one that is neither."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        # No authority: whoever makes a system trust it has trusted these names, and nothing that this key signs.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Made(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _host_name.fullmatch(name) or len(name) > 253:
        raise ValueError(f"{name!r} is neither a host name nor an IP address")
    return x509.DNSName(name.lower())


def can_be_named(name: str) -> bool:
    """Whether a certificate can be for it."""
    try:
        _general_name(name)
    except ValueError:
        return False
    return True


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a PEM certificate, as browsers show it."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex(":").upper()


def write_pair(made: Made, certificate: Path, key: Path) -> None:
    """Two new files, the key for its owner only. StartError if one is there already or cannot be written."""
    try:
        for file, content, mode in ((key, made.key, 0o600), (certificate, made.certificate, 0o644)):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(content)
    except FileExistsError as error:
        raise StartError(f"{error.filename} is there already: move it away, or name another file") from None
    except OSError as error:
        raise StartError(f"cannot write {error.filename}: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        made = make_certificate(options.names, options.days)
        write_pair(made, options.cert, options.key)
    except (ValueError, StartError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    print(f"certificate  {options.cert}\nkey          {options.key}\nSHA-256      {fingerprint(made.certificate)}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reactor.certificate", description="Make a self-signed certificate for HTTPS."
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a host name or an IP address that it is for")
    parser.add_argument("--cert", type=Path, default="cert.pem", metavar="FILE", help="(%(default)s)")
    parser.add_argument("--key", type=Path, default="key.pem", metavar="FILE", help="(%(default)s)")
    parser.add_argument("--days", type=_days, default=DAYS, metavar="N", help="how long it is good (%(default)s)")
    return parser.parse_args(arguments)


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 36_500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
