"""Lines of a peer on standard output."""

from __future__ import annotations

import sys
from typing import IO

from peer.terminal.output import Output, PlainOutput
from reactor import Log


def test_a_line_goes_to_standard_output_as_it_is() -> None:
    written: list[tuple[IO[str], str | None]] = []
    output: Output = PlainOutput(Log(lambda stream, line: written.append((stream, line))))
    output.line("[Peer] Message from 65113e1d: grüß 漢字 🦊")
    assert written == [(sys.stdout, "[Peer] Message from 65113e1d: grüß 漢字 🦊")]


def test_nobodys_text_fakes_a_line_or_moves_the_cursor() -> None:
    written: list[str | None] = []
    output = PlainOutput(Log(lambda stream, line: written.append(line)))
    output.line("[Peer] Message from 65113e1d: hi\n[Peer] Delivered to ann: x\x1b[2J\u202e")
    assert written == ["[Peer] Message from 65113e1d: hi\\x0a[Peer] Delivered to ann: x\\x1b[2J\\u202e"]
