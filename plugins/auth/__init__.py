"""Login by form, JSON or Basic, guests by name; sessions that survive a restart; the guards "login", "person" and
"same-origin".

    passwords.py   what a name and a password may be; argon2
    store.py       accounts and sessions in SQLite: blocking, in the "store" thread
    sessions.py    the sessions in memory: plain data
    watches.py     who wants to hear of the end of a login
    service.py     all that joined, off the loop: the service "sessions"
    accounts.py    the service "accounts": every login passes here
    delays.py      how long to wait after wrong ones
    recent.py      which passwords were right a moment ago
    guests.py      people without an account: their names, and where they may come from
    guards.py      who is it, and where does the request come from
    pages.py       the 401 page, the cookies
    browsers.py    what a browser is called
    handlers.py    /login, /guest, /logout, /whoami, /sessions
    schema.py      the tables of the store
    __main__.py    python -m plugins.auth add|passwd|list|remove|sessions|revoke
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from plugins.auth.accounts import Accounts
from plugins.auth.guards import SET_PASSWORD, fence, guest_gate, host_check, login_guard, same_origin
from plugins.auth.guests import From, Room
from plugins.auth.handlers import GuestLogin, Login, Logout, OwnSessions, Revoke, who_am_i
from plugins.auth.pages import OF_A_PAGE, IndexPage, Pages
from plugins.auth.passwords import Passwords
from plugins.auth.service import DEMO_NAME, DEMO_PASSWORD, NEVER, Sessions, State, StoreFailed
from plugins.auth.sessions import Lifetime
from plugins.auth.store import FILE_NAME, Store
from reactor import ConfigError, Handler, Plugin, ReactorError, Request, Response, StartError

# A name and a password, percent-encoded at three bytes a byte, and room for what else a form may hold.
MAX_LOGIN_BODY = 16 * 1024

# What other processes do is known within a second, with what it takes to tell.
FOLLOW_SECONDS = 0.5

Seconds = Annotated[float, Meta(gt=0)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scheme: Literal["session", "reference"] = "session"  # reference: auth=true opens the door, on loopback only
    demo: bool = True  # make admin/password if there is no account; works on loopback only
    session_ttl: Seconds = 3600.0  # a login ends after this long without use
    session_max: Seconds = 7 * 86400.0  # and after this long in any case
    # Oldest use goes first. Nobody has so many browsers, but load tests share an account.
    max_sessions: Annotated[int, Meta(ge=1)] = 1000  # of one account
    remember: Annotated[float, Meta(ge=0)] = 300.0  # a right password costs no second hash for so long
    # Browsers do not separate ports: two servers on one host want two names.
    cookie: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")] = "session"
    realm: Annotated[str, Meta(pattern=r"^[ !#-\[\]-~]{1,64}$")] = "reactor"
    index: str = "www/index.html"  # the page that answers a login
    guests: From = "off"  # from where people may come in by name alone
    max_guests: Annotated[int, Meta(ge=1)] = 200  # at once
    # A class of thirty behind one address, and some devices of theirs.
    max_guests_per_address: Annotated[int, Meta(ge=1)] = 40
    guest_page: Annotated[str, Meta(pattern=r"^/([^/\\]|$)")] = "/chat/"  # where the guests' form leads to
    guest_hosts: list[str] = []  # names of this server that are known outside its network, without a port


def setup(plugin: Plugin, options: Options) -> None:
    reference = options.scheme == "reference"
    check(plugin, options)
    state = keep_state(plugin)
    room = Room(options.max_guests, options.max_guests_per_address)
    gate = guest_gate(options.guests, options.guest_hosts)
    pages = Pages(
        realm=options.realm, cookie=options.cookie, reference=reference,
        lets_in_as_guest=lambda request: gate(request) is None, guest_page=options.guest_page,
    )  # fmt: skip
    accounts = Accounts(plugin, state, Passwords(), options.remember)
    sessions = Sessions(plugin, state, Lifetime(options.session_ttl, options.session_max), options.cookie)
    sessions.most = options.max_sessions
    sessions.takes_guests = options.guests != "off"
    sessions.lets_in_as_guest = pages.lets_in_as_guest
    check_host = host_check(state, reference)
    index = read_index(plugin, options)
    login = Login(plugin, accounts, None if reference else sessions, pages, index, check_host)

    plugin.provide("accounts", accounts)
    plugin.provide("sessions", sessions)
    for guard, guests in (("login", False), ("person", options.guests != "off")):
        plugin.guard(
            guard, login_guard(plugin, sessions, accounts, pages, check_host, reference=reference, guests=guests)
        )
    plugin.guard("same-origin", same_origin)
    plugin.guard("fence", fence(state, reference), everywhere=True)
    plugin.route("GET", "/login[/]", show_form(pages))
    plugin.route("POST", "/login[/]", login, max_body=MAX_LOGIN_BODY)
    plugin.route("POST", "/guest[/]", GuestLogin(sessions, pages, check_host, gate, room), max_body=MAX_LOGIN_BODY)
    plugin.route("POST", "/logout[/]", Logout(sessions, pages), max_body=MAX_LOGIN_BODY)
    plugin.route("GET", "/whoami[/]", who_am_i, guard="person")
    plugin.route("GET", "/sessions[/]", OwnSessions(sessions, pages), guard="login")
    plugin.route("POST", "/sessions/revoke[/]", Revoke(sessions, pages), guard="login", max_body=MAX_LOGIN_BODY)

    async def follow() -> None:
        await sessions.follow()
        await accounts.check_demo()

    plugin.on_start(lambda: open_doors(plugin, options, state, accounts))
    plugin.on_start(sessions.serve)
    plugin.on_stop(if_the_store_can(sessions.save_all))
    plugin.every(FOLLOW_SECONDS, if_the_store_can(follow))
    plugin.every(60, if_the_store_can(sessions.expire))


def check(plugin: Plugin, options: Options) -> None:
    if options.cookie == "auth":
        raise ConfigError('"auth" is the cookie that anybody can forge: take another name', key="cookie")
    if options.scheme == "reference" and plugin.listens_beyond_loopback:
        raise ConfigError(
            "anybody can forge the reference scheme, so it needs a server that listens on loopback only; "
            f"otherwise set scheme = session, and a password with: {SET_PASSWORD}",
            key="scheme",
        )
    if options.scheme == "reference" and options.guests != "off":
        raise ConfigError("the reference scheme has no sessions, and so no guests", key="guests")


def keep_state(plugin: Plugin) -> State:
    """The database and what is in memory of it. A reload that names another state_dir starts with that one's."""
    path = plugin.state_dir / FILE_NAME
    return plugin.keep(
        f"store {path}",
        lambda: State(Store(path)),
        start=lambda state: plugin.offload(state.store.open, pool="store"),
        stop=lambda state: plugin.offload(state.store.close, pool="store"),
    )


def read_index(plugin: Plugin, options: Options) -> IndexPage:
    try:
        return IndexPage(plugin.path(options.index))
    except OSError as error:
        raise ConfigError(f"cannot read {plugin.path(options.index)}: {error.strerror}", key="index") from None


def show_form(pages: Pages) -> Handler:
    def show(request: Request) -> Response:
        goal, guests = request.query.get("next", ""), pages.lets_in_as_guest(request)
        return Response.html(pages.login_form("Log in", "Welcome back.", goal=goal, guests=guests), 200, OF_A_PAGE)

    return show


def if_the_store_can(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """For what is done again soon, or is no loss. That the store fails is logged where it does."""

    async def attempt() -> None:
        with suppress(ReactorError):
            await work()

    return attempt


async def open_doors(plugin: Plugin, options: Options, state: State, accounts: Accounts) -> None:
    """Before the first request: the demo account, if it is wanted, and never where others can reach it."""
    await accounts.warm()
    announced = state.demo
    state.failed_after = state.store.writes  # what fails now ends the start, whose line says so
    try:
        if options.demo:
            await accounts.add_demo()
        is_demo = await accounts.check_demo()
    except StoreFailed as error:
        raise StartError(error.why) from error
    state.failed_after = NEVER
    if not is_demo:
        return
    if plugin.listens_beyond_loopback:
        raise StartError(
            f"the demo login {DEMO_NAME}/{DEMO_PASSWORD} works on loopback only, and this server listens beyond it: "
            f"set a password with: {SET_PASSWORD}"
        )
    if not announced:
        plugin.log.say(
            f"Demo login: {DEMO_NAME} / {DEMO_PASSWORD} (loopback only; set a password with: {SET_PASSWORD})"
        )
