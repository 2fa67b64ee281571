"""The real server with its chat on a fake clock, and pages whose WebSockets have no socket below them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, RejectConnection, Request, TextMessage

from reactor.testing import Answer, TestApp

Json = dict[str, Any]


class ChatApp:
    """`guest` and `admin` log somebody in, `page` opens a page for them. Time passes in `advance` only."""

    def __init__(
        self, state_dir: Path, chat: Mapping[str, str] | None = None, auth: Mapping[str, str] | None = None
    ) -> None:
        self.sections = {
            "plugin:auth": {"guests": "loopback", **(auth or {})}, "plugin:tracker": {},
            "plugin:chat": dict(chat or {}),
        }  # fmt: skip
        self.app = TestApp(self.sections, state_dir=state_dir)

    def __enter__(self) -> ChatApp:
        self.app.__enter__()
        self.advance(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.app.__exit__(kind, error, trace)
        if kind is None:
            assert [line for line in self.app.log_lines if " error: " in line] == []

    def advance(self, seconds: float) -> None:
        self.app.advance(seconds)

    def guest(self, name: str) -> str:
        return cookie_of(self.app.post("/guest", json={"name": name}))

    def admin(self) -> str:
        return cookie_of(self.app.post("/login", form={"username": "admin", "password": "password"}))

    def page(self, cookie: str, *, says_hello: bool = True, **hello: Any) -> Page:
        page = Page(self, cookie)
        if says_hello:
            page.send("hello", **hello)
            page.read()
        return page

    def request(self, method: str, path: str, cookie: str, **content: Any) -> Answer:
        return self.app.request(method, path, headers={"Cookie": cookie}, **content)


def cookie_of(answer: Answer) -> str:
    assert answer.status == 200, answer
    return "; ".join(line.partition(";")[0] for line in answer.headers.all("set-cookie"))


class Page:
    """`told` has all that came; `code` is that of the end, or None."""

    def __init__(self, chat: ChatApp, cookie: str) -> None:
        self.chat = chat
        self.told: list[Json] = []
        self.code: int | None = None
        self.reason = ""
        self.transport = chat.app.connect()
        self._read = 0
        self._refs = count(1)
        self._text = ""
        self._protocol = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Cookie", cookie.encode())]
        opening = Request(host="localhost", target="/ws", subprotocols=["reactor-chat.1"], extra_headers=headers)
        self._feed(self._protocol.send(opening))

    def _feed(self, data: bytes) -> None:
        self.transport.feed(data)
        self.chat.advance(0.05)
        self.read()

    def read(self) -> None:
        """Take what has come."""
        data, self._read = bytes(self.transport.sent[self._read :]), len(self.transport.sent)
        if data:
            self._protocol.receive_data(data)
        for event in self._protocol.events():
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self.told.append(json.loads(self._text))
                    self._text = ""
            elif isinstance(event, CloseConnection):
                self.code, self.reason = event.code, event.reason or ""
            else:
                assert not isinstance(event, RejectConnection), event
                assert isinstance(event, AcceptConnection) or "Ping" in type(event).__name__

    def send_text(self, text: str) -> None:
        self._feed(self._protocol.send(TextMessage(text)))

    def send_bytes(self, data: bytes) -> None:
        self._feed(self._protocol.send(BytesMessage(data)))

    def send(self, type_: str, **fields: Any) -> None:
        self.send_text(json.dumps({"type": type_, **fields}))

    def ask(self, type_: str, **fields: Any) -> Json:
        """Its answer, which comes without more time than a moment."""
        ref = next(self._refs)
        self.send(type_, ref=ref, **fields)
        (answer,) = (told for told in self.told if told.get("ref") == ref)
        return answer

    def do(self, type_: str, **fields: Any) -> Json:
        answer = self.ask(type_, **fields)
        assert answer["type"] == "done", answer
        return answer

    def say(self, to: str, text: str, key: str = "") -> str:
        return str(self.do("say", to=to, text=text, key=key or f"key {text}")["id"])

    # -- what it knows -------------------------------------------------------------------------------------------------

    @property
    def welcome(self) -> Json:
        self.read()
        (welcome,) = self.all("welcome")
        return welcome

    @property
    def id(self) -> str:
        return str(self.welcome["me"]["id"])

    def all(self, type_: str) -> list[Json]:
        self.read()
        return [told for told in self.told if told["type"] == type_]

    @property
    def texts(self) -> list[str]:
        """Of the messages, those of the welcome first."""
        messages = [*self.welcome["messages"], *(told["message"] for told in self.all("message"))]
        return [message["text"] for message in messages]

    def states(self, id_: str) -> list[tuple[str, int, int]]:
        found = [told["state"] for told in self.all("state")]
        return [(state["state"], state["delivered"], state["of"]) for state in found if state["id"] == id_]

    def presence(self, name: str) -> list[str]:
        """What was told of a person, the states only."""
        people = [*self.welcome["people"], *(told["person"] for told in self.all("person"))]
        return [person["state"] for person in people if person["name"] == name]
