"""The web application of `examples/weaprous_app.py`, by its old name and at its old port."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the reactor of this clone, installed or not

from examples.weaprous_app import main

if __name__ == "__main__":
    main()
