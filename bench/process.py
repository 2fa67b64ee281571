"""Servers as processes: started on a free port, bound to a core, and asked what they have used.

CPU time comes from the operating system (utime + stime of the process and its children), so it counts the kernel's
share of a request too, and does not count what the neighbours of a shared machine take away.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parent.parent
CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = CORES[0]
LOAD_CORE: Final = CORES[min(1, len(CORES) - 1)]
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG: Final = 1


def free_port() -> int:
    """Of 127.0.0.1. The system gives none of these out by itself (`ip_local_port_range`): who comes to it a moment
    later, or comes back to it, finds it free still.
    """
    while True:
        port = SystemRandom().randrange(20_000, 32_768)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def bound_to(cores: Sequence[int]) -> Callable[[], None]:
    """What a child does before it becomes its program: take its cores and all descriptors it may have, and die with
    us, so that nothing is left over whatever ends the measurement.
    """
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        os.sched_setaffinity(0, cores)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


class Server:
    """A running server: its address, and what it and its workers have used."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def cpu_seconds(self) -> float:
        return sum(map(_cpu_seconds, family(self.process.pid)))

    def resident(self) -> int:
        """Resident memory in bytes; what a master and its workers share is counted for each."""
        return sum(map(_resident, family(self.process.pid)))


def family(pid: int) -> list[int]:
    """The process and all of its descendants."""
    found = [pid]
    for parent in found:  # grows while we look
        try:
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        except OSError:
            pass  # it has ended meanwhile
    return found


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0


def _born(pid: int) -> str:
    """When it was started, in ticks: a number that was given away again is another process."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _stat(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def running(command: Sequence[str], port: int, cores: Sequence[int] = (SERVER_CORE,)) -> Iterator[Server]:
    """Start `command`, wait until its port answers, stop it at the end. RuntimeError if it does not come up."""
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=complaints, preexec_fn=bound_to(cores)
        )
        try:
            _wait_for(port, process, complaints)
            yield Server(process, port)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    workers = {pid: _born(pid) for pid in family(process.pid)[1:]}
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:  # threads with 10,000 connections take their time
        process.kill()
        process.wait()
    for pid, born in workers.items():
        if born and _born(pid) == born:
            os.kill(pid, signal.SIGKILL)


def _wait_for(port: int, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            complaints.seek(0)
            last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(f"the server ended with status {process.returncode}: {last}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server does not answer")
