"""Debian's Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

# Of everything that is waited for in a page. Twice of what an idle machine would forgive.
MILLISECONDS = 10_000
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """One that runs, and is closed behind it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("these tests need a browser. On Debian: apt-get install chromium", pytrace=False)
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        browser = _launch(playwright, found, flags)
        yield browser
        browser.close()


def _launch(playwright: Playwright, found: str, flags: tuple[str, ...]) -> Browser:
    def launch(timeout: float) -> Browser:
        return playwright.chromium.launch(executable_path=found, args=[*FLAGS, *flags], timeout=timeout)

    try:
        return launch(20_000)
    except PlaywrightTimeout:  # where much goes on, one in hundreds hangs while it starts, and the next one does not
        return launch(60_000)
