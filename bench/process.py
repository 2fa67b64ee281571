"""Servers as processes: started on a free port, pinned to a core, and asked what they have used.

CPU time comes from the operating system (utime + stime of the process), so it counts the kernel's share of a request
too, and does not count what the neighbours of a shared machine take away.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER_CORE = 0
LOAD_CORE = min(1, (os.cpu_count() or 1) - 1)
_TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server:
    """A running server: its address, and its use of CPU and memory."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def resident(self) -> int:
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS in /proc")


@contextmanager
def running(command: Sequence[str], port: int, core: int = SERVER_CORE) -> Iterator[Server]:
    """Start `command`, wait until its port answers, stop it at the end."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server does not answer")


@contextmanager
def floor(length: int) -> Iterator[Server]:
    port = free_port()
    with running(["-m", "bench.floor", str(port), str(length)], port) as server:
        yield server


@contextmanager
def reactor(**server_options: str) -> Iterator[Server]:
    """The default config, on another port and with a state directory of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        text = (ROOT / "config.ini").read_text()
        options = {"listen": f"127.0.0.1:{port}", "state_dir": f"{folder}/var", "access_log": "off", **server_options}
        lines = [line for line in text.splitlines() if line.partition("=")[0].strip() not in options]
        at = lines.index("[server]") + 1
        lines[at:at] = [f"{key} = {value}" for key, value in options.items()]
        config = Path(folder, "config.ini")
        config.write_text("\n".join(lines))
        Path(folder, "www").symlink_to(ROOT / "www")
        with running(["-m", "reactor", "-c", str(config)], port) as server:
            yield server
