"""Files: the folders that `mount` names, at the addresses it gives them.

    [plugin:static]
    mount =
        /assets  www/assets
        /        www          guard=login

What a path may reach is decided in `paths`, what a request gets of it in `conditional`. See docs/static.md.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec

from plugins.static.cache import Cache
from plugins.static.files import Clock, Files
from plugins.static.mount import Mount, parse_mounts
from plugins.static.paths import is_inside
from reactor import ConfigError, Plugin


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mount: list[str] = msgspec.field(default_factory=list)  # "/address folder guard=NAME index=NAME", one a line
    cache_size: Annotated[int, msgspec.Meta(ge=0)] = 16 * 1024 * 1024  # bytes of small files held in memory
    cache_file: Annotated[int, msgspec.Meta(ge=0, le=1024 * 1024)] = 64 * 1024  # bytes; a larger file is not held


def setup(plugin: Plugin, options: Options) -> None:
    mounts = parse_mounts(options.mount, plugin.path)
    cache = Cache(options.cache_size)
    clock = Clock(plugin.monotonic, plugin.unix_time)
    addresses = {mount.prefix for mount in mounts}
    for mount in mounts:
        _refuse_secrets(plugin, mount)
        others = tuple(str(other.root) for other in mounts if other.guard and other.guard != mount.guard)
        files = Files(mount, cache, clock, options.cache_file, others)
        if mount.is_folder:
            _register_folder(plugin, files, addresses)
        else:
            plugin.route("GET", mount.prefix, files, guard=mount.guard)


def _register_folder(plugin: Plugin, files: Files, addresses: set[str]) -> None:
    prefix, guard, index = files.mount.prefix, files.mount.guard, files.mount.index
    plugin.route("GET", prefix + "{path...}", files, guard=guard)
    if prefix != "/" and prefix[:-1] not in addresses:
        plugin.route("GET", prefix[:-1], files.at_prefix, guard=guard)
    if (files.mount.root / index).is_file():
        # The pattern finds these two as well. They are asked for most, and an exact route is found sooner.
        plugin.route("GET", prefix, files, guard=guard)
        if prefix + index not in addresses:
            plugin.route("GET", prefix + index, files, guard=guard)


def _refuse_secrets(plugin: Plugin, mount: Mount) -> None:
    """A folder around the config file or the databases would hand them to everybody."""
    root = os.path.realpath(mount.root)
    for what, place in (("the config file", plugin.path("")), ("state_dir", plugin.state_dir)):
        if is_inside(os.path.realpath(place), root):
            message = f"{mount.root} holds {what}: mount a folder that has nothing but what may be seen"
            raise ConfigError(message, key="mount")
