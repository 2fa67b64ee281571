from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path
from random import Random

import pytest

from peer.identity import Identity, default_directory
from reactor.errors import ReactorError, StartError

TRACKER = "127.0.0.1:8000"


def start_words(directory: Path, peer_id: str = "") -> str:
    with pytest.raises(StartError) as caught:
        Identity.open(directory, peer_id)
    words = str(caught.value)
    assert "\n" not in words
    return words


def opened_id(directory: Path, peer_id: str = "") -> str:
    identity = Identity.open(directory, peer_id)
    identity.close()
    return identity.peer_id


# -- where -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"HOME": "/home/ann"}, "/home/ann/.local/share/reactor-peer/9101"),
     ({"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}, "/data/reactor-peer/9101"),
     ({"XDG_DATA_HOME": "/data"}, "/data/reactor-peer/9101"),
     ({"HOME": "/home/ann", "XDG_DATA_HOME": ""}, "/home/ann/.local/share/reactor-peer/9101"),
     ({"HOME": "/home/ann", "XDG_DATA_HOME": "data"}, "/home/ann/.local/share/reactor-peer/9101")],
)  # fmt: skip
def test_the_directory_is_in_the_home_of_the_user(environment: dict[str, str], expected: str) -> None:
    assert default_directory(9101, environment) == Path(expected)


def test_without_a_home_the_directory_has_to_be_given() -> None:
    with pytest.raises(StartError, match="give one with --data"):
        default_directory(9101, {})


def test_only_the_owner_may_read_what_is_kept(tmp_path: Path) -> None:
    identity = Identity.open(tmp_path / "share" / "9101")
    identity.leases.set(TRACKER, "secret")
    assert identity.directory == tmp_path / "share" / "9101"
    assert stat.S_IMODE(identity.directory.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in identity.directory.iterdir()}
    assert modes == {"lock": 0o600, "peer_id": 0o600, "leases.json": 0o600}
    identity.close()


def test_a_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Identity.open(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_directory_that_cannot_be_made_or_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        words = start_words(directory)
        assert words.startswith(f"cannot keep the peer's data in {directory} (")
        assert "--data" in words
    (tmp_path / "peer_id.new").mkdir()  # what is written first
    assert "check that you may write there" in start_words(tmp_path)


# -- the id ------------------------------------------------------------------------------------------------------------


def test_a_new_directory_gets_an_id_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    first = opened_id(tmp_path / "a")
    assert re.fullmatch(r"[0-9a-f]{8}", first)
    assert opened_id(tmp_path / "a") == first
    assert opened_id(tmp_path / "b") != first


def test_an_id_that_the_user_gives_is_kept(tmp_path: Path) -> None:
    opened_id(tmp_path)
    assert opened_id(tmp_path, "Ännchen von Tharau ") == "Ännchen von Tharau "
    assert opened_id(tmp_path) == "Ännchen von Tharau "
    assert opened_id(tmp_path, "x" * 64) == "x" * 64


@pytest.mark.parametrize("wrong", ["x" * 65, "a\nb", "\x1b[2J", "\ud800", "a\u202eb"])
def test_an_id_that_nobody_could_show_is_refused_and_changes_nothing(tmp_path: Path, wrong: str) -> None:
    before = opened_id(tmp_path)
    words = start_words(tmp_path, wrong)
    assert "1 to 64 printable characters" in words
    assert words.isprintable()
    assert opened_id(tmp_path) == before
    with pytest.raises(StartError):
        Identity.ephemeral(Random(1), wrong)


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\xfe", b"x" * 65])
def test_a_damaged_id_is_not_replaced_by_a_new_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "peer_id").write_bytes(content)
    assert start_words(tmp_path).startswith(f"{tmp_path / 'peer_id'} holds no peer id: ")
    assert (tmp_path / "peer_id").read_bytes() == content
    assert opened_id(tmp_path, "ann") == "ann"  # the failed start has let the lock go, and the user may say who it is


def test_what_a_killed_process_left_half_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "peer_id.new").write_text("abc")
    assert opened_id(tmp_path) == (tmp_path / "peer_id").read_text().strip() != "abc"


def test_an_identity_for_one_run_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    identity = Identity.ephemeral(Random(7))
    assert re.fullmatch(r"[0-9a-f]{8}", identity.peer_id)
    assert identity.peer_id == Identity.ephemeral(Random(7)).peer_id
    assert Identity.ephemeral(Random(7), "ann").peer_id == "ann"
    assert identity.directory is None
    identity.leases.set(TRACKER, "secret")
    assert identity.leases.get(TRACKER) == "secret"
    identity.close()
    assert list(tmp_path.iterdir()) == []


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_a_second_peer_in_the_directory_is_told_who_is_there_until_that_one_has_ended(tmp_path: Path) -> None:
    first = Identity.open(tmp_path, "ann")
    assert start_words(tmp_path, "bob").startswith(f"another peer (pid {os.getpid()}) uses {tmp_path}: ")
    first.close()
    first.close()
    assert opened_id(tmp_path) == "ann"


def test_a_lock_whose_owner_has_not_written_its_number_yet_counts(tmp_path: Path) -> None:
    first = Identity.open(tmp_path)
    (tmp_path / "lock").write_bytes(b"")
    assert "another peer (pid unknown)" in start_words(tmp_path)
    first.close()


# -- leases ------------------------------------------------------------------------------------------------------------


def test_leases_are_kept_for_each_tracker(tmp_path: Path) -> None:
    first = Identity.open(tmp_path)
    assert first.leases.get(TRACKER) is None
    first.leases.set(TRACKER, "one")
    first.leases.set("[::1]:8000", "two")
    first.leases.set(TRACKER, "three")
    first.close()
    second = Identity.open(tmp_path)
    assert second.leases.get(TRACKER) == "three"
    assert second.leases.get("[::1]:8000") == "two"
    second.close()


def test_a_lease_that_is_known_is_not_written_again(tmp_path: Path) -> None:
    identity = Identity.open(tmp_path)
    identity.leases.set(TRACKER, "one")
    before = (tmp_path / "leases.json").stat().st_ino
    (tmp_path / "leases.json").write_text("{}")
    identity.leases.set(TRACKER, "one")
    assert (tmp_path / "leases.json").stat().st_ino == before
    assert (tmp_path / "leases.json").read_text() == "{}"
    identity.close()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, json.dumps({TRACKER: 5}).encode()])
def test_a_file_of_leases_that_makes_no_sense_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "leases.json").write_bytes(content)
    identity = Identity.open(tmp_path)
    assert identity.leases.get(TRACKER) is None
    identity.leases.set(TRACKER, "one")
    assert json.loads((tmp_path / "leases.json").read_bytes()) == {TRACKER: "one"}
    identity.close()


def test_a_lease_that_cannot_be_written_is_told_in_words_and_counts_for_this_run(tmp_path: Path) -> None:
    identity = Identity.open(tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(ReactorError, match=rf"the lease of {TRACKER} cannot be kept in .*leases\.json: No such file"):
        identity.leases.set(TRACKER, "one")
    assert identity.leases.get(TRACKER) == "one"
    identity.close()
