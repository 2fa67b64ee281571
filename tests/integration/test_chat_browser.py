"""People in real browsers: Chromium, the page of the chat, a server, and somebody at a terminal.

Everything runs twice: under 127.0.0.1, which browsers trust, and under a plain-http name that is not loopback. There
they leave out what a LAN does not have either: `crypto.randomUUID`, the clipboard, notifications, `Sec-Fetch-*`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from chromium import MILLISECONDS, chromium
from peers import Peer
from playwright.sync_api import Browser, BrowserContext, Page, expect
from relay import Relay
from server import ENVIRONMENT, ROOT, Server, curl, write_config
from test_browser import ARTEFACTS, CONTRAST, SIZES

from bench.process import free_port

NAME = "room.test"
PASSWORD = "correct horse battery"
AUTH = f"index = {ROOT}/www/index.html\nguests = loopback\ndemo = no"
NUMBERS = count(1)
MARKUP = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script> & <b>bold</b> https://example.org/?a=1&b=<2>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as browser:
        yield browser


@pytest.fixture(params=["127.0.0.1", NAME])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fresh(word: str) -> str:
    """A name that no other test has: they share a server."""
    return f"{word}-{next(NUMBERS)}"


def add_account(config: Path, name: str) -> None:
    arguments = [sys.executable, "-m", "plugins.auth", "-c", str(config), "add", name]
    subprocess.run(arguments, cwd=ROOT, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, env=ENVIRONMENT,
                   capture_output=True)  # fmt: skip


def make_config(directory: Path, auth: str = AUTH) -> Path:
    """With a port that a server which is started again has once more."""
    plugins = {"auth": auth, "chat": "# as it is"}
    config = write_config(directory / "config.ini", plugins, listen=f"127.0.0.1:{free_port()}")
    add_account(config, "ann")
    return config


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(make_config(tmp_path_factory.mktemp("chat"))) as server:
        yield server


class Visitor:
    """Somebody with a browser of their own; a script that fails, or asks for another host, fails the test."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.errors: list[str] = []
        self.name = ""
        self.page = self.open()

    def open(self, path: str = "/chat/") -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._look(request.url))
        page.goto(self.url + path)
        return page

    def _look(self, url: str) -> None:
        if not url.startswith((self.url, self.url.replace("http", "ws", 1), "data:", "blob:")):
            self.errors.append(url)

    def log_in(self, name: str = "ann") -> None:
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.is_connected()

    def come_in(self, name: str) -> None:
        """As a guest."""
        self.name = fresh(name)
        self.page.get_by_label("Your name").fill(self.name)
        self.page.get_by_role("button", name="Come in").click()
        self.is_connected()

    def is_connected(self, seconds: float = 10) -> None:
        expect(self.page.locator("#connection")).to_contain_text("Connected", timeout=seconds * 1000)

    def join(self, channel: str) -> None:
        self.page.get_by_role("button", name="Join or start a channel").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Name").fill(channel)
        dialog.get_by_role("button", name="Join", exact=True).click()
        expect(self.page.get_by_role("heading", name=channel)).to_be_visible()

    def show(self, title: str) -> None:
        """And wait until what is typed goes there: the page hears of a new #fragment in a later task."""
        self.page.get_by_role("navigation").get_by_role("link", name=re.compile(re.escape(title))).click()
        expect(self.page.get_by_role("textbox", name=re.compile(f"Message to .*{re.escape(title)}"))).to_be_visible()

    def write(self, text: str, page: Page | None = None) -> None:
        field = (page or self.page).get_by_role("textbox", name=re.compile("Message to"))
        field.fill(text)
        field.press("Enter")

    def sees(self, text: str, seconds: float = 10) -> None:
        expect(self.messages(text)).to_be_visible(timeout=seconds * 1000)

    def messages(self, text: str):  # type: ignore[no-untyped-def]
        return self.page.locator(".message .text").get_by_text(text, exact=True)

    def sees_state(self, text: str, state: str) -> None:
        row = self.page.locator(".message", has=self.page.locator(".text").get_by_text(text, exact=True))
        expect(row.locator(".sign")).to_contain_text(state)

    @property
    def id(self) -> str:
        """Of the peer that is held for them."""
        code = "fetch('/messages').then(() => fetch('/get-list')).then(answer => answer.json())"
        listed = self.page.evaluate(code)["peers"]
        name = self.page.locator("#me").inner_text()
        return str(next(peer["peer_id"] for peer in listed if peer["username"].removesuffix(" (guest)") == name))

    @property
    def texts(self) -> list[str]:
        return [str(text) for text in self.page.locator(".message .text").all_inner_texts()]


def together(channel: str, *visitors: Visitor) -> None:
    """All of them join, and hear of each other: a message goes to those who are known to be there."""
    for visitor in visitors:
        visitor.join(channel)
    for visitor in visitors:
        knows_members(visitor, len(visitors))


def knows_members(visitor: Visitor, count: int) -> None:
    expect(visitor.page.locator("#head")).to_contain_text(f"{count} members")


Come = Callable[..., Visitor]


@pytest.fixture
def come(browser: Browser, server: Server, host: str) -> Iterator[Come]:
    """Opens the page in a browser of its own."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def come(port: int = 0, **options: object) -> Visitor:
            context = browser.new_context(**options)  # type: ignore[arg-type]
            context.set_default_timeout(MILLISECONDS)
            stack.callback(context.close)
            visitors.append(Visitor(context, f"http://{host}:{port or server.port}"))
            return visitors[-1]

        yield come
        assert [error for visitor in visitors for error in visitor.errors] == []


# -- talking ---------------------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_two_browsers_and_a_terminal_in_a_channel(come: Come, server: Server, tmp_path: Path) -> None:
    ann, bob = come(), come()
    ann.log_in()
    bob.come_in("Bob")
    channel, name = fresh("talk"), fresh("cid")
    together(channel, ann, bob)
    with Peer(tmp_path, name, server.port) as cid:
        cid.join(channel, ann.id, bob.id)
        for visitor in (ann, bob):
            knows_members(visitor, 3)

        began = time.monotonic()
        ann.write("hello from Ann")
        bob.sees("hello from Ann")
        cid.wait_for("hello from Ann")
        assert time.monotonic() - began < 1
        ann.sees_state("hello from Ann", "Delivered 2 of 2")

        began = time.monotonic()
        cid.type(f"say {channel} hello from Cid")
        for visitor in (ann, bob):
            visitor.sees("hello from Cid")
        assert time.monotonic() - began < 1
        bob.write("line one\nline two")
        ann.sees("line one line two")
        expect(ann.page.get_by_role("link", name=re.compile(bob.name))).to_be_visible()

        began = time.monotonic()
        ann.show(name)
        ann.write("just for you")
        cid.wait_for("just for you")
        assert time.monotonic() - began < 2
        ann.sees_state("just for you", "Delivered")


def test_what_is_not_looked_at_is_counted(come: Come) -> None:
    ann, bob = come(), come()
    ann.log_in()
    bob.come_in("Bob")
    channel = fresh("one")
    for name in (channel, fresh("other")):
        ann.join(name)
    bob.join(channel)
    knows_members(bob, 2)
    ann.page.bring_to_front()
    for number in range(3):
        bob.write(f"unread {number}")
    link = ann.page.get_by_role("navigation").get_by_role("link", name=re.compile(channel))
    expect(link).to_contain_text("3 unread")
    ann.show(channel)
    ann.sees("unread 2")
    expect(link).not_to_contain_text("unread")
    bob.page.get_by_role("button", name="Channel settings").click()
    expect(bob.page.get_by_role("dialog")).to_be_visible()


def test_somebodys_text_is_never_markup(come: Come, host: str) -> None:
    ann, bob = come(), come()
    ann.log_in()
    bob.come_in("<b>Bob</b>")
    together(fresh("markup"), ann, bob)
    bob.write(MARKUP)
    ann.page.locator(".message .text", has_text="<script>").wait_for()
    assert ann.texts[-1] == MARKUP
    assert ann.page.evaluate("window.hurt") is None
    assert ann.page.locator("#messages img, #messages script, #messages b").count() == 0
    link = ann.page.locator("#messages a").last
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert str(link.get_attribute("href")).startswith("https://example.org/?a=1&b=")
    assert ann.page.evaluate("isSecureContext") is (host == "127.0.0.1")


# -- coming back -----------------------------------------------------------------------------------------------------


def test_a_reload_shows_everything_again_and_once(come: Come) -> None:
    ann, bob = come(), come()
    ann.log_in()
    bob.come_in("Bob")
    together(fresh("reload"), ann, bob)
    ann.write("before")
    bob.sees("before")
    ann.page.reload()
    ann.is_connected()
    ann.sees("before")
    bob.write("after")
    ann.sees("after")
    assert ann.texts == ["before", "after"]


def test_who_is_put_out_on_a_phone_is_led_back_to_the_list(come: Come) -> None:
    ann, bob = come(), come(viewport={"width": 320, "height": 640})
    ann.log_in()
    bob.come_in("Bob")
    channel = fresh("phone")
    together(channel, ann, bob)
    ann.write("hello")
    bob.sees("hello")
    code = """async ([channel, peer]) => {
        const socket = new WebSocket(`ws://${location.host}/ws`, "reactor-chat.1");
        await new Promise((resolve) => socket.addEventListener("open", resolve));
        for (const said of [{type: "hello"}, {type: "policy", ref: 1, channel, policy: "invited"},
                            {type: "remove", ref: 2, channel, peer}]) socket.send(JSON.stringify(said));
        await new Promise((resolve) => socket.addEventListener("message", ({data}) =>
            JSON.parse(data).ref === 2 && resolve()));
        socket.close();
    }"""
    ann.page.evaluate(code, [channel, bob.id])
    expect(bob.page.get_by_role("button", name="Join or start a channel")).to_be_visible()
    expect(bob.page.get_by_role("textbox", name=re.compile("Message to"))).to_be_hidden()
    expect(ann.page.locator("#head")).to_contain_text("1 member")


def test_ten_seconds_without_a_network_lose_nothing(come: Come, server: Server, host: str) -> None:
    bob = come()
    with Relay(server.port) as relay:
        ann = come(relay.port)
        ann.log_in()
        bob.come_in("Bob")
        together(fresh("offline"), ann, bob)
        bob.write("before")
        ann.sees("before")

        relay.cut()
        ann.context.set_offline(True)
        expect(ann.page.locator("#connection")).not_to_contain_text("Connected", timeout=15_000)
        ann.write("written offline")
        ann.sees_state("written offline", "Waiting")
        bob.write("said meanwhile")
        time.sleep(10 if host == NAME else 1)  # once is enough
        relay.mend()
        ann.context.set_offline(False)
        ann.is_connected(20)
        ann.sees("said meanwhile")
        bob.sees("written offline")
        ann.sees_state("written offline", "Delivered")
        assert sorted(ann.texts) == ["before", "said meanwhile", "written offline"]
        ann.context.close()


def test_a_restart_of_the_server_loses_nothing(come: Come, tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Server(config) as server:
        port = server.port
        ann, bob = come(port), come(port)
        ann.log_in()
        bob.come_in("Bob")
        together("restart", ann, bob)
        ann.write("before")
        bob.sees("before")
        server.stop()
    expect(ann.page.locator("#connection")).to_contain_text("No connection")
    ann.write("written meanwhile")
    with Server(config) as server:
        for visitor in (ann, bob):
            visitor.is_connected(40)
        bob.sees("written meanwhile", 30)
        ann.sees_state("written meanwhile", "Delivered")
        bob.write("after")
        ann.sees("after", 20)
        for visitor in (ann, bob):
            assert visitor.texts == ["before", "written meanwhile", "after"]
            visitor.context.close()


def test_a_login_that_ends_asks_for_another_and_goes_on(come: Come, tmp_path: Path) -> None:
    with Server(make_config(tmp_path, AUTH + "\nsession_max = 15")) as server:
        ann = come(server.port)
        ann.log_in()
        ann.join("expiry")
        ann.write("before")
        ann.sees("before")
        expect(ann.page.get_by_role("heading", name="Log in to chat")).to_be_visible(timeout=25_000)
        ann.log_in()
        ann.sees("before")
        ann.context.close()


# -- who may not -----------------------------------------------------------------------------------------------------


def test_a_forged_cookie_opens_nothing(come: Come) -> None:
    eve = come()
    eve.context.add_cookies([{"name": "auth", "value": "true", "url": eve.url}])
    eve.page.reload()
    expect(eve.page.get_by_role("heading", name="Log in to chat")).to_be_visible()
    code = "new Promise(done => { const ws = new WebSocket('/ws', 'reactor-chat.1'); ws.onclose = e => done(e.code) })"
    assert eve.page.evaluate(code.replace("'/ws'", f"'{eve.url.replace('http', 'ws')}/ws'")) == 4401


def test_a_page_of_another_site_cannot_open_a_socket(come: Come, server: Server, tmp_path: Path, host: str) -> None:
    ann = come()
    ann.log_in()
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("<title>elsewhere</title>")
    foreign = write_config(tmp_path / "config.ini", {"auth": "", "tracker": "", "static": "mount = / www"})
    with Server(foreign) as elsewhere:
        page = ann.context.new_page()  # another port: the cookies go along, and the origin is another
        page.goto(f"http://{host}:{elsewhere.port}/")
        open_it = f"new Promise(done => {{ const ws = new WebSocket('{ann.url.replace('http', 'ws')}/ws'); "
        open_it += "ws.onopen = () => done('open'); ws.onclose = e => done(e.code) })"
        assert page.evaluate(open_it) == 1006
        page.close()


# -- a peer's own page -----------------------------------------------------------------------------------------------


def test_a_peer_of_ones_own_has_the_same_page(browser: Browser, server: Server, tmp_path: Path) -> None:
    context = browser.new_context()
    context.set_default_timeout(MILLISECONDS)
    with Peer(tmp_path, "dee", server.port, "--name", "Dee", "--http", "127.0.0.1:0") as dee:
        url = dee.wait_for("HTTP interface").rpartition(" ")[2]
        base = url.partition("/chat/")[0]
        assert curl(f"{base}/chat/state").json["kind"] == "peer"
        dee.ask("join own", "Joined channel: own")
        context_page = context.new_page()
        context_page.goto(url)
        expect(context_page.locator("#connection")).to_contain_text("Connected")
        assert "token" not in context_page.url
        assert context.cookies() == []
        with Peer(tmp_path, fresh("cid"), server.port) as cid:
            cid.join("own", "dee")
            context_page.get_by_role("link", name=re.compile("own")).click()
            field = context_page.get_by_role("textbox", name=re.compile("Message to .*own"))
            field.fill("from my own page")
            field.press("Enter")
            cid.wait_for("Message in own from dee: from my own page")
            dee.ask("say own from my terminal", "Delivered to 1 of 1")
            text = context_page.locator(".message .text")
            expect(text.get_by_text("from my terminal", exact=True)).to_be_visible()
        stranger = browser.new_context()
        stranger.set_default_timeout(MILLISECONDS)
        page = stranger.new_page()
        page.goto(f"{base}/chat/#token=" + 32 * "0")
        expect(page.get_by_label("Address or token")).to_be_visible()
        stranger.close()
    context.close()


# -- the look --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chat_looks_as_it_should(
    browser: Browser, server: Server, tmp_path: Path, scheme: str, size: str
) -> None:
    """Readable contrast and nothing wider than the window; and a picture for the eye."""
    width, height = SIZES[size]
    channel = f"look-{scheme}-{size}"
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})  # type: ignore[arg-type]
    context.set_default_timeout(MILLISECONDS)
    ann = Visitor(context, server.url)
    expect(ann.page.get_by_role("heading", name="Log in to chat")).to_be_visible()
    photograph(ann.page, f"chat-login-{scheme}-{size}")
    ann.log_in()
    with Peer(tmp_path, fresh("cid"), server.port, "--name", "Chiara") as cid:
        ann.join(channel)
        cid.join(channel, ann.id)
        question = "Shall we meet at seven? The maps are at https://example.org/maps"
        cid.ask(f"say {channel} {question}", "Delivered to 1 of 1")
        expect(ann.page.locator(".message .text").last).to_have_text(question)
        ann.write("Yes! I can bring " + 60 * "m" + "aps 🗺️ שלום")
        cid.wait_for("Yes!")
        cid.ask(f"say {channel} Good", "Delivered to 1 of 1")
        ann.sees("Good")
        photograph(ann.page, f"chat-{scheme}-{size}")
    context.close()
    assert ann.errors == []


def photograph(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png")
    assert page.evaluate(CONTRAST) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the window"


def test_the_page_has_a_strict_policy(server: Server) -> None:
    answer = curl(server.url + "/chat/")
    policy = answer.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cache-control") == "no-cache"
    again = curl("-H", f"If-None-Match: {answer.header('etag')}", server.url + "/chat/")
    assert (again.status, again.body) == (304, "")
    assert curl(server.url + "/chat/nothing").status == 404
    assert json.loads(curl(server.url + "/chat/state").body)["kind"] == "server"
