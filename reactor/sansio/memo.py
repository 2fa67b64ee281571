"""Remembering request heads: raw bytes -> parsed head.

Parsing is the dearest step of a small request, and clients on a kept connection send the same head again and again. A
head is immutable and depends on nothing but its bytes and the limits, so remembering it cannot change a verdict; what
was refused is never remembered.
"""

from __future__ import annotations

from reactor.errors import RemoteProtocolError
from reactor.sansio.head import Limits, RequestHead, ResponseHead, parse_request_head, parse_response_head


class HeadMemo:
    """A bounded memory of parsed request heads, in two generations: when the young one is full it becomes the old one,
    and what is asked for again moves up. So the common heads stay, and there is no bookkeeping per hit.

    A head is kept when it comes the second time; until then only its hash is. A flood of unique heads, which is what a
    query string with a counter makes, so leaves nothing behind that the memory would have to carry.
    """

    __slots__ = ("_old", "_room", "_seen", "entries", "largest", "limits", "size", "young")

    # A browser's head is about 1 KB; one over 4 KiB is dear to keep and rarely comes twice.
    LARGEST = 4 * 1024

    def __init__(self, limits: Limits, entries: int = 1024, size: int = 512 * 1024) -> None:
        """Keep at most `entries` heads and `size` raw bytes in each generation."""
        self.limits = limits
        self.entries = entries
        self.size = size
        self.largest = min(self.LARGEST, limits.line)
        self.young: dict[bytes, RequestHead] = {}
        self._old: dict[bytes, RequestHead] = {}
        self._seen: set[int] = set()
        self._room = size

    def parse(self, raw: bytes) -> RequestHead:
        """The head of these bytes, remembered or new. Raises as `parse_request_head` does."""
        return self.young.get(raw) or self._parse(raw)

    def _parse(self, raw: bytes) -> RequestHead:
        head = self._old.get(raw)
        if head is not None:
            self._remember(raw, head)
            return head
        head = parse_request_head(raw, self.limits)
        if self.entries and len(raw) <= self.largest:
            self._notice(raw, head)
        return head

    def parse_alone(self, data: bytes) -> RequestHead | None:
        """The head, if `data` is exactly one, short, good, and not in `young`. None for what wants a closer look."""
        size = len(data)
        if size > self.largest or data.find(b"\r\n\r\n") != size - 4:
            return None
        try:
            return self._parse(data)
        except RemoteProtocolError:
            return None

    def _notice(self, raw: bytes, head: RequestHead) -> None:
        seen = self._seen
        number = hash(raw)  # two heads of one hash only mean that one of them is kept a little early
        if number in seen:
            self._remember(raw, head)
        else:
            if len(seen) >= self.entries:
                seen.clear()
            seen.add(number)

    def _remember(self, raw: bytes, head: RequestHead) -> None:
        if len(self.young) >= self.entries or self._room < len(raw):
            self._old, self.young, self._room = self.young, {}, self.size
        self.young[raw] = head
        self._room -= len(raw)


class AnswerMemo:
    """The same for the heads of answers, for who asks a server again and again for the same things: heads without a
    cookie that came twice, until `entries` of them are there. Then it begins anew: an answer's Date lasts a second.
    """

    __slots__ = ("_heads", "_seen", "entries", "limits")

    LARGEST = 2 * 1024

    def __init__(self, limits: Limits | None = None, entries: int = 256) -> None:
        self.limits = limits or Limits()
        self.entries = entries
        self._heads: dict[bytes, ResponseHead] = {}
        self._seen: set[int] = set()

    def parse(self, raw: bytes) -> ResponseHead:
        """The head of these bytes, which answers no HEAD and no CONNECT. Raises as `parse_response_head` does."""
        return self._heads.get(raw) or self._parse(raw)

    def _parse(self, raw: bytes) -> ResponseHead:
        head = parse_response_head(raw, self.limits, "GET")
        if self.entries and len(raw) <= self.LARGEST and "set-cookie" not in head.headers.index:
            self._notice(raw, head)
        return head

    def _notice(self, raw: bytes, head: ResponseHead) -> None:
        number = hash(raw)
        if number in self._seen:
            if len(self._heads) >= self.entries:
                self._heads.clear()
            self._heads[raw] = head
        else:
            if len(self._seen) >= self.entries:
                self._seen.clear()
            self._seen.add(number)
