from __future__ import annotations

import pytest

from plugins.auth.passwords import MAX_PASSWORD, Cost, Passwords, clean_name, clean_password


@pytest.mark.parametrize("name", ["admin", "Zoë", "李雷", "a b", "x" * 64, "a/b", "<b>", "user@host"])
def test_printable_names_of_1_to_64_characters_are_accepted(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", "a\0b", "a\nb", "\x1b[31m", "a:b", "x" * 65, "x" * 100_000, "a\u202eb", "a\u00a0b",
     "\ud800", "\u2028", "a\u200bb"],
)  # fmt: skip
def test_other_names_are_nobodys(name: str) -> None:
    assert clean_name(name) is None


def test_names_and_passwords_are_compared_in_one_normal_form() -> None:
    assert clean_name("Zoe\u0308") == clean_name("Zo\u00eb")
    assert clean_password("e\u0301") == clean_password("\u00e9") == b"\xc3\xa9"


@pytest.mark.parametrize("password", ["", "x" * (MAX_PASSWORD + 1), "é" * 513, "\ud800", "x" * 10_000_000])
def test_passwords_that_cannot_be_one_are_not_hashed(password: str) -> None:
    assert clean_password(password) is None


@pytest.mark.parametrize("password", ["x", "x" * MAX_PASSWORD, "a\0b", "é" * 512, " "])
def test_any_other_text_may_be_a_password(password: str) -> None:
    passwords = Passwords()
    secret = clean_password(password)
    assert secret is not None
    assert passwords.verify(passwords.hash(secret), secret)


def test_a_password_is_compared_whole_also_behind_a_nul() -> None:
    passwords = Passwords()
    assert not passwords.verify(passwords.hash(b"a\0b"), b"a\0c")
    assert not passwords.verify(passwords.hash(b"a\0b"), b"a")


def test_nobody_has_the_password_of_the_dummy() -> None:
    passwords = Passwords()
    assert not passwords.verify(None, b"nobody")
    assert not passwords.verify(None, b"")


def test_an_unknown_name_costs_the_same_computation() -> None:
    passwords = Passwords()
    parameters = [text.split("$")[1:4] for text in (passwords.dummy, passwords.hash(b"x"))]
    assert parameters[0] == parameters[1]


def test_a_damaged_hash_opens_nothing() -> None:
    assert not Passwords().verify("$argon2id$v=19$broken", b"x")
    assert not Passwords().verify("", b"x")


def test_the_cost_is_what_owasp_names_first() -> None:
    stored = Passwords(Cost(time=2, memory=19 * 1024, lanes=1)).hash(b"x")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
