"""Users for a server of ours, whichever architecture it has: `make load` runs it against both.

    locust --headless -u 30 -r 30 -t 10s --host http://127.0.0.1:8000

Every answer is looked into: a 200 with the wrong body is a failure.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from locust import FastHttpUser, between, task

numbers = count()


def check(response: Any, status: int, *words: str) -> None:
    """Inside `with ... as response`: a failure that says what was wrong."""
    if response.status_code != status:
        response.failure(f"{response.status_code} instead of {status}")
        return
    missing = [word for word in words if word not in (response.text or "")]
    if missing:
        response.failure(f"not in the answer: {missing[0]!r}")


def log_in(user: FastHttpUser, name: str = "POST /login") -> None:
    form = {"username": "admin", "password": "password"}
    with user.client.post("/login", data=form, name=name, catch_response=True) as response:
        check(response, 200, "<h1>Peers</h1>")
        if response.status_code == 200 and "session" not in {cookie.name for cookie in user.client.cookiejar}:
            response.failure("no session cookie")


class Reader(FastHttpUser):
    """Logs in once, and then looks at the page and the list again and again."""

    weight = 6
    wait_time = between(0.05, 0.2)

    def on_start(self) -> None:
        log_in(self)

    @task(1)
    def page(self) -> None:
        with self.client.get("/", catch_response=True) as response:
            check(response, 200, "<h1>Peers</h1>")

    @task(4)
    def listing(self) -> None:
        with self.client.get("/get-list", catch_response=True) as response:
            check(response, 200, '"status":"success"', '"total_peers":')


class Visitor(FastHttpUser):
    """Comes, logs in, and is gone; one in three has it wrong, and must not get in."""

    weight = 1
    wait_time = between(0.5, 1.0)

    @task(2)
    def right(self) -> None:
        self.client.cookiejar.clear()
        log_in(self)

    @task(1)
    def wrong(self) -> None:
        self.client.cookiejar.clear()
        # Each time another name: who is wrong with one again and again has to wait, and with him who is right with it.
        form = {"username": f"visitor{next(numbers)}", "password": "guessed"}
        with self.client.post("/login", data=form, name="POST /login, wrong", catch_response=True) as response:
            check(response, 401, "Login failed")
            if response.status_code == 401:
                response.success()
        with self.client.get("/", name="GET / without a login", catch_response=True) as response:
            check(response, 401, "Please log in")
            if response.status_code == 401:
                response.success()


class Peer(FastHttpUser):
    """Registers, renews with its lease, and finds itself in the list of its channel."""

    weight = 3
    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        self.number = next(numbers)
        self.me: dict[str, Any] = {
            "peer_id": f"load{self.number:04d}", "ip": "192.168.1.3", "port": 9101 + self.number % 10_000,
            "channels": [f"load{self.number // 100}"], "v": 1,
        }  # fmt: skip
        with self.client.post("/submit-info", json=self.me, name="/submit-info, new", catch_response=True) as response:
            check(response, 200, self.me["peer_id"], '"lease":')
            self.me["lease"] = (response.json() or {}).get("lease", "")

    @task(2)
    def renew(self) -> None:
        with self.client.put("/submit-info", json=self.me, catch_response=True) as response:
            check(response, 200, self.me["peer_id"], self.me["lease"])

    @task(1)
    def find_myself(self) -> None:
        channel = self.me["channels"][0]
        name = "/get-list?channel="
        with self.client.get(f"/get-list?channel={channel}", name=name, catch_response=True) as response:
            check(response, 200, self.me["peer_id"])

    @task(1)
    def take_over(self) -> None:
        """Without the lease, nobody changes what is ours."""
        stolen = {**self.me, "lease": "0" * 32}
        with self.client.put("/submit-info", json=stolen, name="/submit-info, stolen", catch_response=True) as response:
            check(response, 403, "not_yours")
            if response.status_code == 403:
                response.success()
