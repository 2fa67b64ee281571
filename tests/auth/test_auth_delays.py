from __future__ import annotations

import pytest

from plugins.auth.delays import LONGEST, Delays
from reactor import network_of

HOME, CAFE, DESK = "192.0.2.7", "198.51.100.9", "203.0.113.1"


class Site:
    """A fake clock around `Delays`, and people who try."""

    def __init__(self, limit: int = 10_000) -> None:
        self.delays = Delays(limit)
        self.now = 1000.0

    def wait(self, name: str = "ann", address: str = HOME) -> float:
        return self.delays.wait(name, address, self.now)

    def wrong(self, name: str = "ann", address: str = HOME) -> float:
        """Wait as long as asked, then fail; how long that was."""
        waited = self.wait(name, address)
        self.now += waited
        self.delays.begin(name, address, self.now)
        return waited

    def right(self, name: str = "ann", address: str = HOME) -> None:
        assert not self.wait(name, address)
        self.delays.succeed(self.delays.begin(name, address, self.now))

    def besiege(self, name: str = "ann", guesses: int = 150) -> None:
        for number in range(guesses):
            self.wrong(name, f"100.64.{number}.1")


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_few_mistakes_cost_nothing_and_then_each_costs_twice_as_much(site: Site) -> None:
    assert [site.wrong() for _ in range(9)] == [0.0] * 9
    waits = [site.wrong() for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert 128 <= site.wrong() <= LONGEST  # some of the first are forgotten by now


def test_a_guesser_who_waits_each_time_gets_a_few_hundred_guesses_a_day(site: Site) -> None:
    guesses, until = 0, site.now + 86400
    while site.now < until:
        site.wrong()
        guesses += 1
    assert guesses < 320


def test_a_thousand_guesses_at_the_same_moment_are_not_all_free(site: Site) -> None:
    admitted = 0
    for _ in range(1000):
        if not site.wait():
            site.delays.begin("ann", HOME, site.now)
            admitted += 1
    assert admitted == 9


def test_a_right_login_ends_the_delay_of_that_account_there(site: Site) -> None:
    for _ in range(12):
        site.wrong()
    site.now += site.wait()
    site.right()
    assert [site.wrong() for _ in range(9)] == [0.0] * 9


def test_what_was_never_tried_is_not_counted(site: Site) -> None:
    for _ in range(50):
        assert not site.wait()
        site.delays.take_back(site.delays.begin("ann", HOME, site.now))


def test_failures_are_forgotten(site: Site) -> None:
    for _ in range(18):
        site.wrong()
    site.now += 18 * 300
    assert [site.wrong() for _ in range(9)] == [0.0] * 9


def test_a_guesser_elsewhere_does_not_delay_the_owner(site: Site) -> None:
    for _ in range(15):
        site.wrong(address=CAFE)
    assert site.wait(address=CAFE) > 60 and not site.wait(address=HOME)


def test_one_who_tries_many_names_is_slowed_down_whatever_the_name(site: Site) -> None:
    for number in range(31):
        assert not site.wrong(f"user{number}", CAFE)
    assert site.wait("ann", CAFE) == 1
    assert not site.wait("ann", HOME)


def test_own_logins_do_not_pay_for_guesses_at_the_accounts_of_others(site: Site) -> None:
    guesses, until = 0, site.now + 86400
    while site.now < until:
        site.now += site.wait("eve", CAFE)
        site.right("eve", CAFE)
        site.wrong(f"user{guesses}", CAFE)
        guesses += 1
    assert guesses < 3000  # one each 30 s


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""])
def test_the_address_of_this_machine_may_be_everybodys_and_only_the_account_counts(site: Site, address: str) -> None:
    for number in range(200):
        assert not site.wrong(f"user{number}", address)
    for _ in range(10):
        site.wrong("ann", address)
    assert site.wait("ann", address) and not site.wait("bob", address)


# -- an account that many addresses guess at -------------------------------------------------------------------------


def test_the_owner_is_let_in_at_once_wherever_others_guess_from(site: Site) -> None:
    site.right(address=HOME)
    site.besiege()
    site.right(address=HOME)
    site.right(address=DESK)  # where she has never been


def test_newcomers_have_one_guess_while_an_account_is_besieged(site: Site) -> None:
    site.besiege()
    assert not site.wrong(address=DESK)
    assert site.wrong(address=DESK) == 30
    assert not site.wrong("bob", DESK)


def test_where_the_owner_has_logged_in_before_mistakes_stay_free(site: Site) -> None:
    site.right(address=HOME)
    site.besiege()
    assert [site.wrong(address=HOME) for _ in range(9)] == [0.0] * 9


def test_a_delay_does_not_tell_who_has_logged_in_from_there(site: Site) -> None:
    site.right("ann", HOME)
    assert [site.wrong("ann", HOME) for _ in range(12)] == [site.wrong("nobody", HOME) for _ in range(12)]


def test_a_siege_ends(site: Site) -> None:
    site.besiege()
    site.now += 3600
    assert [site.wrong(address=DESK) for _ in range(9)] == [0.0] * 9


# -- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::1"),
        ("fd00::1", "fd00::1"),
        ("::1", "::1"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_whose_guesses_are_counted_together(address: str, network: str) -> None:
    assert network_of(address) == network


def test_an_ipv6_guesser_does_not_begin_anew_with_each_of_his_addresses(site: Site) -> None:
    for number in range(9):
        site.wrong(address=f"2001:db8::{number:x}")
    assert site.wait(address="2001:db8::ffff:1")


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_the_tables_are_bounded_and_the_longest_untouched_falls_out() -> None:
    site = Site(limit=100)
    for _ in range(12):
        site.wrong("ann", CAFE)
    for number in range(99):
        site.right(f"friend{number}", f"10.0.0.{number}")
        site.delays.begin(f"user{number}", f"10.0.1.{number}", site.now)
    assert site.wait("ann", CAFE)
    for number in range(1000):
        site.delays.begin(f"user{number}", f"10.1.{number // 250}.{number % 250}", site.now)
    delays = site.delays
    assert len(delays._pairs) == len(delays._networks) == len(delays._accounts) == 100
    assert len(delays._known) <= 100
