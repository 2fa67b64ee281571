"""The configuration file: INI text in, typed options out, and for every mistake one line with file, line and key.

    [server]                     the process: listeners, limits, state directory
    [plugin:NAME]                one plugin; its presence is the switch
    use = package.module         where the plugin is, if NAME alone does not say

`configparser` reads the text; a value is then turned into what the option's annotation asks for (`coerce`), and
`msgspec` checks the whole against the plugin's `Options`.
"""

from __future__ import annotations

import configparser
import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from reactor.core.address import UNIX, Address, is_loopback, parse_address
from reactor.core.certificates import ServerTLS
from reactor.errors import ConfigError
from reactor.http.forwarding import Network, Trust, parse_networks
from reactor.http.server import Settings

T = TypeVar("T")
_PLUGIN = "plugin:"
LISTENING = ("listen", "listen_tls", "listen_redirect")


class ServerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `[server]` takes beside the limits in `http.server.Settings`."""

    listen: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1:8000"])
    listen_tls: list[str] = []
    listen_redirect: list[str] = []  # where plain HTTP is only told where HTTPS is
    redirect_port: typing.Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0  # 0: that of the first in listen_tls
    unix_mode: str = "660"  # of the files of Unix sockets, in octal as chmod has it
    tls_cert: list[str] = []
    tls_key: list[str] = []  # none: each certificate file has its key in it
    state_dir: str = "var"
    access_log: str = "off"  # off, - (standard error) or a file
    access_log_format: typing.Literal["combined", "json"] = "combined"
    access_log_details: bool = False  # whether its lines have duration and name of the request
    send_request_id: bool = False  # whether answers have X-Request-ID
    block_warning: typing.Annotated[float, msgspec.Meta(ge=0)] = 0.5  # seconds of one turn; 0: no watchdog
    proxy_protocol: list[str] = []  # networks whose connections begin with a PROXY header
    trusted_proxies: list[str] = []  # networks whose word on where a request is from is believed
    forwarded_header: typing.Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"  # where they say it
    verbose: bool = False
    security_headers: bool = True  # what browsers shall not do with our answers
    hsts: float = 0.0  # for so long browsers that were here by HTTPS come no other way; 0: as they like


@dataclass(frozen=True)
class Section:
    """One `[name]` of the file; its values are text still."""

    name: str
    values: Mapping[str, str]


class Config:
    """One configuration. Raises ConfigError while it is made, never later."""

    def __init__(self, text: str, file: str = "config.ini", directory: Path | None = None) -> None:
        self.file = file
        self.directory = directory if directory is not None else Path(file).resolve().parent
        self._text = text
        sections = self._parse(text)
        self.has_sections = bool(sections)
        server = next((section for section in sections if section.name == "server"), Section("server", {}))
        self.plugins = [section for section in sections if section.name.startswith(_PLUGIN)]
        self.parts = self._collect_parts(section for section in sections if section not in self.plugins)
        known = {field.name for field in fields(Settings)}
        limits = {key: value for key, value in server.values.items() if key in known}
        rest = {key: value for key, value in server.values.items() if key not in known}
        self.settings = self._convert(limits, Settings, "server")
        self.server = self._convert(rest, ServerOptions, "server", also_known=known)
        self._check_names()
        paths = [text for text in self.server.listen if text.startswith(UNIX)]
        self.listen = self._addresses("listen", [text for text in self.server.listen if text not in paths], 8000)
        self.listen_unix = [self._socket_path(text) for text in paths]
        self.listen_tls = self._addresses("listen_tls", self.server.listen_tls, 8443)
        self.listen_redirect = self._addresses("listen_redirect", self.server.listen_redirect, 80)
        self._check_listeners()
        self.unix_mode = self._unix_mode()
        self.trust = Trust(self._networks("trusted_proxies"), self.server.forwarded_header.lower())
        self.announcers = Trust(self._networks("proxy_protocol"))
        self.state_dir = self.directory / self.server.state_dir

    # -- what was said -----------------------------------------------------------------------------------------------

    def _parse(self, text: str) -> list[Section]:
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"),
                                           inline_comment_prefixes=("#",), default_section="")  # fmt: skip
        try:
            parser.read_string(text, source=self.file)
        except configparser.DuplicateOptionError as error:
            raise self._error("is said twice", error.section, error.option, error.lineno) from None
        except configparser.DuplicateSectionError as error:
            raise self._error("this section is there twice", error.section, line=error.lineno) from None
        except configparser.MissingSectionHeaderError as error:
            raise self._error("a [section] has to come first", line=error.lineno) from None
        except configparser.ParsingError as error:
            line = error.errors[0][0]
            raise self._error("this line is neither [section] nor key = value", line=line) from None
        for name in parser.sections():
            before, colon, after = name.partition(":")
            if name != "server" and not (before and colon and after):
                raise self._error("unknown section: there are [server], [plugin:NAME] and [NAME:PART]", name)
        return [Section(name, dict(parser[name])) for name in parser.sections()]

    def _collect_parts(self, sections: typing.Iterable[Section]) -> dict[str, dict[str, Section]]:
        """Sections [NAME:PART] of the plugins, by NAME and PART."""
        plugins = {section.name[len(_PLUGIN) :] for section in self.plugins}
        parts: dict[str, dict[str, Section]] = {}
        for section in sections:
            name, _, part = section.name.partition(":")
            if section.name == "server":
                continue
            if name not in plugins:
                words = f"unknown section: there is no [plugin:{name}] that it could be part of"
                raise self._error(words, section.name)
            parts.setdefault(name, {})[part] = section
        return parts

    def _networks(self, key: str) -> list[Network]:
        try:
            return parse_networks(getattr(self.server, key))
        except ValueError as error:
            raise self.error(str(error), "server", key) from None

    def _socket_path(self, text: str) -> Address:
        """`unix:PATH`, which is relative to the config file."""
        path = text[len(UNIX) :].strip()
        if not path:
            raise self.error("needs a path, such as unix:/run/reactor.sock", "server", "listen")
        return Address(f"{UNIX}{self.directory / path}", 0)

    def _unix_mode(self) -> int:
        text = self.server.unix_mode
        if not re.fullmatch("0?[0-7]{3}", text):
            raise self.error(f"is a mode as chmod has it, such as 660, not {text!r}", "server", "unix_mode")
        return int(text, 8)

    def _addresses(self, key: str, texts: list[str], port: int) -> list[Address]:
        if any(text.startswith(UNIX) for text in texts):
            raise self.error("a Unix socket stays on this machine and needs no TLS: name it with listen", "server", key)
        try:
            return [parse_address(text, port) for text in texts]
        except ValueError as error:
            raise self.error(str(error), "server", key) from None

    def _check_names(self) -> None:
        for key in ("state_dir", "access_log"):
            if not getattr(self.server, key):
                default = getattr(ServerOptions(), key)
                raise self.error(f"is empty: give a name, or leave the line out, which means {default}", "server", key)

    def _check_listeners(self) -> None:
        server = self.server
        if not self.listeners:
            raise self.error("has to name an address, such as 127.0.0.1:8000", "server", "listen")
        self._check_twice()
        if server.listen_redirect and not server.listen_tls:
            words = "there is no HTTPS to lead to: name addresses with listen_tls"
            raise self.error(words, "server", "listen_redirect")
        if server.listen_tls and not server.tls_cert:
            raise self.error("needs a certificate: name its file with tls_cert", "server", "listen_tls")
        if server.tls_cert and not server.listen_tls:
            raise self.error("nothing uses it: name addresses for HTTPS with listen_tls", "server", "tls_cert")
        if server.hsts < 0 or (server.hsts and not server.listen_tls):
            words = "is for how long browsers shall use HTTPS only: it needs listen_tls, and is not negative"
            raise self.error(words, "server", "hsts")
        if server.tls_key and len(server.tls_key) != len(server.tls_cert):
            words = f"{len(server.tls_key)} keys for {len(server.tls_cert)} certificates: name one for each"
            raise self.error(words, "server", "tls_key")

    def _check_twice(self) -> None:
        seen: set[Address] = set()
        plain = [*self.listen, *self.listen_unix]
        for key, addresses in zip(LISTENING, (plain, self.listen_tls, self.listen_redirect), strict=True):
            for address in addresses:
                if address in seen:
                    raise self.error("the same address twice", "server", key)
                seen.add(address)

    @property
    def addresses(self) -> list[Address]:
        """All ports where something is served, plain ones first."""
        return [*self.listen, *self.listen_tls]

    @property
    def listeners(self) -> list[Address]:
        """All that it listens to, Unix sockets and those that lead to HTTPS too."""
        return [*self.listen, *self.listen_unix, *self.listen_tls, *self.listen_redirect]

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether any listener can be reached from another machine."""
        return not all(is_loopback(address.host) for address in self.addresses)

    def url(self, address: Address, port: int = 0) -> str:
        """Of one of the listeners; `port` is what the system has chosen for 0."""
        if address.path:
            return str(address)
        scheme = "https" if address in self.listen_tls else "http"
        return f"{scheme}://{address._replace(port=port or address.port)}/"

    def load_tls(self) -> ServerTLS | None:
        """What the TLS listeners need, read from the files; None without such listeners."""
        if not self.listen_tls:
            return None
        certificates = [self.directory / name for name in self.server.tls_cert]
        keys = [self.directory / name for name in self.server.tls_key] or certificates
        try:
            return ServerTLS(list(zip(certificates, keys, strict=True)))
        except ConfigError as error:
            raise self.error(error.message, "server", error.key) from None

    def options(self, section: Section, options: type[T] | None) -> T | None:
        """The options of a plugin, as its own type; ConfigError for what does not fit."""
        values = {key: value for key, value in section.values.items() if key != "use"}
        if options is None:
            if values:
                raise self.error("this plugin takes no options", section.name, next(iter(values)))
            return None
        return self._convert(values, options, section.name)

    def _convert(
        self, values: Mapping[str, str], kind: type[T], section: str, also_known: typing.Iterable[str] = ()
    ) -> T:
        hints = typing.get_type_hints(kind, include_extras=True)
        converted = {}
        for key, text in values.items():
            if key not in hints:
                close = difflib.get_close_matches(key, [*hints, *also_known], 1)
                raise self.error("unknown option" + (f": did you mean {close[0]}?" if close else ""), section, key)
            try:
                converted[key] = coerce(text, hints[key])
            except ValueError as error:
                raise self.error(str(error), section, key) from None
        try:
            return msgspec.convert(converted, kind, strict=False)
        except msgspec.ValidationError as error:
            words, _, path = str(error).partition(" - at ")
            missing = re.search(r"missing required field `(\w+)`", words)
            if missing:
                raise self.error("has to be given", section, missing.group(1)) from None
            found = re.search(r"[$.`](\w+)", path.replace("$.", "$")) or re.match(r"`(\w+)`", words)
            raise self.error(_plain(words), section, found.group(1) if found else "") from None

    # -- where it was said -------------------------------------------------------------------------------------------

    def error(self, message: str, section: str = "", key: str = "") -> ConfigError:
        """A ConfigError that points at the line of `key` in `section`."""
        return self._error(message, section, key)

    def _error(self, message: str, section: str = "", key: str = "", line: int | None = None) -> ConfigError:
        line = line if line is not None else self._line(section, key)
        return ConfigError(message, file=self.file, line=line, section=section, key=key)

    def _line(self, section: str, key: str) -> int:
        """The line of a key, of its section if the key is not there, or 0."""
        at, inside = 0, False
        for number, line in enumerate(self._text.splitlines(), 1):
            header = re.match(r"\[([^]]*)\]", line)
            if header:
                inside = header.group(1) == section
                at = number if inside else at
            elif inside and key and re.match(rf"\s*{re.escape(key)}\s*(=|$)", line, re.IGNORECASE):
                return number
        return at


def load(path: str | Path) -> Config:
    """Read a config file; ConfigError if it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("there is no such file; say where yours is with -c FILE", file=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("cannot be read: it is no text in UTF-8", file=str(path)) from None
    config = Config(text, str(path))
    if not config.has_sections:
        # A file that is being written, or whose disk was full: to take that over would end a server that serves.
        raise ConfigError("is empty: there is no [section] in it", file=str(path))
    return config


_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def _plain(words: str) -> str:
    """What msgspec says of a bound, for people: the key stands before it."""
    bound = re.fullmatch(r"Expected `(?:int|float)` ([<>]=?) ([0-9.]+)", words)
    if bound:
        return f"must be {_BOUNDS[bound.group(1)]} {float(bound.group(2)):.15g}"
    return re.sub(r"^`\w+` ", "", words)


_YES, _NO = ("yes", "on", "true", "1"), ("no", "off", "false", "0")
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 100_000 * _SECONDS["d"]  # a system that waits for a thread knows no longer time than 292 years
_size = re.compile(r"(-?[0-9]+(?:_[0-9]+)*)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_duration = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)", re.IGNORECASE)


def coerce(text: str, kind: Any) -> Any:
    """Turn an option's text into what its annotation asks for; ValueError, in words, if it cannot be.

    bool: yes/no, on/off, true/false. int: 64k, 1 MiB (powers of 1,024). float: seconds, 30s, 10m, 2h, 7d.
    list: one item a line, or separated by commas where no line is broken.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return coerce(text, args[0])
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        return None if len(rest) < len(args) and text == "" else coerce(text, rest[0])
    if origin is typing.Literal and text not in args:
        raise ValueError(f"is {' or '.join(args)}, not {text!r}")
    if origin is list or kind is list:
        items = text.splitlines() if "\n" in text else text.split(",")
        return [coerce(item.strip(), args[0] if args else str) for item in items if item.strip()]
    if kind is bool:
        return _bool(text)
    if kind is int:
        return int(_number(_size, text, _SIZES, "a whole number (64k and 1M are understood)"))
    if kind is float:
        return _seconds(text)
    return text


def _bool(text: str) -> bool:
    lower = text.lower()
    if lower not in _YES + _NO:
        raise ValueError(f"is yes or no, not {text!r}")
    return lower in _YES


def _seconds(text: str) -> float:
    seconds = float(_number(_duration, text, _SECONDS, "a number of seconds (30s, 10m, 2h and 7d are understood)"))
    if seconds > _LONGEST:
        raise ValueError(f"is at most {_LONGEST / _SECONDS['d']:.0f}d, not {text!r}")
    return seconds


def _number(pattern: re.Pattern[str], text: str, units: Mapping[str, float], wanted: str) -> float:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"is {wanted}, not {text!r}")
    digits, unit = match.groups()
    return (float(digits) if "." in digits else int(digits)) * units[unit.lower()]


def with_connection_limit(settings: Settings, limit: int) -> Settings:
    """The same settings with the number of connections that the system allows, where none was said."""
    return settings if settings.max_connections else replace(settings, max_connections=limit)
