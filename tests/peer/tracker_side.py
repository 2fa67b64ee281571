"""A peer's trackers on a false clock, and what they talk to: a scripted tracker, or the real plugin in memory.

`Net` stands for reactor.http.client.Client: a request goes to whoever is at that address; None is nobody.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Coroutine, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

from peer.identity import Leases
from peer.trackers.answers import Listed
from peer.trackers.several import Callbacks, Trackers
from peer.trackers.tracker import Facts
from reactor import Address, DialError, Headers, sleep, timeout
from reactor.sansio.forms import FORM_TYPE
from reactor.sansio.head import RequestHead, ResponseHead
from reactor.sansio.http1 import CLIENT, Connection, Data, End
from reactor.testing import FakeReactor, TestApp

T = TypeVar("T")

HERE = Address("127.0.0.1", 8000)
THERE = Address("192.168.1.2", 8000)
ME = "65113e1d"


class Asked(NamedTuple):
    at: float
    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, Any]
    seconds: float
    limit: int


class Answer:
    def __init__(self, status: int, body: bytes | object = b"", headers: Iterable[tuple[str, str]] = ()) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json_module.dumps(body).encode()
        self.headers = Headers(headers)


def refusal(status: int, code: str, message: str = "no", path: str = "") -> Answer:
    return Answer(status, {"status": "error", "error": {"code": code, "message": message, "path": path}})


class Side(Protocol):
    async def answer(self, asked: Asked, body: bytes, content_type: str) -> Any: ...


class Net:
    def __init__(self, reactor: FakeReactor, sides: Mapping[Address, Side | None]) -> None:
        self.reactor = reactor
        self.sides = dict(sides)
        self.asked: list[Asked] = []

    async def request(
        self, method: str, url: str, *, headers: Iterable[tuple[str, str]] = (), form: Mapping[str, str] | None = None,
        json: Any = None, timeout: float = 30.0, limit: int = 0,
    ) -> Any:  # fmt: skip
        place, _, path = url.removeprefix("http://").partition("/")
        host, _, port = place.rpartition(":")
        fields = dict(form or {}) if json is None else json
        asked = Asked(self.reactor.clock.now, method, "/" + path, dict(headers), fields, timeout, limit)
        self.asked.append(asked)
        side = self.sides[Address(host, int(port))]
        if side is None:
            raise DialError(f"nobody listens at {place} (connection refused)")
        body = b"" if json is None else json_module.dumps(json).encode()
        async with _timeout(timeout):
            if form is not None:
                return await side.answer(asked, urlencode(form).encode(), FORM_TYPE)
            return await side.answer(asked, body, "application/json")

    def of(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]


_timeout = timeout


class Script:
    """A tracker that says what the test wants: by path, else a success. It remembers our channels."""

    def __init__(self, **answers: Answer | Exception | Callable[[Asked], Answer]) -> None:
        """`submit_info=` stands for /submit-info, and so on."""
        self.answers: dict[str, Any] = {}
        self.observed_ip = "127.0.0.1"
        self.delay = 0.0
        self.peers: list[object] = []
        self.channels: list[str] = []
        self.keys: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.set(**answers)

    def set(self, **answers: Answer | Exception | Callable[[Asked], Answer]) -> None:
        self.answers = {"/" + name.replace("_", "-"): answer for name, answer in answers.items()}

    async def answer(self, asked: Asked, body: bytes, content_type: str) -> Answer:
        if self.delay:
            await sleep(self.delay)
        self.asked.append(asked)
        path = asked.path.partition("?")[0]
        answer = self.answers.get(path) or self.answers.get("/all") or getattr(self, path[1:].replace("-", "_"))
        if isinstance(answer, Exception):
            raise answer
        found = answer(asked) if callable(answer) else answer
        assert isinstance(found, Answer)
        return found

    def registered(self, asked: Asked, **other: Any) -> dict[str, Any]:
        self.channels = asked.fields.get("channels", self.channels)
        return {
            "status": "success", "peer_id": asked.fields["peer_id"], "observed_ip": self.observed_ip, "interval": 30.0,
            "ttl": 90.0, "lease": asked.fields["lease"], "channels": self.channels, "channel_keys": self.keys, **other,
        }  # fmt: skip

    def submit_info(self, asked: Asked) -> Answer:
        return Answer(200, self.registered(asked))

    def get_list(self, asked: Asked) -> Answer:
        return Answer(200, {"status": "success", "peers": self.peers, "channels": [], "total_peers": len(self.peers)})

    def add_list(self, asked: Asked) -> Answer:
        self.channels = [*self.channels, asked.fields["channel"]]
        return Answer(200, {"status": "success", "channel": asked.fields["channel"], "members": [ME, "b"]})

    def leave(self, asked: Asked) -> Answer:
        return Answer(200, {"status": "success"})

    connect_peer = leave


def entry(peer_id: str, ip: str = "10.0.0.1", port: int = 9101, *channels: str) -> dict[str, Any]:
    return {"peer_id": peer_id, "username": peer_id, "ip": ip, "port": port, "channels": list(channels)}


class Plugin:
    """The real tracker: the bytes go to the app as if they came from `client`."""

    def __init__(self, app: TestApp, client: str = "127.0.0.1") -> None:
        self.app = app
        self.client = client

    async def answer(self, asked: Asked, body: bytes, content_type: str) -> Any:
        asking = Connection(CLIENT)
        transport = self.app.connect(self.client)
        pairs = [("Host", "127.0.0.1:8000"), *asked.headers.items(), ("Content-Type", content_type)]
        head = RequestHead(asked.method, asked.path, Headers(pairs), length=len(body))
        transport.feed(asking.send(head) + asking.send(Data(body)) + asking.send(End()))
        answer, found, taken = Answer(0), bytearray(), 0
        try:
            while True:
                await self.app.reactor.next_turn()
                asking.receive_data(bytes(transport.sent[taken:]))
                taken = len(transport.sent)
                while isinstance(event := asking.next_event(), (ResponseHead, Data, End)):
                    if isinstance(event, ResponseHead):
                        answer.status, answer.headers = event.status, event.headers
                    elif isinstance(event, Data):
                        found += event.data
                    else:
                        answer.body = bytes(found)
                        return answer
        finally:
            transport.abort()


class Peer:
    """Trackers with what they say written down. `channels` is what the facts have: `on_removed` takes it out."""

    def __init__(
        self, reactor: FakeReactor, sides: Mapping[Address, Side | None], *, peer_id: str = ME, ip: str = "",
        leases: Leases | None = None, lan: str | None = "192.168.1.7", user: str = "", password: str = "",
        channels: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.reactor = reactor
        self.net = Net(reactor, sides)
        self.peer_id = peer_id
        self.username = "Ann"
        self.ip = ip
        self.lan = lan
        self.leases = leases or Leases()
        self.channels = list(channels)
        self.lines: list[str] = []
        self.lists: list[list[Listed]] = []
        self.removed: list[tuple[str, str]] = []
        self.keys: list[dict[str, str]] = []
        self.trackers = Trackers(
            reactor, self.net, sides, lambda: Facts(self.peer_id, self.username, 9101, self.ip, tuple(self.channels)),  # type: ignore[arg-type]
            Callbacks(self.lines.append, self.lists.append, self.on_removed, self.keys.append),
            random=Random(1), leases=self.leases, lan_address=lambda: self.lan, user=user, password=password,
        )  # fmt: skip

    def on_removed(self, channel: str, why: str) -> None:
        self.removed.append((channel, why))
        self.channels.remove(channel)

    def start(self) -> Peer:
        self.trackers.start()
        self.reactor.settle()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        task = self.reactor.spawn(coroutine)
        self.reactor.settle()
        while not task.done and seconds > 0:
            self.reactor.advance(0.1)
            seconds -= 0.1
        assert task.done, "it never ends"
        return task.result()

    def join(self, channel: str, **how: Any) -> Any:
        async def join() -> Any:
            joined = await self.trackers.join(channel, **how)
            self.channels.append(channel)
            return joined

        return self.run(join())

    def ids(self) -> list[str]:
        return [peer.peer_id for peer in self.trackers.merged]
