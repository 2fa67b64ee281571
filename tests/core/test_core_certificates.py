"""Which certificates are taken, and the words for those that are not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from reactor.certificate import make_certificate, write_pair
from reactor.core.certificates import ServerTLS
from reactor.errors import ConfigError


def make(directory: Path, name: str, *names: str, days: int = 30) -> tuple[Path, Path]:
    files = directory / f"{name}.pem", directory / f"{name}.key"
    write_pair(make_certificate(names or (name,), days), *files)
    return files


def asked_for(tls: ServerTLS, name: str | None) -> tuple[str, ...]:
    """The names of the certificate that a client gets who asks for `name`."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=name)
    server = tls.context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    shown = x509.load_der_x509_certificate(client.getpeercert(True) or b"")
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def test_names_addresses_and_the_end_are_read_from_the_certificate(tmp_path: Path) -> None:
    tls = ServerTLS([make(tmp_path, "room", "Room.example", "192.168.1.4", "::1", days=10)])
    (certificate,) = tls.certificates
    assert certificate.names[:2] == ("room.example", "192.168.1.4")
    shown = x509.load_pem_x509_certificate((tmp_path / "room.pem").read_bytes())
    assert certificate.expires == shown.not_valid_after_utc.timestamp()


def test_one_that_is_out_of_date_is_loaded_all_the_same(tmp_path: Path) -> None:
    """Refusing it would turn a server that warns its visitors into one that does not start."""
    files = make(tmp_path, "old", days=-1 + 1)  # from yesterday to now
    assert ServerTLS([files]).certificates[0].names == ("old",)


def test_each_name_gets_its_certificate_and_others_the_first(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one", "one.test"), make(tmp_path, "two", "two.test", "*.rooms.test")
    tls = ServerTLS([one, two])
    assert asked_for(tls, "one.test") == ("one.test",)
    assert asked_for(tls, "TWO.test") == ("two.test", "*.rooms.test")
    assert asked_for(tls, "blue.rooms.test") == ("two.test", "*.rooms.test")
    for other in ("three.test", "a.b.rooms.test", "rooms.test", None):
        assert asked_for(tls, other) == ("one.test",)


def test_a_file_may_hold_both(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "both")
    cert.write_bytes(cert.read_bytes() + key.read_bytes())
    assert ServerTLS([(cert, cert)]).certificates[0].names == ("both",)


def encrypted(key: Path) -> None:
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))


@pytest.mark.parametrize(
    ("spoil", "option", "words"),
    [
        (lambda cert, key: cert.unlink(), "tls_cert", "cannot read .*a.pem: No such file"),
        (lambda cert, key: key.unlink(), "tls_key", "cannot read .*a.key: No such file"),
        (lambda cert, key: key.write_bytes((key.parent / "b.key").read_bytes()), "tls_key", "a.key is not the key of"),
        (lambda cert, key: cert.write_text("hello"), "tls_cert", "a.pem is no certificate in PEM form"),
        (lambda cert, key: key.write_text("hello"), "tls_cert", "a.key has no private key in PEM form"),
        (lambda cert, key: cert.write_bytes(cert.read_bytes()[:200]), "tls_cert", "one of them is damaged"),
        (lambda cert, key: encrypted(key), "tls_key", "the key is encrypted with a password"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, spoil, option: str, words: str) -> None:  # type: ignore[no-untyped-def]
    cert, key = make(tmp_path, "a")
    make(tmp_path, "b")
    spoil(cert, key)
    with pytest.raises(ConfigError, match=words) as caught:
        ServerTLS([(cert, key)])
    assert caught.value.key == option
