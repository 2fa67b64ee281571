"""proxy.conf: text in, one `Part` for each block out, and for every mistake a ConfigError with file and line.

    host "app2.local" {
        proxy_set_header Host $host;
        proxy_pass http://192.168.56.210:9002 weight=3;
        dist_policy round-robin
    }

A directive ends with a semicolon or with its line. `#` begins a comment where a word could begin. A `}` ends the block
where a directive could begin, or as the last word of a line; anywhere else it is part of a value.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from reactor import ConfigError, coerce

from .options import Part

# The names of the original, and what a section of config.ini calls the same. All others are called the same in both.
NAMES: Final = {"proxy_pass": "to", "dist_policy": "policy", "proxy_set_header": "set_header"}
_LISTS: Final = ("to", "set_header")
_HINTS: Final = typing.get_type_hints(Part, include_extras=True)
_KNOWN: Final = sorted({*NAMES, *(set(Part.__struct_fields__) - set(NAMES.values()) - {"host"})})


class Block(NamedTuple):
    """`where` names the lines of the block and of its directives."""

    part: Part
    line: int
    lines: dict[str, int]


class Directive(NamedTuple):
    words: list[str]
    line: int


def parse(text: str, file: str) -> list[Block]:
    """All blocks, in their order."""
    return list(_Parser(text, file).blocks())


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._pos = 0
        self._line = 1

    def error(self, message: str, line: int | None = None) -> ConfigError:
        return ConfigError(message, file=self._file, line=self._line if line is None else line)

    # -- blocks ------------------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        commented = False  # a comment in front of the first line of a block stands for all of it
        while True:
            commented = self._skip(lines=True) or commented
            if not self._rest():
                return
            if commented and not self._is_word("host"):
                self._drop_block()
            else:
                yield self._block()
            commented = False

    def _block(self) -> Block:
        line = self._line
        if not self._is_word("host"):
            what = self._word() or self._rest()[:1]
            raise self.error(f'{what!r} outside of a block: host "NAME" {{ … }} comes first', line)
        self._pos += len("host")
        names = []
        while True:
            self._skip(lines=True)
            if self._rest()[:1] in ("", "{", "}", ";"):
                break
            names.append(self._word(until=" \t\r\n;{"))
        if not names:
            raise self.error('host wants a name: host "app.local" { … }', line)
        if self._rest()[:1] != "{":
            raise self.error("no { behind the name of the host", line)
        self._pos += 1
        return self._made(names, list(self._directives(line)), line)

    def _drop_block(self) -> None:
        for _ in self._directives(self._line):
            pass

    def _directives(self, begun: int) -> Iterator[Directive]:
        while True:
            self._skip(lines=True)
            if not self._rest():
                raise self.error("this block has no }", begun)
            if self._rest()[0] == "}":
                self._pos += 1
                return
            if self._rest()[0] == ";":
                self._pos += 1
                continue
            line = self._line
            yield Directive(self._words(), line)

    # -- words -------------------------------------------------------------------------------------------------------

    def _rest(self) -> str:
        return self._text[self._pos : self._pos + 80]

    def _is_word(self, word: str) -> bool:
        after = self._text[self._pos + len(word) : self._pos + len(word) + 1]
        return self._text.startswith(word, self._pos) and (not after or after in ' \t\r\n"{')

    def _skip(self, lines: bool) -> bool:
        """Pass white space and comments; True if one of the comments was the first line of a block."""
        text, found = self._text, False
        while self._pos < len(text):
            char = text[self._pos]
            if char == "#":
                end = text.find("\n", self._pos)
                comment = text[self._pos : end if end >= 0 else len(text)].strip("# \t\r")
                found = found or (comment.startswith("host") and comment.endswith("{"))
                self._pos += len(text[self._pos : end]) if end >= 0 else len(text)
            elif char == "\n" and not lines:
                break
            elif char.isspace() or char == "\ufeff":
                self._line += char == "\n"
                self._pos += 1
            else:
                break
        return found

    def _words(self) -> list[str]:
        """Of one directive, up to and with what ends it, but for the } of the block."""
        words: list[str] = []
        while True:
            self._skip(lines=False)
            rest = self._rest()
            if not rest or rest[0] == "\n" or (rest[0] == "}" and self._ends_block()):
                return words
            if rest[0] == ";":
                self._pos += 1
                return words
            words.append(self._word())

    def _ends_block(self) -> bool:
        """Whether the } here is the last word of its line."""
        end = self._text.find("\n", self._pos)
        tail = self._text[self._pos + 1 : end if end >= 0 else len(self._text)].strip()
        return not tail or tail[0] == "#"

    def _word(self, until: str = " \t\r\n;") -> str:
        text, start = self._text, self._pos
        if text[start : start + 1] in ("'", '"'):
            return self._quoted()
        while self._pos < len(text) and text[self._pos] not in until:
            self._pos += 1
        return text[start : self._pos]

    def _quoted(self) -> str:
        quote, line = self._text[self._pos], self._line
        out: list[str] = []
        self._pos += 1
        while True:
            char = self._text[self._pos : self._pos + 1]
            if char in ("", "\n"):
                raise self.error(f"no closing {quote}", line)
            self._pos += 1
            if char == quote:
                return "".join(out)
            if char == "\\" and self._text[self._pos : self._pos + 1] in (quote, "\\"):
                char = self._text[self._pos]
                self._pos += 1
            out.append(char)

    # -- meaning -----------------------------------------------------------------------------------------------------

    def _made(self, names: list[str], directives: list[Directive], line: int) -> Block:
        values: dict[str, Any] = {"host": names}
        lines: dict[str, int] = {}
        for words, at in directives:
            name = NAMES.get(words[0], words[0])
            if words[0] not in _KNOWN:
                close = difflib.get_close_matches(words[0], _KNOWN, 1)
                hint = f": did you mean {close[0]}?" if close else ""
                raise self.error(f"unknown directive {words[0]!r}{hint}", at)
            if len(words) < 2:
                raise self.error(f"{words[0]} wants a value", at)
            if name in values and name not in _LISTS:
                raise self.error(f"{words[0]} is said twice in this block", at)
            lines.setdefault(name, at)
            self._put(values, name, words, at)
        if "to" not in values:
            raise self.error(f'the host "{names[0]}" has no proxy_pass', line)
        return Block(self._part(values, lines, line), line, lines)

    def _put(self, values: dict[str, Any], name: str, words: list[str], line: int) -> None:
        text = " ".join(words[1:])
        if name in _LISTS:
            values.setdefault(name, []).append(text)
            return
        try:
            values[name] = coerce(text, _HINTS[name])
        except ValueError as error:
            raise self.error(f"{words[0]} {error}", line) from None

    def _part(self, values: dict[str, Any], lines: dict[str, int], line: int) -> Part:
        try:
            return msgspec.convert(values, Part)
        except msgspec.ValidationError as error:
            words, _, path = str(error).partition(" - at ")
            key = path.strip("`$.")
            raise self.error(f"{key}: {words}", lines.get(key, line)) from None
