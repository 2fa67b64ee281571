"""What is seen of a server from outside: its access log, its numbers, and the watchdog.

One for each App. It hangs itself on the hooks of the HTTP server only as far as somebody looks: without an access log
and without a plugin that shows the numbers, a request pays for none of this.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from reactor.access import AccessLog, open_stream
from reactor.config import Config
from reactor.core.watchdog import Watchdog
from reactor.http.message import Request
from reactor.http.server import Answered, AnswersHook
from reactor.metrics import OTHER, Metrics

if TYPE_CHECKING:
    from reactor.app import App
    from reactor.generation import Generation

# Seconds between two looks at how late a timer comes. A turn that takes longer than this is always seen.
LAG_INTERVAL: Final = 0.25
LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Observer:
    """Made with its App; `open` and `use` whenever a generation takes over."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._access: AccessLog | None = None
        self._watchdog: Watchdog | None = None
        self._blocks = 0  # of watchdogs that have ended
        self._lag_due = 0.0
        self._measures_lag = False
        self.reloaded = True  # whether the last reload worked
        self.core = Metrics("reactor")
        self._process = Metrics("process")
        self._count_answers = self._make_answers()
        self._lag = self.core.histogram("loop_lag_seconds", "How late a timer of the loop came.", LAG_BUCKETS)
        self._add_server()
        self._add_process()

    # -- the access log ----------------------------------------------------------------------------------------------

    def open(self, config: Config) -> None:
        """Open the access log of `config`, anew if it is open. StartError if it cannot be written: then nothing has
        changed.
        """
        options, app = config.server, self._app
        access = None
        if options.access_log != "off":
            stream = open_stream(options.access_log, config.directory, sys.stderr)
            access = AccessLog(
                app.reactor, app.log, stream, options.access_log_format, options.access_log_details, app.unix_time
            )
        self._app.server.tell_answered()
        self._close_access()
        self._access = access

    def _close_access(self) -> None:
        if self._access is not None:
            self._access.close()

    # -- one generation after the other ------------------------------------------------------------------------------

    def use(self, generation: Generation) -> None:
        """Look at what new requests meet from now on."""
        options, server = generation.config.server, self._app.server
        hooks: list[AnswersHook] = [self._access.note] if self._access is not None else []
        if generation.counts_requests:
            hooks.append(self._count_answers)
            self._measure_lag()
        server.observe(_all_of(hooks))
        server.sends_ids = options.send_request_id
        self._watch(options.block_warning)

    def _watch(self, seconds: float) -> None:
        if self._watchdog is not None:
            if self._watchdog.seconds == seconds:
                return
            self._watchdog.close()
            self._blocks += self._watchdog.blocks
            self._watchdog = None
        if seconds and self._app.has_threads:
            self._watchdog = Watchdog(self._app.reactor, seconds, self._report_block)
            self._watchdog.start()

    def _report_block(self, seconds: float, where: str) -> None:
        """Called by the watchdog's thread."""
        self._app.log.warning(f"nobody has been served for {seconds:.1f} s, because of {where}")

    def close(self) -> None:
        """The end: no watchdog, no access log."""
        self._app.server.observe(None)
        if self._watchdog is not None:
            self._watchdog.close()
        self._close_access()
        self._access = None

    # -- what is counted ---------------------------------------------------------------------------------------------

    def _make_answers(self) -> AnswersHook:
        """The hook that counts answers; all that it needs is at hand, as it runs with each turn."""
        core, clock = self.core, self._app.reactor.clock
        rows = {method: [0] * 10 for method in (*METHODS, OTHER)}  # by the first digit of the status
        core.totals("http_requests_total", "Answers, whole or cut.", partial(_by_class, rows), "method", "status")
        duration = core.histogram("http_request_duration_seconds", "From a request's head to the end of its answer.")
        received = core.counter("http_request_body_bytes_total", "Bytes of bodies that came with requests.")
        sent_bytes = core.counter("http_response_body_bytes_total", "Bytes of bodies that went out with answers.")
        others = rows[OTHER]

        def count(at_once: Sequence[Request], began: float, answered: Sequence[Answered]) -> None:
            now = clock()
            total = 0
            for request in at_once:
                answer = request._answer
                rows.get(request.head.method, others)[answer.status // 100] += 1
                total += answer.length or 0
                if request.stream is not None:
                    received.value += request.stream.taken
            if at_once:
                duration.observe(now - began, len(at_once))
            for head, asked, _, status, sent, since in answered:
                (rows.get(head.method, others) if head is not None else others)[status // 100] += 1
                duration.observe(now - since)
                total += sent
                if asked is not None and asked.stream is not None:
                    received.value += asked.stream.taken
            sent_bytes.value += total

        return count

    def _measure_lag(self) -> None:
        if not self._measures_lag:
            self._measures_lag = True
            self._await_timer()

    def _await_timer(self) -> None:
        self._lag_due = self._app.reactor.clock() + LAG_INTERVAL
        self._app.reactor.call_later(LAG_INTERVAL, self._timer_came)

    def _timer_came(self) -> None:
        self._lag.observe(max(0.0, self._app.reactor.clock() - self._lag_due))
        self._await_timer()

    def _add_server(self) -> None:
        core, app = self.core, self._app
        core.gauges("connections", "Connections by what they are doing.", lambda: app.server.states(), "state")
        core.gauge("connections_limit", "How many there may be at once (0: no bound).",
                   lambda: app.server.most_connections)  # fmt: skip
        core.totals("limits_reached_total", "How often clients came to one of their bounds.", self._limits, "limit")
        core.totals("tls_handshakes_failed_total", "TLS handshakes that failed, by how.", self._handshakes, "how")
        core.gauges("pool_queue_length", "Jobs that wait for helper threads.",
                    lambda: {name: pool.waiting for name, pool in app.pools.items()}, "pool")  # fmt: skip
        core.gauges("pool_running", "Helper threads that are at work.",
                    lambda: {name: pool.running for name, pool in app.pools.items()}, "pool")  # fmt: skip
        core.totals("pool_rejected_total", "Jobs that found the queue full.",
                    lambda: {name: pool.rejected for name, pool in app.pools.items()}, "pool")  # fmt: skip
        core.totals("loop_blocked_total", "Turns of the loop that the watchdog has reported.",
                    lambda: {(): self._blocked})  # fmt: skip
        core.totals("log_lines_lost_total", "Lines that nobody read in time, or that could not be written.",
                    lambda: {(): app.log.dropped})  # fmt: skip
        core.gauge("config_reload_success", "Whether the last reload worked.", lambda: self.reloaded)
        core.gauge("ready", "Whether it takes requests: what /readyz says.", lambda: not app.why_not_ready())

    def _limits(self) -> dict[str, int]:
        return {**self._app.server.reached, "handshake_timeout": self._app.server.handshakes.expired}

    def _handshakes(self) -> dict[str, int]:
        handshakes = self._app.server.handshakes
        return {"failed": handshakes.failed, "timeout": handshakes.expired, "plain_http": handshakes.plain}

    @property
    def _blocked(self) -> int:
        return self._blocks + (self._watchdog.blocks if self._watchdog is not None else 0)

    def _add_process(self) -> None:
        """Under the names that every Prometheus client has for these."""
        process, began = self._process, self._app.unix_time()
        process.totals("cpu_seconds_total", "User and system CPU time.", lambda: {(): _cpu_seconds()})
        process.gauge("start_time_seconds", "When it was started, in seconds since 1970.", lambda: began)
        process.gauge("max_fds", "How many files it may have open.",
                      lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # fmt: skip
        if os.path.exists("/proc/self/statm"):
            process.gauge("resident_memory_bytes", "Memory that is in use.", _resident_bytes)

    def text(self) -> str:
        """All metrics, those of the plugins too, in the text format of Prometheus."""
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from self.core.lines()
        yield from self._process.lines()
        for metrics in self._app.generation.metrics:
            yield from metrics.lines()


def _all_of(hooks: list[AnswersHook]) -> AnswersHook | None:
    if len(hooks) < 2:
        return hooks[0] if hooks else None

    def call(at_once: Sequence[Request], began: float, answered: Sequence[Answered]) -> None:
        for hook in hooks:
            hook(at_once, began, answered)

    return call


def _by_class(rows: dict[str, list[int]]) -> dict[tuple[str, str], int]:
    """Counts by method and class of status. What is over 599 is a server's mistake (RFC 9110 15)."""
    return {
        (method, name): sum(row[digit:]) if name == "5xx" else row[digit]
        for method, row in rows.items()
        for digit, name in enumerate(CLASSES, 1)
    }


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _resident_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
