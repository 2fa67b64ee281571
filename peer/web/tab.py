"""One page at a desk: a WebSocket, what is asked on it, and what it is told.

    hello -> who may -> welcome -> requests, each answered; and whatever happens, as it happens

What happens while the welcome is put together waits, so that the page misses nothing and hears nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from peer.errors import FrameError, PeerError
from peer.flood import Bucket
from peer.trackers.answers import TrackerError
from peer.web import page
from reactor.core.loop import Reactor
from reactor.core.task import Cancelled, Future, Task, sleep, timeout
from reactor.errors import ReactorError

if TYPE_CHECKING:
    from peer.web.desk import Desk

HELLO_SECONDS: Final = 10.0
MOST_WAITING: Final = 1000  # messages for a page that reads its welcome
AT_ONCE: Final = 8  # requests of one page that wait for others
# What a page may ask: so much at once, and then so many a second.
BURST: Final = 50
RATE: Final = 20.0


class Socket(Protocol):
    """What is used of a `reactor.WebSocket`."""

    def __aiter__(self) -> Any: ...
    def send(self, message: str | bytes) -> None: ...
    def close(self, code: int = 1000, reason: str = "") -> None: ...
    async def drained(self) -> None: ...


class Turned(Exception):
    """Somebody may not come in; `code` and `reason` are what their page is told."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


Admit = Callable[[page.Hello], Awaitable["Desk"]]


async def serve(
    reactor: Reactor, ws: Socket, admit: Admit, *, on_use: Callable[[], object] = lambda: None
) -> None:
    """Talk with a page until it goes. `admit` finds the desk it may use, or raises Turned; `on_use` is called for each
    message of the page.
    """
    try:
        hello = await _first(ws)
        desk = await admit(hello)
    except Turned as turned:
        ws.close(turned.code, turned.reason)
        return
    tab = Tab(reactor, ws, desk, on_use)
    desk.enter(tab)
    try:
        await tab.run(hello)
    finally:
        desk.leave(tab)
        tab.end()


async def _first(ws: Socket) -> page.Hello:
    try:
        async with timeout(HELLO_SECONDS):
            async for text in ws:
                asked = page.decode(text)
                if isinstance(asked, page.Hello):
                    return asked
                break
    except TimeoutError:
        raise Turned(4408, "no hello in time") from None
    except FrameError as error:
        raise Turned(1008, str(error)[:100]) from None
    raise Turned(1008, "hello comes first")


class Tab:
    def __init__(self, reactor: Reactor, ws: Socket, desk: Desk, on_use: Callable[[], object]) -> None:
        self._reactor = reactor
        self._ws = ws
        self._desk = desk
        self._on_use = on_use
        self._bucket = Bucket(BURST, RATE, reactor.now)
        self._waiting: list[tuple[str, int]] | None = []  # until the welcome is out
        self._tasks: set[Task[None]] = set()

    def close(self, code: int, reason: str) -> None:
        self._ws.close(code, reason)

    def end(self) -> None:
        """Nobody waits for answers any more."""
        for task in list(self._tasks):
            task.cancel()

    def hear(self, text: str, number: int = 0) -> None:
        """Tell the page; `number` is that of the message in it, if it is one."""
        if self._waiting is None:
            self._ws.send(text)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append((text, number))
        else:
            self.close(1013, "too slow")

    def _tell(self, told: page.Told) -> None:
        self._ws.send(page.encode(told))

    async def run(self, hello: page.Hello) -> None:
        try:
            await self._welcome(hello)
            async for text in self._ws:
                self._on_use()
                asked = page.decode(text)
                if not self._bucket.take(self._reactor.now):
                    await sleep(self._bucket.wait(self._reactor.now))  # and it is read no further
                    self._bucket.take(self._reactor.now)
                await self._take(asked)
        except FrameError as error:
            self.close(1008, str(error)[:100])

    async def _welcome(self, hello: page.Hello) -> None:
        try:
            welcome, upto = await self._desk.welcome(hello)
        except ReactorError as error:
            self.close(1011, str(error)[:100])
            return
        self._tell(welcome)
        await self._ws.drained()
        waiting, self._waiting = self._waiting or [], None
        for text, number in waiting:
            if not number or number > upto:
                self._ws.send(text)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _take(self, asked: page.Asked) -> None:
        """What others have to answer does not hold up what comes behind it; messages stay in their order."""
        if isinstance(asked, page.Ping):
            self._tell(page.Pong())
        elif isinstance(asked, page.Read):
            self._desk.read(asked.to, asked.number, self)
        elif isinstance(asked, page.Hello):
            raise FrameError("bad_state", "hello comes once")
        elif isinstance(asked, page.Say):
            await self._answer(asked)
        else:
            while len(self._tasks) >= AT_ONCE:
                await next(iter(self._tasks))
            self._spawn(self._answer(asked))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._reactor.spawn(work)
        if not task.done:
            self._tasks.add(task)
        task.on_done(self._ended)

    def _ended(self, task: Future[None]) -> None:
        self._tasks.discard(task)
        if task.error is not None and not isinstance(task.error, Cancelled):
            self._reactor.unhandled(task.error, "for a page")

    async def _answer(self, asked: page.Request) -> None:
        try:
            done = await _ANSWERS[type(asked)](self._desk, asked)
        except ReactorError as error:
            self._tell(page.Failed(asked.ref, code_of(error), str(error)))
        else:
            self._tell(done)


async def _say(desk: Desk, asked: page.Say) -> page.Done:
    return page.Done(asked.ref, id=await desk.say(asked.to, asked.text, asked.key))


async def _join(desk: Desk, asked: page.Join) -> page.Done:
    await desk.join(asked.channel, asked.password, asked.invite)
    return page.Done(asked.ref)


async def _leave(desk: Desk, asked: page.Leave) -> page.Done:
    await desk.leave_channel(asked.channel)
    return page.Done(asked.ref)


async def _policy(desk: Desk, asked: page.Policy) -> page.Done:
    await desk.configure(asked.channel, policy=asked.policy, password=asked.password)
    return page.Done(asked.ref)


async def _invite(desk: Desk, asked: page.Invite) -> page.Done:
    return page.Done(asked.ref, invite=await desk.configure(asked.channel, invite=True))


async def _remove(desk: Desk, asked: page.Remove) -> page.Done:
    await desk.configure(asked.channel, remove=asked.peer)
    return page.Done(asked.ref)


async def _mute(desk: Desk, asked: page.Mute) -> page.Done:
    desk.mute(asked.peer, asked.muted)
    return page.Done(asked.ref)


async def _older(desk: Desk, asked: page.Older) -> page.Done:
    messages, more = await desk.older(asked.to, asked.before)
    return page.Done(asked.ref, messages=messages, more=more)


async def _open(desk: Desk, asked: page.Open) -> page.Done:
    await desk.talk_to(asked.peer)
    return page.Done(asked.ref)


async def _channels(desk: Desk, asked: page.Channels) -> page.Done:
    return page.Done(asked.ref, channels=await desk.other_channels())


_ANSWERS: Final[dict[type, Callable[[Desk, Any], Awaitable[page.Done]]]] = {
    page.Say: _say, page.Join: _join, page.Leave: _leave, page.Policy: _policy, page.Invite: _invite,
    page.Remove: _remove, page.Mute: _mute, page.Older: _older, page.Open: _open, page.Channels: _channels,
}  # fmt: skip


def code_of(error: ReactorError) -> str:
    """What a page can tell by: the tracker's own word, or whose matter it is."""
    if isinstance(error, TrackerError):
        return getattr(error, "code", "") or "tracker"
    return "refused" if isinstance(error, PeerError) else "trouble"
