"""Real peers for the tests: `python -m peer` as a process, commands in by a pipe, lines out to a file."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from server import ENVIRONMENT, ROOT, wait_until

SECONDS = 15.0


class Peer:
    """A peer from its banner to its end. Whatever happens in the `with` block, it is gone after it."""

    def __init__(self, folder: Path, peer_id: str, tracker: int | None, *options: str, port: int = 0) -> None:
        self.peer_id = peer_id
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob(f"{peer_id}-*.out")))
        self._out = folder / f"{peer_id}-{number}.out"
        self._mark = 0
        where = ["--tracker", f"127.0.0.1:{tracker}"] if tracker else ["--no-tracker"]
        command = [
            sys.executable, "-W", "always::ResourceWarning", "-m", "peer", str(port), "--listen", "127.0.0.1",
            "--id", peer_id, "--data", str(folder / peer_id), *where, *options,
        ]  # fmt: skip
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=ENVIRONMENT,
                start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Peer:
        try:
            banner = self.wait_for("listens for peers on")
        except BaseException:
            self.kill()
            raise
        self.port = int(banner.rpartition(":")[2])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None and self.process.poll() is None:
                self.quit()
                assert "Traceback" not in self.text, self.text
        finally:
            self.kill()

    @property
    def text(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def type(self, *commands: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(command + "\n" for command in commands).encode())
        self.process.stdin.flush()

    def wait_for(self, text: str, seconds: float = SECONDS) -> str:
        """The first line with `text` in it behind the one that was waited for last."""
        found: list[tuple[int, str]] = []

        def look() -> bool:
            lines = self.text.split("\n")[:-1]
            found[:] = [(at, line) for at, line in enumerate(lines) if at >= self._mark and text in line][:1]
            return bool(found)

        wait_until(look, seconds, lambda: f"{self.peer_id} did not say {text!r}:\n{self.text}", self.process)
        self._mark = found[0][0] + 1
        return found[0][1]

    def ask(self, command: str, *answers: str) -> str:
        """Type a command and wait for each of its lines, in order; the last."""
        self.type(command)
        return [self.wait_for(answer) for answer in answers][-1]

    def ask_until(self, command: str, first: str, then: str) -> None:
        """Type it until `then` follows the `first` line: of what others do it may hear later than the test."""

        def is_answered() -> bool:
            self.ask(command, first)
            return any(then in line for line in self.lines[self._mark :])

        wait_until(is_answered, SECONDS, lambda: f"{self.peer_id} did not say {then!r}:\n{self.text}", self.process)

    def join(self, channel: str, *ids: str) -> None:
        """And wait until it is linked with these, whoever has dialled."""
        self.ask(f"join {channel}", "Auto-connected to")
        linked = [re.compile(rf"peer: {re.escape(one)}$", re.MULTILINE).search for one in ids]
        wait_until(lambda: all(find(self.text) for find in linked), SECONDS, lambda: self.text, self.process)

    def quit(self) -> None:
        self.type("quit")
        self.wait_for("[Peer] Left. Goodbye!")
        assert self.process.wait(SECONDS) == 0

    def kill(self) -> None:
        """`kill -9`, and nothing of it is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

