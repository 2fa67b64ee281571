"""A body between the connection that feeds it and the task that reads it: nothing is lost, nothing is made up."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from reactor.core.task import Cancelled, Task, timeout
from reactor.errors import HTTPError, RemoteProtocolError
from reactor.http.body import HIGH_WATER, BodyStream
from reactor.http.message import Request
from reactor.sansio.head import CHUNKED, RequestHead
from reactor.sansio.headers import Headers
from reactor.testing import FakeReactor


class Sender:
    """The connection's side."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.paused = False

    def body_wanted(self) -> None:
        pass

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False

    def start(self, coroutine: Any) -> Task[Any]:
        task = self.reactor.spawn(coroutine)
        self.reactor.settle()
        return task

    def request(self, limit: int | None = None) -> tuple[Request, BodyStream]:
        stream = BodyStream(self, limit)
        return Request(RequestHead("POST", "/", Headers(), length=CHUNKED), "", {}, stream), stream


@pytest.fixture
def sender() -> Sender:
    return Sender()


def assert_too_large(task: Task[Any]) -> None:
    assert isinstance(task.error, HTTPError)
    assert task.error.status == 413


@pytest.mark.parametrize("again", [3, None, 100])
@pytest.mark.parametrize("complete", [False, True])
def test_a_body_that_was_too_large_for_a_read_is_so_for_the_next(
    sender: Sender, again: int | None, complete: bool
) -> None:
    request, stream = sender.request()
    stream.feed(b"0123")
    if complete:
        stream.feed(b"456789")
        stream.finish(Headers())
    assert_too_large(sender.start(request.read(3)))
    assert_too_large(sender.start(request.read(again)))
    if not complete:
        with pytest.raises(HTTPError):  # the connection hears it too, and reads no more of it
            stream.feed(b"456789")
        assert_too_large(sender.start(request.read(again)))


def test_what_comes_after_a_failure_is_not_read_as_the_body(sender: Sender) -> None:
    request, stream = sender.request()
    stream.feed(b"first")
    stream.fail(HTTPError(408, "too slow"))
    with pytest.raises(HTTPError, match="too slow"):
        stream.feed(b"second")
    assert isinstance(sender.start(request.read()).error, HTTPError)


def test_a_cancelled_read_loses_nothing(sender: Sender) -> None:
    request, stream = sender.request()
    stream.feed(b"one ")
    first = sender.start(request.read())
    stream.feed(b"two ")
    sender.reactor.settle()
    first.cancel()
    sender.reactor.settle()
    assert isinstance(first.error, Cancelled)
    stream.feed(b"three")
    stream.finish(Headers())
    assert sender.start(request.read()).result() == b"one two three"


def test_a_read_that_took_too_long_loses_nothing_for_chunks_either(sender: Sender) -> None:
    async def impatient() -> list[bytes]:
        with pytest.raises(TimeoutError):
            async with timeout(1):
                await stream.read()
        return [piece async for piece in stream.chunks()]

    _, stream = sender.request()
    stream.feed(b"one ")
    task = sender.start(impatient())
    sender.reactor.advance(2)
    stream.feed(b"two")
    stream.finish(Headers())
    sender.reactor.settle()
    assert task.result() == [b"one ", b"two"]


def test_a_read_that_is_given_up_keeps_the_back_pressure(sender: Sender) -> None:
    _, stream = sender.request()
    first = sender.start(stream.read())
    for _ in range(3):
        stream.feed(b"x" * HIGH_WATER)
        sender.reactor.settle()
    first.cancel()
    sender.reactor.settle()
    stream.feed(b"x")
    assert sender.paused
    stream.finish(Headers())
    assert len(sender.start(stream.read()).result()) == 3 * HIGH_WATER + 1
    assert not sender.paused


def test_a_body_that_was_read_is_held_to_a_later_limit(sender: Sender) -> None:
    request, stream = sender.request()
    stream.feed(b"0123456789")
    stream.finish(Headers())
    assert sender.start(request.read()).result() == b"0123456789"
    assert_too_large(sender.start(request.read(3)))
    assert sender.start(request.read(10)).result() == b"0123456789"
    assert request.body == b"0123456789"


@pytest.mark.parametrize("how", [lambda stream: stream.read(3), lambda stream: stream.read()])
def test_who_owns_a_body_says_what_too_large_is(sender: Sender, how: Callable[[BodyStream], Any]) -> None:
    stream = BodyStream(sender, 5, too_large=lambda limit: RemoteProtocolError(f"over {limit}", 502))
    task = sender.start(how(stream))
    try:
        stream.feed(b"0123456789")
    except RemoteProtocolError as error:
        assert error.status == 502
    sender.reactor.settle()
    assert isinstance(task.error, RemoteProtocolError)


def test_the_trailers_of_a_request_are_there_when_its_body_has_been_read(sender: Sender) -> None:
    request, stream = sender.request()
    assert len(request.trailers) == 0
    stream.feed(b"a")
    stream.finish(Headers([("x-sum", "1")]))
    sender.start(request.read())
    assert request.trailers["X-Sum"] == "1"
    assert len(Request(RequestHead("GET", "/", Headers()), "", {}).trailers) == 0


PIECES = 100_000


@pytest.mark.alone
def test_a_body_in_tiny_pieces_takes_no_more_than_its_bytes_do(sender: Sender) -> None:
    """Whoever sends chunks of two bytes would else take twenty times as much of our memory as of the network."""
    request, stream = sender.request()
    task = sender.start(request.read())
    tracemalloc.start()
    for number in range(PIECES):
        stream.feed(b"%02d" % (number % 100))
        sender.reactor.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stream.finish(Headers())
    sender.reactor.settle()
    assert task.result() == b"".join(b"%02d" % (number % 100) for number in range(PIECES))
    assert peak < 4 * 2 * PIECES


def test_a_read_of_many_pieces_that_is_cancelled_loses_nothing(sender: Sender) -> None:
    request, stream = sender.request()
    task = sender.start(request.read())
    for number in range(1000):
        stream.feed(b"%03d" % number)
        sender.reactor.settle()
    task.cancel()
    sender.reactor.settle()
    stream.finish(Headers())
    assert sender.start(request.read()).result() == b"".join(b"%03d" % number for number in range(1000))
