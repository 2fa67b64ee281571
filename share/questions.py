"""What is asked, on a terminal; without one the answers come from options, the environment or a file."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from plugins.auth.passwords import clean_password
from reactor.errors import StartError

LEAST_PASSWORD: Final = 8  # characters
PASSWORD: Final = "SHARE_PASSWORD"
PASSWORD_FILE: Final = "SHARE_PASSWORD_FILE"


def has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def yes_or_no(question: str, given: bool | None) -> bool:
    """What was `given` as an option, or the answer of a person; without either, no."""
    if given is not None or not has_terminal():
        return bool(given)
    while True:
        print(f"{question} [y/N] ", end="", flush=True)  # `input` itself would ask on standard error
        answer = input().strip().lower()
        if answer in ("", "n", "no", "y", "yes"):
            return answer in ("y", "yes")


def new_password(name: str) -> bytes:
    """From the environment or the file that it names, else typed twice and unseen. StartError if there is none."""
    given = _given_password()
    if given is not None:
        password, wrong = _judge(given)
        if password is None:
            raise StartError(f"the password of {PASSWORD_FILE} or {PASSWORD} is not taken: {wrong}")
        return password
    if not has_terminal():
        raise StartError(
            f"the server has no password yet, and there is no terminal to ask for one: set {PASSWORD_FILE} to the name "
            f"of a file with it, or {PASSWORD}"
        )
    print(f"The login of this server is {name} / password, which everybody knows.")
    while True:
        typed = getpass.getpass(f"A password for {name}, of at least {LEAST_PASSWORD} characters: ")
        password, wrong = _judge(typed)
        if password is None:
            print(wrong.capitalize() + ".")
        elif getpass.getpass("The same once more: ") == typed:
            return password
        else:
            print("The two are not the same.")


def _given_password() -> str | None:
    # Taken out of the environment, so that nothing that runs in this process finds it there.
    file, text = os.environ.pop(PASSWORD_FILE, None), os.environ.pop(PASSWORD, None)
    if file is None:
        return text
    try:
        return Path(file).read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{PASSWORD_FILE}: cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def _judge(text: str) -> tuple[bytes | None, str]:
    """The password, or None and what is wrong with it."""
    if len(text) < LEAST_PASSWORD:
        return None, f"it has {len(text)} characters, and {LEAST_PASSWORD} are the least"
    if text.lower() in ("password", "passwort", "12345678", "123456789", "1234567890"):
        return None, "everybody guesses that one first"
    password = clean_password(text)
    return password, "" if password is not None else "it is too long, or no text"
