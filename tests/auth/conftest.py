from __future__ import annotations

import pytest

import plugins.auth.passwords
from plugins.auth.passwords import Cost


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real argon2id, at the least that it can be asked for: a millisecond instead of twenty."""
    monkeypatch.setattr(plugins.auth.passwords, "COST", Cost(time=1, memory=8, lanes=1))
