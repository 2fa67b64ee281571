"""Which server it is to be: policies over many requests, health on a fake clock, the budget of second tries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from plugins.proxy.checks import parse_statuses
from plugins.proxy.group import RESERVE, Budget
from plugins.proxy.health import ASIDE, DOWN, RETURNING, UP, Health
from plugins.proxy.options import Options
from plugins.proxy.policies import Member, Policy, make_policy
from plugins.proxy.upstream import Upstream
from reactor import Address, Request
from reactor.sansio.head import RequestHead
from reactor.sansio.headers import Headers
from reactor.testing import FakeClock, FakeReactor, TestApp


def members(*weights: int) -> list[Member]:
    reactor = FakeReactor()
    return [
        Member(Upstream(reactor, lambda: 0.0, Address(f"s{number}", 80), Options()), weight)
        for number, weight in enumerate(weights)
    ]


def request(client: str = "192.0.2.1", **headers: str) -> Request:
    pairs = [("host", "x"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return Request(RequestHead("GET", "/", Headers(pairs)), client, {})


def policy(text: str, servers: Sequence[Member]) -> Policy:
    return make_policy(text, Random(1), [member.weight for member in servers])


def chosen(text: str, servers: Sequence[Member], times: int, asked: Request | None = None) -> list[str]:
    one = policy(text, servers)
    return [one.choose(asked or request(), servers).name.removesuffix(":80") for _ in range(times)]


def test_in_turn() -> None:
    assert chosen("round-robin", members(1, 1, 1), 6) == ["s0", "s1", "s2"] * 2
    assert chosen("Round_Robin", members(1, 1), 2) == ["s0", "s1"]


def test_by_weight_and_evenly_spread() -> None:
    assert chosen("weighted", members(3, 1), 8) == ["s0", "s0", "s1", "s0"] * 2


def test_the_least_busy_for_its_weight() -> None:
    servers = members(1, 1, 4)
    for member, active in zip(servers, (2, 1, 3), strict=True):
        member.upstream.active = active
    assert chosen("least-conn", servers, 3) == ["s2"] * 3
    for member in servers:
        member.upstream.active = 0
    assert set(chosen("least-conn", servers, 3)) == {"s0", "s1", "s2"}


def test_by_chance_and_weight() -> None:
    count = Counter(chosen("random", members(3, 1), 4000))
    assert 2800 < count["s0"] < 3200


def test_the_better_of_two_never_takes_the_busiest() -> None:
    servers = members(1, 1, 1)
    servers[1].upstream.active = 9
    assert Counter(chosen("two", servers, 300))["s1"] == 0


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("hash address", lambda key: request(f"192.0.2.{key}")),
        ("hash header X-User", lambda key: request(X_User=f"u{key}")),
        ("hash cookie id", lambda key: request(cookie=f"id={key}")),
    ],
)
def test_one_client_has_one_server_and_a_lost_server_moves_its_own_clients_alone(text: str, make: object) -> None:
    servers = members(1, 1, 1, 1)
    one = policy(text, servers)
    before = {key: one.choose(make(key), servers) for key in range(200)}  # type: ignore[operator]
    assert min(Counter(member.name for member in before.values()).values()) > 25
    gone = servers[2]
    left = [member for member in servers if member is not gone]
    after = {key: one.choose(make(key), left) for key in range(200)}  # type: ignore[operator]
    assert all(after[key] is member for key, member in before.items() if member is not gone)


def test_hash_follows_the_weights() -> None:
    servers = members(3, 1)
    one = policy("hash header X-User", servers)
    count = Counter(one.choose(request(X_User=str(key)), servers).name for key in range(2000))
    assert 1400 < count["s0:80"] < 1600


def test_requests_without_a_key_are_spread() -> None:
    assert set(chosen("hash header X-User", members(1, 1), 4)) == {"s0", "s1"}


def test_a_cookie_names_the_server_and_no_machine() -> None:
    servers = members(1, 1)
    assert chosen("sticky", servers, 4, request(cookie=f"upstream={servers[1].key}")) == ["s1"] * 4
    assert set(chosen("sticky srv with least-conn", servers, 2, request(cookie="srv=forged"))) == {"s0", "s1"}
    assert "s1" not in servers[1].key


@pytest.mark.parametrize("text", ["", "fastest", "hash", "hash header", "sticky a b", "sticky with sticky", "random x"])
def test_what_is_no_policy_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="round-robin"):
        make_policy(text, Random())


# -- health --------------------------------------------------------------------------------------


class Patient:
    def __init__(self, **options: float | str) -> None:
        self.clock = FakeClock()
        self.changes = 0
        given = {"max_fails": 3, "fail_window": 10.0, "fail_timeout": 5.0, "slow_return": 10.0, **options}
        self.health = Health(self.clock, Options(**given))  # type: ignore[arg-type]
        self.health.on_change = self.changed

    def changed(self) -> None:
        self.changes += 1

    def fail(self, *pauses: float) -> None:
        for pause in pauses:
            self.clock.now += pause
            self.health.failed()


def test_failures_within_the_window_put_a_server_aside_and_it_comes_back_slowly() -> None:
    patient = Patient()
    patient.fail(0, 1)
    assert patient.health.is_well
    patient.fail(1)
    assert (patient.health.state, patient.health.share, patient.health.is_well) == (ASIDE, 0.0, False)
    patient.clock.now += 5
    assert (patient.health.state, patient.health.share) == (RETURNING, 0.1)
    patient.clock.now += 5
    assert patient.health.share == pytest.approx(0.5)
    patient.clock.now += 5
    assert (patient.health.state, patient.health.is_well, patient.changes) == (UP, True, 2)


def test_failures_that_are_far_apart_are_nothing() -> None:
    patient = Patient()
    patient.fail(*[6.0] * 10)
    assert patient.health.state is UP


def test_who_fails_on_its_return_is_aside_again_at_once() -> None:
    patient = Patient()
    patient.fail(0, 0, 0, 6)
    assert patient.health.state is ASIDE


def test_without_a_number_of_failures_none_counts() -> None:
    patient = Patient(max_fails=0)
    patient.fail(*[0] * 100)
    assert patient.health.state is UP


def test_two_checks_in_a_row_decide() -> None:
    patient = Patient(check_path="/")
    patient.health.checked(False)
    patient.health.checked(True)
    patient.health.checked(False)
    assert patient.health.state is UP
    patient.health.checked(False)
    assert (patient.health.state, patient.health.share) == (DOWN, 0.0)
    patient.clock.now += 1000
    patient.health.checked(True)
    assert patient.health.state is DOWN
    patient.health.checked(True)
    assert patient.health.state is RETURNING


def test_when_nobody_checks_any_more_nobody_stays_down() -> None:
    patient = Patient(check_path="/")
    patient.health.checked(False)
    patient.health.checked(False)
    patient.health.follow(Options())
    assert patient.health.state is RETURNING


@pytest.mark.parametrize("text", ["", "abc", "200-", "99", "600", "200;300"])
def test_what_is_no_list_of_statuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="list of statuses"):
        parse_statuses(text)


def test_statuses() -> None:
    assert parse_statuses("200-202, 401") == {200, 201, 202, 401}


# -- a second try --------------------------------------------------------------------------------


def test_second_tries_are_a_share_of_the_requests_once_the_reserve_is_spent() -> None:
    budget = Budget(20)
    assert sum(budget.spend() for _ in range(1000)) == RESERVE
    for _ in range(100):
        budget.earn()
    assert sum(budget.spend() for _ in range(1000)) in (19, 20)
    assert not Budget(0).spend()


def test_a_reload_keeps_what_is_known_of_servers_that_stay(tmp_path: Path) -> None:
    def sections(*ports: int) -> dict[str, dict[str, str]]:
        to = "\n".join(f"http://127.0.0.1:{port}" for port in ports)
        return {"plugin:proxy": {}, "proxy:a": {"host": "a", "to": to}}

    with TestApp(sections(1, 2), state_dir=tmp_path) as app:
        upstreams = app.app.generation.plugins[0].keep("upstreams", dict)
        one = upstreams.known[Address("127.0.0.1", 1)]
        for _ in range(3):
            one.health.failed()
        app.reload(sections(1, 3))
        states = {figures.address: figures.state for figures in app.service("proxy").servers()}
        assert states == {"127.0.0.1:1": "aside", "127.0.0.1:3": "up"}
        assert set(upstreams.known) == {Address("127.0.0.1", 1), Address("127.0.0.1", 3)}
