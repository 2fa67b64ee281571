"""The tracker: where peers say who and where they are, and learn of each other. docs/tracker-api.md has it all.

registry   who is registered: plain data     channels   what lets a newcomer in
tracker    the rules over both               service    the rules for other plugins
endpoints  the rules over HTTP               lists      /get-list, encoded once per change
handover   the registry for a new process
"""

from __future__ import annotations

import functools
from random import Random

from reactor import ConfigError, Plugin

from . import handover
from .endpoints import MAX_BODY, Endpoints
from .options import Options
from .passwords import Passwords
from .registry import Registry
from .service import Service
from .tracker import Tracker

__all__ = ["Options", "setup"]


def setup(plugin: Plugin, options: Options) -> None:
    if options.interval * 1.2 >= options.ttl:
        raise ConfigError("must be longer than the interval and a fifth, or peers expire in between", key="ttl")
    passwords = Passwords(functools.partial(plugin.offload, pool="hash"), options.password_attempts)
    registry = plugin.keep(
        "registry", Registry,
        dump=lambda registry: handover.dump(registry, plugin.monotonic()),
        load=lambda registry, data: handover.load(registry, data, plugin.monotonic()),
    )  # fmt: skip
    tracker = Tracker(
        registry, options, passwords,
        clock=plugin.monotonic, random=Random(), announce=plugin.log.say,
    )  # fmt: skip
    plugin.provide("tracker", Service(tracker))
    plugin.every(1.0, tracker.expire)
    plugin.every(60.0, passwords.forget)
    _routes(plugin, Endpoints(tracker), "login" if options.require_login else None)


def _routes(plugin: Plugin, endpoints: Endpoints, guard: str | None) -> None:
    for methods, pattern, handler in (
        ("PUT POST", "/submit-info[/]", endpoints.submit_info),
        ("PUT POST", "/submit_info[/]", endpoints.submit_info),
        ("GET", "/get-list[/]", endpoints.get_list),
        ("POST", "/get-list[/]", endpoints.post_list),
        ("POST", "/add-list[/]", endpoints.add_list),
        ("POST", "/channel[/]", endpoints.channel),
        ("POST", "/leave[/]", endpoints.leave),
        ("POST", "/connect-peer[/]", endpoints.connect_peer),
    ):
        plugin.route(methods, pattern, handler, guard=guard, max_body=MAX_BODY)
