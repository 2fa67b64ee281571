"""A WeApRous application: a guest book whose entries bear the name that one has logged in with.

    python examples/weaprous_app.py --server-ip 127.0.0.1 --server-port 8000
"""

from __future__ import annotations

import argparse
import html
import json
import secrets
import sys
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the reactor of this clone, installed or not

from reactor.weaprous import WeApRous

PORT = 8000
LONGEST = 100  # entries of the book

app = WeApRous()
names: dict[str, str] = {}  # the value of a cookie -> who has it
entries: list[dict[str, str]] = []


def who(headers: Any) -> str | None:
    """The name behind the cookie of a request."""
    cookie = SimpleCookie(headers.get("cookie", "")).get("guest")
    return names.get(cookie.value) if cookie else None


@app.route("/", methods=["GET"])
def page(headers: Any, body: str) -> str:
    lines = "".join(f"<li>{html.escape(entry['name'])}: {html.escape(entry['text'])}" for entry in entries)
    return f"<!doctype html>\n<title>Guest book</title>\n<h1>Guest book</h1>\n<ul>{lines}</ul>\n"


@app.route("/login", methods=["POST"])
def login(headers: Any = "guest", body: str = "anonymous") -> Any:
    """The body is the name."""
    if not body.strip():
        return 400, {"error": "who are you? The body is the name"}
    secret = secrets.token_urlsafe(16)
    names[secret] = body.strip()
    return 200, {"welcome": body.strip()}, {"guest": f"{secret}; Path=/; HttpOnly; SameSite=Lax"}


@app.route("/hello", methods=["PUT"])
def hello(headers: Any, body: str) -> Any:
    """Write into the book: `{"text": "…"}`."""
    name = who(headers)
    if name is None:
        return 401, {"error": "log in first: POST /login"}
    try:
        text = str(json.loads(body)["text"])
    except (ValueError, KeyError, TypeError):
        return 400, {"error": 'the body is not {"text": "…"}'}
    entries.append({"name": name, "text": text})
    del entries[:-LONGEST]
    return {"entries": len(entries)}


@app.route("/book")
def book(request: Any, response: Any) -> Any:
    response.headers["Cache-Control"] = "no-store"
    return entries


@app.route("/report", blocking=True)
def report() -> str:
    """It takes its time, as a library that waits for something does; in a helper thread it holds up nobody."""
    time.sleep(0.2)
    return f"{len(entries)} entries\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="A guest book.")
    parser.add_argument("--server-ip", default="127.0.0.1", help="listen on this address (%(default)s)")
    parser.add_argument("--server-port", type=int, default=PORT, help="and this port (%(default)s)")
    arguments = parser.parse_args()
    app.prepare_address(arguments.server_ip, arguments.server_port)
    app.run()


if __name__ == "__main__":
    main()
