"""`python -m plugins.auth add|passwd|list|remove|sessions|revoke`: accounts from the command line, also while the
server runs.

A running server notices within a second. The password comes from a prompt or from standard input, never from an
argument, which everybody on the machine could read in the process list. Exit status: 0 done, 1 not done (the reason
in one line), 2 not understood.
"""

from __future__ import annotations

import argparse
import getpass
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from plugins.auth.guests import is_marked
from plugins.auth.passwords import MAX_NAME, MAX_PASSWORD, Passwords, clean_name, clean_password
from plugins.auth.service import DEMO_NAME
from plugins.auth.sessions import session_id
from plugins.auth.store import FILE_NAME, Expiry, SessionLine, Store
from reactor import ConfigError, StartError, load_config


class Refused(Exception):
    """What was asked for cannot be done; the text says why."""


def add(store: Store, name: str) -> str:
    if is_marked(name):
        raise Refused(f"{name} would look like a guest: take a name without (guest) at its end")
    if name in store.names():
        raise Refused(f"there is an account {name} already (to change its password: passwd {name})")
    if not store.add_account(name, Passwords().hash(read_password()), time.time()):
        raise Refused(f"somebody else has just added an account {name}")
    return f"added {name}"


def passwd(store: Store, name: str) -> str:
    # The demo account is there from the server's first start on. Who sets its password before that means the same.
    if name not in store.names() and name != DEMO_NAME:
        raise Refused(f"there is no account {name} (to make it: add {name})")
    stored = Passwords().hash(read_password())
    now = time.time()
    if not store.set_password(name, stored, now) and not store.add_account(name, stored, now):
        raise Refused(f"the account {name} has just been changed by somebody else")
    return f"the password of {name} is set; whoever was logged in as {name} is no longer"


def remove(store: Store, name: str) -> str:
    if not store.remove_account(name):
        raise Refused(f"there is no account {name}")
    return f"removed {name}"


# What has expired is pruned by the server, which alone knows its lifetimes; here all that are stored are shown.
_ANY_AGE = Expiry(0.0, 0.0)


def sessions(store: Store, name: str) -> str:
    if name not in store.names():
        raise Refused(f"there is no account {name}")
    lines = store.sessions_of(name, _ANY_AGE)
    return "\n".join(map(describe, lines)) if lines else f"{name} is not logged in anywhere"


def describe(line: SessionLine) -> str:
    """ID, since when, last use (up to a minute old), and where from."""
    began, used = (time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) for moment in (line.created, line.last_used))
    return f"{session_id(line.digest)}  since {began}  last used {used}  {line.address or '-'}  {line.browser}".rstrip()


def revoke(store: Store, name: str, wanted: str) -> str:
    """`wanted` is a session's id or the beginning of one; "" for all of them."""
    lines = store.sessions_of(name, _ANY_AGE)
    chosen = [line.digest for line in lines if session_id(line.digest).startswith(wanted.lower())]
    if wanted and len(chosen) != 1:
        raise Refused(f"{name} has {'several such sessions' if chosen else 'no such session'}: {wanted}")
    count = store.revoke_sessions(name, chosen)
    return f"ended {count} session{'' if count == 1 else 's'} of {name}"


COMMANDS: dict[str, Callable[[Store, str], str]] = {
    "add": add, "passwd": passwd, "remove": remove, "sessions": sessions
}  # fmt: skip


def read_password() -> bytes:
    """Asked for twice on a terminal, else the first line of standard input."""
    if sys.stdin.isatty():
        text = getpass.getpass("Password: ")
        if text and getpass.getpass("Once more: ") != text:
            raise Refused("the two passwords are not the same")
    else:
        text = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    password = clean_password(text)
    if password is None:
        raise Refused(f"a password has 1 to {MAX_PASSWORD} bytes of UTF-8; this one does not")
    return password


def read_name(text: str) -> str:
    name = clean_name(text)
    if name is None:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a name has 1 to {MAX_NAME} printable characters, no colon, and no space at either end"
        )
    return name


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m plugins.auth", description="Manage the accounts of a server.")
    # Taken before the command and after it; the copy behind the command must not reset what stood before it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for taker in (parser, where):
        taker.add_argument("-c", "--config", metavar="FILE", help="the server's config file (config.ini)")
        taker.add_argument("--state-dir", metavar="DIR", help="where the accounts are, instead of what the config says")
    parser.set_defaults(config="config.ini", state_dir=None)
    names = "add|passwd|list|remove|sessions|revoke"
    commands = parser.add_subparsers(dest="command", required=True, metavar=names)
    commands.add_parser("list", parents=[where], help="print all names")
    for command, words in (("add", "make an account"), ("passwd", "set a password"), ("remove", "end an account"),
                           ("sessions", "print where somebody is logged in"), ("revoke", "end logins")):  # fmt: skip
        one = commands.add_parser(command, parents=[where], help=words)
        one.add_argument("name", type=read_name, metavar="NAME")
        if command == "revoke":
            one.add_argument("id", nargs="?", default="", metavar="ID", help="one of them; else all")
    return parser.parse_args(arguments)


def state_dir(config: str) -> Path:
    return load_config(config).state_dir


def open_store(options: argparse.Namespace) -> Store:
    directory = Path(options.state_dir) if options.state_dir else state_dir(options.config)
    store = Store(directory / FILE_NAME)
    if options.command not in ("add", "passwd") and not store.path.exists():
        raise Refused(f"there are no accounts yet in {directory}")
    store.open()
    return store


def run(options: argparse.Namespace) -> None:
    store = open_store(options)
    try:
        if options.command == "list":
            print(*store.names(), sep="\n")
        elif options.command == "revoke":
            print(revoke(store, options.name, options.id))
        else:
            print(COMMANDS[options.command](store, options.name))
    except sqlite3.Error as error:
        raise Refused(store.explain(error)) from error
    finally:
        store.close()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        run(options)
    except (Refused, ConfigError, StartError, UnicodeDecodeError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("nothing changed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
