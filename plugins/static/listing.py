"""What is in a folder, as a page: for mounts with `listing=yes`, where there is no index file.

The names are somebody else's text: they are escaped in the page, and percent-encoded in its links.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

# A folder with more names is not for reading, and would take the loop's time.
MOST: Final = 2_000

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/assets/style.css">
</head>
<body class="single">
<main class="card">
<h1>{title}</h1>
<ul>
{entries}
</ul>
</main>
</body>
</html>
"""


def page(names: Iterable[tuple[str, bool]], title: str, *, is_top: bool) -> str:
    """`names` say whether they are folders, which stand first."""
    lines = [] if is_top else ['<li><a href="../">../</a></li>']
    lines += [_line(name) for _, name in sorted((not is_folder, name + "/" * is_folder) for name, is_folder in names)]
    return _PAGE.format(title=html.escape(title), entries="\n".join(lines))


def _line(name: str) -> str:
    """`./` in front, or a name with a colon would be the scheme of a URL."""
    link = "./" + quote(name.encode("utf-8", "surrogateescape"), safe="/!$()*+,=@~")
    words = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f'<li><a href="{html.escape(link)}" dir="auto">{html.escape(words)}</a></li>'
