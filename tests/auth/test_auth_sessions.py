from __future__ import annotations

import plugins.auth.sessions as sessions_module
from plugins.auth.sessions import TOKEN_LENGTH, Lifetime, Session, SessionTable, digest_of, new_token


def test_ids_have_256_random_bits_and_are_kept_only_as_their_hash() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {TOKEN_LENGTH}
    for token in tokens:
        digest = digest_of(token)
        assert digest is not None and len(digest) == 32 and token.encode() not in digest


def test_what_cannot_be_an_id_is_not_even_hashed() -> None:
    assert digest_of(None) is digest_of("") is digest_of("x" * 100_000) is None
    assert digest_of("\xff" * TOKEN_LENGTH) is not None


def test_a_session_ends_by_disuse_and_by_age() -> None:
    life = Lifetime(idle=10.0, absolute=100.0)
    session = Session("ann", created=0.0, last_used=0.0)
    assert session.alive(9.9, life)
    assert not session.alive(10.0, life)
    session.last_used = 99.0
    assert session.alive(99.9, life)
    assert not session.alive(100.0, life)


def test_listeners_hear_of_each_session_that_ends() -> None:
    table, heard = SessionTable(), list[tuple[bytes, str]]()
    stop = table.on_end(lambda digest, name: heard.append((digest, name)))
    for digest in (b"1", b"2", b"3"):
        table.add(digest, Session("ann", 0.0, 0.0))
    table.end(b"1")
    table.end(b"2", "whoever")
    table.end(b"unknown", "bob")
    assert heard == [(b"1", "ann"), (b"2", "ann"), (b"unknown", "bob")]
    stop()
    table.end(b"3")
    assert len(heard) == 3 and not table.known


def taken(table: SessionTable) -> dict[bytes, float]:
    return {digest: session.last_used for digest, session in table.take_uses().items()}


def test_the_table_is_bounded_and_what_falls_out_is_written_down_not_ended() -> None:
    table, heard = SessionTable(limit=2), list[bytes]()
    table.on_end(lambda digest, name: heard.append(digest))
    for number in range(3):
        table.add(b"%d" % number, Session("ann", 0.0, float(number)))
    assert list(table.known) == [b"1", b"2"]
    assert taken(table) == {b"0": 0.0}
    assert heard == []


def test_uses_are_taken_once_with_their_latest_time() -> None:
    table = SessionTable()
    session = Session("ann", 0.0, 0.0)
    table.add(b"1", session)
    session.last_used = 5.0
    table.note_use(b"1", session)
    session.last_used = 6.0
    assert taken(table) == {b"1": 6.0}
    assert taken(table) == {}
    table.note_all_uses()
    assert taken(table) == {b"1": 6.0}  # 6 was used after the note of 5
    table.note_all_uses()
    assert taken(table) == {}


def test_uses_that_could_not_be_saved_wait_and_newer_ones_count() -> None:
    table = SessionTable()
    session = Session("ann", 0.0, 0.0)
    table.add(b"1", session)
    table.note_use(b"1", session)
    uses = table.take_uses()
    session.last_used = 7.0
    table.put_back(uses)
    assert taken(table) == {b"1": 7.0} and taken(table) == {}


def test_an_ended_session_is_not_written_down_any_more() -> None:
    table = SessionTable()
    session = Session("ann", 0.0, 0.0)
    table.add(b"1", session)
    table.note_use(b"1", session)
    table.end(b"1")
    assert taken(table) == {}


def test_unknown_ids_are_remembered_briefly_and_in_bounded_number() -> None:
    table = SessionTable()
    table.note_missing(b"1", 0.0)
    assert table.is_missing(b"1", 9.9)
    assert not table.is_missing(b"1", 10.0)
    for number in range(3 * sessions_module.MAX_MISSING):
        table.note_missing(b"%d" % number, 0.0)
    assert len(table._missing) <= sessions_module.MAX_MISSING


def test_a_short_idle_limit_is_written_down_more_often() -> None:
    assert Lifetime(3600.0, 1e6).save_every == 60.0
    assert Lifetime(10.0, 1e6).save_every == 1.0
