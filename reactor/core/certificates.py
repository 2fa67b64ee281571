"""Certificates: PEM files in, what a TLS listener needs out, and for every mistake words that say which file is wrong.

Each certificate is tried in a handshake in memory before it is used, so a key that does not fit is found at the start
and not by the first client. The same handshake tells the names it is for, which the standard library shows of the other
side's certificate only.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from reactor.errors import ConfigError

# What is left of TLS 1.2 that is still good: forward secrecy and authenticated encryption (RFC 9325 4.2). 1.3 has
# nothing else.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the `ssl` module has no name for.
_WHATEVER_THE_TIME = ssl.VerifyFlags(0x200000)


class Certificate(NamedTuple):
    """One that was loaded: for which names and addresses, and until when (Unix time)."""

    file: Path
    names: tuple[str, ...]
    expires: float


class ServerTLS:
    """What the TLS listeners of one configuration speak: TLS 1.2 and 1.3, with one or several certificates, of which a
    client gets that for the name it asks for (SNI), or the first.
    """

    def __init__(self, files: Sequence[tuple[Path, Path]]) -> None:
        """`files` are pairs of certificate chain and key. ConfigError, with the option, if one is no good."""
        contexts = [_context(certificate, key) for certificate, key in files]
        self.certificates = [
            _examine(context, certificate) for context, (certificate, _) in zip(contexts, files, strict=True)
        ]
        self.context = contexts[0]
        self._by_name = {
            name: context
            for context, certificate in reversed(list(zip(contexts, self.certificates, strict=True)))
            for name in certificate.names
        }
        if len(contexts) > 1:
            self.context.sni_callback = self._choose

    def is_for(self, host: str) -> bool:
        """Whether one of the certificates is for the host of a URL: a name, or an address (IPv6 in brackets)."""
        return self._find(_normal(host.strip("[]"))) is not None

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        if name is not None:
            connection.context = self._find(name.lower()) or context

    def _find(self, name: str) -> ssl.SSLContext | None:
        return self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    _check_readable(certificate, "tls_cert")
    _check_readable(key, "tls_key")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{key} is not the key of {certificate}", key="tls_key") from None
        raise ConfigError(_which_is_wrong(certificate, key), key="tls_cert") from None
    return context


def _check_readable(file: Path, key: str) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", key=key) from None


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal, and a reload would hang there.
    raise ConfigError("the key is encrypted with a password: take one that is not, mode 0600", key="tls_key")


def _which_is_wrong(certificate: Path, key: Path) -> str:
    text = certificate.read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in text:
        return f"{certificate} is no certificate in PEM form"
    if b" PRIVATE KEY-----" not in key.read_bytes():
        return f"{key} has no private key in PEM form; name the file that has it with tls_key"
    return f"{certificate} with {key} cannot be used: one of them is damaged"


def _examine(context: ssl.SSLContext, file: Path) -> Certificate:
    """Shake hands with ourselves."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.load_verify_locations(file)
    asking.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _WHATEVER_THE_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        shown = client.getpeercert() or {}
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error
        raise ConfigError(f"{file} cannot be used: {str(reason).replace('_', ' ').lower()}", key="tls_cert") from None
    names = tuple(_normal(str(pair[1]).strip()) for pair in shown.get("subjectAltName", ()))
    return Certificate(file, names, float(ssl.cert_time_to_seconds(str(shown["notAfter"]))))


def _normal(name: str) -> str:
    """A name in small letters, or an address as it is written shortest: what is equal is the same then."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower()
