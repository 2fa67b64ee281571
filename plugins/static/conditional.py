"""What a request asks of a file that it may know already: all of it, nothing new, or a part.

Pure functions over header values: no file, no clock. `judge` follows the order of RFC 9110 13.2.2. A field that is not
well-formed counts as absent, so the worst that a broken client gets is the whole file.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from plugins.static.ranges import Span, parse_ranges
from reactor import HTTPError


class Validators(NamedTuple):
    """What tells one version of a file from another."""

    etag: str  # strong, with its quotes
    modified: int | None  # seconds since 1970; None where the date must not be told


class Verdict(NamedTuple):
    """200 with everything, 304 with nothing, or 206 with `spans` of it."""

    status: int
    spans: tuple[Span, ...] = ()


WHOLE = Verdict(200)
SAME = Verdict(304)


def judge(method: str, fields: Mapping[str, str], validators: Validators, size: int) -> Verdict:
    """The answer to `method` for a file of `size` bytes. Raises HTTPError 412 for a condition that does not hold, and
    416 for a range outside of the file.
    """
    if has_changed(fields, validators):
        raise HTTPError(412, "the file is not the version that the request is about")
    if is_not_modified(fields, validators):
        return SAME
    # RFC 9110 14.2: a Range that comes with another method than GET is ignored.
    if method == "GET" and "range" in fields and range_applies(fields.get("if-range"), validators):
        spans = parse_ranges(fields["range"], size)
        if spans is not None:
            return Verdict(206, tuple(spans))
    return WHOLE


# -- is it the one you have? ------------------------------------------------------------------------------------------

# RFC 9110 8.8.3. The weakness sign stays outside of the group: If-None-Match compares weakly.
_entity_tags = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")').findall
# If-Match compares strongly: a weak tag never matches.
_tags_with_weakness = re.compile(r'((?:W/)?"[!#-~\x80-\xff]*")').findall


def has_changed(fields: Mapping[str, str], validators: Validators) -> bool:
    """RFC 9110 13.1.1 and 13.1.4: If-Match, and only where there is none If-Unmodified-Since."""
    tags = fields.get("if-match")
    if tags is not None:
        return tags.strip() != "*" and validators.etag not in _tags_with_weakness(tags)
    since = fields.get("if-unmodified-since")
    date = parse_date(since) if since is not None else None
    return date is not None and validators.modified is not None and validators.modified > date


def is_not_modified(fields: Mapping[str, str], validators: Validators) -> bool:
    """RFC 9110 13.1.2 and 13.1.3: If-None-Match, and only where there is none If-Modified-Since."""
    tags = fields.get("if-none-match")
    if tags is not None:
        return tags == "*" or validators.etag in _entity_tags(tags)
    since = fields.get("if-modified-since")
    if since is None or validators.modified is None:
        return False
    date = parse_date(since)
    return date is not None and validators.modified <= date


def range_applies(condition: str | None, validators: Validators) -> bool:
    """RFC 9110 13.1.5, If-Range: the very same version (a weak tag or another date never is), or no condition."""
    if condition is None or condition == validators.etag:
        return True
    return validators.modified is not None and condition == format_date(validators.modified)


# -- dates ------------------------------------------------------------------------------------------------------------

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "|".join(_MONTHS)
_TIME = r"(?P<H>[0-9]{2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
# RFC 9110 5.6.7: the one form to send, and the two obsolete ones that everybody must still read.
_date_forms = tuple(
    re.compile(form).fullmatch
    for form in (
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<d>[0-9]{{2}}) (?P<m>{_MONTH}) (?P<y>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<d>[0-9]{{2}})-(?P<m>{_MONTH})-(?P<y>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<m>{_MONTH}) (?P<d>[0-9]{{2}}| [0-9]) {_TIME} (?P<y>[0-9]{{4}})",
    )
)


@lru_cache(256)
def parse_date(text: str) -> int | None:
    """An HTTP date in any of its three forms as seconds since 1970; None if it is none."""
    for form in _date_forms:
        match = form(text)
        if match:
            break
    else:
        return None
    year, month = int(match["y"]), _MONTHS.index(match["m"]) + 1
    if len(match["y"]) == 2:
        year += 1900 if year >= 70 else 2000  # there are no files from before 1970
    try:
        second = min(int(match["S"]), 59)  # a leap second is the last of its minute
        date = datetime(year, month, int(match["d"]), int(match["H"]), int(match["M"]), second)
    except ValueError:
        return None
    return timegm(date.timetuple())


@lru_cache(256)
def format_date(seconds: int) -> str:
    """Seconds since 1970 as an HTTP date: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(seconds, usegmt=True)
