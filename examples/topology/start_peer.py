"""A peer of the chat: `start_peer.py 9101`. It is `python -m peer`, with the tracker of `start_server.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the reactor of this clone, installed or not

from peer.__main__ import main

TRACKER = "127.0.0.1:8001"

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not any(argument.startswith(("--tracker", "--no-tracker")) for argument in arguments):
        arguments += ["--tracker", TRACKER]
    sys.exit(main(arguments))
