"""Headers: an immutable, ordered list of fields with a case-insensitive index.

Names compare case-insensitively (RFC 9110 5.1): what is received is kept in lower case, what we send goes out as it
was written. Values are `str` decoded from ISO-8859-1, which maps every byte to one character and back. The order of
lines is kept, because a proxy must keep it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from reactor.errors import LocalProtocolError

# RFC 9110 5.6.2 (token) and 5.5 (field-value: visible characters, obs-text, SP and HTAB; never CR, LF or NUL).
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_is_token = re.compile(TOKEN).fullmatch
_illegal_in_value = re.compile(r"[^\t -~\x80-\xff]").search


class Headers:
    """`headers["host"]`, `headers.get("accept", "")`, `headers.all("set-cookie")`; iterating gives `(name, value)`.

    Several lines of one name read as one value joined with ", " (RFC 9110 5.3); `all` gives the lines apart, which is
    what Set-Cookie needs.
    """

    __slots__ = ("_index", "_lines", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._lines: list[str] = []
        self._pairs: tuple[tuple[str, str], ...] | None = tuple(pairs)
        index: dict[str, str] = {}
        for name, value in self._pairs:
            name = name.lower()
            index[name] = index[name] + ", " + value if name in index else value
        self._index = index

    @classmethod
    def parsed(cls, lines: list[str], index: dict[str, str]) -> Headers:
        """Wrap the good lines that `fields` has found and indexed. Most heads are only ever looked up in, so the pairs
        are made when somebody asks for them.
        """
        headers = cls.__new__(cls)
        headers._lines = lines
        headers._pairs = None
        headers._index = index
        return headers

    def _all_pairs(self) -> tuple[tuple[str, str], ...]:
        if self._pairs is None:
            split = (line.partition(":") for line in self._lines)
            self._pairs = tuple((name.lower(), value.strip(" \t")) for name, _, value in split)
        return self._pairs

    def as_written(self) -> Iterator[tuple[str, str]]:
        """The fields in order with their names as they came, which `__iter__` gives in lower case. For who passes them
        on: there are programs that know a name only as it is usually written.
        """
        if not self._lines:
            return iter(self._all_pairs())
        split = (line.partition(":") for line in self._lines)
        return ((name, value.strip(" \t")) for name, _, value in split)

    def __getitem__(self, name: str) -> str:
        return self._index[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def get(self, name: str, default: str = "") -> str:
        """The value of `name`, or `default`. An absent and an empty field are told apart by `in`."""
        return self._index.get(name.lower(), default)

    def all(self, name: str) -> list[str]:
        """Every line of `name`, in order."""
        name = name.lower()
        if len(self._index) == len(self):  # no name occurs twice
            return [self._index[name]] if name in self._index else []
        return [value for field, value in self._all_pairs() if field.lower() == name]

    def tokens(self, name: str) -> list[str]:
        """The comma-separated members of a list field, in lower case, empty ones left out (RFC 9110 5.6.1)."""
        return [token for part in self.get(name).split(",") if (token := part.strip(" \t").lower())]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._all_pairs())

    def __len__(self) -> int:
        return len(self._lines) or len(self._all_pairs())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._all_pairs() == other._all_pairs()

    def __hash__(self) -> int:
        return hash(self._all_pairs())

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"

    @property
    def index(self) -> Mapping[str, str]:
        """The lower-case name -> value table itself, for the hot path: `"range" in request.headers.index`."""
        return self._index


def check_field(name: str, value: str) -> None:
    """Raise `LocalProtocolError` for a field that must never be sent (RFC 9110 5.5: response splitting and worse)."""
    if not _is_token(name):
        raise LocalProtocolError(f"not a header name: {name!r}")
    bad = _illegal_in_value(value)
    if bad:
        raise LocalProtocolError(f"header {name}: character {bad.group()!r} is not allowed in a value")
    if value != value.strip(" \t"):
        raise LocalProtocolError(f"header {name}: the value begins or ends with white space")


def encode_fields(pairs: Iterable[tuple[str, str]]) -> bytes:
    """`Name: value CRLF` for each pair, checked."""
    lines = []
    for name, value in pairs:
        check_field(name, value)
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
