"""What `--check` prints: listeners, limits, plugins with their options, and the route table.

Made from the very objects that would serve, so it shows what is, defaults included, and not what the file says.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict

import msgspec

from reactor.app import App
from reactor.config import LISTENING
from reactor.core.certificates import Certificate


def describe(app: App) -> str:
    """The whole report, for an app that has been set up and not started."""
    config, generation = app.generation.config, app.generation
    leads = dict.fromkeys(config.listen_redirect, "  (only leads to HTTPS)")
    listeners = [f"  {config.url(address)}{leads.get(address, '')}" for address in config.listeners]
    lines = [f"{config.file} is fine.", "", "listeners", *listeners]
    if generation.tls is not None:
        lines += ["", "certificates", *map(_certificate, generation.tls.certificates)]
    server = {key: value for key, value in msgspec.structs.asdict(config.server).items() if key not in LISTENING}
    lines += ["", "server", *_options({**server, **asdict(generation.site.settings)}, "  ")]
    lines += ["", "plugins"]
    for section, plugin in zip(config.plugins, generation.plugins, strict=True):
        use = {key: section.values[key] for key in ("use",) if key in section.values}
        options = msgspec.to_builtins(plugin.options) if plugin.options is not None else {}
        lines += [f"  {plugin.name}", *_options({**use, **options}, "    ")]
    rows = [
        (" ".join(route.methods), route.pattern, route.guard_name or "-", route.owner.removeprefix("plugin "))
        for route in generation.site.router.routes
    ]
    if claims := [(byte, plugin) for plugin in generation.plugins for byte in plugin.claims]:
        lines += ["", "connections that begin with another byte than HTTP"]
        lines += _table([(ascii(chr(byte)), plugin.name) for byte, plugin in claims])
    if hosts := generation.site.hosts:
        lines += ["", "hosts"]
        table = [(name, route.guard_name or "-", route.owner.removeprefix("plugin "))
                 for name, route in hosts.routes.items()]  # fmt: skip
        lines += _table([("host", "guard", "plugin"), *table])
    return "\n".join([*lines, "", "routes", *_table([("methods", "pattern", "guard", "plugin"), *rows])])


def _certificate(certificate: Certificate) -> str:
    until = time.strftime("%Y-%m-%d", time.gmtime(certificate.expires))
    expired = ", which is over" if certificate.expires < time.time() else ""
    return f"  {certificate.file}: for {', '.join(certificate.names) or 'no name'}, until {until}{expired}"


def _options(values: Mapping[str, object], indent: str) -> Iterable[str]:
    for key, value in values.items():
        if isinstance(value, list):
            yield f"{indent}{key} ="
            yield from (f"{indent}    {' '.join(str(item).split())}" for item in value)
        else:
            yield f"{indent}{key} = {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return ["  " + line.rstrip() for line in lines]
