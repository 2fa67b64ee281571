"""The tracker's rules, over a Registry: who may change what, and how much of it there may be.

The HTTP endpoints and the service of other plugins are thin skins over this. Every operation
checks everything first and changes something only then, so a refusal (`Refused`, an HTTPError) leaves no trace.

A registration belongs to who made it. Its lease, a secret, is the proof; clients of the original system know no
lease, so for theirs alone the address they came from stands in, unless somebody else can speak from there: a proxy that
nobody trusts, or a page of another site in the browser of somebody who is there.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from random import Random

from msgspec.structs import replace

from reactor import network_of

from .channels import MAX_INVITES, Channel
from .messages import INSIDE, Caller, Change, Credentials, Joined, Registered
from .names import check_channel, check_name, check_password, dialable_ip, join_address, plain_ip, split_address
from .options import Options
from .passwords import Passwords
from .refused import Refused
from .registry import Entry, Peer, Registry

# Ours have 32 characters; what a client presents after a restart must be as hard to guess.
_is_lease = re.compile(r"[A-Za-z0-9._~+/=-]{16,128}").fullmatch


class Tracker:
    def __init__(
        self,
        registry: Registry,
        options: Options,
        passwords: Passwords,
        *,
        clock: Callable[[], float],
        random: Random,
        announce: Callable[[str], object],
    ) -> None:
        """`clock` in seconds, never jumping; `random` only spreads the renewals; `announce` prints a line."""
        self.registry = registry
        self._options = options
        self._passwords = passwords
        self._clock = clock
        self._random = random
        self._announce = announce

    # -- registering -------------------------------------------------------------------------------------------------

    def register(
        self,
        port: int,
        *,
        caller: Caller = INSIDE,
        peer_id: str | None = None,
        id_path: str = "$.peer_id",
        ip: str | None = None,
        username: str | None = None,
        channels: Sequence[str] | None = None,
        lease: str | None = None,
        original: bool = False,
    ) -> Registered:
        """Register, or renew what is registered. `channels` None: unchanged."""
        caller = Caller(plain_ip(caller.client), caller.proves_nothing)
        ip = dialable_ip(ip, caller.client)
        if peer_id is not None:
            check_name(peer_id, id_path)
        if username:
            check_name(username, "$.username")
        for i, name in enumerate(channels or ()):
            check_channel(name, f"$.channels[{i}]")
        peer = self._registered(peer_id, ip, port, Credentials(peer_id or "", lease, caller, id_path))
        if peer is None:
            entry = Entry(peer_id or self._free_id(), username or "", ip, port)
            peer = self._add(entry, caller, channels or (), lease, original)
        else:
            self._renew(peer, caller, ip, port, username, channels)
            if lease and not original:
                peer.original = False
        return self._registration(peer)

    def _registered(self, peer_id: str | None, ip: str, port: int, who: Credentials) -> Peer | None:
        """The registration that is meant, if there is one. An id is somebody's: 403 if it is not the caller's. An
        address is only claimed, and others may claim it too: of those there, the first that the caller may change.
        """
        if peer_id is not None and (known := self.registry.peers.get(peer_id)) is not None:
            return self._own((known,), who)
        address: tuple[str, int] | None = (ip, port)
        if peer_id is not None:
            address = split_address(peer_id) if who.path == "$.peer_address" else None
        there = self.registry.at(*address) if address else ()
        return next((peer for peer in there if _may_change(peer, who)), None)

    def _add(self, bare: Entry, caller: Caller, channels: Sequence[str], lease: str | None, original: bool) -> Peer:
        if lease and not _is_lease(lease):
            raise Refused("invalid", "must be 16 to 128 letters, digits or . _ ~ + / = -", "$.lease")
        self._check_room_for_peer(caller.client)
        self._check_channels(channels, ())
        entry = replace(bare, username=bare.username or bare.peer_id, channels=tuple(dict.fromkeys(channels)))
        peer = Peer(entry, caller.client, lease or secrets.token_hex(16), original and not caller.proves_nothing)
        self.registry.add(peer, self._clock())
        where = join_address(entry.ip, entry.port)
        self._announce(f"[ChatApp] Peer registered: {entry.peer_id} at {where} (total peers: {self.total})")
        return peer

    def _renew(
        self, peer: Peer, caller: Caller, ip: str, port: int, username: str | None, channels: Sequence[str] | None
    ) -> None:
        old = peer.entry
        joined = old.channels
        if channels is not None and tuple(channels) != joined:
            self._check_channels(channels, joined)
            # The order of joining stays, whatever order the client lists them in: nothing has changed then.
            joined = tuple(dict.fromkeys([*(name for name in joined if name in channels), *channels]))
        if caller.client != peer.client and network_of(caller.client) != network_of(peer.client):
            self._check_room_at(caller.client)
        self.registry.move(peer, caller.client)
        self.registry.change(peer, Entry(peer.peer_id, username or old.username, ip, port, joined))
        self.registry.renew(peer, self._clock())

    def _registration(self, peer: Peer) -> Registered:
        channels = peer.entry.channels
        keys = {name: key for name in channels if (key := self.registry.channels[name].key) is not None}
        return Registered(
            status="success",
            peer_id=peer.peer_id,
            observed_ip=peer.client,
            interval=round(self._options.interval * self._random.uniform(0.8, 1.2), 1),
            ttl=self._options.ttl,
            lease=peer.lease,
            total_peers=self.total,
            channels=channels,
            channel_keys=keys,
        )

    def _free_id(self) -> str:
        while (peer_id := secrets.token_hex(4)) in self.registry.peers:
            pass
        return peer_id

    # -- leaving -----------------------------------------------------------------------------------------------------

    def leave(self, who: Credentials, channel: str | None = None) -> Peer:
        """Out of `channel`, which is nothing if the peer is not in it; None: out of the list and of all channels."""
        peer = self.own(who)
        if channel is None:
            self.registry.remove(peer)
        else:
            self._take_out(peer, check_channel(channel, "$.channel"))
        return peer

    def _take_out(self, peer: Peer, channel: str) -> None:
        left = tuple(name for name in peer.entry.channels if name != channel)
        self.registry.change(peer, replace(peer.entry, channels=left))

    def expire(self) -> None:
        """Remove whoever has not renewed in time. For a timer."""
        for peer_id in self.registry.silent_since(self._clock() - self._options.ttl):
            self.registry.remove(self.registry.peers[peer_id])

    # -- channels ----------------------------------------------------------------------------------------------------

    async def join(
        self, who: Credentials, name: str, *, password: str | None = None, invite: str | None = None
    ) -> Joined:
        """Enter the channel, or see it again as a member. It waits only where a password has to be compared."""
        check_channel(name, "$.channel")
        peer = self.own(who)
        proven = None
        if name not in peer.entry.channels:
            self._check_entrance(peer, name)
            proven = await self._prove(who, name, password, invite)
            peer = self.own(who)  # anything may have happened meanwhile
        if name not in peer.entry.channels:
            self._check_entrance(peer, name)
            self._enter(peer, name, proven, invite)
        return _view(self.registry.channels[name])

    def _check_entrance(self, peer: Peer, name: str) -> None:
        """Whether there is room; who may enter is another question."""
        if len(peer.entry.channels) >= self._options.max_channels_per_peer:
            raise Refused("too_many_channels", "this peer is in as many channels as it may be", "$.channel")
        channel = self.registry.channels.get(name)
        if channel is None:
            self._check_room_for_channels(1)
        else:
            self._check_room_in(channel, "$.channel")

    async def _prove(self, who: Credentials, name: str, password: str | None, invite: str | None) -> str | None:
        """The hash that `password` matches, if the channel has one and nothing else opens it."""
        channel = self.registry.channels.get(name)
        if channel is None or not password or channel.password is None or channel.admits(None, invite, self._clock()):
            return None
        hashed = channel.password
        check_password(password, "$.password")
        return hashed if await self._passwords.match(who.caller.client, hashed, password) else None

    def _enter(self, peer: Peer, name: str, proven: str | None, invite: str | None) -> None:
        now = self._clock()
        channel = self.registry.channels.get(name)
        if channel is not None and not channel.admits(proven, None, now):
            if not channel.admits(None, invite, now):
                raise _closed(channel, "$.channel")
            channel.use(str(invite))
        self.registry.change(peer, replace(peer.entry, channels=(*peer.entry.channels, name)))

    async def configure(self, who: Credentials, name: str, change: Change) -> Joined:
        """What the owner of a channel may do to it: set its policy, hand out an invite, remove a member."""
        channel = self._owned(who, name)
        self._check_change(channel, change)
        hashed = None
        if change.password is not None:
            hashed = await self._passwords.hash(who.caller.client, change.password)
            channel = self._owned(who, name)  # anything may have happened meanwhile
            self._check_change(channel, change)
        if hashed or change.policy:
            channel.set_policy(change.policy or "password", hashed)
        if change.remove is not None:
            self._take_out(self.registry.peers[change.remove], name)
            channel.invites.clear()
            if channel.key is not None:
                channel.renew_key()
        view = _view(channel)
        if change.invite is not None:
            terms = change.invite
            view.invite = channel.invite(terms.uses, self._clock() + (terms.ttl or self._options.invite_ttl))
        return view

    def _owned(self, who: Credentials, name: str) -> Channel:
        check_channel(name, "$.channel")
        peer = self.own(who)
        channel = self.registry.channels.get(name)
        if channel is None:
            raise Refused("unknown_channel", "nobody is in a channel of this name", "$.channel")
        if channel.owner != peer.peer_id:
            raise Refused("not_owner", f"{name} belongs to {channel.owner}, its oldest member", "$.channel")
        return channel

    def _check_change(self, channel: Channel, change: Change) -> None:
        policy = change.policy or channel.policy
        if change.password is not None:
            check_password(change.password, "$.password")
            if policy != "password":
                raise Refused("invalid", f"is not for the policy {policy}", "$.password")
        elif policy == "password" and channel.password is None:
            raise Refused("invalid", "is needed for the policy password", "$.password")
        if change.remove == channel.owner:
            raise Refused("is_owner", "the owner leaves with /leave", "$.remove")
        if change.remove is not None and change.remove not in channel.members:
            raise Refused("not_a_member", "is not in this channel", "$.remove")
        channel.forget_invites(self._clock())
        if change.invite is not None and len(channel.invites) >= MAX_INVITES:
            raise Refused("too_many_invites", "too many invites are open in this channel", "$.invite")

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        return len(self.registry.peers)

    def find(self, name: str, path: str = "$.peer_id") -> Entry:
        """By id; what is none but reads `ip:port` finds who listens there. Refused (404) if nobody does."""
        return self._find(name, path)[0].entry

    def listing(self, channel: str | None = None) -> list[Entry]:
        """In the order of registration; of a channel in the order of joining, and empty if there is no such."""
        if channel is None:
            return [peer.entry for peer in self.registry.peers.values()]
        members = self.registry.channels[channel].members if channel in self.registry.channels else ()
        return [self.registry.peers[peer_id].entry for peer_id in members]

    def _find(self, name: str, path: str) -> Sequence[Peer]:
        peer = self.registry.peers.get(name)
        if peer is not None:
            return (peer,)
        address = split_address(name)
        there = self.registry.at(*address) if address else ()
        if not there:
            raise Refused("unknown_peer", "no peer of this name is registered", path)
        return there

    # -- who may, and how much ---------------------------------------------------------------------------------------

    def own(self, who: Credentials) -> Peer:
        """The registration of that name, if it is the caller's. Refused 404 or 403."""
        return self._own(self._find(who.name, who.path), who)

    def _own(self, peers: Sequence[Peer], who: Credentials) -> Peer:
        for peer in peers:
            if _may_change(peer, who):
                return peer
        message = "the lease is not that of this registration" if who.lease else "its lease is needed"
        raise Refused("not_yours", message, "$.lease")

    def _check_room_for_peer(self, client: str) -> None:
        if self.total >= self._options.max_peers:
            raise Refused("too_many_peers", f"{self.total} peers are registered, which is the limit")
        self._check_room_at(client)

    def _check_room_at(self, client: str) -> None:
        limit, network = self._options.max_per_address, network_of(client)
        if client and limit and self.registry.count_from(network) >= limit:
            raise Refused("too_many_registrations", f"{limit} peers are registered from {network}, which is the limit")

    def _check_room_for_channels(self, new: int) -> None:
        if len(self.registry.channels) + new > self._options.max_channels:
            raise Refused("channel_limit", f"there may be {self._options.max_channels} channels at most")

    def _check_room_in(self, channel: Channel, path: str) -> None:
        if len(channel.members) >= self._options.max_members:
            raise Refused("channel_full", f"{channel.name} has {len(channel.members)} members already", path)

    def _check_channels(self, wanted: Sequence[str], current: Collection[str]) -> None:
        """Whether a peer in `current` may say that it is in `wanted`: a member stays, the others need an open door."""
        new = set()
        for i, name in enumerate(wanted):
            channel = self.registry.channels.get(name)
            if channel is None:
                new.add(name)
            elif name not in current:
                if channel.policy != "open":
                    raise _closed(channel, f"$.channels[{i}]")
                self._check_room_in(channel, f"$.channels[{i}]")
        limit = self._options.max_channels_per_peer
        if len(set(wanted)) > max(limit, len(current)):
            raise Refused("too_many_channels", f"a peer may be in {limit} channels", "$.channels")
        if new:
            self._check_room_for_channels(len(new))


def _may_change(peer: Peer, who: Credentials) -> bool:
    if who.lease:
        return hmac.compare_digest(peer.lease.encode(), who.lease.encode())
    caller = who.caller
    return peer.original and bool(peer.client) and not caller.proves_nothing and plain_ip(caller.client) == peer.client


def _closed(channel: Channel, path: str) -> Refused:
    if channel.policy == "password":
        return Refused("wrong_password", f"{channel.name} wants its password", path)
    return Refused("not_invited", f"{channel.name} wants an invite from its owner", path)


def _view(channel: Channel) -> Joined:
    return Joined(
        status="success",
        channel=channel.name,
        policy=channel.policy,
        owner=channel.owner,
        members=list(channel.members),
        member_count=len(channel.members),
        channel_key=channel.key,
    )
