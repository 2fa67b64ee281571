"""Chat for people with a browser: a page, and a real peer of the mesh for each of them. docs/chat.md has it all.

    page/      what runs in the browser      files    how it gets there
    house      all users' peers              held     one of them
    inside     the tracker of this server, without a socket
    disk       the thread that keeps it all, and its trouble

What a peer and its page do is the package `peer`; a peer of one's own with `--http` has the same page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from peer.node import Settings
from peer.switchboard import Switchboard
from peer.web import page
from peer.web.desk import Desk
from peer.web.errands import Errands, handler
from peer.web.payloads import Success
from peer.web.tab import Turned, serve
from peer.web.tries import Tries
from plugins.chat.disk import Pool
from plugins.chat.files import PageFiles
from plugins.chat.held import Ground, Held, User
from plugins.chat.house import House
from plugins.chat.inside import InsideTracker
from reactor import ConfigError, Future, HTTPError, Plugin, Request, Response, WebSocket, network_of, sleep

MAX_BODY: Final = 64 * 1024  # as in a peer of one's own
TOUCH_SECONDS: Final = 60.0
# After so many seconds each, those are tried again that could not be held: the process before us may still have them.
HOLD_AGAIN: Final = (0.5, 5.0, 30.0)
LOOK_SECONDS: Final = 0.5  # after which who comes and goes is seen
FILES_EACH: Final = 4  # open for one person: the lock of the directory, and the history with its two journals
MOST_NETWORKS: Final = 1000  # whose wrong passwords are remembered

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advertise: str = ""  # the address that other peers dial; without it that of this machine on its network
    trackers: list[str] = []  # HOST:PORT of others; without any the tracker of this server
    max_people: AtLeastOne = 200  # whose peers are held at once
    burst: AtLeastOne = 5  # messages at once from one person to another,
    rate: Annotated[float, msgspec.Meta(ge=0)] = 2.0  # and then a second; 0: no limit
    origins: list[str] = []  # of pages that may open the WebSocket besides our own, as in https://chat.example.org


class Names:
    """Who looks up the names of hosts."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def run(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self._plugin.offload(function, *args, pool="names")


def setup(plugin: Plugin, options: Options) -> None:
    try:
        files = PageFiles()
    except OSError as error:
        raise ConfigError(f"the page cannot be read: {error}") from None
    house = plugin.keep("house", lambda: House(plugin.reactor), stop=House.close)
    switchboard = plugin.keep("switchboard", lambda: Switchboard(plugin.reactor, Names(plugin)))
    people = People(plugin, house)
    most = _room_for(plugin, options.max_people)

    async def start() -> None:
        switchboard.listens_at(plugin.addresses, options.advertise)
        house.settle(_ground(plugin, options, switchboard), plugin.state_dir / "chat", most)
        people.start()

    plugin.on_start(start)
    plugin.on_drain(house.close)  # a process that takes over is to hold them
    plugin.on_stop(people.stop)
    plugin.every(TOUCH_SECONDS, people.touch)
    if not options.trackers:
        plugin.every(LOOK_SECONDS, people.look_around)
    plugin.protocol(b"{", switchboard.answer)
    plugin.websocket(
        "/ws", people.converse, protocols=(page.SUBPROTOCOL,), origins=options.origins, max_message=page.MAX_MESSAGE
    )
    plugin.route("GET", "/chat", lambda request: Response.redirect("/chat/", 302))
    plugin.route("GET", "/chat/{path...}", files)
    plugin.route("GET", "/chat/state[/]", people.state)
    for method, path, errand in (
        ("POST", "/send-peer[/]", Errands.send), ("POST", "/broadcast-peer[/]", Errands.broadcast),
        ("GET", "/messages[/]", Errands.messages),
    ):  # fmt: skip
        plugin.route(method, path, handler(people.sent_on(errand)), guard="person", max_body=MAX_BODY)


def _room_for(plugin: Plugin, wanted: int) -> int:
    """How many people can be held with the files that the system lets us have open."""
    people = max(1, plugin.take_files(FILES_EACH * wanted) // FILES_EACH)
    if people < wanted:
        plugin.log.warning(
            f"[plugin:{plugin.name}] max_people = {wanted}: only {people} are let in, whose peers take a quarter of "
            f"the files that this system lets us open; raise its limit (ulimit -n {16 * wanted}) for more"
        )
    return people


def _ground(plugin: Plugin, options: Options, switchboard: Switchboard) -> Ground:
    if not options.trackers:
        plugin.service("tracker")  # a server without one wants others
    return Ground(
        plugin.reactor, Pool(plugin), plugin.http,
        tuple(f"http://{one}" for one in options.trackers)
        or (InsideTracker(plugin.reactor, lambda: plugin.service("tracker")),),
        switchboard, Settings(burst=options.burst, rate=options.rate, seeks=True), plugin.unix_time,
    )  # fmt: skip


class People:
    """Who comes: the logins of the plugin "auth" on one side, the house on the other."""

    def __init__(self, plugin: Plugin, house: House) -> None:
        self._plugin = plugin
        self._house = house
        self._sessions: Any = None
        self._forget: Callable[[], object] = lambda: None
        self._version = -1
        self._tries: dict[str, Tries] = {}

    def start(self) -> None:
        self._sessions = self._plugin.service("sessions")
        self._forget = self._sessions.on_user_end(self._ended)
        self._plugin.spawn(self._hold_again())

    def stop(self) -> None:
        self._forget()

    def touch(self) -> None:
        """An open page counts as use of its login."""
        for request in self._house.requests:
            self._sessions.touch(request)

    async def look_around(self) -> None:
        """As often as the list changes, but in one round at a time."""
        version = self._plugin.service("tracker").version
        if version != self._version:
            self._version = version
            await self._house.look_around()

    async def _hold_again(self) -> None:
        for wait in HOLD_AGAIN:
            troubles = await self._house.hold_again(map(self._user, await self._sessions.live()))
            if not troubles:
                return
            await sleep(wait)
        for trouble in troubles:
            self._plugin.log.warning(f"cannot hold the peer of {trouble}")

    def _user(self, name: str) -> User:
        return User(name, self._sessions.name_of(name), self._sessions.is_guest(name))

    def _ended(self, name: str) -> None:
        self._plugin.reactor.spawn(self._house.let_go(self._user(name)))  # a reload does not stop half-way

    # -- what they ask for ---------------------------------------------------------------------------------------------

    async def state(self, request: Request) -> Response:
        """What a page asks before it says hello: where it is, and who it is to us."""
        name = await self._sessions.user_of(request)
        where = page.Where("server", guests=self._sessions.lets_in_as_guest(request))
        if name is not None:
            _, where.user, where.guest = self._user(name)
        fresh = [("Cache-Control", "no-store")]
        return Response(msgspec.json.encode(where), 200, fresh, content_type="application/json")

    async def converse(self, ws: WebSocket) -> None:
        """A page. Who is not logged in is told so by the code of the end, which a page can see, and a 401 not."""
        request = ws.request
        request.user = await self._sessions.user_of(request)
        if request.user is None:
            ws.close(4401, "log in first")
            return
        unwatch = self._sessions.watch(request, lambda why: ws.close(4401, why))
        self._house.requests.add(request)
        try:
            await serve(self._plugin.reactor, ws, lambda hello: self._admit(request),
                        on_use=lambda: self._sessions.touch(request))  # fmt: skip
        finally:
            self._house.requests.discard(request)
            unwatch()

    async def _admit(self, request: Request) -> Desk:
        try:
            held = await self._house.of(self._user(request.user or ""))
        except HTTPError as error:
            raise Turned(1013, error.message[:100]) from None
        if held.user.is_guest:  # who is put off could come in under another name
            held.desk.tries = self._tries_of(request.client)
        return held.desk

    def _tries_of(self, address: str) -> Tries:
        """Of all guests from one network."""
        network = network_of(address)
        tries = self._tries.pop(network, None) or Tries(self._plugin.reactor)
        self._tries[network] = tries
        if len(self._tries) > MOST_NETWORKS:
            del self._tries[next(iter(self._tries))]
        return tries

    def sent_on(self, errand: Callable[[Errands, Request], Any]) -> Callable[[Request], Any]:
        """To the peer of whoever asks."""

        async def answering(request: Request) -> Success:
            await request.read()  # the login may end meanwhile, and the peer with it
            held = await self._peer_of(request)
            answer: Success = await errand(held.errands, request)
            return answer

        return answering

    async def _peer_of(self, request: Request) -> Held:
        """A peer lives as long as a login, and Basic has none that ends: with it one can use a peer, but not begin it.
        HTTPError 401 for who has logged out, and 409 where there is no peer to use.
        """
        user = self._user(request.user or "")
        if await self._sessions.user_of(request) == user.id:
            return await self._house.of(user)
        if "authorization" not in request.headers:
            raise HTTPError(401, "your login has ended")
        held = self._house.now_of(user)
        if held is None:
            raise HTTPError(409, "you are not in the chat: open its page, or send the cookie of POST /login")
        return held
