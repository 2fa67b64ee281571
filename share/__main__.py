"""`python -m share [-c config.ini]`: let the others in the room join.

Exit status: 0 after a clean stop, 1 if the machine did not let it start, 2 if the config or the arguments are wrong,
130 after Ctrl-C during the questions, which has changed nothing.
"""

from __future__ import annotations

import argparse
import ipaddress
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from reactor.certificate import can_be_named, make_certificate, write_pair
from reactor.config import Config, load
from reactor.core.address import Address
from reactor.core.lan import lan_addresses
from reactor.errors import StartError
from reactor.program import exit_status, serve
from share import accounts, ports, questions, settings
from share.invitation import Invitation, local_name

TLS_QUESTION = """\
A certificate that is made here encrypts what passes, passwords too, but every browser warns of it the first time.
Make one?"""
GUESTS_QUESTION = "May people of your network come in by typing a name, without a password?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status (see above)."""
    options = _parse(arguments)
    return exit_status(lambda: share(options))


def share(options: argparse.Namespace) -> None:
    """Ask, change, invite, serve. StartError and ConfigError; KeyboardInterrupt where the questions were left."""
    try:
        config = prepare(options)
    except KeyboardInterrupt:
        print("\nNothing has been changed.", file=sys.stderr)
        raise
    except EOFError:
        print()
        raise StartError("the answers ended before all was asked, and nothing has been changed") from None
    invite(config)
    serve(config)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m share", description="Let the others on your network join. What is not said here is asked.",
        epilog=f"Without a terminal, the password comes from the file that {questions.PASSWORD_FILE} names, or from "
        f"{questions.PASSWORD}. The answers are kept in {settings.FILE_NAME}.",
    )  # fmt: skip
    parser.add_argument("-c", "--config", type=Path, default="config.ini", metavar="FILE",
                        help=f"the config that {settings.FILE_NAME} beside it is made from (%(default)s)")  # fmt: skip
    parser.add_argument("--tls", action=argparse.BooleanOptionalAction, help="make a certificate, and speak HTTPS")
    parser.add_argument("--guests", action=argparse.BooleanOptionalAction, help="let people in by name alone")
    parser.add_argument("--listen", type=_ip, action="append", default=[], metavar="ADDRESS",
                        help="listen on this address only; may be repeated (all of them)")  # fmt: skip
    parser.add_argument("--port", type=_port, default=ports.PLAIN, metavar="N", help="(%(default)s, or the next free)")
    parser.add_argument("--tls-port", type=_port, default=ports.SECURE, metavar="N",
                        help="(%(default)s, or the next free)")  # fmt: skip
    return parser.parse_args(arguments)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


# -- ask, then change --------------------------------------------------------------------------------------------------


def prepare(options: argparse.Namespace) -> Config:
    """Ask what is not known, make what is not there, and return the config to serve."""
    file = options.config.with_name(settings.FILE_NAME)
    is_new = not file.exists()
    base = load(options.config if is_new else file)
    if not is_new:
        print(f"Sharing as {file} says; remove it to be asked again.")
    password = _ask_password(base)
    text = _ask_for_text(base, options) if is_new else file.read_text(encoding="utf-8-sig")
    config = Config(text, str(file))
    if password is not None:
        accounts.set_password(config.state_dir, password)
    _make_certificate(config)
    if is_new:
        settings.write(file, text)
        print(f"The answers are in {file}.")
    return _with_free_ports(config, text)


def _ask_password(config: Config) -> bytes | None:
    if not settings.has_accounts(config) or not accounts.needs_password(config.state_dir):
        return None
    return questions.new_password(accounts.NAME)


def _ask_for_text(base: Config, options: argparse.Namespace) -> str:
    tls = questions.yes_or_no(TLS_QUESTION, options.tls)
    guests = settings.has_accounts(base) and questions.yes_or_no(GUESTS_QUESTION, options.guests)
    hosts = ports.hosts(options.listen)
    port = ports.free_port(hosts, options.port)
    secure = [Address(host, ports.free_port(hosts, options.tls_port, {port})) for host in hosts] if tls else []
    plain = [Address(host, port) for host in hosts]
    return settings.derived(base, options.config.read_text(encoding="utf-8-sig"), plain, secure, guests=guests)


def _make_certificate(config: Config) -> None:
    """Ours, if it is wanted and not there. One that its owner has named is the server's to look at."""
    certificate, key = config.state_dir / settings.CERTIFICATE, config.state_dir / settings.KEY
    wanted = [config.directory / name for name in config.server.tls_cert]
    if wanted != [certificate]:
        return
    if not certificate.exists() and not key.exists():
        name = platform.node().lower()
        names = dict.fromkeys(["localhost", "127.0.0.1", "::1", *lan_addresses(), name, local_name()])
        write_pair(make_certificate([name for name in names if can_be_named(name)]), certificate, key)
        print(f"A certificate is in {certificate}, and its key, which is nobody else's business, in {key}.")
    elif (tls := config.load_tls()) is not None and tls.certificates[0].expires < time.time():
        print(f"The certificate is out of date: remove {certificate.parent} to have a new one made.")


def _with_free_ports(config: Config, text: str) -> Config:
    moved = ports.replacements(config.addresses)
    if not moved:
        return config
    for port, free in moved.items():
        print(f"Another program has port {port} (a server of yours?), so this time it is {free}.")
    return Config(settings.moved(text, config, moved), config.file)


def invite(config: Config) -> None:
    """Print what the others are told."""
    auth = next((section.values for section in config.plugins if section.name == "plugin:auth"), None)
    account = accounts.NAME if auth is not None else None
    guests = auth is not None and auth.get("guests", "off") != "off"
    invitation = Invitation(config, lan_addresses(), account, guests=guests)
    print("", *invitation.lines(sys.stdout), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
