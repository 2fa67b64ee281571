"""The proxy: requests for a host go on to the servers behind it. docs/proxy.md has it all.

conf       proxy.conf                      options   what it and config.ini may say
group      the servers behind one host     policies  which of them
upstream   one server, its connections     health    whether it is well     checks  asking it
exchange   one request on its way          fields    what of its head goes on
tunnel     a WebSocket                     service   figures for others
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from secrets import token_hex
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from reactor import Address, ConfigError, LocalProtocolError, Plugin, check_field

from .checks import Check, parse_statuses
from .conf import parse
from .fields import HOP_BY_HOP, Variables, canonical
from .group import Group
from .options import Options, Part, merged
from .policies import Member, make_policy
from .service import Figures, Service, declare_metrics
from .upstream import Upstreams

__all__ = ["Figures", "Options", "Part", "Service", "setup"]

_WEIGHT: Final = re.compile(r"weight=([0-9]{1,4})")
_PATH: Final = re.compile(r"/[!-~]*")


class Described(NamedTuple):
    """A host as somebody has written it, and where: errors point there."""

    part: Part
    section: str = ""
    file: str = ""
    line: int = 0
    lines: dict[str, int] = {}  # noqa: RUF012 - never changed

    def error(self, message: str, key: str = "") -> ConfigError:
        if self.file:
            return ConfigError(message, file=self.file, line=self.lines.get(key, self.line), key=key)
        return ConfigError(message, section=self.section, key=key)


def setup(plugin: Plugin, options: Options) -> None:
    upstreams = plugin.keep("upstreams", Upstreams)
    name = plugin.keep("name", lambda: f"reactor-{token_hex(4)}")
    random = Random()
    groups = [_make_group(plugin, options, described, upstreams, name, random) for described in _hosts(plugin, options)]
    if not groups:
        raise ConfigError("names no host: say conf = proxy.conf, or add a section [proxy:NAME]")
    service = Service(groups)
    plugin.provide("proxy", service)
    declare_metrics(plugin, service)
    used = list(dict.fromkeys(member.upstream for group in groups for member in group.members))

    def start() -> None:
        for group in groups:
            for member in group.members:
                member.upstream.follow(group.options)
        for upstream in used:
            upstream.hold()
            upstreams.known[upstream.address] = upstream

    def stop() -> None:
        for upstream in used:
            upstream.release()
        upstreams.forget()

    plugin.on_start(start)
    plugin.on_stop(stop)


def _hosts(plugin: Plugin, options: Options) -> Iterator[Described]:
    if options.conf:
        path = plugin.path(options.conf)
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}", key="conf") from None
        except UnicodeDecodeError:
            raise ConfigError(f"cannot read {path}: it is no text in UTF-8", key="conf") from None
        for part, line, lines in parse(text, options.conf):
            yield Described(part, file=options.conf, line=line, lines=lines)
    for name, part in plugin.parts.items():
        yield Described(part, section=f"{plugin.name}:{name}")


def _make_group(
    plugin: Plugin, defaults: Options, described: Described, upstreams: Upstreams, name: str, random: Random
) -> Group:
    part, options = described.part, merged(defaults, described.part)
    if not part.host or not part.to:
        raise described.error("names nobody", "to" if part.host else "host")
    servers = [_server(text, described) for text in part.to]
    members = [
        Member(upstreams.find(plugin.reactor, plugin.monotonic, address, options), weight)
        for address, weight in servers
    ]
    if len({address for address, _ in servers}) < len(servers):
        raise described.error("names the same server twice: give it a weight", "to")
    try:
        policy = make_policy(options.policy, random, [member.weight for member in members])
    except ValueError as error:
        raise described.error(str(error), "policy") from None
    set_headers = [_set_header(text, described) for text in part.set_header]
    if len({canonical(name) for name, _ in set_headers}) < len(set_headers):
        raise described.error("sets the same field twice", "set_header")
    group = Group(plugin, name, part, options, members, policy, set_headers, upstreams, random)
    for host in part.host:
        try:
            plugin.host(host, group.handle, guard=part.guard or None, max_body=options.max_body)
        except ConfigError as error:
            raise described.error(error.message, "host") from None
    _check(plugin, group, described)
    return group


def _server(text: str, described: Described) -> tuple[Address, int]:
    """`http://HOST[:PORT] [weight=N]`"""
    url, *more = text.split()
    weight = 1
    for word in more:
        match = _WEIGHT.fullmatch(word)
        if match is None or not int(match.group(1)):
            raise described.error(f"{word!r} behind a server: there is weight=N, N from 1 to 9999", "to")
        weight = int(match.group(1))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise described.error(f"{url!r} is no address: {error}", "to") from None
    if parts.scheme != "http" or not parts.hostname or parts.username or port == 0:
        raise described.error(f"{url!r} is not of the form http://HOST:PORT", "to")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise described.error(f"{url!r} names more than a server: paths are passed on as they are", "to")
    return Address(parts.hostname, 80 if port is None else port), weight


def _set_header(text: str, described: Described) -> tuple[str, Variables]:
    name, _, value = text.strip().partition(" ")
    value = value.strip()
    if not value:
        raise described.error(f"{name} has no value: Name Value", "set_header")
    if canonical(name) in HOP_BY_HOP:
        raise described.error(f"{name} belongs to the connection, which the proxy looks after itself", "set_header")
    try:
        check_field(name, value)
        value.encode("latin-1")
        return name, Variables(value)
    except (LocalProtocolError, ValueError) as error:
        raise described.error(str(error), "set_header") from None


def _check(plugin: Plugin, group: Group, described: Described) -> None:
    options = group.options
    try:
        statuses = parse_statuses(options.check_status)
    except ValueError as error:
        raise described.error(str(error), "check_status") from None
    if not options.check_path:
        return
    if not _PATH.fullmatch(options.check_path):
        raise described.error(f"is a path, such as /health; not {options.check_path!r}", "check_path")
    upstreams = [member.upstream for member in group.members]
    plugin.every(options.check_interval, Check(plugin, described.part.host[0], upstreams, options, statuses).run)
