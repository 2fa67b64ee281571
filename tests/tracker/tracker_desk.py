"""The tracker with a false clock and requests made by hand: no server, no sockets, nothing waits."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Generator
from random import Random
from typing import Any

from plugins.tracker.endpoints import Endpoints
from plugins.tracker.options import Options
from plugins.tracker.passwords import Passwords
from plugins.tracker.registry import Registry
from plugins.tracker.tracker import Tracker
from reactor import Headers, Request, Response
from reactor.sansio.head import RequestHead


class Answer:
    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.body
        self.json: dict[str, Any] = json.loads(response.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def path(self) -> str:
        return str(self.json["error"].get("path", ""))


class _Job:
    """A job in a helper thread, done when somebody goes on with the coroutine that waits for it."""

    def __init__(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self.function, self.args = function, args

    def __await__(self) -> Generator[_Job, None, object]:
        yield self
        return self.function(*self.args)


class Desk:
    def __init__(self, registry: Registry | None = None, **options: Any) -> None:
        self.now = 1000.0
        self.lines: list[str] = []
        self.jobs = 0
        self.registry = registry or Registry()
        self.passwords = Passwords(self._offload, Options(**options).password_attempts)
        self.tracker = Tracker(
            self.registry, Options(**options), self.passwords,
            clock=lambda: self.now, random=Random(1), announce=self.lines.append,
        )  # fmt: skip
        self.endpoints = Endpoints(self.tracker)

    def _offload(self, function: Callable[..., object], /, *args: object) -> Awaitable[object]:
        self.jobs += 1
        return _Job(function, args)

    # -- requests ----------------------------------------------------------------------------------------------------

    def begin(
        self, path: str, payload: object = None, *, client: str = "10.0.0.1", forwarded: bool = False,
        method: str = "POST", body: bytes | None = None,
    ) -> Response | Coroutine[Any, Any, Response]:  # fmt: skip
        headers = [("host", "tracker"), ("x-forwarded-for", "10.0.0.1")] if forwarded else [("host", "tracker")]
        request = Request(RequestHead(method, path, Headers(headers)), client, {})
        request.body = body if body is not None else b"" if payload is None else json.dumps(payload).encode()
        name = request.path.strip("/").replace("-", "_")
        handler: Any = getattr(self.endpoints, "post_list" if (method, name) == ("POST", "get_list") else name)
        return handler(request)  # type: ignore[no-any-return]

    def ask(self, path: str, payload: object = None, **more: Any) -> Answer:
        return Answer(finish(self.begin(path, payload, **more)))

    def get(self, path: str = "/get-list", **more: Any) -> Answer:
        return self.ask(path, method="GET", **more)

    # -- the usual ones ----------------------------------------------------------------------------------------------

    def submit(self, peer_id: str | None = None, port: int = 9101, client: str = "10.0.0.1", **fields: Any) -> Answer:
        """As a client of ours does; `v=None` for an original one."""
        payload = {"peer_id": peer_id, "port": port, "v": 1, **fields}
        return self.ask("/submit-info", {k: v for k, v in payload.items() if v is not None}, client=client)

    def lease(self, peer_id: str, **fields: Any) -> str:
        answer = self.submit(peer_id, **fields)
        assert answer.status == 200, answer.json
        return str(answer.json["lease"])

    def ids(self, channel: str = "") -> list[str]:
        path = f"/get-list?channel={channel}" if channel else "/get-list"
        return [peer["peer_id"] for peer in self.get(path).json["peers"]]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.tracker.expire()


def finish(answer: Response | Coroutine[Any, Any, Response]) -> Response:
    """Go on with a handler until it has answered."""
    if isinstance(answer, Response):
        return answer
    try:
        while True:
            answer.send(None)
    except StopIteration as stop:
        response = stop.value
        assert isinstance(response, Response)
        return response
