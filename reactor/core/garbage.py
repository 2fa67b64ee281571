"""How often Python looks for cycles among all objects, which stops everything: 0.3 s where many people chat.

By itself it does so for each 70,000 new objects that stay, if they are a quarter of all.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (700, 10, 100)  # 700,000 objects, which are 100 MB of garbage at the very worst


def collect_seldom() -> None:
    """For the whole process: a program says this once, when it starts."""
    gc.set_threshold(*THRESHOLDS)
