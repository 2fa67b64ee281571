"""For gunicorn, granian, waitress and bjoern: plain WSGI. `python -m bench.competitors.wsgi SERVER PORT` runs the two
that are configured in code.
"""

from __future__ import annotations

import sys
from typing import Any

from bench.answers import JSON, LIST, OK, TEXT


def _answer(body: bytes, content_type: str) -> tuple[list[tuple[str, str]], list[bytes]]:
    return [("Content-Type", content_type), ("Content-Length", str(len(body)))], [body]


ANSWERS = {"/ok": _answer(OK, TEXT), "/get-list": _answer(LIST, JSON)}


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    headers, body = ANSWERS[environ["PATH_INFO"]]
    start_response("200 OK", headers)
    return body


def run_waitress(port: int) -> None:
    from waitress import serve

    serve(
        app, host="127.0.0.1", port=port, threads=4, connection_limit=20_000, backlog=4096, channel_timeout=3600,
        cleanup_interval=3600, asyncore_use_poll=True, ident=None,
    )  # fmt: skip


def run_bjoern(port: int) -> None:
    import bjoern

    bjoern.run(app, "127.0.0.1", port)


if __name__ == "__main__":
    {"waitress": run_waitress, "bjoern": run_bjoern}[sys.argv[1]](int(sys.argv[2]))
