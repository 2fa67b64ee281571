"""share.ini: the text of another config with some options changed, and everything else as its owner has written it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from reactor.config import Config
from reactor.core.address import Address
from reactor.errors import StartError

FILE_NAME: Final = "share.ini"
# Where the certificate is, below the state directory.
CERTIFICATE: Final = "tls/cert.pem"
KEY: Final = "tls/key.pem"


def derived(config: Config, text: str, plain: list[Address], secure: list[Address], *, guests: bool) -> str:
    """The text of `config`, for others to join: these addresses, no demo login, guests or not."""
    server: dict[str, str | None] = {"listen": _listed(plain), "listen_tls": None, "tls_cert": None, "tls_key": None}
    if secure:
        directory = config.server.state_dir
        server |= {
            "listen_tls": _listed(secure), "tls_cert": f"{directory}/{CERTIFICATE}", "tls_key": f"{directory}/{KEY}"
        }  # fmt: skip
    text = with_options(text, "server", server)
    if has_accounts(config):
        text = with_options(text, "plugin:auth", {"demo": "no", "guests": "lan" if guests else None})
    origin = Path(config.file).name
    return f"# Made by `make share` from {origin}. Change it as you like; remove it to be asked again.\n\n{text}"


def has_accounts(config: Config) -> bool:
    return any(section.name == "plugin:auth" for section in config.plugins)


def moved(text: str, config: Config, ports: Mapping[int, int]) -> str:
    """The text of `config` with other ports."""
    options: dict[str, str | None] = {
        key: _listed([address._replace(port=ports.get(address.port, address.port)) for address in addresses])
        for key, addresses in (("listen", config.listen), ("listen_tls", config.listen_tls))
        if addresses
    }
    return with_options(text, "server", options)


def _listed(addresses: list[Address]) -> str:
    return ", ".join(map(str, addresses))


def with_options(text: str, section: str, options: Mapping[str, str | None]) -> str:
    """`options` in place of what `section` says about these keys; None takes a key out. The section is added if it is
    not there.
    """
    new = [f"{key} = {value}" for key, value in options.items() if value is not None]
    lines: list[str] = []
    is_inside, is_dropping, was_there = False, False, False
    for line in text.splitlines():
        header = re.match(r"\[([^]]*)\]", line)
        if header:
            is_inside = header.group(1) == section
            lines += [line, *(new if is_inside else ())]
            was_there = was_there or is_inside
            is_dropping = False
            continue
        continues = line[:1].isspace() and bool(line.strip())
        if not continues:
            is_dropping = is_inside and line.partition("=")[0].strip().lower() in options
        if not is_dropping:
            lines.append(line)
    if not was_there:
        lines += ["", f"[{section}]", *new]
    return "\n".join(lines) + "\n"


def write(file: Path, text: str) -> None:
    """A new file: StartError if there is one."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise StartError(f"{file} has just been made by somebody else: start again") from None
    except OSError as error:
        raise StartError(f"cannot write {file}: {error.strerror}") from None
