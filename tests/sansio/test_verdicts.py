"""Every case of the table, however TCP cut it, whatever came behind it, and whatever the head memo remembers."""

from __future__ import annotations

from zlib import crc32

import pytest

from reactor.sansio.http1 import CLIENT, CLOSED, NEED_DATA, PAUSED, SERVER, Limits, Signal

from .cases import CASES, REQUESTS, Case, get
from .feeding import Asked, Verdict, cuttings, drive, makers

# Two pieces in every possible way are quadratic work; long cases get the other cuttings only.
SHORT = 300

NEXT = get("X-Next: 1")


def named(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[f"{case.role.value}: {case.name}" for case in cases])


def verdict_of(case: Case) -> Verdict:
    return drive(makers(case.role, case.raw, case.limits, case.method)[first_maker(case)](), [case.raw], eof=case.eof)


def first_maker(case: Case) -> str:
    return "no memo" if case.role is SERVER else "client"


@named(CASES)
def test_the_verdict_is_that_of_the_table(case: Case) -> None:
    verdict = verdict_of(case)
    if case.events is None:
        assert verdict.end == case.status
    else:
        assert not isinstance(verdict.end, int), f"refused with {verdict.end}"
        assert verdict.events == case.events


@named(CASES)
def test_the_verdict_depends_neither_on_cuts_nor_on_the_memo(case: Case) -> None:
    expected = verdict_of(case)
    short = len(case.raw) <= SHORT
    for kind, make in makers(case.role, case.raw, case.limits, case.method).items():
        for pieces in cuttings(case.raw, every_pair=short and kind != "tiny memo", seed=crc32(case.name.encode())):
            assert drive(make(), pieces, eof=case.eof) == expected, (kind, pieces)


def test_no_two_cases_have_one_name() -> None:
    names = [(case.role, case.name) for case in CASES]
    assert len(set(names)) == len(names)


WITHOUT_END = tuple(case for case in REQUESTS if not case.eof and not case.partial)


@named(WITHOUT_END)
def test_what_comes_behind_changes_no_verdict(case: Case) -> None:
    expected = verdict_of(case)
    for trailing in (NEXT, b"\x00\xff" * 20, b"\r", b"A" * 200):
        raw = case.raw + trailing
        for make in makers(case.role, raw, case.limits).values():
            for pieces in cuttings(raw):
                verdict = drive(make(), pieces)
                assert verdict.events[: len(expected.events)] == expected.events
                assert verdict.end == how_it_goes_on(expected, trailing, case.limits)


def how_it_goes_on(verdict: Verdict, trailing: bytes, limits: Limits) -> Signal | int:
    if verdict.end is not NEED_DATA:  # refused, or the last exchange of its connection
        return verdict.end
    if trailing[:1] == b"\x00":
        return 400
    if len(trailing) > limits.line + 1:
        return 414
    return NEED_DATA


@named(tuple(case for case in WITHOUT_END if case.events is not None))
def test_the_next_request_is_read_where_this_one_ended(case: Case) -> None:
    expected = verdict_of(case)
    verdict = drive(makers(SERVER, b"", case.limits)["no memo"](), [case.raw + NEXT])
    if expected.end is NEED_DATA:
        assert verdict.events == (*expected.events, Asked())
    else:
        assert verdict.end is CLOSED_SIGNAL and verdict.events == expected.events


CLOSED_SIGNAL = Signal.CLOSED


@named(tuple(case for case in CASES if case.role is CLIENT and case.events is not None and not case.eof))
def test_what_comes_behind_an_answer_was_not_asked_for(case: Case) -> None:
    expected = verdict_of(case)
    for make in makers(CLIENT, case.raw, case.limits, case.method).values():
        connection = make()
        for pieces in cuttings(case.raw + b"\r\n"):
            connection = make()
            verdict = drive(connection, pieces)
            assert verdict.events == expected.events
            assert verdict.end == (502 if expected.end is NEED_DATA else expected.end)
            assert (verdict.end == 502) or connection.theirs is CLOSED or verdict.end is PAUSED
