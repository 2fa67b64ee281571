"""The full-screen peer in a terminal: a real process at one end of a pty, pyte, a terminal in memory, at the other."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest
from peers import Peer
from server import ENVIRONMENT, ROOT, wait_until

SECONDS = 15.0
UTF8 = {**ENVIRONMENT, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "COLORTERM": ""}
MODULE = ("-m", "peer")
# What a terminal is told when the screen is given back: its own buffer, the cursor, wrapping, and no mouse nor paste.
GIVEN_BACK = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?7h", b"\x1b[?2004l", b"\x1b[?1000l")


class Display(pyte.Screen):
    """Counts bells."""

    bells = 0

    def bell(self) -> None:
        self.bells += 1


class Seat:
    """A terminal, and a program in its foreground."""

    def __init__(
        self, folder: Path, command: Sequence[str], size: tuple[int, int] = (80, 24), env: Mapping[str, str] = UTF8
    ) -> None:
        self.master, self.terminal = os.openpty()
        os.set_blocking(self.master, False)
        self.display = Display(*size)
        self.raw = bytearray()
        self._stream = pyte.ByteStream(self.display)
        self.resize(*size)
        self.before = termios.tcgetattr(self.terminal)
        self._stderr = folder / "stderr"
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=self.terminal, stdout=self.terminal, stderr=stderr,
                start_new_session=True, preexec_fn=take_terminal,
            )  # fmt: skip

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.display.display]

    def resize(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.display.resize(rows, cols)

    def type(self, text: str) -> None:
        """All of it, though the program may still be reading what was typed before."""
        left = text.encode()

        def write() -> bool:
            nonlocal left
            self.read()
            try:
                left = left[os.write(self.master, left) :]
            except BlockingIOError:
                pass
            return not left

        wait_until(write, SECONDS, lambda: f"{len(left)} bytes were not read")

    def read(self) -> int:
        """What has come since, onto the display."""
        data = bytearray()
        try:
            while len(data) < 1 << 20:
                data += os.read(self.master, 1 << 16)
        except OSError as error:
            assert error.errno in (errno.EAGAIN, errno.EIO)
        self.raw += data
        self._stream.feed(bytes(data))
        return len(data)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            self.read()
            return condition()

        wait_until(look, SECONDS, lambda: f"no {what}:\n" + "\n".join(self.rows) + f"\n{self.stderr}")

    def wait_for(self, *texts: str) -> None:
        """All of them on the display at once."""
        self.until(lambda: all(text in "\n".join(self.rows) for text in texts), f"{texts!r}")

    def wait_ended(self) -> int:
        self.until(lambda: self.process.poll() is not None, "end")
        return self.process.returncode

    def assert_given_back(self) -> None:
        """The terminal is as it was."""
        assert termios.tcgetattr(self.terminal) == self.before
        assert os.get_blocking(self.terminal)

        def end() -> bytes:
            return bytes(self.raw[self.raw.rindex(b"\x1b[?1049h") :])

        # The kernel hands on what was written in its own time, also behind the end of the process.
        self.until(lambda: all(code in end() for code in GIVEN_BACK), "codes that give the screen back")
        assert self.display.title == "" or b"\x1b[23" in end()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for fd in (self.master, self.terminal):
            try:
                os.close(fd)
            except OSError:
                pass


def take_terminal() -> None:
    """In the child: standard input is its controlling terminal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def command(folder: Path, *options: str, program: Sequence[str] = MODULE) -> list[str]:
    return [
        sys.executable, "-W", "always::ResourceWarning", *program, "0", "--listen", "127.0.0.1", "--no-tracker",
        "--id", "ann", "--name", "Ann", "--data", str(folder / "ann"), *options,
    ]  # fmt: skip


@contextmanager
def seated(folder: Path, *options: str, program: Sequence[str] = MODULE) -> Iterator[Seat]:
    seat = Seat(folder, command(folder, *options, program=program))
    try:
        yield seat
    finally:
        seat.close()


@pytest.fixture
def ann(tmp_path: Path) -> Iterator[Seat]:
    with seated(tmp_path, "--rate", "0") as seat:
        seat.wait_for("Log>", "listens for peers")
        yield seat


@pytest.fixture
def bob(tmp_path: Path, ann: Seat) -> Iterator[Peer]:
    """In plain mode, and connected."""
    with Peer(tmp_path, "bob", None, "--rate", "0", "--name", "Bob") as bob:
        ann.type(f"connect bob 127.0.0.1 {bob.port}\r")
        bob.wait_for("Handshake from peer: ann")
        ann.wait_for("● Bob")
        yield bob


def test_two_people_chat(ann: Seat, bob: Peer) -> None:
    bob.ask("send ann good morning 漢字", "Delivered to ann")
    ann.wait_for("● Bob              1")
    ann.until(lambda: (ann.display.title, ann.display.bells) == ("(1) peer Ann", 1), "title and one bell")
    ann.type("\x1ba")
    ann.wait_for("Bob: good morning 漢字", "Bob>")
    ann.type("hello Bob")
    ann.wait_for("Bob> hello Bob")
    bob.ask("send ann are you there?", "Delivered to ann")
    ann.wait_for("are you there?", "Bob> hello Bob")
    ann.until(lambda: (ann.display.cursor.x, ann.display.cursor.y) == (len("Bob> hello Bob"), 23), "cursor")
    ann.type("\r")
    bob.wait_for("Message from ann: hello Bob")
    ann.wait_for("Ann: hello Bob ✓✓")
    ann.until(lambda: ann.display.title == "peer Ann", "title")
    ann.type("/quit\r")
    assert ann.wait_ended() == 0
    ann.assert_given_back()
    ann.wait_for("[Peer] Left. Goodbye!")
    assert bob.wait_for("Disconnected from peer: ann")
    assert ann.stderr == ""


def test_a_message_that_nobody_could_take_is_marked_and_its_text_is_not_lost(ann: Seat, bob: Peer) -> None:
    ann.type("\x1b[1;3C")
    ann.wait_for("Bob>")
    bob.quit()
    ann.wait_for("○ Bob")
    ann.type("for later\r")
    ann.wait_for("Ann: for later …")
    ann.type("/say nowhere hello\r")
    ann.wait_for("[Peer] Not in channel nowhere: join it first")


def test_the_size_changes(ann: Seat, bob: Peer) -> None:
    ann.type("half a thou")
    for size in ((40, 10), (132, 50), (12, 2), (80, 24)):
        ann.resize(*size)
        shown = "> half a thou"[-size[0] + 1 :]
        ann.until(lambda shown=shown: ann.rows[-1].endswith(shown), f"line at {size}")  # type: ignore[misc]
    ann.type("ght")
    ann.wait_for("Log> half a thought", "● Bob")


def test_what_is_pasted_is_not_sent(ann: Seat, bob: Peer) -> None:
    ann.type("\x1b[1;3C")
    ann.wait_for("Bob>")
    ann.type("\x1b[200~first\rsecond\nthird\x1b[201~")
    ann.wait_for("Bob> first second third")
    ann.type("\x1b[200~" + "x" * 20_000 + "\x1b[201~")
    ann.wait_for("characters of the paste were taken")
    ann.type("\x15ok\r")
    bob.wait_for("Message from ann: ok")
    assert "first" not in bob.text


def test_a_stopped_terminal_stops_nothing_else(ann: Seat, bob: Peer) -> None:
    ann.type("\x1b[1;3C")
    ann.wait_for("Bob>")
    ann.type("\x13")  # Ctrl-S
    time.sleep(0.1)
    ann.read()
    for number in range(90):
        bob.type(f"send ann number {number}")
    bob.wait_for("Delivered to ann: number 89")
    ann.read()
    assert "number" not in "\n".join(ann.rows)
    ann.type("\x11")  # Ctrl-Q
    ann.wait_for("Bob: number 89", "Bob: number 80", "Bob>")


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGQUIT", "ctrl c", "ctrl d", "stopped", "unread"])
def test_however_it_ends_the_terminal_is_given_back(ann: Seat, how: str) -> None:
    if how.startswith("ctrl"):
        ann.type(chr(ord(how[-1]) - 96))
    elif how == "stopped":
        ann.type("\x13")
        time.sleep(0.1)
        ann.type("nobody sees this")
        time.sleep(0.1)
        ann.process.send_signal(signal.SIGTERM)
    elif how == "unread":  # the network to the terminal is down, say: what is drawn fills the buffers of the system
        for cols in range(100, 160):
            fcntl.ioctl(ann.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, cols, 0, 0))
            time.sleep(0.03)
        ann.process.send_signal(signal.SIGTERM)
        time.sleep(2)
    else:
        ann.process.send_signal(getattr(signal, how))
    assert ann.wait_ended() == 0
    ann.assert_given_back()
    ann.wait_for("[Peer] Left. Goodbye!")
    assert ann.stderr == ""


def test_a_terminal_that_goes_away_is_the_end(ann: Seat, bob: Peer) -> None:
    os.close(ann.terminal)
    os.close(ann.master)
    bob.wait_for("Disconnected from peer: ann")
    ann.process.wait(SECONDS)
    ann.master, ann.terminal = os.openpty()


BUG = """
import sys
from peer.__main__ import main
from peer.terminal.view import View
draw = View._status
def status(self):
    if self.prompt.edit_text == "boom":
        raise ValueError("drawn badly")
    return draw(self)
View._status = status
sys.exit(main())
"""


def test_a_bug_gives_the_terminal_back_and_says_what_it_was(tmp_path: Path) -> None:
    with seated(tmp_path, program=("-c", BUG)) as ann:
        ann.wait_for("Log>")
        ann.type("boom")
        assert ann.wait_ended() == 1
        ann.assert_given_back()
        ann.wait_for("[Peer] Left. Goodbye!")
        assert "ValueError: drawn badly" in ann.stderr


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again(tmp_path: Path) -> None:
    """A shell with job control; the peer is its job."""
    seat = Seat(tmp_path, ["sh", "-i"])
    try:
        seat.type(" ".join(command(tmp_path)) + "\n")
        seat.wait_for("Log>")
        seat.type("draft")
        seat.wait_for("Log> draft")
        mark = len(seat.raw)
        seat.type("\x1a")
        seat.until(lambda: b"\x1b[?1049l" in seat.raw[mark:], "normal screen")
        # What is typed before the terminal is the shell's again may be dropped.
        seat.until(lambda: "Stopped" in seat.stderr, "job that is stopped")
        seat.type("echo at the $((40 + 2)) shell\n")
        seat.wait_for("at the 42 shell")
        mark = len(seat.raw)
        seat.type("fg\n")
        seat.until(lambda: b"\x1b[?1049h" in seat.raw[mark:], "screen of ours")
        seat.wait_for("Log> draft", "listens for peers")
        seat.type("\x15quit\r")
        seat.wait_for("[Peer] Left. Goodbye!")
    finally:
        seat.close()


def test_a_command_without_its_slash_is_not_sent_at_once(ann: Seat, bob: Peer) -> None:
    ann.type("\x1b[1;3C")
    ann.wait_for("Bob>")
    ann.type("join lobby password hunter2\r")
    ann.wait_for("[Peer] Not sent: a command begins with a slash here", "Bob> join lobby password hunter2")
    ann.type("\x15peers\r")
    ann.wait_for("Bob> peers")
    ann.type("\r")
    bob.wait_for("Message from ann: peers")
    assert "hunter2" not in bob.text


# -- the password is asked for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("\x03", 130, "\n"),
        ("\x04", 1, "\nerror: no password was given: type it, or give --password-file or $PEER_PASSWORD\n"),
    ],
    ids=["Ctrl-C", "Ctrl-D"],
)
def test_who_does_not_give_a_password_gets_no_traceback(tmp_path: Path, key: str, status: int, words: str) -> None:
    with seated(tmp_path, "--user", "ann") as ann:
        ann.wait_for("Password of ann at the tracker:")
        ann.type(key)
        assert ann.wait_ended() == status
        assert ann.stderr == words


# -- where there is no screen ------------------------------------------------------------------------------------------


def test_plain_mode_in_a_terminal(tmp_path: Path) -> None:
    with seated(tmp_path, "--plain") as ann:
        ann.wait_for("listens for peers")
        ann.type("channels\n")
        ann.wait_for("[Peer] In 0 channels")
        ann.type("quit\n")
        assert ann.wait_ended() == 0
        assert b"\x1b" not in ann.raw


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"TERM": "dumb"}, "the terminal cannot move its cursor"),
        ({"TERM": ""}, "the terminal cannot move its cursor"),
        ({"PYTHONIOENCODING": "latin-1"}, "the terminal takes iso8859-1 and not UTF-8"),
    ],
)
def test_a_terminal_that_cannot_show_it_gets_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], why: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setitem(UTF8, name, value)
    with seated(tmp_path) as ann:
        ann.wait_for("listens for peers")
        ann.type("quit\n")
        assert ann.wait_ended() == 0 and b"\x1b" not in ann.raw
    with seated(tmp_path, "--tui") as ann:
        assert ann.wait_ended() == 1
        assert f"error: --tui: {why}" in ann.stderr


def test_without_a_terminal_there_is_no_screen_to_be_had(tmp_path: Path) -> None:
    ran = subprocess.run(
        command(tmp_path, "--tui"), cwd=ROOT, env=UTF8, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == "error: --tui: standard input and output are no terminal\n"
