"""The page's end of the conversation in docs/chat.md, without a browser: a login, a WebSocket, and what came on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any

from server import Answer, curl
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

Json = dict[str, Any]
SECONDS = 10.0


def cookie_of(answer: Answer) -> str:
    assert answer.status == 200, answer
    return "; ".join(line.partition(";")[0] for line in answer.all("set-cookie"))


def log_in(url: str, name: str = "admin", password: str = "password") -> str:
    return cookie_of(curl(url + "/login", "-d", f"username={name}&password={password}"))


def come_as_guest(url: str, name: str) -> str:
    return cookie_of(curl(url + "/guest", "-H", "Content-Type: application/json", "-d", json.dumps({"name": name})))


class PageSocket:
    """`told` is all that has come. What a test waits for may have come already, since the last `forget`."""

    def __init__(self, url: str, cookie: str = "", origin: str | None = None, **hello: Any) -> None:
        headers = {"Cookie": cookie} if cookie else {}
        self._connecting = connect(
            url.replace("http://", "ws://") + "/ws", subprotocols=[Subprotocol("reactor-chat.1")],
            additional_headers=headers, origin=origin or url, proxy=None, compression=None, max_size=None,  # type: ignore[arg-type]
        )  # fmt: skip
        self.told: list[Json] = []
        self.welcome: Json = {}
        self._refs = count(1)
        self._hello = hello
        self.socket: ClientConnection

    def __enter__(self) -> PageSocket:
        self.open()
        self.welcome = self.wait("welcome")
        return self

    def open(self) -> None:
        """And say hello. InvalidStatus if the server answers something else."""
        self.socket = self._connecting.__enter__()
        with suppress(ConnectionClosed):  # who is not let in may hear so before
            self.send(type="hello", **self._hello)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.socket.close()

    @property
    def id(self) -> str:
        return str(self.welcome["me"]["id"])

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def wait(self, type_: str, fits: Callable[[Json], object] = lambda told: True, seconds: float = SECONDS) -> Json:
        """The first of that type that fits, of all that came and will come."""
        end = time.monotonic() + seconds
        looked = 0
        while True:
            for told in self.told[looked:]:
                if told["type"] == type_ and fits(told):
                    return told
            looked = len(self.told)
            try:
                self.told.append(json.loads(self.socket.recv(timeout=max(0.0, end - time.monotonic()))))
            except TimeoutError:
                raise AssertionError(f"no {type_} came in {seconds} s, but:\n" + self.log) from None

    @property
    def log(self) -> str:
        return "\n".join(json.dumps(told) for told in self.told)

    def forget(self) -> None:
        self.told.clear()

    def ask(self, type_: str, **fields: Any) -> Json:
        """The answer to a request: `done` or `failed`."""
        ref = next(self._refs)
        self.send(type=type_, ref=ref, **fields)
        end = time.monotonic() + SECONDS
        while True:
            answers = [told for told in self.told if told["type"] in ("done", "failed") and told["ref"] == ref]
            if answers:
                return answers[0]
            assert time.monotonic() < end, f"{type_} was not answered:\n{self.log}"
            self.told.append(json.loads(self.socket.recv(timeout=SECONDS)))

    def do(self, type_: str, **fields: Any) -> Json:
        answer = self.ask(type_, **fields)
        assert answer["type"] == "done", answer
        return answer

    def say(self, to: str, text: str, key: str = "") -> str:
        """The id of the message."""
        return str(self.do("say", to=to, text=text, key=key or f"key {text}")["id"])

    def wait_text(self, text: str, seconds: float = SECONDS) -> Json:
        told = self.wait("message", lambda told: told["message"]["text"] == text, seconds)
        return dict(told["message"])

    def wait_state(self, id_: str, state: str, delivered: int, of: int) -> Json:
        def fits(told: Json) -> bool:
            found = told["state"]
            return (found["id"], found["state"], found["delivered"], found["of"]) == (id_, state, delivered, of)

        return dict(self.wait("state", fits)["state"])

    def wait_person(self, name: str, state: str) -> Json:
        """Who was there before is in the welcome, and told of again only when something changes."""

        def fits(person: Json) -> bool:
            return (person["name"], person["state"]) == (name, state)

        for told in self.told:
            for person in told["people"] if told["type"] == "welcome" else ():
                if fits(person):
                    return dict(person)
        return dict(self.wait("person", lambda told: fits(told["person"]))["person"])

    def wait_closed(self, seconds: float = SECONDS) -> tuple[int, str]:
        """The code and the reason."""
        end = time.monotonic() + seconds
        try:
            while True:
                self.told.append(json.loads(self.socket.recv(timeout=max(0.0, end - time.monotonic()))))
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "it was lost without a word"
            return closed.rcvd.code, closed.rcvd.reason
        except TimeoutError:
            raise AssertionError("it is still open:\n" + self.log) from None
