"""The plugin, found by its entry point as a server finds it."""

from __future__ import annotations

from pathlib import Path

from reactor.testing import TestApp, check_plugin


def test_it_counts_the_visits_of_each(tmp_path: Path) -> None:
    with TestApp({"plugin:hello": {"greeting": "Good morning"}}, state_dir=tmp_path) as app:
        assert app.get("/hello/Ann").text == "Good morning Ann, this is your visit number 1.\n"
        assert app.get("/hello/Bob").text == "Good morning Bob, this is your visit number 1.\n"
        app.reload({"plugin:hello": {}})
        assert app.get("/hello/Ann").text == "Hello Ann, this is your visit number 2.\n"


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_plugin("reactor_hello", {"greeting": "Hi"}, state_dir=tmp_path)
