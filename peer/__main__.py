"""`python -m peer PORT`: a chat peer in this terminal."""

from __future__ import annotations

import argparse
import getpass
import importlib.metadata
import io
import math
import os
import re
import shlex
import sys
from pathlib import Path

from peer.identity import default_directory
from peer.messages import MAX_NAME
from peer.node import Settings
from peer.program import Options, Program
from peer.terminal.output import PlainOutput
from peer.trackers.answers import can_be_dialled, parse_ip
from reactor import Handler, Log
from reactor.core.address import Address, is_loopback, parse_address
from reactor.core.garbage import collect_seldom
from reactor.core.loop import Reactor
from reactor.errors import StartError

DEFAULT_TRACKER = Address("127.0.0.1", 8000)
URWID = (5, 1)  # the first that is known to do; Debian has a much older one
PYTHON = shlex.quote(sys.orig_argv[0])  # as it was called: there may be no `python`, or one without our packages


def main(argv: list[str] | None = None) -> int:
    """0 after `quit` or a signal, 1 if it could not start, 2 for a mistake on the command line, 130 if Ctrl-C came
    before it had started.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 costs an emoji and not the line
    given = parse(sys.argv[1:] if argv is None else argv)
    log = Log()
    collect_seldom()
    reactor = Reactor()
    reactor.on_error = lambda error, where: log.error(f"error {where}", error)
    try:
        return run(given, reactor, log)
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    finally:
        log.close()
        reactor.close()


def run(given: argparse.Namespace, reactor: Reactor, log: Log) -> int:
    directory = given.data or default_directory(given.port, os.environ)
    options = Options(
        given.port, listen=given.listen,
        trackers=() if given.no_tracker else tuple(given.tracker or [DEFAULT_TRACKER]),
        name=given.name or "", peer_id=given.id or "", advertise=given.advertise or "", history=not given.no_history,
        user=given.user, password=_password(given), daemon=given.daemon, http=given.http,
        settings=Settings(burst=given.burst, rate=given.rate, max_links=given.max_links),
    )  # fmt: skip
    files = _page() if given.http is not None else None
    if _takes_the_screen(given):
        from peer.terminal import tui  # which needs urwid

        tui.run(reactor, options, log, directory=directory, files=files)
        return 0
    program = Program(reactor, options, PlainOutput(log), directory=directory, files=files)
    try:
        program.start()
        program.read(sys.stdin.fileno() if sys.stdin is not None else None)
        reactor.run()
    finally:
        program.close()
    return 0


def _page() -> Handler:
    """The page of the plugin "chat", which is the same for a peer of one's own."""
    from plugins.chat.files import PageFiles  # imported by those who serve it

    return PageFiles()


def _takes_the_screen(given: argparse.Namespace) -> bool:
    """StartError if it is asked for and cannot be had."""
    if given.plain or (given.daemon and not given.tui):
        return False
    obstacle = _obstacle()
    if obstacle and given.tui:
        raise StartError(f"--tui: {obstacle}")
    return not obstacle


def _obstacle() -> str:
    """What is in the way of a full screen; "" if nothing is."""
    streams = (sys.stdin, sys.stdout)
    if not all(stream is not None and stream.isatty() for stream in streams):
        return "standard input and output are no terminal"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "the terminal cannot move its cursor ($TERM says so)"
    if sys.stdout.encoding.lower() != "utf-8":
        return f"the terminal takes {sys.stdout.encoding} and not UTF-8: set LANG, as in LANG=C.UTF-8"
    if os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp():
        return "it would have to be started in the foreground"
    if not _has_urwid():
        return f"it needs urwid {'.'.join(map(str, URWID))} or newer: {PYTHON} -m pip install urwid"
    return ""


def _has_urwid() -> bool:
    try:
        version = importlib.metadata.version("urwid")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= URWID


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{PYTHON} -m peer", description="A chat peer in this terminal.")
    add = parser.add_argument
    add("port", type=_port, help="where other peers connect to; 0 takes a free one")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--tracker", type=_tracker, action="append", metavar="HOST:PORT",
        help=f"where to find others; may be given several times (default {DEFAULT_TRACKER})",
    )  # fmt: skip
    where.add_argument("--no-tracker", action="store_true", help="use no tracker: only `connect` finds others")
    add("--name", type=_name, help="what others see beside your id")
    add("--id", type=_name, metavar="ID", help="use and keep this id, instead of one made at random")
    add("--listen", type=_ip, default="0.0.0.0", metavar="IP", help="listen on this address only (default: all)")
    add("--advertise", type=_dialled, metavar="IP", help="the address that others shall dial")
    add("--data", type=_directory, metavar="DIR", help="where id and history are kept (default: one for each port)")
    add("--no-history", action="store_true", help="keep no messages")
    add("--user", default="", help="log in to the tracker with this name")
    add("--password-file", type=Path, metavar="FILE",
        help="its password; else $PEER_PASSWORD, else you are asked")  # fmt: skip
    add("--http", type=_here, metavar="IP:PORT",
        help="serve programs of this machine at this loopback address, such as 127.0.0.1:9301")  # fmt: skip
    look = parser.add_mutually_exclusive_group()
    look.add_argument("--tui", action="store_true", help="take the whole screen (default in a terminal)")
    look.add_argument("--plain", action="store_true", help="lines in and lines out, without a screen")
    add("--daemon", action="store_true", help="go on when the input has ended; without a screen, but for --tui")
    add("--burst", type=_count, metavar="N", default=Settings.burst,
        help="messages that one peer may send at once (default %(default)s)")  # fmt: skip
    add("--rate", type=_rate, metavar="N", default=Settings.rate,
        help="and then a second (default %(default)s); 0: no limit")  # fmt: skip
    add("--max-links", type=_count, metavar="N", default=Settings.max_links,
        help="connections at the most (default %(default)s)")  # fmt: skip
    given = parser.parse_args(argv)
    if given.password_file is not None and not given.user:
        parser.error("argument --password-file: whose password is it? Give --user NAME, too")
    return given


def _password(given: argparse.Namespace) -> str:
    if not given.user:
        return ""
    if given.password_file is not None:
        return _read_password(given.password_file)
    known = os.environ.get("PEER_PASSWORD")
    if known is not None:
        return known
    if sys.stdin is None or not sys.stdin.isatty():
        raise StartError("no terminal to ask for the password: give --password-file or $PEER_PASSWORD")
    try:
        return getpass.getpass(f"Password of {given.user} at the tracker: ")
    except EOFError:
        print(file=sys.stderr)
        raise StartError("no password was given: type it, or give --password-file or $PEER_PASSWORD") from None


def _read_password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        why = f"{error.strerror}. Give a --password-file that you may read"
    except UnicodeDecodeError:
        why = "it is no text in UTF-8"
    raise StartError(f"cannot read the password from {path}: {why}")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0")
    return rate


def _address(text: str, default_port: int = 0) -> Address:
    try:
        return parse_address(text, default_port)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _tracker(text: str) -> Address:
    address = _address(text, DEFAULT_TRACKER.port)
    if not address.port:
        raise argparse.ArgumentTypeError(f"nobody listens at {address}: a port is 1 to 65535")
    return address


def _here(text: str) -> Address:
    address = _address(text)
    if not is_loopback(address.host):
        raise argparse.ArgumentTypeError(f"others could reach {address}: give 127.0.0.1:{address.port}")
    return address


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no directory")
    return Path(text)


def _ip(text: str) -> str:
    if parse_ip(text) is None:
        raise argparse.ArgumentTypeError(f"{text} is no IP address, such as 192.168.1.3 or fd00::3")
    return text


def _dialled(text: str) -> str:
    if not can_be_dialled(_ip(text)):
        raise argparse.ArgumentTypeError(f"{text} is no address that others can dial")
    return text


def _name(text: str) -> str:
    if not 0 < len(text) <= MAX_NAME or not text.isprintable():
        raise argparse.ArgumentTypeError(f"give 1 to {MAX_NAME} printable characters")
    return text


if __name__ == "__main__":
    sys.exit(main())
