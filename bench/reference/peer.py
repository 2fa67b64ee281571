"""The other architecture of a peer, as its best self: one thread for each link, blocking sockets, no selector.

    the listener's thread   accepts, and starts a thread for each link
    a link's thread         recv -> lines -> messages -> shown, then acknowledged
    any thread              send and broadcast write to the sockets themselves, one link after another

The messages and their JSON are our own peer's, so that a comparison is one of architectures; all else is its own. Like
the original it has no outbox (what a lost link had not delivered is lost), no channels and no flood limits. A far side
that does not read holds up a broadcast, for up to `SILENCE`.

    python -m bench.reference.peer 9101 [--echo]
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from bench.reference.link import SILENCE, Link
from peer.errors import FrameError
from peer.messages import (
    BROADCAST,
    DIRECT,
    VERSION,
    Ack,
    Broadcast,
    Bye,
    Chat,
    Error,
    Handshake,
    HandshakeAck,
    Message,
    Ping,
    Pong,
    Unknown,
    decode,
    encode_tail,
)


class ThreadPeer:
    """`on_message(peer_id, text)` is called in the link's thread; it may send, but not close the peer. `received` and
    `delivered` (acknowledged) count a message to n peers n times.
    """

    def __init__(self, peer_id: str, port: int = 0) -> None:
        self.peer_id = peer_id
        self.port = port
        self.on_message: Callable[[str, str], object] = lambda peer_id, text: None
        self.received = self.delivered = 0
        self._instance, self._epoch = secrets.token_hex(16), secrets.token_hex(8)
        self._clock = 0  # Lamport's, and the number of our next message: both only grow
        self._acceptor: tuple[socket.socket, threading.Thread] | None = None
        self._links: dict[str, Link] = {}  # the last of each peer
        self._threads: dict[Link, threading.Thread] = {}  # of those that have not ended
        self._changed = threading.Condition()  # around all of the above

    @property
    def links(self) -> int:
        return len(self._open())

    def wait_for(self, predicate: Callable[[], bool], seconds: float = SILENCE) -> bool:
        """Whether it came true in time; it is asked after each batch of messages and each end of a link."""
        with self._changed:
            return self._changed.wait_for(predicate, seconds)

    def listen(self) -> None:
        """On loopback; `port` then says where."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.port = listener.getsockname()[1]
        thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        thread.start()
        self._acceptor = listener, thread

    def connect(self, ip: str, port: int) -> str:
        """Dial; the id of who answered. Raises OSError."""
        sock = socket.create_connection((ip, port), timeout=SILENCE)
        sock.settimeout(None)
        link = Link(sock, dialled=True)
        self._start(link)
        self.wait_for(lambda: bool(link.peer_id) or link not in self._threads)
        if not link.peer_id:
            link.end()
            raise ConnectionError(f"{ip}:{port} did not complete the handshake")
        return link.peer_id

    def send(self, peer_id: str, text: str) -> bool:
        """Whether the system took it; False without a link."""
        with self._changed:
            link = self._links.get(peer_id)
        return link is not None and link.post(self._compose(Chat, DIRECT, text))

    def broadcast(self, text: str) -> int:
        """How many links took it."""
        links = self._open()
        tail = self._compose(Broadcast, BROADCAST, text)
        return sum(link.post(tail) for link in links)

    def close(self) -> None:
        """End every link and every thread; they have ended when it returns."""
        if self._acceptor:
            listener, thread = self._acceptor
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
            thread.join()
            listener.close()
        with self._changed:
            threads = dict(self._threads)
        for link in threads:
            link.end(Bye(reason="quit"))
        for thread in threads.values():
            thread.join()

    def _open(self) -> list[Link]:
        with self._changed:
            return [link for link in self._links.values() if link in self._threads]

    def _compose(self, kind: type[Chat | Broadcast], channel: str, text: str) -> bytes:
        """Encoded once for all links."""
        with self._changed:
            self._clock += 1
            number = self._clock
        return encode_tail(
            kind(id=f"{self.peer_id}:{self._epoch}:{number}", peer_id=self.peer_id, username=self.peer_id,
                 channel=channel, message=text, lamport=number, timestamp=_timestamp())
        )  # fmt: skip

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                self._start(Link(listener.accept()[0], dialled=False))
            except ConnectionAbortedError:
                continue
            except OSError:
                return

    def _start(self, link: Link) -> None:
        thread = threading.Thread(target=self._live, args=(link,), daemon=True)
        with self._changed:
            thread.start()
            self._threads[link] = thread

    def _live(self, link: Link) -> None:
        """The life of a link, in its thread."""
        try:
            if link.dialled:
                link.write(self._hello(Handshake, None))
            for lines in link.batches():
                self._take_all(link, lines)
        except FrameError as error:
            link.end(Error(code=error.code, message=str(error)))
        except OSError:
            pass  # the other side has left
        finally:
            link.dispose()
            with self._changed:
                del self._threads[link]
                self._changed.notify_all()

    def _take_all(self, link: Link, lines: list[bytes]) -> None:
        """One acknowledgement and one count for all that came together."""
        shown, delivered = link.shown, link.delivered
        try:
            for line in lines:
                self._take(link, decode(line))
            link.acknowledge()
        finally:
            with self._changed:
                self.received += link.shown - shown
                self.delivered += link.delivered - delivered
                self._changed.notify_all()

    def _take(self, link: Link, message: Message | Unknown) -> None:
        match message:
            case Chat() | Broadcast() if link.peer_id and message.seq:
                self._show(link, message)
            case Ack() if link.peer_id:
                link.acknowledged(message.upto)
            case Ping() if link.peer_id:
                link.write(Pong(n=message.n))
            case Handshake() | HandshakeAck() if not link.peer_id and isinstance(message, HandshakeAck) is link.dialled:
                self._meet(link, message)
            case Chat() | Broadcast() | Handshake() | HandshakeAck():
                raise FrameError("bad_state", "not here, or without its number")
            case Error(code="unsupported"):
                pass
            case Bye() | Error():
                raise ConnectionError("the other side ended the link")

    def _show(self, link: Link, text: Chat | Broadcast) -> None:
        if text.seq > link.upto:
            if (text.lamport or 0) > self._clock:
                with self._changed:
                    self._clock = max(self._clock, min(text.lamport or 0, self._clock + 1_000_000))
            self.on_message(link.peer_id, text.message)  # the sender is the link's peer, whatever the message says
            link.shown += 1
            link.upto = text.seq

    def _meet(self, link: Link, hello: Handshake | HandshakeAck) -> None:
        if hello.v is None or hello.to not in (None, self.peer_id) or hello.who == self.peer_id:
            raise FrameError("wrong_peer", f"this is {self.peer_id}, of version {VERSION}")
        with self._changed:  # the dialler, once answered, may count on being known here, and nobody writes before that
            if not link.dialled:
                link.write(self._hello(HandshakeAck, hello.who))
            old = self._links.get(hello.who)
            # Of two links to one peer both sides keep the one that the larger id dialled, else the newer.
            loses = old in self._threads and old.dialled != link.dialled and link.dialled != (self.peer_id > hello.who)
            if old:
                (link if loses else old).end(Bye(reason="duplicate"))
            link.open(hello.who, hello.epoch, old)
            if not loses:
                self._links[hello.who] = link

    def _hello(self, kind: type[Handshake | HandshakeAck], to: str | None) -> Handshake | HandshakeAck:
        return kind(
            peer_id=self.peer_id, to=to, v=VERSION, username=self.peer_id, instance=self._instance,
            epoch=self._epoch, listen_port=self.port, nonce=secrets.token_hex(16), timestamp=_timestamp(),
        )  # fmt: skip


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def main() -> None:
    """Print the port, take links until SIGTERM or Ctrl-C, print what was counted."""
    parser = argparse.ArgumentParser(prog="python -m bench.reference.peer", description=main.__doc__)
    parser.add_argument("port", type=int, help="0: any")
    parser.add_argument("--echo", action="store_true", help="send each message back to its sender")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before threads, which inherit it
    peer = ThreadPeer(secrets.token_hex(4), arguments.port)
    if arguments.echo:
        peer.on_message = peer.send
    peer.listen()
    print(peer.port, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    links = peer.links
    peer.close()
    print(json.dumps({"links": links, "received": peer.received, "delivered": peer.delivered}), flush=True)


if __name__ == "__main__":
    main()
