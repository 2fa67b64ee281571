"""The two ends of a stream, and the bucket that paces it; and all of it together, whatever the network does."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peer.delivery.inbox import LARGEST_GAP, REFUSALS, Inbox
from peer.delivery.outbox import KEEP_SECONDS, MOST, Outbox, by_recipient
from peer.errors import FrameError
from peer.flood import Bucket
from peer.messages import Have, Refusal
from peer.storage.store import Copy, Entry, Mark

run = settings(derandomize=True, deadline=None, max_examples=300)


def copy_of(seq: int, made_at: float = 0.0, recipient: str = "bob") -> Copy:
    entry = Entry(f"ann:e0:{seq}", "ann", "Ann", "direct", recipient, f"m{seq}", seq, seq, "")
    return Copy(entry, recipient, seq, made_at)


def post(outbox: Outbox, made_at: float = 0.0) -> Copy:
    copy = copy_of(outbox.reserve(), made_at)
    outbox.add(copy)
    return copy


def send_all(outbox: Outbox) -> list[int]:
    sent = []
    while (copy := outbox.peek()) is not None:
        sent.append(copy.seq)
        outbox.sent()
    return sent


def seqs(copies: list[Copy]) -> list[int]:
    return [copy.seq for copy in copies]


# -- the inbox ---------------------------------------------------------------------------------------------------------


def test_of_a_new_stream_everything_is_new() -> None:
    inbox = Inbox()
    assert inbox.have is None
    inbox.begin("e0")
    assert inbox.have == Have("e0", 0)
    assert inbox.is_new(1)


def test_what_was_taken_is_not_taken_again_and_what_was_passed_over_neither() -> None:
    inbox = Inbox(Mark("e0", 3))
    inbox.begin("e0")
    assert not inbox.is_new(3) and inbox.is_new(4) and inbox.is_new(9)
    inbox.take(7)
    assert not inbox.is_new(5) and not inbox.is_new(7) and inbox.is_new(8)


def test_only_what_is_safe_is_told() -> None:
    inbox = Inbox(Mark("e0", 3))
    first, second = inbox.take(4), inbox.take(5)
    assert inbox.have == Have("e0", 3)
    inbox.saved(first)
    assert inbox.have == Have("e0", 4)
    inbox.saved(second)
    inbox.saved(first)  # a late one takes nothing back
    assert inbox.have == Have("e0", 5)


def test_what_could_not_be_kept_may_come_again() -> None:
    inbox = Inbox(Mark("e0", 3))
    inbox.saved(inbox.take(4))
    inbox.take(5)
    inbox.take(6)
    inbox.give_back()
    assert not inbox.is_new(4) and inbox.is_new(5)


def test_another_epoch_is_another_stream_and_the_same_one_goes_on() -> None:
    inbox = Inbox(Mark("e0", 3, ((2, "flood"),)))
    inbox.begin("e0")
    assert inbox.have == Have("e0", 3, (Refusal(2, "flood"),))
    late = inbox.take(4)
    inbox.begin("e1")
    assert inbox.have == Have("e1", 0) and inbox.is_new(1)
    inbox.saved(late)  # of the old stream
    assert inbox.have == Have("e1", 0)


def test_refusals_are_remembered_with_the_mark_behind_them() -> None:
    inbox = Inbox(Mark("e0", 0))
    marks = [inbox.take(1, "flood"), inbox.take(2), inbox.take(3, "muted")]
    assert marks == [
        Mark("e0", 1, ((1, "flood"),)), Mark("e0", 2, ((1, "flood"),)), Mark("e0", 3, ((1, "flood"), (3, "muted"))),
    ]  # fmt: skip
    inbox.saved(marks[1])
    assert inbox.have == Have("e0", 2, (Refusal(1, "flood"),))
    inbox.give_back()
    assert inbox.take(3).refused == ((1, "flood"),)


def test_refusals_are_remembered_as_far_back_as_a_sender_may_ask_and_no_further() -> None:
    assert REFUSALS >= MOST
    inbox = Inbox(Mark("e0", 0))
    for seq in range(1, 1001):
        mark = inbox.take(seq, "flood")
    assert len(mark.refused) == REFUSALS
    assert mark.refused[-1] == (1000, "flood") and mark.refused[0] == (1000 - REFUSALS + 1, "flood")
    assert inbox.take(2000, "muted").refused == ((2000, "muted"),)


# -- the outbox --------------------------------------------------------------------------------------------------------


def test_numbers_begin_at_one_and_only_grow() -> None:
    outbox = Outbox()
    assert [post(outbox).seq for _ in range(3)] == [1, 2, 3]
    send_all(outbox)
    outbox.acknowledge(3)
    assert outbox.is_empty and post(outbox).seq == 4


def test_what_is_left_from_before_a_restart_goes_on() -> None:
    outbox = Outbox(9, [copy_of(4), copy_of(7)])
    assert len(outbox) == 2 and outbox.last_seq == 9
    assert post(outbox).seq == 10
    assert send_all(outbox) == [4, 7, 10]


def test_the_copies_say_which_numbers_were_used_if_nobody_else_does() -> None:
    assert Outbox(0, [copy_of(4), copy_of(7)]).last_seq == 7


def test_a_reserved_number_is_not_sent_before_it_is_safe() -> None:
    outbox = Outbox()
    first, second = outbox.reserve(), outbox.reserve()
    assert outbox.peek() is None and not outbox.is_empty and len(outbox) == 0
    outbox.add(copy_of(first))
    assert send_all(outbox) == [first]
    outbox.add(copy_of(second))
    assert send_all(outbox) == [second]


def test_a_number_that_could_not_be_made_safe_is_never_used() -> None:
    outbox = Outbox()
    outbox.reserve()
    outbox.drop_reserved()
    assert outbox.is_empty and post(outbox).seq == 2


def test_it_is_full_with_a_hundred_reserved_ones_included() -> None:
    outbox = Outbox()
    for _ in range(MOST - 1):
        post(outbox)
    assert MOST == 100 and not outbox.is_full
    outbox.reserve()
    assert outbox.is_full
    outbox.drop_reserved()
    assert not outbox.is_full


def test_on_another_link_sending_begins_at_the_first_that_is_not_acknowledged() -> None:
    outbox = Outbox()
    for _ in range(4):
        post(outbox)
    assert send_all(outbox) == [1, 2, 3, 4] and outbox.in_flight == 4
    outbox.acknowledge(2)
    assert outbox.in_flight == 2
    outbox.rewind()
    assert outbox.in_flight == 0 and send_all(outbox) == [3, 4]


def test_an_acknowledgement_is_cumulative_and_settles_each_copy_once() -> None:
    outbox = Outbox()
    for _ in range(4):
        post(outbox)
    send_all(outbox)
    assert seqs(outbox.acknowledge(3)) == [1, 2, 3]
    assert outbox.acknowledge(3) == outbox.acknowledge(1) == []
    assert seqs(outbox.acknowledge(4)) == [4] and outbox.is_empty


def test_what_the_other_side_has_is_not_sent_again() -> None:
    outbox = Outbox()
    for _ in range(4):
        post(outbox)
    send_all(outbox)
    assert seqs(outbox.had(2)) == [1, 2] and not outbox.realign(2)
    outbox.rewind()
    assert send_all(outbox) == [3, 4]


def test_what_was_never_sent_is_not_there_whatever_the_other_side_says() -> None:
    outbox = Outbox()
    for _ in range(3):
        post(outbox)
    outbox.sent()
    assert seqs(outbox.acknowledge(3)) == [1] and not outbox.acknowledge(2**53)
    assert not outbox.refuse(3)
    outbox.sent()
    assert seqs(outbox.had(3)) == [2] and not outbox.realign(3)
    assert seqs(outbox.take_misnumbered()) == [3], "it would be taken for seen"
    assert outbox.reserve() == 4


def test_numbers_that_the_other_side_has_and_we_do_not_know_are_not_used_again() -> None:
    """The data directory was put back to an older state."""
    outbox = Outbox(5, [copy_of(5)])
    assert not outbox.had(40) and outbox.realign(40)
    assert seqs(outbox.take_misnumbered()) == [5] and outbox.is_empty
    assert post(outbox).seq == 41


def test_a_number_that_is_overtaken_before_it_is_safe_is_not_used() -> None:
    outbox = Outbox()
    seq = outbox.reserve()
    assert outbox.realign(40) and not outbox.add(copy_of(seq))
    assert outbox.is_empty and outbox.reserve() == 41


def test_a_stream_that_the_other_side_has_lost_begins_again_where_it_is() -> None:
    """It would not believe a number so far ahead."""
    outbox = Outbox(5_000_000, [copy_of(5_000_000)])
    assert not outbox.had(7) and outbox.realign(7)
    assert seqs(outbox.take_misnumbered()) == [5_000_000]
    assert post(outbox).seq == 8


def test_no_number_is_given_twice_when_the_count_goes_back() -> None:
    """It ran ahead, as somebody who took the other's name said once that it had millions of ours."""
    outbox = Outbox(1_000_003, [copy_of(7), copy_of(1_000_002)])
    early, late = outbox.reserve(), outbox.reserve()
    assert not outbox.had(4) and outbox.realign(4)
    assert seqs(outbox.take_misnumbered()) == [7, 1_000_002]
    again = [outbox.reserve(), outbox.reserve()]
    assert not outbox.add(copy_of(early)) and not outbox.add(copy_of(late)), "these are numbered anew as well"
    assert again == [5, 6] and outbox.add(copy_of(5)) and outbox.add(copy_of(6))
    assert post(outbox).seq == 7 and send_all(outbox) == [5, 6, 7]


def test_before_the_first_link_any_number_of_ours_is_good() -> None:
    outbox = Outbox(5_000_000)
    assert post(outbox).seq == 5_000_001


def test_of_one_link_a_bounded_count_of_numbers_may_be_left_out() -> None:
    inbox = Inbox()
    inbox.begin("e0")
    inbox.take(LARGEST_GAP // 2)
    inbox.take(LARGEST_GAP)
    with pytest.raises(FrameError, match="too far ahead"):
        inbox.take(LARGEST_GAP + 1_000)
    assert inbox.is_new(LARGEST_GAP + 1)
    inbox.begin("e0")
    inbox.take(LARGEST_GAP + 1_000)


def test_a_refusal_settles_one_copy_wherever_it_is() -> None:
    outbox = Outbox()
    for _ in range(5):
        post(outbox)
    outbox.sent()
    outbox.sent()
    assert seqs(outbox.refuse(1)) == [1] and outbox.in_flight == 1
    assert seqs(outbox.give_up(4)) == [4] and outbox.in_flight == 1
    assert outbox.refuse(4) == outbox.give_up(77) == []
    assert send_all(outbox) == [3, 5] and outbox.in_flight == 3


def test_what_has_waited_for_a_day_expires() -> None:
    outbox = Outbox()
    post(outbox, 0)
    post(outbox, 10)
    post(outbox, 20)
    outbox.sent()
    assert outbox.expire(KEEP_SECONDS) == []
    assert seqs(outbox.expire(KEEP_SECONDS + 15)) == [1, 2]
    assert send_all(outbox) == [3] and outbox.in_flight == 1


def test_a_clock_that_was_set_back_makes_nothing_expire() -> None:
    outbox = Outbox()
    post(outbox, 1000.0)
    assert outbox.expire(0.0) == []


def test_copies_are_sorted_by_recipient_and_keep_their_order() -> None:
    copies = [copy_of(1, recipient="bob"), copy_of(2, recipient="cay"), copy_of(3, recipient="bob")]
    assert {name: seqs(found) for name, found in by_recipient(copies).items()} == {"bob": [1, 3], "cay": [2]}


# -- the bucket --------------------------------------------------------------------------------------------------------


def test_so_many_at_once_and_then_so_many_a_second() -> None:
    bucket = Bucket(5, 2.0, 100.0)
    assert [bucket.take(100.0) for _ in range(7)] == 5 * [True] + 2 * [False]
    assert bucket.wait(100.0) == 0.5
    assert not bucket.take(100.4)
    assert bucket.take(100.5) and not bucket.take(100.5)
    assert [bucket.take(102.0) for _ in range(4)] == [True, True, True, False]


def test_a_pause_saves_no_more_than_the_burst() -> None:
    bucket = Bucket(5, 2.0, 0.0)
    assert sum(bucket.take(1e6) for _ in range(100)) == 5


def test_without_a_rate_there_is_no_limit() -> None:
    bucket = Bucket(0, 0.0, 0.0)
    assert all(bucket.take(0.0) for _ in range(1000)) and bucket.wait(0.0) == 0.0


def test_a_token_that_was_taken_for_nothing_can_be_put_back_and_no_more_than_there_were() -> None:
    bucket = Bucket(2, 1.0, 0.0)
    assert bucket.take(0.0) and bucket.take(0.0)
    for _ in range(3):
        bucket.put_back()
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    bucket = Bucket(2, 1.0, 100.0)
    assert bucket.take(50.0) and bucket.take(50.0) and not bucket.take(50.0)


@run
@given(st.floats(0, 1e7), st.lists(st.floats(0, 3), max_size=20), st.floats(0.01, 50))
@example(1000.3, [0.1, 0.2, 0.3], 3.0)
def test_who_waits_as_long_as_told_gets_its_token(start: float, pauses: list[float], rate: float) -> None:
    """Whatever the rounding: or it would be told to wait for no time at all, again and again."""
    bucket, now = Bucket(3, rate, start), start
    for pause in pauses:
        now += pause
        while bucket.take(now):
            pass
        now += bucket.wait(now)
        assert bucket.take(now)


@run
@given(st.lists(st.floats(0, 3), max_size=50), st.floats(0.1, 10))
def test_never_more_than_the_burst_and_the_rate_allow(pauses: list[float], rate: float) -> None:
    bucket, now, taken = Bucket(5, rate, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += sum(bucket.take(now) for _ in range(8))
        assert taken <= 5 + now * rate + 0.01


# -- both ends together ------------------------------------------------------------------------------------------------

STEPS = ("post", "send", "send", "arrive", "arrive", "save", "ack", "ack arrives", "lose", "crash", "restart")


class Pair:
    """A sender, a receiver, and links between them that are lost with all that is on them."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.outbox, self.inbox = Outbox(), Inbox(Mark("e0", 0))
        self.disk = self.inbox.safe  # what a crash leaves to the receiver
        self.unsaved = deque[tuple[Mark, int]]()
        self.there, self.back = deque[int](), deque[int | Have]()
        self.shown: list[int] = []
        self.refused: set[int] = set()
        self.settled: dict[int, bool] = {}  # by number: whether it was delivered

    def step(self, what: str) -> None:
        getattr(self, what.replace(" ", "_"))()

    def post(self) -> None:
        if not self.outbox.is_full:
            post(self.outbox)

    def send(self) -> None:
        copy = self.outbox.peek()
        if copy is not None:
            self.outbox.sent()
            self.there.append(copy.seq)

    def arrive(self) -> None:
        if self.there and self.inbox.is_new(seq := self.there.popleft()):
            self.unsaved.append((self.inbox.take(seq, "flood" if seq % 5 == 0 else ""), seq))

    def save(self) -> None:
        """Shown when it is safe, and never before."""
        if self.unsaved:
            mark, seq = self.unsaved.popleft()
            self.disk = mark
            self.inbox.saved(mark)
            if seq % 5:
                self.shown.append(seq)
            else:
                self.refused.add(seq)

    def ack(self) -> None:
        have = self.inbox.have
        assert have is not None
        self.back.append(have)

    def ack_arrives(self) -> None:
        if self.back:
            self.hear(self.back.popleft())

    def hear(self, have: object) -> None:
        assert isinstance(have, Have)
        for refusal in have.refused:
            self.settle(self.outbox.refuse(refusal.seq), delivered=False)
        self.settle(self.outbox.acknowledge(have.upto), delivered=True)

    def settle(self, copies: list[Copy], *, delivered: bool) -> None:
        for copy in copies:
            assert copy.seq not in self.settled
            self.settled[copy.seq] = delivered

    def lose(self) -> None:
        """And come back: the greetings have gone both ways."""
        self.there.clear()
        self.back.clear()
        self.hear(self.inbox.have)
        self.outbox.rewind()

    def crash(self) -> None:
        """The receiver is new, and has what is on its disk."""
        self.unsaved.clear()
        self.inbox = Inbox(self.disk)
        self.lose()

    def restart(self) -> None:
        """The sender is."""
        self.outbox = Outbox(self.outbox.last_seq, list(self.outbox))
        self.lose()


@run
@given(st.lists(st.sampled_from(STEPS), max_size=150), st.integers())
def test_each_message_is_shown_once_in_order_or_told_to_be_refused(steps: list[str], seed: int) -> None:
    pair = Pair(Random(seed))
    for what in steps:
        pair.step(what)
    pair.lose()
    for what in ("send", "arrive", "save"):
        for _ in range(200):
            pair.step(what)
    pair.ack()
    pair.back = deque([pair.back[-1]])
    pair.ack_arrives()
    assert pair.outbox.is_empty
    assert pair.shown == [seq for seq in range(1, pair.outbox.last_seq + 1) if seq % 5]
    assert pair.settled == {seq: seq % 5 != 0 for seq in range(1, pair.outbox.last_seq + 1)}


@pytest.mark.parametrize("late", [0, 1])
def test_two_links_at_once_show_nothing_twice(late: int) -> None:
    outbox, inbox = Outbox(), Inbox(Mark("e0", 0))
    for _ in range(6):
        post(outbox)
    links = [send_all(outbox)]
    outbox.rewind()
    links.append(send_all(outbox))
    shown = []
    for seq in links[late][:4] + links[1 - late]:
        if inbox.is_new(seq):
            inbox.take(seq)
            shown.append(seq)
    assert shown == [1, 2, 3, 4, 5, 6]
