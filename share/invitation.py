"""What the others in the room are told: addresses that they can type, a QR code, and what may be in their way."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

import segno

from reactor.certificate import fingerprint
from reactor.config import Config
from reactor.core.address import Address, is_loopback

# Quiet modules round a QR code: the standard wants four, and two are read by every phone we know.
BORDER = 2


class Invitation:
    """`config` is what will be served; `networks` maps the addresses of this machine to their interfaces."""

    def __init__(self, config: Config, networks: Mapping[str, str], account: str | None, *, guests: bool) -> None:
        self._config = config
        self._networks = networks
        self._account = account
        self._guests = guests
        self._page = "chat/" if any(section.name == "plugin:chat" for section in config.plugins) else ""

    def lines(self, out: TextIO) -> Iterator[str]:
        """All of it, as `out` can show it."""
        urls = self.urls()
        if urls:
            yield "The others in the room open this address in a browser:"
            yield from ("", f"    {urls[0][0]}", "")
            yield from qr_code(urls[0][0], out)
            yield from (f"  or {url}{f' ({interface})' if interface else ''}" for url, interface in urls[1:])
        else:
            yield "This machine has no network that others could come by: only it can open"
            first = self._listeners[0].host
            yield from ("", f"    {self._url(first if is_loopback(first) else 'localhost')}", "")
        yield from self._who()
        if self._config.listen_tls:
            yield from self._certificate()
        if urls:
            yield from self._terminal()
            yield from self._firewall()
        yield ""

    # -- addresses ---------------------------------------------------------------------------------------------------

    def urls(self) -> list[tuple[str, str]]:
        """What others can type, with the interface that it leads to; the likeliest first."""
        hosts = [address.host for address in self._listeners]
        if "0.0.0.0" not in hosts and "::" not in hosts:
            return [(self._url(host), "") for host in hosts if not is_loopback(host)]
        urls = [(self._url(host), interface) for host, interface in self._networks.items()]
        if urls and has_local_names():
            urls.append((self._url(local_name()), ""))
        return urls

    @property
    def _listeners(self) -> list[Address]:
        return self._config.listen_tls or self._config.listen

    def _url(self, host: str) -> str:
        first = self._listeners[0]
        return f"{self._config.url(first).partition('//')[0]}//{Address(host, first.port)}/{self._page}"

    # -- words -------------------------------------------------------------------------------------------------------

    def _who(self) -> Iterator[str]:
        config = Path(self._config.file).name
        if self._account is not None:
            yield f"Your account is {self._account}. Another one: python -m plugins.auth -c {config} add NAME"
        if self._guests:
            yield "Who has no account comes in by typing a name, and is shown as a guest."

    def _certificate(self) -> Iterator[str]:
        yield ""
        yield "Browsers warn the first time, because nobody they know vouches for this certificate. What passes is"
        yield "encrypted all the same. It is the right one if the browser shows this SHA-256 fingerprint for it:"
        file = self._config.directory / self._config.server.tls_cert[0]
        text = fingerprint(file.read_bytes())
        yield from ("", f"    {text[:48]}", f"    {text[48:]}")

    def _terminal(self) -> Iterator[str]:
        address = next((address for address in self._config.listen if not is_loopback(address.host)), None)
        if address is None:
            return
        host = address.host if address.host not in ("0.0.0.0", "::") else next(iter(self._networks))
        plain = " (not encrypted)" if self._config.listen_tls else ""
        yield from ("", f"In a terminal they join with{plain}:")
        yield f'    make peer PORT=9101 ARGS="--tracker {Address(host, address.port)}"'

    def _firewall(self) -> Iterator[str]:
        ports = sorted({address.port for address in self._config.addresses})
        what = f"ports {ports[0]} and {ports[1]} have" if len(ports) == 2 else f"port {ports[0]} has"
        yield from ("", f"If they get no answer, a firewall may be in between. TCP {what} to be open:")
        yield "    " + "; ".join(f"sudo ufw allow {port}/tcp" for port in ports)
        yield "    " + "sudo firewall-cmd " + " ".join(f"--add-port={port}/tcp" for port in ports)


def has_local_names() -> bool:
    """Whether something here answers for NAME.local (RFC 6762)."""
    return sys.platform == "darwin" or Path("/run/avahi-daemon/socket").exists()


def local_name() -> str:
    return platform.node().partition(".")[0].lower() + ".local"


# -- the QR code -----------------------------------------------------------------------------------------------------


def qr_code(text: str, out: TextIO) -> list[str]:
    """Lines for the terminal that `out` is, in black on white, whatever its colours are. None where it is too narrow or
    no terminal; twice as wide where it has ASCII only.
    """
    if not out.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return []
    rows = [[bool(module) for module in row] for row in segno.make(text, error="l", micro=False).matrix_iter(1, BORDER)]
    has_blocks = (out.encoding or "").lower().replace("-", "") == "utf8"
    if len(rows) * (1 if has_blocks else 2) > shutil.get_terminal_size().columns:
        return []
    return [*(_half_blocks(rows) if has_blocks else _spaces(rows)), ""]


def _half_blocks(rows: list[list[bool]]) -> Iterator[str]:
    """Two modules a character, one above the other."""
    shapes = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    white = [False] * len(rows)
    for upper, lower in zip(rows[::2], [*rows[1::2], white], strict=False):
        yield f"\x1b[30;107m{''.join(shapes[pair] for pair in zip(upper, lower, strict=True))}\x1b[0m"


def _spaces(rows: list[list[bool]]) -> Iterator[str]:
    for row in rows:
        yield "".join("\x1b[40m  " if module else "\x1b[107m  " for module in row) + "\x1b[0m"
