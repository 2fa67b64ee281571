"""How many files and connections the system lets this process have open at once."""

from __future__ import annotations

import resource


def descriptor_limit() -> int:
    """Raise the soft limit to the hard one, and tell it; a million where there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1_000_000
