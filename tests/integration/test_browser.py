"""A person with a browser: the login page, the page behind it, the way out, and what other sites may not do.

Debian's chromium, without a window. Each page is photographed in light and dark, wide and narrow, into `artefacts/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from chromium import MILLISECONDS, chromium
from playwright.sync_api import Browser, BrowserContext, Page, expect
from server import ROOT, Server, curl, write_config

ARTEFACTS = ROOT / "artefacts"
SIZES = {"wide": (1280, 800), "phone": (390, 844)}
PEERS = [
    ("65113e1d", "Ann", "192.168.1.3", 9101, ["lobby", "class"]),
    ("d8f75433", "Bob", "192.168.1.4", 9101, ["lobby"]),
    ("224498a8", "Chiara", "192.168.1.17", 9102, ["lobby", "football"]),
    ("676fec5c", "Đặng", "fd00::17", 9101, []),
]

# Every piece of text against the ground it stands on: WCAG 2.2, 1.4.3 asks for 4.5 (3 if it is large).
CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    throw new Error("no ground");
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${texts.currentNode.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(write_config(tmp_path_factory.mktemp("browser") / "config.ini")) as server:
        yield server


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(MILLISECONDS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, site: Server) -> Iterator[Page]:
    """A page that fails the test if a script of ours does, or if anything is fetched from elsewhere."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if not request.url.startswith(site.url) else None)
    yield page
    assert errors == []


def log_in(page: Page, site: Server, password: str = "password") -> None:
    page.goto(site.url + "/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def register_peers(site: Server) -> None:
    for peer_id, name, ip, port, channels in PEERS:
        body = {"peer_id": peer_id, "username": name, "ip": ip, "port": port, "channels": channels}
        assert curl("-X", "PUT", site.url + "/submit-info", "-d", json.dumps(body)).status == 200


def clear_peers(site: Server) -> None:
    for peer in curl(site.url + "/get-list").json["peers"]:
        curl(site.url + "/leave", "-d", json.dumps({"peer_id": peer["peer_id"]}))


# -- in and out ------------------------------------------------------------------------------------------------------


def test_a_person_logs_in_looks_around_and_logs_out(page: Page, context: BrowserContext, site: Server) -> None:
    answer = page.goto(site.url + "/")
    assert answer is not None
    assert answer.status == 401
    expect(page.get_by_role("heading")).to_have_text("Please log in")
    expect(page.get_by_label("Name")).to_be_focused()

    log_in(page, site, "wrong")
    expect(page.get_by_role("heading")).to_have_text("Login failed")
    expect(page.get_by_role("status")).to_have_text("That name and password do not belong together.")
    expect(page.get_by_label("Name")).to_have_value("admin")
    expect(page.get_by_label("Password")).to_be_focused()
    assert context.cookies() == []

    page.get_by_label("Password").fill("password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Peers")
    expect(page.get_by_text("Logged in as admin")).to_be_visible()
    assert page.url == site.url + "/"  # and not /login: a reload must not ask to send the form again
    page.reload()
    expect(page.get_by_text("Logged in as admin")).to_be_visible()

    page.goto(site.url + "/whoami")
    assert json.loads(page.inner_text("body"))["username"] == "admin"
    page.go_back()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading")).to_have_text("Logged out")
    assert context.cookies() == []
    again = page.goto(site.url + "/")
    assert again is not None
    assert again.status == 401


def test_a_login_leads_back_to_the_page_that_wanted_it(page: Page, site: Server) -> None:
    page.goto(site.url + "/whoami?a=1&b=%22")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Login failed")
    page.get_by_label("Password").fill("password")
    page.keyboard.press("Enter")
    page.wait_for_url(site.url + "/whoami?a=1&b=%22")
    assert json.loads(page.inner_text("body"))["username"] == "admin"


def test_the_session_cookie_is_out_of_reach_for_scripts(page: Page, context: BrowserContext, site: Server) -> None:
    log_in(page, site)
    expect(page.get_by_role("heading")).to_have_text("Peers")
    assert page.evaluate("document.cookie") == "auth=true"
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert cookies["session"]["httpOnly"]
    assert cookies["session"]["sameSite"] == "Lax"
    assert cookies["session"]["path"] == cookies["auth"]["path"] == "/"


def test_peers_that_register_show_up_as_text(page: Page, site: Server) -> None:
    log_in(page, site)
    expect(page.get_by_role("main").get_by_role("status")).to_have_text("None is registered with the tracker.")
    expect(page.get_by_text(f"curl -X PUT {site.url}/submit-info")).to_be_visible()
    try:
        register_peers(site)
        sent = {"peer_id": "<img src=x onerror=alert(1)>", "username": "<b>Eve</b>", "port": 9101}
        assert curl("-X", "PUT", site.url + "/submit-info", "-d", json.dumps(sent)).status == 200
        page.reload()
        expect(page.get_by_role("main").get_by_role("status")).to_have_text("5 are registered with the tracker.")
        expect(page.get_by_role("row")).to_have_count(6)
        expect(page.get_by_role("row").nth(1)).to_have_text(re.compile(r"^Ann.*192\.168\.1\.3:9101lobbyclass$"))
        expect(page.get_by_role("cell", name="[fd00::17]:9101")).to_be_visible()
        expect(page.get_by_role("cell", name="<b>Eve</b>")).to_be_visible()
    finally:
        clear_peers(site)


def test_an_error_is_a_page_of_the_same_look(page: Page, site: Server) -> None:
    log_in(page, site)
    expect(page.get_by_role("heading")).to_have_text("Peers")
    answer = page.goto(site.url + "/no-such-page")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading")).to_have_text("Not Found")
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("link", name="To the first page").click()
    expect(page.get_by_role("heading")).to_have_text("Peers")


# -- other sites -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def foreign(site: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another port of the same host: for a browser the same site, to which it sends our cookies, but another origin."""
    directory = tmp_path_factory.mktemp("foreign")
    (directory / "www").mkdir()
    (directory / "www/index.html").write_text(
        f'<form method="post" action="{site.url}/logout"><button>Win a prize</button></form>'
        f'<form method="post" action="{site.url}/login"><input name="username" value="admin">'
        f'<input name="password" value="password"><button>Win another</button></form>'
    )
    plugins = {"auth": "", "tracker": "", "static": "mount = / www"}
    with Server(write_config(directory / "config.ini", plugins)) as server:
        yield server


def test_another_site_can_log_nobody_out_or_in(context: BrowserContext, site: Server, foreign: Server) -> None:
    page = context.new_page()
    log_in(page, site)
    expect(page.get_by_role("heading")).to_have_text("Peers")
    session = context.cookies()

    for trick in ("Win a prize", "Win another"):
        page.goto(foreign.url + "/")
        page.get_by_role("button", name=trick, exact=True).click()
        expect(page.get_by_role("heading")).to_have_text("Forbidden")
    page.goto(foreign.url + "/")
    page.evaluate(f"fetch('{site.url}/logout', {{method: 'POST', mode: 'no-cors', credentials: 'include'}})")

    assert context.cookies() == session
    page.goto(site.url + "/")
    expect(page.get_by_text("Logged in as admin")).to_be_visible()


def test_another_site_cannot_read_who_somebody_is(context: BrowserContext, site: Server, foreign: Server) -> None:
    page = context.new_page()
    log_in(page, site)
    expect(page.get_by_role("heading")).to_have_text("Peers")
    page.goto(foreign.url + "/")
    read = f"fetch('{site.url}/whoami', {{credentials: 'include'}}).then(a => a.text(), () => 'refused')"
    assert page.evaluate(read) == "refused"


# -- the look --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_look_as_they_should(browser: Browser, site: Server, scheme: str, size: str) -> None:
    """Readable contrast, nothing wider than the window, a name for every field; and a picture for the eye."""
    width, height = SIZES[size]
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})  # type: ignore[arg-type]
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    try:
        page.goto(site.url + "/")
        photograph(page, f"login-{scheme}-{size}")
        log_in(page, site, "wrong")
        expect(page.get_by_role("heading")).to_have_text("Login failed")
        photograph(page, f"login-failed-{scheme}-{size}")
        log_in(page, site)
        expect(page.get_by_text("None is registered with the tracker.")).to_be_visible()
        photograph(page, f"index-empty-{scheme}-{size}")
        register_peers(site)
        page.reload()
        expect(page.get_by_text("4 are registered with the tracker.")).to_be_visible()
        photograph(page, f"index-{scheme}-{size}")
        page.goto(site.url + "/nowhere")
        photograph(page, f"error-{scheme}-{size}")
    finally:
        clear_peers(site)
        context.close()


def test_no_page_has_script_or_style_inside(site: Server) -> None:
    """So that a strict policy can be switched on. The style of an error page is named by the policy it comes with."""
    inside = re.compile(r"<style|\bstyle=|\bon\w+=|javascript:|<script(?! src=)")
    for arguments in (("/",), ("/login", "-d", "username=admin&password=password")):
        answer = curl(site.url + arguments[0], *arguments[1:])
        assert "<link rel=\"stylesheet\"" in answer.body
        assert inside.findall(answer.body) == []
    answer = curl(f"{site.url}/no-such-page", "-u", "admin:password", "-H", "Accept: text/html")
    assert inside.findall(answer.body) == ["<style"]
    assert "'unsafe-inline'" not in answer.header("content-security-policy")


def photograph(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png")
    assert page.evaluate(CONTRAST) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the window"
    for field in page.locator("input, button").all():
        assert field.evaluate("e => e.labels?.length > 0 || e.textContent.trim() !== ''"), "a field without a name"
