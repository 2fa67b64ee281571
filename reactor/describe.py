"""What `--check` prints: listeners, limits, plugins with their options, and the route table.

Made from the very objects that would serve, so it shows what is, defaults included, and not what the file says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import msgspec

from reactor.app import App


def describe(app: App) -> str:
    """The whole report, for an app that has been set up and not started."""
    config, generation = app.generation.config, app.generation
    lines = [f"{config.file} is fine.", "", "listeners", *(f"  http://{address}/" for address in config.listen)]
    server = {"state_dir": config.server.state_dir, "access_log": config.server.access_log}
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
    return "\n".join([*lines, "", "routes", *_table([("methods", "pattern", "guard", "plugin"), *rows])])


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
