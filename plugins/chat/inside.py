"""The tracker of the same server, asked without a socket: the same questions and refusals as over HTTP.

    peer.trackers -> InsideTracker -> the service "tracker"
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

import msgspec

from peer.trackers.answers import Listed, Refused, Taken, TrackerError
from peer.turns import Turns
from reactor import HTTPError, Reactor, ReactorError

T = TypeVar("T")

LOOKS_A_TURN: Final = 4  # at a channel; who sees a full one for the first time has 2 ms to do


class Service(Protocol):
    """What is used of the service "tracker"."""

    version: int

    def register(self, peer_id: str, ip: str, port: int, **more: Any) -> Any: ...
    def leave(self, peer_id: str, lease: str, channel: str | None = None) -> None: ...
    def join(self, peer_id: str, lease: str, channel: str, **more: Any) -> Awaitable[Any]: ...
    def configure(self, peer_id: str, lease: str, channel: str, **more: Any) -> Awaitable[Any]: ...
    def list(self, channel: str | None = None) -> Any: ...
    def find(self, peer_id: str) -> Any: ...


class InsideTracker:
    """`Asking` in the sense of `peer.trackers.tracker`."""

    name = "of this server"
    is_local = True

    def __init__(self, reactor: Reactor, service: Callable[[], Service]) -> None:
        """`service` is asked for each time: a reload brings another one."""
        self._service = service
        self._turns = Turns(reactor, LOOKS_A_TURN)
        self._taken: tuple[int, Taken] = (-1, Taken((), 0))

    @property
    def version(self) -> int:
        """Another number whenever the list is another one."""
        return self._service().version

    async def post(self, path: str, kind: type[T], **fields: Any) -> T:
        try:
            answer = _POSTS[path](self._service(), **fields)
            if isinstance(answer, Awaitable):
                answer = await answer
        except TrackerError:
            raise
        except HTTPError as error:
            code, where = getattr(error, "code", ""), getattr(error, "path", "")
            raise Refused(error.message.removeprefix(f"{where}: "), error.status, code, where) from None
        except ReactorError as error:
            raise TrackerError(f"The tracker of this server cannot answer: {error}") from None
        return msgspec.convert(answer or {"status": "success"}, kind, from_attributes=True)

    async def list(self, channel: str = "") -> Taken:
        if channel:
            await self._turns.next()
            return _taken(self._service().list(channel))
        service = self._service()
        if self._taken[0] != service.version:  # one for all who are held here
            self._taken = service.version, _taken(service.list())
        return self._taken[1]

    def nonsense(self, why: str) -> TrackerError:
        return TrackerError(f"The tracker of this server answers nonsense: {why}")


def _taken(entries: Iterable[Any]) -> Taken:
    return Taken(tuple(Listed(one.peer_id, one.username, one.ip, one.port, one.channels) for one in entries), 0)


def _register(
    service: Service, *, v: int, peer_id: str, username: str | None, port: int, ip: str | None,
    channels: list[str] | None, lease: str,
) -> Any:  # fmt: skip
    return service.register(peer_id, ip or "", port, username=username or "", channels=channels, lease=lease)


def _find(service: Service, *, peer_id: str) -> None:
    if service.find(peer_id) is None:
        raise Refused("no peer of this name is registered", 404, "unknown_peer")


def _leave(service: Service, *, peer_id: str, lease: str | None, channel: str | None = None) -> None:
    service.leave(peer_id, lease or "", channel)


def _join(service: Service, *, peer_id: str, lease: str | None, channel: str, **proof: Any) -> Awaitable[Any]:
    # So that each user has so many tries at a password, as others have from their address.
    return service.join(peer_id, lease or "", channel, client=peer_id, **proof)


def _configure(
    service: Service, *, peer_id: str, lease: str | None, channel: str, invite: bool | None = None, **change: Any
) -> Awaitable[Any]:
    return service.configure(peer_id, lease or "", channel, invites=1 if invite else 0, client=peer_id, **change)


_POSTS: Final[dict[str, Callable[..., Any]]] = {
    "/submit-info": _register, "/connect-peer": _find, "/leave": _leave, "/add-list": _join, "/channel": _configure,
}  # fmt: skip
