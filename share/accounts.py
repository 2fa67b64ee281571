"""The password in place of the demo one, with the accounts of `plugins.auth`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plugins.auth.passwords import Passwords
from plugins.auth.service import DEMO_NAME, DEMO_PASSWORD
from plugins.auth.store import FILE_NAME, Store
from reactor.errors import StartError

NAME = DEMO_NAME


@contextmanager
def opened(state_dir: Path) -> Iterator[Store]:
    """The accounts, for a moment; a server that runs may have them too. StartError where that is not possible."""
    store = Store(state_dir / FILE_NAME)
    try:
        store.open()
        yield store
    except sqlite3.Error as error:
        raise StartError(f"{store.path}: {error}") from None
    finally:
        store.close()


def needs_password(state_dir: Path) -> bool:
    """Whether there is no account, or the demo login opens one. Nothing is made to find that out."""
    if not (state_dir / FILE_NAME).exists():
        return True
    with opened(state_dir) as store:
        return not store.names() or Passwords().verify(store.password(NAME), DEMO_PASSWORD.encode())


def set_password(state_dir: Path, password: bytes) -> None:
    """For NAME, whether it is there or not. Who is logged in under it is so no longer."""
    stored, now = Passwords().hash(password), time.time()
    with opened(state_dir) as store:
        if not store.set_password(NAME, stored, now) and not store.add_account(NAME, stored, now):
            raise StartError(f"the account {NAME} has just been changed by somebody else: try again")
