from __future__ import annotations

from plugins.auth.recent import RecentLogins
from plugins.auth.watches import Verified

ANN = Verified("ann", "hash of hers")


def test_a_password_that_was_right_is_known_for_a_while() -> None:
    recent = RecentLogins()
    recent.note(ANN, b"secret", until=300.0)
    assert recent.find("ann", b"secret", 299.0) == ANN
    assert recent.find("ann", b"secret", 300.0) is None
    assert len(recent) == 0


def test_no_other_password_and_no_other_name_is() -> None:
    recent = RecentLogins()
    recent.note(ANN, b"secret", until=300.0)
    for name, password in (("ann", b"Secret"), ("ann", b""), ("ann", b"secret\0"), ("bob", b"secret"), ("an", b"n")):
        assert recent.find(name, password, 1.0) is None
    assert recent.find("ann", b"secret", 1.0) == ANN  # wrong guesses take nothing away


def test_the_newest_password_counts() -> None:
    recent = RecentLogins()
    recent.note(ANN, b"old", until=300.0)
    changed = ANN._replace(password="another hash")
    recent.note(changed, b"new", until=300.0)
    assert recent.find("ann", b"old", 1.0) is None and recent.find("ann", b"new", 1.0) == changed
    recent.forget("ann")
    assert recent.find("ann", b"new", 1.0) is None and recent.all == []


def test_the_password_is_not_kept_and_the_digest_is_of_this_process_only() -> None:
    one, two = RecentLogins(), RecentLogins()
    for recent in (one, two):
        recent.note(ANN, b"very-secret", until=300.0)
    assert "very-secret" not in repr(one._entries)
    assert one._entries["ann"].digest != two._entries["ann"].digest


def test_it_is_bounded_and_the_oldest_falls_out() -> None:
    recent = RecentLogins(limit=10)
    for number in range(25):
        recent.note(Verified(f"user{number}", "hash"), b"x", until=300.0)
    assert len(recent) == 10
    assert recent.find("user14", b"x", 0.0) is None and recent.find("user15", b"x", 0.0) is not None
