"""`python -m reactor.certificate`, called as a function; what it makes is read by `cryptography` and by OpenSSL."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from reactor.certificate import can_be_named, fingerprint, main, make_certificate
from reactor.core.certificates import ServerTLS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_writes_two_files_and_prints_the_fingerprint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Room4.example", "*.example", "192.168.1.4", "fd00::4"]) == 0
    said = capsys.readouterr().out
    assert fingerprint((tmp_path / "cert.pem").read_bytes()) in said
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["room4.example", "*.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("192.168.1.4"), ip_address("fd00::4")]
    assert ServerTLS([(tmp_path / "cert.pem", tmp_path / "key.pem")]).certificates


def test_it_vouches_for_its_names_and_signs_nothing() -> None:
    certificate = x509.load_pem_x509_certificate(make_certificate(["a"]).certificate)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc < datetime.now(UTC)
    assert certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=366)


def test_the_other_options(tmp_path: Path) -> None:
    assert main(["a", "--cert", "tls/a.pem", "--key", "keys/a.pem", "--days", "3"]) == 0
    certificate = x509.load_pem_x509_certificate((tmp_path / "tls/a.pem").read_bytes())
    assert certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=4)
    assert (tmp_path / "keys/a.pem").exists()


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key.pem").write_text("mine")
    assert main(["a"]) == 1
    assert capsys.readouterr().err == "error: key.pem is there already: move it away, or name another file\n"
    assert (tmp_path / "key.pem").read_text() == "mine"
    assert not (tmp_path / "cert.pem").exists()


@pytest.mark.parametrize("name", ["", "a b", "-a", "a..b", ".a", "a/b", "x" * 64, "ü.de", "a:80", "1.2.3.4/24"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not can_be_named(name)
    assert main(["good", "--", name]) == 2
    assert "is neither a host name nor an IP address" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", ["0", "-1", "x", "1e3", "99999", "²"])
def test_days_are_a_number(days: str) -> None:
    with pytest.raises(SystemExit):
        main(["a", f"--days={days}"])
