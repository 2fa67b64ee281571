"""Where one message ends and the next begins: whatever TCP does to the bytes, the texts are the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.errors import FrameError
from peer.framing import LONGEST, Framer

run = settings(derandomize=True, deadline=None, max_examples=200)

# What is fed, and what comes out: texts, and the code of the error that ends it.
OBJECTS: dict[str, tuple[bytes, list[bytes | str]]] = {
    "nothing": (b"", []),
    "white space": (b" \r\n\t\n", []),
    "an empty object": (b"{}", [b"{}"]),
    "an object": (b'{"type":"ping","n":1}', [b'{"type":"ping","n":1}']),
    "half an object": (b'{"type":"ping"', []),
    "objects in an object": (b'{"a":{"b":{},"c":{}}}', [b'{"a":{"b":{},"c":{}}}']),
    "objects in an array": (b'{"a":[{},{"b":1}]}', [b'{"a":[{},{"b":1}]}']),
    "two without anything between": (b'{"a":1}{"b":2}', [b'{"a":1}', b'{"b":2}']),
    "white space around": (b'\r\n {"a":1}\n\n\t{"b":2} \n', [b'{"a":1}', b'{"b":2}']),
    "a line feed within": (b'{\n"a": 1\n}\n{}', [b'{\n"a": 1\n}', b"{}"]),
    "braces in a string": (b'{"a":"}{"}{"b":"{"}', [b'{"a":"}{"}', b'{"b":"{"}']),
    "an escaped quote": (rb'{"a":"\"}"}{}', [rb'{"a":"\"}"}', b"{}"]),
    "an escaped backslash ends a string": (rb'{"a":"\\"}{"b":"}"}', [rb'{"a":"\\"}', b'{"b":"}"}']),
    "two backslashes and a quote": (rb'{"a":"\\\"}"}{}', [rb'{"a":"\\\"}"}', b"{}"]),
    "an escaped brace": (rb'{"a":"\u007d\}"}{}', [rb'{"a":"\u007d\}"}', b"{}"]),
    "a brace in a name": (b'{"}":1}{}', [b'{"}":1}', b"{}"]),
    "more than ASCII": ('{"a":"é}"}{"b":"𐍈"}'.encode(), ['{"a":"é}"}'.encode(), '{"b":"𐍈"}'.encode()]),
    "a letter": (b"GET / HTTP/1.1\r\n\r\n", ["bad_json"]),
    "a TLS hello": (b"\x16\x03\x01", ["bad_json"]),
    "an array": (b"[{}]", ["bad_json"]),
    "a closing brace": (b"}", ["bad_json"]),
    "a byte order mark": (b"\xef\xbb\xbf{}", ["bad_json"]),
    "rubbish behind an object": (b'{"a":1}x{"b":2}', [b'{"a":1}', "bad_json"]),
}
LINES: dict[str, tuple[bytes, list[bytes | str]]] = {
    "nothing": (b"", []),
    "an object": (b'{"a":1}\n', [b'{"a":1}\n']),
    "no line feed yet": (b'{"a":1}', []),
    "two": (b'{"a":1}\n{"b":2}\n', [b'{"a":1}\n', b'{"b":2}\n']),
    "empty lines": (b'\n\r\n \t\n{"a":1}\n\n', [b'{"a":1}\n']),
    "carriage returns": (b'{"a":1}\r\n{}\r\n', [b'{"a":1}\r\n', b"{}\r\n"]),
    "an object that does not end": (b'{"a":"\n{}\n', [b'{"a":"\n', b"{}\n"]),
    "two objects": (b"{}{}\n", [b"{}{}\n"]),
    "no object": (b"hello\n[]\n", [b"hello\n", b"[]\n"]),
}
CASES = [(False, name) for name in OBJECTS] + [(True, name) for name in LINES]


def case(by_lines: bool, name: str) -> tuple[bytes, list[bytes | str]]:
    return (LINES if by_lines else OBJECTS)[name]


def read(pieces: Iterable[bytes], *, by_lines: bool = False, then_lines: bool = False) -> list[bytes | str]:
    framer, found = Framer(), list[bytes | str]()
    framer.by_lines = by_lines
    for piece in pieces:
        framer.feed(piece)
        try:
            while (text := framer.next()) is not None:
                found.append(text)
                framer.by_lines = by_lines or then_lines
        except FrameError as error:
            return [*found, error.code]
    return found


def bytes_of(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


def cut(raw: bytes, chance: Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(raw) + 1) for _ in range(chance.randrange(5)))
    return [raw[start:end] for start, end in pairwise([0, *cuts, len(raw)]) if start < end]


@pytest.mark.parametrize(("by_lines", "name"), CASES)
def test_a_case_fed_whole(by_lines: bool, name: str) -> None:
    raw, expected = case(by_lines, name)
    assert read([raw], by_lines=by_lines) == expected


@pytest.mark.parametrize(("by_lines", "name"), CASES)
def test_a_case_fed_byte_by_byte(by_lines: bool, name: str) -> None:
    raw, expected = case(by_lines, name)
    assert read(bytes_of(raw), by_lines=by_lines) == expected


@pytest.mark.parametrize(("by_lines", "name"), CASES)
def test_a_case_fed_at_random_cuts(by_lines: bool, name: str) -> None:
    raw, expected = case(by_lines, name)
    chance = Random(name)
    for _ in range(50):
        assert read(cut(raw, chance), by_lines=by_lines) == expected


@pytest.mark.parametrize(("by_lines", "name"), CASES)
def test_a_case_ten_times_in_one_packet(by_lines: bool, name: str) -> None:
    raw, expected = case(by_lines, name)
    if not expected or isinstance(expected[-1], str) or raw[-1:] not in b"\n}":
        return
    assert read([10 * raw], by_lines=by_lines) == 10 * expected


def test_the_first_text_is_taken_by_its_braces_and_lines_begin_behind_it() -> None:
    raw = b'{"v":1}\n{"a":"\n{}\n{}{}\n'
    expected = [b'{"v":1}', b'{"a":"\n', b"{}\n", b"{}{}\n"]
    assert read([raw], then_lines=True) == expected
    assert read(bytes_of(raw), then_lines=True) == expected


def test_a_first_text_without_a_line_feed_is_taken_at_once() -> None:
    """Who waits for a line feed would never hear the handshake of an original peer."""
    framer = Framer()
    framer.feed(b'{"type":"handshake"}')
    assert framer.next() == b'{"type":"handshake"}'


# -- limits ------------------------------------------------------------------------------------------------------------


def object_of(size: int) -> bytes:
    return b'{"a":"' + (size - 8) * b"x" + b'"}'


@pytest.mark.parametrize("pieces", [lambda raw: [raw], bytes_of], ids=["whole", "byte by byte"])
class TestLimits:
    def test_a_line_of_65536_bytes_with_its_line_feed_is_taken(self, pieces: Callable[[bytes], list[bytes]]) -> None:
        line = object_of(LONGEST - 1) + b"\n"
        assert len(line) == LONGEST == 65_536
        assert read(pieces(line + b"{}\n"), by_lines=True) == [line, b"{}\n"]

    def test_a_line_of_65537_bytes_is_not(self, pieces: Callable[[bytes], list[bytes]]) -> None:
        assert read(pieces(object_of(LONGEST) + b"\n"), by_lines=True) == ["too_long"]

    def test_an_object_of_65536_bytes_is_taken(self, pieces: Callable[[bytes], list[bytes]]) -> None:
        assert read(pieces(object_of(LONGEST) + b"{}")) == [object_of(LONGEST), b"{}"]

    def test_an_object_of_65537_bytes_is_not(self, pieces: Callable[[bytes], list[bytes]]) -> None:
        assert read(pieces(object_of(LONGEST + 1))) == ["too_long"]

    def test_what_comes_before_a_text_that_is_too_long_is_taken(self, pieces: Callable[[bytes], list[bytes]]) -> None:
        long = object_of(LONGEST + 1)
        assert read(pieces(b"{}" + long)) == [b"{}", "too_long"]
        assert read(pieces(b"{}\n" + long + b"\n"), by_lines=True) == [b"{}\n", "too_long"]


@pytest.mark.parametrize("by_lines", [False, True])
def test_a_text_without_an_end_is_refused_when_it_cannot_end_in_time_any_more(by_lines: bool) -> None:
    framer = Framer()
    framer.by_lines = by_lines
    framer.feed(b'{"a":"' + (LONGEST - 7) * b"x")
    assert framer.next() is None
    framer.feed(b"xx")
    with pytest.raises(FrameError):
        framer.next()


@pytest.mark.parametrize("by_lines", [False, True])
def test_a_text_that_was_refused_stays_refused(by_lines: bool) -> None:
    framer = Framer()
    framer.by_lines = by_lines
    framer.feed(object_of(LONGEST + 2))
    for _ in range(2):
        with pytest.raises(FrameError, match="65536"):
            framer.next()


# -- what holds for all objects ----------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.integers() | st.text('{}[]"\\\nnué𐍈', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('{}"\\a', max_size=3), inner, max_size=3),
    max_leaves=8,
)
DICTS = st.lists(st.dictionaries(st.text('{}"\\a', max_size=3), VALUES, max_size=3), max_size=5)


@run
@given(DICTS, st.randoms(use_true_random=False), st.booleans())
def test_objects_come_out_as_they_went_in(objects: list[object], chance: Random, ascii_only: bool) -> None:
    texts = [json.dumps(one, ensure_ascii=ascii_only).encode() for one in objects]
    raw = b"".join(text + chance.choice([b"", b" ", b"\n", b"\r\n"]) for text in texts)
    assert read([raw]) == read(bytes_of(raw)) == read(cut(raw, chance)) == texts
    lines = [text + b"\n" for text in texts]
    assert read(cut(b"".join(lines), chance), by_lines=True) == lines


@run
@given(st.binary(max_size=60) | st.text('{}"\\ \na', max_size=60).map(str.encode), st.randoms(use_true_random=False),
       st.booleans())  # fmt: skip
def test_a_verdict_does_not_depend_on_the_cuts(raw: bytes, chance: Random, by_lines: bool) -> None:
    assert read(cut(raw, chance), by_lines=by_lines) == read([raw], by_lines=by_lines)


# -- time --------------------------------------------------------------------------------------------------------------


def bytewise(raw: bytes, by_lines: bool = False) -> Callable[[], object]:
    return lambda: read(bytes_of(raw), by_lines=by_lines)


def whole(raw: bytes, by_lines: bool = False) -> Callable[[], object]:
    return lambda: read([raw], by_lines=by_lines)


LINEAR: dict[str, tuple[int, Callable[[int], Callable[[], object]]]] = {
    "an object byte by byte": (10_000, lambda n: bytewise(object_of(n))),
    "a line byte by byte": (10_000, lambda n: bytewise(object_of(n), by_lines=True)),
    "quotes byte by byte": (4_000, lambda n: bytewise(b"{" + n * b'"}"' + b"}")),
    "backslashes byte by byte": (10_000, lambda n: bytewise(b'{"' + n * b"\\")),
    "braces": (16_000, lambda n: whole(n * b"{" + n * b"}")),
    "white space byte by byte": (10_000, lambda n: bytewise(n * b" ")),
    "small objects in one packet": (20_000, lambda n: whole(n * b"{}")),
    "small lines in one packet": (20_000, lambda n: whole(n * b"{}\n", by_lines=True)),
    "empty lines in one packet": (20_000, lambda n: whole(n * b"\n", by_lines=True)),
}


def best(function: Callable[[], object]) -> float:
    times = []
    for _ in range(4):
        start = process_time()
        function()
        times.append(process_time() - start)
    return min(times)


@pytest.mark.parametrize("name", LINEAR)
def test_twice_the_input_takes_about_twice_the_time(name: str) -> None:
    size, make = LINEAR[name]
    once, twice = make(size), make(2 * size)
    ratios = []
    for _ in range(4):
        ratios.append(best(twice) / max(best(once), 1e-5))
        if ratios[-1] < 3:
            return
    raise AssertionError(f"{name}: {ratios}")


def test_a_packet_of_nothing_costs_nearly_nothing() -> None:
    """It is gone through in one go, and nobody else has a turn meanwhile."""
    count = 100_000
    assert best(whole(count * b"\n", by_lines=True)) < best(whole(count * b"{}\n", by_lines=True)) / 5


def test_a_byte_costs_the_same_late_in_an_object_as_early() -> None:
    def cost(before: int) -> float:
        framer = Framer()
        framer.feed(b'{"a":"' + before * b"x")
        framer.next()

        def more() -> None:
            for _ in range(200):
                framer.feed(b"x")
                framer.next()

        return best(more)

    ratios = [cost(60_000) / cost(600) for _ in range(4)]
    assert min(ratios) < 6, ratios
