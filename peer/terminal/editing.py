"""What helps with typing: the lines that were typed before, and words that are completed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

MOST_RECALLED: Final = 200


class Recall:
    """The lines that were typed, one step back or forward at a time. What was being typed when somebody began to look
    is behind the last one.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._at: int | None = None  # which one is looked at
        self._draft = ""

    def add(self, line: str) -> None:
        """One line was sent: it is the last one now."""
        if not self._lines or self._lines[-1] != line:
            self._lines.append(line)
            del self._lines[:-MOST_RECALLED]
        self._at = None

    def forget_place(self) -> None:
        """Begin at the end again: what is typed now is another line."""
        self._at = None

    def back(self, typed: str) -> str:
        """The line before; what is typed if there is none."""
        if self._at is None:
            self._at, self._draft = len(self._lines), typed
        if self._at == 0:
            return typed
        self._at -= 1
        return self._lines[self._at]

    def forward(self, typed: str) -> str:
        """The line behind; what is typed if nobody went back."""
        if self._at is None:
            return typed
        self._at += 1
        if self._at < len(self._lines):
            return self._lines[self._at]
        self._at = None
        return self._draft


def complete(
    text: str, position: int, commands: Iterable[str], names: Iterable[tuple[str, str]], *, is_command: bool
) -> Sequence[tuple[str, int]]:
    """What the text, and the position of the cursor in it, may become when the word before the cursor is completed.

    `names` are pairs: what a word may begin, and the word that a command takes for it. `is_command`: the first word is
    a command without its slash.
    """
    start = text.rfind(" ", 0, position) + 1
    word, is_command = text[start:position], is_command or text.startswith("/")
    if not word:
        return []
    if start == 0 and is_command:
        slash = "/" if word.startswith("/") else ""
        words = [f"{slash}{command} " for command in commands if f"{slash}{command}".startswith(word.lower())]
    else:
        behind = ": " if start == 0 else " "
        words = [
            (in_command if is_command else name) + behind
            for name, in_command in names
            if name.casefold().startswith(word.casefold())
        ]
    return [
        (text[:start] + word + text[position:], start + len(word)) for word in sorted(set(words), key=str.casefold)
    ]
