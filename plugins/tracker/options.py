"""What `[plugin:tracker]` may say. Every limit is here; why each is what it is: docs/tracker-api.md."""

from __future__ import annotations

from typing import Annotated

import msgspec

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
OrNone = Annotated[int, msgspec.Meta(ge=0)]  # 0: no limit
Seconds = Annotated[float, msgspec.Meta(ge=1)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ttl: Seconds = 90.0  # a registration lives this long without a renewal
    interval: Seconds = 30.0  # told to peers, each time within 20 % of this
    invite_ttl: Seconds = 24 * 3600.0  # an invite's life where the owner does not say
    max_peers: AtLeastOne = 50_000
    max_per_address: OrNone = 1_000  # registrations from one client address
    max_channels: AtLeastOne = 10_000
    max_channels_per_peer: AtLeastOne = 32
    max_members: AtLeastOne = 128  # of one channel
    password_attempts: OrNone = 60  # channel passwords hashed for one client address in a minute
    require_login: bool = False  # put the guard "login" in front of every endpoint
