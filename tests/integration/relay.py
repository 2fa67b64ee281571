"""A network between a browser and a server that a test can take away: bytes go through threads, or nowhere."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Relay:
    """Listens at `port`, and passes on to the server's. While it is `cut` nothing gets through, and nobody is told."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Relay:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.mend()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        """What was under way is lost, as after a change of networks."""
        if not self._open.is_set():
            self._drop()
            self._open.set()

    def _drop(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._connect, args=(near,)))
            self._threads[-1].start()

    def _connect(self, near: socket.socket) -> None:
        self._sockets.append(near)
        self._open.wait()
        with near:
            try:
                far = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                return
            self._sockets.append(far)
            with far:
                back = threading.Thread(target=self._pass_on, args=(far, near))
                back.start()
                self._pass_on(near, far)
                back.join()

    def _pass_on(self, source: socket.socket, goal: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                goal.sendall(data)
        for sock in (source, goal):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
