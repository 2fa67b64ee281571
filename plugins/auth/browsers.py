"""What a browser calls itself, in a few words for the person who looks at a list of logins: `Firefox on Linux`.

It is for recognising one's own devices, and nothing is decided by it: anybody can claim to be any browser.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MAX_LENGTH: Final = 40

# Each browser also claims to be those below it (RFC 9110 10.1.5 has products in order of significance; history decided
# otherwise), so the first that fits is the one.
_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Vivaldi", "Vivaldi"),
    ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip
_odd = re.compile(r"[^ -~]+")


@lru_cache(256)
def browser_name(agent: str) -> str:
    """At most 40 printable ASCII characters; "" for who does not say."""
    browser = next((name for token, name in _BROWSERS if f"{token}/" in agent), "")
    if not browser or not agent.startswith("Mozilla/"):
        return _odd.sub("?", agent.partition(" ")[0])[:MAX_LENGTH]
    system = next((name for token, name in _SYSTEMS if token in agent), "")
    return f"{browser} on {system}" if system else browser
