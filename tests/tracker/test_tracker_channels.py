"""Channels: joining, leaving, and the three policies."""

from __future__ import annotations

from typing import Any

import pytest
from tracker_desk import Answer, Desk, finish

from plugins.tracker.channels import MAX_INVITES


class Class:
    """A teacher who owns the channel "class", and pupils who want in."""

    def __init__(self, **options: Any) -> None:
        self.desk = Desk(**options)
        self.leases: dict[str, str] = {}
        self.register("teacher", channels=["class"])

    def register(self, name: str, **fields: Any) -> Answer:
        answer = self.desk.submit(name, lease=self.leases.get(name), **fields)
        if answer.status == 200:
            self.leases[name] = answer.json["lease"]
        return answer

    def claim(self, name: str, **fields: Any) -> dict[str, Any]:
        if name not in self.leases:
            self.register(name)
        return {"peer_id": name, "lease": self.leases[name], "channel": "class", **fields}

    def join(self, name: str, **fields: Any) -> Answer:
        return self.desk.ask("/add-list", self.claim(name, **fields))

    def set(self, name: str = "teacher", **fields: Any) -> Answer:
        return self.desk.ask("/channel", self.claim(name, **fields))

    @property
    def members(self) -> list[str]:
        return self.desk.ids("class")


@pytest.fixture
def room() -> Class:
    return Class()


def test_joining_answers_with_the_members_and_no_key_where_the_door_is_open(room: Class) -> None:
    answer = room.join("ann")
    assert answer.json == {
        "status": "success", "channel": "class", "policy": "open", "owner": "teacher",
        "members": ["teacher", "ann"], "member_count": 2,
    }  # fmt: skip
    assert room.join("ann").json["member_count"] == 2
    assert room.members == ["teacher", "ann"]


def test_an_unknown_peer_cannot_join(room: Class) -> None:
    answer = room.desk.ask("/add-list", {"peer_id": "nobody", "channel": "class"})
    assert (answer.status, answer.code) == (404, "unknown_peer")


def test_channels_given_with_a_registration_are_joined_and_left(room: Class) -> None:
    room.register("ann", channels=["class", "b", "b"])
    assert room.desk.registry.peers["ann"].entry.channels == ("class", "b")
    room.register("ann")
    assert room.members == ["teacher", "ann"]
    room.register("ann", channels=["c", "class"])
    assert room.desk.registry.peers["ann"].entry.channels == ("class", "c")
    room.register("ann", channels=[])
    assert room.desk.registry.peers["ann"].entry.channels == ()
    assert room.desk.get().json["channels"] == ["class"]


def test_each_way_out_of_a_channel_shows_in_its_list(room: Class) -> None:
    for leave in (
        lambda: room.desk.ask("/leave", room.claim("ann")),
        lambda: room.register("ann", channels=[]),
        lambda: room.set(remove="ann"),
        lambda: room.desk.ask("/leave", {"peer_id": "ann", "lease": room.leases.pop("ann")}),
    ):
        room.join("ann")
        assert room.members == ["teacher", "ann"]
        assert leave().status == 200
        assert room.members == ["teacher"]


def test_leaving_a_channel_is_not_leaving_the_list(room: Class) -> None:
    room.join("ann")
    answer = room.desk.ask("/leave", room.claim("ann"))
    assert answer.json == {"status": "success", "peer_id": "ann", "channels": [], "total_peers": 2}
    assert room.desk.ask("/leave", room.claim("ann")).status == 200  # again is nothing
    assert room.members == ["teacher"]
    room.join("ann")
    assert room.desk.ask("/leave", {"peer_id": "ann", "lease": room.leases["ann"]}).json["total_peers"] == 1
    assert (room.members, room.desk.ids()) == (["teacher"], ["teacher"])


def test_a_password_opens_the_channel_and_hands_out_the_key(room: Class) -> None:
    key = room.set(policy="password", password="Sesame").json["channel_key"]
    assert len(key) == 64
    for wrong in ({}, {"password": "sesame"}, {"password": ""}, {"invite": "x"}):
        answer = room.join("ann", **wrong)
        assert (answer.status, answer.code, answer.path) == (403, "wrong_password", "$.channel")
        assert key.encode() not in answer.body
    assert room.members == ["teacher"]
    assert room.join("ann", password="Sesame").json["channel_key"] == key
    assert room.join("ann").json["channel_key"] == key  # a member needs no password
    assert room.register("ann").json["channel_keys"] == {"class": key}
    assert key.encode() not in room.desk.get().body


def test_the_password_is_not_kept(room: Class) -> None:
    room.set(policy="password", password="Sesame")
    kept = room.desk.registry.channels["class"].password
    assert kept is not None and kept.startswith("$argon2id$") and "Sesame" not in kept


def test_only_a_known_peer_that_needs_it_costs_a_hash(room: Class) -> None:
    room.set(policy="password", password="Sesame")
    room.join("ann", password="Sesame")
    before = room.desk.jobs
    room.join("ann", password="Sesame")
    room.join("bob")
    room.desk.ask("/add-list", {"peer_id": "ann", "channel": "class", "password": "x"})
    room.desk.ask("/channel", {"peer_id": "ann", "channel": "class", "policy": "password", "password": "x"})
    room.set("ann", policy="password", password="x")
    room.join("bob", channel="other", password="Sesame")
    assert room.desk.jobs == before


def test_a_password_that_was_changed_while_the_old_one_was_compared_does_not_open(room: Class) -> None:
    room.set(policy="password", password="old")
    waiting = room.desk.begin("/add-list", room.claim("ann", password="old"))
    assert not hasattr(waiting, "status")
    waiting.send(None)  # type: ignore[union-attr]
    room.set(password="new")
    assert Answer(finish(waiting)).code == "wrong_password"
    assert room.members == ["teacher"]


def test_what_happened_while_a_password_was_compared_counts(room: Class) -> None:
    room.set(policy="password", password="old")
    claim = room.claim("ann", password="old")
    first, second = room.desk.begin("/add-list", claim), room.desk.begin("/add-list", claim)
    first.send(None)  # type: ignore[union-attr]
    second.send(None)  # type: ignore[union-attr]
    assert finish(first).status == 200
    assert finish(second).status == 200
    assert room.members == ["teacher", "ann"]
    third = room.desk.begin("/add-list", room.claim("bob", password="old"))
    third.send(None)  # type: ignore[union-attr]
    room.desk.ask("/leave", {"peer_id": "bob", "lease": room.leases["bob"]})
    assert finish(third).status == 404
    change = room.desk.begin("/channel", room.claim("teacher", password="new"))
    change.send(None)  # type: ignore[union-attr]
    room.desk.ask("/leave", {"peer_id": "teacher", "lease": room.leases["teacher"]})
    assert finish(change).status == 404


def test_an_invite_lets_one_peer_in(room: Class) -> None:
    answer = room.set(policy="invited", invite=True)
    token, key = answer.json["invite"], answer.json["channel_key"]
    assert room.join("ann").code == "not_invited"
    assert room.join("ann", invite="x" * 32).code == "not_invited"
    assert room.join("ann", password="x").code == "not_invited"
    assert room.join("ann", invite=token).json["channel_key"] == key
    assert room.join("ann", invite=token).status == 200  # inside already: nothing is used
    assert room.join("bob", invite=token).code == "not_invited"


def test_an_invite_may_have_several_uses_and_runs_out(room: Class) -> None:
    token = room.set(policy="invited", invite={"uses": 2, "ttl": 60}).json["invite"]
    later = room.set(invite={"ttl": 60}).json["invite"]
    assert room.join("ann", invite=token).status == 200
    room.desk.now += 60
    assert room.join("bob", invite=token).status == 403
    assert room.join("bob", invite=later).status == 403
    room.set(invite=True)
    assert len(room.desk.registry.channels["class"].invites) == 1  # those that ran out are forgotten


def test_an_invite_also_opens_a_channel_with_a_password_without_hashing(room: Class) -> None:
    token = room.set(policy="password", password="Sesame", invite=True).json["invite"]
    jobs = room.desk.jobs
    assert room.join("ann", password="wrong", invite=token).status == 200
    assert room.desk.jobs == jobs


def test_an_invite_is_not_used_up_where_it_was_not_needed(room: Class) -> None:
    token = room.set(policy="password", password="Sesame", invite=True).json["invite"]
    room.set(policy="password", password="Sesame")
    room.set(policy="invited")
    assert room.join("ann", invite=token).status == 200


def test_a_closed_channel_is_not_entered_by_registering(room: Class) -> None:
    room.set(policy="invited")
    before = room.desk.get().body
    answer = room.register("ann", channels=["new", "class"])
    assert (answer.status, answer.code, answer.path) == (403, "not_invited", "$.channels[1]")
    assert room.desk.get().body is before
    assert room.register("teacher", channels=["new", "class"]).status == 200  # a member stays


def test_a_refused_renewal_changes_nothing_not_even_the_time(room: Class) -> None:
    room.register("ann", username="Ann")
    room.set(policy="invited")
    room.desk.advance(60)
    assert room.register("ann", port=1, username="X", channels=["class"]).status == 403
    assert room.desk.get().json["peers"][1]["username"] == "Ann"
    room.desk.advance(30)
    assert "ann" not in room.desk.ids()


def test_only_the_owner_configures(room: Class) -> None:
    room.join("ann")
    for name in ("ann", "stranger"):
        answer = room.set(name, policy="invited")
        assert (answer.status, answer.code) == (403, "not_owner")
    assert room.set(channel="nowhere", policy="open").code == "unknown_channel"


def test_the_oldest_member_owns_when_the_owner_is_gone(room: Class) -> None:
    room.join("ann")
    room.join("bob")
    room.set(policy="invited")
    room.desk.ask("/leave", room.claim("teacher"))
    assert room.join("teacher").code == "not_invited"
    assert room.set("bob", policy="open").code == "not_owner"
    assert room.set("ann", policy="open").json["owner"] == "ann"


def test_a_channel_without_members_is_forgotten_with_its_policy(room: Class) -> None:
    room.set(policy="password", password="Sesame", invite=True)
    room.desk.advance(90)
    assert room.desk.registry.channels == {}
    answer = room.join("ann")
    assert (answer.json["owner"], answer.json["policy"]) == ("ann", "open")
    assert room.members == ["ann"]


def test_removing_a_member_changes_the_key_and_voids_the_invites(room: Class) -> None:
    answer = room.set(policy="invited", invite={"uses": 3})
    token, key = answer.json["invite"], answer.json["channel_key"]
    room.join("ann", invite=token)
    answer = room.set(remove="ann")
    assert answer.json["members"] == ["teacher"]
    assert answer.json["channel_key"] != key
    assert room.join("ann", invite=token).code == "not_invited"
    assert room.desk.registry.peers["ann"].entry.channels == ()


def test_opening_a_channel_takes_its_key_and_closing_it_makes_another(room: Class) -> None:
    key = room.set(policy="invited").json["channel_key"]
    assert "channel_key" not in room.set(policy="open").json
    assert room.set(policy="password", password="a").json["channel_key"] != key


def test_a_new_password_keeps_the_members_and_the_key(room: Class) -> None:
    key = room.set(policy="password", password="a").json["channel_key"]
    room.join("ann", password="a")
    assert room.set(password="b").json["channel_key"] == key
    assert room.join("bob", password="a").status == 403
    assert room.join("bob", password="b").json["members"] == ["teacher", "ann", "bob"]


@pytest.mark.parametrize(
    ("fields", "status", "path"),
    [
        ({"policy": "secret"}, 400, "$.policy"),
        ({"policy": "password"}, 400, "$.password"),
        ({"policy": "password", "password": ""}, 400, "$.password"),
        ({"policy": "password", "password": "x" * 257}, 413, "$.password"),
        ({"policy": "invited", "password": "x"}, 400, "$.password"),
        ({"password": "x"}, 400, "$.password"),
        ({"policy": "invited", "invite": 3}, 400, "$.invite"),
        ({"policy": "invited", "invite": {"uses": 0}}, 400, "$.invite.uses"),
        ({"policy": "invited", "invite": {"uses": 129}}, 400, "$.invite.uses"),
        ({"policy": "invited", "invite": {"ttl": 1e9}}, 400, "$.invite.ttl"),
        ({"policy": "invited", "remove": "stranger"}, 404, "$.remove"),
        ({"policy": "invited", "remove": "teacher"}, 409, "$.remove"),
        ({"policy": "invited", "remove": 1}, 400, "$.remove"),
    ],
)
def test_a_wrong_change_changes_nothing(room: Class, fields: dict[str, Any], status: int, path: str) -> None:
    answer = room.set(**fields)
    assert (answer.status, answer.path) == (status, path)
    assert room.desk.registry.channels["class"].policy == "open"
    assert room.desk.jobs == 0


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_full_channel_is_409() -> None:
    room = Class(max_members=3)
    token = room.set(policy="password", password="a", invite=True).json["invite"]
    room.join("ann", password="a")
    room.join("bob", password="a")
    jobs = room.desk.jobs
    for answer in (room.join("eve", password="a"), room.join("eve", invite=token)):
        assert (answer.status, answer.code) == (409, "channel_full")
    assert room.desk.jobs == jobs
    room.set(policy="open")
    assert room.register("eve", channels=["x", "class"]).path == "$.channels[1]"
    assert room.join("ann").status == 200


def test_128_members_fit_by_default(room: Class) -> None:
    assert [room.join(f"p{i}").status for i in range(128)] == [200] * 127 + [409]


def test_channels_are_bounded_for_a_peer_and_for_all() -> None:
    room = Class(max_channels_per_peer=2, max_channels=3)
    assert room.register("ann", channels=["a", "b", "c"]).code == "too_many_channels"
    assert room.register("ann", channels=["a", "b", "a"]).status == 200
    answer = room.join("ann")
    assert (answer.status, answer.code) == (409, "too_many_channels")
    answer = room.join("bob", channel="c")
    assert (answer.status, answer.code) == (429, "channel_limit")
    assert answer.headers.get("retry-after") == "60"
    assert room.register("bob", channels=["a", "c"]).code == "channel_limit"
    assert room.join("bob", channel="b").status == 200


def test_invites_are_bounded(room: Class) -> None:
    for _ in range(MAX_INVITES):
        assert room.set(policy="invited", invite=True).status == 200
    answer = room.set(invite=True)
    assert (answer.status, answer.code) == (409, "too_many_invites")


def test_passwords_are_bounded_for_an_address_and_a_minute() -> None:
    room = Class(password_attempts=3)
    room.set(policy="password", password="a")
    for _ in range(2):
        assert room.join("ann", password="b").status == 403
    answer = room.join("ann", password="a")
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    room.desk.passwords.forget()
    assert room.join("ann", password="a").status == 200


def test_who_guesses_from_many_addresses_of_one_network_has_the_attempts_of_one() -> None:
    room = Class(password_attempts=3)
    room.set(policy="password", password="a")
    guess = room.claim("ann", password="b")
    tries = [room.desk.ask("/add-list", guess, client=f"2001:db8::{number:x}").status for number in range(5)]
    assert tries == [403, 403, 403, 429, 429]
    assert len(room.desk.passwords._made) == 2  # the teacher's and this one: nothing grows with addresses
    right = room.claim("ann", password="a")
    assert room.desk.ask("/add-list", right, client="2001:db8:0:1::1").status == 200


@pytest.mark.parametrize("name", ["direct", "broadcast"])
def test_a_way_of_delivery_is_no_name_for_a_channel(room: Class, name: str) -> None:
    words = f'"{name}" is no name for a channel: peers call a way of delivery so'
    refused = [
        (room.register("ann", channels=["lobby", name]), "$.channels[1]"),
        (room.join("bob", channel=name), "$.channel"),
        (room.set(channel=name, policy="open"), "$.channel"),
        (room.desk.ask("/leave", room.claim("teacher", channel=name)), "$.channel"),
        (room.desk.ask("/get-list", {"channel": name}), "$.channel"),
        (room.desk.get(f"/get-list?channel={name}"), "$.channel"),
    ]
    for answer, path in refused:
        assert (answer.status, answer.code, answer.path) == (400, "invalid", path)
        assert words in answer.json["error"]["message"]
    assert room.desk.get().json["channels"] == ["class"]
    assert room.join("bob", channel=f"{name}s").status == 200
