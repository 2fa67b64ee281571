"""The numbers of the documents are those that are shown, and the unit of systemd fits the server."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from exposition import Exposition

from reactor.app import RESERVED_DESCRIPTORS
from reactor.http.limits import LIMITS, STATES
from reactor.http.server import Settings
from reactor.testing import TestApp

ROOT = Path(__file__).resolve().parents[2]
STATUS = (ROOT / "docs" / "status.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def shown(tmp_path: Path) -> Exposition:
    with TestApp({"plugin:status": {}}, state_dir=tmp_path) as app:
        return Exposition(app.get("/metrics").text)


def test_every_number_is_documented_with_its_kind_and_labels(tmp_path: Path) -> None:
    rows = {
        name: kind.strip()
        for names, kind in re.findall(r"^\| (`(?:reactor|process)_[^|]*)\|([^|]*)\|", STATUS, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    found = shown(tmp_path).families
    assert set(rows) == set(found)
    for name, family in found.items():
        if name.startswith("process_"):
            continue
        labels = {label for _, pairs in family.samples for label, _ in pairs} - {"le"}
        if not name.startswith("reactor_pool_"):  # no pool has begun here
            assert set(re.findall(r"`(\w+)`", rows[name])) == labels, name
        assert rows[name].startswith(family.kind), name


def test_every_state_and_limit_that_is_no_option_is_explained() -> None:
    for name in (*STATES, *(limit for limit in LIMITS if limit not in Settings.__dataclass_fields__)):
        assert f"`{name}`" in STATUS, name


def test_the_alerts_ask_for_numbers_that_are_there(tmp_path: Path) -> None:
    found = shown(tmp_path).families
    expressions = re.findall(r"expr: (.*)", OPERATIONS)
    assert len(expressions) > 10
    for expression in expressions:
        for name in re.findall(r"(?:reactor|process)_\w+", expression):
            assert name in found or name.removesuffix("_bucket") in found, name
        for values in re.findall(r'limit=~"([^"]*)"', expression):
            assert set(values.split("|")) <= set(LIMITS)


def test_the_unit_gives_a_stop_longer_than_the_drain_and_files_for_the_connections() -> None:
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "examples" / "systemd" / "reactor.service")
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > Settings().drain
    assert int(service["LimitNOFILE"]) > RESERVED_DESCRIPTORS
    assert service["ExecStart"] + " --check" == service["ExecStartPre"]
    config = service["ExecStart"].rpartition(" ")[2]
    assert config in OPERATIONS
    for directory in ("/var/lib/reactor", "/var/log/reactor"):
        assert directory in OPERATIONS
