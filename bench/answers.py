"""The two answers that every server in the comparison gives, byte for byte: a word, and the list of 20 peers.

The list is what our tracker says after `peers()` have registered; a test holds the two together. Servers that have no
tracker send these bytes as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

OK: Final = b"ok"
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
FEW: Final = 20


def peers(count: int) -> Iterator[dict[str, Any]]:
    """What `count` peers send to `/submit-info`: as original clients, so that each may renew without a lease."""
    for number in range(count):
        ip = f"192.168.{number // 250}.{number % 250 + 1}"
        yield {"peer_id": f"{number:08x}", "ip": ip, "port": 9101, "channels": [f"class{number // 100}"]}


def listing(count: int) -> bytes:
    """The body of `/get-list` with `count` peers."""
    entries = [
        {"peer_id": peer["peer_id"], "username": peer["peer_id"], "ip": peer["ip"], "port": peer["port"],
         "channels": peer["channels"]}
        for peer in peers(count)
    ]  # fmt: skip
    channels = list(dict.fromkeys(name for entry in entries for name in entry["channels"]))
    answer = {"status": "success", "peers": entries, "channels": channels, "total_peers": count}
    return json.dumps(answer, separators=(",", ":")).encode()


LIST: Final = listing(FEW)
