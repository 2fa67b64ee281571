"""Who this peer is: its id and its leases, in a data directory that one process at a time may use.

The directory also holds the history, and with it the numbers of the streams: two processes in one directory would be
one peer with two tongues. So it is locked (`flock`: the system lets go however the process ends) until the identity is
closed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final

from reactor.errors import ReactorError, StartError

MAX_ID: Final = 64  # what the tracker takes


def default_directory(port: int, environment: Mapping[str, str]) -> Path:
    """`~/.local/share/reactor-peer/PORT`; $XDG_DATA_HOME counts if it is absolute, as its specification says."""
    base = Path(environment.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():
        home = environment.get("HOME", "")
        if not home:
            raise StartError("there is no home directory to keep the peer's data in: give one with --data")
        base = Path(home, ".local", "share")
    return base / "reactor-peer" / str(port)


class Leases:
    """What trackers gave us to prove that a registration is ours: tracker -> lease."""

    def __init__(self, path: Path | None = None) -> None:
        """A file that makes no sense counts as empty: a registration whose lease is lost expires after 90 s."""
        self._path = path
        self._leases = _read_leases(path) if path else {}

    def get(self, tracker: str) -> str | None:
        return self._leases.get(tracker)

    def set(self, tracker: str, lease: str) -> None:
        """ReactorError if it cannot be written; for this run it counts all the same."""
        if self._leases.get(tracker) == lease:
            return
        self._leases[tracker] = lease
        if self._path is not None:
            try:
                _write(self._path, json.dumps(self._leases, indent=1))
            except OSError as error:
                words = f"the lease of {tracker} cannot be kept in {self._path}: {error.strerror}"
                raise ReactorError(words) from error


class Identity:
    """`peer_id`, `leases`, and the `directory` that they are kept in: None if they are not."""

    def __init__(self, peer_id: str, leases: Leases, directory: Path | None = None, lock: int | None = None) -> None:
        """`lock` is a descriptor to close at the end; `open` and `ephemeral` make all of it."""
        self.peer_id = peer_id
        self.leases = leases
        self.directory = directory
        self._lock = lock

    @classmethod
    def open(cls, directory: Path, peer_id: str = "") -> Identity:
        """Make the directory if there is none, and lock it. `peer_id` replaces the one that is kept there; without
        either a new one is made. StartError in a line that says what to do.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls._open(directory, peer_id)
        except OSError as error:
            why = "it is no directory" if isinstance(error, FileExistsError) else error.strerror
            words = f"cannot keep the peer's data in {directory} ({why})"
            raise StartError(f"{words}: check that you may write there, or give another --data directory") from error

    @classmethod
    def _open(cls, directory: Path, peer_id: str) -> Identity:
        lock = _lock(directory)
        try:
            return cls(_peer_id(directory / "peer_id", peer_id), Leases(directory / "leases.json"), directory, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def ephemeral(cls, random: Random, peer_id: str = "") -> Identity:
        """For one run, and nothing is kept."""
        return cls(_checked(peer_id) if peer_id else f"{random.getrandbits(32):08x}", Leases())

    def close(self) -> None:
        """Another process may use the directory now."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _lock(directory: Path) -> int:
    """The locked file, with our process id in it. It is never removed: who waits for it would hold one that is gone."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, b"%d\n" % os.getpid())
    except BlockingIOError:
        pid = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise StartError(
            f"another peer (pid {pid}) uses {directory}: end that one, or give this one another --data directory"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _peer_id(path: Path, wanted: str) -> str:
    """The id that is kept, after `wanted` or a new one was written if need be."""
    kept = _read_id(path) if not wanted else ""
    peer_id = kept or _checked(wanted or secrets.token_hex(4))
    if not kept:
        _write(path, peer_id + "\n")
    return peer_id


def _read_id(path: Path) -> str:
    """Nothing if there is no file. A bad one is not replaced: who has something for the old id would not find us."""
    try:
        return _checked(path.read_text(encoding="utf-8").removesuffix("\n"))
    except FileNotFoundError:
        return ""
    except (UnicodeDecodeError, StartError) as error:
        raise StartError(f"{path} holds no peer id: write yours into it, or remove it to get a new one") from error


def _checked(peer_id: str) -> str:
    if not 1 <= len(peer_id) <= MAX_ID or not peer_id.isprintable():
        raise StartError(f"a peer id is 1 to {MAX_ID} printable characters, not {peer_id!a:.100}: give another --id")
    return peer_id


def _read_leases(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {tracker: lease for tracker, lease in found.items() if isinstance(lease, str)}


def _write(path: Path, text: str) -> None:
    """The old content or the new one, never half of it; for nobody else to read. It waits for the disk, and is rare."""
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
