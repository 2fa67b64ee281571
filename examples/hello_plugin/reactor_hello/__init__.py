"""Says hello, and counts whom it has said it to."""

from __future__ import annotations

from collections import Counter

import msgspec

from reactor import HTTPError, Plugin, Request, Response

# Whoever comes with ever new names is told so, and costs no more memory.
MOST_NAMES = 10_000


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    greeting: str = "Hello"  # what it says before the name


def setup(plugin: Plugin, options: Options) -> None:
    visits: Counter[str] = plugin.keep("visits", Counter)  # survives a reload

    def hello(request: Request) -> Response:
        name = request.params["name"]
        if name not in visits and len(visits) == MOST_NAMES:
            raise HTTPError(503, "too many people have been here")
        visits[name] += 1
        return Response(f"{options.greeting} {name}, this is your visit number {visits[name]}.\n")

    plugin.route("GET", "/hello/{name}", hello)
